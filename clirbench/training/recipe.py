"""Recipes: a recipe is a TOML file that decides how a model is trained."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clirbench.support.errors import ClirbenchError, wrong_value
from clirbench.support.names import check_name
from clirbench.support.text_files import read_text

SHIPPED = Path(__file__).parent / "recipes"
Share = Annotated[float, Field(ge=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    """A table of the recipe. An unknown key, or a value of the wrong type, is an error."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class TransformerPart(_Part):
    """``[model]``: the transformer that training starts from."""

    base: Text
    """A name on the hub, a folder, or a bundled model's name; the folder may be a packed one."""
    revision: Text | None = None
    """Branch, tag or commit on the hub; by default its main branch."""
    pooling: Literal["mean", "cls", "model"] = "mean"
    """Pooling of token vectors: ``mean`` or ``cls`` for a plain transformer; ``model`` keeps the base model's own."""
    max_length: Count = 256
    """Largest number of tokens that the model reads of a text."""
    trained_length: Count | None = None
    """Largest number of tokens of a text that training reads, the teacher included. By default ``max_length``."""
    query_prompt: str = ""
    """Put before each query."""
    candidate_prompt: str = ""
    """Put before each candidate."""
    vocabulary: Count | None = None
    """Number of pieces to keep of the tokenizer: those that the training texts use most, with languages at the same weight. By
    default all."""
    layers: Count | None = None
    """Number of layers to keep, evenly spaced, the last one among them. By default all."""
    freeze: tuple[Literal["embeddings"], ...] = ()
    """Parts that training leaves as they are. ``embeddings``: the vectors of pieces and positions."""
    packed: bool = False
    """Also write the model in blocks of 4 bits, as bundled models have it."""
    rounded_steps: Share = 0.0
    """With ``packed``, share of the steps, the last ones, in which the model computes with weights rounded to their 4 bits."""
    gradient_checkpointing: bool = False
    """On a GPU, compute activations a second time to save memory. On a processor it would only cost time, and is left out."""


class TeacherPart(_Part):
    """``[teacher]``: a frozen model whose vectors the trained model learns. Each text is encoded once, before training."""

    model: Text | None = None
    """A name or folder, as ``base`` of ``[model]``. By default the whole base model, before pieces or layers are taken away."""
    revision: Text | None = None
    """Branch, tag or commit on the hub; by default its main branch."""
    query_prompt: str | None = None
    """Put before each query. By default that of ``[model]``."""
    candidate_prompt: str | None = None
    """Put before each candidate. By default that of ``[model]``."""
    centred: bool = True
    """Subtract the teacher's mean vector of each language. The means come from rows with a text in every language of the recipe:
    there the texts say the same, so means differ by language alone."""
    target: Literal["text", "middle", "row"] = "row"
    """What a text learns: ``text``, its own vector; ``row``, the mean vector of its row's texts in all languages; ``middle``,
    what lies halfway between the two."""
    compare: Literal["vectors", "cosines"] = "vectors"
    """What the loss compares: ``vectors``, 1 minus the cosine of the model's vector and the teacher's; ``cosines``, the squared
    difference between the model's and the teacher's cosine of two texts, over all pairs of texts of a batch."""
    sources: tuple[Text, ...] = ()
    """Names of the sources whose texts the teacher encodes. By default all."""
    rows: Count | None = None
    """Largest number of rows of each source that the teacher encodes, evenly spaced. Other rows have the contrastive loss alone.
    By default all."""
    max_length: Count | None = None
    """Largest number of tokens of a text that the teacher reads. By default what ``[model]`` reads in training."""
    weight: Weight = 1.0
    """Weight of this loss beside the contrastive one. It may be 0 with ``teacher_start`` of ``[static]``."""


