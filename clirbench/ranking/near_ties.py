"""The scores of one tile of a shard against those of the golds: what float32 can decide, and what float64 has to.

A gold's score has two bounds, as far from it as the rounding of a float32 product can reach: a candidate below the first does
not reach the gold, one above the second does, and one between them is compared in float64.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clirbench.ranking.kernel import LANES, RUN, tally, tally_flags

Vectors = NDArray[np.float32]
# More candidates of a tile so near one gold are no accident: they count as ties.
_MANY = 256
# Golds whose near candidates are looked for at a time: bounds memory.
_CELLS = 128
_EXACT_AT_A_TIME = 512
# Where more than one in so many candidates may reach a query's last gold, listing them takes longer than comparing all.
_CROWD = 32


def exact_products(
    left: Vectors, left_row: NDArray[np.intp], right: Vectors, right_row: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Inner products of pairs of rows in float64: the same two vectors give the same number, wherever they stand.

    Args:
        left: float32 (rows, dimensions).
        left_row: intp (pairs,).
        right: float32 (rows, dimensions).
        right_row: intp (pairs,).

    Returns:
        float64 (pairs,).
    """
    found = np.empty(len(left_row))
    for start in range(0, len(left_row), _EXACT_AT_A_TIME):
        part = slice(start, start + _EXACT_AT_A_TIME)
        # The sum over a contiguous row is pairwise, whatever the row's place; a product of matrices would not be.
        found[part] = (left[left_row[part]].astype(np.float64) * right[right_row[part]]).sum(axis=1)
    return found


@dataclass(frozen=True)
class TileScores:
    """Some queries with their golds' scores, and a tile of candidates.

    Attributes:
        queries: float32 (queries, dimensions).
        exact: float64 (queries, slots), scores of the golds; inf where there is none.
        tile: float32 (candidates, dimensions), a multiple of ``LANES`` of them.
    """

    queries: Vectors
    exact: NDArray[np.float64]
    tile: Vectors

    def reached(self, scores: Vectors, below: Vectors, above: Vectors, flags: NDArray[np.bool_]) -> NDArray[np.int32]:
        """How many candidates reach the score of each gold.

        Args:
            scores: float32 (queries, candidates), the float32 product, contiguous; -inf where it is not to be compared.
            below: float32 (queries, slots), under which no score reaches the gold's; inf where there is none.
            above: float32 (queries, slots), from which every score does.
            flags: bool, room for as many values as ``scores`` has.

        Returns:
            int32 (queries, slots).
        """
        # Most queries find their golds: few candidates of most tiles reach even the last of them, and one look finds those.
        found = flags[: scores.size].reshape(scores.shape)
        np.greater_equal(scores, below.min(axis=1, initial=np.inf)[:, None], out=found)
        crowded = tally_flags(found, self._run_starts) > scores.shape[1] // _CROWD
        found[crowded] = False
        counts = self._listed(scores, np.flatnonzero(found), below, above)
        row = np.flatnonzero(crowded)
        if len(row):
            counts[row] = self._compared(
                scores if len(row) == len(scores) else scores[row], row, below[row], above[row]
            )
        return counts

    @property
    def _run_starts(self) -> NDArray[np.intp]:
        return np.arange(0, len(self.tile), RUN) // LANES

    def _listed(self, scores: Vectors, at: NDArray[np.intp], below: Vectors, above: Vectors) -> NDArray[np.int32]:
        """As :meth:`reached`, of the few candidates at these places of ``scores``, in reading order."""
        row = at // scores.shape[1]
        score = scores.reshape(-1)[at]
        counts = np.zeros(below.shape, dtype=np.int32)
        for slot in range(below.shape[1]):
            does = score >= above[row, slot]
            counts[:, slot] = np.bincount(row[does], minlength=len(counts))
            near = np.flatnonzero((score >= below[row, slot]) & ~does)
            if len(near):
                near_of_row = np.bincount(row[near], minlength=len(counts))
                tied = near_of_row > _MANY
                counts[tied, slot] += near_of_row[tied].astype(np.int32)
                near = near[~tied[row[near]]]
                self._decide(counts, row[near], row[near], at[near] % scores.shape[1], np.full(len(near), slot))
        return counts

    def _compared(self, scores: Vectors, query: NDArray[np.intp], below: Vectors, above: Vectors) -> NDArray[np.int32]:
        """As :meth:`reached`, for these queries, by comparing all."""
        may, does = (
            tally(scores, bound, self._run_starts, np.zeros(1, dtype=np.intp))[:, :, 0] for bound in (below, above)
        )
        near = may - does
        tied = near > _MANY
        does[tied] = may[tied]
        rows, slots = np.nonzero((near > 0) & ~tied)
        for start in range(0, len(rows), _CELLS):
            row, slot = (indices[start : start + _CELLS] for indices in (rows, slots))
            chosen = scores[row]
            cell, column = np.nonzero((chosen >= below[row, slot, None]) & (chosen < above[row, slot, None]))
            self._decide(does, row[cell], query[row[cell]], column, slot[cell])
        return does

    def _decide(
        self,
        counts: NDArray[np.int32],
        row: NDArray[np.intp],
        query: NDArray[np.intp],
        column: NDArray[np.intp],
        slot: NDArray[np.intp],
    ) -> None:
        """Add to the counts the candidates whose score reaches the gold's in float64."""
        reached = exact_products(self.queries, query, self.tile, column) >= self.exact[query, slot]
        np.add.at(counts, (row, slot), reached)
