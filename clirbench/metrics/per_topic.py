"""Values by topic and language, and their means: what intervals and tests resample."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clirbench.metrics.retrieval import Values


class Counted:
    """How many queries each topic has in each group, float64 (topics, groups), and what follows from that alone.

    All models on a task share these numbers, so each is computed once.
    """

    def __init__(self, counts: Values) -> None:
        self.counts = counts
        self._narrow: Counted | None = None
        self._of: dict[bytes, Counted] = {}
        self._drawn: tuple[Values, Values] | None = None

    @cached_property
    def queries(self) -> Values:
        """Number of queries of each group: float64 (groups,)."""
        return np.asarray(self.counts.sum(axis=0))

    @cached_property
    def whole(self) -> Values:
        """Number of all queries, float64 (1,)."""
        return np.asarray(self.counts.sum(keepdims=True).ravel())

    @cached_property
    def parallel(self) -> bool:
        """Whether every group has the same number of queries in each topic."""
        return self.counts.shape[1] > 0 and bool((self.counts == self.counts[:, :1]).all())

    @cached_property
    def alike(self) -> tuple[NDArray[np.intp], NDArray[np.intp], "Counted"]:
        """The groups in an order in which those with equal counts stand together, where each such set begins, and its counts.

        The order is intp (groups,), the beginnings are intp (sets,). In parallel data, the pairs of languages a-b and b-a have
        equal counts.
        """
        _, kind = np.unique(self.counts, axis=1, return_inverse=True)
        order = np.argsort(kind.ravel(), kind="stable")
        starts = np.flatnonzero(np.diff(kind.ravel()[order], prepend=-1))
        return order, starts, Counted(self.counts[:, order[starts]])

    @property
    def narrow(self) -> "Counted":
        """The counts of the first group alone."""
        if self._narrow is None:
            self._narrow = Counted(self.counts[:, :1])
        return self._narrow

    def of(self, groups: NDArray[np.intp]) -> "Counted":
        """The counts of some groups, by their numbers, intp (chosen groups,)."""
        key = groups.tobytes()
        if key not in self._of:
            self._of[key] = Counted(self.counts[:, groups])
        return self._of[key]

    def drawn(self, weights: Values) -> Values:
        """Number of queries in samples of the topics, float64 (samples, groups); ``weights`` is float64 (samples, topics)."""
        if self._drawn is None or self._drawn[0] is not weights:
            counts = weights @ self.counts
            if counts.size > _KEPT_CELLS:
                return counts
            self._drawn = weights, counts
        return self._drawn[1]


# Cells of an array that is kept.
_KEPT_CELLS = 10**6


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

    @classmethod
    def counted_as(cls, sums: Values, counted: Counted) -> "TopicTable":
        """A table with counts of which something may be known already."""
        table = cls(sums, counted.counts)
        # The place where the property below keeps its value.
        table.__dict__["counted"] = counted
        return table

    @cached_property
    def counted(self) -> Counted:
        """The counts, with what follows from them."""
        return Counted(self.counts)

    @property
    def queries(self) -> Values:
        """Number of queries of each group: float64 (groups,)."""
        return self.counted.queries

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
        return float(divide_or_nan(self.sums.sum(keepdims=True).ravel(), self.counted.whole)[0])


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
