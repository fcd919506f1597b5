"""Values by topic and group, and their means."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clirbench.metrics.retrieval import Values


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


def mean_of_present(values: Values) -> Values:
    """float64 (rows,): mean over the columns that are not NaN, NaN where none is."""
    present = ~np.isnan(values)
    return _divide(np.where(present, values, 0.0).sum(axis=1), present.sum(axis=1).astype(np.float64))


def _divide(numerator: Values, denominator: Values) -> Values:
    quotient: Values = np.full(np.shape(numerator), np.nan)
    return np.divide(numerator, denominator, where=denominator > 0, out=quotient)


def shares_of_macro(difference: Table, columns: NDArray[np.intp] | slice) -> Values:
    """float64 (topics,): what each topic adds to the mean over some groups of a table of differences; they sum to it."""
    sums, counts = difference.sums[:, columns], difference.queries[columns]
    present = counts > 0
    return np.asarray((sums[:, present] / counts[present]).sum(axis=1) / max(present.sum(), 1))
