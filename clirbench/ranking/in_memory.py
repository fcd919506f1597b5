"""Count the candidates that outrank each gold pair, block by block, where all candidates are in memory.

A block holds the candidates of one language. A gold's rank in a pool is one plus its counts over the blocks of that pool. So
one pass over the scores serves the monolingual, cross-lingual and multilingual settings: each adds up its own blocks.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import DenseVectors, Vectors
from clirbench.encoders.same_vectors import repeated_rows
from clirbench.ranking.device import Device
from clirbench.ranking.kernel import (
    LANES,
    QUERIES_PER_PRODUCT,
    RUN,
    among_golds,
    refuse_overflow,
    tally,
    workers,
)
from clirbench.ranking.many_golds import MANY_GOLDS, count_wrong
from clirbench.ranking.near_ties import exact_products
from clirbench.ranking.shards import Cells, GoldScores

# Gold pairs whose scores one thread computes at a time.
_GOLDS = 4096


@dataclass(frozen=True)
class Outranked:
    """How many candidates of each block outrank each gold pair: int32 (gold pairs, blocks).

    ``wrong`` counts the wrong candidates, ``gold`` counts the other golds of the pair's query.
    """

    wrong: NDArray[np.int32]
    gold: NDArray[np.int32]

    @property
    def all(self) -> NDArray[np.int32]:
        """All candidates that outrank each pair, int32 (gold pairs, blocks)."""
        return self.wrong + self.gold


@dataclass(frozen=True)
class Layout:
    """The columns in which candidates stand while :func:`clirbench.ranking.kernel.tally` counts them.

    ``tally`` adds up eight columns at a time, so each block starts at a multiple of eight columns and padding fills the gaps. A
    block is cut into runs that are short enough for a byte to count.

    A block of three candidates and one of two take sixteen columns:

    >>> layout = Layout.of(np.array([0, 3, 5]))
    >>> layout.position.tolist(), layout.padding.tolist(), layout.width
    ([0, 1, 2, 8, 9], [3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15], 16)

    Attributes:
        position: intp (candidates,), column of each candidate.
        padding: intp (padding columns,), the columns without a candidate.
        run_starts: intp (runs,), first column of each run, divided by ``LANES``.
        first_run: intp (blocks,), first run of each block.
        width: Number of columns.
    """

    position: NDArray[np.intp]
    padding: NDArray[np.intp]
    run_starts: NDArray[np.intp]
    first_run: NDArray[np.intp]
    width: int

    @classmethod
    def of(cls, block_starts: NDArray[np.int64]) -> "Layout":
        """Lay out blocks; ``block_starts`` is as for :func:`count_outranked`."""
        sizes = np.diff(block_starts)
        # Block sizes are rounded up to multiples of LANES. All candidates of a block move by the same number of columns.
        offsets = np.concatenate([[0], np.cumsum(-(-sizes // LANES) * LANES)])
        position = np.arange(block_starts[-1]) + np.repeat(offsets[:-1] - block_starts[:-1], sizes)
        width = int(offsets[-1])
        runs = [np.arange(a, b, RUN) // LANES for a, b in pairwise(offsets)]
        return cls(
            position=position,
            padding=np.setdiff1d(np.arange(width), position),
            run_starts=np.concatenate(runs),
            first_run=np.cumsum([0, *(len(run) for run in runs[:-1])]),
            width=width,
        )


class Products:
    """Inner products of queries and candidates, both dense or both CSR, computed for a few queries at a time.

    Dense products are computed in ``dtype``, and sparse ones in float32. Candidates with identical vectors get identical
    products: one product is computed and copied to the others, because a BLAS may round the same product differently in another
    column.

    Raises:
        ClirbenchError: A product overflows float32.
    """

    def __init__(
        self, queries: Vectors, candidates: Vectors, layout: Layout, dtype: type[np.floating[Any]] = np.float32
    ) -> None:
        refuse_overflow(queries, candidates)
        self._layout = layout
        self._queries = queries.astype(dtype, copy=False) if isinstance(queries, np.ndarray) else queries
        if isinstance(candidates, np.ndarray):
            self._vectors: Any = np.zeros((layout.width, candidates.shape[1]), dtype=dtype)
            self._vectors[layout.position] = candidates
            copies, originals = repeated_rows(candidates)
        else:
            lengths = np.zeros(layout.width, dtype=np.int64)
            lengths[layout.position] = np.diff(candidates.indptr)
            indptr = np.concatenate([[0], np.cumsum(lengths)])
            from scipy import sparse

            self._vectors = sparse.csr_array(
                (candidates.data, candidates.indices, indptr), shape=(layout.width, candidates.shape[1])
            ).T.tocsr()
            # A sparse product adds up the terms of every column in the query's order, so copies get equal products anyway.
            copies = originals = np.empty(0, dtype=np.intp)
        self._copies, self._originals = layout.position[copies], layout.position[originals]

    def rows(self, start: int, stop: int, buffer: NDArray[Any]) -> NDArray[Any]:
        """Score the queries ``start`` to ``stop`` - 1, in the layout's columns; padding columns hold arbitrary values.

        The scores are a view of the buffer, which is (at least stop - start, width), of ``dtype``, or float32 for sparse vectors.
        """
        scores = buffer[: stop - start]
        if isinstance(self._queries, np.ndarray):
            np.matmul(self._queries[start:stop], self._vectors.T, out=scores)
        else:
            (self._queries[start:stop] @ self._vectors).toarray(out=scores)
        if len(self._copies):
            scores[:, self._copies] = scores[:, self._originals]
        return scores


def count_outranked(
    queries: Vectors,
    candidates: Vectors,
    gold_query: NDArray[np.int32],
    gold_candidate: NDArray[np.int32],
    block_starts: NDArray[np.int64],
    advance: Callable[[int], None] | None = None,
    device: Device | None = None,
) -> Outranked:
    """Count the candidates of each block that outrank each gold pair.

    Scores are inner products, computed for a few queries at a time, so memory does not grow with queries x candidates. The counts
    depend on the vectors alone: neither the BLAS, nor the number of threads, nor the order of the wrong candidates changes them.
    Dense vectors are compared in float32, and near scores again in float64 (:mod:`clirbench.ranking.near_ties`). Sparse vectors
    are multiplied in float32 in a fixed order.

    Three candidates score 1, 2 and 1. The last one is the gold. The first one ties with it and the second one beats it:

    >>> query, candidates = np.ones((1, 1), dtype=np.float32), np.array([[1], [2], [1]], dtype=np.float32)
    >>> outranked = count_outranked(
    ...     query, candidates, gold_query=np.array([0]), gold_candidate=np.array([2]), block_starts=np.array([0, 1, 3])
    ... )
    >>> outranked.wrong.tolist(), (1 + outranked.all.sum(axis=1)).tolist()
    ([[1, 1]], [3])

    Args:
        queries: float32 (queries, dimensions), dense or CSR.
        candidates: float32 (candidates, dimensions), of the same kind.
        gold_query: int32 (gold pairs,), ascending.
        gold_candidate: int32 (gold pairs,), within a query in the order in which golds with equal scores stand.
        block_starts: int64 (blocks + 1,), from 0 to the number of candidates; no block is empty.
        advance: Called with a number of queries as the work goes on; these add up to all queries.
        device: Where dense vectors are multiplied and compared; None for NumPy. It changes no count.

    Raises:
        ClirbenchError: A product overflows float32.
    """
    pairs = gold_query, gold_candidate, block_starts
    if isinstance(queries, np.ndarray) and isinstance(candidates, np.ndarray):
        return _count_dense(queries, candidates, pairs, advance, device)
    return _count_sparse(queries, candidates, *pairs, advance)


def _count_dense(
    queries: DenseVectors,
    candidates: DenseVectors,
    pairs: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]],
    advance: Callable[[int], None] | None,
    device: Device | None,
) -> Outranked:
    """Count block by block, as the shards of a streamed corpus are counted."""
    gold_query, gold_candidate, block_starts = pairs
    refuse_overflow(queries, candidates)
    scores = _scores_of_golds(queries, candidates, gold_query.astype(np.intp), gold_candidate.astype(np.intp))
    golds = GoldScores(queries, gold_query, scores, device=device)
    block = np.searchsorted(block_starts, gold_candidate, side="right") - 1
    blocks = len(block_starts) - 1
    if np.bincount(gold_query).max(initial=0) > MANY_GOLDS:
        wrong = count_wrong(queries, candidates, pairs[:2], scores, block_starts, advance, device)
        return Outranked(wrong=wrong, gold=golds.golds_above(block, blocks))
    wrong = np.empty((len(gold_query), blocks), dtype=np.int32)
    shards = (
        (candidates[start:stop], Cells(inside, gold_candidate[inside].astype(np.intp) - start))
        for number, (start, stop) in enumerate(pairwise(block_starts.tolist()))
        for inside in [np.flatnonzero(block == number)]
    )
    told = 0
    with ThreadPoolExecutor(1) as beside:
        gold = beside.submit(golds.golds_above, block, blocks)
        for number, of_block in enumerate(golds.count_each(shards)):
            wrong[:, number] = of_block
            if advance:
                done = len(queries) * (number + 1) // blocks
                advance(done - told)
                told = done
    return Outranked(wrong=wrong, gold=gold.result())


def _scores_of_golds(
    queries: DenseVectors, candidates: DenseVectors, gold_query: NDArray[np.intp], gold_candidate: NDArray[np.intp]
) -> NDArray[np.float64]:
    """The exact products of gold pairs, float64 (pairs,), computed on all cores; each pair's depends on its vectors alone."""

    def work(start: int) -> NDArray[np.float64]:
        part = slice(start, start + _GOLDS)
        return exact_products(queries, gold_query[part], candidates, gold_candidate[part])

    with ThreadPoolExecutor(workers()) as pool:
        parts = list(pool.map(work, range(0, len(gold_query), _GOLDS)))
    return np.concatenate([np.empty(0), *parts])


