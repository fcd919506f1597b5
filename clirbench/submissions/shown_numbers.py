"""Numbers of a result that are only shown. No ranks give them, so they are only held against each other and against the task."""

from collections.abc import Iterator
from itertools import chain

from clirbench.results.schema import Document
from clirbench.tasks.task import Task

# The time in the model is a part of the time of the phase, or, with many workers, a multiple of it.
_SPEED_WITHIN = 1000


def contradictions(document: Document, task: Task) -> Iterator[tuple[str, str]]:
    """Find numbers on cost, lengths and corpus that cannot be true together.

    Yields:
        The dotted key of such a number, and the reason.
    """
    parts = (_cost(document), _lengths(document), _indistinguishable(document), _corpus(document, task))
    for key, message in chain.from_iterable(parts):
        yield key, f"{message}: submit the file as it was written"


def _cost(document: Document) -> Iterator[tuple[str, str]]:
    cost, counts = document.cost, document.counts
    pool = counts.queries + sum(counts.candidates.values())
    # A fusion and two stages count the texts of each of their models.
    if not document.model.scores_by_pool and cost.texts > pool:
        yield "cost.texts", f"is {cost.texts:,}, and the task has {pool:,} texts"
    for part in ("texts_encoded", "zero_vectors"):
        if getattr(cost, part) > cost.texts:
            yield f"cost.{part}", f"is {getattr(cost, part):,}, which is more than the {cost.texts:,} of cost.texts"
    if cost.pairs is not None and document.model.kind != "rerank":
        yield "cost.pairs", "belongs to two stages, and this model has one"
    if (cost.pairs_scored or 0) > (cost.pairs or 0):
        yield "cost.pairs_scored", f"is {cost.pairs_scored:,}, which is more than cost.pairs"
    if cost.texts_per_second is None:
        return
    expected = cost.texts_encoded / (cost.seconds.get("encode") or 1e-9)
    if not expected / _SPEED_WITHIN <= cost.texts_per_second <= expected * _SPEED_WITHIN or not cost.texts_encoded:
        yield "cost.texts_per_second", f"is {cost.texts_per_second:.4g}, but the texts and seconds give {expected:.4g}"


def _lengths(document: Document) -> Iterator[tuple[str, str]]:
    counts = document.counts
    for role, by_language in (document.lengths or {}).items():
        for language, length in by_language.items():
            key = f"lengths.{role}.{language[:40]}"
            most = counts.queries if role == "query" else counts.candidates.get(language, 0)
            if language not in document.task.languages:
                yield key, "is of no language of the task"
            elif length.texts > most:
                yield f"{key}.texts", f"is {length.texts:,}, and the task has {most:,}"


def _indistinguishable(document: Document) -> Iterator[tuple[str, str]]:
    for role, by_language in (document.indistinguishable or {}).items():
        for language in by_language:
            if language not in document.task.languages:
                yield f"indistinguishable.{role}.{language[:40]}", "is of no language of the task"


def _corpus(document: Document, task: Task) -> Iterator[tuple[str, str]]:
    if (document.corpus is not None) != task.streamed:
        yield (
            "corpus",
            f"belongs to tasks that are read shard by shard, and {task.id} is {'' if task.streamed else 'not '}one",
        )
    elif document.corpus is not None and not set(document.corpus.sha256) <= set(document.task.languages):
        yield "corpus.sha256", "has what is no language of the task"
