"""The language bias of a result in sentences, with the numbers of the result."""

from collections.abc import Iterator

from clirbench.board.site.content import number
from clirbench.results.schema import Document
from clirbench.results.scripts import by_script
from clirbench.support.languages import language_name
from clirbench.tasks.task_file import board_tasks

# Within a twentieth of its share, a language stands there as often as chance puts it.
_CHANCE = 0.05


def bias_in_words(document: Document) -> list[tuple[str, str]]:
    """Sentences on the bias of a result, each with the dotted key of its number, as ``not_recomputable`` names it."""
    task = board_tasks().get(document.task.id)
    texts = f"{task.candidate_text if task else 'candidate'}s"
    return [
        *_preference(document, texts),
        *_jump(document, texts),
        *_script(document, texts),
        *_distance(document, texts),
        *_transfer(document, texts),
        *_removal(document),
    ]


def times(ratio: float) -> str:
    """How often a language stands before golds, beside its share of the pool."""
    if abs(ratio - 1) <= _CHANCE:
        return "about as often as their share"
    return f"{number(ratio, 1, 1 if ratio >= 2 else 2)} times as often as their share"


def _bias(document: Document, name: str) -> float | None:
    estimate = document.headline.get("bias", {}).get(name)
    return estimate.value if estimate else None


def _preference(document: Document, texts: str) -> Iterator[tuple[str, str]]:
    name = "own_language_preference"
    value = _bias(document, name)
    if value is None:
        return
    by_language = {
        language: float(one)
        for language in document.task.languages
        if (one := document.per_language.get(language, {}).get("bias", {}).get(name)) is not None
    }
    most = max(by_language, key=lambda language: by_language[language], default="")
    decimals = 1 if by_language.get(most, 0) >= 2 else 2
    detail = (
        f", and most for questions in {language_name(most)}: {number(by_language[most], 1, decimals)} times"
        if len(by_language) > 1 and by_language[most] > 1 + _CHANCE
        else ""
    )
    yield (
        f"Wrong {texts} in the question's language stand before a gold {times(value)} of the pool{detail}.",
        f"headline.bias.{name}",
    )


def _jump(document: Document, texts: str) -> Iterator[tuple[str, str]]:
    jumps = [
        (ratio, query, other)
        for query, row in document.queue_jump_ratio.items()
        for other, ratio in row.items()
        if query != other and ratio is not None
    ]
    if not jumps:
        return
    ratio, query, other = max(jumps)
    if ratio <= 1 + _CHANCE:
        said = f"No other language gains: none stands before a gold more than {number(ratio, 1, 2)} times as often as its share."
    else:
        said = (
            f"Of other languages, {language_name(other)} gains most: for questions in {language_name(query)}, "
            f"wrong {texts} in {language_name(other)} stand before a gold "
            f"{times(ratio)}."
        )
    yield said, "queue_jump_ratio"


def _script(document: Document, texts: str) -> Iterator[tuple[str, str]]:
    known = [(one.preference, one.script) for one in by_script(document, document.main_metric) if one.preference]
    if known:
        ratio, script = max(known)
        yield (
            f"Other languages in the question's script: for questions in {script}, wrong {texts} in it stand before a gold "
            f"{times(ratio)}.",
            "compact.queue_jump" if document.compact is not None else "queue_jump_ratio",
        )


def _distance(document: Document, texts: str) -> Iterator[tuple[str, str]]:
    value = _bias(document, "rank_distance")
    if value is not None:
        yield (
            f"From the first gold of a question to its last, it is {number(value, 1, 0)} ranks on average, in a pool of "
            f"{sum(document.counts.candidates.values()):,} {texts}.",
            "headline.bias.rank_distance",
        )


def _transfer(document: Document, texts: str) -> Iterator[tuple[str, str]]:
    value = _bias(document, "transfer_ratio")
    if value is not None:
        yield (
            f"Where all {texts} are in one other language, {number(value, 100, 0)} % of the same-language mAP is left.",
            "headline.bias.transfer_ratio",
        )


def _removal(document: Document) -> Iterator[tuple[str, str]]:
    own, other = (_bias(document, name) for name in ("own_gold_removal", "other_gold_removal"))
    if own is not None and other is not None:
        yield (
            f"Without the gold in the question's language, average precision {_change(own)}; without another gold, it "
            f"{_change(other)}.",
            "headline.bias.own_gold_removal",
        )


def _change(fall: float) -> str:
    return f"{'rises' if fall < 0 else 'falls'} by {number(abs(fall))} points"
