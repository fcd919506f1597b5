"""Ranks that no ranking can have produced."""

from collections.abc import Mapping

import numpy as np

from clirbench.ranking.gold_ranks import GoldRanks


def impossible(ranks: GoldRanks, sizes: Mapping[str, int]) -> list[str]:
    """What is wrong with the ranks of one result, one line per rule that is broken; empty where they can all be true.

    Every pool is one order of its candidates, so a gold's rank lies in its pool, two golds never share one, and its pool rank
    is a sum over languages: how many of each stand at or above it. For the gold's own language that is its own-block rank; for
    another one it is at least the own-block rank of its last gold above, and less than that of its first gold below.
    With one gold per language this tells exactly which ranks can be; with several, some that cannot be pass.

    Args:
        ranks: Sorted as a ranks file is.
        sizes: Number of candidates by language.
    """
    n = len(ranks.languages)
    size = np.array([sizes.get(language, 0) for language in ranks.languages], dtype=np.int64)
    own = ranks.own_rank.astype(np.int64)
    gold, query = ranks.gold_language, np.asarray(ranks.query, dtype=np.int64)
    found = []
    if (own < 1).any() or (own > size[gold]).any():
        found.append(_at(ranks, (own < 1) | (own > size[gold]), "own_rank lies outside its language's pool"))
    block = query * n + gold
    repeated = (np.diff(block) == 0) & (np.diff(own) == 0)
    if repeated.any():
        found.append(_at(ranks, np.append(repeated, False), "two golds share one own_rank"))
    if ranks.pool_rank is None or found:
        return found
    pool = ranks.pool_rank.astype(np.int64)
    total = int(size.sum())
    for wrong, rule in (
        ((pool < 1) | (pool > total), "pool_rank lies outside the pool"),
        (pool < own, "pool_rank is smaller than own_rank"),
        (pool - own > total - size[gold], "pool_rank counts more candidates of other languages than there are"),
        (
            # Between two golds of one language stand at least the candidates that their own-block ranks count.
            np.append((np.diff(block) == 0) & (np.diff(pool) < np.diff(own)), False),
            "pool_rank contradicts the order of own_rank",
        ),
    ):
        if wrong.any():
            found.append(_at(ranks, wrong, rule))
    order = np.argsort(query << 32 | pool, kind="stable")
    tied = np.append((np.diff(query[order]) == 0) & (np.diff(pool[order]) == 0), False)
    if tied.any():
        found.append(_at(ranks, order[tied], "two golds share one pool_rank"))
    if found:
        return found
    return _between_bounds(ranks, order, own, pool, size)


def _between_bounds(
    ranks: GoldRanks,
    order: np.ndarray[tuple[int], np.dtype[np.intp]],
    own: np.ndarray[tuple[int], np.dtype[np.int64]],
    pool: np.ndarray[tuple[int], np.dtype[np.int64]],
    size: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> list[str]:
    query, gold = np.asarray(ranks.query, dtype=np.int64), ranks.gold_language
    block = query * len(size) + gold
    # Rows of one block are neighbours in the order of own_rank: the gold before, and the gold after, in the same language.
    first = np.concatenate([[True], np.diff(block) != 0])
    last = np.concatenate([np.diff(block) != 0, [True]])
    before = np.where(first, 0, np.concatenate([[0], own[:-1]]))
    after = np.where(last, size[gold] + 1, np.concatenate([own[1:], [0]]))
    starts = np.concatenate([[True], np.diff(query) != 0])
    queries = int(query[-1]) + 1
    # Until its first gold, a block has given at most the candidates before that gold; without a gold, all that it has.
    open_at_first = np.bincount(query[first], weights=(own - 1 - size[gold])[first], minlength=queries) + size.sum()
    begins = np.flatnonzero(starts)[query[order]]
    least = _running((own - before)[order], begins)
    given = _running((after - own)[order], begins)
    most = open_at_first[query[order]] + given - (after - 1 - own)[order]
    found = []
    for wrong, rule in (
        (pool[order] < least, "pool_rank is smaller than the candidates that other golds' own_rank put above it"),
        (pool[order] > most, "pool_rank is larger than other golds' own_rank allow"),
    ):
        if wrong.any():
            found.append(_at(ranks, order[wrong], rule))
    return found


def _running(
    values: np.ndarray[tuple[int], np.dtype[np.int64]], begins: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    total = np.cumsum(values)
    return np.asarray(total - (total[begins] - values[begins]))


def _at(ranks: GoldRanks, rows: np.ndarray[tuple[int], np.dtype[np.generic]], rule: str) -> str:
    chosen = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
    row = int(chosen[0])
    topic = ranks.topics[ranks.topic[row]]
    query, gold = (ranks.languages[codes[row]] for codes in (ranks.query_language, ranks.gold_language))
    where = f"topic {topic[:40]!a}, query in {query}, gold in {gold}"
    return f"{rule} ({where}{f', and {len(chosen) - 1:,} more' if len(chosen) > 1 else ''})"


def impossible_jumps(
    ranks: GoldRanks, sizes: Mapping[str, int], stated: Mapping[str, Mapping[str, Mapping[str, int]]]
) -> list[tuple[str, str]]:
    """Queue-jump totals that no rankings with these ranks can give, each with its key.

    Where a gold stands in the pool bounds how many wrong candidates of a language stand above it: at least those above
    that language's gold if it stands higher, at most those above it if it stands lower. Told only where no query has two golds in
    one language.

    Args:
        ranks: Sorted as a ranks file is.
        sizes: Number of candidates by language.
        stated: Totals by query, gold and candidate language.
    """
    if ranks.pool_rank is None or not len(ranks):
        return []
    n = len(ranks.languages)
    query = np.asarray(ranks.query, dtype=np.int64)
    if (np.diff(query * n + ranks.gold_language) == 0).any():
        return []
    size = np.array([sizes.get(language, 0) for language in ranks.languages], dtype=np.int64)
    shape = (int(query[-1]) + 1, n)
    own, pool = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    own[query, ranks.gold_language], pool[query, ranks.gold_language] = ranks.own_rank, ranks.pool_rank
    starts = np.flatnonzero(np.concatenate([[True], np.diff(query) != 0]))
    asked = ranks.query_language[starts]
    least, most = np.zeros((n, n, n), dtype=np.int64), np.zeros((n, n, n), dtype=np.int64)
    for gold in range(n):
        here = pool[:, gold] > 0
        above = pool[here] <= pool[here, gold][:, None]
        none = pool[here] == 0
        low = np.where(above & ~none, own[here] - 1, 0)
        high = np.where(none, size, np.where(above, size - 1, own[here] - 1))
        high[:, gold] = own[here, gold] - 1
        for language in range(n):
            rows = asked[here] == language
            least[language, gold], most[language, gold] = low[rows].sum(axis=0), high[rows].sum(axis=0)
    found = []
    for q, query_language in enumerate(ranks.languages):
        for g, gold_language in enumerate(ranks.languages):
            for c, candidate_language in enumerate(ranks.languages):
                value = stated.get(query_language, {}).get(gold_language, {}).get(candidate_language)
                if value is not None and not least[q, g, c] <= value <= most[q, g, c]:
                    key = f"queue_jump.{query_language}.{gold_language}.{candidate_language}"
                    found.append((key, f"is {value}, but the ranks allow {least[q, g, c]} to {most[q, g, c]}"))
    return found[:10]
