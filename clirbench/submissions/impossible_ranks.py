"""Find ranks and queue-jump totals that no ranking can produce."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from clirbench.ranking.gold_ranks import GoldRanks, places

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
    n = len(ranks.languages)
    size = _sizes(ranks, sizes)
    own = ranks.own_rank.astype(np.int64)
    gold, query = ranks.gold_language, np.asarray(ranks.query, dtype=np.int64)
    # A block is the candidates of one language in the ranking of one query. In a ranks file, the golds of a block are neighbours,
    # sorted by own_rank. So two rows whose block numbers differ by 0 are neighbours in one block.
    block = query * n + gold
    neighbours = np.diff(block) == 0
    broken = []
    if (own < 1).any() or (own > size[gold]).any():
        broken.append(_line("own_rank lies outside its language's pool", ranks, (own < 1) | (own > size[gold])))
    repeated = neighbours & (np.diff(own) == 0)
    if repeated.any():
        broken.append(_line("two golds share one own_rank", ranks, np.append(repeated, False)))
    if ranks.pool_rank is None or broken or not len(ranks):
        return broken
    pool = ranks.pool_rank.astype(np.int64)
    total = int(size.sum())
    rules = [
        ((pool < 1) | (pool > total), "pool_rank lies outside the pool"),
        # The candidates of the own language that outrank a gold outrank it in the whole pool as well.
        (pool < own, "pool_rank is smaller than own_rank"),
        # pool_rank minus own_rank is the number of candidates of other languages above the gold.
        (pool - own > total - size[gold], "pool_rank counts more candidates of other languages than there are"),
        # The candidates that stand between two golds in their block stand between them in the whole pool as well.
        (np.append(neighbours & (np.diff(pool) < np.diff(own)), False), "pool_rank contradicts the order of own_rank"),
    ]
    for wrong, rule in rules[:1] if by_pool else rules:
        if wrong.any():
            broken.append(_line(rule, ranks, wrong))
    # Golds with the same pool rank are neighbours in this order.
    order = ranks.pool_order
    tied = np.append((np.diff(query[order]) == 0) & (np.diff(pool[order]) == 0), False)
    if tied.any():
        broken.append(_line("two golds share one pool_rank", ranks, order[tied]))
    # The rules below are true only after the checks above: golds of a block have the same order in the pool.
    if broken:
        return broken
    walk = _Walk.of(ranks, order, size)
    if not by_pool:
        broken = walk.crowded(walk.wrong, _CROWDED, every_language=True)
    if broken or ranks.query_language_above is None:
        return broken
    return walk.impossible_column(ranks.query_language_above.astype(np.int64), by_pool)


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
        query: intp (gold pairs,), the query of ``order``'s rows; ``mark`` is likewise the mark of their golds.
        golds: int64 (queries,), number of golds.
        wrong: Wrong candidates of all languages above the mark.
    """

    ranks: GoldRanks
    size: Integers
    order: NDArray[np.intp]
    query: NDArray[np.intp]
    mark: NDArray[np.intp]
    golds: Integers
    wrong: Integers

    @classmethod
    def of(cls, ranks: GoldRanks, order: NDArray[np.intp], size: Integers) -> "_Walk":
        """Lay out the walks; ``order`` sorts rows by query and pool rank, ``size`` counts the candidates of each language."""
        query = np.asarray(ranks.query, dtype=np.intp)[order]
        mark = places(query).astype(np.intp) + 1
        golds = np.bincount(query)
        walk = cls(ranks, size, order, query, mark, golds, size[:0])
        pool = np.asarray(ranks.pool_rank, dtype=np.int64)
        return replace(walk, wrong=walk.spread(pool[order] - mark, size.sum() - golds))

    def spread(self, at_golds: Integers, at_bottom: Integers) -> Integers:
        """Numbers by mark, from those at the golds (in the rows of ``order``) and at each query's bottom; 0 at the top."""
        # Each mark is one row, so that whole rows are added and compared.
        marks = np.repeat(np.asarray(at_bottom, dtype=self.size.dtype)[None], self.golds.max() + 2, axis=0)
        marks[0] = 0
        marks[self.mark, self.query] = at_golds
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
        ranks = self.ranks
        query = np.asarray(ranks.query, dtype=np.int64)
        block = query * len(self.size) + ranks.gold_language
        nth = places(block)
        above = ranks.own_rank - 1 - nth
        last = np.append(np.diff(block) != 0, True)
        mark = np.empty(len(ranks), dtype=np.int64)
        mark[self.order] = self.mark
        # Rows of one block are neighbours in the ranks, so the gold before stands in the row before.
        step = above - np.where(nth, np.concatenate([[0], above[:-1]]), 0)
        since = np.where(nth, np.concatenate([[0], mark[:-1]]), 0)
        below = np.where(last, self.size[ranks.gold_language] - nth - 1 - above, 0)
        if not every_language:
            other = ranks.gold_language != ranks.query_language
            step, below = step * other, below * other
        nothing = np.zeros_like(self.golds)
        steps, begins, tails = (self.spread(of_rows[self.order], nothing) for of_rows in (step, since, below))
        bottom = len(room) - 1
        faults = [np.zeros(room.shape, dtype=np.bool_) for _ in rules]
        ends = [self.golds >= mark for mark in range(bottom + 1)]
        for start in range(bottom):
            needed: Integers = np.zeros_like(room[0])
            between = faults[1 if start else 0]
            for lower in range(start + 1, bottom + 1):
                np.add(needed, steps[lower] * (begins[lower] >= start), out=needed)
                between[lower] |= (needed > room[lower] - room[start]) & ends[lower]
            # From the top to the bottom, all candidates have all the room there is.
            if start:
                np.add(needed, tails[start:].sum(axis=0, keepdims=True, dtype=needed.dtype)[0], out=needed)
                faults[2][start] = (needed > room[bottom] - room[start]) & ends[start]
        return self._lines((marks[self.mark, self.query], rule) for marks, rule in zip(faults, rules, strict=True))

    def impossible_column(self, above: Integers, by_pool: bool) -> list[str]:
        """List the rules that ``query_language_above`` breaks; it is int64 (gold pairs,), in the order of the ranks."""
        ranks = self.ranks
        own_language = ranks.gold_language == ranks.query_language
        asked = np.zeros(len(self.golds), dtype=np.int64)
        asked[self.query] = ranks.query_language[self.order]
        golds = np.bincount(self.query, weights=own_language[self.order], minlength=len(self.golds)).astype(np.int64)
        # No number below 0 or beyond the pool is possible, and the type of the sizes need not hold it.
        above = np.clip(above, -1, self.size.sum(dtype=np.int64) + 1).astype(np.int64)
        column = self.spread(above[self.order], self.size[asked] - golds)
        steps = np.diff(column, axis=0)
        nth = places(np.asarray(ranks.query, dtype=np.int64) * len(self.size) + ranks.gold_language)
        differs = own_language & (above != ranks.own_rank - 1 - nth)
        if differs.any() and not by_pool:
            return [
                _line("query_language_above contradicts own_rank at a gold of the query's language", ranks, differs)
            ]
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

    def _at_golds(self, steps: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether a step is wrong that ends at a gold, or that leads from the last gold to the bottom: bool (gold pairs,)."""
        last = self.mark == self.golds[self.query]
        return np.asarray(steps[self.mark - 1, self.query] | (last & steps[self.mark, self.query]))

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
    n = len(ranks.languages)
    query = np.asarray(ranks.query, dtype=np.int64)
    if (np.diff(query * n + ranks.gold_language) == 0).any():
        return []
    size = _sizes(ranks, sizes)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(query) != 0]))
    asked = ranks.query_language[starts]
    # One row per language, one column per query: the ranks of the query's gold in that language, 0 where there is no gold.
    # Queries of one language stand together.
    order = np.argsort(asked, kind="stable")
    column = np.empty(len(order), dtype=np.intp)
    column[order] = np.arange(len(order))
    column = column[query]
    bounds = np.searchsorted(asked[order], np.arange(n + 1)).tolist()
    of_language = [slice(*pair) for pair in pairwise(bounds)]
    own, pool, jumped = (np.zeros((n, len(order)), dtype=size.dtype) for _ in range(3))
    own[ranks.gold_language, column], pool[ranks.gold_language, column] = ranks.own_rank, ranks.pool_rank
    if ranks.query_language_above is not None:
        jumped[ranks.gold_language, column] = ranks.query_language_above
    none = pool == 0
    ahead = np.where(none, 0, own - 1)
    all_wrong = size[:, None] - ~none
    lacking = none.sum(axis=0, dtype=size.dtype)
    least, most = np.zeros((n, n, n), dtype=np.int64), np.zeros((n, n, n), dtype=np.int64)
    for gold in range(n):
        # Where a language has no gold, its pool rank of 0 counts as above: then all of its candidates may be.
        above = pool <= pool[gold]
        low = ahead * above
        high = np.where(above, all_wrong, ahead)
        # In the gold's own language, its own rank gives the exact number, which `low` already holds.
        high[gold] = ahead[gold]
        if ranks.query_language_above is not None:
            for language, part in enumerate(of_language):
                low[language, part] = high[language, part] = jumped[gold, part]
        # Languages share the wrong candidates above the gold: one has what the others leave.
        shared = pool[gold] - (above.sum(axis=0, dtype=size.dtype) - lacking)
        left_over = high + (shared - high.sum(axis=0, dtype=size.dtype))
        left_at_most = low + (shared - low.sum(axis=0, dtype=size.dtype))
        # Only queries with a gold in this language add to its totals.
        here = ~none[gold]
        low, high = np.maximum(low, left_over) * here, np.minimum(high, left_at_most) * here
        for language, part in enumerate(of_language):
            least[language, gold] = low[:, part].sum(axis=1, dtype=np.int64)
            most[language, gold] = high[:, part].sum(axis=1, dtype=np.int64)
    wrong = []
    for place in product(range(n), repeat=3):
        query_language, gold_language, candidate_language = (ranks.languages[i] for i in place)
        value = stated.get(query_language, {}).get(gold_language, {}).get(candidate_language)
        if value is not None and not least[place] <= value <= most[place]:
            key = f"queue_jump.{query_language}.{gold_language}.{candidate_language}"
            wrong.append((key, f"is {value}, but the ranks allow {least[place]} to {most[place]}"))
    return wrong[:10]
