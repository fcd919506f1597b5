"""How a streamed task is read and run."""

from dataclasses import dataclass
from pathlib import Path

from clirbench.tasks.corpora.base import Candidates
from clirbench.tasks.corpora.judged import open_candidates
from clirbench.tasks.corpora.vector_files import VectorFolder
from clirbench.tasks.task import Task

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


def candidates_of(task: Task, streaming: Streaming) -> Candidates:
    """Where the candidates of a run come from."""
    if streaming.vectors is not None:
        return VectorFolder(streaming.vectors)
    return open_candidates(task, streaming.data)
