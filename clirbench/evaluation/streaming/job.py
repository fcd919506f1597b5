"""What a streamed run is made of, before anything is counted: how to read it, what every worker needs, what comes out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from clirbench.encoders.base import LoadedEncoder
from clirbench.evaluation.streaming.count_shard import ShardCounter, ShardCounts
from clirbench.evaluation.streaming.counts_folder import CountsFolder
from clirbench.evaluation.streaming.first_pass import FirstPass
from clirbench.evaluation.streaming.options import Streaming
from clirbench.results.result import Result
from clirbench.tasks.corpora.base import Candidates
from clirbench.tasks.corpora.inventory import Inventory, Shard
from clirbench.tasks.corpora.judged import Judged
from clirbench.tasks.task import Task


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
