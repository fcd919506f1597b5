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

from clirbench.errors import ClirbenchError
from clirbench.kernel import (
    LANES,
    QUERIES_PER_PRODUCT,
    RUN,
    Vectors,
    among_golds,
    longest,
    one_blas_thread,
    tally,
    workers,
)


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
class _Columns:
    """Candidates laid out for counting: each block starts at a multiple of the lanes, in runs a byte can count."""

    vectors: Vectors
    position: NDArray[np.intp]
    padding: NDArray[np.intp]
    run_starts: NDArray[np.intp]
    first_run: NDArray[np.intp]
    copies: NDArray[np.intp]
    originals: NDArray[np.intp]
    width: int


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
    # By Cauchy-Schwarz no sum on the way to a product can exceed this, so no score is infinite or NaN.
    if not longest(queries) * longest(candidates) <= float(np.finfo(np.float32).max):
        raise ClirbenchError("scores could overflow float32: use --similarity cosine, or scale the vectors down")
    blocks = len(block_starts) - 1
    columns = _lay_out(candidates, block_starts)
    golds = np.bincount(gold_query, minlength=queries.shape[0])
    first: NDArray[np.intp] = np.concatenate([[0], np.cumsum(golds)])
    slot = np.arange(len(gold_query)) - first[gold_query]
    slots = int(golds.max(initial=0))
    block = np.searchsorted(block_starts, gold_candidate, side="right") - 1
    wrong = np.empty((len(gold_query), blocks), dtype=np.int32)
    gold = np.empty_like(wrong)
    own = threading.local()

    def count(start: int) -> int:
        if not hasattr(own, "buffer"):
            own.buffer = np.empty((QUERIES_PER_PRODUCT, columns.width), dtype=np.float32)
        stop = min(start + QUERIES_PER_PRODUCT, queries.shape[0])
        scores = _product(queries, start, stop, columns, own.buffer)
        pairs = slice(first[start], first[stop])
        row, column = gold_query[pairs] - start, slot[pairs]
        thresholds = np.full((stop - start, slots), np.inf, dtype=np.float32)
        thresholds[row, column] = scores[row, columns.position[gold_candidate[pairs]]]
        in_block = np.zeros((stop - start, slots, blocks), dtype=np.float32)
        in_block[row, column, block[pairs]] = 1
        gold_at_least, gold_above = among_golds(thresholds, in_block)
        wrong[pairs] = (tally(scores, thresholds, columns.run_starts, columns.first_run) - gold_at_least)[row, column]
        gold[pairs] = gold_above[row, column]
        return len(scores)

    # One thread per core, each with a product of its own: faster than one product on all cores with the counting after
    # it, and the sums do not depend on the number of cores.
    with one_blas_thread(), ThreadPoolExecutor(workers()) as pool:
        for done in pool.map(count, range(0, queries.shape[0], QUERIES_PER_PRODUCT)):
            if advance:
                advance(done)
    return Outranked(wrong, gold)


def _lay_out(candidates: Vectors, block_starts: NDArray[np.int64]) -> _Columns:
    sizes = np.diff(block_starts)
    padded = -(-sizes // LANES) * LANES
    offsets = np.concatenate([[0], np.cumsum(padded)])
    position = np.arange(candidates.shape[0]) + np.repeat(offsets[:-1] - block_starts[:-1], sizes)
    width = int(offsets[-1])
    padding = np.setdiff1d(np.arange(width), position)
    runs = [np.arange(a, b, RUN) // LANES for a, b in pairwise(offsets)]
    if isinstance(candidates, np.ndarray):
        vectors: Vectors = np.zeros((width, candidates.shape[1]), dtype=np.float32)
        vectors[position] = candidates
        copies, originals = _copies(candidates)
    else:
        lengths = np.zeros(width, dtype=np.int64)
        lengths[position] = np.diff(candidates.indptr)
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        vectors = sparse.csr_array(
            (candidates.data, candidates.indices, indptr), shape=(width, candidates.shape[1])
        ).T.tocsr()
        # A sparse product adds the terms of every column in the query's order: copies are equal by construction.
        copies = originals = np.empty(0, dtype=np.intp)
    return _Columns(
        vectors=vectors,
        position=position,
        padding=padding,
        run_starts=np.concatenate(runs),
        first_run=np.cumsum([0, *(len(run) for run in runs[:-1])]),
        copies=position[copies],
        originals=position[originals],
        width=width,
    )


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


def _product(
    queries: Vectors, start: int, stop: int, columns: _Columns, buffer: NDArray[np.float32]
) -> NDArray[np.float32]:
    scores = buffer[: stop - start]
    if isinstance(queries, np.ndarray):
        np.matmul(queries[start:stop], columns.vectors.T, out=scores)
    else:
        (queries[start:stop] @ columns.vectors).toarray(out=scores)
    if len(columns.copies):
        scores[:, columns.copies] = scores[:, columns.originals]
    scores[:, columns.padding] = -np.inf
    return scores
