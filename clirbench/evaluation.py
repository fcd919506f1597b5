"""The straight line: task, collection, vectors, counts, ranks, scores, result."""

import hashlib
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from clirbench import __version__
from clirbench.collections import Collection, load_collection
from clirbench.encoders import as_loaded
from clirbench.encoders.base import EncoderOptions, LoadedEncoder
from clirbench.errors import ClirbenchError
from clirbench.gold_ranks import GoldRanks, gold_ranks
from clirbench.progress import Reporter, Silent
from clirbench.ranks import Outranked, count_outranked
from clirbench.ranks_file import encode_ranks
from clirbench.results import RANKS_ENDING, Result, headline_of, result_stem
from clirbench.schema import (
    BootstrapPart,
    CostPart,
    CountsPart,
    Document,
    EncoderPart,
    EnvironmentPart,
    ModelPart,
    RanksPart,
    TaskPart,
)
from clirbench.scores import Scores, check_names, compute_scores, count_jumps
from clirbench.sources import Advance
from clirbench.statistics import CONFIDENCE, REPLICATES, SEED
from clirbench.tasks import Task, load_task
from clirbench.vectors import Encoded, distinct_texts, encode_collection

ENCODE, RANK, DOWNLOAD = "encode (texts)", "rank (queries)", "download"
_PACKAGES = (
    "torch",
    "sentence-transformers",
    "transformers",
    "mteb",
    "numpy",
    "scipy",
    "scikit-learn",
    "anyascii",
)


def evaluate(
    model: Any,
    task: str | Task = "demo",
    *,
    languages: Sequence[str] | None = None,
    settings: Sequence[str] | None = None,
    options: EncoderOptions | None = None,
    cache: str | Path | None = None,
    allow_zero_vectors: bool = False,
    reporter: Reporter | None = None,
) -> Result:
    """Evaluate one encoder on one task.

    It keeps no global state and writes no file (downloads apart, and vectors where ``cache`` names a folder): call it inside a
    training loop, and :meth:`Result.save` when the result is to stay.

    Args:
        model: A SentenceTransformer, an mteb encoder, an object with ``encode_queries`` and ``encode_candidates``, or a name as
            on the command line.
        task: Identifier or Task.
        languages: Restrict to these languages; the result says so.
        settings: Restrict to these settings; the result says so.
        options: Batch size, prompts and the like.
        cache: Folder for vectors, for models with a revision.
        allow_zero_vectors: Score all-zero vectors as lost instead of stopping.
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
    task = load_task(task) if isinstance(task, str) else task
    check_names(task)
    if isinstance(languages, str) or isinstance(settings, str):
        raise ClirbenchError("languages and settings are lists, such as ['en', 'de']")
    chosen = choose_settings(task, settings, languages)
    collection = load_collection(task, languages, follow_download(reporter))
    loaded = as_loaded(model, options)
    seconds = {"load": time.perf_counter() - began}
    reporter.start(ENCODE, distinct_texts(collection))
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
    begin = time.perf_counter()
    encoded = encode_collection(
        loaded, collection, cache, allow_zero_vectors, lambda done: reporter.advance(ENCODE, done)
    )
    seconds["encode"] = time.perf_counter() - begin
    ranks, scores, after = rank_and_score(encoded, collection, settings, lambda done: reporter.advance(RANK, done))
    return _result(loaded, collection, settings, encoded, ranks, scores, {**seconds, **after})


def rank_and_score(
    encoded: Encoded,
    collection: Collection,
    settings: Sequence[str],
    advance: Callable[[int], None] | None = None,
) -> tuple[GoldRanks, Scores, dict[str, float]]:
    """Everything after encoding: counts, ranks, scores and intervals, with the seconds of "rank" and "score"."""
    begin = time.perf_counter()
    outranked = _count(encoded, collection, settings, advance)
    ranks = gold_ranks(collection, outranked, settings)
    middle = time.perf_counter()
    jumps = count_jumps(collection, outranked, ranks) if "multilingual" in settings else None
    scores = compute_scores(
        ranks, collection.pool_sizes, settings, collection.task.metrics, collection.task.bias, jumps
    )
    return ranks, scores, {"rank": middle - begin, "score": time.perf_counter() - middle}


def choose_settings(
    task: Task, settings: Sequence[str] | None, languages: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The settings to run, in the task's order.

    Raises:
        ClirbenchError: The task has no such setting, or none is left, or the cross-lingual one is asked of one language.
    """
    if settings is not None and "cross-lingual" in settings and languages is not None and len(set(languages)) == 1:
        raise ClirbenchError("the cross-lingual setting needs two languages: add one to --languages")
    for setting in settings or ():
        if setting not in task.settings:
            raise ClirbenchError(f"{task.id} has no setting '{setting}': choose from {','.join(task.settings)}")
    chosen = tuple(s for s in task.settings if settings is None or s in settings)
    if not chosen:
        raise ClirbenchError(f"no setting chosen for {task.id}: choose from {','.join(task.settings)}")
    return chosen


