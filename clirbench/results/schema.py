"""The schema of result files. Unknown keys, missing keys and wrong types are errors: a file may come from a stranger."""

import re
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from clirbench.encoders.base import Source, variant
from clirbench.support.links import link_problem

FORMAT = 1
GRADED_FORMAT = 2
COMPACT_FORMAT = 3
# Not Literal[1], which also accepts true and 1.0, because both equal 1.
Format = Annotated[int, Field(ge=1, le=1)]
DocumentFormat = Annotated[int, Field(ge=FORMAT, le=COMPACT_FORMAT)]
# Of what is only shown, nothing can be recomputed. The bounds are beyond every machine, and keep pages and terminals in shape.
FASTEST = 10**9
Seconds = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
Speed = Annotated[float, Field(ge=0, le=FASTEST, allow_inf_nan=False)]
Tokens = Annotated[float, Field(ge=0, le=10**7, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=0, le=10**15)]
Parameters = Annotated[int, Field(ge=0, le=10**14)]
Cpus = Annotated[int, Field(ge=1, le=10**5)]
BatchSize = Annotated[int, Field(ge=1, le=10**7)]
# Scores of mteb are mostly from 0 to 1; a few, such as areas under curves that are normalised, may be below.
MtebScore = Annotated[float, Field(ge=-(10**6), le=10**6, allow_inf_nan=False)]
Checksum = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=1, le=10**9)]
Line = Annotated[str, Field(max_length=300)]
Prompt = Annotated[str, Field(max_length=5000)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Number = Finite | None
Count = Annotated[int, Field(ge=0, le=10**12)]
Setting = Literal["monolingual", "cross-lingual", "multilingual"]
Role = Literal["query", "candidate"]
_HASH = "sha256:[0-9a-f]{64}"
# What a revision of each kind is. Names of branches, and other names on the hub that move, are no versions.
_REVISIONS = {
    "hub-commit": rf"[0-9a-f]{{40}}(\+{_HASH})?",
    "folder-sha256": _HASH,
    "parts-sha256": _HASH,
    "vectors-sha256": _HASH,
    "bundled": r"[0-9A-Za-z.]{1,20}",
    "mteb": r".+",
    "declared": r".+",
    # Of a model whose versions cannot be told apart.
    "unknown": r"(?!)",
}
_MOVING = ("main", "master", "head", "trunk", "develop", "dev", "latest", "unknown")
_LENGTHS = ("query_max_length", "candidate_max_length")


def _plain_link(link: str) -> str:
    if fault := link_problem(link):
        raise ValueError(fault)
    return link


def _each_once(names: list[str]) -> list[str]:
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ValueError(f"{twice[:40]!a} stands twice")
    return names


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class TaskPart(_Strict):
    """The task, and the part of it that was run. ``complete`` is true only if all languages and all settings were run."""

    id: str
    hash: Checksum
    complete: bool
    languages: Annotated[list[str], Field(min_length=1), AfterValidator(_each_once)]
    settings: Annotated[list[Setting], Field(min_length=1), AfterValidator(_each_once)]
    metrics: Annotated[list[str], Field(min_length=1), AfterValidator(_each_once)]
    bias: Annotated[list[str], AfterValidator(_each_once)]
    sources: dict[str, Checksum] = Field(description="SHA-256 of each source file, by language")


class ModelPart(_Strict):
    """The model that was run. ``revision`` is null where versions of the model cannot be told apart."""

    name: Line
    kind: Literal[
        "bundled", "sentence-transformers", "mteb", "packed", "own", "vectors", "fusion", "endpoint", "rerank"
    ]
    revision: Line | None
    revision_kind: Literal[
        "bundled", "hub-commit", "folder-sha256", "parts-sha256", "vectors-sha256", "mteb", "declared", "unknown"
    ]
    parameters: Parameters | None
    dimensions: Size | None = Field(description="null for a model that gives scores in the place of vectors")

    @property
    def revision_problem(self) -> str | None:
        """Why the revision does not fix a version of the model, and what to do; None if it does, or if there is none."""
        if self.revision is None:
            return None
        fits = re.fullmatch(_REVISIONS[self.revision_kind], self.revision)
        if not fits or "/" in self.revision or self.revision.lower() in _MOVING:
            return f"is {self.revision[:60]!a}, which fixes no version of the model: run it again at a commit"
        return None

    @property
    def scores_by_pool(self) -> bool:
        """Whether a score depends on the pool, so that ranks in two pools need not agree: of a fusion, or of a second stage."""
        return self.kind in ("fusion", "rerank")


class EncoderPart(_Strict):
    """The settings in effect that change the vectors or scores. Lengths are in tokens; null is no limit.

    ``dtype`` is that of the weights, "unknown" for a server's and for another backend's. ``query_task`` and ``candidate_task``
    name adapters of the model.
    ``transform`` names the method that removed language bias, such as "lir:2". ``transform_sample`` names the texts on which it
    was fitted: "pool" for the candidates, "sha256:..." for the texts of a file; ``quantise_sample`` does so for the ranges of
    int8. ``depth`` is the number of candidates that a second stage ordered again. Results of older versions have one
    ``max_length`` for both roles.
    """

    similarity: Literal["cosine", "dot", "euclidean", "maxsim", "meanmaxsim", "bm25", "fusion", "rerank", "own"]
    dtype: Literal["float32", "float16", "bfloat16", "float64", "unknown"]
    backend: Literal["onnx", "openvino"] | None = None
    query_max_length: Size | None
    candidate_max_length: Size | None
    query_prompt: Prompt
    candidate_prompt: Prompt
    query_task: Line | None = None
    candidate_task: Line | None = None
    truncate_dim: Size | None = None
    transform: Annotated[str, Field(pattern=r"^(center|(lir|lsar):[1-9][0-9]{0,3})$")] | None = None
    transform_sample: Annotated[str, Field(pattern=r"^(pool|sha256:[0-9a-f]{64})$")] | None = None
    quantise: Literal["int8", "binary"] | None = None
    quantise_sample: Annotated[str, Field(pattern=r"^(pool|sha256:[0-9a-f]{64})$")] | None = None
    depth: Size | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_length(cls, values: Any) -> Any:
        """Read the one length of older results as that of both roles."""
        if isinstance(values, dict) and "max_length" in values and not values.keys() & set(_LENGTHS):
            values = dict(values)
            return values | dict.fromkeys(_LENGTHS, values.pop("max_length"))
        return values

    @property
    def variant(self) -> str:
        """What tells the rows of one model apart, such as "lir:2, int8"; "" for the model as it comes."""
        return variant(self.backend, self.truncate_dim, self.transform, self.quantise, self.depth)

    @property
    def longest_input(self) -> int | None:
        """The longest input of either role, in tokens; None where a role has no limit."""
        lengths = (self.query_max_length, self.candidate_max_length)
        return None if None in lengths else max(length for length in lengths if length is not None)


class ProvenancePart(_Strict):
    """Where prompts and similarity came from, and the precision of the checkpoint and of the vectors as the model gave them.

    "registry" is mteb's, "model" is the model's own configuration, "option" is the user's choice. ``saved_dtype`` and
    ``output_dtype`` are null where they are not known.
    """

    query_prompt: Source
    candidate_prompt: Source
    similarity: Source
    saved_dtype: Line | None
    output_dtype: Line | None


class LengthPart(_Strict):
    """How long the distinct texts of one role and language are for the model.

    ``mean_tokens`` is the mean number of tokens of a text before it is cut, with its prompt and special tokens. ``cut`` is the
    share of the texts that the model did not read to the end.
    """

    texts: Count = Field(description="how many texts were counted")
    mean_tokens: Tokens
    cut: Annotated[float, Field(ge=0, le=1)]
    unknown: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="share of the tokens that are the unknown token; null in results of older versions"
    )


