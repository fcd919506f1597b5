"""Which languages' wrong candidates stand before a gold in the pool of all languages: numbers where ranks give them, else bounds.

A ranks file has no row for wrong candidates. But a gold's own rank counts those in its language, and `query_language_above` those
in the query's. Of a third language, its own golds of the same query tell something. If such a gold stands before this one, all
wrong candidates that outrank it outrank this one too. If it stands behind, no more than those that outrank it can. And all
languages together are known, because the pool rank is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clirbench.ranking.gold_ranks import GoldRanks, places, stable_order
from clirbench.results.result import Result
from clirbench.support.errors import ClirbenchError

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class BeforeGolds:
    """What stands before some golds.

    Attributes:
        rows: intp (golds,), their rows in the ranks.
        golds: int64 (golds,), other golds of the same query that stand before each.
        low: int64 (golds, languages), wrong candidates of a language that surely stand before it.
        high: int64 (golds, languages), wrong candidates of a language that can stand before it; equal to ``low`` where the ranks
            give the number.
    """

    rows: NDArray[np.intp]
    golds: Counts
    low: Counts
    high: Counts


def worst_golds(ranks: GoldRanks, most: int = 20) -> NDArray[np.intp]:
    """Rows of the golds with the worst rank in the pool: at most ``most`` of each pair of query and gold language.

    Pairs come in the order of the languages, and the golds of a pair worst first; those of one rank in the order of the ranks.
    """
    if ranks.pool_rank is None:
        raise ClirbenchError("the ranks are not of the pool of all languages: run the multilingual setting")
    pair = ranks.query_language.astype(np.int64) * len(ranks.languages) + ranks.gold_language
    order = stable_order([pair, int(ranks.pool_rank.max(initial=0)) - ranks.pool_rank])
    return np.asarray(order[places(pair[order]) < most])


def before_golds(result: Result, rows: NDArray[np.intp]) -> BeforeGolds:
    """What stands before the golds of some rows of a result.

    Raises:
        ClirbenchError: The ranks are rounded, or not of the pool of all languages, so they give no bounds.
    """
    ranks = result.ranks
    if ranks.pool_rank is None or ranks.rounding is not None:
        raise ClirbenchError(
            "the ranks are rounded, or not of the pool of all languages: they bound no number of candidates"
        )
    query = ranks.query
    starts = np.searchsorted(query, query[rows])
    golds = np.searchsorted(query, query[rows], side="right") - starts
    # Each chosen gold beside all golds of its query, itself among them.
    chosen = np.repeat(np.arange(len(rows)), golds)
    other = np.repeat(starts - np.cumsum(golds) + golds, golds) + np.arange(golds.sum())
    language = ranks.gold_language[other]
    pool, its = ranks.pool_rank[rows].astype(np.int64), ranks.pool_rank[other]
    before, behind = its < pool[chosen], its > pool[chosen]

    def counted(which: NDArray[np.bool_]) -> Counts:
        return np.bincount(chosen[which], minlength=len(rows)).astype(np.int64)

    sizes = np.array([result.document.counts.candidates.get(x, 0) for x in ranks.languages], dtype=np.int64)
    n = len(sizes)
    of_language = np.bincount(chosen * n + language, minlength=len(rows) * n).reshape(-1, n)
    low, high = np.zeros((len(rows), n), dtype=np.int64), sizes - of_language
    each = np.arange(len(rows))
    # A model whose scores depend on the pool has two rankings, so own ranks say nothing of the pool of all languages.
    if not result.document.model.scores_by_pool:
        own = ranks.own_rank[other].astype(np.int64) - 1 - places(chosen * n + language)
        np.maximum.at(low, (chosen[before], language[before]), own[before])
        np.minimum.at(high, (chosen[behind], language[behind]), own[behind])
        low[each, ranks.gold_language[rows]] = high[each, ranks.gold_language[rows]] = own[other == rows[chosen]]
    if ranks.query_language_above is not None:
        asked = ranks.query_language[rows]
        low[each, asked] = high[each, asked] = ranks.query_language_above[rows]
    # What one language lacks of the sum must be of the others.
    wrong = (pool - 1 - counted(before))[:, None]
    least, most = low.sum(axis=1, keepdims=True), high.sum(axis=1, keepdims=True)
    tight = np.maximum(low, wrong - (most - high)), np.minimum(high, wrong - (least - low))
    return BeforeGolds(rows, counted(before), *tight)
