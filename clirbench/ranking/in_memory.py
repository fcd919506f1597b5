"""How many candidates outrank each gold pair, block by block, where all candidates are in memory.

Ranks follow by addition: one plus a gold pair's count over the blocks of a pool is its rank in that pool, so that one
pass over the scores serves the monolingual, cross-lingual and multilingual settings.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from clirbench.encoders.base import Vectors
from clirbench.ranking.kernel import (
    LANES,
    QUERIES_PER_PRODUCT,
    RUN,
    among_golds,
    longest,
    one_blas_thread,
    tally,
    workers,
)
from clirbench.support.errors import ClirbenchError


@dataclass(frozen=True)
class Outranked:
    """Per gold pair and block of candidates, how many outrank the pair.

    Attributes:
        wrong: int32 (gold pairs, blocks), candidates that are not gold for the pair's query.
        gold: int32 (gold pairs, blocks), gold candidates of the pair's query.
    """

    wrong: NDArray[np.int32]
    gold: NDArray[np.int32]

    @property
    def all(self) -> NDArray[np.int32]:
        """int32 (gold pairs, blocks), every candidate that outranks the pair."""
        return self.wrong + self.gold


@dataclass(frozen=True)
class Layout:
    """Where candidates stand while they are counted: each block starts at a multiple of the lanes, in runs a byte can count."""

    position: NDArray[np.intp]
    padding: NDArray[np.intp]
    run_starts: NDArray[np.intp]
    first_run: NDArray[np.intp]
    width: int

    @classmethod
    def of(cls, block_starts: NDArray[np.int64]) -> "Layout":
        """The layout of these blocks."""
        sizes = np.diff(block_starts)
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
    """Inner products of queries and candidates, a few queries at a time; equal candidates have equal products.

    Args:
        queries: float32 (queries, dimensions), dense or CSR.
        candidates: float32 (candidates, dimensions), of the same kind.
        layout: Where candidates stand.

    Raises:
        ClirbenchError: A product overflows float32.
    """

    def __init__(self, queries: Vectors, candidates: Vectors, layout: Layout) -> None:
        # By Cauchy-Schwarz no sum on the way to a product can exceed this, so no score is infinite or NaN.
        if not longest(queries) * longest(candidates) <= float(np.finfo(np.float32).max):
            raise ClirbenchError("scores could overflow float32: use --similarity cosine, or scale the vectors down")
        self._queries, self._layout = queries, layout
        if isinstance(candidates, np.ndarray):
            self._vectors: Vectors = np.zeros((layout.width, candidates.shape[1]), dtype=np.float32)
            self._vectors[layout.position] = candidates
            copies, originals = _copies(candidates)
        else:
            lengths = np.zeros(layout.width, dtype=np.int64)
            lengths[layout.position] = np.diff(candidates.indptr)
            indptr = np.concatenate([[0], np.cumsum(lengths)])
            self._vectors = sparse.csr_array(
                (candidates.data, candidates.indices, indptr), shape=(layout.width, candidates.shape[1])
            ).T.tocsr()
            # A sparse product adds the terms of every column in the query's order: copies are equal by construction.
            copies = originals = np.empty(0, dtype=np.intp)
        self._copies, self._originals = layout.position[copies], layout.position[originals]

    def rows(self, start: int, stop: int, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (stop - start, width) in the layout, within the buffer; padding is not set."""
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
) -> Outranked:
    """Count, per gold pair and block, the candidates that outrank it.

    Scores are inner products, computed 256 queries at a time: memory does not grow with queries x candidates. Candidates with
    identical vectors get identical scores (one product is used for all copies, since a BLAS may round a product differently by
    position), so exact duplicates always tie. Two different vectors whose true scores differ by less than float32 rounding may
    still swap when the candidates stand in another order.

    Args:
        queries: float32 (queries, dimensions), dense or CSR.
        candidates: float32 (candidates, dimensions), of the same kind.
        gold_query: int32 (gold pairs,), ascending.
        gold_candidate: int32 (gold pairs,), ascending within a query.
        block_starts: int64 (blocks + 1,), from 0 to the number of candidates; no block is empty.
        advance: Called with a number of queries whenever so many are done.

    Returns:
        Counts of wrong and of gold candidates, separately.

    Raises:
        ClirbenchError: A product overflows float32.
    """
    layout = Layout.of(block_starts)
    products = Products(queries, candidates, layout)
    golds = GoldCounter(gold_query, gold_candidate, queries.shape[0], block_starts, layout)
    own = threading.local()

    def count(start: int) -> int:
        if not hasattr(own, "buffer"):
            own.buffer = np.empty((QUERIES_PER_PRODUCT, layout.width), dtype=np.float32)
        scores = products.rows(start, min(start + QUERIES_PER_PRODUCT, queries.shape[0]), own.buffer)
        golds.count(start, scores)
        return len(scores)

    # One thread per core, each with a product of its own: faster than one product on all cores with the counting after
    # it, and the sums do not depend on the number of cores.
    with one_blas_thread(), ThreadPoolExecutor(workers()) as pool:
        for done in pool.map(count, range(0, queries.shape[0], QUERIES_PER_PRODUCT)):
            if advance:
                advance(done)
    return golds.outranked


