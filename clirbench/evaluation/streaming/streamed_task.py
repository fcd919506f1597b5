"""A task whose corpus is read shard by shard: inventory, pass 1, then the sum of the counts of all shards.

Pass 1 encodes the queries and the gold passages and scores the gold pairs. Pass 2 takes one shard after the other: read, encode
(longest texts first), compare with the gold scores, write the counts, forget. Memory holds two shards, however large the corpus
is. A killed run loses one shard.

A gold passage, and any passage with its text, keeps the vector and the score of pass 1. So exact duplicates tie, and the rounding
of a second encoding changes no rank (:mod:`clirbench.ranking.shards`).
"""

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import LoadedEncoder, LoadedModel
from clirbench.encoders.same_vectors import first_alike, shares_alike
from clirbench.encoders.vector_cache import versions
from clirbench.encoders.vectors import Clock
from clirbench.evaluation.streaming.best_passages import best_passages, run_path, trec_run
from clirbench.evaluation.streaming.count_shard import ShardCounter
from clirbench.evaluation.streaming.counts_folder import FORMAT, CountsFolder
from clirbench.evaluation.streaming.first_pass import FirstPass, first_pass, refuse_api, require_streamable
from clirbench.evaluation.streaming.job import Engine, ShardCounts, Work
from clirbench.evaluation.streaming.options import Streaming, candidates_of
from clirbench.ranking.counters import Cost, Counts
from clirbench.ranking.device import Device, device_to_count_on
from clirbench.ranking.in_memory import Outranked
from clirbench.ranking.kernel import workers
from clirbench.ranking.shards import GoldScores
from clirbench.results.schema import CorpusPart, Role
from clirbench.support.blas import one_blas_thread
from clirbench.support.context import RunContext
from clirbench.support.files import write_atomically, writing
from clirbench.support.progress import Reporter
from clirbench.tasks.collection import GoldPairs
from clirbench.tasks.corpora.base import Candidates
from clirbench.tasks.corpora.inventory import Inventory, Shard, take_inventory
from clirbench.tasks.corpora.judged import load_judged, open_judgements
from clirbench.tasks.selection import Selection

_Ready = TypeVar("_Ready")
# Passages of each language whose tokens are counted.
_COUNTED = 2048
ENCODE_FIRST, _EVERYTHING = "encode queries and golds (texts)", "all languages (passages)"


