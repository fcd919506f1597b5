"""Build a result from the ranks and scores of a run, and record the model, the machine and the cost."""

import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata

from clirbench.encoders.base import LoadedModel
from clirbench.encoders.several_devices import devices_of
from clirbench.metrics.scores import Scores
from clirbench.metrics.significance import CONFIDENCE, REPLICATES, SEED
from clirbench.ranking.counters import Cost
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.results import schema
from clirbench.results.file_names import RANKS_ENDING, result_stem
from clirbench.results.ranks_file import encode_ranks
from clirbench.results.result import Result
from clirbench.results.scored import numbers_of
from clirbench.support.memory import peak_memory
from clirbench.support.packages import version_of
from clirbench.support.version import __version__
from clirbench.tasks.selection import Selection

_PACKAGES = (
    "torch",
    "sentence-transformers",
    "transformers",
    "mteb",
    "pylate",
    "optimum",
    "onnxruntime",
    "openvino",
    "numpy",
    "scipy",
    "scikit-learn",
    "anyascii",
    "bm25s",
)


@dataclass(frozen=True)
class Run:
    """A run: the identifiers of its topics, the number of queries, the number of candidates by language, and the cost.

    ``corpus`` says where the candidates of a streamed task were read; None for another task. ``lengths`` says by role and
    language how long the texts are for the model; None where the model does not say.
    """

    selection: Selection
    topics: Sequence[str]
    queries: int
    pool_sizes: Mapping[str, int]
    cost: Cost
    corpus: schema.CorpusPart | None = None
    lengths: dict[schema.Role, dict[str, schema.LengthPart]] | None = None


def task_part(selection: Selection) -> schema.TaskPart:
    """The record of a selection in a result. It is complete only with all languages and all settings of the task."""
    task, languages, settings = selection.task, selection.languages, selection.settings
    return schema.TaskPart(
        id=task.id,
        hash=task.hash,
        complete=tuple(languages) == task.languages and tuple(settings) == task.settings,
        languages=list(languages),
        settings=list(settings),  # type: ignore[arg-type]
        metrics=list(task.metrics),
        bias=list(task.bias),
        sources=task.checksums(languages),
    )


def build_result(model: LoadedModel, run: Run, ranks: GoldRanks, scores: Scores) -> Result:
    """Build the result of a run: its document, its ranks, and the bytes of its ranks file."""
    part, cost = task_part(run.selection), run.cost
    speed = cost.encoded / cost.encode_seconds if cost.encoded and cost.encode_seconds else None
    file = encode_ranks(ranks)
    ungraded = schema.FORMAT if ranks.rounding is None else schema.COMPACT_FORMAT
    document = schema.Document(
        format=schema.GRADED_FORMAT if ranks.grade is not None and ranks.rounding is None else ungraded,
        origin="measured",
        task=part,
        model=schema.ModelPart(**asdict(model.info), dimensions=cost.dimensions),
        encoder=schema.EncoderPart(**asdict(model.settings)),
        environment=_environment(model, cost.counted_on),
        cost=schema.CostPart(
            seconds=dict(cost.seconds),  # type: ignore[arg-type]
            texts=cost.texts,
            texts_encoded=cost.encoded,
            # The clock cannot tell how fast a look-up of a few texts was.
            texts_per_second=speed if speed is not None and speed <= schema.FASTEST else None,
            peak_memory=peak_memory(),
            zero_vectors=cost.zero,
            pairs=cost.pairs,
            pairs_scored=cost.pairs_scored,
        ),
        counts=schema.CountsPart(
            topics=len(run.topics), queries=run.queries, gold_pairs=len(ranks), candidates=dict(run.pool_sizes)
        ),
        provenance=schema.ProvenancePart(
            **asdict(model.sources), saved_dtype=model.saved_dtype, output_dtype=cost.output_dtype
        ),
        lengths=run.lengths,
        indistinguishable=cost.indistinguishable,  # type: ignore[arg-type]
        corpus=run.corpus,
        **numbers_of(scores, ranks, run.selection.task.metrics[0]),
        bootstrap=schema.BootstrapPart(replicates=REPLICATES, seed=SEED, confidence=CONFIDENCE),
        ranks=schema.RanksPart(
            file=result_stem(part, run.selection.task) + RANKS_ENDING,
            sha256=hashlib.sha256(file).hexdigest(),
            rows=len(ranks),
        ),
    )
    return Result(document, ranks, file)


def _environment(model: LoadedModel, counted_on: str | None) -> schema.EnvironmentPart:
    packages = {}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            packages[name] = version_of(name)
    return schema.EnvironmentPart(
        clirbench=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        device=", ".join(map(_with_name, devices_of(model))),
        cpus=os.cpu_count(),
        batch_size=model.batch_size,
        trust_remote_code=model.trust_remote_code,
        packages=packages,
        counted_on=counted_on and _with_name(counted_on),
    )


def _with_name(device: str) -> str:
    """A device as torch names it, and the name of a GPU behind it in brackets."""
    if not device.startswith("cuda"):
        return device
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"
