"""Find ranks and queue-jump totals that no ranking can produce."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.ranking.gold_ranks import Arrangement, GoldRanks

Integers = NDArray[np.int64] | NDArray[np.int32] | NDArray[np.int16]


def impossible(ranks: GoldRanks, sizes: Mapping[str, int], by_pool: bool = False) -> list[str]:
    """List the rules that the ranks of one result break, one line each.

    A ranking is one order of the candidates of a pool. So a rank lies within its pool, and no two golds have the same rank. The
    pool rank of a gold is a sum over languages: the number of candidates of each language that stand at the gold or above it. For
    the gold's own language, this number is its own rank. For another language, it lies between the own ranks of the golds of that
    language above and below. ``query_language_above``, where the ranks have it, is the number of wrong candidates of one more
    language. Exactly the possible ranks break no rule.

    Three candidates: one in English, which is a gold, and two in German, of which the second one is a gold. The German gold
    stands behind the other German candidate, so it cannot be second if the English gold is first. Three pairs of pool ranks are
    possible.

    >>> def ranks(en, de, above=None):
    ...     rows = [(0, 0), (0, 0), (0, 1), (1, 2), (en, de), *([above] if above else [])]
    ...     return GoldRanks(("a topic",), ("en", "de"), *np.array(rows, dtype=np.int32))
    >>> sizes = {"en": 1, "de": 2}
    >>> [(en, de) for en in (1, 2, 3) for de in (1, 2, 3) if not impossible(ranks(en, de), sizes)]
    [(1, 3), (2, 3), (3, 2)]
    >>> impossible(ranks(1, 2), sizes)[0].split(" (")[0]
    "pool_rank is smaller than the candidates that other golds' own_rank put above it"

    The query is in English, of which every candidate is a gold. So no wrong one can stand above a gold.

    >>> impossible(ranks(1, 3, above=(0, 0)), sizes)
    []
    >>> impossible(ranks(1, 3, above=(0, 1)), sizes)[0].split(" (")[0]
    'query_language_above falls on the way down the pool, or exceeds what there is'

    Args:
        ranks: Sorted as a ranks file is.
        sizes: Number of candidates by language.
        by_pool: The model's scores depend on the pool, as those of a fusion or of a second stage do. Then own ranks come from
            other rankings than pool ranks and ``query_language_above``, and no rule compares them with these two.
    """
    size = _sizes(ranks, sizes)
    own, gold, arranged = ranks.own_rank, ranks.gold_language, ranks.arranged
    # A block is the candidates of one language in the ranking of one query. In a ranks file, the golds of a block are neighbours,
    # sorted by own_rank.
    neighbours, size_of = arranged.neighbours, size[gold]
    broken = []
    outside = (own < 1) | (own > size_of)
    if outside.any():
        broken.append(_line("own_rank lies outside its language's pool", ranks, outside))
    repeated = neighbours & (own[1:] == own[:-1])
    if repeated.any():
        broken.append(_line("two golds share one own_rank", ranks, np.append(repeated, False)))
    if ranks.pool_rank is None or broken or not len(ranks):
        return broken
    pool, total = ranks.pool_rank, int(size.sum(dtype=np.int64))
    # Ranks are above 0, so these differences fit.
    others = pool - own
    rules = [
        ((pool < 1) | (pool > total), "pool_rank lies outside the pool"),
        # The candidates of the own language that outrank a gold outrank it in the whole pool as well.
        (others < 0, "pool_rank is smaller than own_rank"),
        # pool_rank minus own_rank is the number of candidates of other languages above the gold.
        (
            others > total - size_of.astype(np.int64),
            "pool_rank counts more candidates of other languages than there are",
        ),
        # The candidates that stand between two golds in their block stand between them in the whole pool as well.
        (np.append(neighbours & (others[1:] < others[:-1]), False), "pool_rank contradicts the order of own_rank"),
    ]
    for wrong, rule in rules[:1] if by_pool else rules:
        if wrong.any():
            broken.append(_line(rule, ranks, wrong))
    # Golds with the same pool rank are neighbours in this order.
    order = ranks.pool_order
    ordered = pool[order]
    tied = np.append((arranged.place[1:] > 0) & (ordered[1:] == ordered[:-1]), False)
    # Numbers below 1 have no order.
    if tied.any() and pool.min() > 0:
        broken.append(_line("two golds share one pool_rank", ranks, order[tied]))
    # The rules below are true only after the checks above: golds of a block have the same order in the pool.
    if broken:
        return broken
    walk = _Walk.of(ranks, order, size)
    if not by_pool:
        broken = walk.crowded(walk.wrong, _CROWDED, every_language=True)
    if broken or ranks.query_language_above is None:
        return broken
    return walk.impossible_column(ranks.query_language_above, by_pool)


# What is broken if too few candidates stand between the top of the pool and a gold, between two golds, or below a gold.
_CROWDED = (
    "pool_rank is smaller than the candidates that other golds' own_rank put above it",
    "pool_rank leaves less room between two golds than own_rank needs there",
    "pool_rank is larger than other golds' own_rank allow",
)
_CROWDED_BY_COLUMN = ("query_language_above and own_rank count more candidates than pool_rank has room for",) * 3


@dataclass(frozen=True)
class _Walk:
    """The walk of each query down the pool, from mark to mark: the top, the query's golds, and the bottom.

    Two-dimensional arrays are (marks, queries), of the type of ``size``. Mark 0 is the top; the marks after a query's last gold
    are all the bottom.

    Attributes:
        order: intp (gold pairs,), row numbers by query, then by pool rank.
        above: Of the type of ``size`` (gold pairs,), the wrong candidates above each gold in its own language.
        wrong: Wrong candidates of all languages above the mark.
    """

    ranks: GoldRanks
    size: Integers
    order: NDArray[np.intp]
    above: Integers
    wrong: Integers

    @classmethod
    def of(cls, ranks: GoldRanks, order: NDArray[np.intp], size: Integers) -> "_Walk":
        """Lay out the walks; ``order`` sorts rows by query and pool rank, ``size`` counts the candidates of each language."""
        arranged, small = ranks.arranged, size.dtype
        above = ranks.own_rank.astype(small) - (1 + arranged.nth).astype(small)
        walk = cls(ranks, size, order, above, size[:0])
        pool = np.asarray(ranks.pool_rank).astype(small)
        wrong = pool[order] - walk.mark.astype(small)
        return replace(walk, wrong=walk.spread(wrong, size.sum(dtype=np.int64) - arranged.golds))

    @property
    def mark(self) -> NDArray[np.int64]:
        """The mark of the golds in the rows of ``order``: int64 (gold pairs,)."""
        # Rows are sorted by query, in their own order as in that one.
        arranged = self.ranks.arranged
        return arranged.made("mark", lambda: arranged.place + 1)

    @property
    def cell(self) -> NDArray[np.int64]:
        """Where those marks stand in an array of (marks, queries), as one number: int64 (gold pairs,)."""
        arranged = self.ranks.arranged
        return arranged.made("cell of mark", lambda: self.mark * len(arranged.golds) + arranged.query)

    def spread(self, at_golds: Integers, at_bottom: Integers) -> Integers:
        """Numbers by mark, from those at the golds (in the rows of ``order``) and at each query's bottom; 0 at the top."""
        # Each mark is one row, so that whole rows are added and compared.
        golds = self.ranks.arranged.golds
        marks = np.empty((int(golds.max()) + 2, len(golds)), dtype=self.size.dtype)
        marks[1:] = at_bottom
        marks[0] = 0
        if len(self.cell) == len(golds) * (len(marks) - 2):
            # All queries have as many golds.
            marks[1:-1] = at_golds.reshape(len(golds), -1).T
        else:
            marks.ravel()[self.cell] = at_golds
        return marks

    def crowded(self, room: Integers, rules: tuple[str, str, str], *, every_language: bool) -> list[str]:
        """Find parts of the pool with less room than the own ranks need there, one line for each rule.

        ``room`` counts, for each mark, the wrong candidates above it that may be in any language. Take two golds of one
        language, and the wrong candidates of that language between them. They stand between the two in the pool as well, so
        they need room between any mark above the first and any mark below the second. Candidates above a language's first gold
        need room between the top and that gold, and those below its last gold between that gold and the bottom. Each of these
        groups may stand anywhere in an unbroken part of the walk. So all groups have room together exactly if, for any two
        marks, those that must stand between the two have room there (Hall's theorem for convex graphs).

        Args:
            room: By mark.
            rules: What is broken above a gold, between two golds, and below a gold.
            every_language: False if the candidates of the query's language are not among those of ``room``.
        """
        ranks, arranged, small = self.ranks, self.ranks.arranged, self.size.dtype
        nth, above, golds = arranged.nth, self.above, arranged.golds
        mark = np.empty(len(ranks), dtype=small)
        mark[self.order] = self.mark
        # Rows of one block are neighbours in the ranks, so the gold before stands in the row before.
        step, since = above.copy(), np.zeros(len(ranks), dtype=small)
        step[1:] -= above[:-1] * arranged.neighbours
        since[1:] = mark[:-1] * arranged.neighbours
        last = np.append(~arranged.neighbours, True)
        below: Integers = self.size[ranks.gold_language] - (1 + nth).astype(small) - above
        below *= last
        if not every_language:
            step *= ~arranged.own
            below *= ~arranged.own
        parts: tuple[Integers, ...] = (step, since, below)
        nothing = np.zeros_like(golds)
        steps, begins, tails = (self.spread(of_rows[self.order], nothing) for of_rows in parts)
        bottom = len(room) - 1
        faults = [np.zeros(room.shape, dtype=np.bool_) for _ in rules]
        # Of each mark, what must stand below its gold or a lower one.
        beyond = np.cumsum(tails[::-1], axis=0, dtype=small)[::-1]
        wrong = np.empty(len(golds), dtype=np.bool_)
        for start in range(bottom):
            if start:
                # Groups that begin above no longer stand between the marks.
                steps[start + 1 :] *= (begins[start + 1 :] != start - 1).astype(small)
            # What is needed, and the room above the start: together they are compared with the room above a lower mark.
            needed = room[start].copy()
            between = faults[1 if start else 0]
            for lower in range(start + 1, bottom + 1):
                np.add(needed, steps[lower], out=needed)
                between[lower] |= np.greater(needed, room[lower], out=wrong)
            # From the top to the bottom, all candidates have all the room there is.
            if start:
                np.add(needed, beyond[start], out=needed)
                np.greater(needed, room[bottom], out=faults[2][start])
        # The marks after a query's last gold are no golds.
        ends = np.arange(len(room))[:, None] <= golds
        return self._lines((self._of_golds(fault & ends), rule) for fault, rule in zip(faults, rules, strict=True))

    def impossible_column(self, above: NDArray[np.int32], by_pool: bool) -> list[str]:
        """List the rules that ``query_language_above`` breaks; it is int32 (gold pairs,), in the order of the ranks."""
        ranks, arranged = self.ranks, self.ranks.arranged
        small: Any = self.size.dtype

        def own_golds() -> NDArray[np.int64]:
            return np.bincount(arranged.query, weights=arranged.own, minlength=len(arranged.golds)).astype(np.int64)

        # No number below 0 or beyond the pool is possible, and the type of the sizes need not hold it.
        column: Integers = np.clip(above, -1, self.size.sum(dtype=np.int64) + 1).astype(small)
        at_bottom = self.size[arranged.asked] - arranged.made("own golds", own_golds)
        differs = arranged.own & (column != self.above)
        if differs.any() and not by_pool:
            return [
                _line("query_language_above contradicts own_rank at a gold of the query's language", ranks, differs)
            ]
        column = self.spread(column[self.order], at_bottom)
        steps = np.diff(column, axis=0)
        too_many = steps > np.diff(self.wrong, axis=0)
        faults = [
            (
                self._at_golds(steps < 0),
                "query_language_above falls on the way down the pool, or exceeds what there is",
            ),
            (
                self._at_golds(too_many),
                "query_language_above counts more wrong candidates than stand in its part of the pool",
            ),
        ]
        broken = self._lines(faults)
        if broken or by_pool:
            return broken
        return self.crowded(self.wrong - column, _CROWDED_BY_COLUMN, every_language=False)[:1]

    def _of_golds(self, marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The values at the golds' marks, in the rows of ``order``: bool (gold pairs,), or empty where there is none."""
        return marks.ravel()[self.cell] if marks.any() else np.empty(0, dtype=np.bool_)

    def _at_golds(self, steps: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether a step is wrong that ends at a gold, or that leads from the last gold to the bottom: bool (gold pairs,).

        Empty where there is no such step.
        """
        if not steps.any():
            return np.empty(0, dtype=np.bool_)
        query = self.ranks.arranged.query
        last = self.mark == self.ranks.arranged.golds[query]
        return np.asarray(steps[self.mark - 1, query] | (last & steps[self.mark, query]))

    def _lines(self, faults: Iterable[tuple[NDArray[np.bool_], str]]) -> list[str]:
        """One line for each rule that is broken at some gold; a fault is bool (gold pairs,), in the rows of ``order``."""
        return [_line(rule, self.ranks, self.order[wrong]) for wrong, rule in faults if wrong.any()]


def _sizes(ranks: GoldRanks, sizes: Mapping[str, int]) -> Integers:
    """The number of candidates of each language. Its type is that of all numbers that are added up below.

    No sum there exceeds twice the pool. Half the bytes are added up in half the time.
    """
    size = np.array([sizes.get(language, 0) for language in ranks.languages], dtype=np.int64)
    total = size.sum()
    return size.astype(np.int16) if total < 2**14 else size.astype(np.int32) if total < 2**30 else size


def _line(rule: str, ranks: GoldRanks, rows: NDArray[np.generic]) -> str:
    """A rule with the first row that breaks it, and the number of other rows; ``rows`` is a mask or row numbers."""
    chosen = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
    row = int(chosen[0])
    topic = ranks.topics[ranks.topic[row]]
    query, gold = (ranks.languages[codes[row]] for codes in (ranks.query_language, ranks.gold_language))
    where = f"topic {topic[:40]!a}, query in {query}, gold in {gold}"
    return f"{rule} ({where}{f', and {len(chosen) - 1:,} more' if len(chosen) > 1 else ''})"


def _by_language(arranged: Arrangement) -> tuple[NDArray[np.intp], list[tuple[int, int]]]:
    """Where ranks stand in an array of (languages, queries) in which queries of one language stand together.

    Returns:
        The place of each row in that array, as one number, intp (gold pairs,); and where the queries of each language begin and
        end.
    """
    asked = arranged.asked
    order = np.argsort(asked, kind="stable")
    column = np.empty(len(order), dtype=np.intp)
    column[order] = np.arange(len(order))
    bounds = np.searchsorted(asked[order], np.arange(arranged.languages + 1)).tolist()
    return arranged.gold_language.astype(np.intp) * len(order) + column[arranged.query], list(pairwise(bounds))


def impossible_jumps(
    ranks: GoldRanks, sizes: Mapping[str, int], stated: Mapping[str, Mapping[str, Mapping[str, int]]]
) -> list[tuple[str, str]]:
    """Find queue-jump totals that no rankings with these ranks can give.

    A total counts, over the queries of one language, the wrong candidates of a language C that outrank the gold of a language
    G. The ranks limit what one query can add to a total. If the gold of C outranks the gold of G, the query adds at least the
    candidates of C above C's gold, and at most all of C but that gold. If it does not, the query adds at most the candidates of C
    above C's gold. If C has no gold, the query adds at most all of C. What a query adds for G itself is exact, as is, with
    ``query_language_above``, what it adds for its own language. Over all languages, a query adds exactly the wrong candidates
    above the gold of G. Totals are not checked if a query has two golds in one language.

    Args:
        ranks: Sorted as a ranks file is.
        sizes: Number of candidates by language.
        stated: Totals by query, gold and candidate language.

    Returns:
        At most ten pairs of a key and what is wrong with its total.
    """
    if ranks.pool_rank is None or not len(ranks):
        return []
    n, arranged = len(ranks.languages), ranks.arranged
    if arranged.neighbours.any():
        return []
    size = _sizes(ranks, sizes)
    cell, bounds = arranged.made("by language", lambda: _by_language(arranged))
    asked = [language for language, (begin, end) in enumerate(bounds) if begin < end]
    begins = [bounds[language][0] for language in asked]
    # One row per language, one column per query: the ranks of the query's gold in that language, 0 where there is no gold.
    # Queries of one language stand together.
    own, pool, jumped = (np.zeros((n, len(arranged.golds)), dtype=size.dtype) for _ in range(3))
    own.ravel()[cell], pool.ravel()[cell] = ranks.own_rank, ranks.pool_rank
    if ranks.query_language_above is not None:
        jumped.ravel()[cell] = ranks.query_language_above
    none = pool == 0
    ahead = np.where(none, 0, own - 1).astype(size.dtype)
    all_wrong = (size[:, None] - ~none).astype(size.dtype)
    more, lacking = all_wrong ^ ahead, none.sum(axis=0, dtype=size.dtype)
    least, most = np.zeros((n, n, n), dtype=np.int64), np.zeros((n, n, n), dtype=np.int64)
    low, high, bound, mask = (np.empty_like(own) for _ in range(4))
    for gold in range(n):
        # Where a language has no gold, its pool rank of 0 counts as above: then all of its candidates may be.
        above = pool <= pool[gold]
        # `low` is `ahead` or 0, `high` is `all_wrong` or `ahead`. Masks of bits take a fraction of the time of a choice.
        np.copyto(mask, above)
        np.negative(mask, out=mask)
        np.bitwise_and(ahead, mask, out=low)
        np.bitwise_xor(ahead, np.bitwise_and(more, mask, out=high), out=high)
        # In the gold's own language, its own rank gives the exact number, which `low` already holds.
        high[gold] = ahead[gold]
        if ranks.query_language_above is not None:
            for language, (begin, end) in enumerate(bounds):
                low[language, begin:end] = high[language, begin:end] = jumped[gold, begin:end]
        # Languages share the wrong candidates above the gold: one has what the others leave.
        shared = pool[gold] - (above.sum(axis=0, dtype=size.dtype) - lacking)
        left_over, left_at_most = (shared - part.sum(axis=0, dtype=size.dtype) for part in (high, low))
        np.add(low, left_at_most, out=bound)
        np.maximum(low, np.add(high, left_over, out=mask), out=low)
        np.minimum(high, bound, out=high)
        # Only queries with a gold in this language add to its totals.
        here = (~none[gold]).astype(size.dtype)
        for part, added in ((low, least), (high, most)):
            np.multiply(part, here, out=part)
            added[asked, gold] = np.add.reduceat(part, begins, axis=1, dtype=np.int64).T
    wrong = []
    for query, of_query in zip(ranks.languages, zip(least.tolist(), most.tolist(), strict=True), strict=True):
        for gold_language, *of_gold in zip(ranks.languages, *of_query, strict=True):
            values = stated.get(query, {}).get(gold_language, {})
            for language, fewest, largest in zip(ranks.languages, *of_gold, strict=True):
                value = values.get(language)
                if value is not None and not fewest <= value <= largest:
                    key = f"queue_jump.{query}.{gold_language}.{language}"
                    wrong.append((key, f"is {value}, but the ranks allow {fewest} to {largest}"))
    return wrong[:10]
