"""The ranks of the golds. Every metric is a function of them, and a ranks file holds nothing else."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from clirbench.ranking.rounding import Rounding
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import GoldPairs

if TYPE_CHECKING:
    # Loaded only where something is counted: it needs scipy, which a check of ranks does not.
    from clirbench.ranking.in_memory import Outranked


Made = TypeVar("Made")
# Arrangements that are kept, and the most rows of one of them. What follows from more rows takes much memory, and is not kept.
_KEPT, _KEPT_ROWS = 4, 2**19


class Arrangement:
    """How the gold pairs of some ranks are arranged: what follows from their topics and languages, and from no rank.

    All models on a task have the same arrangement, so it is made once, and what is computed from it is computed once. Arrays are
    read-only. Rows are those of :class:`GoldRanks`, ``topics`` and ``languages`` are their numbers.
    """

    def __init__(
        self,
        topics: int,
        languages: int,
        topic: NDArray[np.int32],
        query_language: NDArray[np.int32],
        gold_language: NDArray[np.int32],
    ) -> None:
        self.topics, self.languages = topics, languages
        self.topic, self.query_language, self.gold_language = topic, query_language, gold_language
        self._made: dict[object, Any] = {}

    def __len__(self) -> int:
        return len(self.topic)

    def is_of(self, topics: int, languages: int, *columns: NDArray[np.int32]) -> bool:
        """Whether it is that of these numbers and columns: each value of each column is compared."""
        own = (self.topic, self.query_language, self.gold_language)
        return (topics, languages) == (self.topics, self.languages) and all(
            mine is theirs or np.array_equal(mine, theirs) for mine, theirs in zip(own, columns, strict=True)
        )

    def made(self, name: object, make: Callable[[], Made]) -> Made:
        """What ``make`` returns. It must follow from this arrangement and ``name`` alone, so it is kept under the name."""
        if name in self._made:
            return self._made[name]  # type: ignore[no-any-return]
        value = make()
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, np.ndarray):
                part.flags.writeable = False
        if len(self) <= _KEPT_ROWS:
            self._made[name] = value
        return value

    @cached_property
    def query(self) -> NDArray[np.intp]:
        """Number of each row's query, intp (gold pairs,). Queries are numbered by topic, then language."""
        key = self.topic.astype(np.int64) * self.languages + self.query_language
        numbers = np.concatenate([[0], np.cumsum(np.diff(key) != 0)]) if len(key) else np.empty(0, dtype=np.intp)
        numbers.flags.writeable = False
        return numbers

    @property
    def first(self) -> NDArray[np.intp]:
        """The first row of each query, intp (queries,)."""
        return self.made("first", lambda: np.flatnonzero(np.diff(self.query, prepend=-1)))

    @property
    def golds(self) -> NDArray[np.intp]:
        """Number of golds of each query, intp (queries,)."""
        return self.made("golds", lambda: np.bincount(self.query))

    @property
    def asked(self) -> NDArray[np.int32]:
        """The language of each query, int32 (queries,)."""
        return self.made("asked", lambda: self.query_language[self.first])

    @property
    def place(self) -> NDArray[np.int64]:
        """The place of each row among those of its query, from 0, int64 (gold pairs,)."""
        return self.made("place", lambda: places(self.query))

    @property
    def block(self) -> NDArray[np.int64]:
        """Number of each row's block: its query, and the gold's language. int64 (gold pairs,)."""
        return self.made("block", lambda: self.query * self.languages + self.gold_language)

    @property
    def nth(self) -> NDArray[np.int64]:
        """The place of each row among its neighbours of one block, from 0, int64 (gold pairs,)."""
        return self.made("nth", lambda: places(self.block))

    @property
    def neighbours(self) -> NDArray[np.bool_]:
        """Whether a row and the next one are of one block, bool (gold pairs - 1,)."""
        return self.made("neighbours", lambda: np.diff(self.block) == 0)

    @property
    def pair(self) -> NDArray[np.intp]:
        """The query's language and the gold's as one number, intp (gold pairs,)."""
        return self.made("pair", lambda: self.query_language.astype(np.intp) * self.languages + self.gold_language)

    @property
    def own(self) -> NDArray[np.bool_]:
        """Whether the gold is in the query's language, bool (gold pairs,)."""
        return self.made("own", lambda: self.query_language == self.gold_language)

    @property
    def ordered(self) -> bool:
        """Whether the rows are sorted by topic, query language and gold language."""

        def compute() -> bool:
            key = self.topic.astype(np.int64) * self.languages**2 + self.pair
            return not (np.diff(key) < 0).any()

        return self.made("ordered", compute)