class StaticPart(_Part):
    """``[static]``: a bag of subwords that is made from the training data alone."""

    vocabulary: Count
    """Number of pieces."""
    dimensions: Count
    """Length of a piece's vector."""
    longest_piece: Count = 16
    """Largest number of characters in a piece."""
    corpus_bytes: Count = 4_000_000
    """Bytes of text in each language for the training of the tokenizer."""
    max_length: Count = 256
    """Largest number of tokens of a text that training reads."""
    dropout: Share = 0.1
    """Share of tokens that training drops on either side of a pair."""
    same_text_dropout: tuple[Share, Share] = (0.65, 0.35)
    """Shares of dropped tokens on the query side and on the candidate side, if a batch pairs each text with itself."""
    teacher_start: Positive | None = None
    """With ``[teacher]``: the first vectors are those whose sums come nearest to the teacher's vectors of texts, by ridge
    regression with this penalty. By default they are random."""
    graph_rounds: Annotated[int, Field(ge=0)] = 3
    """Rounds in which the first vectors are smoothed over the lexicon; 0 for none."""
    graph_own: Share = 0.3
    """Weight of a piece's own first vector in each round."""
    graph_exponent: Weight = 0.4
    """A lexicon row weighs (1 + count of its rarest English word) to this power, in smoothing and in lists of ``entries``."""
    damping: Weight = 0.25
    """After training, how far the spectrum of text vectors is flattened: 0 not at all, 1 completely."""
    norm_exponent: Annotated[float, Field(gt=0, le=1)] = 1.0
    """After training, the length of each vector is raised to this power; 1 changes nothing."""
    damping_texts: Count = 22_000
    """Number of training texts from which the spectrum is computed."""
    bits: Literal[4, 8] = 4
    """Bits per weight in the packed model."""


class BatchesPart(_Part):
    """``[batches]``: what :class:`clirbench.training.batches.HybridBatchSampler` draws."""

    size: Count
    """Rows in a full batch."""
    alpha: Share = 0.5
    """Probability that a batch is monolingual."""
    language_sampling: Literal["uniform", "proportional"] = "uniform"
    """How often a language or language pair is drawn: each equally often, or in proportion to its number of rows."""
    exponent: Weight = 1.0
    """With ``proportional``, chances are in proportion to the number of rows to this power."""
    language_pairs: Literal["row", "batch"] = "row"
    """In a cross-lingual batch: ``row``, each row draws its own language pair; ``batch``, all rows have the same pair."""


class LossPart(_Part):
    """``[loss]``: the in-batch contrastive loss of arXiv 2408.10536, equation 1."""

    scale: Positive
    """Factor by which the loss multiplies cosines."""
    directions: Literal["forward", "symmetric", "all"] = "forward"
    """What the model learns to find: ``forward``, each query's candidate among the candidates, as in equation 1; ``symmetric``,
    also each candidate's query among the queries; ``all``, each text's partner among all other texts of the batch."""
    cached_mini_batch: Annotated[int, Field(ge=0)] = 0
    """Texts that are encoded at a time; 0 for all at once. A small number saves memory and does not change the loss."""
    weight: Weight = 1.0
    """Weight of the contrastive loss beside ``[teacher]``; 0 leaves it out."""


class OptimizerPart(_Part):
    """``[optimizer]``: how weights are updated."""

    name: Literal["adamw", "sparse-adam"] = "adamw"
    """``adamw`` for a transformer; ``sparse-adam``, which updates only the vectors that a batch uses, for a static model."""
    steps: Count
    """Number of updates in the whole training."""
    learning_rate: Positive
    """The highest learning rate of the schedule."""
    weight_decay: Weight = 0.0
    """Weight decay of AdamW."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Adam's."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """The learning rate after the warm-up: ``linear`` or ``cosine`` down to 0, or ``constant``."""
    warmup: Share = 0.0
    """Share of the steps in which the learning rate rises from 0."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Numbers that a transformer computes with. ``auto`` takes bfloat16 on a GPU that has it, and on a processor where a step
    measures faster with it; a note says which it is."""


class DevSource(_Part):
    """``[[dev.source]]``: topics of one file that are held out for the dev task."""

    file: str
    """One file, written as in ``files`` of a source."""
    view: Literal["answer", "passage", "text"] = "answer"
    """The same as ``view`` of a source."""
    topics: Count
    """Number of topics."""
    languages: Count = 1
    """A topic must have query and candidate in this many of the recipe's languages."""


