"""The schema of a result file: what strangers send is read through it, strictly."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from clirbench.errors import printable

FORMAT = 1
Finite = Annotated[float, Field(allow_inf_nan=False)]
Number = Finite | None
Count = Annotated[int, Field(ge=0, le=10**12)]
Setting = Literal["monolingual", "cross-lingual", "multilingual"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TaskPart(_Strict):
    """Which task was run, and how much of it. ``complete`` is true only for all languages and all settings."""

    id: str
    hash: str
    complete: bool
    languages: list[str]
    settings: list[Setting]
    metrics: list[str]
    bias: list[str]
    sources: dict[str, str] = Field(description="SHA-256 of each source file, by language")


class ModelPart(_Strict):
    """Which model was run. ``revision`` is null where nobody can tell one version of it from another."""

    name: str
    kind: Literal["bundled", "sentence-transformers", "mteb", "packed", "own"]
    revision: str | None
    revision_kind: str
    parameters: int | None
    dimensions: int


class EncoderPart(_Strict):
    """The settings that change the vectors.

    ``transform`` is a removal of language bias such as "lir:2"; ``transform_sample`` says on which texts it was fitted:
    "pool" (the candidates), or "sha256:..." of a file.
    """

    similarity: Literal["cosine", "dot", "euclidean"]
    dtype: str
    max_length: int | None
    query_prompt: str
    candidate_prompt: str
    transform: str | None = None
    transform_sample: str | None = None


class EnvironmentPart(_Strict):
    """Where and with what it was run."""

    clirbench: str
    python: str
    platform: str
    device: str
    cpus: int | None
    batch_size: int | None
    trust_remote_code: bool
    packages: dict[str, str]


class CostPart(_Strict):
    """What it took. Memory is the peak of the whole process, in bytes."""

    seconds: dict[Literal["load", "encode", "rank", "score"], Finite]
    texts: int = Field(description="distinct texts, counted once per role")
    texts_encoded: int = Field(description="how many of them this run encoded; the others came from the cache")
    texts_per_second: Number
    peak_memory: int | None
    zero_vectors: int


class CountsPart(_Strict):
    """Size of what was ranked. ``candidates`` is the size of each language's pool."""

    topics: Count
    queries: Count
    gold_pairs: Count
    candidates: dict[str, Count]


class EstimatePart(_Strict):
    """A headline number with its 95 % bootstrap interval; null where it is undefined."""

    value: Number
    low: Number
    high: Number


class RanksPart(_Strict):
    """The ranks file beside the result."""

    file: str
    sha256: str
    rows: Count


class BootstrapPart(_Strict):
    """How the intervals were drawn: percentile intervals over topics resampled with replacement."""

    replicates: int
    seed: int
    confidence: Finite


class SourcePart(_Strict):
    """Where reported figures were read, and what a reader must know before comparing them."""

    publication: str
    url: str
    place: str = Field(description="table, file or section")
    caveats: list[str]


class ReportedTaskPart(_Strict):
    """Which task a publication reports on, and how much of it."""

    id: str
    languages: list[str]


class ReportedModelPart(_Strict):
    """Which model a publication reports on, as far as it says."""

    name: str
    parameters: int | None
    dimensions: int | None


class Reported(_Strict):
    """Figures from a publication, format 1: no ranks stand behind them. Shares are in 0 to 1.

    ``headline`` holds means over the languages of ``per_language`` where the publication gives those; what it does not report
    is not there.
    """

    format: Literal[1]
    origin: Literal["reported"]
    task: ReportedTaskPart
    model: ReportedModelPart
    headline: dict[str, dict[str, EstimatePart]]
    per_language: dict[str, dict[str, dict[str, Number]]]
    source: SourcePart


class Document(_Strict):
    """A result file, format 1: scores of one model on one task, with provenance. Shares are in 0 to 1."""

    format: Literal[1]
    origin: Literal["measured"]
    task: TaskPart
    model: ModelPart
    encoder: EncoderPart
    environment: EnvironmentPart
    cost: CostPart
    counts: CountsPart
    headline: dict[str, dict[str, EstimatePart]]
    micro: dict[str, dict[str, Number]]
    per_language: dict[str, dict[str, dict[str, Number | Count]]]
    per_pair: dict[str, dict[str, dict[str, Number | Count]]]
    queue_jump: dict[str, dict[str, dict[str, Count]]] = Field(
        description="by query, gold and candidate language: wrong candidates of the last that outrank a gold of the second"
    )
    queue_jump_ratio: dict[str, dict[str, Number]] = Field(
        description="by query and candidate language: share of those wrong candidates over the language's share of the pool"
    )
    bootstrap: BootstrapPart
    ranks: RanksPart

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two runs the same: task, its restriction, model revision and encoder settings."""
        task = self.task.model_dump(include={"id", "hash", "languages", "settings"})
        model = self.model.model_dump(include={"name", "kind", "revision"})
        return {**task, **model, **self.encoder.model_dump()}


Submitted: TypeAdapter[Document | Reported] = TypeAdapter(Annotated[Document | Reported, Field(discriminator="origin")])


def problem(error: ValidationError) -> str:
    """The first thing that is wrong with a stranger's document, on one line: its key and the reason."""
    first = error.errors(include_url=False)[0]
    # The first part of the place may only say which of two schemas was meant.
    place = first["loc"][1:] if first["loc"][:1] in (("measured",), ("reported",)) else first["loc"]
    where = ".".join(str(part)[:40] for part in place) or "the file"
    return f"'{printable(where)}' is wrong ({printable(first['msg'][:200])})"


def unreadable(error: Exception) -> str:
    """Why JSON or TOML cannot be read, on one line."""
    return printable(str(error).splitlines()[0][:200]) if str(error) else "nested too deeply"
