"""Find ranks and queue-jump totals that no ranking can produce."""

from collections.abc import Mapping
from itertools import product

import numpy as np
from numpy.typing import NDArray

from clirbench.metrics.retrieval import running_sums
from clirbench.ranking.gold_ranks import GoldRanks

Integers = NDArray[np.int64]


def impossible(ranks: GoldRanks, sizes: Mapping[str, int], by_pool: bool = False) -> list[str]:
    """List the rules that the ranks of one result break, one line each.

    A ranking is one order of the candidates of a pool. So a rank lies within its pool, and no two golds have the same rank. The
    pool rank of a gold is a sum over languages: the number of candidates of each language that stand at the gold or above it. For
    the gold's own language, this number is its own rank. For another language, it is at least the own rank of the last gold of
    that language above, and less than the own rank of the first gold of that language below. With one gold per language, exactly
    the possible ranks break no rule. With several golds, some impossible ranks break no rule either.

    Three candidates: one in English, which is a gold, and two in German, of which the second one is a gold. The German gold
    stands behind the other German candidate, so it cannot be second if the English gold is first. Three pairs of pool ranks are
    possible.

    >>> def ranks(en, de):
    ...     rows = [(0, 0), (0, 0), (0, 1), (1, 2), (en, de)]
    ...     return GoldRanks(("a topic",), ("en", "de"), *np.array(rows, dtype=np.int32))
    >>> sizes = {"en": 1, "de": 2}
    >>> [(en, de) for en in (1, 2, 3) for de in (1, 2, 3) if not impossible(ranks(en, de), sizes)]
    [(1, 3), (2, 3), (3, 2)]
    >>> impossible(ranks(1, 2), sizes)[0].split(" (")[0]
    "pool_rank is smaller than the candidates that other golds' own_rank put above it"

    Args:
        ranks: Sorted as a ranks file is.
        sizes: Number of candidates by language.
        by_pool: The model's scores depend on the pool, as those of a fusion do. Then own ranks and pool ranks come from two
            rankings, and no rule compares them.
    """
    n = len(ranks.languages)
    size = np.array([sizes.get(language, 0) for language in ranks.languages], dtype=np.int64)
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
    if ranks.pool_rank is None or broken:
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
    # Sorted by query, then by pool rank: golds with the same pool rank become neighbours.
    order = np.argsort(query << 32 | pool, kind="stable")
    tied = np.append((np.diff(query[order]) == 0) & (np.diff(pool[order]) == 0), False)
    if tied.any():
        broken.append(_line("two golds share one pool_rank", ranks, order[tied]))
    # The bounds below are true only after the checks above: golds of a block have the same order in the pool.
    return broken if broken or by_pool else _outside_bounds(ranks, order, own, pool, size)


def _outside_bounds(
    ranks: GoldRanks, order: NDArray[np.intp], own: Integers, pool: Integers, size: Integers
) -> list[str]:
    """Find pool ranks that contradict the own ranks of the query's other golds: one line per broken rule.

    Take the example of :func:`impossible` with pool ranks 1 and 2. The walk down the pool meets the English gold (own rank 1),
    then the German one (own rank 2). At least 1 candidate stands at the English gold or above, and at least 1 + 2 at the German
    gold or above, so its rank 2 is impossible. At most 1 + 1 candidates stand at the English gold or above: all of English, and
    the German candidate before the German gold. At most 1 + 2 stand at the German gold or above.

    ``order`` holds the row numbers by query, then by pool rank; ``size`` the number of candidates of each language.
    """
    query, gold = np.asarray(ranks.query, dtype=np.int64), ranks.gold_language
    block = query * len(size) + gold
    # Own ranks of the gold before and of the gold after in the same block: 0 for the first gold, and size + 1 for the last.
    first = np.concatenate([[True], np.diff(block) != 0])
    last = np.concatenate([np.diff(block) != 0, [True]])
    before = np.where(first, 0, np.concatenate([[0], own[:-1]]))
    after = np.where(last, size[gold] + 1, np.concatenate([own[1:], [0]]))
    # `order` keeps the rows of a query together, so a query begins at the same place in both orders.
    starts = np.concatenate([[True], np.diff(query) != 0])
    begins = np.flatnonzero(starts)[query[order]]
    # The pool rank of a gold is a sum over languages: the number of candidates of each language at the gold or above it. Lower
    # bound: the own rank of the language's last gold so far. On the walk down the pool, each gold raises the bound of its
    # language from the own rank of the gold before to its own rank. So a running sum of these steps is the sum over languages.
    least = running_sums((own - before)[order], begins)
    # Upper bound: the candidates before the language's next gold, or all of the language if no gold follows. At the top of the
    # pool, it is own_rank - 1 of the first gold, or the size of a language without a gold ...
    queries = int(query[-1]) + 1
    most_before = size.sum() + np.bincount(query[first], weights=(own - 1 - size[gold])[first], minlength=queries)
    # ... and each gold raises the bound of its language to the candidate before the gold after it.
    most = most_before[query[order]] + running_sums((after - own)[order], begins)
    # In the gold's own language the number is exactly own_rank, so candidates up to its next gold are subtracted.
    most -= (after - 1 - own)[order]
    return [
        _line(rule, ranks, order[wrong])
        for wrong, rule in (
            (pool[order] < least, "pool_rank is smaller than the candidates that other golds' own_rank put above it"),
            (pool[order] > most, "pool_rank is larger than other golds' own_rank allow"),
        )
        if wrong.any()
    ]


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
    above C's gold. If C has no gold, the query adds at most all of C. Totals are not checked if a query has two golds in one
    language.

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
    size = np.array([sizes.get(language, 0) for language in ranks.languages], dtype=np.int64)
    # One row per query, one column per language: the ranks of the query's gold in that language, 0 where there is no gold.
    shape = (int(query[-1]) + 1, n)
    own, pool = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    own[query, ranks.gold_language], pool[query, ranks.gold_language] = ranks.own_rank, ranks.pool_rank
    starts = np.flatnonzero(np.concatenate([[True], np.diff(query) != 0]))
    asked = ranks.query_language[starts]
    least, most = np.zeros((n, n, n), dtype=np.int64), np.zeros((n, n, n), dtype=np.int64)
    for gold in range(n):
        # Only queries with a gold in this language add to its totals.
        here = pool[:, gold] > 0
        above = pool[here] <= pool[here, gold][:, None]
        none = pool[here] == 0
        low = np.where(above & ~none, own[here] - 1, 0)
        high = np.where(none, size, np.where(above, size - 1, own[here] - 1))
        # In the gold's own language, its own rank gives the exact number, which `low` already holds.
        high[:, gold] = own[here, gold] - 1
        for language in range(n):
            rows = asked[here] == language
            least[language, gold], most[language, gold] = low[rows].sum(axis=0), high[rows].sum(axis=0)
    wrong = []
    for place in product(range(n), repeat=3):
        query_language, gold_language, candidate_language = (ranks.languages[i] for i in place)
        value = stated.get(query_language, {}).get(gold_language, {}).get(candidate_language)
        if value is not None and not least[place] <= value <= most[place]:
            key = f"queue_jump.{query_language}.{gold_language}.{candidate_language}"
            wrong.append((key, f"is {value}, but the ranks allow {least[place]} to {most[place]}"))
    return wrong[:10]