class EnvironmentPart(_Strict):
    """The machine and the packages of the run."""

    clirbench: Line
    python: Line
    platform: Line
    device: Line
    cpus: Cpus | None
    batch_size: BatchSize | None
    trust_remote_code: bool
    packages: Annotated[dict[Line, Line], Field(max_length=100)]
    counted_on: Line | None = Field(
        default=None,
        description="the device of torch that counted the ranks; null for the processor, and for several nodes",
    )


class CostPart(_Strict):
    """The time and memory of the run. ``peak_memory`` is that of the whole process, in bytes."""

    seconds: dict[Literal["load", "encode", "rank", "rerank", "score"], Seconds]
    texts: Count = Field(description="distinct texts, counted once per role")
    texts_encoded: Count = Field(description="how many of them this run encoded; the others came from the cache")
    texts_per_second: Speed | None
    peak_memory: Bytes | None
    zero_vectors: Count
    pairs: Count | None = Field(
        default=None, description="pairs of a query and a candidate that a second stage ordered; null without one"
    )
    pairs_scored: Count | None = Field(
        default=None, description="how many of them this run scored; the others came from the cache"
    )


class CountsPart(_Strict):
    """How many topics, queries and gold pairs were ranked, and how many candidates each language has."""

    topics: Count
    queries: Count
    gold_pairs: Count
    candidates: dict[str, Count]


class CorpusPart(_Strict):
    """Where the candidates of a streamed task were read. ``sha256`` is by language, over identifiers and texts (or vectors)."""

    source: Line
    layout: Line
    shard: Size = Field(description="most candidates in a shard")
    shards: Size
    engine: Line
    sha256: dict[str, Checksum]


