"""Compare one tile of a shard with the scores of golds: float32 decides what it can, float64 decides the rest.

A float32 product is fast and slightly off. So each gold's score gets a low and a high bound, farther from it than rounding can
reach. A candidate below the low bound scores less than the gold. A candidate at or above the high bound scores more. Only the
candidates in between are scored again in float64 and given to the tie rule (:func:`clirbench.ranking.kernel.outranks`). There
is one exception: where more than 256 candidates of a tile lie between the bounds of one gold, all of them count as ties, and
the gold loses these ties.

Numba, where it is installed, makes the same comparisons in a fraction of the time (:mod:`clirbench.ranking.compiled`).
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import DenseVectors, Vectors
from clirbench.ranking.device import Device, Held
from clirbench.ranking.kernel import LANES, MANY_NEAR, OVERFLOW, RUN, outranks, tally, tally_flags, unbuffered
from clirbench.support.errors import ClirbenchError

_Scores = NDArray[np.float32]
# Golds that are handled at a time; this bounds memory.
_CELLS = 128
_EXACT_AT_A_TIME = 128
# If more than 1 in _CROWD candidates may reach a query's last gold, listing them takes longer than comparing all.
_CROWD = 20
# About so many scores are compared with every gold at a time. Fewer would stay in a core's second-level cache, but more calls of
# NumPy take longer than the third-level cache does.
_COMPARED = 2**19
# NumPy makes so many comparisons of a score with a gold in about the time that Numba takes to load.
_BEFORE_NUMBA = 2**31
# Undecided candidates that are listed at a time; this bounds memory.
_UNDECIDED = 2**14
# Half the distance from 1 to the next float32: the largest relative error of one operation.
_UNIT = 2.0**-24
# Twice that, and the smallest positive float32.
_STEP, _SMALLEST = 2.0**-23, 2.0**-149
# Larger than any finite score.
_LARGEST = 2.0**1000


def largest_error(dimensions: int) -> float:
    """The largest error of a float32 product of two vectors, as a share of the product of their norms.

    It holds for every order of additions, so for every BLAS and every device that adds in float32 (Higham 2002, Accuracy and
    Stability of Numerical Algorithms, section 3.1). Errors are mostly far smaller, but those of equal values all point the same
    way, and a collapsed encoder gives equal values.
    """
    rounded = dimensions * _UNIT
    # The norms are rounded too, by much less than a hundredth.
    return 1.01 * rounded / (1 - rounded)


def exact_products(
    left: DenseVectors, left_row: NDArray[np.intp], right: DenseVectors, right_row: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Inner products of pairs of rows, float64 (pairs,); the same two vectors give the same number wherever they stand."""
    products = np.empty(len(left_row))
    for start in range(0, len(left_row), _EXACT_AT_A_TIME):
        part = slice(start, start + _EXACT_AT_A_TIME)
        # NumPy adds up a contiguous row pairwise, whatever the row's place. A BLAS product of matrices depends on the place.
        products[part] = (left[left_row[part]].astype(np.float64) * right[right_row[part]]).sum(axis=1)
    return products


