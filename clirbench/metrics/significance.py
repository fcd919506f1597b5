"""Bootstrap intervals, paired tests of two models, and intervals of the ranks of many models.

The topic is the unit of chance everywhere. The parallel queries of one topic are not independent evidence, so they are drawn
together and change sign together. Every generator is seeded, so anybody gets the same numbers.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.metrics.per_topic import TopicTable, divide_or_nan, mean_of_present
from clirbench.metrics.retrieval import Values

REPLICATES = 1000
SEED = 20240810
CONFIDENCE = 0.95
PERMUTATIONS = 9999
# Fewer than PERMUTATIONS: the board tests every pair of models, and only asks whether p is below 0.05.
RANK_PERMUTATIONS = 1999
# Sign vectors that are drawn at a time. This bounds the memory of a test and does not change its outcome.
_SIGNS = 1000
# Replicates that are drawn at a time, for the same reason.
_DRAWN = 100
# Pairs of models times sign vectors that are compared at a time: their statistics fit in a processor's cache.
_CELLS = 100_000
# Relative tolerance: sums of the same numbers in another order differ by rounding, and must count as equal.
_SLACK = 1e-9


class Bootstrap:
    """Resamples topics with replacement (Efron and Tibshirani 1993, chapter 6). All statistics of a run share the samples.

    Every model on one task is resampled by the same topics, so the difference of two models' samples is paired. ``weights`` says
    how often each topic was drawn, float64 (replicates, topics). ``seed`` is that of a PCG64 generator. With ``merge``,
    :meth:`macros` may add up numbers in another order, which takes less time and changes them by rounding alone.
    """

    def __init__(self, topics: int, replicates: int = REPLICATES, seed: int = SEED, merge: bool = False) -> None:
        self.weights: Values = _drawn(topics, replicates, seed)
        self.merge = merge

    def means(self, tables: list[TopicTable]) -> list[Values]:
        """The mean of each group in every sample: for each table float64 (replicates, groups), NaN where no query was drawn."""
        return [divide_or_nan(sums, counts) for sums, counts in self._resampled(tables)]

    def _resampled(self, tables: list[TopicTable]) -> list[tuple[Values, Values]]:
        """The sums and the counts of each table in every sample, float64 (replicates, groups) each."""
        # One matrix product serves all tables. Metrics of one setting share their counts, which are multiplied once.
        blocks = [table.sums for table in tables]
        sums = np.split(self.weights @ np.hstack(blocks), np.cumsum([b.shape[1] for b in blocks])[:-1], axis=1)
        distinct = {id(table.counts): table.counted for table in tables}
        counts = {key: counted.drawn(self.weights) for key, counted in distinct.items()}
        return [(part, counts[id(table.counts)]) for part, table in zip(sums, tables, strict=True)]

    def macros(self, tables: list[TopicTable]) -> list[Values]:
        """For each table ``mean_of_present(means([table])[0])``, float64 (replicates,), computed in a faster way."""
        # Where every group has the same number of queries in each topic, groups may be averaged before topics are drawn.
        narrow = [table.counted.parallel for table in tables]
        first = [
            TopicTable.counted_as(table.sums.mean(axis=1, keepdims=True), table.counted.narrow)
            for table, same in zip(tables, narrow, strict=True)
            if same
        ]
        rest = [table for table, same in zip(tables, narrow, strict=True) if not same]
        of_narrow = iter(self.means(first) if first else [])
        of_rest = iter(self._merged(rest) if rest and self.merge else self._wide(rest))
        return [next(of_narrow)[:, 0] if same else next(of_rest) for same in narrow]

    def _wide(self, tables: list[TopicTable]) -> list[Values]:
        return [_mean_over_groups(*both) for both in self._resampled(tables)] if tables else []

    def _merged(self, tables: list[TopicTable]) -> list[Values]:
        """The same, where groups with equal counts are added up before topics are drawn."""
        merged = []
        for table in tables:
            order, starts, counted = table.counted.alike
            merged.append(TopicTable.counted_as(np.add.reduceat(table.sums[:, order], starts, axis=1), counted))
        macros: list[Values] = []
        for table, (sums, counts) in zip(tables, self._resampled(merged), strict=True):
            with np.errstate(divide="ignore", invalid="ignore"):
                macro = (sums / counts).sum(axis=1) / table.counts.shape[1]
            # Where a group has no query in a sample, the mean is over the others.
            macros.append(macro if counts.min() > 0 and np.isfinite(macro).all() else self._wide([table])[0])
        return macros


def _mean_over_groups(sums: Values, counts: Values) -> Values:
    """``mean_of_present(divide_or_nan(sums, counts))``, float64 (replicates,)."""
    if counts.shape[1] and counts.min() > 0:
        # Where all groups have queries in all samples, all means are there, unless a value is NaN.
        added = (sums / counts).sum(axis=1)
        if np.isfinite(added).all():
            return np.asarray(added / counts.shape[1])
    return mean_of_present(divide_or_nan(sums, counts))


# Cached, because checks and the board ask for the same samples again and again.
@lru_cache(maxsize=4)
def _drawn(topics: int, replicates: int, seed: int) -> Values:
    rng = np.random.default_rng(seed)
    weights = np.empty((replicates, topics))
    # The generator gives the same draws whatever the size of a piece.
    for start in range(0, replicates, _DRAWN):
        piece = weights[start : start + _DRAWN]
        cells = np.arange(len(piece))[:, None] * topics + rng.integers(0, topics, size=piece.shape)
        piece[:] = np.bincount(cells.ravel(), minlength=piece.size).reshape(piece.shape)
    weights.flags.writeable = False
    return weights


def interval(samples: Values) -> tuple[float, float] | None:
    """The 95 % percentile interval (Efron and Tibshirani 1993, chapter 13) of samples, float64 (replicates,).

    None if the statistic is undefined in any sample.
    """
    return intervals([samples])[0]


def intervals(samples: Sequence[Values]) -> list[tuple[float, float] | None]:
    """The :func:`interval` of each of several statistics with as many samples."""
    if not samples:
        return []
    tail, together = (1 - CONFIDENCE) / 2, np.stack(samples)
    whole = np.asarray(np.isfinite(together).all(axis=1))
    bounds = np.quantile(np.where(whole[:, None], together, 0.0), [tail, 1 - tail], axis=1).T.tolist()
    return [(low, high) if defined else None for (low, high), defined in zip(bounds, whole.tolist(), strict=True)]


def sign_flips(values: Values, permutations: int = PERMUTATIONS, seed: int = SEED) -> Iterator[Values]:
    """Add up values over topics after giving each topic a random sign, the same in all columns.

    If two models do not differ, both signs of a topic's difference are equally likely. ``values`` is float64 (topics, columns),
    what each topic adds to a number. The sums come in pieces, float64 (up to 1,000 sign vectors, columns).
    """
    generator = np.random.default_rng(seed)
    # Made once: a new array of this size would cost a page fault every 4 kB.
    signs = np.empty((min(_SIGNS, permutations), len(values)))
    for start in range(0, permutations, _SIGNS):
        piece = signs[: min(_SIGNS, permutations - start)]
        np.multiply(generator.integers(0, 2, size=piece.shape, dtype=np.int8), 2.0, out=piece)
        piece -= 1
        yield piece @ values


def permutation_p(differences: Values, permutations: int = PERMUTATIONS, seed: int = SEED) -> Values:
    """Two-sided p-values of Fisher's paired randomisation test (for retrieval: Smucker, Allan and Carterette 2007, CIKM).

    ``differences`` is float64 (topics, columns), what each topic adds to the difference of two models. The p-value, float64
    (columns,), is the share of sign vectors under which the sum is at least as far from 0 as the true one. The true signs count
    as one of these vectors, so p is never 0 (Phipson and Smyth 2010): the smallest possible p is 1 / (permutations + 1).
    """
    least = np.abs(differences.sum(axis=0)) * (1 - _SLACK)
    hits = np.zeros(differences.shape[1])
    for sums in sign_flips(differences, permutations, seed):
        hits += (np.abs(sums) >= least).sum(axis=0)
    return np.asarray((1 + hits) / (1 + permutations))


def holm(p: Values) -> Values:
    """Correct the p-values of one family of tests, float64 (tests,), by Holm's step-down method (Holm 1979).

    The smallest of n p-values is multiplied by n, the next one by n - 1, and so on. A corrected p-value is at least the one
    before it, and at most 1.

    >>> holm(np.array([0.04, 0.01, 0.5])).tolist()
    [0.08, 0.03, 0.5]
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def pairwise_p(shares: Values, permutations: int = PERMUTATIONS, seed: int = SEED) -> Values:
    """Test all pairs of models, corrected for their number by step-down maxT (Westfall and Young 1993, algorithm 4.1).

    ``shares`` is float64 (topics, models), what each topic adds to a model's score. The p-values are float64 (models, models),
    symmetric, 1 on the diagonal. A board of many models makes many comparisons, and some differences look large by chance alone.
    So the strongest difference is compared with the largest difference that chance gives among all pairs. Each weaker difference
    is compared with the largest among its own pair and all weaker pairs. All pairs see the same signs, which keeps their
    dependence.

    Three models on ten topics: the second is steady, the first is as good on average, and the third is worse everywhere. The test
    finds no difference between the first two, and finds both better than the third:

    >>> shares = np.array([[6, 5, 3], [4, 5, 3]] * 5) / 10
    >>> (pairwise_p(shares) < 0.05).tolist()
    [[False, False, True], [False, False, True], [True, True, False]]
    """
    models = shares.shape[1]
    p = np.ones((models, models))
    if models < 2:
        return p
    first, second = np.triu_indices(models, 1)
    # The statistic of a pair is the sum of its differences over topics, divided by the root of their squares: pairs that differ
    # steadily and pairs that differ wildly become comparable. Signs do not change the divisor, so it is computed once.
    scale = np.sqrt(np.stack([((shares[:, [i]] - shares) ** 2).sum(axis=0) for i in range(models)]))[first, second]
    # Two models that differ by rounding alone do not differ, but division by a tiny scale would make them look different.
    safe = np.where(scale > 1e-12 * np.abs(shares).sum(axis=0).max(initial=0.0), scale, np.inf)
    totals = shares.sum(axis=0)
    observed = np.abs(totals[first] - totals[second]) / safe
    # In ascending order, the running maximum over the pairs so far is the largest statistic among a pair and all weaker ones:
    # what step-down compares the pair with.
    order = np.argsort(observed, kind="stable")
    first, second, safe = first[order], second[order], safe[order]
    least = observed[order] * (1 - _SLACK)
    hits = np.zeros(len(order))
    for signed in sign_flips(shares, permutations, seed):
        # A sum of differences is a difference of sums: models are summed once, not every pair.
        sums = np.ascontiguousarray(signed.T)
        largest = np.zeros(sums.shape[1])
        rows = max(1, _CELLS // sums.shape[1])
        for start in range(0, len(order), rows):
            part = slice(start, start + rows)
            statistics = sums[first[part]]
            statistics -= sums[second[part]]
            np.abs(statistics, out=statistics)
            statistics /= safe[part, None]
            # Row by row: np.maximum.accumulate along this axis takes six times as long.
            for row in statistics:
                largest = np.maximum(row, largest, out=row)
            hits[part] += np.count_nonzero(statistics >= least[part, None], axis=1)
    # A weaker pair must not get a smaller p than a stronger one.
    corrected = np.maximum.accumulate(((1 + hits) / (1 + permutations))[::-1])[::-1]
    p[first, second] = p[second, first] = corrected
    return p


def shown_better(shares: Values, higher_is_better: bool, level: float = 1 - CONFIDENCE) -> NDArray[np.int8]:
    """Which of two models is shown to be better, for all pairs: int8 (models, models).

    1 where the model of the row is better than that of the column by :func:`pairwise_p`, -1 where it is worse, and 0 where no
    difference is shown. Of the three models there, the first two are better than the third:

    >>> shares = np.array([[6, 5, 3], [4, 5, 3]] * 5) / 10
    >>> shown_better(shares, higher_is_better=True).tolist()
    [[0, 0, 1], [0, 0, 1], [-1, -1, 0]]
    """
    totals = shares.sum(axis=0) * (1 if higher_is_better else -1)
    shown = _shown(shares, level, RANK_PERMUTATIONS)
    return np.asarray(np.sign(totals[:, None] - totals[None, :]) * shown, dtype=np.int8)


def _shown(shares: Values, level: float, permutations: int, seed: int = SEED) -> NDArray[np.bool_]:
    """Which pairs of models have a p below ``level`` by :func:`pairwise_p`, bool (models, models), several times as fast.

    No p is computed. Pairs whose statistic is beyond the largest one of all pairs are shown to differ. What is beyond the largest
    of the other pairs follows, and so on until no pair is added: these are the steps of the step-down.
    """
    models = shares.shape[1]
    apart = _apart(shares)
    # As in pairwise_p, models that differ by rounding alone do not differ.
    differ = apart > 1e-12 * np.abs(shares).sum(axis=0).max(initial=0.0)
    weight = np.divide(1.0, apart, out=np.zeros_like(apart), where=differ)
    totals = shares.sum(axis=0)
    least = np.abs(totals[:, None] - totals[None, :]) * weight * (1 - _SLACK)
    # What is common to all models has no part in a difference, and would cost digits.
    signed = sign_flips(shares - shares.mean(axis=1, keepdims=True), permutations, seed)
    sums = np.ascontiguousarray(np.concatenate(list(signed)).T)
    # So many sign vectors may reach the statistic of a pair that is shown.
    allowed = max((k for k in range(permutations) if (1 + k) / (1 + permutations) < level), default=-1)
    left = np.triu(np.ones((models, models), dtype=bool), 1)
    while left.any() and allowed >= 0:
        shown = left & (least > _at_place(sums, weight, left, allowed))
        if not shown.any():
            break
        left &= ~shown
    return ~(left | left.T | np.eye(models, dtype=bool)) if allowed >= 0 else np.zeros_like(left)


def _at_place(sums: Values, weight: Values, pairs: NDArray[np.bool_], place: int) -> float:
    """The largest statistic among some pairs, by sign vector; of these, the one at a place from above, which counts from 0.

    Single precision finds the sign vectors that can stand there, at half the cost, and double precision decides among them.
    """
    rough = _largest(sums.astype(np.float32), weight.astype(np.float32), pairs)
    error = float(np.abs(sums).max(initial=0.0)) * float(weight[pairs].max(initial=0.0)) * 2.0**-21
    error += float(rough.max(initial=0.0)) * 2.0**-21
    near = np.flatnonzero(np.abs(rough - np.sort(rough)[::-1][place]) <= 2 * error)
    above = int((rough > rough[near].max()).sum())
    exact = _largest(np.ascontiguousarray(sums[:, near]), weight, pairs)
    return float(np.sort(exact)[::-1][place - above])


def _apart(shares: Values) -> Values:
    """The root of the sum of squared differences of each pair of models, float64 (models, models)."""
    by_model = np.ascontiguousarray(shares.T)
    squares = (by_model**2).sum(axis=1)
    both = squares[:, None] + squares[None, :]
    result = both - 2 * by_model @ by_model.T
    # Where models are close, the difference of the large sums is mostly rounding.
    first, second = np.nonzero(np.triu(result < 1e-4 * both, 1))
    rows = max(1, _CELLS // max(1, by_model.shape[1]))
    for start in range(0, len(first), rows):
        a, b = first[start : start + rows], second[start : start + rows]
        result[a, b] = result[b, a] = ((by_model[a] - by_model[b]) ** 2).sum(axis=1)
    np.fill_diagonal(result, 0)
    return np.asarray(np.sqrt(np.maximum(result, 0)))


def _largest(sums: NDArray[Any], weight: NDArray[Any], pairs: NDArray[np.bool_]) -> NDArray[Any]:
    """The largest statistic among some pairs for each sign vector, (sign vectors,). ``sums`` has the sums by model."""
    largest = np.zeros(sums.shape[1], dtype=sums.dtype)
    rows = max(1, _CELLS // sums.shape[1])
    for i, chosen in enumerate(pairs):
        others = np.flatnonzero(chosen)
        for start in range(0, len(others), rows):
            part = others[start : start + rows]
            # A slice is not copied.
            whole = part[-1] - part[0] + 1 == len(part)
            statistics = sums[slice(part[0], part[-1] + 1) if whole else part] - sums[i]
            np.abs(statistics, out=statistics)
            statistics *= weight[i, part, None]
            np.maximum(largest, statistics.max(axis=0), out=largest)
    return largest


def ranks_of(better: NDArray[np.int8]) -> NDArray[np.int64]:
    """The best and the worst rank that each model can have, of :func:`shown_better`: int64 (models, 2).

    A model that is shown to be worse than k others has rank k + 1 or later; its worst rank follows in the same way.
    """
    return np.stack([1 + (better < 0).sum(axis=1), len(better) - (better > 0).sum(axis=1)], axis=1)


def rank_intervals(shares: Values, higher_is_better: bool, level: float = 1 - CONFIDENCE) -> NDArray[np.int64]:
    """The best and the worst rank that each model can have, by tests of all pairs of models: int64 (models, 2).

    See :func:`ranks_of`. The probability that any interval is wrong is at most ``level`` (Al Mohamad, Goeman and van Zwet 2022,
    Biometrics; they use Tukey's test, and this function uses maxT). Of the three models of :func:`pairwise_p`, the first two
    share the ranks 1 and 2, and the third has rank 3:

    >>> shares = np.array([[6, 5, 3], [4, 5, 3]] * 5) / 10
    >>> rank_intervals(shares, higher_is_better=True).tolist()
    [[1, 2], [1, 2], [3, 3]]
    >>> rank_intervals(shares, higher_is_better=False).tolist()
    [[2, 3], [2, 3], [1, 1]]
    """
    return ranks_of(shown_better(shares, higher_is_better, level))
