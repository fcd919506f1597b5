"""Intervals and paired tests: topics are the unit, so that the parallel queries of one topic move together."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clirbench.metrics.per_topic import Table, _divide, mean_of_present
from clirbench.metrics.retrieval import Values

REPLICATES = 1000
SEED = 20240810
CONFIDENCE = 0.95
PERMUTATIONS = 9999
# The board only asks which corrected p are below 0.05, of as many pairs as there may be.
RANK_PERMUTATIONS = 1999
# Sign vectors at a time: bounds the memory of a test, not its outcome.
_SIGNS = 1000
# Replicates that are drawn at a time.
_DRAWN = 100
# Pairs times sign vectors at a time: what fits a cache.
_CELLS = 500_000
# Sums of the same numbers in another order must count as equal.
_SLACK = 1e-9


class Bootstrap:
    """Resamples topics with replacement; all statistics of one run share the samples.

    Args:
        topics: Number of topics.
        replicates: Number of samples.
        seed: Seed of the PCG64 generator.
    """

    def __init__(self, topics: int, replicates: int = REPLICATES, seed: int = SEED) -> None:
        self.weights: Values = _drawn(topics, replicates, seed)

    def means(self, tables: list[Table]) -> list[Values]:
        """Means of the groups in every sample, one array per table.

        Returns:
            float64 (replicates, groups) each; NaN where no query of a group was drawn.
        """
        # One product for all: metrics of one setting share their counts, so those are multiplied once.
        distinct: dict[int, NDArray[np.float64]] = {id(table.counts): table.counts for table in tables}
        blocks = [table.sums for table in tables] + list(distinct.values())
        products = np.split(self.weights @ np.hstack(blocks), np.cumsum([b.shape[1] for b in blocks])[:-1], axis=1)
        counts = dict(zip(distinct, products[len(tables) :], strict=True))
        return [_divide(products[i], counts[id(table.counts)]) for i, table in enumerate(tables)]

    def macros(self, tables: list[Table]) -> list[Values]:
        """Means over the groups of each table in every sample: what ``mean_of_present(means([table])[0])`` gives, sooner.

        Returns:
            float64 (replicates,) each; NaN where no query was drawn.
        """
        whole = [table if _parallel(table) else None for table in tables]
        # Where every group has the same queries, the mean over groups may be taken before the samples.
        first = [Table(t.sums.mean(axis=1, keepdims=True), t.counts[:, :1]) for t in whole if t is not None]
        narrow = iter(self.means(first) if first else [])
        rest = [table for table, same in zip(tables, whole, strict=True) if same is None]
        wide = iter(self.means(rest) if rest else [])
        return [mean_of_present(next(wide)) if same is None else next(narrow)[:, 0] for same in whole]


def _parallel(table: Table) -> bool:
    return table.counts.shape[1] > 0 and bool((table.counts == table.counts[:, :1]).all())


# A check or a board asks for the same samples again and again.
@lru_cache(maxsize=4)
def _drawn(topics: int, replicates: int, seed: int) -> Values:
    rng = np.random.default_rng(seed)
    weights = np.empty((replicates, topics))
    # The stream of draws is one, however it is cut: only memory depends on the size of a piece.
    for start in range(0, replicates, _DRAWN):
        piece = weights[start : start + _DRAWN]
        cells = np.arange(len(piece))[:, None] * topics + rng.integers(0, topics, size=piece.shape)
        piece[:] = np.bincount(cells.ravel(), minlength=piece.size).reshape(piece.shape)
    weights.flags.writeable = False
    return weights


def interval(samples: Values) -> tuple[float, float] | None:
    """Percentile interval of 95 % of samples of shape (replicates,); None where the statistic was undefined in a sample."""
    if not np.isfinite(samples).all():
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def sign_flips(values: Values, permutations: int = PERMUTATIONS, seed: int = SEED) -> Iterator[Values]:
    """Sums under random signs: what a difference would be if each topic had been either model's by chance.

    Args:
        values: float64 (topics, columns), per-topic shares; all columns see the same signs.
        permutations: How many.
        seed: Seed of the PCG64 generator.

    Yields:
        float64 (up to 1,000, columns).
    """
    generator = np.random.default_rng(seed)
    for start in range(0, permutations, _SIGNS):
        signs = generator.integers(0, 2, size=(min(_SIGNS, permutations - start), len(values)), dtype=np.int8)
        yield (2.0 * signs - 1.0) @ values


def permutation_p(differences: Values, permutations: int = PERMUTATIONS, seed: int = SEED) -> Values:
    """Two-sided p-values of the paired randomisation test (Fisher): each topic's difference may change its sign.

    Args:
        differences: float64 (topics, columns), shares whose sums are tested against 0.
        permutations: Number of sign vectors; the smallest possible p is 1 over that plus 1.
        seed: Seed of the signs.

    Returns:
        float64 (columns,).
    """
    least = np.abs(differences.sum(axis=0)) * (1 - _SLACK)
    hits = np.zeros(differences.shape[1])
    for sums in sign_flips(differences, permutations, seed):
        hits += (np.abs(sums) >= least).sum(axis=0)
    return np.asarray((1 + hits) / (1 + permutations))


def holm(p: Values) -> Values:
    """P-values of one family, float64 (tests,), corrected by Holm's step-down method (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def pairwise_p(shares: Values, permutations: int = PERMUTATIONS, seed: int = SEED) -> Values:
    """P-values of all pairs of models, corrected over all of them by step-down maxT (Westfall and Young 1993).

    Args:
        shares: float64 (topics, models), what each topic adds to a model's score.
        permutations: Number of sign vectors.
        seed: Seed of the signs.

    Returns:
        float64 (models, models), symmetric, 1 on the diagonal.
    """
    models = shares.shape[1]
    found = np.ones((models, models))
    if models < 2:
        return found
    first, second = np.triu_indices(models, 1)
    scale = np.sqrt(np.stack([((shares[:, [i]] - shares) ** 2).sum(axis=0) for i in range(models)]))[first, second]
    # Differences of rounding are none: they would stand beside real ones as if they were as sure.
    safe = np.where(scale > 1e-12 * np.abs(shares).sum(axis=0).max(initial=0.0), scale, np.inf)
    totals = shares.sum(axis=0)
    observed = np.abs(totals[first] - totals[second]) / safe
    # From the least to the greatest: the running maximum over the pairs so far is what step-down compares with.
    order = np.argsort(observed, kind="stable")
    first, second, safe = first[order], second[order], safe[order]
    least = observed[order] * (1 - _SLACK)
    hits = np.zeros(len(order))
    rows = max(1, _CELLS // len(order))
    for sums in sign_flips(shares, permutations, seed):
        for start in range(0, len(sums), rows):
            part = sums[start : start + rows]
            statistics = np.abs(part[:, first] - part[:, second])
            statistics /= safe
            np.maximum.accumulate(statistics, axis=1, out=statistics)
            hits += (statistics >= least).sum(axis=0)
    corrected = np.maximum.accumulate(((1 + hits) / (1 + permutations))[::-1])[::-1]
    found[first, second] = found[second, first] = corrected
    return found


def rank_intervals(shares: Values, higher_is_better: bool, level: float = 1 - CONFIDENCE) -> NDArray[np.int64]:
    """The ranks that pairwise tests cannot exclude for each model.

    Args:
        shares: float64 (topics, models), what each topic adds to a model's score.
        higher_is_better: Which way is up.
        level: Error rate over all pairs together.

    Returns:
        int64 (models, 2): one plus the number of models shown to be better, and the number of all models less that of those
        shown to be worse.
    """
    totals = shares.sum(axis=0) * (1 if higher_is_better else -1)
    shown = pairwise_p(shares, RANK_PERMUTATIONS) < level
    better = (totals[:, None] < totals[None, :]) & shown
    worse = (totals[:, None] > totals[None, :]) & shown
    return np.stack([1 + better.sum(axis=1), len(totals) - worse.sum(axis=1)], axis=1)