def norms_of(queries: DenseVectors) -> NDArray[np.float64]:
    """Euclidean norms of vectors, float64 (vectors,)."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", queries, queries, dtype=np.float64)))


def longest_of(candidates: DenseVectors) -> float:
    """The largest Euclidean norm of some vectors, as float32 adds it up; inf where it overflows."""
    with np.errstate(over="ignore"):
        return float(np.sqrt(np.einsum("ij,ij->i", candidates, candidates).max(initial=0)))


def score_bounds(
    norms: NDArray[np.float64], candidates: DenseVectors, exact: NDArray[np.float64], longest: float | None = None
) -> tuple[_Scores, _Scores]:
    """The lowest and the highest float32 scores that golds may have after rounding: float32 (queries, slots) each.

    ``norms`` is float64 (queries,), of :func:`norms_of`. ``exact`` is float64 (queries, slots), the scores of the golds; inf
    where a query has no gold in the slot, and the bounds are inf there too. ``longest`` is the largest norm of the candidates,
    or an upper bound of it; None to compute it.

    Raises:
        ClirbenchError: A product could overflow float32.
    """
    if longest is None:
        longest = longest_of(candidates)
    if not np.isfinite(longest):
        raise ClirbenchError(OVERFLOW)
    margin = (largest_error(candidates.shape[1]) * longest * norms)[:, None]
    # Rounding a bound to float32 must not move it inwards, so each is moved outwards by more than float32 rounds.
    # Without a gold, an infinite margin would leave no number; any finite one leaves the bounds infinite.
    margin = margin * (1 + _STEP) + np.minimum(np.abs(exact), _LARGEST) * _STEP + _SMALLEST
    return (exact - margin).astype(np.float32), (exact + margin).astype(np.float32)


def exact_scores(queries: Vectors, candidates: Vectors) -> NDArray[np.floating[Any]]:
    """Scores of a few queries and all candidates, (queries, candidates), that order them as they are counted.

    They are float64 for dense vectors (:func:`exact_products`), and float32 for sparse ones.
    """
    if isinstance(queries, np.ndarray) and isinstance(candidates, np.ndarray):
        every = np.arange(len(candidates))
        rows = [exact_products(queries, np.full_like(every, row), candidates, every) for row in range(len(queries))]
        return np.stack(rows) if rows else np.empty((0, len(candidates)))
    from scipy import sparse

    return np.asarray((sparse.csr_array(queries) @ sparse.csr_array(candidates.T)).toarray())


def reach(
    queries: DenseVectors | Held,
    query: NDArray[np.intp],
    tile: DenseVectors | Held,
    column: NDArray[np.intp],
    gold: NDArray[np.float64],
    device: Device | None = None,
) -> NDArray[np.bool_]:
    """Decide in float64 which wrong candidates outrank golds: bool (pairs,).

    ``query`` and ``column`` are intp (pairs,), rows of ``queries`` and ``tile``; ``gold`` is float64 (pairs,), the golds' scores.
    A device decides the pairs whose order no rounding can change. The others are decided here, as all are without a device.
    """
    if not isinstance(queries, Held) or not isinstance(tile, Held):
        return outranks(exact_products(queries, query, tile, column), gold, wins_ties=True)  # type: ignore[arg-type]
    assert device is not None  # noqa: S101
    above, near = device.compared(queries, query, tile, column, gold)
    rest = np.flatnonzero(near)
    scores = exact_products(queries.vectors, query[rest], tile.vectors, column[rest])
    above[rest] = outranks(scores, gold[rest], wins_ties=True)
    return above


class _Made:
    """How many scores this process has compared with golds. Numba is worth its time to load where they are many."""

    comparisons = 0
    guard = threading.Lock()


def compiled(comparisons: int) -> Callable[..., tuple[int, int]] | None:
    """The comparison compiled by Numba, for so many more comparisons; None where they are NumPy's, or without Numba."""
    with _Made.guard:
        _Made.comparisons += comparisons
        return load_compiled() if _Made.comparisons > _BEFORE_NUMBA else None


@cache
def load_compiled() -> Callable[..., tuple[int, int]] | None:
    """:func:`clirbench.ranking.compiled.count_rows`; None where Numba is not installed, or cannot compile here."""
    try:
        from clirbench.ranking.compiled import count_rows
    except (ImportError, OSError, RuntimeError):
        return None
    return count_rows


def _run(rows: NDArray[np.intp]) -> NDArray[np.intp] | slice:
    """Ascending numbers of rows, as a slice where they follow one another: NumPy copies no row of a slice."""
    return slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] == len(rows) - 1 else rows


