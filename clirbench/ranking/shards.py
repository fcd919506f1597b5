"""Count the wrong candidates of one shard of a corpus that outrank each gold pair.

The rank of a gold is one plus the number of candidates that outrank it, and this number is a sum over shards. So each shard is
scored against all queries, reduced to one number per gold pair, and forgotten.

The scores of the golds are computed before the first shard is read. The candidates of every shard are compared with them:

- A gold comes again in its own shard, and an encoder may round its vector differently there. So the count of a shard leaves out
  the golds of the query. Their earlier scores order them (:meth:`GoldScores.golds_above`).
- A wrong candidate with the text of a gold gets that gold's score, so exact duplicates tie, and the gold loses the tie.
- Every other candidate is compared in float32 first. Where two scores are too near, the same vectors are multiplied in float64
  in a fixed order (:mod:`clirbench.ranking.near_ties`), so no BLAS, block size or processor decides a rank.
- Where too many candidates are so near a gold (a collapsed encoder, vectors of few bits), they count as ties. An encoder that
  gives every text the same vector gains nothing.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import DenseVectors
from clirbench.ranking.device import Device
from clirbench.ranking.kernel import (
    LANES,
    QUERIES_PER_PRODUCT,
    RUN,
    among_golds,
    best_first,
    outranks,
    workers,
)
from clirbench.ranking.near_ties import TileComparison, longest_of, norms_of, score_bounds
from clirbench.support.blas import one_blas_thread

# Queries and candidates of one product. Many small products are as fast as one large one, and the scores of each are still in
# a cache when they are counted. Fixed, so that every machine computes the same products.
_ROWS = 2 * QUERIES_PER_PRODUCT
_TILE = 4 * RUN


@dataclass(frozen=True)
class Cells:
    """Cells of a table with a row for each gold pair and a column for each candidate of a shard, intp (cells,) each."""

    pair: NDArray[np.intp]
    column: NDArray[np.intp]


@dataclass(frozen=True)
class Best:
    """The best candidates of each query, best first: their numbers or identifiers, and their scores, (queries, k) each.

    Equal scores keep candidate order, since not all golds are known here.
    """

    candidate: NDArray[Any]
    score: NDArray[np.float32]

    @classmethod
    def merged(cls, parts: Sequence["Best"], k: int) -> "Best":
        """The best ``k`` of several parts, which come in candidate order.

        >>> first = Best(np.array([["a", "b"]]), np.float32([[3, 1]]))
        >>> second = Best(np.array([["c"]]), np.float32([[1]]))
        >>> Best.merged([first, second], 2).candidate.tolist()
        [['a', 'b']]
        """
        candidate, score = (
            np.concatenate([getattr(p, name) for p in parts], axis=1) for name in ("candidate", "score")
        )
        order = best_first(score)[:, :k]
        return cls(np.take_along_axis(candidate, order, 1), np.take_along_axis(score, order, 1))


class GoldScores:
    """Queries and the scores of their golds, ready for the comparison with one shard after the other.

    Args:
        queries: float32 (queries, dimensions).
        gold_query: int32 (gold pairs,), ascending.
        scores: float64 (gold pairs,), the query's score of the gold (:func:`clirbench.ranking.near_ties.exact_products`).
        threads: Threads that count at once; None for the cores of this process. Their number changes no count.
        device: Where the scores are computed and compared; None for NumPy. It changes no count.
    """

    def __init__(
        self,
        queries: DenseVectors,
        gold_query: NDArray[np.int32],
        scores: NDArray[np.float64],
        threads: int | None = None,
        device: Device | None = None,
    ) -> None:
        golds = np.bincount(gold_query, minlength=len(queries))
        # Queries are sorted by number of golds: a group of queries is compared as often as its first query has golds.
        order = np.argsort(-golds, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        first = np.cumsum(golds) - golds
        self.scores = scores
        self.threads = threads or workers()
        self._queries = np.ascontiguousarray(queries[order])
        self._norms = norms_of(self._queries)
        self._order = order
        # The gold of pair p stands in row _row[p] (its query) and slot _slot[p] (its number among the query's golds).
        self._row = place[gold_query]
        self._slot = np.arange(len(gold_query)) - first[gold_query]
        self._slots = golds[order][::QUERIES_PER_PRODUCT]
        self._exact = np.full((len(queries), int(golds.max(initial=0))), np.inf)
        self._exact[self._row, self._slot] = scores
        self._device = device
        self._held = device.hold(self._queries) if device else None
        self._of_thread = threading.local()

    def golds_above(self, block: NDArray[np.intp] | None = None, blocks: int = 1) -> NDArray[np.int32]:
        """Count the golds of the same query that outrank each pair, by the block in which they lie: int32 (gold pairs, blocks).

        ``block`` is intp (gold pairs,), the block of each pair's gold; None where all golds lie in one block.
        """
        filled = np.zeros((*self._exact.shape, blocks), dtype=np.float32)
        filled[self._row, self._slot, 0 if block is None else block] = 1
        above = np.concatenate(
            [
                among_golds(self._exact[a : a + QUERIES_PER_PRODUCT], filled[a : a + QUERIES_PER_PRODUCT])[1]
                for a in range(0, len(self._exact), QUERIES_PER_PRODUCT)
            ]
        )
        return np.asarray(above[self._row, self._slot], dtype=np.int32)

    def count(
        self, candidates: DenseVectors, own: Cells, copies: Cells, top: int = 0, longest: float | None = None
    ) -> tuple[NDArray[np.uint32], Best | None]:
        """Count the wrong candidates of a shard that outrank each gold pair.

        One query has one gold, which scored 1. A shard holds three candidates: a better one, the gold itself, and a copy of its
        text, whose vector the encoder rounded to a little less. Two wrong candidates outrank the gold: the better one, and the
        copy, which has the gold's score and wins the tie. An unknown copy is compared by its own lower score, so it does not
        outrank the gold.

        >>> golds = GoldScores(np.float32([[1.0]]), gold_query=np.array([0]), scores=np.array([1.0]))
        >>> shard = np.float32([[2.0], [1.0], [0.999]])
        >>> own, copies = Cells(np.array([0]), np.array([1])), Cells(np.array([0]), np.array([2]))
        >>> golds.count(shard, own, copies)[0].tolist()
        [2]
        >>> none = Cells(np.array([], dtype=int), np.array([], dtype=int))
        >>> golds.count(shard, own, none)[0].tolist()
        [1]

        Args:
            candidates: float32 (candidates, dimensions), C-contiguous.
            own: Where golds stand in the shard: one cell for each gold of a query, under any pair of that query.
            copies: Where wrong candidates stand that have the text of the pair's gold.
            top: How many of the best candidates to return for each query. They are always found in memory, so that the last
                digits of their scores are those of NumPy.
            longest: Largest norm of the candidates, or an upper bound of it; None to compute it.

        Returns:
            The counts, uint32 (gold pairs,); and the best candidates by their number in the shard, or None if ``top`` is 0.

        Raises:
            ClirbenchError: A product could overflow float32.
        """
        shard = _Shard(candidates, own, copies, longest_of(candidates) if longest is None else longest)
        if self._device and not top:
            return self._counted_there(self._device, shard), None
        with self._threads() as threads:
            return self._finished(shard, threads.map(partial(self._of_part, shard, top), self._parts(shard)), top)

    def count_each(self, shards: Iterable[tuple[DenseVectors, Cells]]) -> Iterator[NDArray[np.uint32]]:
        """Count shards without copies of golds, as :meth:`count` does: uint32 (gold pairs,) for one shard after the other.

        A shard is its candidates and where golds stand. Threads count the next shard while the caller looks at the counts of one.

        Raises:
            ClirbenchError: A product could overflow float32.
        """
        none = np.empty(0, dtype=np.intp)
        each = (_Shard(candidates, own, Cells(none, none), longest_of(candidates)) for candidates, own in shards)
        if self._device:
            yield from (self._counted_there(self._device, shard) for shard in each)
            return
        with self._threads() as threads:
            before = None
            for shard in each:
                started = shard, threads.map(partial(self._of_part, shard, 0), self._parts(shard))
                if before:
                    yield self._finished(*before)[0]
                before = started
            if before:
                yield self._finished(*before)[0]

    @contextmanager
    def _threads(self) -> Iterator[ThreadPoolExecutor]:
        """Threads that count parts of shards, each with arrays of its own and with one thread of BLAS."""
        with one_blas_thread(), ThreadPoolExecutor(self.threads, initializer=self._make_arrays) as pool:
            try:
                yield pool
            except BaseException:
                # What has not begun would only be waited for.
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _make_arrays(self) -> None:
        # Each thread keeps its arrays: a new array of this size would cost a page fault every 4 kB.
        self._of_thread.scores = np.empty(min(_ROWS, len(self._queries)) * _TILE, dtype=np.float32)
        self._of_thread.flags = np.empty(3 * len(self._of_thread.scores), dtype=np.bool_)

    def _of_part(self, shard: "_Shard", top: int, part: "_Part") -> "_Counted":
        """Count one block of queries against one tile; the best candidates of the tile too, if ``top`` is not 0."""
        queries, tile = self._queries[part.rows], shard.tile(part.columns)
        scores = self._of_thread.scores[: len(queries) * len(tile)].reshape(len(queries), len(tile))
        np.matmul(queries, tile.T, out=scores)
        # Padding outranks nothing.
        real = scores[:, : shard.width - part.columns.start]
        scores[:, real.shape[1] :] = -np.inf
        of_tile = None
        if top:
            # Among the best candidates, golds and their copies have the golds' own scores.
            scores[part.copies] = part.copy_score
            scores[part.own] = part.own_score
            column = best_first(real)[:, :top]
            number = (column + part.columns.start).astype(np.int32)
            of_tile = Best(number, np.take_along_axis(real, column, axis=1))
        # Golds and copies are not counted here. golds_above compares the golds; the copies are compared below, with the golds'
        # scores.
        scores[part.own] = scores[part.copies] = -np.inf
        return part, self._counted(scores, tile, part.rows, shard.longest, self._of_thread.flags), of_tile

    def _finished(
        self, shard: "_Shard", parts: Iterable["_Counted"], top: int = 0
    ) -> tuple[NDArray[np.uint32], Best | None]:
        """Add up the counts of the parts of a shard, which come in order, and those of its copies."""
        counts = np.zeros(self._exact.shape, dtype=np.uint32)
        best: dict[int, list[Best]] = defaultdict(list)
        for part, counted, of_tile in parts:
            for start, block in counted:
                counts[start : start + len(block), : block.shape[1]] += block.astype(np.uint32)
            if of_tile is not None:
                # The tiles of a block of queries come in candidate order.
                best[part.rows.start].append(of_tile)
        return self._with_copies(counts, shard), self._in_order(best, top) if top else None

    def _counted_there(self, device: Device, shard: "_Shard") -> NDArray[np.uint32]:
        """Count a shard on a device."""
        assert self._held is not None  # noqa: S101
        counts = np.zeros(self._exact.shape, dtype=np.uint32)
        candidates = shard.padded()
        with device.counting(), one_blas_thread():
            held = device.hold(candidates)
            for part in self._parts(shard, device.rows):
                queries, tile = self._held.part(part.rows), held.part(part.columns)
                scores = device.product(queries, tile)
                # Padding outranks nothing, and golds and copies are not counted here: see _of_part.
                scores[:, shard.width - part.columns.start :] = -np.inf
                for row, column in (part.own, part.copies):
                    device.leave_out(scores, row, column)
                slots = self._slots[part.rows.start // QUERIES_PER_PRODUCT]
                exact = self._exact[part.rows, :slots]
                low, high = score_bounds(self._norms[part.rows], candidates, exact, shard.longest)
                comparison = TileComparison(queries, exact, tile, device)
                counts[part.rows, :slots] += comparison.count_there(scores, low, high).astype(np.uint32)
        return self._with_copies(counts, shard)

    def _with_copies(self, counts: NDArray[np.uint32], shard: "_Shard") -> NDArray[np.uint32]:
        """Add the copies of golds that outrank golds; return the counts by gold pair."""
        copies = shard.copies
        if len(copies.pair):
            # A candidate may have the text of two golds of a query. It is still one wrong candidate, so it counts once.
            row, column = self._row[copies.pair], copies.column
            _, once = np.unique(row * np.int64(shard.width) + column, return_index=True)
            score_of_copy = self.scores[copies.pair[once], None]
            np.add.at(counts, row[once], outranks(score_of_copy, self._exact[row[once]], wins_ties=True))
        return counts[self._row, self._slot]

    def _in_order(self, best: dict[int, list[Best]], top: int) -> Best:
        """Merge the tiles of each block of queries, and put the queries back in the order in which they were given."""
        blocks = [Best.merged(best[start], top) for start in sorted(best)]
        back = np.argsort(self._order)
        candidate, score = (np.concatenate([getattr(b, name) for b in blocks]) for name in ("candidate", "score"))
        return Best(candidate[back], score[back])

    def _counted(
        self,
        scores: NDArray[np.float32],
        tile: DenseVectors,
        rows: slice,
        longest: float,
        flags: NDArray[np.bool_],
    ) -> list[tuple[int, NDArray[np.int32]]]:
        """Count a tile for the queries ``rows``, those with about as many golds at a time.

        Each group is the number of its first query and its counts, int32 (queries, slots), with no more slots than it needs.
        """
        starts = np.arange(rows.start, rows.stop, QUERIES_PER_PRODUCT)
        slots = self._slots[starts // QUERIES_PER_PRODUCT]
        first = np.flatnonzero(np.diff(slots, prepend=-1))
        groups = []
        for start, stop, most in zip(starts[first], [*starts[first[1:]], rows.stop], slots[first], strict=True):
            at = slice(start, stop)
            exact = self._exact[at, :most]
            low, high = score_bounds(self._norms[at], tile, exact, longest)
            comparison = TileComparison(self._queries[at], exact, tile)
            groups.append((start, comparison.count(scores[start - rows.start : stop - rows.start], low, high, flags)))
        return groups

    def _parts(self, shard: "_Shard", queries: int = _ROWS) -> Iterator["_Part"]:
        """Yield a part for every block of so many queries and every tile of candidates, with the cells that lie in it."""
        size, tiles, (own, copies) = shard.size, len(shard.tiles), (shard.own, shard.copies)
        blocks = -(-len(self._order) // queries)
        groups = [
            _by_part(self._row[cells.pair] // queries * tiles + cells.column // size, blocks * tiles)
            for cells in (own, copies)
        ]
        for block in range(blocks):
            rows = slice(block * queries, min((block + 1) * queries, len(self._order)))
            for tile, columns in enumerate(shard.tiles):
                key = block * tiles + tile
                inside: list[Any] = []
                for cells, (starts, order) in zip((own, copies), groups, strict=True):
                    at = order[starts[key] : starts[key + 1]]
                    pair = cells.pair[at]
                    inside.append((self._row[pair] - rows.start, cells.column[at] - columns.start))
                    inside.append(self.scores[pair].astype(np.float32))
                yield _Part(rows, columns, *inside)


class _Shard:
    """The candidates of a shard, cut into tiles, and the cells of golds and of copies.

    The candidates are padded to a multiple of LANES (:mod:`clirbench.ranking.kernel`). Only the last tile is copied for that.
    """

    def __init__(self, candidates: DenseVectors, own: Cells, copies: Cells, longest: float) -> None:
        self.own, self.copies, self.longest = own, copies, longest
        self.width = len(candidates)
        missing = -self.width % LANES
        width = self.width + missing
        # All tiles have about one size, so no thread waits long for the last tile of a shard.
        self.size = -(-width // (-(-width // _TILE) * LANES)) * LANES
        self.tiles = [slice(start, min(start + self.size, width)) for start in range(0, width, self.size)]
        padding = np.zeros((missing, candidates.shape[1]), dtype=np.float32)
        last = candidates[self.tiles[-1]]
        self._candidates, self._last = candidates, np.concatenate([last, padding]) if missing else last

    def tile(self, columns: slice) -> DenseVectors:
        """The vectors of a tile, float32 (candidates, dimensions)."""
        return self._last if columns == self.tiles[-1] else self._candidates[columns]

    def padded(self) -> DenseVectors:
        """The vectors of all tiles, float32 (candidates, dimensions)."""
        return np.concatenate([self._candidates[: self.tiles[-1].start], self._last])


@dataclass(frozen=True)
class _Part:
    """One block of queries against one tile of candidates, and the cells of golds and of copies that lie there."""

    rows: slice
    columns: slice
    own: tuple[NDArray[np.intp], NDArray[np.intp]]
    own_score: NDArray[np.float32]
    copies: tuple[NDArray[np.intp], NDArray[np.intp]]
    copy_score: NDArray[np.float32]


# A part, the first queries of groups with their counts, and the best candidates of its tile.
_Counted = tuple[_Part, list[tuple[int, NDArray[np.int32]]], Best | None]


def _by_part(part: NDArray[np.intp], parts: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Sort cells by the number of their part.

    Returns:
        The place of each part's first cell in the order, and the number of cells: intp (parts + 1,). The order: intp (cells,).
    """
    order = np.argsort(part, kind="stable")
    return np.searchsorted(part[order], np.arange(parts + 1)), order
