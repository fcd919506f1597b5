"""The options of a streamed task: where its corpus is, how it is cut into shards, and what counts them."""

from dataclasses import dataclass
from pathlib import Path

from clirbench.tasks.corpora.base import Candidates
from clirbench.tasks.corpora.judged import open_candidates
from clirbench.tasks.corpora.vector_files import VectorFolder
from clirbench.tasks.task import Task

# A shard of this size takes seconds on a GPU and minutes on a CPU, and its file of counts is much smaller than its texts.
SHARD = 20_000
# Queries whose best passages are found together: a fixed number, because the last digit of a score may change with it.
TOP_QUERIES = 512
# Best passages that are merged together, at most: their identifiers and scores take some 50 MB.
_MERGED = 2**20


@dataclass(frozen=True)
class Streaming:
    """The options of a streamed task.

    Attributes:
        data: Folder of the corpus; None for ``CLIRBENCH_MIRROR`` or the hub.
        vectors: Folder of pre-computed vectors, read instead of texts; None to encode texts.
        shard: Candidates per shard.
        top: Number of best passages to keep per query; 0 for none.
        engine: "local" or "ray".
        ray_address: Address of the Ray cluster; None starts one on this machine.
        workers: Number of Ray workers; None for as many as the cluster has room for.
        gpus_per_worker: GPUs of a Ray worker; with a fraction, several workers share one.
    """

    data: Path | None = None
    vectors: Path | None = None
    shard: int = SHARD
    top: int = 0
    engine: str = "local"
    ray_address: str | None = None
    workers: int | None = None
    gpus_per_worker: float = 0

    @property
    def top_queries(self) -> int:
        """Number of queries whose best passages are merged and written together: 512, or a power of two below it."""
        number = TOP_QUERIES
        while number > 1 and number * self.top > _MERGED:
            number //= 2
        return number


def candidates_of(task: Task, streaming: Streaming) -> Candidates:
    """Open the candidates of a run: a folder of vectors, or the corpus of the task."""
    if streaming.vectors is not None:
        return VectorFolder(streaming.vectors)
    return open_candidates(task, streaming.data)