def _count_sparse(
    queries: Vectors,
    candidates: Vectors,
    gold_query: NDArray[np.int32],
    gold_candidate: NDArray[np.int32],
    block_starts: NDArray[np.int64],
    advance: Callable[[int], None] | None,
) -> Outranked:
    """Count by products of a few queries with all candidates."""
    layout = Layout.of(block_starts)
    products = Products(queries, candidates, layout)
    golds = GoldCounter(gold_query, gold_candidate, queries.shape[0], block_starts, layout)
    of_thread = threading.local()

    def count(start: int) -> int:
        if not hasattr(of_thread, "buffer"):
            of_thread.buffer = np.empty((QUERIES_PER_PRODUCT, layout.width), dtype=np.float32)
        scores = products.rows(start, min(start + QUERIES_PER_PRODUCT, queries.shape[0]), of_thread.buffer)
        golds.count(start, scores)
        return len(scores)

    with ThreadPoolExecutor(workers()) as pool:
        for done in pool.map(count, range(0, queries.shape[0], QUERIES_PER_PRODUCT)):
            if advance:
                advance(done)
    return golds.outranked


class GoldCounter:
    """A counter for scores of all candidates in memory. ``outranked`` is complete once every query has been counted.

    Gold pairs and blocks are given as for :func:`count_outranked`.
    """

    def __init__(
        self,
        gold_query: NDArray[np.int32],
        gold_candidate: NDArray[np.int32],
        queries: int,
        block_starts: NDArray[np.int64],
        layout: Layout | None = None,
    ) -> None:
        layout = layout or Layout.of(block_starts)
        golds = np.bincount(gold_query, minlength=queries)
        self._first: NDArray[np.intp] = np.concatenate([[0], np.cumsum(golds)])
        self._query, self._slot = gold_query, np.arange(len(gold_query)) - self._first[gold_query]
        self._slots, self._blocks = int(golds.max(initial=0)), len(block_starts) - 1
        self._block = np.searchsorted(block_starts, gold_candidate, side="right") - 1
        self._position, self._layout = layout.position[gold_candidate], layout
        empty = np.empty((2, len(gold_query), self._blocks), dtype=np.int32)
        self.outranked = Outranked(wrong=empty[0], gold=empty[1])

    def count_all(self, start: int, scores: NDArray[np.float32]) -> None:
        """Count queries, the first with number ``start``.

        ``scores`` is finite float32 (queries, candidates), in candidate order.
        """
        in_layout = np.empty((len(scores), self._layout.width), dtype=np.float32)
        in_layout[:, self._layout.position] = scores
        self.count(start, in_layout)

    def count(self, start: int, scores: NDArray[np.float32]) -> None:
        """Count queries, the first with number ``start``. ``scores`` is float32 (queries, width), in the layout's columns.

        Scores of candidates are finite. Padding columns may hold anything and are overwritten.
        """
        # Padding outranks nothing.
        scores[:, self._layout.padding] = -np.inf
        pairs = slice(self._first[start], self._first[start + len(scores)])
        row, column = self._query[pairs] - start, self._slot[pairs]
        # Each gold of a query has a slot. An empty slot has the threshold inf, which no score reaches.
        thresholds = np.full((len(scores), self._slots), np.inf, dtype=np.float32)
        thresholds[row, column] = scores[row, self._position[pairs]]
        in_block = np.zeros((len(scores), self._slots, self._blocks), dtype=np.float32)
        in_block[row, column, self._block[pairs]] = 1
        golds_reached, golds_above = among_golds(thresholds, in_block)
        # The tally counts golds as if they were wrong, so they are subtracted. Golds are compared with one another
        # separately.
        reached = tally(scores, thresholds, self._layout.run_starts, self._layout.first_run)
        self.outranked.wrong[pairs] = (reached - golds_reached)[row, column]
        self.outranked.gold[pairs] = golds_above[row, column]
