"""What an encoder is, and how one is identified."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.transforms import Transform, parse_transform
from clirbench.support.errors import ClirbenchError
from clirbench.support.names import check_name

DenseVectors: TypeAlias = NDArray[np.float32]
# Dense, or a SciPy CSR array, which has no types of its own.
Vectors: TypeAlias = DenseVectors | Any
SIMILARITIES = ("cosine", "dot", "euclidean")
DTYPES = ("float32", "float16", "bfloat16")


@runtime_checkable
class Encoder(Protocol):
    """What clirbench needs of an encoder.

    Both methods take a list of texts and return one row per text: a NumPy array, a torch tensor or a SciPy CSR matrix of shape
    (texts, dimensions), any floating dtype. Optional attributes: ``similarity`` ("cosine" when absent, "dot" or "euclidean"),
    ``name``, ``revision`` (text that changes whenever the vectors would; without it nothing is cached), ``parameters``,
    ``max_length``, and ``prepare(candidates)``, called once with the distinct candidate texts before any encoding.
    """

    def encode_queries(self, texts: list[str]) -> Any:
        """Vectors of queries."""
        ...

    def encode_candidates(self, texts: list[str]) -> Any:
        """Vectors of candidates."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """What clirbench needs of a model that scores pairs of texts without one vector for each: BM25, late interaction.

    Optional attributes as of an :class:`Encoder`, ``similarity`` apart.
    """

    def prepare_candidates(self, texts: list[str], languages: list[str]) -> None:
        """Take the candidates, called once before any scoring: distinct pairs of a text and its language."""
        ...

    def score(self, texts: list[str], languages: list[str]) -> Any:
        """Finite scores of some queries with every candidate, higher is better.

        An array or tensor (queries, candidates) of any float dtype; what differs by less than float32 can tell is a tie.
        """
        ...


@dataclass(frozen=True)
class EncoderOptions:
    """What a user may ask of an encoder; None means the model's own choice.

    ``max_length`` counts tokens. Prompts are put before the text. ``revision`` is a hub branch, tag or commit.
    ``transform`` removes language bias from finished vectors ("center", "lir:K", "lsar:K"), fitted on the candidates, or on
    the texts of the JSON Lines file ``transform_sample``.
    """

    batch_size: int = 32
    device: str | None = None
    dtype: str | None = None
    max_length: int | None = None
    query_prompt: str | None = None
    candidate_prompt: str | None = None
    similarity: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    name: str | None = None
    transform: str | None = None
    transform_sample: str | None = None


@dataclass(frozen=True)
class ModelInfo:
    """Who the model is. ``revision`` is None where nobody can tell one version of it from another."""

    name: str
    kind: str
    revision: str | None
    revision_kind: str
    parameters: int | None = None


@dataclass(frozen=True)
class EncoderSettings:
    """The settings that change its vectors; together with the revision they identify a result."""

    similarity: str = "cosine"
    dtype: str = "float32"
    max_length: int | None = None
    query_prompt: str = ""
    candidate_prompt: str = ""
    transform: str | None = None
    transform_sample: str | None = None


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that is ready, with its identity: an encoder, a scorer or a fusion.

    ``info`` and ``settings`` identify it. ``batch_size``, ``device`` and ``trust_remote_code`` are recorded only. ``api`` marks
    a model that others compute and charge for.
    """

    info: ModelInfo
    settings: EncoderSettings
    batch_size: int | None = None
    device: str = "cpu"
    trust_remote_code: bool = False
    api: bool = False


@dataclass(frozen=True, kw_only=True)
class LoadedEncoder(LoadedModel):
    """A model with one vector per text. ``transform`` is what ``settings.transform`` names, with its texts."""

    encoder: Encoder
    transform: Transform | None = None


@dataclass(frozen=True, kw_only=True)
class LoadedScorer(LoadedModel):
    """A model that scores a query with every candidate, without one vector for each."""

    scorer: Scorer


@dataclass(frozen=True, kw_only=True)
class LoadedFusion(LoadedModel):
    """Several models as one.

    Attributes:
        method: "rrf" (reciprocal rank fusion) or "sum" (weighted sum of scores that are scaled to 0 to 1).
        weights: One per part.
        parts: Encoders and scorers.
    """

    method: str
    weights: tuple[float, ...]
    parts: tuple[LoadedModel, ...]


def require_encoder(model: LoadedModel) -> LoadedEncoder:
    """The model as an encoder.

    Raises:
        ClirbenchError: It is a scorer or a fusion.
    """
    if isinstance(model, LoadedEncoder):
        return model
    raise ClirbenchError(
        f"{model.info.name} scores pairs of texts and has no vectors, which this needs: "
        "use an encoder, or a task that fits in memory"
    )


def with_transform(loaded: LoadedModel, options: EncoderOptions) -> LoadedModel:
    """The model with the transform that the options ask for.

    Raises:
        ClirbenchError: The transform is unknown, its sample cannot be read, or the model has no vectors of cosine similarity.
    """
    if options.transform is None:
        if options.transform_sample is not None:
            raise ClirbenchError("--transform-sample does nothing without --transform: add it")
        return loaded
    transform = parse_transform(options.transform, options.transform_sample)
    if not isinstance(loaded, LoadedEncoder) or loaded.settings.similarity != "cosine":
        raise ClirbenchError(f"--transform needs cosine similarity, not {loaded.settings.similarity}: leave it out")
    settings = replace(loaded.settings, transform=str(transform), transform_sample=transform.sample)
    return replace(loaded, settings=settings, transform=transform)


def refuse(options: EncoderOptions, names: Sequence[str], kind: str) -> None:
    """Fail where an option was given that a kind of model cannot honour.

    Raises:
        ClirbenchError: One of ``names`` is set.
    """
    for name in names:
        if getattr(options, name) not in (None, False):
            raise ClirbenchError(f"--{name.replace('_', '-')} does not apply to {kind}: leave it out")


def check_options(options: EncoderOptions) -> None:
    """Fail on an option out of its range.

    Raises:
        ClirbenchError: It names the option and what it may be.
    """
    if options.similarity is not None and options.similarity not in SIMILARITIES:
        raise ClirbenchError(f"--similarity is '{options.similarity}': use {', '.join(SIMILARITIES)}")
    if options.dtype is not None and options.dtype not in DTYPES:
        raise ClirbenchError(f"--dtype is '{options.dtype}': use {', '.join(DTYPES)}")
    if options.name is not None:
        check_name(options.name)
    for name in ("batch_size", "max_length"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ClirbenchError(f"--{name.replace('_', '-')} is {value}: use 1 or more")


def folder_revision(folder: Path) -> str:
    """SHA-256 over the names and bytes of a model folder's files, hidden files and Markdown apart.

    Two folders share it only if weights, tokenizer and configuration are the same, byte for byte.
    """
    digest = hashlib.sha256()
    for path in sorted(_files(folder, set())):
        relative = path.relative_to(folder)
        if path.suffix.lower() != ".md":
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{relative.as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def _files(folder: Path, visited: set[Path]) -> Iterator[Path]:
    """Files below a folder, hidden ones apart; linked folders are followed, each once on the way down."""
    visited = visited | {folder.resolve()}
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir():
            if path.resolve() not in visited:
                yield from _files(path, visited)
        elif path.is_file():
            yield path
