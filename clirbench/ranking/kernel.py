"""The tie rule, and the counting that applies it.

**The tie rule.** Among equal scores, wrong candidates come first, then gold candidates, those of lower grades first, and those
of one grade in candidate order. So an encoder that gives every text the same vector gains nothing.

:func:`outranks` compares a candidate's score with a gold's score wherever a rank depends on it. :func:`best_first` sorts
candidates for display. No other module decides a tie. The rank of a gold is one plus the number of candidates that outrank it,
and this number is a sum over any partition of the candidates. :mod:`clirbench.ranking.in_memory` counts candidates that are all
in memory; :mod:`clirbench.ranking.shards` counts one shard of a corpus after the other.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import Vectors
from clirbench.support.errors import ClirbenchError

OVERFLOW = "scores could overflow float32: use --similarity cosine, or scale the vectors down"
# Fixed, so that the same run computes the same products on every machine.
QUERIES_PER_PRODUCT = 256
# Small enough that the scores being counted stay in a core's second-level cache.
_QUERIES_PER_COUNT = 8
# Eight truth values fill one 64-bit integer, one byte each: one addition counts eight columns at once.
LANES = 8
# A byte holds at most 255: 255 additions of 0 or 1 never carry into the next byte.
RUN = 255 * LANES
# Fewer values than a row has.
_BUFFER = 512
# Only a collapsed encoder, or vectors of few bits, puts more candidates of a tile between the bounds of one gold
# (clirbench.ranking.near_ties).
MANY_NEAR = 256


def outranks(
    other: NDArray[np.floating[Any]],
    gold: NDArray[np.floating[Any]] | float,
    *,
    wins_ties: NDArray[np.bool_] | bool,
    out: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Decide which candidates outrank a gold, by the tie rule.

    A candidate outranks the gold if its score is higher, or if the scores are equal and the candidate wins ties. A wrong
    candidate wins every tie with a gold. Another gold of the same query wins a tie if its grade is lower, or if it stands
    earlier in candidate order and has the same grade.

    >>> scores = np.array([2.0, 1.0, 0.5])
    >>> outranks(scores, 1.0, wins_ties=True).tolist()
    [True, True, False]
    >>> outranks(scores, 1.0, wins_ties=False).tolist()
    [True, False, False]

    Args:
        other: Scores of candidates; -inf outranks nothing.
        gold: Scores of golds, of a shape that broadcasts with ``other``; no finite score outranks inf.
        wins_ties: True for wrong candidates; for golds, whether each has a lower grade than the gold that it is compared with, or
            the same grade and an earlier place.
        out: Array that takes the answer; used only if ``wins_ties`` is True.
    """
    if wins_ties is True:
        return np.asarray(np.greater_equal(other, gold, out=out))
    return np.asarray((other > gold) | ((other == gold) & wins_ties))


def best_first(
    scores: NDArray[np.floating[Any]], gold: NDArray[np.bool_] | NDArray[np.int8] | None = None
) -> NDArray[np.intp]:
    """Sort candidates for display, by the tie rule.

    The second and the third candidate tie. The second is a gold, so the third one comes first:

    >>> best_first(np.array([0.5, 1.0, 1.0]), np.array([False, True, False])).tolist()
    [2, 1, 0]

    Args:
        scores: Finite (candidates,) or (queries, candidates), in candidate order.
        gold: bool or int8, of the same shape: True or the grade for golds of the query, False or 0 for others. None if the
            golds are unknown, as in a run file; ties then keep candidate order.
    """
    if gold is None:
        return np.argsort(-scores, axis=-1, kind="stable")
    return np.lexsort((gold, -scores), axis=-1)


