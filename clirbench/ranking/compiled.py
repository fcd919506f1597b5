"""The comparison of a tile with the scores of golds, compiled by Numba. Importing this module compiles it, or reads what is kept.

It does the work of :class:`clirbench.ranking.near_ties.TileComparison` in one reading of the scores, with the same bounds:

1. The float32 bounds of a gold tell which candidates surely outrank it and which are near it.
2. A candidate near a gold is multiplied again in float64, and added up in any order. Nearly always its score is then farther from
   the gold's than float64 rounds, and that decides.
3. What is left is undecided: ties, mostly. They are listed, and the caller gives them to the tie rule.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types

from clirbench.ranking.kernel import MANY_NEAR

# What is near a gold is sought in so many columns at once, then in fewer of them, and then one by one.
_COLUMNS, _FINER_COLUMNS = 256, 32
# If fewer than 1 in _FEW candidates may reach a query's last gold, each gold is compared with these alone, where to list them
# takes less time than to compare each gold with all. They are sought in so many columns at once.
_FEW, _LISTED_COLUMNS = 32, 64
# The rounding of float64 as a share of that of float32.
_FINER = 2.0**-29

_SINGLES, _DOUBLES = (types.Array(kind, 2, "C", readonly=True) for kind in (types.float32, types.float64))
_ROW = types.Array(types.float32, 1, "C", readonly=True)
_COUNTS, _LISTED = types.Array(types.int32, 2, "C"), types.Array(types.intp, 2, "C")
_NUMBERS = types.Array(types.intp, 1, "C")


def _compiled(*signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function for one signature, and keep it for later processes where there is a folder to keep it in."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(*signature, cache=True, nogil=True, **options)(function)  # type: ignore[no-any-return]
        except (OSError, RuntimeError):
            # Neither the folder of this file nor the user's cache can be written.
            return njit(*signature, nogil=True, **options)(function)  # type: ignore[no-any-return]

    return decorate


# Terms may be added up in any order, so several are added at once.
@_compiled(types.float64(_ROW, _ROW), fastmath={"reassoc", "contract"})
def _product(left: Any, right: Any) -> Any:
    """Inner product in float64; its error is below :func:`clirbench.ranking.near_ties.largest_error` of float64."""
    total = 0.0
    for i in range(len(left)):
        total += np.float64(left[i]) * np.float64(right[i])
    return total


@_compiled(types.UniTuple(types.int32, 2)(_ROW, types.float32, types.float32))
def _reached(scores: Any, low: Any, high: Any) -> Any:
    """How many scores reach each of two bounds."""
    # As 32-bit integers throughout: with 64 bits, half as many are added at once.
    reach_low, reach_high = np.int32(0), np.int32(0)
    for i in range(len(scores)):
        reach_low = np.int32(reach_low + np.int32(scores[i] >= low))
        reach_high = np.int32(reach_high + np.int32(scores[i] >= high))
    return reach_low, reach_high


@_compiled(types.int32(_ROW, types.float32))
def _reached_low(scores: Any, low: Any) -> Any:
    """How many scores reach a bound."""
    reach_low = np.int32(0)
    for i in range(len(scores)):
        reach_low = np.int32(reach_low + np.int32(scores[i] >= low))
    return reach_low


@_compiled(types.intp(_ROW, types.float32, types.float32, _NUMBERS, types.intp, types.intp))
def _between(scores: Any, low: Any, high: Any, found: Any, known: Any, offset: Any) -> Any:
    """Write the numbers of the scores between two bounds, plus ``offset``, behind the first ``known`` of ``found``.

    Returns ``known`` and how many there are. Those that ``found`` has no room for are counted all the same; its last place is
    for any number.
    """
    last = len(found) - 1
    for i in range(len(scores)):
        # Written in any case, and kept where it counts: a processor guesses a condition here, and often wrongly.
        found[min(known, last)] = offset + i
        known += np.intp(scores[i] >= low) & np.intp(scores[i] < high)
    return known


@_compiled(
    types.UniTuple(types.intp, 2)(
        types.UniTuple(_SINGLES, 2), _SINGLES, types.UniTuple(_SINGLES, 2), _DOUBLES, _COUNTS, _LISTED, types.intp
    )
)
def count_rows(  # noqa: PLR0912, PLR0915 - one loop: Numba passes arrays to functions slowly
    vectors: Any, scores: Any, bounds: Any, exact: Any, counts: Any, undecided: Any, first: Any
) -> Any:
    """Count the candidates that outrank each gold, from query number ``first`` on, until ``undecided`` may be full.

    All arrays are C-contiguous.

    Args:
        vectors: Those of the queries and those of the candidates, float32 (rows, dimensions) each.
        scores: float32 (queries, candidates), their float32 products; -inf for what must not be compared.
        bounds: The low and the high bounds of :func:`clirbench.ranking.near_ties.score_bounds`, float32 (queries, slots) each.
        exact: float64 (queries, slots), scores of the golds; inf where a query has no gold in the slot.
        counts: int32 (queries, slots), written: candidates that outrank the gold, without those that are undecided.
        undecided: intp (cells, 3), written: query, candidate and slot. The cells are at least ``MANY_NEAR`` times the slots.
        first: Number of the first query to count.

    Returns:
        The number of the first query that is not counted yet, and how many cells of ``undecided`` were written.
    """
    queries, tile = vectors
    low, high = bounds
    columns, slots = scores.shape[1], low.shape[1]
    near, few = np.empty(MANY_NEAR + 1, dtype=np.intp), np.empty(columns // _FEW + 1, dtype=np.intp)
    written = 0
    for row in range(first, len(scores)):
        if written + slots * MANY_NEAR > len(undecided):
            return row, written
        counts[row] = 0
        lowest = np.float32(np.inf)
        for slot in range(slots):
            lowest = min(lowest, low[row, slot])
        of_row = scores[row]
        reach_lowest = _reached_low(of_row, lowest)
        if reach_lowest == 0:
            continue
        # To look at 64 columns one by one takes as long as to compare about 400 with one gold, and to seek takes as long as 3 / 2
        # of such comparisons of a whole row.
        listed = reach_lowest < len(few) and 800 * reach_lowest < columns * (2 * slots - 3)
        if listed:
            start, known = 0, 0
            while known < reach_lowest:
                part = of_row[start : start + _LISTED_COLUMNS]
                if _reached_low(part, lowest):
                    known = _between(part, lowest, np.float32(np.inf), few, known, start)
                start += _LISTED_COLUMNS
        for slot in range(slots):
            from_low, from_high = low[row, slot], high[row, slot]
            if from_low == np.inf:
                continue
            above, known = 0, 0
            if listed:
                for i in range(reach_lowest):
                    score = of_row[few[i]]
                    if score >= from_high:
                        above += 1
                    elif score >= from_low:
                        if known < MANY_NEAR:
                            near[known] = few[i]
                        known += 1
            else:
                reach_low, reach_high = _reached(of_row, from_low, from_high)
                above, left = reach_high, reach_low - reach_high
                start, step = 0, _COLUMNS
                while left > 0:
                    part = of_row[start : start + step]
                    reach_low, reach_high = _reached(part, from_low, from_high)
                    if reach_low > reach_high and step > _FINER_COLUMNS:
                        step = _FINER_COLUMNS
                        continue
                    if reach_low > reach_high:
                        known = _between(part, from_low, from_high, near, known, start)
                        left -= reach_low - reach_high
                    start += step
                    if start % _COLUMNS == 0:
                        step = _COLUMNS
            if known > MANY_NEAR:
                # Too many to look at: they count as ties, and the gold loses them.
                counts[row, slot] = above + known
                continue
            # The bounds are at least two float32 errors apart, so this is at least two float64 errors. The product below and the
            # product that the tie rule would see each have one, so both are on the same side of the gold's score.
            doubt = (np.float64(from_high) - np.float64(from_low)) * _FINER
            for i in range(known):
                difference = _product(queries[row], tile[near[i]]) - exact[row, slot]
                if difference > doubt:
                    above += 1
                elif difference >= -doubt:
                    undecided[written, 0], undecided[written, 1], undecided[written, 2] = row, near[i], slot
                    written += 1
            counts[row, slot] = above
    return len(scores), written