class StreamedTask:
    """A selection of a streamed task: topics and judgements are in memory, passages are read when they are counted.

    Args:
        selection: The task, languages and settings.
        streaming: How the corpus is read.
        folder: Where finished counts are kept; None for memory.
        engine: Counts the shards; None for this process.

    Raises:
        ClirbenchError: The corpus or its judgements cannot be loaded, or differ from the declared ones.
    """

    def __init__(
        self, selection: Selection, streaming: Streaming, folder: Path | None = None, engine: Engine | None = None
    ) -> None:
        self.selection, self._streaming, self._engine = selection, streaming, engine
        self._candidates = candidates_of(selection.task, streaming)
        self._judged = load_judged(selection.task, selection.languages, open_judgements(selection.task, streaming.data))
        self._store = CountsFolder(folder)
        self._work: Work | None = None

    @property
    def queries(self) -> tuple[str, ...]:
        """The texts of the queries."""
        return self._judged.queries

    @property
    def pool_sizes(self) -> dict[str, int]:
        """Number of candidates by language, as the inventory counted them."""
        return self.work.inventory.pool_sizes(self.selection.languages)

    @cached_property
    def gold_pairs(self) -> GoldPairs:
        """The gold pairs by query; each gold passage is in its query's language."""
        judged = self._judged
        query_language = judged.query_language[judged.gold_query]
        return GoldPairs(
            topics=judged.topics,
            languages=self.selection.languages,
            sizes=np.array(list(self.pool_sizes.values()), dtype=np.int64),
            topic=judged.gold_query,
            query_language=query_language,
            gold_language=query_language,
            grade=judged.gold_grade,
        )

    @property
    def corpus(self) -> CorpusPart:
        """What a result says of the corpus that was read."""
        streaming = self._streaming
        return CorpusPart(
            source=self._candidates.source,
            layout=self._candidates.layout,
            shard=streaming.shard,
            shards=len(self.work.inventory.shards),
            engine=streaming.engine if streaming.engine == "local" else f"ray, {streaming.workers} workers",
            sha256=self.work.inventory.digests(self.selection.languages),
        )

    @property
    def work(self) -> Work:
        """The input of the counting of shards; it exists once :meth:`encode` has run."""
        assert self._work is not None, "encode comes first"  # noqa: S101
        return self._work

    def texts(self) -> dict[Role, dict[str, Sequence[str]]]:
        """The queries, and the first 2,048 passages of each language, which a run reads once more."""
        judged, languages = self._judged, self.selection.languages
        queries: dict[str, Sequence[str]] = {
            x: judged.queries[a:b] for x, (a, b) in zip(languages, pairwise(judged.starts.tolist()), strict=True)
        }
        blocks = {x: self._candidates.block(x, 0, 0, _COUNTED) for x in languages}
        return {"query": queries, "candidate": {x: block.texts or [] for x, block in blocks.items()}}

    def sizes(self, model: LoadedModel) -> tuple[int, int, int]:
        """Return zeros: the phases of a streamed task are announced while the corpus is read."""
        return 0, 0, 0

    def encode(self, model: LoadedModel, context: RunContext) -> "ShardsToCount":
        """Read the corpus once, then run pass 1, or take pass 1 from an earlier run that was begun in the folder.

        Raises:
            ClirbenchError: The model cannot be streamed, the corpus is not the declared one, or another run was begun in the
                folder.
        """
        refuse_api(model, self.selection.task.id)
        encoder = require_streamable(model)
        # Nodes of a cluster have devices of their own.
        device = None if self._engine else device_to_count_on(context.count_on, encoder)
        begin = time.perf_counter()
        inventory = self._inventory(context)
        loading = time.perf_counter() - begin
        identity = self._identity(encoder, inventory, context)
        if self._store.folder is not None and encoder.info.revision is None:
            # A model without a revision may have changed since the counts in the folder were made.
            self._store.remove()
            context.reporter.note(f"{encoder.info.name} has no revision: a run that is killed begins anew")
        first = self._store.resume(identity, context.force)
        clock, begin = Clock(), time.perf_counter()
        if first is None:
            first, clock = self._first_pass(encoder, inventory, context)
            self._store.begin(identity, first)
        self._work = Work(
            self.selection, self._judged, inventory, first, context.allow_zero, self._streaming, context.count_on
        )
        engine = self._engine or local_engine(encoder, self._candidates, device)
        return ShardsToCount(self._work, self._store, engine, clock, begin, loading, device.name if device else None)

    def write_runs(self, path: Path, model: LoadedModel, context: RunContext) -> None:
        """Write the best passages of each language's queries as a TREC run beside the result at ``path``.

        Raises:
            ClirbenchError: A run cannot be written.
        """
        for language in self.selection.languages if self._streaming.top else ():
            target, best = run_path(path, language), best_passages(self.work, self._store, language)
            with writing(target, "make room and run again; what is counted is kept"):
                write_atomically(target, trec_run(best, model.info.name, context.reporter.note))
            context.reporter.note(f"{language}: the best {self._streaming.top} passages of each query are in {target}")

    def best_passages(self) -> dict[str, dict[str, list[tuple[str, float]]]]:
        """By language, then query, the best passages as (identifier, score), ``Streaming.top`` for each query."""
        languages = self.selection.languages if self._streaming.top else ()
        return {language: dict(best_passages(self.work, self._store, language)) for language in languages}

    def forget(self) -> None:
        """Remove the counts of the shards: the result holds what they add up to."""
        self._store.remove()

    def _first_pass(self, encoder: LoadedEncoder, inventory: Inventory, context: RunContext) -> tuple[FirstPass, Clock]:
        reporter, judged = context.reporter, self._judged
        reporter.start(ENCODE_FIRST, len(set(judged.queries)) + len(inventory.golds))
        advance = partial(reporter.advance, ENCODE_FIRST)
        return first_pass(encoder, judged, self._candidates, inventory, context.allow_zero, advance)

    def _inventory(self, context: RunContext) -> Inventory:
        started: set[str] = set()

        def advance(language: str, done: int) -> None:
            phase = f"read {language} (passages)"
            if language not in started:
                started.add(language)
                context.reporter.start(phase, self.selection.task.counts["candidates"][language])
            context.reporter.advance(phase, done)

        judged, candidates, shard = self._judged, self._candidates, self._streaming.shard
        return take_inventory(judged, candidates, shard, context.inventories, advance, context.reporter.note)

    def _identity(self, encoder: LoadedEncoder, inventory: Inventory, context: RunContext) -> dict[str, Any]:
        """Everything that decides a count. Two runs with the same identity may share counts."""
        judged, selection = self._judged, self.selection
        asked = json.dumps([judged.ids, judged.queries, judged.gold_query.tolist(), judged.gold_ids])
        return {
            "format": FORMAT,
            "task": f"{selection.task.id} {selection.task.hash}",
            "languages": list(selection.languages),
            "settings": list(selection.settings),
            "model": encoder.info.name,
            "model_kind": encoder.info.kind,
            "model_revision": encoder.info.revision,
            "trust_remote_code": encoder.trust_remote_code,
            "encoder_settings": asdict(encoder.settings),
            "package_versions": versions(encoder),
            "shard_size": self._streaming.shard,
            "save_top": self._streaming.top,
            "allow_zero_vectors": context.allow_zero,
            "queries_and_judgements": hashlib.sha256(asked.encode()).hexdigest(),
            "corpus": inventory.digests(selection.languages),
        }