_arrangements: list[Arrangement] = []


def arrangement_of(
    topics: int,
    languages: int,
    topic: NDArray[np.int32],
    query_language: NDArray[np.int32],
    gold_language: NDArray[np.int32],
) -> Arrangement:
    """The arrangement of these columns, int32 (gold pairs,) each: one that was made before, if it is of the very same columns."""
    columns = (topic, query_language, gold_language)
    if len(topic) > _KEPT_ROWS:
        return Arrangement(topics, languages, *columns)
    found = next((known for known in _arrangements if known.is_of(topics, languages, *columns)), None)
    if found is None:
        # Copies, because whoever has the columns may change them.
        found = Arrangement(topics, languages, *(column.copy() for column in columns))
    # The one that was used last comes first. Threads that do this at once lose one at most.
    _arrangements[:] = [found, *(known for known in _arrangements if known is not found)][:_KEPT]
    return found


@dataclass(frozen=True)
class GoldRanks:
    """The ranks of all gold pairs, one row each, sorted by topic, query language, gold language and own rank.

    All arrays but the last are int32 (gold pairs,). ``topic`` is an index into ``topics``. ``query_language`` and
    ``gold_language`` are indices into ``languages``, which have the task's order. Ranks count from 1: ``own_rank`` among the
    candidates of the gold's language, ``pool_rank`` among those of all languages (None without the multilingual setting).
    ``query_language_above`` counts the wrong candidates of the query's language that outrank the gold in the pool of all
    languages. It is None without the multilingual setting, and in ranks files that were made before it was counted. ``grade``,
    int8 (gold pairs,), has the grades of the golds, from 1. It is None in a task without grades, where each is 1. ``rounding``
    says how own ranks and pool ranks were rounded; None for exact ones.
    """

    topics: tuple[str, ...]
    languages: tuple[str, ...]
    topic: NDArray[np.int32]
    query_language: NDArray[np.int32]
    gold_language: NDArray[np.int32]
    own_rank: NDArray[np.int32]
    pool_rank: NDArray[np.int32] | None
    query_language_above: NDArray[np.int32] | None = None
    grade: NDArray[np.int8] | None = None
    rounding: Rounding | None = None

    def __len__(self) -> int:
        return len(self.topic)

    # Every check and every table of metrics asks for these.
    @cached_property
    def arranged(self) -> Arrangement:
        """How the gold pairs are arranged."""
        return arrangement_of(
            len(self.topics), len(self.languages), self.topic, self.query_language, self.gold_language
        )

    @property
    def query(self) -> NDArray[np.intp]:
        """Number of each row's query, intp (gold pairs,). Queries are numbered by topic, then language."""
        return self.arranged.query

    @cached_property
    def pool_order(self) -> NDArray[np.intp]:
        """The rows by query, then by pool rank: intp (gold pairs,).

        Only rounded ranks may be equal. Then the gold in the query's language is last, so the order of languages decides nothing.

        Raises:
            ClirbenchError: The ranks have no pool ranks.
        """
        if self.pool_rank is None:
            raise ClirbenchError("the ranks are not of the pool of all languages: run the setting multilingual")
        arranged = self.arranged
        key = self.pool_rank.astype(np.int64) << 1 | arranged.own
        widest = int(arranged.golds.max(initial=1))
        if len(key) == len(arranged.golds) * widest:
            # All queries have as many golds. Many short sorts take less time than a long one.
            inner = _sorted_rows(key.reshape(-1, widest))
            return (inner + arranged.first[:, None]).ravel()
        key |= self.query.astype(np.int64) << 33
        return _sorted_rows(key[None]).ravel()

    def grade_of(self, rows: NDArray[np.intp] | slice) -> NDArray[np.int8] | None:
        """The grades of some rows, int8 (rows,); None in a task without grades."""
        return None if self.grade is None else self.grade[rows]

    def rows(self, part: slice) -> "GoldRanks":
        """The ranks of some rows. ``topics`` and ``languages`` stay as they are."""
        columns: dict[str, Any] = {
            field.name: column[part]
            for field in fields(self)
            if isinstance(column := getattr(self, field.name), np.ndarray)
        }
        return replace(self, **columns)

    @property
    def across_languages(self) -> bool:
        """Whether a gold is in another language than its query."""
        return bool((self.query_language != self.gold_language).any())

    def rounded(self, pool_sizes: Mapping[str, int]) -> "GoldRanks":
        """The same ranks, rounded by :class:`Rounding`; ``pool_sizes`` has the number of candidates by language.

        ``query_language_above`` is left out: it says something of wrong candidates beside exact ranks only.
        """
        sizes = np.array([pool_sizes[language] for language in self.languages], dtype=np.int64)
        rounding = Rounding.of(int(np.bincount(self.query).max(initial=0)))
        pool = None if self.pool_rank is None else rounding.rounded(self.pool_rank, sizes.sum())
        own = rounding.rounded(self.own_rank, sizes[self.gold_language])
        return replace(self, own_rank=own, pool_rank=pool, query_language_above=None, rounding=rounding)


