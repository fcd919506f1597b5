"""The best candidates of one shard for each query, for those who want a run file."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TopOfShard:
    """The best candidates of a shard for each query, best first; among equal scores in candidate order.

    Attributes:
        column: int32 (queries, k).
        score: float32 (queries, k).
    """

    column: NDArray[np.int32]
    score: NDArray[np.float32]


def top_of_tile(scores: NDArray[np.float32], offset: int, k: int) -> TopOfShard:
    """The best of a tile: float32 (queries, candidates), of which the first is number ``offset`` of the shard."""
    # A stable sort keeps candidate order among equal scores.
    column = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return TopOfShard((column + offset).astype(np.int32), np.take_along_axis(scores, column, axis=1))


class BestOfShard:
    """The best candidates over the tiles of a shard, which come in order.

    Args:
        k: How many to keep for each query.
    """

    def __init__(self, k: int) -> None:
        self._k = k
        self._found: dict[int, TopOfShard] = {}

    def add(self, rows: slice, found: TopOfShard) -> None:
        """Take in the best of one more tile, for a block of queries."""
        if rows.start in self._found:
            before = self._found[rows.start]
            column = np.concatenate([before.column, found.column], axis=1)
            score = np.concatenate([before.score, found.score], axis=1)
            order = np.argsort(-score, axis=1, kind="stable")[:, : self._k]
            found = TopOfShard(np.take_along_axis(column, order, 1), np.take_along_axis(score, order, 1))
        self._found[rows.start] = found

    def ordered(self, order: NDArray[np.intp]) -> TopOfShard:
        """For all queries, in the order in which they were given: query ``i`` of the blocks was number ``order[i]``."""
        parts = [self._found[start] for start in sorted(self._found)]
        column, score = (np.concatenate([getattr(p, name) for p in parts]) for name in ("column", "score"))
        back = np.argsort(order)
        return TopOfShard(column[back], score[back])
