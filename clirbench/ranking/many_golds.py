"""Count for queries with many golds: each candidate is looked up once among the sorted scores of the query's golds.

The comparison of :mod:`clirbench.ranking.near_ties` compares a candidate with each gold. Here one binary search says which golds
the candidate outranks, and one histogram of all candidates says how many outrank each gold. So a query with 122 golds costs
little more than one with 30. The bounds, the decision in float64 and the tie rule are the same, and so are the counts.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import DenseVectors
from clirbench.ranking.device import Device, Held
from clirbench.ranking.kernel import MANY_NEAR, workers
from clirbench.ranking.near_ties import norms_of, reach, score_bounds
from clirbench.support.blas import one_blas_thread

# Above so many golds a query, the search is at least twice as fast as comparing a candidate with every gold
# (benchmarks/many_languages.py --compare).
MANY_GOLDS = 32
# Queries of one product, and the fewest candidates of one: larger arrays would leave the cache of a core.
_ROWS = 64
_TILE = 8192
# Comparisons of candidates with bounds at a time; this bounds memory.
_COMPARED = 2**20


@dataclass(frozen=True)
class _Tile:
    """Some whole blocks of candidates: the blocks ``first`` to ``last`` - 1 in the columns ``start`` to ``stop`` - 1."""

    first: int
    last: int
    start: int
    stop: int


def count_wrong(
    queries: DenseVectors,
    candidates: DenseVectors,
    golds: tuple[NDArray[np.int32], NDArray[np.int32]],
    scores: NDArray[np.float64],
    block_starts: NDArray[np.int64],
    advance: Callable[[int], None] | None = None,
    device: Device | None = None,
) -> NDArray[np.int32]:
    """Count the wrong candidates of each block that outrank each gold pair: int32 (gold pairs, blocks).

    ``golds`` are ``gold_query`` and ``gold_candidate`` of :func:`clirbench.ranking.in_memory.count_outranked`, which has the
    other arguments too. ``scores`` is float64 (gold pairs,), the golds' scores by
    :func:`clirbench.ranking.near_ties.exact_products`. ``device`` computes and compares the scores; None for NumPy.

    Two wrong candidates score 2 and 0, and the gold scores 1:

    >>> query, candidates = np.ones((1, 1), dtype=np.float32), np.array([[2], [1], [0]], dtype=np.float32)
    >>> count_wrong(query, candidates, (np.int32([0]), np.int32([1])), np.array([1.0]), np.array([0, 3])).tolist()
    [[1]]
    """
    gold_query, gold_candidate = golds
    of_query = np.searchsorted(gold_query, np.arange(len(queries) + 1))
    slot = np.arange(len(gold_query)) - of_query[gold_query]
    exact = np.full((len(queries), int(slot.max(initial=-1)) + 1), np.inf)
    exact[gold_query, slot] = scores
    low, high = score_bounds(norms_of(queries), candidates, exact)
    wrong = np.empty((len(gold_query), len(block_starts) - 1), dtype=np.int32)
    tiles = _tiles(block_starts)
    of_thread = threading.local()
    step = device.rows_of_many_golds if device else _ROWS
    held = (device.hold(queries), device.hold(candidates)) if device else None

    def work(start: int) -> int:
        stop = min(start + step, len(queries))
        rows, pairs = slice(start, stop), slice(of_query[start], of_query[stop])
        if not device and not hasattr(of_thread, "buffer"):
            # Each thread keeps its array: a new one of this size would cost a page fault every 4 kB.
            of_thread.buffer = np.empty(_ROWS * max(tile.stop - tile.start for tile in tiles), dtype=np.float32)
        part = _Rows(held[0].part(rows) if held else queries[rows], exact[rows], low[rows], high[rows], device)
        row, column = gold_query[pairs] - start, gold_candidate[pairs]
        for tile in tiles:
            columns, width = slice(tile.start, tile.stop), tile.stop - tile.start
            inside = (column >= tile.start) & (column < tile.stop)
            starts = block_starts[tile.first : tile.last + 1] - tile.start
            # Golds are no wrong candidates of their own query.
            golds_of_tile = row[inside], column[inside] - tile.start
            if device and held:
                there = device.product(held[0].part(rows), held[1].part(columns))
                device.leave_out(there, *golds_of_tile)
                counts = part.count(there, held[1].part(columns), starts)
            else:
                of_tile = of_thread.buffer[: (stop - start) * width].reshape(stop - start, width)
                np.matmul(queries[rows], candidates[columns].T, out=of_tile)
                of_tile[golds_of_tile] = -np.inf
                counts = part.count(of_tile, candidates[columns], starts)
            wrong[pairs, tile.first : tile.last] = counts[row, slot[pairs]]
        return stop - start

    full = device.counting() if device else nullcontext()
    with full, one_blas_thread(), ThreadPoolExecutor(1 if device else workers()) as pool:
        for done in pool.map(work, range(0, len(queries), step)):
            if advance:
                advance(done)
    return wrong


def histogram(
    scores: NDArray[np.float32],
    bounds: NDArray[np.float32],
    near: NDArray[np.bool_],
    block: NDArray[np.intp],
    blocks: int,
) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.float32]]:
    """Count the candidates of each block by how many bounds of the query they reach, and list those near a gold.

    Args:
        scores: float32 (queries, candidates).
        bounds: float32 (queries, bounds), ascending.
        near: bool (queries, bounds + 1); whether a candidate that reaches so many bounds is near a gold.
        block: intp (candidates,), the block of each candidate.
        blocks: Number of blocks.

    Returns:
        The counts, int64 (queries, blocks, bounds + 1). The candidates near a gold, intp (found,): their places in ``scores``,
        numbered row by row. Their scores, float32 (found,).
    """
    bins = bounds.shape[1] + 1
    by_bin = np.empty((len(scores), blocks, bins), dtype=np.int64)
    cells: list[NDArray[np.intp]] = []
    for row, of_row in enumerate(scores):
        reached = np.searchsorted(bounds[row], of_row, side="right")
        by_bin[row] = np.bincount(block * bins + reached, minlength=blocks * bins).reshape(blocks, bins)
        cells.append(row * scores.shape[1] + np.flatnonzero(near[row][reached]))
    found = np.concatenate(cells)
    return by_bin, found, scores.reshape(-1)[found]


def _tiles(block_starts: NDArray[np.int64]) -> list[_Tile]:
    """Consecutive blocks that together have about ``_TILE`` candidates; a larger block is a tile of its own."""
    tiles: list[_Tile] = []
    for block, (start, stop) in enumerate(pairwise(block_starts.tolist())):
        if tiles and stop - tiles[-1].start <= _TILE:
            tiles[-1] = _Tile(tiles[-1].first, block + 1, tiles[-1].start, stop)
        else:
            tiles.append(_Tile(block, block + 1, start, stop))
    return tiles


class _Rows:
    """Some queries with the scores of their golds and the bounds of these scores, sorted, ready to be searched."""

    def __init__(
        self,
        queries: DenseVectors | Held,
        exact: NDArray[np.float64],
        low: NDArray[np.float32],
        high: NDArray[np.float32],
        device: Device | None = None,
    ) -> None:
        self._queries, self._exact, self._low, self._high, self._device = queries, exact, low, high, device
        bounds = np.concatenate([low, high], axis=1)
        order = np.argsort(bounds, axis=1, kind="stable")
        self._bounds = np.take_along_axis(bounds, order, axis=1)
        # Column j of the running sums below counts what reaches at least j bounds, so a bound at place j is read at j + 1.
        self._place = np.empty_like(order)
        np.put_along_axis(self._place, order, np.arange(1, order.shape[1] + 1)[None], axis=1)
        # A candidate that has passed some lower bounds and not as many upper ones is near a gold.
        opened = np.cumsum(np.where(order < low.shape[1], 1, -1), axis=1)
        self._near = np.concatenate([np.zeros((len(low), 1), dtype=np.bool_), opened > 0], axis=1)

    def count(self, scores: Any, tile: DenseVectors | Held, block_starts: NDArray[np.int64]) -> NDArray[np.int32]:
        """Count the candidates of each block of a tile that outrank each gold: int32 (queries, slots, blocks).

        ``scores`` is float32 (queries, candidates), -inf for what must not be counted; a tensor where a device counts.
        """
        slots, blocks = self._low.shape[1], len(block_starts) - 1
        block = np.repeat(np.arange(blocks), np.diff(block_starts))
        counts = np.empty((len(self._low), slots, blocks), dtype=np.int32)
        near = np.empty_like(counts)
        count = self._device.histogram if self._device else histogram
        by_bin, cells, of_cells = count(scores, self._bounds, self._near, block, blocks)
        for row, of_row in enumerate(by_bin):
            at_least = of_row[:, ::-1].cumsum(axis=1)[:, ::-1][:, self._place[row]].T
            counts[row] = at_least[slots:]
            near[row] = at_least[:slots] - at_least[slots:]
        # Too many to look at: they count as ties, and the gold loses them.
        many = near > MANY_NEAR
        counts[many] += near[many]
        self._decide(counts, of_cells, tile, np.divmod(cells, scores.shape[1]), block, many)
        return counts

    def _decide(
        self,
        counts: NDArray[np.int32],
        scores: NDArray[np.float32],
        tile: DenseVectors | Held,
        cells: tuple[NDArray[np.intp], NDArray[np.intp]],
        block: NDArray[np.intp],
        many: NDArray[np.bool_],
    ) -> None:
        """Compare the candidates that are near golds with these golds in float64, and count those that outrank them.

        ``cells`` are their rows and columns, ``scores`` their scores. Golds of the blocks in ``many`` are counted already.
        """
        row, column = cells
        all_counted: NDArray[np.bool_] = np.all(many, axis=1)
        kept = ~all_counted[row, block[column]]
        row, column, scores = row[kept], column[kept], scores[kept]
        step = max(1, _COMPARED // max(1, self._low.shape[1]))
        for start in range(0, len(row), step):
            part = slice(start, start + step)
            r, c, score = row[part], column[part], scores[part, None]
            at, slot = np.nonzero((score >= self._low[r]) & (score < self._high[r]) & ~many[r, :, block[c]])
            r, c = r[at], c[at]
            reaches = reach(self._queries, r, tile, c, self._exact[r, slot], self._device)
            np.add.at(counts, (r, slot, block[c]), reaches)
