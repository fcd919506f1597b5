"""The gold pairs of a run, before anything is ranked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class GoldPairs:
    """Who the gold pairs of a run are, before anything is ranked.

    Attributes:
        topics: Topic identifiers.
        languages: Languages of the run, in the task's order.
        sizes: int64 (languages,), candidates of each.
        topic: int32 (gold pairs,), index into ``topics``.
        query_language: int32 (gold pairs,), index into ``languages``.
        gold_language: int32 (gold pairs,), index into ``languages``.
    """

    topics: tuple[str, ...]
    languages: tuple[str, ...]
    sizes: NDArray[np.int64]
    topic: NDArray[np.int32]
    query_language: NDArray[np.int32]
    gold_language: NDArray[np.int32]
