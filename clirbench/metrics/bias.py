"""Language bias in the multilingual pool: how far apart a query's golds stand, and whose wrong candidates jump the queue.

A query's golds say the same in several languages, so a model without bias ranks them together. The measures in ``BIAS`` are read
off the ranks of one query's golds. Those in ``OVERALL_BIAS`` compare totals or means, and have no value for a single query.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clirbench.metrics.per_topic import divide_or_nan
from clirbench.metrics.retrieval import Measure, RankedLists, Values, running_sums
from clirbench.ranking.gold_ranks import Above, GoldRanks
from clirbench.tasks.collection import GoldPairs

if TYPE_CHECKING:
    # Loaded only where something is counted: it needs scipy, which a check of ranks does not.
    from clirbench.ranking.in_memory import Outranked


@dataclass(frozen=True)
class PoolLists:
    """The ranks of golds in the multilingual pool of ``pool`` candidates: ``lists`` has one ranking per query.

    ``own`` is bool (gold pairs,): rows of ``lists`` whose gold is in the query's language. ``language`` is an integer (gold
    pairs,): the number of the gold's language, from 0.
    """

    lists: RankedLists
    own: NDArray[np.bool_]
    language: NDArray[np.integer[Any]]
    pool: int

    @cached_property
    def removal(self) -> tuple[Values, Values]:
        """The result of :func:`gold_removal`, which three measures need."""
        return gold_removal(self)


@dataclass(frozen=True, kw_only=True)
class BiasMetric(Measure):
    """A measure of bias for single queries. ``compute`` gives float64 (queries,), NaN where it does not apply to a query."""

    compute: Callable[[PoolLists], Values]


def rank_distance(pool: PoolLists) -> Values:
    """Rank of the query's last gold minus the rank of its first; NaN for a query with one gold.

    Source: arXiv 2408.10536, section 5. Two golds at ranks 1 and 3 are 2 ranks apart:

    >>> lists = RankedLists.of(np.array([0, 0]), np.array([1, 3]))
    >>> rank_distance(PoolLists(lists, own=np.array([True, False]), language=np.array([0, 1]), pool=3)).tolist()
    [2.0]
    """
    lists = pool.lists
    first = lists.rank[lists.position == 1]
    return np.where(lists.golds > 1, max_rank(pool) - first, np.nan)


def max_rank(pool: PoolLists) -> Values:
    """Rank of the query's last gold."""
    return pool.lists.rank[pool.lists.rankings.last]


def expected_rank_distance(golds: Values, pool: int) -> Values:
    """Mean rank distance of a random ranking: (N + 1)(n - 1) / (n + 1) for n golds among N candidates.

    The n golds cut the ranking into n + 1 gaps of equal expected width, and the distance spans n - 1 of them.
    """
    return np.asarray((pool + 1) * (golds - 1) / (golds + 1))


def _rank_distance_normalised(pool: PoolLists) -> Values:
    return divide_or_nan(rank_distance(pool), expected_rank_distance(pool.lists.golds, pool.pool))


def _max_rank_normalised(pool: PoolLists) -> Values:
    log_pool = np.log2(pool.pool)
    return divide_or_nan(log_pool - np.log2(max_rank(pool)), log_pool - np.log2(pool.lists.golds))


def complete(pool: PoolLists, cutoff: int) -> Values:
    """1 where all golds of the query stand in the first ``cutoff``, else 0; NaN if there are more golds than ``cutoff``."""
    return np.where(pool.lists.golds <= cutoff, (max_rank(pool) <= cutoff).astype(np.float64), np.nan)


