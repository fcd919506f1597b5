"""What goes into the counting of shards, what comes out, and what an engine is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from clirbench.evaluation.streaming.first_pass import FirstPass
from clirbench.evaluation.streaming.options import Streaming
from clirbench.tasks.corpora.inventory import Inventory, Shard
from clirbench.tasks.corpora.judged import Judged
from clirbench.tasks.selection import Selection


@dataclass(frozen=True)
class Work:
    """Everything that a worker needs to count shards, except the encoder, which it loads itself."""

    selection: Selection
    judged: Judged
    inventory: Inventory
    first: FirstPass
    allow_zero: bool
    streaming: Streaming

    @property
    def pooled(self) -> bool:
        """Whether queries of all languages are compared with every shard, as the multilingual setting needs."""
        return "multilingual" in self.selection.settings


@dataclass(frozen=True)
class ShardCounts:
    """The counts of one shard.

    Attributes:
        wrong: uint32 (gold pairs,), wrong candidates of the shard that outrank each pair. Without the multilingual setting, only
            the pairs of the shard's language are in it.
        encoded: Number of texts that were encoded.
        seconds: Seconds that the encoder took.
        zero: Number of vectors that are all zero.
        top_ids: (queries, k) of text, identifiers of the best passages for the queries of the shard's language, best first; empty
            without ``--save-top``.
        top_scores: float32 (queries, k), scores of these passages.
    """

    wrong: NDArray[np.uint32]
    encoded: int
    seconds: float
    zero: int
    top_ids: NDArray[np.str_] = field(default_factory=lambda: np.empty((0, 0), dtype="U1"))
    top_scores: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))

    def to_bytes(self) -> bytes:
        """Write the counts as a compressed NumPy archive."""
        sink = BytesIO()
        np.savez_compressed(sink, **vars(self))
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "ShardCounts":
        """Read what :meth:`to_bytes` wrote.

        Raises:
            ValueError, KeyError, OSError: The content is not what :meth:`to_bytes` writes.
        """
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            values = {name: arrays[name] for name in arrays.files}
        return cls(
            wrong=values["wrong"],
            encoded=int(values["encoded"]),
            seconds=float(values["seconds"]),
            zero=int(values["zero"]),
            top_ids=values["top_ids"],
            top_scores=values["top_scores"],
        )


# An engine counts shards, in any order. It yields each shard with its counts as soon as they are complete.
Engine = Callable[[Work, Sequence[Shard]], Iterator[tuple[Shard, ShardCounts]]]
