"""The straight line: task, collection, vectors, counts, ranks, scores, result."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clirbench.encoders.base import EncoderOptions, LoadedEncoder
from clirbench.encoders.checks import Clock
from clirbench.encoders.encode import Encoded, encode_collection
from clirbench.encoders.load import as_loaded
from clirbench.metrics.bias import count_jumps
from clirbench.metrics.scores import Scores, check_names, compute_scores
from clirbench.ranking.from_scorers import score_collection, texts_to_encode
from clirbench.ranking.gold_ranks import GoldRanks, gold_ranks
from clirbench.ranking.in_memory import Outranked, count_outranked
from clirbench.results.build import Run, make_result
from clirbench.results.result import Result
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import ENCODE, RANK, Reporter, Silent, follow_download
from clirbench.tasks.collection import Collection, choose_languages, choose_settings, load_collection
from clirbench.tasks.task import Task
from clirbench.tasks.task_file import default_task, load_task


def evaluate(
    model: Any,
    task: str | Task | None = None,
    *,
    languages: Sequence[str] | None = None,
    settings: Sequence[str] | None = None,
    options: EncoderOptions | None = None,
    cache: str | Path | None = None,
    allow_zero_vectors: bool = False,
    data: str | Path | None = None,
    reporter: Reporter | None = None,
) -> Result:
    """Evaluate one encoder on one task.

    It keeps no global state and writes no file (downloads apart, and vectors where ``cache`` names a folder): call it inside a
    training loop, and :meth:`Result.save` when the result is to stay.

    Args:
        model: A SentenceTransformer, an mteb encoder, an object with ``encode_queries`` and ``encode_candidates``, or a name as
            on the command line.
        task: Identifier or Task; None for the default one, the demo.
        languages: Restrict to these languages; the result says so.
        settings: Restrict to these settings; the result says so.
        options: Batch size, prompts and the like.
        cache: Folder for vectors, for models with a revision.
        allow_zero_vectors: Score all-zero vectors as lost instead of stopping.
        data: Folder of a streamed task's corpus; None for ``CLIRBENCH_MIRROR`` or the hub. Its counts stay in memory:
            for days of work, ``clirbench run`` writes them as they come.
        reporter: Told of progress.

    Returns:
        Scores with their ranks.

    Raises:
        ClirbenchError: Something that the caller can mend; the message says what.
    """
    reporter = reporter or Silent()
    began = time.perf_counter()
    if not isinstance(task, str | Task):
        raise ClirbenchError(f"task is a {type(task).__name__}: give one identifier or Task, and call once per task")
    task = load_task(task or default_task()) if task is None or isinstance(task, str) else task
    check_names(task)
    if isinstance(languages, str) or isinstance(settings, str):
        raise ClirbenchError("languages and settings are lists, such as ['en', 'de']")
    chosen = choose_settings(task, settings, languages)
    if task.corpus is not None:
        from clirbench.evaluation.streaming.evaluate import evaluate_streamed  # noqa: PLC0415
        from clirbench.evaluation.streaming.options import Streaming  # noqa: PLC0415

        return evaluate_streamed(
            as_loaded(model, options),
            task,
            languages=choose_languages(task, languages),
            settings=chosen,
            streaming=Streaming(data=Path(data) if data else None),
            folder=None,
            cache=Path(cache) if cache else None,
            allow_zero=allow_zero_vectors,
            force=False,
            reporter=reporter,
        ).result
    if data is not None:
        raise ClirbenchError(f"data is for tasks that are read shard by shard, and {task.id} is not: leave it out")
    collection = load_collection(task, languages, follow_download(reporter))
    loaded = as_loaded(model, options)
    seconds = {"load": time.perf_counter() - began}
    reporter.start(ENCODE, texts_to_encode(loaded, collection))
    reporter.start(RANK, len(collection.queries), brief=True)
    return evaluate_loaded(
        loaded, collection, chosen, seconds, Path(cache) if cache else None, allow_zero_vectors, reporter
    )


def evaluate_loaded(
    loaded: LoadedEncoder,
    collection: Collection,
    settings: Sequence[str],
    seconds: dict[str, float],
    cache: Path | None,
    allow_zero_vectors: bool,
    reporter: Reporter,
) -> Result:
    """The part of :func:`evaluate` after loading; ``seconds`` already holds the time of the phases before."""
    found = rank_collection(loaded, collection, settings, cache, allow_zero_vectors, reporter)
    run = Run(
        task=collection.task,
        languages=collection.languages,
        settings=settings,
        topics=len(collection.topics),
        queries=len(collection.queries),
        pool_sizes=collection.pool_sizes,
        dimensions=found.dimensions,
        texts=found.texts,
        encoded=found.clock.texts,
        encode_seconds=found.clock.seconds,
        zero=found.zero,
        seconds={**seconds, **found.seconds},
    )
    return make_result(loaded, run, found.ranks, found.scores)


@dataclass(frozen=True)
class Ranked:
    """Ranks and scores of a collection, with what they took.

    ``dimensions`` is None and ``texts`` counts every part's where a model gives scores; the time in such a model counts as
    encoding, that of everything else in the same pass as ranking.
    """

    ranks: GoldRanks
    scores: Scores
    dimensions: int | None
    texts: int
    clock: Clock
    zero: int
    seconds: dict[str, float]


def rank_collection(
    loaded: LoadedEncoder,
    collection: Collection,
    settings: Sequence[str],
    cache: Path | None,
    allow_zero: bool,
    reporter: Reporter,
) -> Ranked:
    """Everything between a loaded model and its scores, whatever kind of model it is."""
    begin = time.perf_counter()
    if loaded.scorer is None and loaded.fusion is None:
        encoded = encode_collection(loaded, collection, cache, allow_zero, lambda done: reporter.advance(ENCODE, done))
        encode = time.perf_counter() - begin
        ranks, scores, after = rank_and_score(encoded, collection, settings, lambda done: reporter.advance(RANK, done))
        clock = Clock(encoded.encoded, encoded.seconds)
        seconds = {"encode": encode, **after}
        return Ranked(ranks, scores, encoded.dimensions, encoded.texts, clock, encoded.zero, seconds)
    scored = score_collection(
        loaded,
        collection,
        cache,
        allow_zero,
        lambda done: reporter.advance(ENCODE, done),
        lambda done: reporter.advance(RANK, done),
    )
    took = time.perf_counter() - begin
    ranks, scores, last = _score(collection, scored.outranked, settings, scored.within)
    seconds = {"encode": scored.clock.seconds, "rank": took - scored.clock.seconds, "score": last}
    return Ranked(ranks, scores, None, scored.texts, scored.clock, scored.zero, seconds)


def rank_and_score(
    encoded: Encoded,
    collection: Collection,
    settings: Sequence[str],
    advance: Callable[[int], None] | None = None,
) -> tuple[GoldRanks, Scores, dict[str, float]]:
    """Everything after encoding: counts, ranks, scores and intervals, with the seconds of "rank" and "score"."""
    begin = time.perf_counter()
    outranked = _count(encoded, collection, settings, advance)
    ranking = time.perf_counter() - begin
    ranks, scores, after = _score(collection, outranked, settings)
    return ranks, scores, {"rank": ranking, "score": after}


def _score(
    collection: Collection, outranked: Outranked, settings: Sequence[str], within: Outranked | None = None
) -> tuple[GoldRanks, Scores, float]:
    """Ranks, scores, and the seconds that they took."""
    begin = time.perf_counter()
    ranks = gold_ranks(collection.gold_pairs, outranked, settings, within)
    jumps = count_jumps(collection.gold_pairs, outranked, ranks) if "multilingual" in settings else None
    scores = compute_scores(
        ranks, collection.pool_sizes, settings, collection.task.metrics, collection.task.bias, jumps
    )
    return ranks, scores, time.perf_counter() - begin


def _count(
    encoded: Encoded, collection: Collection, settings: Sequence[str], advance: Callable[[int], None] | None
) -> Outranked:
    if set(settings) != {"monolingual"}:
        return count_outranked(
            encoded.queries,
            encoded.candidates,
            collection.gold_query,
            collection.gold_candidate,
            collection.candidate_starts,
            advance,
        )
    # Only the diagonal is asked for: one small product per language, the other counts stay zero and are never read.
    shape = (len(collection.gold_query), len(collection.languages))
    wrong, gold = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    query_language = collection.query_language[collection.gold_query]
    own = query_language == collection.candidate_language[collection.gold_candidate]
    for i in range(len(collection.languages)):
        q0, q1 = collection.query_starts[i : i + 2]
        c0, c1 = collection.candidate_starts[i : i + 2]
        rows = np.flatnonzero(own & (query_language == i))
        counts = count_outranked(
            encoded.queries[q0:q1],
            encoded.candidates[c0:c1],
            (collection.gold_query[rows] - q0).astype(np.int32),
            (collection.gold_candidate[rows] - c0).astype(np.int32),
            np.array([0, c1 - c0]),
            advance,
        )
        wrong[rows, i], gold[rows, i] = counts.wrong[:, 0], counts.gold[:, 0]
    return Outranked(wrong, gold)
