"""Count the candidates that outrank each gold pair, for each kind of model: an encoder, a scorer, or a fusion.

:func:`encode` gives a model the texts of a collection, and returns a counter. A counter has one method, ``count``, which
returns the counts and the cost of the run.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.arrays import NoNumbersError, as_float32
from clirbench.encoders.base import LoadedFusion, LoadedModel, LoadedRerank, LoadedScorer, require_encoder
from clirbench.encoders.calls import ask
from clirbench.encoders.encode import Encoded, characters, distinct_texts, encode_collection, work_to_encode
from clirbench.encoders.fusion import fused
from clirbench.encoders.vectors import Clock
from clirbench.ranking.device import Device, device_to_count_on
from clirbench.ranking.gold_ranks import Above
from clirbench.ranking.in_memory import Layout, Outranked, Products, count_outranked
from clirbench.ranking.second_stage import PoolCounter, SecondStage
from clirbench.support.blas import one_blas_thread
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import ENCODE, RANK
from clirbench.tasks.collection import Collection, GoldPairs

ScoreBlock = NDArray[np.float32]
# A function of start and stop that scores the queries start to stop - 1: float32 (queries, candidates).
ScoreRows = Callable[[int, int], ScoreBlock]
# The same for two kinds of pools: that of all languages, and that of each language. One array twice, except for a fusion.
PoolScores = Callable[[int, int], tuple[ScoreBlock, ScoreBlock]]
# Queries that are scored at a time. This bounds the memory for their scores.
QUERIES = 64


@dataclass
class Cost:
    """The cost of a run: texts, vectors and seconds.

    Attributes:
        dimensions: Size of the vectors; None for a model without vectors.
        texts: Distinct texts, counted once per role and model.
        encoded: How many of these texts the run encoded; the others came from the cache.
        encode_seconds: Seconds spent in the model.
        zero: Distinct texts whose vector is all zero.
        output_dtype: Of the vectors as the model gave them; None where that is not known.
        pairs: Pairs of a query and a candidate that a second stage ordered; None without one.
        pairs_scored: How many of these pairs the run scored; the others came from the cache.
        indistinguishable: By role and language, the share of the distinct texts that share their vector with another text; None
            without vectors.
        counted_on: Device of torch that counted, such as "cuda:0"; None for the processor, and where several nodes counted.
        seconds: Seconds of each phase: "load", "encode", "rank", "rerank", "score".
    """

    dimensions: int | None = None
    texts: int = 0
    encoded: int = 0
    encode_seconds: float = 0.0
    zero: int = 0
    output_dtype: str | None = None
    pairs: int | None = None
    pairs_scored: int | None = None
    indistinguishable: dict[str, dict[str, float]] | None = None
    counted_on: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Counts:
    """How many candidates outrank each gold pair, counted in blocks of one language each.

    Attributes:
        outranked: Counts by the scores in the pool of all languages. They are added up already where there are many.
        within: Counts by the scores in each language's own pool. The same object as ``outranked``, except for a fusion and for
            two stages, whose scores depend on the pool.
        cost: Cost of the run so far.
    """

    outranked: Outranked | Above
    within: Outranked | Above
    cost: Cost

    def added(self, pairs: GoldPairs) -> Above:
        """The counts of the gold pairs, added up to what ranks and bias need."""
        if isinstance(self.outranked, Above) or isinstance(self.within, Above):
            assert isinstance(self.outranked, Above)  # noqa: S101
            return self.outranked
        return Above.of(pairs, self.outranked, self.within)


class Counter(Protocol):
    """A model that has read a collection."""

    def count(self, settings: Sequence[str], context: RunContext) -> Counts:
        """Count the candidates that outrank each gold pair. Counts that none of the settings reads may stay 0."""


def encode(model: LoadedModel, collection: Collection, context: RunContext) -> Counter:
    """Give a model the texts of a collection: an encoder encodes each distinct text once, a scorer takes the candidates.

    Raises:
        ClirbenchError: A vector is wrong; the message names the first such text. Or ``context.count_on`` asks for a device that
            is not there, or that cannot count for this model.
    """
    device = device_to_count_on(context.count_on, model)
    if isinstance(model, LoadedRerank):
        return RerankCounter(model, collection, context)
    if isinstance(model, LoadedFusion | LoadedScorer):
        return ScoreCounter(model, collection, context)
    begin = time.perf_counter()
    encoded = encode_collection(require_encoder(model), collection, context)
    if not isinstance(encoded.queries, np.ndarray):
        if context.count_on == "device":
            raise ClirbenchError(
                f"--count-on device compares dense vectors, and {model.info.name} gives sparse ones: leave it out"
            )
        device = None
    return VectorCounter(encoded, collection, time.perf_counter() - begin, device=device)


def texts_to_encode(model: LoadedModel, collection: Collection) -> tuple[int, int]:
    """Count the distinct texts of each role that a run encodes, and their characters.

    A scorer counts a text once per language; a fusion adds up its parts. The pairs of a second stage do not count.
    """
    if isinstance(model, LoadedRerank):
        return texts_to_encode(model.first, collection)
    if isinstance(model, LoadedFusion):
        parts = [texts_to_encode(part, collection) for part in model.parts]
        return sum(texts for texts, _ in parts), sum(work for _, work in parts)
    if isinstance(model, LoadedScorer):
        pairs = [pair for role in ("query", "candidate") for pair in _distinct(collection, role)[0]]
        return len(pairs), _characters(pairs)
    return distinct_texts(collection), work_to_encode(model, collection)


@dataclass(frozen=True)
class VectorCounter:
    """A counter that compares the vectors of an encoder. ``seconds`` is the time of encoding, the cache included.

    ``device`` computes and compares the scores; None for NumPy.

    Counts are added up after every ``cells`` of them, gold pairs times languages, so that many languages fit in memory.
    """

    encoded: Encoded
    collection: Collection
    seconds: float = 0.0
    cells: int = 2**24
    device: Device | None = None

    def count(self, settings: Sequence[str], context: RunContext) -> Counts:
        """Count for all settings in one pass over all scores.

        For the monolingual setting alone, score within each language only.
        """
        begin = time.perf_counter()
        outranked = self._within_languages(context) if set(settings) == {"monolingual"} else self._everywhere(context)
        encoded = self.encoded
        seconds = {"encode": self.seconds, "rank": time.perf_counter() - begin}
        cost = Cost(
            dimensions=encoded.dimensions,
            texts=encoded.texts,
            encoded=encoded.encoded,
            encode_seconds=encoded.seconds,
            zero=encoded.zero,
            output_dtype=encoded.output_dtype,
            indistinguishable=encoded.indistinguishable,
            counted_on=self.device.name if self.device else None,
            seconds=seconds,
        )
        return Counts(outranked, outranked, cost)

    def _everywhere(self, context: RunContext) -> Outranked | Above:
        advance = partial(context.reporter.advance, RANK)
        parts = list(_parts(self._golds, len(self.collection.languages), self.cells))
        if len(parts) == 1:
            return self._counted(*parts[0], advance)
        # BLAS keeps one thread from the first part to the last: to ask for that takes as long as a small part.
        with one_blas_thread():
            pairs = self.collection.gold_pairs
            return Above.joined(
                [Above.of(pairs.part(*self._golds[list(part)]), self._counted(*part, advance)) for part in parts]
            )

    @cached_property
    def _golds(self) -> NDArray[np.intp]:
        """The first gold pair of each query, and the number of gold pairs: intp (queries + 1,)."""
        return np.searchsorted(self.collection.gold_query, np.arange(len(self.collection.queries) + 1))

    def _counted(self, first: int, last: int, advance: Callable[[int], None]) -> Outranked:
        """Count for the queries ``first`` to ``last`` - 1."""
        golds, encoded, pairs = self.collection, self.encoded, slice(*self._golds[[first, last]])
        of_query = golds.gold_query[pairs] - np.int32(first), golds.gold_candidate[pairs]
        return count_outranked(
            encoded.queries[first:last], encoded.candidates, *of_query, golds.candidate_starts, advance, self.device
        )

    def _within_languages(self, context: RunContext) -> Above:
        """Count for the golds in their query's language.

        All other counts stay 0: the monolingual setting does not read them.
        """
        golds, encoded = self.collection, self.encoded
        none, languages = np.zeros(len(golds.gold_query), dtype=np.int32), len(golds.languages)
        above = Above(none.copy(), none, none, np.zeros((languages,) * 3, dtype=np.int64))
        query_language = golds.query_language[golds.gold_query]
        own = query_language == golds.candidate_language[golds.gold_candidate]
        for i in range(languages):
            q0, q1 = golds.query_starts[i : i + 2]
            c0, c1 = golds.candidate_starts[i : i + 2]
            rows = np.flatnonzero(own & (query_language == i))
            counts = count_outranked(
                encoded.queries[q0:q1],
                encoded.candidates[c0:c1],
                (golds.gold_query[rows] - q0).astype(np.int32),
                (golds.gold_candidate[rows] - c0).astype(np.int32),
                np.array([0, c1 - c0]),
                partial(context.reporter.advance, RANK),
                self.device,
            )
            above.own[rows] = counts.all[:, 0]
        return above


def _parts(golds: NDArray[np.intp], blocks: int, cells: int) -> Iterator[tuple[int, int]]:
    """Groups of queries, as first and last plus one; the counts of a group are at most so many cells, or those of one query.

    ``golds`` is intp (queries + 1,), the first gold pair of each query.
    """
    first, queries = 0, len(golds) - 1
    while first < queries:
        last = int(np.searchsorted(golds, golds[first] + cells // blocks, side="right")) - 1
        yield first, max(last, first + 1)
        first = max(last, first + 1)


class ScoreCounter:
    """A counter that compares the scores of a scorer or a fusion, 64 queries at a time.

    A fused score depends on the candidates of the pool, so it is computed twice: over the pool of all languages, and over the
    pool of each language, as for a user who searches that language alone.

    Raises:
        ClirbenchError: A vector of a part is wrong.
    """

    def __init__(self, model: LoadedModel, collection: Collection, context: RunContext) -> None:
        self._began = time.perf_counter()
        self._source, self._collection = _Source(model, collection, context), collection

    def count(self, settings: Sequence[str], context: RunContext) -> Counts:
        """Count for every setting, because the scores of a query with all candidates come at once.

        Raises:
            ClirbenchError: A score is not finite, or the array of scores has the wrong shape.
        """
        counter = PoolCounter(self._collection)
        for start, stop in _blocks(len(self._collection.queries)):
            counter.count(start, *self._source.rows(start, stop))
            context.reporter.advance(RANK, stop - start)
        return Counts(*counter.outranked, self._source.cost(self._began))


class RerankCounter:
    """A counter for two stages: a model, and one that orders its best candidates of each pool again.

    Raises:
        ClirbenchError: A vector of the first stage is wrong.
    """

    def __init__(self, model: LoadedRerank, collection: Collection, context: RunContext) -> None:
        self._began = time.perf_counter()
        self._model, self._collection = model, collection
        self._source = _Source(model.first, collection, context)

    def count(self, settings: Sequence[str], context: RunContext) -> Counts:
        """Count in the pools that the settings read. In other pools the counts are the first stage's.

        Raises:
            ClirbenchError: A score is not finite, or scores have the wrong shape.
        """
        stage = SecondStage(self._collection, settings, self._model.settings.depth or 1)
        counter = PoolCounter(self._collection)
        for start, stop in _blocks(len(self._collection.queries)):
            scores = self._source.rows(start, stop)
            counter.count(start, *scores)
            stage.choose(start, *scores)
            context.reporter.advance(RANK, stop - start)
        cost = self._source.cost(self._began)
        again = time.perf_counter()
        pairs = stage.pairs()
        context.reporter.note(stage.line(pairs))
        of_pairs, scored = stage.score(self._model.second, pairs, context)
        counts = stage.merge(counter.outranked, pairs, of_pairs)
        cost.pairs, cost.pairs_scored = len(pairs), scored
        cost.seconds["rerank"] = time.perf_counter() - again
        return Counts(*counts, cost)


def _blocks(queries: int) -> list[tuple[int, int]]:
    return [(start, min(start + QUERIES, queries)) for start in range(0, queries, QUERIES)]


class _Source:
    """The scores of a model that has read a collection. ``rows`` gives those of some queries, in both kinds of pools."""

    rows: PoolScores

    def __init__(self, model: LoadedModel, collection: Collection, context: RunContext) -> None:
        self._clock = Clock()
        self._texts = self._zero = 0
        if not isinstance(model, LoadedFusion):
            one = self._open(model, collection, context)
            self.rows = lambda start, stop: (one(start, stop),) * 2
            return
        parts = [self._open(part, collection, context) for part in model.parts]
        fuse, starts = partial(fused, model.method, model.weights), collection.candidate_starts

        def rows(start: int, stop: int) -> tuple[ScoreBlock, ScoreBlock]:
            scores = np.stack([part(start, stop) for part in parts])
            by_language = [fuse(scores[:, :, a:b]) for a, b in pairwise(starts)]
            return fuse(scores), np.concatenate(by_language, axis=1)

        self.rows = rows

    def cost(self, began: float) -> Cost:
        """Split the time since ``began``: seconds inside the models count as encoding, all others as ranking."""
        clock = self._clock
        seconds = {"encode": clock.seconds, "rank": time.perf_counter() - began - clock.seconds}
        return Cost(
            texts=self._texts, encoded=clock.texts, encode_seconds=clock.seconds, zero=self._zero, seconds=seconds
        )

    def _open(self, model: LoadedModel, collection: Collection, context: RunContext) -> ScoreRows:
        """Give an encoder or a scorer the texts, and return the function that scores queries."""
        if isinstance(model, LoadedScorer):
            rows, texts = _rows_of_scorer(model, collection, self._clock, context)
        else:
            encoded = encode_collection(require_encoder(model), collection, context)
            self._clock.texts += encoded.encoded
            self._clock.seconds += encoded.seconds
            self._zero += encoded.zero
            rows, texts = _rows_of_vectors(encoded, collection), encoded.texts
        self._texts += texts
        return rows


def _distinct(collection: Collection, role: str) -> tuple[list[tuple[str, str]], NDArray[np.intp]]:
    """List the distinct pairs of language and text, and number the pair of each text: intp (texts,)."""
    texts = collection.queries if role == "query" else collection.candidates
    language = collection.query_language if role == "query" else collection.candidate_language
    place: dict[tuple[str, str], int] = {}
    number = [
        place.setdefault((collection.languages[code], text), len(place))
        for code, text in zip(language.tolist(), texts, strict=True)
    ]
    return list(place), np.array(number, dtype=np.intp)


def _characters(pairs: Sequence[tuple[str, str]]) -> int:
    """The characters of the texts of pairs of a language and a text."""
    return int(characters([text for _, text in pairs]).sum())


def _rows_of_scorer(
    model: LoadedScorer, collection: Collection, clock: Clock, context: RunContext
) -> tuple[ScoreRows, int]:
    """Give a scorer its candidates; return the function that scores queries, and the number of distinct texts."""
    candidates, candidate = _distinct(collection, "candidate")
    queries, query = _distinct(collection, "query")
    begin = time.perf_counter()
    texts = [text for _, text in candidates]
    ask(model.info, "candidate", texts, model.scorer.prepare_candidates, list(texts), [x for x, _ in candidates])
    clock.seconds += time.perf_counter() - begin
    clock.texts += len(candidates) + len(queries)
    context.reporter.advance(ENCODE, len(candidates), _characters(candidates))
    scored: set[int] = set()

    def rows(start: int, stop: int) -> ScoreBlock:
        wanted, row = np.unique(query[start:stop], return_inverse=True)
        chosen = [queries[i] for i in wanted]
        started = time.perf_counter()
        asked = [text for _, text in chosen]
        raw = ask(model.info, "query", asked, model.scorer.score, list(asked), [language for language, _ in chosen])
        clock.seconds += time.perf_counter() - started
        new = set(wanted.tolist()) - scored
        scored.update(new)
        if new:
            context.reporter.advance(ENCODE, len(new), _characters([queries[i] for i in new]))
        return _checked(model.info.name, raw, asked, len(candidates))[row][:, candidate]

    return rows, len(candidates) + len(queries)


def _checked(name: str, raw: Any, texts: list[str], candidates: int) -> ScoreBlock:
    try:
        given = as_float32(raw)
    except NoNumbersError as error:
        raise ClirbenchError(
            f"{name} gave a {type(raw).__name__} and not an array of numbers ({error.reason}): return an array of scores"
        ) from error
    scores: ScoreBlock = given if isinstance(given, np.ndarray) else given.toarray()
    if scores.shape != (len(texts), candidates):
        raise ClirbenchError(
            f"{name} gave scores of shape {'x'.join(map(str, scores.shape))} for {len(texts)} queries and {candidates} "
            "candidates: return one row per query, one column per candidate"
        )
    finite = np.isfinite(scores).all(axis=1)
    if not finite.all():
        raise ClirbenchError(
            f"{name} gave scores that are not finite for the query {texts[int(np.argmin(finite))][:80]!r}: mend the model"
        )
    return scores


def _rows_of_vectors(encoded: Encoded, collection: Collection) -> ScoreRows:
    layout = Layout.of(collection.candidate_starts)
    # Products in float64 that are then rounded to float32: the last bits, which depend on the BLAS, are gone.
    products = Products(encoded.queries, encoded.candidates, layout, np.float64)
    kind = np.float64 if isinstance(encoded.queries, np.ndarray) else np.float32
    buffer = np.empty((QUERIES, layout.width), dtype=kind)

    def rows(start: int, stop: int) -> ScoreBlock:
        with one_blas_thread():
            return np.asarray(products.rows(start, stop, buffer)[:, layout.position], dtype=np.float32)

    return rows
