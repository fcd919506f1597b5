"""What a streamed run is made of, before anything is counted: how to read it, what every worker needs, what comes out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clirbench.corpora import Judged, open_candidates
from clirbench.corpora.base import Candidates
from clirbench.corpora.inventory import Inventory, Shard
from clirbench.corpora.vector_files import VectorFolder
from clirbench.encoders.base import LoadedEncoder
from clirbench.results import Result
from clirbench.streaming.counter import ShardCounter, ShardCounts
from clirbench.streaming.first_pass import FirstPass
from clirbench.streaming.store import CountsFolder
from clirbench.tasks import Task

# Few enough that a shard takes seconds on a GPU and minutes on a CPU, many enough that its counts file is a small part of it.
SHARD = 20_000


@dataclass(frozen=True)
class Streaming:
    """How a streamed task is read and run.

    Attributes:
        data: Folder of the corpus; None for ``CLIRBENCH_MIRROR`` or the hub.
        vectors: Folder of pre-computed vectors, in the place of texts and encoder.
        shard: Candidates per shard.
        top: How many of the best passages to keep per query.
        engine: "local" or "ray".
        ray_address: Of the cluster; None starts one on this machine.
        workers: Ray workers; None for as many as the cluster has room for.
        gpus_per_worker: GPUs of a Ray worker; a fraction shares one.
    """

    data: Path | None = None
    vectors: Path | None = None
    shard: int = SHARD
    top: int = 0
    engine: str = "local"
    ray_address: str | None = None
    workers: int | None = None
    gpus_per_worker: float = 0


@dataclass(frozen=True)
class Work:
    """A streamed run that is ready to count: everything a worker needs but the encoder, which it loads itself."""

    task: Task
    languages: tuple[str, ...]
    settings: tuple[str, ...]
    judged: Judged
    inventory: Inventory
    first: FirstPass
    allow_zero: bool
    streaming: Streaming

    @property
    def pooled(self) -> bool:
        """Whether every query is compared with every shard."""
        return "multilingual" in self.settings

    def counter(self, loaded: LoadedEncoder, candidates: Candidates, threads: int | None = None) -> ShardCounter:
        """What counts its shards."""
        return ShardCounter(
            loaded,
            self.judged,
            candidates,
            inventory=self.inventory,
            first=self.first,
            pooled=self.pooled,
            allow_zero=self.allow_zero,
            top=self.streaming.top,
            threads=threads,
        )


Engine = Callable[[Work, Sequence[Shard]], Iterator[tuple[Shard, ShardCounts]]]


@dataclass(frozen=True)
class Streamed:
    """The result of a streamed run, and the counts that it came from.

    ``top`` holds by language, then query, the best passages as (identifier, score).
    """

    result: Result
    store: CountsFolder
    top: Mapping[str, Mapping[str, list[tuple[str, float]]]] = field(default_factory=dict)


def candidates_of(task: Task, streaming: Streaming) -> Candidates:
    """Where the candidates of a run come from."""
    if streaming.vectors is not None:
        return VectorFolder(streaming.vectors)
    return open_candidates(task, streaming.data)
