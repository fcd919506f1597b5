"""The headline numbers of each task on the board, and the one that ranks the models."""

PARALLEL = (("monolingual", "mAP"), ("cross-lingual", "mAP"), ("multilingual", "mAP"), ("bias", "rank_distance"))
# The headline numbers of a task, and which of them ranks the models.
_MIRACL = (("monolingual", "nDCG@10"), ("monolingual", "R@100"))
HEADLINE: dict[str, tuple[tuple[str, str], ...]] = {
    "xquad-r": PARALLEL,
    "mlqa-r": PARALLEL,
    "miracl": _MIRACL,
    "miracl-hard-negatives": _MIRACL,
}
MAIN: dict[str, tuple[str, str]] = {
    "xquad-r": ("multilingual", "mAP"),
    "mlqa-r": ("multilingual", "mAP"),
    "miracl": ("monolingual", "nDCG@10"),
    "miracl-hard-negatives": ("monolingual", "nDCG@10"),
}
# Languages of a whole task: a mean over fewer is marked.
LANGUAGES = {"xquad-r": 11, "mlqa-r": 7, "miracl": 18, "miracl-hard-negatives": 18}
# Tasks whose main numbers are the same measure: only those are averaged.
AVERAGED = ("xquad-r", "mlqa-r")