def gold_removal(pool: PoolLists) -> tuple[Values, Values]:
    """Fall of a query's average precision when one gold leaves the pool (LAReQA, Roy et al. 2020, arXiv 2004.05484).

    A model that favours the query's language loses much without the gold in that language, and little without another gold. Three
    candidates stand in this order: the gold in the query's language, a wrong one, another gold. Average precision is (1/1 + 2/3)
    / 2 = 5/6. Without the first gold, the other one has rank 2 and average precision is 1/2: it falls by 1/3. Without the other
    gold, average precision is 1: it rises by 1/6.

    >>> lists = RankedLists.of(np.array([0, 0]), np.array([1, 3]))
    >>> own, other = gold_removal(PoolLists(lists, own=np.array([True, False]), language=np.array([0, 1]), pool=3))
    >>> own.round(4).tolist(), other.round(4).tolist()
    ([0.3333], [-0.1667])

    Returns:
        The fall when the own-language gold leaves, and the mean fall when another gold leaves, float64 (queries,) each; NaN where
        a query has no gold of either kind.
    """
    lists = pool.lists
    # Precision at each gold now, and once a gold before it has left: position and rank are then one less.
    kept = lists.precision
    moved = (lists.position - 1) / np.where(lists.position > 1, lists.rank - 1, 1.0)
    first = lists.rankings.first
    # Without gold g, the golds before g keep their precision and the golds after g have the moved precision. Running sums give
    # both for every g at once.
    kept_before = running_sums(kept, first) - kept
    moved_behind = lists.spread(lists.sum(moved)) - running_sums(moved, first)
    others, average = lists.golds - 1, lists.sum(kept) / lists.golds
    if lists.rankings.several:
        fall = lists.spread(average) - (kept_before + moved_behind) / lists.spread(others)
    else:
        fall = np.full_like(lists.rank, np.nan)
        several = others[lists.ranking] > 0
        remaining = (kept_before + moved_behind)[several] / others[lists.ranking][several]
        fall[several] = average[lists.ranking][several] - remaining
    own_golds = lists.sum(pool.own)
    own = divide_or_nan(lists.sum(np.where(pool.own, fall, 0.0)), own_golds)
    other = divide_or_nan(lists.sum(np.where(pool.own, 0.0, fall)), lists.golds - own_golds)
    apply = (own_golds > 0) & (own_golds < lists.golds)
    return np.where(apply, own, np.nan), np.where(apply, other, np.nan)


def equal_expected_rank(pool: PoolLists, cutoff: float = np.inf) -> Values:
    """PEER, the probability of equal expected rank: the p-value of a test whether golds of all languages have one mean rank.

    The test is Kruskal and Wallis's: H is n - 1, for n golds, times the share of the variation of ranks that lies between
    languages. It is compared with chi-square of one degree of freedom less than there are languages. All golds of a query are in
    one test, whatever their grades. The package makes one test for each grade, and adds up the p-values with weights. Without
    grades, this is the package's value with the weight 1 for golds and 0 for wrong candidates.

    The value is 1 where the golds are of one language, where no gold stands in the first ``cutoff``, and where all have the same
    rank. All u golds beyond the cut-off get the mean of the ranks n + 1 to n + u. This is the rule of the package, and a gold
    that stands at the cut-off may have a larger rank than that.

    Source: Yang, Jänich, Mayfield and Lawrie 2024, arXiv 2405.00978; their package peer_measure 0.0.1.

    Golds of two languages at ranks 1, 2 and 3, 4: ranks vary by 5 in all and by 4 between the languages, so H is 3 x 4 / 5.

    >>> lists = RankedLists.of(np.zeros(4, dtype=np.intp), np.array([1, 2, 3, 4]))
    >>> one_first = PoolLists(lists, own=np.array([True, True, False, False]), language=np.array([0, 0, 1, 1]), pool=9)
    >>> equal_expected_rank(one_first).round(4).tolist()
    [0.1213]
    """
    from scipy.special import chdtrc

    lists = pool.lists
    lost = lists.sum(lists.rank > cutoff)
    rank = np.where(lists.rank > cutoff, (lists.golds + (lost + 1) / 2)[lists.ranking], lists.rank)
    offset = rank - (lists.sum(rank) / lists.golds)[lists.ranking]
    # A group is the golds of one language in one ranking.
    key = lists.ranking * (pool.language.max(initial=0) + 1) + pool.language
    _, group = np.unique(key, return_inverse=True)
    size = np.bincount(group)
    between = lists.sum((np.bincount(group, weights=offset) / size)[group] ** 2)
    whole = lists.sum(offset**2)
    freedom = np.rint(lists.sum((1 / size)[group])) - 1
    tested = (freedom > 0) & (whole > 0) & (lost < lists.golds)
    statistic = (lists.golds - 1) * divide_or_nan(between, whole)
    return np.where(tested, chdtrc(freedom, statistic), 1.0)


