"""Metrics: from the ranks of a query's gold candidates to one value per query."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class RankedLists:
    """The gold ranks of many rankings: one ranking is one query against one pool.

    Rows are sorted by ranking, then by rank.

    Attributes:
        ranking: intp (gold pairs,), number of the ranking, 0 to ``len(golds) - 1``.
        rank: float64 (gold pairs,), rank of the gold candidate, from 1.
        position: float64 (gold pairs,), 1 for the best-ranked gold of its ranking, 2 for the next one, and so on.
        golds: float64 (rankings,), number of golds, at least 1.
    """

    ranking: NDArray[np.intp]
    rank: Values
    position: Values
    golds: Values

    @classmethod
    def of(cls, ranking: NDArray[np.intp], rank: NDArray[np.int32]) -> "RankedLists":
        """Sort gold pairs by ranking and rank; ``ranking`` numbers every ranking from 0, without gaps."""
        golds = np.bincount(ranking)
        if not (np.diff(ranking) > 0).all():
            order = np.argsort(ranking.astype(np.int64) << 32 | rank.astype(np.int64))
            ranking, rank = ranking[order], rank[order]
        first = np.cumsum(golds) - golds
        position = np.arange(len(ranking)) - first[ranking] + 1
        return cls(ranking, rank.astype(np.float64), position.astype(np.float64), golds.astype(np.float64))

    def sum(self, values: NDArray[np.float64] | NDArray[np.bool_]) -> Values:
        """float64 (rankings,): sum over the golds of each ranking."""
        return np.bincount(self.ranking, weights=values, minlength=len(self.golds)).astype(np.float64)


@dataclass(frozen=True)
class Metric:
    """A metric: what it says, which way is up, and its function from ranked lists to float64 (rankings,).

    A value is NaN where the metric cannot apply to a ranking.
    """

    name: str
    description: str
    higher_is_better: bool
    source: str
    compute: Callable[[RankedLists], Values]


def average_precision(lists: RankedLists, cutoff: float = np.inf) -> Values:
    """AP: mean over the golds of precision at their ranks; with a cutoff, over min(golds, cutoff), beyond it 0."""
    precision = np.where(lists.rank <= cutoff, lists.position / lists.rank, 0.0)
    return lists.sum(precision) / np.minimum(lists.golds, cutoff)


def recall(lists: RankedLists, cutoff: int) -> Values:
    """Share of the golds ranked at the cutoff or better."""
    return lists.sum(lists.rank <= cutoff) / lists.golds


def reciprocal_rank(lists: RankedLists, cutoff: float) -> Values:
    """1 / rank of the best gold, 0 beyond the cutoff."""
    return lists.sum(np.where((lists.position == 1) & (lists.rank <= cutoff), 1 / lists.rank, 0.0))


def ndcg(lists: RankedLists, cutoff: int) -> Values:
    """Discounted cumulative gain with binary gains and a logarithmic discount, over that of the ideal ranking."""
    gain = lists.sum(np.where(lists.rank <= cutoff, 1 / np.log2(lists.rank + 1), 0.0))
    ideal = np.cumsum(1 / np.log2(np.arange(1, cutoff + 1) + 1))
    return gain / ideal[np.minimum(lists.golds, cutoff).astype(np.intp) - 1]


_TREC = "trec_eval (https://github.com/usnistgov/trec_eval)"
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "mAP",
            "mean average precision over the full pool: 1 when every gold candidate stands before every wrong one",
            True,
            _TREC,
            average_precision,
        ),
        Metric(
            "mAP@20",
            "average precision cut at rank 20, divided by min(golds, 20)",
            True,
            "XTREME-R, Ruder et al. 2021, arXiv 2104.07412",
            lambda lists: average_precision(lists, 20),
        ),
        Metric(
            "R@1",
            "recall: share of the gold candidates at rank 1",
            True,
            _TREC,
            lambda lists: recall(lists, 1),
        ),
        Metric(
            "R@10",
            "share of the gold candidates in the first 10",
            True,
            _TREC,
            lambda lists: recall(lists, 10),
        ),
        Metric(
            "R@100",
            "share of the gold candidates in the first 100",
            True,
            _TREC,
            lambda lists: recall(lists, 100),
        ),
        Metric(
            "MRR@10",
            "reciprocal rank of the first gold candidate, 0 beyond rank 10",
            True,
            _TREC,
            lambda lists: reciprocal_rank(lists, 10),
        ),
        Metric(
            "MRR",
            "reciprocal rank of the first gold candidate in the full pool",
            True,
            _TREC,
            lambda lists: reciprocal_rank(lists, np.inf),
        ),
        Metric(
            "nDCG@10",
            "normalised discounted cumulative gain of the first 10: 1 when they hold as many golds as they can",
            True,
            "Järvelin and Kekäläinen 2002, doi 10.1145/582415.582418",
            lambda lists: ndcg(lists, 10),
        ),
    )
}