@dataclass(frozen=True)
class Above:
    """What ranks and bias need of the counts of :class:`clirbench.ranking.in_memory.Outranked`: a few numbers for each gold pair.

    The first three are int32 (gold pairs,): how many candidates of the gold's language outrank it, by the scores in that
    language's own pool; how many of all languages; and how many wrong ones of the query's language. ``jumps`` is int64 (query
    languages, gold languages, candidate languages), the wrong candidates of the third language that outrank a gold of the second
    for a query of the first.
    """

    own: NDArray[np.int32]
    pool: NDArray[np.int32]
    query_language: NDArray[np.int32]
    jumps: NDArray[np.int64]

    @classmethod
    def of(cls, pairs: GoldPairs, outranked: "Outranked", within: "Outranked | None" = None) -> "Above":
        """Add up counts of gold pairs; ``within`` has those by the scores in each language's own pool, None if they are equal."""
        n, rows = len(pairs.languages), np.arange(len(pairs.topic))
        own = within or outranked
        pair = pairs.query_language.astype(np.intp) * n + pairs.gold_language
        cell = (pair[:, None] * n + np.arange(n)).ravel()
        return cls(
            own=own.wrong[rows, pairs.gold_language] + own.gold[rows, pairs.gold_language],
            pool=outranked.all.sum(axis=1, dtype=np.int32),
            query_language=outranked.wrong[rows, pairs.query_language],
            jumps=np.bincount(cell, weights=outranked.wrong.ravel(), minlength=n**3).reshape(n, n, n).astype(np.int64),
        )

    @classmethod
    def joined(cls, parts: Sequence["Above"]) -> "Above":
        """The counts of several groups of gold pairs, one after the other."""
        own, pool, query_language = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("own", "pool", "query_language")
        )
        return cls(own, pool, query_language, np.sum([part.jumps for part in parts], axis=0))


