"""What goes into the counting of shards, what comes out, and what an engine is."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from clirbench.evaluation.streaming.first_pass import FirstPass
from clirbench.evaluation.streaming.options import Streaming
from clirbench.ranking.shards import Best
from clirbench.tasks.corpora.inventory import Inventory, Shard
from clirbench.tasks.corpora.judged import Judged
from clirbench.tasks.selection import Selection


@dataclass(frozen=True)
class Work:
    """Everything that a worker needs to count shards, except the encoder, which it loads itself.

    ``count_on`` is that of :class:`clirbench.support.context.RunContext`; each worker counts on its own device.
    """

    selection: Selection
    judged: Judged
    inventory: Inventory
    first: FirstPass
    allow_zero: bool
    streaming: Streaming
    count_on: str = "auto"

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
        top_ids: Identifiers of the passages that ``top`` holds, text (passages,); empty without ``--save-top``.
        top: The best passages for the queries of the shard's language, by block of ``Streaming.top_queries`` queries: row in
            ``top_ids``, int32 (queries, k), and score; empty without ``--save-top``.
    """

    wrong: NDArray[np.uint32]
    encoded: int
    seconds: float
    zero: int
    top_ids: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, dtype="U1"))
    top: Mapping[int, Best] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Write the counts as a compressed NumPy archive."""
        sink = BytesIO()
        values = {name: value for name, value in vars(self).items() if name != "top"}
        for block, best in self.top.items():
            values |= {f"top_row_{block}": best.candidate, f"top_score_{block}": best.score}
        np.savez_compressed(sink, **values)
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, blocks: Collection[int] | None = None) -> "ShardCounts":
        """Read what :meth:`to_bytes` wrote; of the best passages only those of some blocks of queries (None: of all).

        Raises:
            ValueError, KeyError, OSError: The content is not what :meth:`to_bytes` writes.
        """
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            values = {name: arrays[name] for name in ("wrong", "encoded", "seconds", "zero", "top_ids")}
            if blocks is None:
                blocks = [int(name.removeprefix("top_row_")) for name in arrays.files if name.startswith("top_row_")]
            top = {block: Best(arrays[f"top_row_{block}"], arrays[f"top_score_{block}"]) for block in blocks}
        return cls(
            wrong=values["wrong"],
            encoded=int(values["encoded"]),
            seconds=float(values["seconds"]),
            zero=int(values["zero"]),
            top_ids=values["top_ids"],
            top=top,
        )


# An engine counts shards, in any order. It yields each shard with its counts as soon as they are complete.
Engine = Callable[[Work, Sequence[Shard]], Iterator[tuple[Shard, ShardCounts]]]
