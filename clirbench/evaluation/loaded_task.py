"""A task with its data, ready to be evaluated.

:func:`load_data` decides whether the data are held in memory or read shard by shard. All later steps are the same for both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import LoadedModel
from clirbench.ranking import counters
from clirbench.ranking.counters import Counter
from clirbench.results.schema import CorpusPart, Role
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import ENCODE, RANK, follow_download
from clirbench.tasks.collection import Collection, GoldPairs, load_collection
from clirbench.tasks.selection import Selection


class LoadedTask(Protocol):
    """A selection with its data, in memory or read shard by shard."""

    @property
    def selection(self) -> Selection:
        """The task, and the languages and settings of the run."""

    @property
    def gold_pairs(self) -> GoldPairs:
        """The gold pairs, in the order in which they are counted."""

    @property
    def queries(self) -> tuple[str, ...]:
        """The texts of the queries."""

    @property
    def pool_sizes(self) -> Mapping[str, int]:
        """Number of candidates by language."""

    @property
    def corpus(self) -> CorpusPart | None:
        """What a result records of the corpus that was read; None for data in memory."""

    def texts(self) -> dict[Role, dict[str, Sequence[str]]]:
        """The texts by role and language, which may repeat; a sample of the candidates where they are not in memory."""

    def sizes(self, model: LoadedModel) -> tuple[int, int, int]:
        """Count the texts that a run encodes, their characters, and the queries that it ranks.

        All are 0 where this is not known before the run.
        """

    def encode(self, model: LoadedModel, context: RunContext) -> Counter:
        """Give the model each distinct text once."""

    def write_runs(self, path: Path, model: LoadedModel, context: RunContext) -> None:
        """Write the TREC runs that the user asked for, beside the result at ``path``."""

    def forget(self) -> None:
        """Remove files that only an interrupted run needs. Called once the result is written."""


@dataclass(frozen=True)
class InMemoryTask:
    """A selection whose candidates are all in memory."""

    collection: Collection
    settings: tuple[str, ...]

    @property
    def selection(self) -> Selection:
        """The task, and the languages and settings of the run."""
        return Selection(self.collection.task, self.collection.languages, self.settings)

    @cached_property
    def gold_pairs(self) -> GoldPairs:
        """The gold pairs, in the order in which they are counted."""
        return self.collection.gold_pairs

    @property
    def queries(self) -> tuple[str, ...]:
        """The texts of the queries."""
        return self.collection.queries

    @property
    def pool_sizes(self) -> dict[str, int]:
        """Number of candidates by language."""
        return self.collection.pool_sizes

    @property
    def corpus(self) -> None:
        """None: the data are in memory."""

    def texts(self) -> dict[Role, dict[str, Sequence[str]]]:
        """All texts by role and language."""
        collection = self.collection
        parts: tuple[tuple[Role, tuple[str, ...], NDArray[np.int64]], ...] = (
            ("query", collection.queries, collection.query_starts),
            ("candidate", collection.candidates, collection.candidate_starts),
        )
        return {
            role: {x: texts[a:b] for x, (a, b) in zip(collection.languages, pairwise(starts.tolist()), strict=True)}
            for role, texts, starts in parts
        }

    def sizes(self, model: LoadedModel) -> tuple[int, int, int]:
        """Count the texts that a run encodes, including cached ones, their characters, and the queries that it ranks."""
        return *counters.texts_to_encode(model, self.collection), len(self.collection.queries)

    def encode(self, model: LoadedModel, context: RunContext) -> Counter:
        """Give the model each distinct text once."""
        return counters.encode(model, self.collection, context)

    def write_runs(self, path: Path, model: LoadedModel, context: RunContext) -> None:
        """Write nothing: candidates in memory have no identifiers that a TREC run could name."""

    def forget(self) -> None:
        """Remove nothing: vectors stay in the cache for the next run."""


def load_data(
    selection: Selection,
    context: RunContext,
    data: Path | None = None,
    stream: Callable[[Selection], LoadedTask] | None = None,
) -> LoadedTask:
    """Load the data of a selection: a collection in memory, or the topics and judgements of a streamed task.

    Args:
        selection: The task, languages and settings.
        context: Its reporter is told of downloads.
        data: Folder of a streamed task's corpus; None for ``CLIRBENCH_MIRROR`` or the hub.
        stream: A function that opens a streamed task; None to count its shards in this process and keep the counts in memory.

    Raises:
        ClirbenchError: The data cannot be loaded, or differ from the declared ones.
    """
    task = selection.task
    if task.streamed:
        if stream is not None:
            return stream(selection)
        from clirbench.evaluation.streaming.options import Streaming
        from clirbench.evaluation.streaming.streamed_task import StreamedTask

        return StreamedTask(selection, Streaming(data=data))
    if data is not None:
        raise ClirbenchError(f"data is for tasks that are read shard by shard, and {task.id} is not: leave it out")
    collection = load_collection(task, selection.languages, follow_download(context.reporter))
    return InMemoryTask(collection, selection.settings)


def announce(tasks: Sequence[LoadedTask], model: LoadedModel, context: RunContext) -> None:
    """Tell the reporter how many texts there are to encode, and how many queries to rank, in all of these tasks."""
    sizes = [task.sizes(model) for task in tasks]
    texts, work, queries = (sum(one[i] for one in sizes) for i in range(3))
    if texts:
        context.reporter.start(ENCODE, texts, work=work)
        context.reporter.start(RANK, queries, brief=True)