def local_engine(encoder: LoadedEncoder, candidates: Candidates, device: Device | None = None) -> Engine:
    """Make an engine that counts in this process, one shard after the other; ``device`` computes and compares the scores."""

    def run(work: Work, shards: Sequence[Shard]) -> Iterator[tuple[Shard, ShardCounts]]:
        counter = ShardCounter(encoder, work, candidates, device=device)
        if device and work.streaming.vectors is not None:
            # A device compares a shard faster than one core prepares the next one.
            with one_blas_thread():
                for shard, ready in _ahead(shards, lambda x: counter.prepare(x, counter.read(x)), workers()):
                    yield shard, counter.compare(shard, ready)
            return
        # The next shard is read while this one is encoded and counted, so at most two are in memory.
        for shard, block in _ahead(shards, counter.read, 1):
            yield shard, counter.count(shard, block)

    return run


def _ahead(shards: Sequence[Shard], work: Callable[[Shard], _Ready], threads: int) -> Iterator[tuple[Shard, _Ready]]:
    """Yield each shard with what ``work`` returns for it, while threads do that for the next shards, one each."""
    with ThreadPoolExecutor(threads) as pool:
        coming: deque[Future[_Ready]] = deque(pool.submit(work, shard) for shard in shards[:threads])
        try:
            for number, shard in enumerate(shards):
                ready = coming.popleft().result()
                if number + threads < len(shards):
                    coming.append(pool.submit(work, shards[number + threads]))
                yield shard, ready
        finally:
            for future in coming:
                future.cancel()


@dataclass
class _Sum:
    """The counts of the shards so far, added up."""

    wrong: NDArray[np.int32]
    encoded: int = 0
    encode_seconds: float = 0.0
    texts: int = 0
    zero: int = 0

    def add(self, work: Work, shard: Shard, counts: ShardCounts) -> None:
        """Add the counts of one shard to the column of its language."""
        pairs = slice(None) if work.pooled else work.judged.pairs_of(shard.language)
        self.wrong[pairs, work.selection.languages.index(shard.language)] += counts.wrong.astype(np.int32)
        self.texts += counts.encoded
        self.zero += counts.zero


