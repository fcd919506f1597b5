"""Retrieval metrics: functions from the ranks of a query's golds to one value per query."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
_Number = TypeVar("_Number", np.float64, np.int64)
# Golds of a ranking that are added up one after the other for all rankings at once.
_WIDEST = 16


class Rankings:
    """Which golds are ranked together. All models on a task share it, so what follows from it is computed once.

    Attributes:
        ranking: intp (gold pairs,), number of the ranking, from 0 to ``len(golds) - 1``, sorted.
        position: float64 (gold pairs,), 1 for the best-ranked gold of its ranking, 2 for the next one, and so on.
        golds: float64 (rankings,), number of golds, at least 1.
        first: intp (gold pairs,), the row of the best-ranked gold of the row's ranking.
        last: intp (rankings,), the row of the worst-ranked gold.
        inside: bool (gold pairs - 1,), whether a row and the next one are of one ranking.
        several: Whether every ranking has more than one gold.
        width: The number of golds where it is the same in each ranking, else 0.
    """

    def __init__(self, ranking: NDArray[np.intp]) -> None:
        golds = np.bincount(ranking)
        ends = np.cumsum(golds)
        self.ranking, self.golds, self.last = ranking, golds.astype(np.float64), ends - 1
        self.first = (ends - golds)[ranking]
        self.position = (np.arange(len(ranking)) - self.first + 1).astype(np.float64)
        self.several = bool((golds > 1).all())
        self.inside = ranking[1:] == ranking[:-1]
        self.width = int(golds[0]) if len(golds) and (golds == golds[0]).all() else 0
        for array in (self.golds, self.last, self.first, self.position, self.inside):
            array.flags.writeable = False


@dataclass(frozen=True)
class RankedLists:
    """The ranks of golds in many rankings, sorted by ranking, then by rank. A ranking is the order of one pool for one query.

    Attributes:
        rankings: Which golds are ranked together.
        rank: float64 (gold pairs,), rank of the gold candidate, from 1.
        grade: float64 (gold pairs,), grade of the gold; None where every grade is 1.
    """

    rankings: Rankings
    rank: Values
    grade: Values | None = None

    @classmethod
    def of(
        cls, ranking: NDArray[np.intp], rank: NDArray[np.int32], grade: NDArray[np.int8] | None = None
    ) -> "RankedLists":
        """Sort gold pairs by ranking and rank; ``ranking`` numbers every ranking from 0, without gaps."""
        # One integer per row sorts faster than two keys, and most callers have sorted rows.
        key = ranking.astype(np.int64) << 32 | rank.astype(np.int64)
        if (key[1:] < key[:-1]).any():
            order = np.argsort(key)
            ranking, rank = ranking[order], rank[order]
            grade = None if grade is None else grade[order]
        return cls.in_order(Rankings(ranking), rank, grade)

    @classmethod
    def in_order(
        cls, rankings: Rankings, rank: NDArray[np.int32], grade: NDArray[np.int8] | None = None
    ) -> "RankedLists":
        """The same of gold pairs that are sorted already."""
        return cls(rankings, rank.astype(np.float64), None if grade is None else grade.astype(np.float64))

    @property
    def ranking(self) -> NDArray[np.intp]:
        """Number of the ranking, intp (gold pairs,)."""
        return self.rankings.ranking

    @property
    def position(self) -> Values:
        """The place of each gold among those of its ranking, from 1, float64 (gold pairs,)."""
        return self.rankings.position

    @property
    def golds(self) -> Values:
        """Number of golds, float64 (rankings,)."""
        return self.rankings.golds

    @cached_property
    def precision(self) -> Values:
        """The precision at the rank of each gold, float64 (gold pairs,)."""
        return np.asarray(self.position / self.rank)

    def spread(self, values: Values) -> Values:
        """The value of each gold's ranking: float64 (gold pairs,), from float64 (rankings,)."""
        width = self.rankings.width
        return np.repeat(values, width) if width else np.asarray(values[self.ranking])

    def sum(self, values: NDArray[np.float64] | NDArray[np.bool_]) -> Values:
        """Sum a value per gold over the golds of each ranking: float64 (rankings,)."""
        width = self.rankings.width
        if width == 1:
            return values.astype(np.float64)
        if 1 < width <= _WIDEST:
            # In the order in which bincount adds.
            table = values.reshape(-1, width)
            sums = table[:, 0].astype(np.float64)
            for column in table.T[1:]:
                sums += column
            return sums
        return np.bincount(self.ranking, weights=values, minlength=len(self.golds)).astype(np.float64, copy=False)


def running_sums(values: NDArray[_Number], first: NDArray[np.intp]) -> NDArray[_Number]:
    """Cumulative sums that start anew with each group; ``first`` is the index of the first row of each row's group.

    >>> running_sums(np.array([1, 2, 3, 4]), first=np.array([0, 0, 2, 2])).tolist()
    [1, 3, 3, 7]
    """
    total = np.cumsum(values)
    return np.asarray(total - (total[first] - values[first]))


@dataclass(frozen=True)
class Measure:
    """What a reader needs to know of a number.

    Attributes:
        name: The name as printed; it is the key in tasks and results.
        description: One line that says what the number is and what a high value means.
        better: Which values are better.
        source: Where the number comes from.
        unit: "share" (0 to 1, shown x100), "ranks", or "times its share".
    """

    name: str
    description: str
    better: Literal["higher", "lower", "near 0", "near 1"]
    source: str
    unit: Literal["share", "ranks", "times its share"] = "share"

    @property
    def higher_is_better(self) -> bool:
        """Whether a comparison of two models prefers the higher value. It is False for "near 0" and "near 1" too."""
        return self.better == "higher"