class EstimatePart(_Strict):
    """A headline number and the ends of its 95 % bootstrap interval; null where they are undefined."""

    value: Number
    low: Number
    high: Number

    @property
    def margin(self) -> float | None:
        """The distance from the value to the farther end of its interval; None where there is no interval."""
        if self.value is None or self.low is None or self.high is None:
            return None
        return max(self.high - self.value, self.value - self.low)


class RanksPart(_Strict):
    """The ranks file beside the result: its name, its SHA-256, and how many gold pairs it has."""

    file: str
    sha256: Checksum
    rows: Count


class CompactPart(_Strict):
    """What a result with many languages has in the place of numbers by pair and triple of languages.

    Its ranks are rounded: those up to ``exact`` are exact, and others moved by at most ``largest_error`` times themselves. Every
    number of the result is computed from the rounded ranks, so it can be computed again. Numbers that read no rank beyond
    ``exact`` are those of exact ranks. Rows are query languages, columns are candidate languages, both in the task's order.
    """

    exact: Annotated[int, Field(ge=128, le=10**5)]
    largest_error: Annotated[float, Field(ge=0, le=1)]
    graded: bool = Field(description="whether the ranks file has grades")
    metric: str = Field(description="the metric of `pairs`: the task's first")
    pairs: list[list[Number]] = Field(
        description="six decimals, the monolingual number where a language meets itself; empty without the cross-lingual setting"
    )
    queue_jump: list[list[Count]] = Field(
        description="wrong candidates that outrank a gold, counted before ranks are rounded; empty if not multilingual"
    )


class BootstrapPart(_Strict):
    """How the intervals were drawn: percentile intervals over topics resampled with replacement."""

    replicates: int
    seed: int
    confidence: Finite


class SourcePart(_Strict):
    """The publication from which figures were taken, and what a reader must know before comparing them."""

    publication: Annotated[str, Field(min_length=1, max_length=300)]
    url: Annotated[str, AfterValidator(_plain_link)]
    place: Annotated[str, Field(max_length=1000)] = Field(description="table, file or section")
    caveats: Annotated[list[Line], Field(max_length=20)]


class ReportedTaskPart(_Strict):
    """The task that a publication reports on, and the languages that it reports."""

    id: str
    languages: list[str]


class ReportedModelPart(_Strict):
    """The model that a publication reports on; null for what the publication does not say."""

    name: Line
    parameters: Parameters | None
    dimensions: Size | None


class Reported(_Strict):
    """Figures from a publication, format 1. They have no ranks. Shares are from 0 to 1.

    If the publication gives figures by language, ``headline`` holds their means over the languages of ``per_language``. A figure
    that the publication does not give is left out.
    """

    format: Format
    origin: Literal["reported"]
    task: ReportedTaskPart
    model: ReportedModelPart
    headline: dict[str, dict[str, EstimatePart]]
    per_language: dict[str, dict[str, dict[str, Number]]]
    source: SourcePart


