"""Evaluate a model on a task, in one straight line: task, data, vectors, counts, ranks, scores, result."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

from clirbench.encoders.base import EncoderOptions, LoadedModel
from clirbench.encoders.load import as_loaded
from clirbench.evaluation.loaded_task import LoadedTask, announce, load_data
from clirbench.evaluation.text_lengths import text_lengths
from clirbench.metrics.bias import count_jumps
from clirbench.metrics.scores import Scores, check_names, compute_scores
from clirbench.ranking.gold_ranks import Above, GoldRanks, gold_ranks
from clirbench.results.build import Run, build_result
from clirbench.results.result import Result
from clirbench.support.context import ContextOptions, RunContext, context_of
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.selection import select
from clirbench.tasks.task import Task
from clirbench.tasks.task_file import default_task, load_task


def evaluate(
    model: Any,
    task: str | Task | None = None,
    *,
    languages: Sequence[str] | None = None,
    settings: Sequence[str] | None = None,
    options: EncoderOptions | None = None,
    data: str | Path | None = None,
    **context: Unpack[ContextOptions],
) -> Result:
    """Evaluate one model on one task.

    The function keeps no global state, so it can be called inside a training loop. The only files that it writes are downloads,
    and vectors if ``cache`` names a folder. :meth:`Result.save` writes the result.

    Args:
        model: A SentenceTransformer, an mteb encoder, an object with ``encode_queries`` and ``encode_candidates``, or a name as
            on the command line.
        task: Identifier or Task; None for the demo.
        languages: The languages to evaluate; None for all. The result records a restriction.
        settings: The settings to evaluate; None for all. The result records a restriction.
        options: Batch size, prompts and the like.
        data: Folder of a streamed task's corpus; None for ``CLIRBENCH_MIRROR`` or the hub. This function keeps the counts of a
            streamed task in memory; ``clirbench run`` writes them to disk, so that a killed run can go on.
        **context: ``cache``, a folder for the vectors of models that have a revision; ``allow_zero_vectors``, to score all-zero
            vectors as lost instead of stopping; ``reporter``, told of progress; ``count_on``, where ranks are counted: "auto"
            (the GPU of the encoder, else the processor), "cpu" or "device", which changes no rank; ``exact_languages``, 32: with
            more languages, ranks are rounded and the result has its compact form.

    Returns:
        Scores with their ranks.

    Raises:
        ClirbenchError: Something that the caller can mend; the message says what.
    """
    began = time.perf_counter()
    if task is not None and not isinstance(task, str | Task):
        raise ClirbenchError(f"task is a {type(task).__name__}: give one identifier or Task, and call once per task")
    run = context_of(context)
    declared = task if isinstance(task, Task) else load_task(default_task() if task is None else task)
    check_names(declared)
    loaded_task = load_data(select(declared, languages, settings), run, Path(data) if data else None)
    loaded_model = as_loaded(model, options)
    announce([loaded_task], loaded_model, run)
    return evaluate_loaded(loaded_model, loaded_task, run, time.perf_counter() - began)


def evaluate_loaded(model: LoadedModel, task: LoadedTask, context: RunContext, load_seconds: float = 0.0) -> Result:
    """Evaluate a loaded model on a loaded task, whether in memory or streamed.

    Args:
        model: An encoder, a scorer or a fusion.
        task: The data of a run.
        context: Cache, progress and permissions.
        load_seconds: Seconds that it took to load the model and the task, for the result.

    Returns:
        Scores with their ranks.

    Raises:
        ClirbenchError: A vector or score is wrong, or a file cannot be read or written.
    """
    vectors = task.encode(model, context)  # each distinct text once
    counts = vectors.count(task.selection.settings, context)  # how many candidates outrank each gold pair
    begin = time.perf_counter()
    cost, above = counts.cost, counts.added(task.gold_pairs)
    del counts
    ranks = rank(task, above)
    if len(ranks.languages) > context.exact_languages and ranks.across_languages:
        ranks = ranks.rounded(task.pool_sizes)
    scores = score(task, above, ranks, model.settings.depth)
    loading = cost.seconds.pop("load", 0.0) + load_seconds
    cost.seconds = {"load": loading, **cost.seconds, "score": time.perf_counter() - begin}
    run = Run(
        selection=task.selection,
        topics=task.gold_pairs.topics,
        queries=len(task.queries),
        pool_sizes=task.pool_sizes,
        cost=cost,
        corpus=task.corpus,
        lengths=text_lengths(model, task, context),
    )
    return build_result(model, run, ranks, scores)


def rank(task: LoadedTask, above: Above) -> GoldRanks:
    """Rank each gold pair: one plus the number of candidates that outrank it, summed over the languages of each pool."""
    return gold_ranks(task.gold_pairs, above, task.selection.settings)


def score(task: LoadedTask, above: Above, ranks: GoldRanks, depth: int | None = None) -> Scores:
    """Compute every number of a result: metrics and bias from the ranks, queue jumps from the counts.

    Numbers that read ranks below ``depth``, that of a second stage, are None.
    """
    declared, settings = task.selection.task, task.selection.settings
    jumps = count_jumps(task.gold_pairs, above, ranks) if "multilingual" in settings else None
    if jumps is not None and ranks.rounding is not None:
        jumps = jumps.summed
    return compute_scores(ranks, task.pool_sizes, settings, declared.metrics, declared.bias, jumps, depth)