class DevPart(_Part):
    """``[dev]``: the dev task, which is scored while the model trains."""

    every: Count
    """Steps between two evaluations."""
    metric: str = "multilingual.mAP"
    """The number that early stopping watches, such as ``multilingual.mAP`` or ``bias.rank_distance``."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Evaluations in a row without a better ``metric`` that end the training; 0 never ends it early."""
    source: Annotated[tuple[DevSource, ...], Field(min_length=1)]
    """Where the topics come from."""


class TrainingSource(_Part):
    """``[[source]]``: training data of one kind. Every batch comes from one source."""

    name: str
    """A name that no other source has."""
    files: Annotated[tuple[str, ...], Field(min_length=1)]
    """Paths below the data folder, or ``hf:ORG/NAME[:CONFIG]`` for data sets on the hub."""
    view: Literal["text", "entries", "gloss", "answer", "passage"]
    """Columns of the two sides: ``text`` and ``text``, ``text`` and ``gloss``, ``question`` and ``answer``, ``question`` and
    ``passage``. ``entries`` are lists of lexicon entries from the column ``text``."""
    monolingual: Weight = 0.0
    """The source's weight among all sources of monolingual batches; 0 keeps it out of them."""
    cross_lingual: Weight = 0.0
    """The source's weight among all sources of cross-lingual batches; 0 keeps it out of them."""
    longest: Count = 6
    """With ``view = "entries"``, largest number of entries in a list."""
    lists: Count = 6_000
    """With ``view = "entries"``, largest number of lists for each language pair."""
    without_origins: tuple[str, ...] = ()
    """Rows whose column ``source`` starts with one of these are left out."""
    without_languages: tuple[str, ...] = ()
    """Texts in these languages are left out."""


