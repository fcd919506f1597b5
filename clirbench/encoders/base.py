"""What clirbench asks of a model, how a model is identified, and the options that a user may set."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.samples import POOL, read_sample
from clirbench.encoders.transforms import Transform, parse_transform
from clirbench.support.errors import ClirbenchError, shortened
from clirbench.support.names import check_name

DenseVectors: TypeAlias = NDArray[np.float32]
# A dense array or a SciPy CSR array. SciPy's arrays have no type annotations, hence Any.
Vectors: TypeAlias = DenseVectors | Any
SIMILARITIES = ("cosine", "dot", "euclidean")
DTYPES = ("float32", "float16", "bfloat16")
QUANTISATIONS = ("int8", "binary")
BACKENDS = ("onnx", "openvino")
PROMPTS = ("registry", "model", "none")
# Options that only apply where clirbench itself loads the model, that put something before the texts, that change the vectors.
OF_LOADING = ("device", "dtype", "backend", "max_length", "revision", "trust_remote_code", "safe", "allow_pickle")
# Options that ask for what the check of a safe model does not know.
UNCHECKED = ("trust_remote_code", "allow_pickle", "backend")
OF_PROMPTS = (
    "prompts",
    "query_prompt",
    "candidate_prompt",
    "query_prompt_name",
    "candidate_prompt_name",
    "encode_task",
)
# Settings that are applied to finished vectors, after the cache.
OF_FINISHED = ("truncate_dim", "transform", "transform_sample", "quantise", "quantise_sample")
OF_VECTORS = ("similarity", *OF_FINISHED)
# What a result can record.
_LARGEST, _LONGEST_PROMPT = 10**9, 5000
# Where a setting came from; the screen shows "option" as "you".
Source: TypeAlias = Literal["registry", "model", "option", "none"]


@runtime_checkable
class Encoder(Protocol):
    """A model that gives one vector per text.

    Both methods return one row per text, of real numbers of any dtype: a NumPy array, a torch tensor, a SciPy matrix or a list of
    rows, (texts, dimensions). It is copied before the encoder is called again. Optional attributes: ``similarity`` ("cosine" when
    absent, "dot" or "euclidean"); ``name``; ``revision``, a text that changes whenever the vectors change (vectors of a model
    without it are not cached); ``parameters``, the number of weights; ``max_length``, in tokens; and a method
    ``prepare(candidates)``, called once with the distinct candidates before any encoding.
    """

    def encode_queries(self, texts: list[str]) -> Any:
        """Encode queries: (texts, dimensions)."""
        ...

    def encode_candidates(self, texts: list[str]) -> Any:
        """Encode candidates: (texts, dimensions)."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """A model that scores queries against candidates without one vector per text, such as BM25 or late interaction.

    A scorer may have the attributes ``name``, ``revision`` and ``parameters`` of an :class:`Encoder`.
    """

    def prepare_candidates(self, texts: list[str], languages: list[str]) -> None:
        """Take all candidates. Called once, before :meth:`score`; each distinct pair of a text and its language comes once."""
        ...

    def score(self, texts: list[str], languages: list[str]) -> Any:
        """Score some queries against every candidate: array or tensor (queries, candidates) of finite floats, higher is better.

        Scores are rounded to float32, so two scores that become equal are a tie.
        """
        ...


@dataclass(frozen=True)
class EncoderOptions:
    """How a model is loaded and called; None means the model's own choice.

    Attributes:
        batch_size: Texts per batch.
        device: As torch names it, such as "cuda:1"; or several, separated by commas, each of which encodes a part of the texts.
        dtype: "float32", "float16" or "bfloat16".
        backend: "onnx" or "openvino", instead of torch.
        max_length: Longest input of both roles, in tokens.
        prompts: Whose prompts are used: "registry" (mteb's, the default where mteb knows the model), "model" or "none".
        query_prompt: Put before each query.
        candidate_prompt: Put before each candidate.
        query_prompt_name: Name of a prompt that the model has, put before each query.
        candidate_prompt_name: Name of a prompt that the model has, put before each candidate.
        encode_task: Task of a model with one adapter per task: "NAME", or "QUERY,CANDIDATE".
        similarity: "cosine", "dot" or "euclidean".
        truncate_dim: Number of first dimensions that are kept.
        quantise: Round the vectors to "int8" or "binary".
        depth: Number of candidates that a second stage orders again.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run code that the model brings.
        safe: Load only known files with known contents, from a checked copy. None: for names on the hub, unless
            ``trust_remote_code``, ``allow_pickle`` or ``backend`` asks for what the check does not know.
        allow_pickle: Unpickle weights such as pytorch_model.bin, which can run code.
        name: Name in results, as ORG/NAME.
        transform: Removal of language bias from finished vectors: "center", "lir:K" or "lsar:K".
        transform_sample: JSON Lines file of texts to fit the transform on; None for the candidates of the run.
        quantise_sample: JSON Lines file of texts to fit the ranges of int8 on; None for the candidates of the run.
    """

    batch_size: int = 32
    device: str | None = None
    dtype: str | None = None
    backend: str | None = None
    max_length: int | None = None
    prompts: str | None = None
    query_prompt: str | None = None
    candidate_prompt: str | None = None
    query_prompt_name: str | None = None
    candidate_prompt_name: str | None = None
    encode_task: str | None = None
    similarity: str | None = None
    truncate_dim: int | None = None
    quantise: str | None = None
    depth: int | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    safe: bool | None = None
    allow_pickle: bool = False
    name: str | None = None
    transform: str | None = None
    transform_sample: str | None = None
    quantise_sample: str | None = None

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices of ``device``; empty where the model chooses its own."""
        return tuple(name.strip() for name in self.device.split(",")) if self.device is not None else ()


@dataclass(frozen=True)
class ModelInfo:
    """Which model it is, and in which version.

    ``kind`` says how it was loaded ("bundled", "own", "mteb" ...), ``revision_kind`` what the revision is ("hub-commit",
    "folder-sha256" ...). ``revision`` is None where versions cannot be told apart. ``parameters`` counts the weights.
    """

    name: str
    kind: str
    revision: str | None
    revision_kind: str
    parameters: int | None = None


@dataclass(frozen=True)
class EncoderSettings:
    """The settings in effect that change a model's vectors or scores. With the revision they identify a result.

    Lengths are in tokens; None is no limit. ``dtype`` is that of the weights. ``backend`` is None for the library's own.
    ``quantise_sample`` says on which vectors the ranges of int8 were fitted. ``depth`` is that of a second stage.
    """

    similarity: str = "cosine"
    dtype: str = "float32"
    backend: str | None = None
    query_max_length: int | None = None
    candidate_max_length: int | None = None
    query_prompt: str = ""
    candidate_prompt: str = ""
    query_task: str | None = None
    candidate_task: str | None = None
    truncate_dim: int | None = None
    transform: str | None = None
    transform_sample: str | None = None
    quantise: str | None = None
    quantise_sample: str | None = None
    depth: int | None = None

    @property
    def variant(self) -> str:
        """What tells the rows of one model apart: "64 dimensions, lir:2, int8"; "" for the model as it comes."""
        return variant(self.backend, self.truncate_dim, self.transform, self.quantise, self.depth)


def variant(
    backend: str | None, truncate_dim: int | None, transform: str | None, quantise: str | None, depth: int | None
) -> str:
    """What tells the rows of one model apart, in the order in which it is applied; "" for the model as it comes."""
    parts = (backend, truncate_dim and f"{truncate_dim} dimensions", transform, quantise, depth and f"depth {depth}")
    return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class SettingSources:
    """Where the prompts and the similarity of a model came from: mteb's registry, the model, an option, or nowhere."""

    query_prompt: Source = "none"
    candidate_prompt: Source = "none"
    similarity: Source = "none"


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that is loaded and identified: an encoder, a scorer, a fusion of both, or two stages.

    Results record ``sources``, ``saved_dtype`` (of the checkpoint), ``batch_size`` and ``device``, which are no part of the
    model's identity. Several devices are separated by commas. ``trust_remote_code`` says that code which the model brings could
    run: with it, a model that a library also knows is another one. ``api`` says that a provider computes the vectors and charges
    for them. ``served_by`` is the address and name of a server's model; None for any other model. ``notes`` are lines that a user
    must read before a run.
    """

    info: ModelInfo
    settings: EncoderSettings
    sources: SettingSources = SettingSources()
    saved_dtype: str | None = None
    notes: tuple[str, ...] = ()
    batch_size: int | None = None
    device: str = "cpu"
    trust_remote_code: bool = False
    api: bool = False
    served_by: str | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Everything in which a result must agree with this model to be its result, by the names that results use."""
        info = self.info
        model = {"name": info.name, "kind": info.kind, "revision": info.revision}
        return {**model, "trust_remote_code": self.trust_remote_code, **asdict(self.settings)}


@dataclass(frozen=True, kw_only=True)
class LoadedEncoder(LoadedModel):
    """A model with one vector per text.

    ``transform`` is the transform that ``settings.transform`` names, with its texts. ``quantise_texts`` are the texts by language
    on which the ranges of int8 are fitted; empty for the candidates of the run.
    """

    encoder: Encoder
    transform: Transform | None = None
    quantise_texts: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LoadedScorer(LoadedModel):
    """A model that scores a query against every candidate, without one vector per text."""

    scorer: Scorer


@dataclass(frozen=True, kw_only=True)
class LoadedFusion(LoadedModel):
    """Several encoders and scorers whose scores are fused by a method, "rrf" or "sum", with one weight per part."""

    method: str
    weights: tuple[float, ...]
    parts: tuple[LoadedModel, ...]


class PairScorer(Protocol):
    """A model that reads a query and a candidate together, and gives one score for the pair."""

    def score_pairs(self, pairs: list[tuple[str, str]]) -> DenseVectors:
        """Score pairs of a query and a candidate: float32 (pairs,), higher is better."""
        ...


@dataclass(frozen=True, kw_only=True)
class LoadedReranker(LoadedModel):
    """A second stage: a model that scores pairs of a query and a candidate."""

    scorer: PairScorer


@dataclass(frozen=True, kw_only=True)
class LoadedRerank(LoadedModel):
    """Two stages: of each query, the best ``settings.depth`` candidates of the first one are ordered by the second one."""

    first: LoadedModel
    second: LoadedReranker


def takes_options(kind: str, longest: int | None) -> bool:
    """Whether sentence-transformers runs a model of this kind, so that prompts, similarity, dtype and length can be chosen.

    Packed and bundled transformers have a longest input. Other packed and bundled models have none, and fixed settings.
    """
    return kind == "sentence-transformers" or (kind in ("packed", "bundled") and longest is not None)


def require_encoder(model: LoadedModel) -> LoadedEncoder:
    """Return a model that has vectors, and refuse one that has none.

    Raises:
        ClirbenchError: The model is a scorer or a fusion.
    """
    if isinstance(model, LoadedEncoder):
        return model
    raise ClirbenchError(
        f"{model.info.name} scores pairs of texts and has no vectors: use an encoder, or a task that fits in memory"
    )


def with_vector_options(model: LoadedModel, options: EncoderOptions) -> LoadedModel:
    """Add what the options say of finished vectors: how many dimensions are kept, the transform, the quantisation.

    Raises:
        ClirbenchError: The transform is unknown, a sample cannot be read, or the model is no encoder, or none with the cosine
            similarity that a transform needs.
    """
    if options.transform_sample is not None and options.transform is None:
        raise ClirbenchError("--transform-sample does nothing without --transform: add --transform")
    if options.quantise_sample is not None and options.quantise != "int8":
        raise ClirbenchError("--quantise-sample does nothing without --quantise int8: add --quantise int8")
    if options.truncate_dim is not None:
        model = _with(require_encoder(model), truncate_dim=options.truncate_dim)
    if options.transform is not None:
        transform = parse_transform(options.transform, options.transform_sample)
        if model.settings.similarity != "cosine":
            raise ClirbenchError(f"--transform needs cosine similarity, not {model.settings.similarity}: leave it out")
        encoder = _with(require_encoder(model), transform=str(transform), transform_sample=transform.sample)
        model = replace(encoder, transform=transform)
    if options.quantise is not None:
        encoder = require_encoder(model)
        sample = POOL if options.quantise == "int8" else None
        texts: Mapping[str, Sequence[str]] = {}
        if options.quantise_sample is not None:
            sample, texts = read_sample(Path(options.quantise_sample), "--quantise-sample")
        model = replace(_with(encoder, quantise=options.quantise, quantise_sample=sample), quantise_texts=texts)
    return model


def _with(model: LoadedEncoder, **settings: Any) -> LoadedEncoder:
    return replace(model, settings=replace(model.settings, **settings))


def refuse(options: EncoderOptions, names: Sequence[str], kind: str) -> None:
    """Refuse the options with these names, which do not apply to a kind of model.

    Raises:
        ClirbenchError: One of them is set; the message names it and the kind.
    """
    for name in names:
        if getattr(options, name) not in (None, False):
            raise ClirbenchError(f"--{name.replace('_', '-')} does not apply to {kind}: leave it out")


def _check_types(options: EncoderOptions) -> None:
    for one in fields(options):
        value, name, kind = getattr(options, one.name), one.name.replace("_", "-"), cast(type, one.type)
        switch = kind in (bool, bool | None)
        if not isinstance(value, kind) or (isinstance(value, bool) and not switch):
            wanted = "True or False" if switch else "a whole number" if kind in (int, int | None) else "text"
            raise ClirbenchError(f"--{name} is {shortened(f'{value!a}', 60)}: use {wanted}")
        if isinstance(value, str) and not value.isascii() and re.search("[\ud800-\udfff]", value):
            raise ClirbenchError(f"--{name} holds half of a character (a lone surrogate): correct it")


def check_options(options: EncoderOptions) -> None:
    """Refuse values of options that no model can take.

    Raises:
        ClirbenchError: A value is out of range; the message names the option and the values it may have.
    """
    _check_types(options)
    if options.similarity is not None and options.similarity not in SIMILARITIES:
        raise ClirbenchError(f"--similarity is '{options.similarity}': use {', '.join(SIMILARITIES)}")
    if options.dtype is not None and options.dtype not in DTYPES:
        raise ClirbenchError(f"--dtype is '{options.dtype}': use {', '.join(DTYPES)}")
    for name, values in (("prompts", PROMPTS), ("backend", BACKENDS), ("quantise", QUANTISATIONS)):
        if getattr(options, name) not in (None, *values):
            raise ClirbenchError(f"--{name} is '{getattr(options, name)}': use {', '.join(values)}")
    for name in UNCHECKED:
        if options.safe and getattr(options, name):
            raise ClirbenchError(
                f"--safe and --{name.replace('_', '-')} exclude each other, because the check knows neither code nor other "
                "formats: leave one out"
            )
    if options.name is not None:
        check_name(options.name)
    for name in ("batch_size", "max_length", "truncate_dim", "depth"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ClirbenchError(f"--{name.replace('_', '-')} is {value}: use 1 or more")
        # How long an input may be, the model itself says when it is loaded.
        if value is not None and value > _LARGEST and name != "max_length":
            raise ClirbenchError(f"--{name.replace('_', '-')} is {value}: use at most {_LARGEST:,}")
    for name in ("query_prompt", "candidate_prompt"):
        if len(getattr(options, name) or "") > _LONGEST_PROMPT:
            raise ClirbenchError(f"--{name.replace('_', '-')} has more than {_LONGEST_PROMPT:,} characters: shorten it")
