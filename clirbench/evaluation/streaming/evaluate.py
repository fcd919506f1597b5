"""The straight line of a streamed task: inventory, pass 1, shards, sums, ranks, scores, result."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import LoadedEncoder
from clirbench.encoders.checks import Clock
from clirbench.encoders.vector_cache import versions
from clirbench.evaluation.streaming.best_passages import best_passages
from clirbench.evaluation.streaming.count_shard import ShardCounts
from clirbench.evaluation.streaming.counts_folder import FORMAT, CountsFolder
from clirbench.evaluation.streaming.first_pass import first_pass, refuse_whole
from clirbench.evaluation.streaming.job import Engine, Streamed, Work
from clirbench.evaluation.streaming.options import Streaming, candidates_of
from clirbench.metrics.bias import count_jumps
from clirbench.metrics.scores import compute_scores
from clirbench.ranking.gold_ranks import gold_ranks
from clirbench.ranking.in_memory import Outranked
from clirbench.ranking.shards import GoldScores
from clirbench.results.build import Run, make_result
from clirbench.results.result import Result
from clirbench.results.schema import CorpusPart
from clirbench.support.progress import Reporter
from clirbench.tasks.collection import GoldPairs
from clirbench.tasks.corpora.base import Candidates
from clirbench.tasks.corpora.inventory import Inventory, Shard, take_inventory
from clirbench.tasks.corpora.judged import Judged, load_judged, open_judgements
from clirbench.tasks.task import Task

ENCODE, _EVERYTHING = "encode queries and golds (texts)", "all languages (passages)"


def evaluate_streamed(
    loaded: LoadedEncoder,
    task: Task,
    *,
    languages: tuple[str, ...],
    settings: tuple[str, ...],
    streaming: Streaming,
    folder: Path | None,
    cache: Path | None,
    allow_zero: bool,
    force: bool,
    reporter: Reporter,
    engine: Engine | None = None,
) -> Streamed:
    """Evaluate one encoder on one streamed task.

    Pass 1 encodes the queries and the gold passages and scores the gold pairs. Pass 2 takes one shard after the other: read,
    encode (longest texts first), compare with the gold scores, write the counts, forget. Memory holds one shard whatever the
    corpus is, and a run that is killed loses one shard.

    A gold passage, and any passage with its text, keeps the vector and the score of pass 1, so that neither exact duplicates nor
    what an encoder rounds differently the second time can change the order (:mod:`clirbench.ranking.shards`).

    Args:
        loaded: The encoder.
        task: A streamed task.
        languages: Languages to run, in the task's order.
        settings: Settings to run, in the task's order.
        streaming: How.
        folder: Where finished counts are kept; None for memory.
        cache: Where inventories are kept; None for nowhere.
        allow_zero: Score all-zero vectors as lost instead of stopping.
        force: Begin anew where another run was begun in the folder.
        reporter: Told of progress.
        engine: Counts the shards; None for this process.

    Raises:
        ClirbenchError: Something that the user can mend.
    """
    began = time.perf_counter()
    refuse_whole(loaded)
    candidates = candidates_of(task, streaming)
    judged = load_judged(task, languages, open_judgements(task, streaming.data))
    inventory = _inventory(judged, candidates, streaming.shard, cache, reporter)
    loading = time.perf_counter() - began
    identity = _identity(loaded, judged, settings, streaming, allow_zero, inventory)
    store = CountsFolder(folder)
    if folder is not None and loaded.info.revision is None:
        # Nobody can tell whether what is there is this model's.
        store.remove()
        reporter.note(f"{loaded.info.name} has no revision: a run that is killed begins anew")
    first = store.resume(identity, force)
    clock, begin = Clock(), time.perf_counter()
    if first is None:
        reporter.start(ENCODE, len(set(judged.queries)) + len(inventory.golds))
        first, clock = first_pass(
            loaded, judged, candidates, inventory, allow_zero, lambda done: reporter.advance(ENCODE, done)
        )
        store.begin(identity, first)
    work = Work(task, languages, settings, judged, inventory, first, allow_zero, streaming)
    counted = _count(work, store, engine or local_engine(loaded, candidates), reporter)
    wall = time.perf_counter() - begin
    encoding = clock.seconds + counted.encode_seconds / (streaming.workers or 1)
    seconds = {"load": loading, "encode": encoding, "rank": max(0.0, wall - encoding)}
    result = _result(loaded, work, counted, candidates, clock, seconds)
    return Streamed(result, store, best_passages(work, store) if streaming.top else {})


def local_engine(loaded: LoadedEncoder, candidates: Candidates) -> Engine:
    """Counts in this process, one shard after the other."""

    def run(work: Work, shards: Sequence[Shard]) -> Iterator[tuple[Shard, ShardCounts]]:
        counter = work.counter(loaded, candidates)
        # The next shard is read while one is encoded and counted: no more than two are in memory.
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(counter.read, shards[0])
            for number, shard in enumerate(shards, 1):
                block = ahead.result()
                if number < len(shards):
                    ahead = reader.submit(counter.read, shards[number])
                yield shard, counter.count(shard, block)

    return run


def _inventory(judged: Judged, candidates: Candidates, shard: int, cache: Path | None, reporter: Reporter) -> Inventory:
    started: set[str] = set()

    def advance(language: str, done: int) -> None:
        phase = f"read {language} (passages)"
        if language not in started:
            started.add(language)
            reporter.start(phase, judged.task.counts["candidates"][language])
        reporter.advance(phase, done)

    return take_inventory(judged, candidates, shard, cache, advance)


def _identity(
    loaded: LoadedEncoder,
    judged: Judged,
    settings: Sequence[str],
    streaming: Streaming,
    allow_zero: bool,
    inventory: Inventory,
) -> dict[str, Any]:
    """Everything that decides a count: two runs that agree on it may share counts."""
    asked = json.dumps([judged.ids, judged.queries, judged.gold_query.tolist(), judged.gold_ids])
    return {
        "format": FORMAT,
        "task": f"{judged.task.id} {judged.task.hash}",
        "languages": list(judged.languages),
        "settings": list(settings),
        "model": loaded.info.name,
        "model_kind": loaded.info.kind,
        "model_revision": loaded.info.revision,
        "encoder_settings": asdict(loaded.settings),
        "package_versions": versions(loaded),
        "shard_size": streaming.shard,
        "save_top": streaming.top,
        "allow_zero_vectors": allow_zero,
        "queries_and_judgements": hashlib.sha256(asked.encode()).hexdigest(),
        "corpus": inventory.digests(judged.languages),
    }


@dataclass
class _Counted:
    wrong: NDArray[np.int32]
    encoded: int = 0
    encode_seconds: float = 0.0
    texts: int = 0
    zero: int = 0


def _count(work: Work, store: CountsFolder, engine: Engine, reporter: Reporter) -> _Counted:
    judged, shards = work.judged, work.inventory.shards
    counted = _Counted(np.zeros((len(judged.gold_query), len(work.languages)), dtype=np.int32))
    left = []
    for shard in shards:
        counts = store.get(shard)
        if counts is None:
            left.append(shard)
        else:
            _add(work, counted, shard, counts)
    for name in store.damaged:
        reporter.note(f"{name} is damaged: counted again")
    if len(left) < len(shards):
        reporter.note(f"{len(shards) - len(left):,} of {len(shards):,} shards are there: going on")
    sizes = {x: sum(shard.size for shard in left if shard.language == x) for x in work.languages}
    if len(work.languages) > 1 and left:
        reporter.start(_EVERYTHING, sum(sizes.values()))
    started: set[str] = set()
    if left:
        for shard, counts in engine(work, left):
            store.put(shard, counts)
            _add(work, counted, shard, counts)
            counted.encoded += counts.encoded
            counted.encode_seconds += counts.seconds
            phase = f"{shard.language} (passages)"
            if phase not in started:
                started.add(phase)
                reporter.start(phase, sizes[shard.language])
            reporter.advance(phase, shard.size)
            if len(work.languages) > 1:
                reporter.advance(_EVERYTHING, shard.size)
    return counted


def _add(work: Work, counted: _Counted, shard: Shard, counts: ShardCounts) -> None:
    language = work.languages.index(shard.language)
    pairs = slice(None) if work.pooled else work.judged.pairs_of(shard.language)
    counted.wrong[pairs, language] += counts.wrong.astype(np.int32)
    counted.texts += counts.encoded
    counted.zero += counts.zero


def _result(
    loaded: LoadedEncoder,
    work: Work,
    counted: _Counted,
    candidates: Candidates,
    clock: Clock,
    seconds: dict[str, float],
) -> Result:
    begin = time.perf_counter()
    judged, inventory, first = work.judged, work.inventory, work.first
    sizes = inventory.pool_sizes(work.languages)
    query_language = judged.query_language[judged.gold_query]
    gold = np.zeros_like(counted.wrong)
    above = GoldScores(first.queries, judged.gold_query, first.scores).golds_above()
    gold[np.arange(len(above)), query_language] = above
    outranked = Outranked(counted.wrong, gold)
    pairs = GoldPairs(
        topics=judged.topics,
        languages=work.languages,
        sizes=np.array(list(sizes.values()), dtype=np.int64),
        topic=judged.gold_query,
        query_language=query_language,
        gold_language=query_language,
    )
    ranks = gold_ranks(pairs, outranked, work.settings)
    jumps = count_jumps(pairs, outranked, ranks) if work.pooled else None
    scores = compute_scores(ranks, sizes, work.settings, work.task.metrics, work.task.bias, jumps)
    streaming = work.streaming
    vectors = streaming.vectors is not None
    run = Run(
        task=work.task,
        languages=work.languages,
        settings=work.settings,
        topics=len(judged.topics),
        queries=len(judged.queries),
        pool_sizes=sizes,
        dimensions=first.golds.shape[1],
        texts=sum(sizes.values()) + len(judged.queries)
        if vectors
        else len(set(judged.queries)) + len({g.text for g in inventory.golds.values()}) + counted.texts,
        encoded=clock.texts + counted.encoded,
        encode_seconds=clock.seconds + counted.encode_seconds,
        zero=first.zero + counted.zero,
        seconds={**seconds, "score": time.perf_counter() - begin},
        corpus=CorpusPart(
            source=candidates.source,
            layout=candidates.layout,
            shard=streaming.shard,
            shards=len(inventory.shards),
            engine=streaming.engine if streaming.engine == "local" else f"ray, {streaming.workers} workers",
            sha256=inventory.digests(work.languages),
        ),
    )
    return make_result(loaded, run, ranks, scores)