class Recipe(_Part):
    """A whole recipe: everything that decides the outcome of a training."""

    format: Literal[1]
    """Version of the recipe format."""
    name: Text
    """Name of the model, as ORG/NAME."""
    description: Text
    """One line for the model card."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Seed of every random draw."""
    languages: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Languages to train on; texts in other languages are left out and counted."""
    overlapping_rows: Literal["stop", "drop"] = "stop"
    """What happens to rows that hold evaluation text: ``stop`` stops and lists them, ``drop`` leaves them out and counts them."""
    model: TransformerPart | None = None
    """The transformer to start from; either this or ``static`` is given."""
    static: StaticPart | None = None
    """The static model to make."""
    teacher: TeacherPart | None = None
    """The frozen teacher; by default there is none."""
    batches: BatchesPart
    """How batches are drawn."""
    loss: LossPart
    """The loss."""
    optimizer: OptimizerPart
    """How weights are updated."""
    dev: DevPart | None = None
    """The dev task; by default there is none."""
    source: Annotated[tuple[TrainingSource, ...], Field(min_length=1)]
    """Training data."""
    licences: Mapping[str, str] = Field(default_factory=dict)
    """Licence of each file, for the model card."""
    spent: tuple[str, ...] = ()
    """Public test sets among the training data, for the model card: they cannot test this model."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.model is None) == (self.static is None):
            raise ValueError("give either [model] or [static]")
        if (self.static is None) != (self.optimizer.name == "adamw"):
            raise ValueError("'optimizer.name' must be sparse-adam with [static], adamw with [model]: correct it")
        if len(set(self.languages)) != len(self.languages):
            raise ValueError("'languages' names one twice: remove it")
        if self.static:
            self._check_static(self.static)
        if self.model:
            self._check_transformer(self.model)
        self._check_teacher()
        check_name(self.name)
        names = [source.name for source in self.source]
        if len(set(names)) != len(names):
            raise ValueError("two sources have one name: rename one of them")
        alpha = self.batches.alpha
        if alpha > 0 and not any(source.monolingual for source in self.source):
            raise ValueError("alpha is above 0 but no source has a weight 'monolingual': give one, or use alpha = 0")
        if alpha < 1 and not any(source.cross_lingual for source in self.source):
            raise ValueError("alpha is below 1 but no source has a weight 'cross_lingual': give one, or use alpha = 1")
        return self

    def _check_teacher(self) -> None:
        if self.teacher is None:
            if self.loss.weight != 1:
                raise ValueError("'loss.weight' weighs the loss beside [teacher]: leave it out, or add [teacher]")
            if self.static and self.static.teacher_start:
                raise ValueError("'static.teacher_start' needs a teacher: leave it out, or add [teacher]")
            return
        start = self.static and self.static.teacher_start
        if not self.teacher.weight and not start:
            raise ValueError("'teacher.weight' is 0, so nothing learns from the teacher: leave [teacher] out")
        if start and self.teacher.target == "row":
            raise ValueError("'teacher.target' must be \"text\" or \"middle\" with 'static.teacher_start'")
        if unknown := set(self.teacher.sources) - {source.name for source in self.source}:
            raise ValueError(f"'teacher.sources' names '{min(unknown)}', which is no source: correct it")
        if self.loss.cached_mini_batch:
            raise ValueError("'loss.cached_mini_batch' cannot be used with [teacher]: leave one of them out")
        if self.static and self.teacher.model is None:
            raise ValueError("'teacher.model' is missing: a static model has no base that could be its teacher")
        if self.static and self.teacher.compare == "vectors":
            raise ValueError("'teacher.compare' must be \"cosines\" with [static], whose vectors have other dimensions")

    def _check_transformer(self, part: TransformerPart) -> None:
        if part.trained_length and part.trained_length > part.max_length:
            raise ValueError(
                "'model.trained_length' is above 'model.max_length', beyond which nothing is read: lower it"
            )
        if part.rounded_steps and not part.packed:
            raise ValueError(
                "'model.rounded_steps' rounds as the packed model is rounded: set packed = true, or leave it out"
            )
        if part.rounded_steps and self.loss.cached_mini_batch:
            raise ValueError(
                "'model.rounded_steps' cannot be used with 'loss.cached_mini_batch': leave one of them out"
            )

    def _check_static(self, part: StaticPart) -> None:
        if self.optimizer.precision != "auto" and self.teacher is None:
            raise ValueError("'optimizer.precision' is that of a transformer: leave it out with [static]")
        if part.bits == 4 and part.dimensions % 2:
            raise ValueError("'static.dimensions' is odd: 4 bits need an even number")
        if part.damping and part.damping_texts < part.dimensions:
            raise ValueError("'static.damping_texts' is below 'static.dimensions': take more texts, or damping = 0")
        if self.optimizer.weight_decay or self.loss.cached_mini_batch:
            raise ValueError(
                "'optimizer.weight_decay' and 'loss.cached_mini_batch' do not apply to [static]: leave them out"
            )


def shipped_recipes() -> list[str]:
    """File names of the shipped recipes, sorted."""
    return sorted(path.name for path in SHIPPED.glob("*.toml"))


