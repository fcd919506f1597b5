"""Language bias in the multilingual pool: who stands far apart, and who jumps the queue."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clirbench.metrics.retrieval import RankedLists, Values


@dataclass(frozen=True)
class PoolLists:
    """Gold ranks in the multilingual pool, with the size of the pool and whose gold each is.

    Attributes:
        lists: One ranking per query.
        own: bool (gold pairs,), rows whose gold is in the query's language, in the order of ``lists``.
        pool: Number of candidates in the pool.
    """

    lists: RankedLists
    own: NDArray[np.bool_]
    pool: int

    @cached_property
    def removal(self) -> tuple[Values, Values]:
        """Fall of AP without the own-language gold, and without another, as :func:`gold_removal` gives it."""
        return gold_removal(self)


@dataclass(frozen=True)
class BiasMetric:
    """A measure of language bias: what it says, which way is up, and its function to float64 (queries,).

    A value is NaN where the measure cannot apply to a query. ``unit`` is "ranks" or "share" (shown x100).
    """

    name: str
    description: str
    higher_is_better: bool
    unit: str
    source: str
    compute: Callable[[PoolLists], Values]


def rank_distance(pool: PoolLists) -> Values:
    """Rank of the query's last gold minus rank of its first; NaN for a query with one gold."""
    lists = pool.lists
    first = lists.sum(np.where(lists.position == 1, lists.rank, 0.0))
    return np.where(lists.golds > 1, max_rank(pool) - first, np.nan)


def max_rank(pool: PoolLists) -> Values:
    """Rank of the query's last gold."""
    lists = pool.lists
    return lists.sum(np.where(lists.position == lists.golds[lists.ranking], lists.rank, 0.0))


def expected_rank_distance(golds: Values, pool: int) -> Values:
    """Mean rank distance of a random ranking, (N + 1)(n - 1) / (n + 1) for n golds among N candidates."""
    return np.asarray((pool + 1) * (golds - 1) / (golds + 1))


def _rank_distance_normalised(pool: PoolLists) -> Values:
    expected = expected_rank_distance(pool.lists.golds, pool.pool)
    return np.divide(rank_distance(pool), expected, where=expected > 0, out=np.full_like(expected, np.nan))


def _max_rank_normalised(pool: PoolLists) -> Values:
    span: Values = np.log2(pool.pool) - np.log2(pool.lists.golds)
    gained: Values = np.log2(pool.pool) - np.log2(max_rank(pool))
    return np.divide(gained, span, where=span > 0, out=np.full_like(span, np.nan))


def complete(pool: PoolLists, cutoff: int) -> Values:
    """1 where all golds of the query are in the first ``cutoff``, else 0; NaN where there are more golds than that."""
    return np.where(pool.lists.golds <= cutoff, (max_rank(pool) <= cutoff).astype(np.float64), np.nan)


def gold_removal(pool: PoolLists) -> tuple[Values, Values]:
    """By how much AP falls when one gold leaves the pool: the own-language gold, and each other gold on average.

    Without gold g, the golds behind it move up by one position and one rank, and the divisor loses one.

    Returns:
        Two arrays, float64 (queries,); NaN where there is no own-language gold, or no other.
    """
    lists = pool.lists
    kept = lists.position / lists.rank
    moved = np.divide(lists.position - 1, lists.rank - 1, where=lists.position > 1, out=np.zeros_like(lists.rank))
    first = np.concatenate([[0], np.cumsum(lists.golds)[:-1]]).astype(np.intp)[lists.ranking]
    kept_before = _running(kept, first) - kept
    moved_behind = lists.sum(moved)[lists.ranking] - _running(moved, first)
    others = lists.golds - 1
    fall = np.full_like(lists.rank, np.nan)
    several = others[lists.ranking] > 0
    average = lists.sum(kept) / lists.golds
    remaining = (kept_before + moved_behind)[several] / others[lists.ranking][several]
    fall[several] = average[lists.ranking][several] - remaining
    own_golds = lists.sum(pool.own)
    with np.errstate(invalid="ignore", divide="ignore"):
        own = lists.sum(np.where(pool.own, fall, 0.0)) / own_golds
        other = lists.sum(np.where(pool.own, 0.0, fall)) / (lists.golds - own_golds)
    apply = (own_golds > 0) & (own_golds < lists.golds)
    return np.where(apply, own, np.nan), np.where(apply, other, np.nan)


def _running(values: Values, first: NDArray[np.intp]) -> Values:
    """Cumulative sum that starts anew at each ranking, given the index of the ranking's first row."""
    total = np.cumsum(values)
    return total - (total[first] - values[first])


def _removal_difference(pool: PoolLists) -> Values:
    return pool.removal[0] - pool.removal[1]


_HYBRID = "arXiv 2408.10536, section 5"
_LAREQA = "LAReQA, Roy et al. 2020, arXiv 2004.05484"
_MAX_R = "arXiv 2604.05684"
BIAS: dict[str, BiasMetric] = {
    metric.name: metric
    for metric in (
        BiasMetric(
            "rank_distance",
            "rank of a query's last gold candidate minus rank of its first: 0 cannot be reached, golds - 1 is perfect",
            False,
            "ranks",
            _HYBRID,
            rank_distance,
        ),
        BiasMetric(
            "rank_distance_normalised",
            "rank distance over that of a random ranking, (N + 1)(n - 1) / (n + 1): 1 is chance",
            False,
            "share",
            "clirbench; normaliser of arXiv 2408.10536's measure",
            _rank_distance_normalised,
        ),
        BiasMetric("Max@R", "rank at which the last gold candidate is found", False, "ranks", _MAX_R, max_rank),
        BiasMetric(
            "Max@R_normalised",
            "(log2 N - log2 Max@R) / (log2 N - log2 n): 1 when the golds fill the first n ranks, 0 when one is last",
            True,
            "share",
            _MAX_R,
            _max_rank_normalised,
        ),
        BiasMetric(
            "Comp@10",
            "share of the queries with all golds in the first 10; empty where queries have more golds than that",
            True,
            "share",
            _MAX_R,
            lambda pool: complete(pool, 10),
        ),
        BiasMetric(
            "Comp@100",
            "share of the queries with all golds in the first 100",
            True,
            "share",
            _MAX_R,
            lambda pool: complete(pool, 100),
        ),
        BiasMetric(
            "own_gold_removal",
            "fall of AP when the gold in the query's language leaves the pool",
            False,
            "share",
            _LAREQA,
            lambda pool: pool.removal[0],
        ),
        BiasMetric(
            "other_gold_removal",
            "mean fall of AP when a gold in another language leaves the pool",
            False,
            "share",
            _LAREQA,
            lambda pool: pool.removal[1],
        ),
        BiasMetric(
            "gold_removal_difference",
            "own_gold_removal minus other_gold_removal: near 0 when the query's language is not favoured",
            False,
            "share",
            _LAREQA,
            _removal_difference,
        ),
    )
}
OVERALL_BIAS: dict[str, str] = {
    "own_language_preference": "how much more often wrong candidates in the query's language outrank a gold "
    "than their share of the pool: 1 is none, 2 is twice as often",
    "transfer_ratio": "cross-lingual mAP over monolingual mAP: how much of the ability survives the change of language",
}


def shown_as(name: str) -> tuple[int, int, str]:
    """How a measure of bias is shown: its scale, decimals, and unit."""
    if name == "own_language_preference":
        return 1, 2, "times its share"
    return (1, 1, "ranks") if name in BIAS and BIAS[name].unit == "ranks" else (100, 1, "x100")
