"""Two stages: the best candidates of a pool by a first model are ordered by a second one, which scores pairs of texts.

The best candidates of a pool are chosen by the tie rule, and all of them stand before all others, as in the first stage. So a
gold that is not among them keeps its rank. Each pool has its own best candidates: that of all languages, and that of each one.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.arrays import NoNumbersError, as_float32
from clirbench.encoders.base import LoadedReranker
from clirbench.encoders.calls import ask
from clirbench.encoders.vector_cache import CacheEntry
from clirbench.ranking.in_memory import GoldCounter, Outranked
from clirbench.ranking.kernel import best_first
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import RERANK
from clirbench.tasks.collection import Collection

# Pairs that are scored, and kept in the cache, at a time.
_PAIRS = 1024
_Scores = NDArray[np.float32]


class PoolCounter:
    """Counts the candidates that outrank golds, by their scores in the pool of all languages and in that of each language."""

    def __init__(self, collection: Collection) -> None:
        golds = collection.gold_query, collection.gold_candidate, len(collection.queries), collection.candidate_starts
        self._everywhere, self._within = GoldCounter(*golds), GoldCounter(*golds)
        self._differ = False

    def count(self, start: int, everywhere: _Scores, within: _Scores) -> None:
        """Count queries, the first with number ``start``.

        Both arrays are float32 (queries, candidates). They are one array where scores do not depend on the pool.
        """
        self._everywhere.count_all(start, everywhere)
        if within is not everywhere:
            self._within.count_all(start, within)
            self._differ = True

    @property
    def outranked(self) -> tuple[Outranked, Outranked]:
        """The counts in the pool of all languages, and within each language. They are one object if the scores are."""
        everywhere = self._everywhere.outranked
        return everywhere, self._within.outranked if self._differ else everywhere


class SecondStage:
    """The best candidates of each pool that the settings read, and their pairs with the queries.

    Equal texts make one pair, whatever their language, so each pair is scored once.
    """

    def __init__(self, collection: Collection, settings: Sequence[str], depth: int) -> None:
        self._collection, self._depth = collection, depth
        queries, languages = len(collection.queries), len(collection.languages)
        query, language = collection.gold_query, collection.candidate_language[collection.gold_candidate]
        # Whether a setting ranks golds of a query in the pool of a language.
        read = np.zeros((queries, languages), dtype=np.bool_)
        own = collection.query_language[query] == language
        for setting, rows in (("monolingual", own), ("cross-lingual", ~own)):
            if setting in settings:
                read[query[rows], language[rows]] = True
        starts = collection.candidate_starts.tolist()
        # Each pool: its candidates, the queries that are ranked in it, and whether it has all languages.
        self._pools = [(starts[i], starts[i + 1], read[:, i], False) for i in range(languages)]
        if "multilingual" in settings:
            self._pools.append((0, starts[-1], np.ones(queries, dtype=np.bool_), True))
        self._golds = np.searchsorted(query, np.arange(queries + 1))
        self._query, self._queries = _distinct(collection.queries)
        self._candidate, self._candidates = _distinct(collection.candidates)
        # By first and last query: for each pool the queries, their best candidates, and whether it has all languages.
        self._best: dict[tuple[int, int], list[tuple[NDArray[np.intp], NDArray[np.int32], bool]]] = {}

    def choose(self, start: int, everywhere: _Scores, within: _Scores) -> None:
        """Choose the best candidates of some queries, the first with number ``start``, by the first stage's scores.

        The scores are as for :meth:`PoolCounter.count`.
        """
        stop = start + len(everywhere)
        pairs = slice(self._golds[start], self._golds[stop])
        gold, grade = np.zeros(everywhere.shape, dtype=np.int8), self._collection.gold_grade
        cells = self._collection.gold_query[pairs] - start, self._collection.gold_candidate[pairs]
        gold[cells] = 1 if grade is None else grade[pairs]
        chosen = self._best.setdefault((start, stop), [])
        for first, last, asked, all_languages in self._pools:
            rows = np.flatnonzero(asked[start:stop])
            scores = (everywhere if all_languages else within)[rows, first:last]
            order = best_first(scores, gold[rows, first:last])[:, : self._depth]
            chosen.append((rows, (first + order).astype(np.int32), all_languages))

    def pairs(self) -> NDArray[np.int64]:
        """The distinct pairs of a query and a candidate, as numbers in ascending order: by query, then by candidate."""
        keys = [
            np.unique(self._keys(start, rows, columns))
            for (start, _), chosen in self._best.items()
            for rows, columns, _ in chosen
        ]
        return np.unique(np.concatenate(keys))

    def line(self, pairs: NDArray[np.int64]) -> str:
        """What the second stage will do, for the user."""
        _, number = np.unique(pairs // len(self._candidates), return_counts=True)
        low, high = number.min(), number.max()
        each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        return f"second stage: {len(pairs):,} pairs to score, {len(number):,} queries x {each} candidates"

    def score(self, model: LoadedReranker, pairs: NDArray[np.int64], context: RunContext) -> tuple[_Scores, int]:
        """Score pairs, 1024 at a time: float32 (pairs,), and how many the model scored.

        The cache keeps each 1024 as soon as they are scored, so a run that is killed loses no more.

        Raises:
            ClirbenchError: A score is missing or not finite; the message names the query. Or the cache cannot be written.
        """
        context.reporter.start(RERANK, len(pairs))
        cache = context.vectors if model.info.revision else None
        entry = self._entry(cache, model, pairs) if cache else None
        scores = np.empty(len(pairs), dtype=np.float32)
        scored = 0
        for number, first in enumerate(range(0, len(pairs), _PAIRS)):
            part = pairs[first : first + _PAIRS]
            kept = entry.get(number, len(part)) if entry else None
            if kept is None:
                new = self._checked(model, part)
                scored += len(part)
                if entry:
                    entry.put(number, new[:, None], None)
            scores[first : first + _PAIRS] = new if kept is None else kept[:, 0]
            context.reporter.advance(RERANK, len(part))
        if entry:
            entry.note_damage(context.reporter)
        return scores, scored

    def merge(
        self, first: tuple[Outranked, Outranked], pairs: NDArray[np.int64], scores: _Scores
    ) -> tuple[Outranked, Outranked]:
        """The counts of both stages: the second stage's for golds among the best candidates, the first stage's for all others.

        Args:
            first: Counts by the first stage, in the pool of all languages and within each.
            pairs: The pairs of :meth:`pairs`.
            scores: float32 (pairs,), their scores.
        """
        collection = self._collection
        again = PoolCounter(collection)
        among = np.zeros((2, len(collection.gold_query)), dtype=np.bool_)
        for (start, stop), chosen in self._best.items():
            # Everywhere and within: whatever is not among the best outranks none of them.
            blocks = np.full((2, stop - start, len(collection.candidates)), -np.inf, dtype=np.float32)
            for rows, columns, all_languages in chosen:
                place = np.searchsorted(pairs, self._keys(start, rows, columns))
                blocks[0 if all_languages else 1, rows[:, None], columns] = scores[place]
            golds = slice(self._golds[start], self._golds[stop])
            among[:, golds] = np.isfinite(
                blocks[:, collection.gold_query[golds] - start, collection.gold_candidate[golds]]
            )
            again.count(start, blocks[0], blocks[1])
        merged = [
            Outranked(
                wrong=np.where(chosen[:, None], new.wrong, old.wrong),
                gold=np.where(chosen[:, None], new.gold, old.gold),
            )
            for chosen, new, old in zip(among, again.outranked, first, strict=True)
        ]
        return merged[0], merged[1]

    def _keys(self, start: int, rows: NDArray[np.intp], columns: NDArray[np.int32]) -> NDArray[np.int64]:
        return self._query[start + rows][:, None] * len(self._candidates) + self._candidate[columns]

    def _texts(self, pairs: NDArray[np.int64]) -> list[tuple[str, str]]:
        numbers = (number.tolist() for number in np.divmod(pairs, len(self._candidates)))
        return [(self._queries[query], self._candidates[candidate]) for query, candidate in zip(*numbers, strict=True)]

    def _checked(self, model: LoadedReranker, pairs: NDArray[np.int64]) -> _Scores:
        texts = self._texts(pairs)
        raw = ask(model.info, "query", [query for query, _ in texts], model.scorer.score_pairs, list(texts))
        try:
            scores = as_float32(raw)
        except NoNumbersError as error:
            raise ClirbenchError(
                f"{model.info.name} gave a {type(raw).__name__} and not one score a pair ({error.reason}): "
                "give another cross-encoder"
            ) from error
        if scores.shape != (len(texts),):
            shape = "x".join(map(str, scores.shape))
            raise ClirbenchError(
                f"{model.info.name} gave scores of shape {shape} for {len(texts)} pairs, not one score a pair: "
                "give another cross-encoder"
            )
        finite = np.isfinite(scores)
        if not finite.all():
            query = texts[int(np.argmin(finite))][0]
            raise ClirbenchError(
                f"{model.info.name} gave a score that is not finite for the query {query[:80]!r}: try --dtype float32"
            )
        return np.asarray(scores)

    def _entry(self, cache: Path, model: LoadedReranker, pairs: NDArray[np.int64]) -> CacheEntry:
        digest = hashlib.sha256(pairs.astype("<i8").tobytes()).hexdigest()
        return CacheEntry(cache, model, "pair", [digest, *self._queries, *self._candidates])


def _distinct(texts: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """The number of each text among the distinct ones, int64 (texts,), and the distinct texts."""
    place: dict[str, int] = {}
    numbers = [place.setdefault(text, len(place)) for text in texts]
    return np.array(numbers, dtype=np.int64), list(place)
