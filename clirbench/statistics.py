"""Bootstrap intervals: topics are resampled, so that the parallel queries of one topic move together."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from clirbench.metrics import Values

REPLICATES = 1000
SEED = 20240810
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Table:
    """Values by topic and group (a language, or a pair of languages), as sums and counts.

    Attributes:
        sums: float64 (topics, groups), sum of the values of the topic's queries in the group.
        counts: float64 (topics, groups), how many they are.
    """

    sums: Values
    counts: Values

    @classmethod
    def of(cls, topic: NDArray[np.int32], group: NDArray[np.intp], values: Values, shape: tuple[int, int]) -> "Table":
        """Gather one value per ranking; NaN values are left out."""
        present = ~np.isnan(values)
        key = topic[present].astype(np.intp) * shape[1] + group[present]
        sums = np.bincount(key, weights=values[present], minlength=shape[0] * shape[1])
        counts = np.bincount(key, minlength=shape[0] * shape[1])
        return cls(sums.reshape(shape).astype(np.float64), counts.reshape(shape).astype(np.float64))

    @cached_property
    def queries(self) -> Values:
        """float64 (groups,): number of queries of each group."""
        return np.asarray(self.counts.sum(axis=0))

    @cached_property
    def means(self) -> Values:
        """float64 (groups,): mean over the group's queries, NaN for an empty group."""
        return _divide(self.sums.sum(axis=0), self.queries)

    @property
    def macro(self) -> float:
        """Mean over the groups that have queries; NaN where none has."""
        return float(mean_of_present(self.means[None])[0])

    @property
    def micro(self) -> float:
        """Mean over all queries; NaN where there is none."""
        return float(_divide(self.sums.sum(keepdims=True).ravel(), self.counts.sum(keepdims=True).ravel())[0])


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


# A check or a board asks for the same samples again and again.
@lru_cache(maxsize=4)
def _drawn(topics: int, replicates: int, seed: int) -> Values:
    drawn = np.random.default_rng(seed).integers(0, topics, size=(replicates, topics))
    cells = (np.arange(replicates)[:, None] * topics + drawn).ravel()
    weights = np.bincount(cells, minlength=replicates * topics).reshape(replicates, topics).astype(np.float64)
    weights.flags.writeable = False
    return weights


def interval(samples: Values) -> tuple[float, float] | None:
    """Percentile interval of 95 % of samples of shape (replicates,); None where the statistic was undefined in a sample."""
    if not np.isfinite(samples).all():
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def mean_of_present(values: Values) -> Values:
    """float64 (rows,): mean over the columns that are not NaN, NaN where none is."""
    present = ~np.isnan(values)
    return _divide(np.where(present, values, 0.0).sum(axis=1), present.sum(axis=1).astype(np.float64))


def _divide(numerator: Values, denominator: Values) -> Values:
    quotient: Values = np.full(np.shape(numerator), np.nan)
    return np.divide(numerator, denominator, where=denominator > 0, out=quotient)