@dataclass(frozen=True, kw_only=True)
class Metric(Measure):
    """A retrieval metric. ``compute`` gives float64 (rankings,), NaN where the metric does not apply to a ranking."""

    compute: Callable[[RankedLists], Values]


def average_precision(lists: RankedLists, cutoff: float = np.inf) -> Values:
    """Average precision of each ranking: the mean over its golds of the precision at their ranks.

    With a cutoff, golds beyond it count 0 and the divisor is min(golds, cutoff).

    Three candidates, the first and the last are golds: the precision is 1/1 at rank 1 and 2/3 at rank 3.

    >>> average_precision(RankedLists.of(np.array([0, 0]), np.array([1, 3]))).round(4).tolist()
    [0.8333]
    """
    precision = np.where(lists.rank <= cutoff, lists.precision, 0.0)
    return lists.sum(precision) / np.minimum(lists.golds, cutoff)


def recall(lists: RankedLists, cutoff: int) -> Values:
    """Share of the golds of each ranking that stand at the cutoff or before it."""
    return lists.sum(lists.rank <= cutoff) / lists.golds


def reciprocal_rank(lists: RankedLists, cutoff: float) -> Values:
    """One over the rank of the first gold of each ranking, 0 beyond the cutoff."""
    return lists.sum(np.where((lists.position == 1) & (lists.rank <= cutoff), 1 / lists.rank, 0.0))


def ndcg(lists: RankedLists, cutoff: int) -> Values:
    """Discounted cumulative gain of the first ``cutoff`` ranks, divided by that of the ideal ranking.

    A gold at rank r gains its grade / log2(r + 1), every other candidate gains nothing. The ideal ranking has the query's golds
    first, those of higher grades before the others. So gains are linear, as in trec_eval's ``ndcg_cut``.

    Of two golds, the one of grade 3 is second, and the one of grade 1 is first: (1 / 1 + 3 / 1.585) / (3 / 1 + 1 / 1.585).

    >>> ndcg(RankedLists.of(np.array([0, 0]), np.array([1, 2]), np.array([1, 3])), 10).round(4).tolist()
    [0.7967]
    """
    # Few golds stand so early, and a logarithm takes its time.
    early = np.flatnonzero(lists.rank <= cutoff)
    gains = np.zeros(len(lists.rank))
    gains[early] = (1.0 if lists.grade is None else lists.grade[early]) / np.log2(lists.rank[early] + 1)
    gain = lists.sum(gains)
    if lists.grade is None:
        ideal = np.cumsum(1 / np.log2(np.arange(1, cutoff + 1) + 1))
        return gain / ideal[np.minimum(lists.golds, cutoff).astype(np.intp) - 1]
    # Rows of one ranking are neighbours, so within each ranking the positions count up whichever way its rows are sorted.
    best_first = lists.grade[np.lexsort((-lists.grade, lists.ranking))]
    return gain / lists.sum(np.where(lists.position <= cutoff, best_first / np.log2(lists.position + 1), 0.0))


def ranks_read(name: str) -> float:
    """How many of the first ranks a metric or measure reads: its cut-off; infinity for one over the full pool.

    >>> ranks_read("MRR@10"), ranks_read("mAP")
    (10.0, inf)
    """
    cutoff = re.search(r"@(\d+)$", name)
    return float(cutoff[1]) if cutoff else np.inf


def beyond(name: str, pool: int, depth: int | None) -> bool:
    """Whether a metric reads ranks below ``depth`` in a pool of so many candidates; never if ``depth`` is None."""
    return depth is not None and min(ranks_read(name), pool) > depth


_TREC = "trec_eval (https://github.com/usnistgov/trec_eval)"
_NDCG = "Järvelin and Kekäläinen 2002, doi 10.1145/582415.582418"
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("mAP", "mean average precision over the full pool: 1 when every gold stands before every wrong candidate",
               "higher", _TREC, compute=average_precision),
        Metric("mAP@20", "average precision of the first 20, over min(golds, 20): 1 when the first ranks hold golds only",
               "higher", "XTREME-R, Ruder et al. 2021, arXiv 2104.07412", compute=lambda lists: average_precision(lists, 20)),
        Metric("R@1", "recall: share of the golds at rank 1, at best 1 / golds, when the first candidate is a gold",
               "higher", _TREC, compute=lambda lists: recall(lists, 1)),
        Metric("R@10", "share of the golds in the first 10: 1 when none is missing there",
               "higher", _TREC, compute=lambda lists: recall(lists, 10)),
        Metric("R@100", "share of the golds in the first 100: 1 when none is missing there",
               "higher", _TREC, compute=lambda lists: recall(lists, 100)),
        Metric("MRR@10", "1 / rank of the first gold, 0 beyond rank 10: 1 when the first candidate is a gold",
               "higher", _TREC, compute=lambda lists: reciprocal_rank(lists, 10)),
        Metric("MRR", "1 / rank of the first gold in the full pool: 1 when the first candidate is a gold",
               "higher", _TREC, compute=lambda lists: reciprocal_rank(lists, np.inf)),
        Metric("nDCG@10", "normalised discounted cumulative gain of the first 10: 1 when they hold as many golds as they can, "
               "those of higher grades first",
               "higher", _NDCG, compute=lambda lists: ndcg(lists, 10)),
        Metric("nDCG@20", "normalised discounted cumulative gain of the first 20: 1 when they hold as many golds as they can, "
               "those of higher grades first",
               "higher", _NDCG, compute=lambda lists: ndcg(lists, 20)),
    )
}  # fmt: skip