@dataclass(frozen=True)
class TileComparison:
    """Some queries with the scores of their golds, and a tile of candidates to compare them with.

    The gold scores 1. Of three candidates, the first scores more, the second scores exactly as much, and the third scores less,
    by too little for float32 to tell. The bounds leave the second and the third to float64, and two candidates outrank the
    gold: the better one, and the one that ties.

    >>> tile = np.zeros((8, 1), dtype=np.float32)
    >>> tile[:3, 0] = 2, 1, 1 - 2**-24
    >>> query, gold = np.ones((1, 1), dtype=np.float32), np.ones((1, 1))
    >>> scores, low, high = query @ tile.T, np.float32([[0.999]]), np.float32([[1.001]])
    >>> TileComparison(query, gold, tile).count(scores, low, high, np.empty(24, dtype=np.bool_)).tolist()
    [[2]]

    Attributes:
        queries: float32 (queries, dimensions).
        exact: float64 (queries, slots), scores of the golds; inf where a query has no gold in the slot.
        tile: float32 (candidates, dimensions); the number of candidates is a multiple of ``LANES``.
        device: Where the scores are, and both kinds of vectors are held; None for NumPy.
    """

    queries: DenseVectors | Held
    exact: NDArray[np.float64]
    tile: DenseVectors | Held
    device: Device | None = None

    def count(self, scores: _Scores, low: _Scores, high: _Scores, flags: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Count the candidates of the tile that outrank each gold, as if all of them were wrong.

        Args:
            scores: float32 (queries, candidates), C-contiguous, the float32 products; -inf for what must not be compared.
            low: float32 (queries, slots); a candidate below it does not reach the gold. inf where a query has no gold in the
                slot.
            high: float32 (queries, slots); a candidate at or above it outranks the gold.
            flags: bool, at least three times as many values as ``scores`` has; overwritten.

        Returns:
            int32 (queries, slots).
        """
        count_rows = compiled(scores.size * low.shape[1])
        if count_rows:
            return self._count_compiled(count_rows, scores, low, high)
        # In most tiles of a large corpus, few candidates reach a query's last gold, or none. One comparison finds them.
        near_or_above = flags[: scores.size].reshape(scores.shape)
        with unbuffered():
            np.greater_equal(scores, low.min(axis=1, initial=np.inf)[:, None], out=near_or_above)
        reaching = tally_flags(near_or_above, self._run_starts)
        counts = np.zeros(low.shape, dtype=np.int32)
        few = np.flatnonzero((reaching > 0) & (reaching <= scores.shape[1] // _CROWD))
        if len(few):
            row, column = np.divmod(np.flatnonzero(near_or_above[few]), scores.shape[1])
            self._listed(counts, scores, few[row], column, (low, high))
        # For a query with many such candidates, every gold is compared with every candidate instead.
        query = np.flatnonzero(reaching > scores.shape[1] // _CROWD)
        for part in np.array_split(query, -(-len(query) * scores.shape[1] // _COMPARED)) if len(query) else ():
            counts[part] = self._every(scores[_run(part)], part, (low[part], high[part]), flags)
        return counts

    @property
    def _run_starts(self) -> NDArray[np.intp]:
        width = len(self.tile.vectors if isinstance(self.tile, Held) else self.tile)
        return np.arange(0, width, RUN) // LANES

    def _count_compiled(
        self, count_rows: Callable[..., tuple[int, int]], scores: _Scores, low: _Scores, high: _Scores
    ) -> NDArray[np.int32]:
        """Do the work of :meth:`count` with Numba, except for what float64 has to decide by the tie rule."""
        counts = np.empty(low.shape, dtype=np.int32)
        undecided = np.empty((max(_UNDECIDED, MANY_NEAR * low.shape[1]), 3), dtype=np.intp)
        vectors, bounds = (
            (np.ascontiguousarray(first), np.ascontiguousarray(second))
            for first, second in ((self.queries, self.tile), (low, high))
        )
        exact, row = np.ascontiguousarray(self.exact), 0
        while row < len(scores):
            row, written = count_rows(vectors, scores, bounds, exact, counts, undecided, row)
            query, column, slot = undecided[:written].T
            self._decide(counts, query, query, column, slot)
        return counts

    def _listed(
        self,
        counts: NDArray[np.int32],
        scores: _Scores,
        row: NDArray[np.intp],
        column: NDArray[np.intp],
        bounds: tuple[_Scores, _Scores],
    ) -> None:
        """Do the work of :meth:`count` for a few cells of ``scores``, and add it to ``counts``; no other cell reaches a bound."""
        score = scores[row, column]
        for slot, (low, high) in enumerate(zip(*(bound.T for bound in bounds), strict=True)):
            surely = score >= high[row]
            counts[:, slot] += np.bincount(row[surely], minlength=len(counts)).astype(np.int32)
            near = np.flatnonzero((score >= low[row]) & ~surely)
            if len(near):
                near_of_row = np.bincount(row[near], minlength=len(counts))
                # Too many to look at: they count as ties, and the gold loses them.
                many = near_of_row > MANY_NEAR
                counts[many, slot] += near_of_row[many].astype(np.int32)
                near = near[~many[row[near]]]
                self._decide(counts, row[near], row[near], column[near], np.full(len(near), slot))

    def _every(
        self,
        scores: _Scores,
        query: NDArray[np.intp],
        bounds: tuple[_Scores, _Scores],
        flags: NDArray[np.bool_],
    ) -> NDArray[np.int32]:
        """Do the work of :meth:`count` for the queries numbered ``query``: compare every candidate with every gold.

        The few candidates that are near any gold are listed together, so that the scores are searched once and not for each gold.
        """
        low, high = bounds
        run_starts = self._run_starts
        runs = np.empty((low.shape[1], len(low), len(run_starts)), dtype=np.uint64)
        near, reached, above = flags[: 3 * scores.size].reshape(3, *scores.shape)
        near[...] = False
        # Flags are bytes of 0 or 1, and eight of them are one integer.
        eight_near, eight_reached, eight_above = (each.view(np.uint64) for each in (near, reached, above))
        with unbuffered():
            for slot, run in enumerate(runs):
                outranks(scores, low[:, slot, None], wins_ties=True, out=reached)
                outranks(scores, high[:, slot, None], wins_ties=True, out=above)
                np.add.reduceat(eight_reached, run_starts, axis=1, out=run)
                np.bitwise_xor(eight_reached, eight_above, out=eight_above)
                np.bitwise_or(eight_near, eight_above, out=eight_near)
        counts = np.ascontiguousarray(runs.view(np.uint8).sum(axis=2, dtype=np.int32).T)
        crowded = tally_flags(near, run_starts) > MANY_NEAR
        if crowded.any():
            near[crowded] = False
            counts[crowded] = self._compared(scores[crowded], query[crowded], low[crowded], high[crowded])
        cell = np.flatnonzero(near)
        score, (row, column) = scores.reshape(-1)[cell, None], np.divmod(cell, scores.shape[1])
        at, of_slot = np.nonzero((score >= low[row]) & (score < high[row]))
        row, column = row[at], column[at]
        np.subtract.at(counts, (row, of_slot), 1)
        self._decide(counts, row, query[row], column, of_slot)
        return counts

    def count_there(self, scores: Any, low: _Scores, high: _Scores) -> NDArray[np.int32]:
        """Do the work of :meth:`count` for scores that are on a device, a tensor (queries, candidates)."""
        return self._compared(scores, np.arange(len(low)), low, high)

    def _compared(self, scores: Any, query: NDArray[np.intp], low: _Scores, high: _Scores) -> NDArray[np.int32]:
        """Do the work of :meth:`count` for the queries numbered ``query``: compare every candidate with every gold."""
        near_or_above, counts = (self._reached(scores, bound) for bound in (low, high))
        near = near_or_above - counts
        # Too many to look at: they count as ties, and the gold loses them.
        many = near > MANY_NEAR
        counts[many] = near_or_above[many]
        row, slot = np.nonzero((near > 0) & ~many)
        for cell, column in self._between(scores, row, low[row, slot], high[row, slot]):
            self._decide(counts, row[cell], query[row[cell]], column, slot[cell])
        return counts

    def _reached(self, scores: Any, bound: _Scores) -> NDArray[np.int32]:
        """Count the candidates that reach a bound: int32 (queries, slots)."""
        if self.device:
            return self.device.reached(scores, bound)
        return tally(scores, bound, self._run_starts, np.zeros(1, dtype=np.intp))[:, :, 0]

    def _between(
        self, scores: Any, row: NDArray[np.intp], low: _Scores, high: _Scores
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Find the candidates between bounds, as :meth:`clirbench.ranking.device.Device.between` does."""
        if self.device:
            yield from self.device.between(scores, row, low, high)
            return
        for start in range(0, len(row), _CELLS):
            part = slice(start, start + _CELLS)
            chosen = scores[row[part]]
            cell, column = np.nonzero((chosen >= low[part, None]) & (chosen < high[part, None]))
            yield start + cell, column

    def _decide(
        self,
        counts: NDArray[np.int32],
        row: NDArray[np.intp],
        query: NDArray[np.intp],
        column: NDArray[np.intp],
        slot: NDArray[np.intp],
    ) -> None:
        """Compare single candidates with single golds in float64, and count the candidates that outrank their golds.

        All arrays are intp (comparisons,): ``column`` is the candidate, ``slot`` the gold of ``query``, ``row`` the query's row
        in ``counts``.
        """
        gold = self.exact[query, slot]
        np.add.at(counts, (row, slot), reach(self.queries, query, self.tile, column, gold, self.device))
