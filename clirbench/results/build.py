"""What a result says of its run: which task and how much of it, which model, where, and what it took."""

import hashlib
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from clirbench.encoders.base import LoadedEncoder
from clirbench.metrics.scores import Scores
from clirbench.metrics.significance import CONFIDENCE, REPLICATES, SEED
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.results.file_names import RANKS_ENDING, result_stem
from clirbench.results.ranks_file import encode_ranks
from clirbench.results.result import Result, headline_of
from clirbench.results.schema import (
    BootstrapPart,
    CorpusPart,
    CostPart,
    CountsPart,
    Document,
    EncoderPart,
    EnvironmentPart,
    ModelPart,
    RanksPart,
    TaskPart,
)
from clirbench.support.version import __version__
from clirbench.tasks.task import Task

_PACKAGES = (
    "torch",
    "sentence-transformers",
    "transformers",
    "mteb",
    "numpy",
    "scipy",
    "scikit-learn",
    "anyascii",
    "bm25s",
)


@dataclass(frozen=True)
class Run:
    """What was run, and what it took.

    Attributes:
        task: The task.
        languages: Those that were run, in the task's order.
        settings: Those that were run, in the task's order.
        topics: How many.
        queries: How many.
        pool_sizes: Candidates by language.
        dimensions: Size of the vectors; None where there are none.
        texts: Distinct texts, counted once per role.
        encoded: How many of them this run encoded.
        encode_seconds: Time spent in the encoder.
        zero: Distinct texts whose vector is all zero.
        seconds: By phase.
        corpus: What a streamed task's candidates were read from.
    """

    task: Task
    languages: Sequence[str]
    settings: Sequence[str]
    topics: int
    queries: int
    pool_sizes: Mapping[str, int]
    dimensions: int | None
    texts: int
    encoded: int
    encode_seconds: float
    zero: int
    seconds: Mapping[str, float]
    corpus: CorpusPart | None = None


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
        sources=task.checksums(languages),
    )


def make_result(loaded: LoadedEncoder, run: Run, ranks: GoldRanks, scores: Scores) -> Result:
    """The result of a run: its document, and its ranks file."""
    part = task_part(run.task, run.languages, run.settings)
    file = encode_ranks(ranks)
    document = Document(
        format=1,
        origin="measured",
        task=part,
        model=ModelPart(**asdict(loaded.info), dimensions=run.dimensions),
        encoder=EncoderPart(**asdict(loaded.settings)),
        environment=_environment(loaded),
        cost=CostPart(
            seconds=dict(run.seconds),  # type: ignore[arg-type]
            texts=run.texts,
            texts_encoded=run.encoded,
            texts_per_second=run.encoded / run.encode_seconds if run.encoded and run.encode_seconds else None,
            peak_memory=peak_memory(),
            zero_vectors=run.zero,
        ),
        counts=CountsPart(
            topics=run.topics, queries=run.queries, gold_pairs=len(ranks), candidates=dict(run.pool_sizes)
        ),
        corpus=run.corpus,
        headline=headline_of(scores),
        micro=scores.micro,
        per_language=scores.per_language,
        per_pair=scores.per_pair,
        queue_jump=scores.queue_jump,
        queue_jump_ratio=scores.queue_jump_ratio,
        bootstrap=BootstrapPart(replicates=REPLICATES, seed=SEED, confidence=CONFIDENCE),
        ranks=RanksPart(
            file=result_stem(part, run.task.settings) + RANKS_ENDING,
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
