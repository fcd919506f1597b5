"""The comparison of scores, and the tie rule: the only ones of clirbench.

Tie rule: among equal scores, non-gold candidates come first, then gold candidates in candidate order.

:mod:`clirbench.ranking.in_memory` counts with them over candidates that are all in memory,
:mod:`clirbench.ranking.shards` over one shard of a corpus after the other.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from clirbench.encoders.base import Vectors

OVERFLOW = "scores could overflow float32: use --similarity cosine, or scale the vectors down"
# Fixed, never derived from the machine: the same run must see the same products everywhere.
QUERIES_PER_PRODUCT = 256
# Small enough that the scores being counted stay in a core's second-level cache.
_QUERIES_PER_COUNT = 8
# Eight comparisons are counted per 64-bit addition, one per byte; 255 additions cannot overflow a byte.
LANES = 8
RUN = 255 * LANES


def workers() -> int:
    """Cores that this process may use, at most eight: each worker holds a buffer, and memory bandwidth ends there."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 8)


_limits: list[threadpool_limits] = []
_running = 0
_guard = threading.Lock()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS while any evaluation of this process counts; the last one to end restores what the first one found."""
    global _running  # noqa: PLW0603 - BLAS's own setting is global
    with _guard:
        if _running == 0:
            _limits.append(threadpool_limits(1, user_api="blas"))
        _running += 1
    try:
        yield
    finally:
        with _guard:
            _running -= 1
            if _running == 0:
                _limits.pop().restore_original_limits()


def longest(vectors: Vectors) -> float:
    """Norm of the longest vector."""
    if isinstance(vectors, np.ndarray):
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    else:
        squares = vectors.astype(np.float64).power(2).sum(axis=1)
    return float(np.sqrt(squares.max(initial=0)))


def tally(
    scores: NDArray[np.float32],
    thresholds: NDArray[np.float32],
    run_starts: NDArray[np.intp],
    first_run: NDArray[np.intp],
) -> NDArray[np.int32]:
    """Count the candidates of each block that score at least the threshold.

    Args:
        scores: float32 (queries, columns); a column that is to count for nothing is -inf.
        thresholds: float32 (queries, slots); inf where a query has no gold in the slot.
        run_starts: intp (runs,), first column of each run, in lanes; a run is at most ``RUN`` columns of one block.
        first_run: intp (blocks,), first run of each block.

    Returns:
        int32 (queries, slots, blocks).
    """
    slots = thresholds.shape[1]
    at_least = np.empty((slots, _QUERIES_PER_COUNT, scores.shape[1]), dtype=np.bool_)
    runs = np.empty((slots, len(scores), len(run_starts)), dtype=np.uint64)
    for start in range(0, len(scores), _QUERIES_PER_COUNT):
        rows = slice(start, start + _QUERIES_PER_COUNT)
        out = at_least[:, : len(scores[rows])]
        np.greater_equal(scores[rows], thresholds[rows].T[:, :, None], out=out)
        np.add.reduceat(out.view(np.uint64), run_starts, axis=2, out=runs[:, rows])
    per_run = runs.view(np.uint8).reshape(*runs.shape, LANES).sum(axis=3, dtype=np.int32)
    return np.add.reduceat(per_run, first_run, axis=2).transpose(1, 0, 2)


def tally_flags(flags: NDArray[np.bool_], run_starts: NDArray[np.intp]) -> NDArray[np.int32]:
    """int32 (rows,): how many of each row are set; ``flags`` is bool (rows, columns), ``run_starts`` as for :func:`tally`."""
    runs = np.add.reduceat(flags.view(np.uint64), run_starts, axis=1)
    return np.asarray(runs.view(np.uint8).sum(axis=1, dtype=np.int32))


def among_golds(
    thresholds: NDArray[np.floating[Any]], in_block: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Per query, slot and block: golds of the same query that score at least as much, and that outrank it.

    ``in_block`` is 1 where the gold of a slot lies in the block, and 0 everywhere for a slot without a gold.
    """
    mine, other = thresholds[:, :, None], thresholds[:, None, :]
    earlier = np.tri(thresholds.shape[1], k=-1, dtype=np.bool_)
    at_least = other >= mine
    above = (other > mine) | (at_least & earlier)
    # Sums of ones in float32 are exact far beyond any number of golds.
    counts = [(flags.astype(np.float32) @ in_block).astype(np.int32) for flags in (at_least, above)]
    return counts[0], counts[1]