def workers() -> int:
    """Number of cores that this process may use, at most eight: more of them would only wait for memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 8)


def refuse_overflow(queries: Vectors, candidates: Vectors) -> None:
    """Fail if a product of a query and a candidate could overflow float32.

    Raises:
        ClirbenchError: The product of the longest query and the longest candidate is above the largest float32.
    """
    # By Cauchy-Schwarz, the product of the two norms bounds every partial sum, so no score is infinite or NaN.
    if not _largest_norm(queries) * _largest_norm(candidates) <= float(np.finfo(np.float32).max):
        raise ClirbenchError(OVERFLOW)


def _largest_norm(vectors: Vectors) -> float:
    """Euclidean norm of the longest vector, in float64."""
    if isinstance(vectors, np.ndarray):
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    else:
        squares = vectors.astype(np.float64).power(2).sum(axis=1)
    return float(np.sqrt(squares.max(initial=0)))


@contextmanager
def unbuffered() -> Iterator[None]:
    """Let NumPy compare rows where they stand, in this thread.

    With its own size of buffer, it copies each row of fewer than about 4,000 values first, which takes longer than to compare it.
    """
    before = np.setbufsize(_BUFFER)
    try:
        yield
    finally:
        np.setbufsize(before)


def tally(
    scores: NDArray[np.float32],
    thresholds: NDArray[np.float32],
    run_starts: NDArray[np.intp],
    first_run: NDArray[np.intp],
) -> NDArray[np.int32]:
    """Count the candidates of each block that reach a threshold, as if all of them were wrong.

    If the thresholds are scores of golds, these golds are counted too; :func:`among_golds` gives the number to subtract. Slot s
    of a query is its gold number s, by grade, then in candidate order.

    Three candidates score 2, 1 and 1, and the last one is the gold. All three reach its score. The gold itself is subtracted,
    so two wrong candidates outrank it and its rank is 3: the gold loses the tie. The five other columns are padding.

    >>> scores = np.full((1, 8), -np.inf, dtype=np.float32)
    >>> scores[0, :3] = 2, 1, 1
    >>> tally(scores, np.array([[1]], dtype=np.float32), np.array([0]), np.array([0])).tolist()
    [[[3]]]

    Args:
        scores: float32 (queries, columns); -inf in columns that must not be counted.
        thresholds: float32 (queries, slots); inf where a query has no gold in the slot.
        run_starts: intp (runs,), first column of each run, divided by ``LANES``; a run is at most ``RUN`` columns of one block.
        first_run: intp (blocks,), first run of each block.

    Returns:
        int32 (queries, slots, blocks).
    """
    slots = thresholds.shape[1]
    reached = np.empty((slots, _QUERIES_PER_COUNT, scores.shape[1]), dtype=np.bool_)
    runs = np.empty((slots, len(scores), len(run_starts)), dtype=np.uint64)
    for start in range(0, len(scores), _QUERIES_PER_COUNT):
        rows = slice(start, start + _QUERIES_PER_COUNT)
        # One byte per comparison, 0 or 1: (slots, queries, columns).
        part = reached[:, : len(scores[rows])]
        with unbuffered():
            outranks(scores[rows], thresholds[rows].T[:, :, None], wins_ties=True, out=part)
        # Eight bytes are read as one integer. Adding such integers over a run adds up their bytes side by side.
        np.add.reduceat(part.view(np.uint64), run_starts, axis=2, out=runs[:, rows])
    # A run ends before a byte overflows. Then its eight bytes are added up as int32, and then the runs of each block.
    per_run = runs.view(np.uint8).reshape(*runs.shape, LANES).sum(axis=3, dtype=np.int32)
    return np.add.reduceat(per_run, first_run, axis=2).transpose(1, 0, 2)


def tally_flags(flags: NDArray[np.bool_], run_starts: NDArray[np.intp]) -> NDArray[np.int32]:
    """Count the flags that are set in each row, eight at a time as :func:`tally` does: int32 (rows,).

    The flags are C-contiguous (rows, columns); the number of columns is a multiple of ``LANES``. ``run_starts`` is that of one
    block.
    """
    runs = np.add.reduceat(flags.view(np.uint64), run_starts, axis=1)
    return np.asarray(runs.view(np.uint8).sum(axis=1, dtype=np.int32))


def among_golds(
    thresholds: NDArray[np.floating[Any]], in_block: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Compare the golds of each query with one another.

    Of three candidates, the first is wrong and the other two are golds; all score 1. :func:`tally` counts three that reach the
    first gold. Two of them are golds, so one wrong candidate outranks it and its rank is 2. The wrong candidate and the first
    gold outrank the second gold: its rank is 3.

    >>> reached, above = among_golds(np.array([[1.0, 1.0]]), np.ones((1, 2, 1), dtype=np.float32))
    >>> reached.tolist(), above.tolist()
    ([[[2], [2]]], [[[0], [1]]])

    Args:
        thresholds: Float (queries, slots), scores of the golds by grade, then in candidate order; inf where a query has no
            gold in the slot.
        in_block: float32 (queries, slots, blocks), 1 where the gold of a slot lies in the block, 0 everywhere else.

    Returns:
        Two arrays, int32 (queries, slots, blocks). The first counts the golds of the query that reach the gold's score, itself
        included; :func:`tally` counts these as wrong. The second counts the golds of the query that outrank the gold.
    """
    mine, other = thresholds[:, :, None], thresholds[:, None, :]
    # Cell [s, t] is true where gold t stands before gold s.
    earlier = np.tri(thresholds.shape[1], k=-1, dtype=np.bool_)
    reached = outranks(other, mine, wins_ties=True)
    above = outranks(other, mine, wins_ties=earlier)
    # The matrix product adds up the flags of each block. Float32 is exact here: it holds every whole number up to 2**24.
    by_block = [(flags.astype(np.float32) @ in_block).astype(np.int32) for flags in (reached, above)]
    return by_block[0], by_block[1]