def target_recall(pool: PoolLists, cutoff: int) -> Values:
    """Share of the golds in other languages than the query's that stand in the first ``cutoff``; NaN where there are none.

    Source: target-languages recall, Jang, Hong, Moon and Lim 2026, arXiv 2606.18801, section 4.3.
    """
    others = ~pool.own
    return divide_or_nan(pool.lists.sum(others & (pool.lists.rank <= cutoff)), pool.lists.sum(others))


@dataclass(frozen=True)
class QueueJump:
    """Whose wrong candidates stand before golds in the multilingual pool, as totals.

    Attributes:
        counts: int64 (query languages, gold languages, candidate languages), wrong candidates of the third language that outrank
            a gold of the second for a query of the first. If they are added up over gold languages, the second size is 1.
        shares: float64 (query languages, candidate languages), a language's share of the wrong candidates in the pool. This would
            be its share of the queue jumps if no language were favoured.
    """

    counts: NDArray[np.int64]
    shares: Values

    @property
    def only_sums(self) -> bool:
        """Whether the counts are added up over gold languages."""
        return bool(self.counts.shape[1] < self.counts.shape[2])

    @property
    def summed(self) -> "QueueJump":
        """The same, added up over gold languages."""
        return QueueJump(self.counts.sum(axis=1, keepdims=True), self.shares)

    @property
    def matrix(self) -> Values:
        """Share of queue jumps divided by share of the pool: float64 (query languages, candidate languages).

        1 is chance; NaN where nothing outranks a gold. Wrong candidates of the first language are 3 of 4 queue jumps and half of
        the pool:

        >>> QueueJump(np.array([[[3, 1]]]), np.array([[0.5, 0.5]])).matrix.tolist()
        [[1.5, 0.5]]
        """
        jumps = self.counts.sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(jumps / jumps.sum(axis=1, keepdims=True) / self.shares)

    @property
    def own_language_preference(self) -> Values:
        """The diagonal of :attr:`matrix`: float64 (query languages,)."""
        return np.diagonal(self.matrix).copy()


def count_jumps(pairs: GoldPairs, counts: "Outranked | Above", ranks: GoldRanks) -> QueueJump:
    """Add up the wrong candidates that outrank golds, by query, gold and candidate language.

    ``counts`` are those of the pairs, with one block per language, or added up already.
    """
    above = counts if isinstance(counts, Above) else Above.of(pairs, counts)
    return QueueJump(above.jumps, wrong_shares(ranks, pairs.sizes))


def wrong_shares(ranks: GoldRanks, pool_sizes: NDArray[np.int64]) -> Values:
    """Share of each candidate language in the wrong candidates of the pool, over all queries of a language.

    ``pool_sizes`` is int64 (languages,), the number of candidates. The shares are float64 (query languages, candidate languages).
    """
    languages = len(ranks.languages)
    golds = np.bincount(ranks.arranged.pair, minlength=languages**2).reshape(languages, languages)
    queries = np.bincount(ranks.arranged.asked, minlength=languages)
    # The wrong candidates of a query are the whole pool without its golds.
    wrong = queries[:, None] * pool_sizes[None, :] - golds
    return np.asarray(wrong / np.maximum(wrong.sum(axis=1, keepdims=True), 1), dtype=np.float64)