@dataclass
class ShardsToCount:
    """A streamed task after pass 1.

    ``clock`` has the texts and seconds of pass 1. ``began`` is the time before the inventory, and ``loading`` the seconds of the
    inventory. ``counted_on`` is the device of torch that counts; None for the processor, and for an engine of your own.
    """

    work: Work
    store: CountsFolder
    engine: Engine
    clock: Clock
    began: float
    loading: float
    counted_on: str | None = None
    _sum: _Sum = field(init=False)

    def __post_init__(self) -> None:
        shape = (len(self.work.judged.gold_query), len(self.work.selection.languages))
        self._sum = _Sum(np.zeros(shape, dtype=np.int32))

    def count(self, settings: Sequence[str], context: RunContext) -> Counts:
        """Count the shards that are not counted yet, and add up all of them.

        Raises:
            ClirbenchError: A vector is wrong, the corpus has changed, or the counts cannot be written.
        """
        missing = self._add_finished(context.reporter)
        if missing:
            self._count_missing(missing, context.reporter)
        judged, total = self.work.judged, self._sum
        gold = np.zeros_like(total.wrong)
        above = GoldScores(self.work.first.queries, judged.gold_query, self.work.first.scores).golds_above()
        gold[np.arange(len(above)), judged.query_language[judged.gold_query]] = above[:, 0]
        outranked = Outranked(total.wrong, gold)
        return Counts(outranked, outranked, self._cost())

    def _add_finished(self, reporter: Reporter) -> list[Shard]:
        """Add the shards whose counts are in the store, and return the others."""
        shards, missing = self.work.inventory.shards, []
        for shard in shards:
            counts = self.store.get(shard)
            if counts is None:
                missing.append(shard)
            else:
                self._sum.add(self.work, shard, counts)
        for name in self.store.damaged:
            reporter.note(f"{name} is damaged: counted again")
        if len(missing) < len(shards):
            reporter.note(f"{len(shards) - len(missing):,} of {len(shards):,} shards are there: going on")
        return missing

    def _count_missing(self, missing: list[Shard], reporter: Reporter) -> None:
        languages = self.work.selection.languages
        sizes = {x: sum(shard.size for shard in missing if shard.language == x) for x in languages}
        several = len(languages) > 1
        if several:
            reporter.start(_EVERYTHING, sum(sizes.values()))
        started: set[str] = set()
        for shard, counts in self.engine(self.work, missing):
            self.store.put(shard, counts)
            self._sum.add(self.work, shard, counts)
            self._sum.encoded += counts.encoded
            self._sum.encode_seconds += counts.seconds
            phase = f"{shard.language} (passages)"
            if phase not in started:
                started.add(phase)
                reporter.start(phase, sizes[shard.language])
            reporter.advance(phase, shard.size)
            if several:
                reporter.advance(_EVERYTHING, shard.size)

    def _cost(self) -> Cost:
        work, total, clock = self.work, self._sum, self.clock
        queries = work.judged.queries
        if work.streaming.vectors is not None:
            texts = sum(work.inventory.pool_sizes(work.selection.languages).values()) + len(queries)
        else:
            golds = {gold.text for gold in work.inventory.golds.values()}
            texts = len(set(queries)) + len(golds) + total.texts
        number = {query: i for i, query in enumerate(dict.fromkeys(queries))}
        text = np.array([number[query] for query in queries])
        _, row = np.unique(text, return_index=True)
        alike = first_alike(work.first.queries[row])
        encoding = clock.seconds + total.encode_seconds / (work.streaming.workers or 1)
        ranking = max(0.0, time.perf_counter() - self.began - encoding)
        return Cost(
            dimensions=work.first.dimensions,
            texts=texts,
            encoded=clock.texts + total.encoded,
            encode_seconds=clock.seconds + total.encode_seconds,
            zero=work.first.zero + total.zero,
            output_dtype=clock.output_dtype,
            # The passages are never together, so only the queries are compared with one another.
            indistinguishable={
                "query": shares_alike(alike, text, work.judged.query_language, work.selection.languages)
            },
            counted_on=self.counted_on,
            seconds={"load": self.loading, "encode": encoding, "rank": ranking},
        )