def gold_ranks(
    pairs: GoldPairs, counts: "Outranked | Above", settings: Sequence[str], within: "Outranked | None" = None
) -> GoldRanks:
    """Turn counts into ranks: one plus the number of candidates that outrank the gold.

    The monolingual and the cross-lingual settings rank a gold in the pool of its own language. The multilingual setting adds up
    the counts of all languages. Pairs that no setting ranks are left out. ``counts`` has a block for each language, or is added
    up already. ``within`` has the counts by the scores in each language's own pool; None if they are those of ``counts``.
    """
    query_language, gold_language, topic = pairs.query_language, pairs.gold_language, pairs.topic
    above = counts if isinstance(counts, Above) else Above.of(pairs, counts, within)
    own_rank, pool_rank = 1 + above.own, 1 + above.pool
    # One integer per row sorts several times faster than four keys.
    languages = len(pairs.languages)
    pair = (topic.astype(np.int64) * languages + query_language) * languages + gold_language
    order = np.argsort(pair * (int(pairs.sizes.sum()) + 1) + own_rank)
    if "multilingual" not in settings:
        monolingual = query_language[order] == gold_language[order]
        kinds = {"monolingual": monolingual, "cross-lingual": ~monolingual}
        order = order[np.logical_or.reduce([kinds[setting] for setting in settings])]
    pooled = "multilingual" in settings
    # A topic may have no row left. The bootstrap must not draw it, and a ranks file would not hold it.
    kept, topic_number = np.unique(topic[order], return_inverse=True)
    return GoldRanks(
        topics=tuple(pairs.topics[number] for number in kept),
        languages=pairs.languages,
        topic=topic_number.astype(np.int32),
        query_language=query_language[order],
        gold_language=gold_language[order],
        own_rank=own_rank[order].astype(np.int32),
        pool_rank=pool_rank[order].astype(np.int32) if pooled else None,
        query_language_above=above.query_language[order].astype(np.int32) if pooled else None,
        grade=None if pairs.grade is None else pairs.grade[order],
    )


def _sorted_rows(keys: NDArray[np.int64]) -> NDArray[np.intp]:
    """The order of each row of an array, intp of its shape. Equal keys keep their order."""
    order = np.argsort(keys, axis=1)
    ordered = np.take_along_axis(keys, order, axis=1)
    # A stable sort takes several times as long. It gives the same order where no two keys are equal.
    tied = (ordered[:, 1:] == ordered[:, :-1]).any()
    return np.argsort(keys, axis=1, kind="stable") if tied else order


def places(run: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The place of each row within its run of equal neighbours, counted from 0: int64 (rows,).

    >>> places(np.array([7, 7, 7, 4, 9, 9])).tolist()
    [0, 1, 2, 0, 0, 1]
    """
    if not len(run):
        return np.empty(0, dtype=np.int64)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(run)) + 1])
    return np.asarray(np.arange(len(run)) - np.repeat(starts, np.diff(np.append(starts, len(run)))))


def stable_order(keys: Sequence[NDArray[np.integer[Any]]]) -> NDArray[np.intp]:
    """The order of rows by several keys without negative numbers, the first one first: intp (rows,). Equal rows keep their order.

    Keys that fit in 16 bits are sorted by counting, which takes a fraction of the time.

    >>> stable_order([np.array([2, 1, 2]), np.array([5, 9, 4])]).tolist()
    [1, 2, 0]
    """
    order = np.arange(len(keys[0]))
    for key in reversed(keys):
        small = key.astype(np.uint16) if key.max(initial=0) < 1 << 16 else key
        order = order[np.argsort(small[order], kind="stable")]
    return order


def gold_digest(ranks: GoldRanks) -> str:
    """SHA-256 over the gold pairs: the topics in their order, and how many pairs each has by query and gold language and grade.

    The digest does not depend on the ranks, so a task file can pin it. It depends on the order of the topics, because models are
    compared topic by topic.
    """
    arranged, n = ranks.arranged, len(ranks.languages)

    def key() -> NDArray[np.int64]:
        return ranks.topic.astype(np.int64) * n**2 + arranged.pair

    def counted() -> bytes:
        return np.bincount(key(), minlength=len(ranks.topics) * n * n).astype("<i4").tobytes()

    names = json.dumps([list(ranks.languages), list(ranks.topics)])
    # Rows of one topic and pair of languages are in the order of their ranks, so their grades are sorted here.
    graded = b"" if ranks.grade is None else np.sort(key() * 128 + ranks.grade).astype("<i8").tobytes()
    return hashlib.sha256(names.encode() + arranged.made("counted", counted) + graded).hexdigest()