_LAREQA = "LAReQA, Roy et al. 2020, arXiv 2004.05484"
_MAX_R = "arXiv 2604.05684"
_PEER = "Yang et al. 2024, arXiv 2405.00978, and the package peer_measure"
_TLR = "Jang et al. 2026, arXiv 2606.18801, section 4.3"
BIAS: dict[str, BiasMetric] = {
    metric.name: metric
    for metric in (
        BiasMetric("rank_distance", "rank of a query's last gold minus rank of its first: high when a language's gold comes long "
                   "after the others; the least possible is golds - 1",
                   "lower", "arXiv 2408.10536, section 5", "ranks", compute=rank_distance),
        BiasMetric("rank_distance_normalised",
                   "rank distance over that of a random ranking, (N + 1)(n - 1) / (n + 1): 1 is chance",
                   "lower", "clirbench; normaliser of arXiv 2408.10536's measure", compute=_rank_distance_normalised),
        BiasMetric("Max@R", "rank at which the last gold is found: high when a language's gold comes late",
                   "lower", _MAX_R, "ranks", compute=max_rank),
        BiasMetric("Max@R_normalised",
                   "(log2 N - log2 Max@R) / (log2 N - log2 n): 1 when the golds fill the first n ranks, 0 when one is last",
                   "higher", _MAX_R, compute=_max_rank_normalised),
        BiasMetric("Comp@10",
                   "share of the queries with all golds in the first 10; empty where queries have more golds than that",
                   "higher", _MAX_R, compute=lambda pool: complete(pool, 10)),
        BiasMetric("Comp@100",
                   "share of the queries with all golds in the first 100; empty where queries have more golds than that",
                   "higher", _MAX_R, compute=lambda pool: complete(pool, 100)),
        BiasMetric("own_gold_removal",
                   "fall of AP when the gold in the query's language leaves the pool: high when the model leans on it",
                   "lower", _LAREQA, compute=lambda pool: pool.removal[0]),
        BiasMetric("other_gold_removal",
                   "mean fall of AP when a gold in another language leaves the pool: high when the model leans on it",
                   "lower", _LAREQA, compute=lambda pool: pool.removal[1]),
        BiasMetric("gold_removal_difference",
                   "own_gold_removal minus other_gold_removal: high when the query's language is favoured",
                   "near 0", _LAREQA, compute=lambda pool: pool.removal[0] - pool.removal[1]),
        BiasMetric("PEER",
                   "p-value of a test whether golds of all languages have one mean rank: low when languages are set apart; a "
                   "constant where each language has one gold",
                   "higher", _PEER, compute=equal_expected_rank),
        BiasMetric("PEER@20",
                   "PEER with golds beyond rank 20 tied, and 1 where no gold stands in the first 20",
                   "higher", _PEER, compute=lambda pool: equal_expected_rank(pool, 20)),
        BiasMetric("TLR@20",
                   "share of the golds in other languages than the query's in the first 20: low when they come late",
                   "higher", _TLR, compute=lambda pool: target_recall(pool, 20)),
        BiasMetric("TLR@100",
                   "share of the golds in other languages than the query's in the first 100: low when they come late",
                   "higher", _TLR, compute=lambda pool: target_recall(pool, 100)),
    )
}  # fmt: skip
OVERALL_BIAS: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("own_language_preference", "how much more often wrong candidates in the query's language outrank a gold than "
                "their share of the pool: 1 is none, 2 is twice as often", "near 1", "clirbench", "times its share"),
        Measure("transfer_ratio", "cross-lingual mAP over monolingual mAP: 1 when nothing is lost by the change of language",
                "higher", "clirbench"),
    )
}  # fmt: skip
_SHOWN = {"share": (100, 1, "x100"), "ranks": (1, 1, "ranks"), "times its share": (1, 2, "times its share")}


def better(name: str) -> str:
    """Which values of a measure of bias are better: "higher", "lower" or "near 1"; "" for an unknown one."""
    measure = BIAS.get(name) or OVERALL_BIAS.get(name)
    return measure.better if measure else ""


def shown_as(name: str) -> tuple[int, int, str]:
    """Scale, decimals and unit with which a measure of bias is shown; an unknown one is shown as a share."""
    measure = BIAS.get(name) or OVERALL_BIAS.get(name)
    return _SHOWN[measure.unit if measure else "share"]
