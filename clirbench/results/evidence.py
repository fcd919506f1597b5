"""Say which numbers of a result nobody can compute again from its files."""

import numpy as np

from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.results.rescore import given_totals
from clirbench.results.schema import Document, MtebDocument, Reported

PREFERENCE = "own_language_preference"
_SAID = "is what the submitters say"
_STATED = {
    "model": f"{_SAID}; clirbench verify compares the revision",
    "encoder": f"{_SAID}; clirbench verify compares the settings",
}
_OF_A_RUN = {
    "environment": f"{_SAID} of their machine",
    "cost": f"{_SAID} of time and memory on their machine",
    "provenance": _SAID,
    "indistinguishable": f"{_SAID} of their model's vectors",
    "lengths": f"{_SAID} of how their model cuts texts",
    "corpus": f"{_SAID} of how they read the corpus",
}


def not_recomputable(document: Document | Reported | MtebDocument, ranks: GoldRanks | None = None) -> dict[str, str]:
    """Name the parts of a result that its own files do not prove, each with the reason.

    A key is a dotted path and covers all that is below it; "*" stands for every language. A number that no key covers follows
    from the ranks and the task: ``clirbench score`` and ``clirbench check`` compute it again. The answer does not say whether a
    part is right, nor whether the ranks are: only ``clirbench verify`` compares those with the model's.

    - Reported figures and results on mteb's own tasks have no ranks, so all their numbers are named.
    - Of a measured result, what describes the model and the machine is always named: "model", "encoder", "cost", "environment"
      and so on. So is "model.toml", the file that says on what the model was trained.
    - "queue_jump" and "queue_jump_ratio" are named if a total of a third language (neither the query's nor the gold's) is only
      bounded by sums.
    - "headline.bias.own_language_preference" and "per_language.*.bias.own_language_preference" are named if the ranks file lacks
      the column query_language_above.

    Args:
        document: The content of a JSON file of a submission.
        ranks: The ranks of a measured result; None for the other kinds.
    """
    stated = {**_STATED, "model.toml": f"{_SAID}, also of training data"}
    if isinstance(document, Reported):
        taken = "is taken from a publication"
        return stated | {"headline": taken, "per_language": taken}
    if isinstance(document, MtebDocument):
        return stated | {"scores": "was computed by mteb, which keeps no ranks"}
    return {**stated, **_OF_A_RUN, **_believed_jumps(document, ranks)}


def _believed_jumps(document: Document, ranks: GoldRanks | None) -> dict[str, str]:
    """The keys of queue jumps that the ranks do not give, each with the reason."""
    if document.compact is not None and document.compact.queue_jump:
        why = "is computed from stated totals: ranks are rounded"
        believed = {"compact.queue_jump": "is only bounded by its sums over candidate languages: ranks are rounded"}
        if PREFERENCE in document.task.bias:
            believed |= {f"headline.bias.{PREFERENCE}": why, f"per_language.*.bias.{PREFERENCE}": why}
        return believed
    if not document.queue_jump or ranks is None or ranks.pool_rank is None:
        return {}
    given = given_totals(ranks, document.model.scores_by_pool)
    # One total that is missing in a row follows from the row's sum.
    known = given | ((~given).sum(axis=2, keepdims=True) == 1)
    believed = {}
    if not known.all():
        third = "is only bounded for languages that are neither the query's nor the gold's"
        believed |= {"queue_jump": third, "queue_jump_ratio": third}
    own = np.arange(len(known))
    if PREFERENCE in document.task.bias and not known[own, :, own].all():
        why = "is computed from stated totals: the ranks file lacks the column query_language_above"
        believed |= {f"headline.bias.{PREFERENCE}": why, f"per_language.*.bias.{PREFERENCE}": why}
    return believed
