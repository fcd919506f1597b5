"""Values by topic and language, and their means: what intervals and tests resample."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clirbench.metrics.retrieval import Values


@dataclass(frozen=True)
class TopicTable:
    """The values of one metric by topic and group. A group is a query language, or a pair of languages.

    A topic may have several queries in a group, or none: ``sums`` adds up their values, and ``counts`` says how many there are.
    Both are float64 (topics, groups).
    """

    sums: Values
    counts: Values

    @classmethod
    def of(
        cls, topic: NDArray[np.int32], group: NDArray[np.intp], values: Values, shape: tuple[int, int]
    ) -> "TopicTable":
        """Add up one value per ranking, NaN left out; ``shape`` has the numbers of topics and of groups."""
        present = ~np.isnan(values)
        cell = topic[present].astype(np.intp) * shape[1] + group[present]
        sums = np.bincount(cell, weights=values[present], minlength=shape[0] * shape[1])
        counts = np.bincount(cell, minlength=shape[0] * shape[1])
        return cls(sums.reshape(shape).astype(np.float64), counts.reshape(shape).astype(np.float64))

    @cached_property
    def queries(self) -> Values:
        """Number of queries of each group: float64 (groups,)."""
        return np.asarray(self.counts.sum(axis=0))

    @cached_property
    def means(self) -> Values:
        """Mean over the queries of each group, NaN for an empty group: float64 (groups,)."""
        return divide_or_nan(self.sums.sum(axis=0), self.queries)

    @property
    def macro(self) -> float:
        """Mean over the groups that have queries; NaN where none has."""
        return float(mean_of_present(self.means[None])[0])

    @property
    def micro(self) -> float:
        """Mean over all queries; NaN where there is none."""
        return float(divide_or_nan(self.sums.sum(keepdims=True).ravel(), self.counts.sum(keepdims=True).ravel())[0])


def mean_of_present(values: Values) -> Values:
    """Mean over the columns that are not NaN, NaN where all are: float64 (rows,)."""
    present = ~np.isnan(values)
    return divide_or_nan(np.where(present, values, 0.0).sum(axis=1), present.sum(axis=1).astype(np.float64))


def divide_or_nan(numerator: Values, denominator: Values) -> Values:
    """Quotient of two arrays of one shape, NaN where the denominator is not positive."""
    quotient: Values = np.full(np.shape(numerator), np.nan)
    return np.divide(numerator, denominator, where=denominator > 0, out=quotient)


def shares_of_macro(table: TopicTable, columns: NDArray[np.intp] | slice) -> Values:
    """What each topic adds to the mean over the groups ``columns``: float64 (topics,), with that mean as its sum.

    The table has the values of one model, or the differences of two. One topic has the values 1 and 3 in two languages, another
    has 3 in the second language only. The means of the languages are 1 and 3, and their mean is 2. The first topic adds (1/1 +
    3/2) / 2 to it, the second (3/2) / 2.

    >>> table = TopicTable(np.array([[1.0, 3.0], [0.0, 3.0]]), np.array([[1.0, 1.0], [0.0, 1.0]]))
    >>> shares_of_macro(table, slice(None)).tolist(), table.macro
    ([1.25, 0.75], 2.0)
    """
    sums, counts = table.sums[:, columns], table.queries[columns]
    present = counts > 0
    return np.asarray((sums[:, present] / counts[present]).sum(axis=1) / max(present.sum(), 1))