class GoldCounter:
    """The gold pairs, and the counts that are found for them as scores come.

    Args:
        gold_query: int32 (gold pairs,), ascending.
        gold_candidate: int32 (gold pairs,), ascending within a query.
        queries: How many.
        block_starts: int64 (blocks + 1,), from 0 to the number of candidates; no block is empty.
        layout: Of these blocks; None to make it.

    ``outranked`` holds the counts once every query was counted.
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
        self.outranked = Outranked(
            np.empty((len(gold_query), self._blocks), dtype=np.int32),
            np.empty((len(gold_query), self._blocks), dtype=np.int32),
        )

    def count_all(self, start: int, scores: NDArray[np.float32]) -> None:
        """Count the queries from number ``start`` on: finite float32 (queries, candidates), in the candidates' order."""
        laid = np.empty((len(scores), self._layout.width), dtype=np.float32)
        laid[:, self._layout.position] = scores
        self.count(start, laid)

    def count(self, start: int, scores: NDArray[np.float32]) -> None:
        """Count the queries from number ``start`` on: float32 (queries, width), standing in the layout; padding is set here."""
        scores[:, self._layout.padding] = -np.inf
        pairs = slice(self._first[start], self._first[start + len(scores)])
        row, column = self._query[pairs] - start, self._slot[pairs]
        thresholds = np.full((len(scores), self._slots), np.inf, dtype=np.float32)
        thresholds[row, column] = scores[row, self._position[pairs]]
        in_block = np.zeros((len(scores), self._slots, self._blocks), dtype=np.float32)
        in_block[row, column, self._block[pairs]] = 1
        gold_at_least, gold_above = among_golds(thresholds, in_block)
        at_least = tally(scores, thresholds, self._layout.run_starts, self._layout.first_run)
        self.outranked.wrong[pairs] = (at_least - gold_at_least)[row, column]
        self.outranked.gold[pairs] = gold_above[row, column]


def _copies(vectors: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows that repeat an earlier row bit by bit, and the earlier rows."""
    # Equal rows have equal sums of bits; only rows that share one need to be compared.
    bits = np.bitwise_xor.reduce(np.ascontiguousarray(vectors).view(np.uint32), axis=1)
    _, number, occurrences = np.unique(bits, return_inverse=True, return_counts=True)
    seen: dict[bytes, int] = {}
    suspects = np.flatnonzero(occurrences[number] > 1)
    originals = np.array([seen.setdefault(vectors[i].tobytes(), int(i)) for i in suspects], dtype=np.intp)
    repeated = originals != suspects
    return suspects[repeated], originals[repeated]