class Document(_Strict):
    """A result file: the scores of one model on one task, and how they were computed. Shares are from 0 to 1.

    The format is 1. It is 2 for a task with grades: the ranks file has a column of grades, and nDCG counts them as gains. It is 3
    with many languages: ``compact`` is there, and ``per_pair``, ``queue_jump`` and ``queue_jump_ratio`` are empty. So older
    versions of clirbench read all results but these, and refuse these.
    """

    format: DocumentFormat
    origin: Literal["measured"]
    task: TaskPart
    model: ModelPart
    encoder: EncoderPart
    environment: EnvironmentPart
    cost: CostPart
    counts: CountsPart
    provenance: ProvenancePart | None = Field(default=None, description="null in results of older versions")
    lengths: dict[Role, dict[str, LengthPart]] | None = Field(
        default=None, description="by role and language; null where the model does not say how it cuts texts"
    )
    indistinguishable: dict[Role, dict[str, Annotated[float, Field(ge=0, le=1)]]] | None = Field(
        default=None,
        description="by role and language: share of the distinct texts that share their vector with another text; null without "
        "vectors, and in results of older versions",
    )
    corpus: CorpusPart | None = Field(default=None, description="of streamed tasks only")
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
    compact: CompactPart | None = Field(default=None, description="of format 3 only, where there are many languages")

    @model_validator(mode="after")
    def _one_form(self) -> "Document":
        """Refuse a part of the compact form in a result of another format, and the other way round."""
        if (self.compact is not None) != (self.format == COMPACT_FORMAT):
            raise ValueError(f"'compact' belongs to format {COMPACT_FORMAT}, and the format is {self.format}")
        if self.compact is not None:
            if self.per_pair or self.queue_jump or self.queue_jump_ratio:
                raise ValueError("'per_pair', 'queue_jump' and 'queue_jump_ratio' are empty beside 'compact'")
            for name, rows in (("pairs", self.compact.pairs), ("queue_jump", self.compact.queue_jump)):
                n = len(self.task.languages)
                if rows and [len(row) for row in rows] != [n] * n:
                    raise ValueError(f"'compact.{name}' has not {n} rows of {n} numbers")
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """What two runs must share to be the same run: task, languages, settings, model revision, trust and encoder settings."""
        task = self.task.model_dump(include={"id", "hash", "languages", "settings"})
        model = self.model.model_dump(include={"name", "kind", "revision"})
        trusted = self.environment.trust_remote_code
        return {**task, **model, "trust_remote_code": trusted, **self.encoder.model_dump()}

    @property
    def graded(self) -> bool:
        """Whether the task has grades, which nDCG counts as gains."""
        return self.format == GRADED_FORMAT or (self.compact is not None and self.compact.graded)

    @property
    def has_pairs(self) -> bool:
        """Whether there are numbers by pair of languages."""
        return bool(self.per_pair) or (self.compact is not None and bool(self.compact.pairs))

    @property
    def main_metric(self) -> str:
        """The task's first metric that has a value in each setting; the first one if none has, as where no query was ranked."""
        settings = [self.headline[setting] for setting in self.task.settings if setting in self.headline]
        valued = (m for m in self.task.metrics if all(s[m].value is not None for s in settings if m in s))
        return next(valued, self.task.metrics[0])

    def pair_value(self, query: str, candidate: str, metric: str) -> float | None:
        """A metric of one query language against one candidate language; None where it was not run or is undefined.

        A language against itself is its monolingual value. With many languages, only the task's first metric has pairs.
        """
        if query == candidate:
            return self.per_language.get(query, {}).get("monolingual", {}).get(metric)
        if self.compact is not None:
            if metric != self.compact.metric or not self.compact.pairs:
                return None
            return self.compact.pairs[self.task.languages.index(query)][self.task.languages.index(candidate)]
        return self.per_pair.get(query, {}).get(candidate, {}).get(metric)

    def jumps_of(self, query: str) -> dict[str, int]:
        """By candidate language, the wrong candidates that outrank a gold for a query of one language; empty if not counted."""
        if self.compact is not None:
            rows = dict(zip(self.task.languages, self.compact.queue_jump, strict=False))
            return dict(zip(self.task.languages, rows.get(query, []), strict=False))
        jumps: Counter[str] = Counter()
        for counts in self.queue_jump.get(query, {}).values():
            jumps.update(counts)
        return dict(jumps)


class RunPart(_Strict):
    """The TREC run that was scored: its checksum, its tag, the number of judged queries, and how many of them the run lacks."""

    sha256: Checksum
    tag: Line
    queries: Count
    missing: Count


class RunDocument(_Strict):
    """The scores of a TREC run of one language, format 1.

    ``depth`` is the number of passages in the longest ranking. A metric that needs more passages is null.
    """

    format: Format
    origin: Literal["run"]
    task: TaskPart
    model: Line
    depth: Size
    run: RunPart
    scorer: Line
    headline: dict[str, dict[str, EstimatePart]]
    bootstrap: BootstrapPart


class MtebDocument(_Strict):
    """A result on one of mteb's own tasks, format 1, evaluated by mteb. It has no ranks, so nobody can recompute it.

    ``scores`` are mteb's, by split, subset and metric. ``main_score`` is the name of the task's main metric in mteb; ``scores``
    also holds its value under "main_score".
    """

    format: Format
    origin: Literal["mteb"]
    task: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.()-]{0,99}$")]
    task_type: Line
    main_score: Line
    source: Line
    dataset_revision: Line
    mteb_version: Line
    model: ModelPart
    encoder: EncoderPart
    scores: Annotated[
        dict[Line, Annotated[dict[Line, dict[Line, MtebScore]], Field(min_length=1, max_length=500)]],
        Field(min_length=1, max_length=10),
    ]

    @property
    def identity(self) -> dict[str, Any]:
        """What two runs must share to be the same run: task, data, model revision and encoder settings."""
        model = self.model.model_dump(include={"name", "kind", "revision"})
        return {"task": self.task, "data": self.dataset_revision, **model, **self.encoder.model_dump()}

    @property
    def main_scores(self) -> dict[str, float | None]:
        """The main score of each subset of the split with the most subsets; None for a subset without one."""
        split = max(self.scores.values(), key=len, default={})
        return {subset: scores.get("main_score") for subset, scores in split.items()}

    @property
    def mean(self) -> float | None:
        """Mean of ``main_scores`` over the subsets that have one."""
        values = [value for value in self.main_scores.values() if value is not None]
        return sum(values) / len(values) if values else None


Submitted: TypeAdapter[Document | Reported] = TypeAdapter(Annotated[Document | Reported, Field(discriminator="origin")])