def follow_download(reporter: Reporter) -> Callable[[str], Advance]:
    """A bar per downloaded file."""

    def file(name: str) -> Advance:
        phase = f"{DOWNLOAD} {name}"
        told = 0

        def advance(have: int, total: int | None) -> None:
            nonlocal told
            if told == 0:
                reporter.start(phase, total or have)
            reporter.advance(phase, have - told)
            told = have

        return advance

    return file


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


def task_part(task: Task, languages: Sequence[str], settings: Sequence[str]) -> TaskPart:
    """What a result says of its task; complete only with all languages and all settings."""
    return TaskPart(
        id=task.id,
        hash=task.hash,
        complete=tuple(languages) == task.languages and tuple(settings) == task.settings,
        languages=list(languages),
        settings=list(settings),  # type: ignore[arg-type]
        metrics=list(task.metrics),
        bias=list(task.bias),
        sources={language: task.sources[language].sha256 for language in languages},
    )


def _result(
    loaded: LoadedEncoder,
    collection: Collection,
    settings: Sequence[str],
    encoded: Encoded,
    ranks: GoldRanks,
    scores: Scores,
    seconds: dict[str, float],
) -> Result:
    part = task_part(collection.task, collection.languages, settings)
    file = encode_ranks(ranks)
    document = Document(
        format=1,
        origin="measured",
        task=part,
        model=ModelPart(**asdict(loaded.info), dimensions=encoded.dimensions),
        encoder=EncoderPart(**asdict(loaded.settings)),
        environment=_environment(loaded),
        cost=CostPart(
            seconds=seconds,  # type: ignore[arg-type]
            texts=encoded.texts,
            texts_encoded=encoded.encoded,
            texts_per_second=encoded.encoded / encoded.seconds if encoded.encoded and encoded.seconds else None,
            peak_memory=peak_memory(),
            zero_vectors=encoded.zero,
        ),
        counts=CountsPart(
            topics=len(collection.topics),
            queries=len(collection.queries),
            gold_pairs=len(ranks),
            candidates=collection.pool_sizes,
        ),
        headline=headline_of(scores),
        micro=scores.micro,
        per_language=scores.per_language,
        per_pair=scores.per_pair,
        queue_jump=scores.queue_jump,
        queue_jump_ratio=scores.queue_jump_ratio,
        bootstrap=BootstrapPart(replicates=REPLICATES, seed=SEED, confidence=CONFIDENCE),
        ranks=RanksPart(
            file=result_stem(part, collection.task.settings) + RANKS_ENDING,
            sha256=hashlib.sha256(file).hexdigest(),
            rows=len(ranks),
        ),
    )
    return Result(document, ranks, file)


def _environment(loaded: LoadedEncoder) -> EnvironmentPart:
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    device = loaded.device
    if device.startswith("cuda"):
        import torch  # noqa: PLC0415

        device = f"{device} ({torch.cuda.get_device_name(device)})"
    return EnvironmentPart(
        clirbench=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        device=device,
        cpus=os.cpu_count(),
        batch_size=loaded.batch_size,
        trust_remote_code=loaded.trust_remote_code,
        packages=packages,
    )


def peak_memory() -> int | None:
    """Peak resident memory of this process in bytes; None where the system does not tell."""
    try:
        # Not getrusage here: on Linux its peak includes the process that started this one.
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        import resource  # noqa: PLC0415
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
