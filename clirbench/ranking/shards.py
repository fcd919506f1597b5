"""How many candidates of one shard of a corpus outrank each gold pair.

The rank of a gold candidate is one plus a sum of such counts over shards, so no shard needs another: each is scored against
all queries, reduced to one number per gold pair, and forgotten.

What is compared with what is decided once, by the scores of the gold pairs, which exist before the first shard is read:

- a gold candidate that turns up in its shard is never compared with itself: it, and the other golds of the same query, are left
  out of the count, and the order among golds follows from their own scores. So what an encoder rounds differently the second
  time cannot move a gold before or behind itself;
- a copy of a gold (the same text) has that gold's score instead of one of its own, so exact duplicates tie, and ties are
  lost (:mod:`clirbench.ranking.kernel`);
- every other candidate is first compared in float32. Where its score is so near the gold's that the rounding of a float32
  product could decide, the two are compared as inner products of the same vectors in float64, summed in an order of our own: a
  BLAS, its block sizes, or the processor that it runs on decide nothing;
- where so many candidates are that near that they cannot all be looked at (a collapsed encoder, vectors of few bits), they
  count as ties, and ties are lost: a constant gains nothing.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clirbench.ranking.kernel import LANES, OVERFLOW, QUERIES_PER_PRODUCT, RUN, among_golds, one_blas_thread, workers
from clirbench.ranking.near_ties import TileScores
from clirbench.ranking.top_of_shard import BestOfShard, TopOfShard, top_of_tile
from clirbench.support.errors import ClirbenchError

Vectors = NDArray[np.float32]
# Large enough for a product to lose nothing to one of everything, small enough that its scores are still in a cache when they
# are counted. Fixed, never derived from the machine.
_ROWS = 2 * QUERIES_PER_PRODUCT
_TILE = 4 * RUN
# Times the square root of the dimensions and both norms: several times what a float32 product is seen to be off.
_ROUNDING = 4 * 2.0**-24


@dataclass(frozen=True)
class Cells:
    """Cells of the table of gold pairs by candidates of a shard: intp (cells,) each."""

    pair: NDArray[np.intp]
    column: NDArray[np.intp]


class GoldScores:
    """Queries and the scores of their golds, laid out to be compared with one shard after the other.

    Args:
        queries: float32 (queries, dimensions).
        gold_query: int32 (gold pairs,), ascending.
        scores: float64 (gold pairs,), the query's score of the gold (:func:`clirbench.ranking.near_ties.exact_products`).
        threads: How many count at once; None for the cores of this process. It does not change a count.
    """

    def __init__(
        self, queries: Vectors, gold_query: NDArray[np.int32], scores: NDArray[np.float64], threads: int | None = None
    ) -> None:
        golds = np.bincount(gold_query, minlength=len(queries))
        # Queries with as many golds stand together, so that few are compared more often than they have golds.
        order = np.argsort(-golds, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        first = np.cumsum(golds) - golds
        self.scores = scores
        self.threads = threads or workers()
        self._queries = np.ascontiguousarray(queries[order])
        self._order = order
        self._row = place[gold_query]
        self._slot = np.arange(len(gold_query)) - first[gold_query]
        self._slots = golds[order][::QUERIES_PER_PRODUCT]
        self._norms = np.sqrt(np.einsum("ij,ij->i", self._queries, self._queries, dtype=np.float64))
        self._exact = np.full((len(queries), int(golds.max(initial=0))), np.inf)
        self._exact[self._row, self._slot] = scores

    def golds_above(self) -> NDArray[np.int32]:
        """int32 (gold pairs,): golds of the same query that outrank the pair, whatever shard they are in."""
        filled = np.isfinite(self._exact).astype(np.float32)[:, :, None]
        above = np.concatenate(
            [
                among_golds(self._exact[a : a + QUERIES_PER_PRODUCT], filled[a : a + QUERIES_PER_PRODUCT])[1]
                for a in range(0, len(self._exact), QUERIES_PER_PRODUCT)
            ]
        )
        return np.asarray(above[self._row, self._slot, 0], dtype=np.int32)

    def count(
        self, candidates: Vectors, own: Cells, copies: Cells, top: int = 0, longest: float | None = None
    ) -> tuple[NDArray[np.uint32], TopOfShard | None]:
        """Count the wrong candidates of a shard that outrank each gold pair.

        Args:
            candidates: float32 (candidates, dimensions), C-contiguous.
            own: Where a gold of the pair's query stands in the shard: one cell for each such gold, under any pair of the query.
            copies: Where a copy of the pair's gold stands in the shard.
            top: How many of the best candidates to give back for each query.
            longest: Norm of the longest candidate, or more; None where it has to be found.

        Returns:
            uint32 (gold pairs,), and the best candidates where they were asked for.

        Raises:
            ClirbenchError: A product could overflow float32.
        """
        width = len(candidates)
        bounds = self._bounds(candidates, longest)
        missing = -width % LANES
        if missing:
            candidates = np.concatenate([candidates, np.zeros((missing, candidates.shape[1]), np.float32)])
        counts = np.zeros(self._exact.shape, dtype=np.uint32)
        best = BestOfShard(top) if top else None
        parts = list(self._parts(len(candidates), own, copies))
        local = threading.local()

        def work(part: _Part) -> tuple[_Part, list[NDArray[np.int32]], TopOfShard | None]:
            if not hasattr(local, "buffer"):
                # Kept by the thread: a fresh one of this size would be a fresh page fault every 4 kB.
                local.buffer = np.empty(min(_ROWS, len(self._queries)) * _TILE, dtype=np.float32)
                local.flags = np.empty(QUERIES_PER_PRODUCT * _TILE, dtype=np.bool_)
            queries, tile = self._queries[part.rows], candidates[part.columns]
            scores = local.buffer[: len(queries) * len(tile)].reshape(len(queries), len(tile))
            np.matmul(queries, tile.T, out=scores)
            if missing and part.columns.stop == len(candidates):
                scores[:, -missing:] = -np.inf
            found = None
            if top:
                scores[part.copy_row, part.copy_column] = part.copy_score
                scores[part.own_row, part.own_column] = part.own_score
                found = top_of_tile(scores[:, : width - part.columns.start], part.columns.start, top)
            # Both are decided by the scores that they have, not by these.
            scores[part.own_row, part.own_column] = -np.inf
            scores[part.copy_row, part.copy_column] = -np.inf
            return part, self._counted(scores, tile, part.rows, bounds, local.flags), found

        with one_blas_thread(), ThreadPoolExecutor(self.threads) as pool:
            for part, counted, found in pool.map(work, parts):
                for start, block in zip(
                    range(part.rows.start, part.rows.stop, QUERIES_PER_PRODUCT), counted, strict=True
                ):
                    counts[start : start + len(block), : block.shape[1]] += block.astype(np.uint32)
                if best and found:
                    best.add(part.rows, found)
        # A column is a copy for a query once, also where two of its golds have that text.
        row, column = self._row[copies.pair], copies.column
        _, once = np.unique(row * np.int64(width) + column, return_index=True)
        np.add.at(counts, row[once], self.scores[copies.pair[once], None] >= self._exact[row[once]])
        return counts[self._row, self._slot], best.ordered(self._order) if best else None

    def _bounds(self, candidates: Vectors, longest: float | None) -> tuple[Vectors, Vectors]:
        """float32 (queries, slots) twice: from the first a float32 score may reach the gold's, from the second it does."""
        if longest is None:
            with np.errstate(over="ignore"):
                longest = np.sqrt(float(np.einsum("ij,ij->i", candidates, candidates).max(initial=0)))
        if not np.isfinite(longest):
            raise ClirbenchError(OVERFLOW)
        margin = (_ROUNDING * np.sqrt(candidates.shape[1]) * longest * self._norms)[:, None]
        below, above = (self._exact - margin).astype(np.float32), (self._exact + margin).astype(np.float32)
        # Rounding to float32 must not narrow them; where there is no gold, nothing reaches it.
        below = np.where(np.isinf(self._exact), np.float32(np.inf), np.nextafter(below, np.float32(-np.inf)))
        return below, np.nextafter(above, np.float32(np.inf))

    def _counted(
        self, scores: Vectors, tile: Vectors, rows: slice, bounds: tuple[Vectors, Vectors], flags: NDArray[np.bool_]
    ) -> list[NDArray[np.int32]]:
        """int32 (queries, slots) for each 256 of the queries: they are compared as often as the first of them has golds."""
        found = []
        for start in range(rows.start, rows.stop, QUERIES_PER_PRODUCT):
            at = slice(start, min(start + QUERIES_PER_PRODUCT, rows.stop))
            slots = self._slots[start // QUERIES_PER_PRODUCT]
            below, above = (bound[at, :slots] for bound in bounds)
            part = scores[at.start - rows.start : at.stop - rows.start]
            compared = TileScores(self._queries[at], self._exact[at, :slots], tile)
            found.append(compared.reached(part, below, above, flags))
        return found

    def _parts(self, width: int, own: Cells, copies: Cells) -> Iterator["_Part"]:
        """Every block of queries against every tile of candidates, with the cells that lie there."""
        tiles = -(-width // _TILE)
        # Tiles of one size: no thread waits long for the last one of a shard.
        size = -(-width // (tiles * LANES)) * LANES
        tiles = -(-width // size)
        groups = [_by_part(self._row[cells.pair], cells.column, tiles, size) for cells in (own, copies)]
        for block in range(-(-len(self._order) // _ROWS)):
            rows = slice(block * _ROWS, min((block + 1) * _ROWS, len(self._order)))
            for tile in range(tiles):
                columns = slice(tile * size, min((tile + 1) * size, width))
                chosen = []
                for keys, order in groups:
                    key = block * tiles + tile
                    chosen.append(order[slice(*np.searchsorted(keys, [key, key + 1]))])
                mine, copied = chosen
                yield _Part(
                    rows=rows,
                    columns=columns,
                    own_row=self._row[own.pair[mine]] - rows.start,
                    own_column=own.column[mine] - columns.start,
                    own_score=self.scores[own.pair[mine]].astype(np.float32),
                    copy_row=self._row[copies.pair[copied]] - rows.start,
                    copy_column=copies.column[copied] - columns.start,
                    copy_score=self.scores[copies.pair[copied]].astype(np.float32),
                )


@dataclass(frozen=True)
class _Part:
    rows: slice
    columns: slice
    own_row: NDArray[np.intp]
    own_column: NDArray[np.intp]
    own_score: NDArray[np.float32]
    copy_row: NDArray[np.intp]
    copy_column: NDArray[np.intp]
    copy_score: NDArray[np.float32]


def _by_part(
    row: NDArray[np.intp], column: NDArray[np.intp], tiles: int, size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The part of each cell, ascending, and the order that sorts them so."""
    key = row // _ROWS * tiles + column // size
    order = np.argsort(key, kind="stable")
    return key[order], order