def load_recipe(name: str | Path, changes: Mapping[str, Any] | None = None) -> tuple[Recipe, Path]:
    """Read a recipe: its content and the path of its file.

    Args:
        name: Path of a TOML file, or the file name of a shipped recipe such as ``static.toml``.
        changes: Values that replace values of the file, by dotted key, such as ``{"batches.alpha": 0.0}``.

    A file with ``extends`` has the values of the recipe that it names, which is a file beside it or a shipped one. Its own values
    replace them: key by key in a table, as a whole in a list.

    Raises:
        ClirbenchError: There is no such recipe, or a key is unknown, missing or wrong. The message names file and key.
    """
    path = Path(name)
    if not path.is_file():
        path = SHIPPED / str(name)
        if not path.is_file():
            raise ClirbenchError(f"no recipe '{name}': give a TOML file, or one of {', '.join(shipped_recipes())}")
    text = read_text(path, "check its permissions")
    raw = _table(path, text)
    # Changes go into the table before it is checked, so that one check covers file and options.
    for key, value in (changes or {}).items():
        *tables, last = key.split(".")
        table = raw
        for part in tables:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ClirbenchError(f"{path}: '{part}' must be a table: write [{part}]")
        table[last] = value
    try:
        # The recipe is checked as JSON: a strict model takes a JSON array for a tuple, but refuses a Python list.
        return Recipe.model_validate_json(json.dumps(raw, default=str)), path
    except ValidationError as error:
        # A misspelt key is unknown, and the right key is missing: the line names the unknown one.
        first = min(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in first["loc"])
        if not key:
            # What values say together has no line of its own.
            raise ClirbenchError(f"{path}: {str(first['msg']).removeprefix('Value error, ')}") from error
        # A value that was given as an option has no line in the file.
        if key in (changes or {}):
            raise ClirbenchError(
                f"'{key}' was given as {first['input']!r}: {first['msg']}: correct the option"
            ) from error
        raise ClirbenchError(f"{path}:{_line_of(text, first['loc'])}: {wrong_value(first, key)}") from error
    except ClirbenchError as error:
        raise ClirbenchError(f"{path}: 'name': {error}") from error


# The key of a recipe's file that is no value of :class:`Recipe`, and what it means.
EXTENDS = "extends"
EXTENDS_MEANS = (
    "Another recipe, beside this file or shipped: its values hold where this file gives none. Tables are joined key by key, and "
    "a list is replaced as a whole. A required key may stand there. That recipe extends none itself."
)


def _table(path: Path, text: str) -> dict[str, Any]:
    """The values of a recipe's file, with those of the recipe that it extends."""
    raw = _toml(path, text)
    if EXTENDS not in raw:
        return raw
    name = str(raw.pop(EXTENDS))
    extended = next((place for folder in (path.parent, SHIPPED) if (place := folder / name).is_file()), None)
    if extended is None:
        raise ClirbenchError(
            f"{path}: 'extends' names '{name}', which is neither beside it nor a shipped recipe: correct it"
        )
    below = _toml(extended, read_text(extended, "check its permissions"))
    if EXTENDS in below:
        raise ClirbenchError(f"{path}: 'extends' names '{name}', which extends a recipe itself: name that one")
    for key, value in raw.items():
        below[key] = {**below[key], **value} if isinstance(value, dict) and isinstance(below.get(key), dict) else value
    return below


def _toml(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ClirbenchError(f"{path}: not valid TOML ({error}): correct the file") from error


def _line_of(text: str, place: tuple[int | str, ...]) -> int:
    """Number of the line with a key; if there is none, of the line with the key's table; if there is none, 1.

    ``place`` is pydantic's: ``("source", 1, "view")`` is the key ``view`` of the second ``[[source]]``, and ``("model", "freeze",
    0)`` the first value of ``freeze`` of ``[model]``.
    """
    if len(place) > 1 and isinstance(place[-1], int) and not re.search(rf"(?m)^\s*\[\[{place[-2]}\]\]", text):
        place = place[:-1]
    wanted = ".".join(part for part in place[:-1] if isinstance(part, str))
    index = next((part for part in place if isinstance(part, int)), 0)
    current, seen, table_line = "", -1, 1
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[\[?)\s*([\w.]+)", line):
            current = header[2]
            seen += current == wanted
        inside = current == wanted and (not wanted or seen == index)
        if inside and header:
            table_line = number
        if inside and place and re.match(rf"\s*{re.escape(str(place[-1]))}\s*=", line):
            return number
    return table_line
