"""Recipes: one TOML file says how a model is trained, and nothing else does."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clirbench.support.errors import ClirbenchError
from clirbench.support.files import reading
from clirbench.support.names import check_name

FORMAT = 1
SHIPPED = Path(__file__).parent / "recipes"
Share = Annotated[float, Field(ge=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ModelPart(_Part):
    """A transformer to start from: a hub name or a folder; lengths in tokens, prompts put before the texts.

    ``pooling`` is put on a plain transformer; ``model`` keeps what a sentence-transformers model has.
    """

    base: str
    revision: str | None = None
    pooling: Literal["mean", "cls", "model"] = "mean"
    max_length: Count = 256
    query_prompt: str = ""
    candidate_prompt: str = ""


class StaticPart(_Part):
    """A bag of subwords made from the data: vocabulary in pieces, vectors of ``dimensions``.

    ``corpus_bytes`` of text in each language train the tokenizer; ``longest_piece`` is in characters; texts are cut at
    ``max_length`` tokens in training. ``dropout`` is the share of tokens dropped from either side; ``same_text_dropout``
    that from
    the two sides where a batch pairs each text with itself. ``graph_rounds`` of smoothing over the lexicon keep
    ``graph_own`` of a token's own random vector, rows weighted by (1 + English count) to the ``graph_exponent``.
    ``damping`` flattens the spectrum of
    ``damping_texts`` training texts after training, ``norm_exponent`` the lengths of the vectors; ``bits`` is the width of a
    shipped weight.
    """

    vocabulary: Count
    dimensions: Count
    longest_piece: Count = 16
    corpus_bytes: Count = 4_000_000
    max_length: Count = 256
    dropout: Share = 0.1
    same_text_dropout: tuple[Share, Share] = (0.65, 0.35)
    graph_rounds: Annotated[int, Field(ge=0)] = 3
    graph_own: Share = 0.3
    graph_exponent: Weight = 0.4
    damping: Weight = 0.25
    norm_exponent: Annotated[float, Field(gt=0, le=1)] = 1.0
    damping_texts: Count = 22_000
    bits: Literal[4, 8] = 4


class BatchesPart(_Part):
    """Batches of ``size`` rows; see :class:`clirbench.training.batches.HybridBatchSampler`."""

    size: Count
    alpha: Share = 0.5
    language_sampling: Literal["uniform", "proportional"] = "uniform"
    exponent: Weight = 1.0
    language_pairs: Literal["row", "batch"] = "row"


class LossPart(_Part):
    """In-batch contrastive loss; the cosine is multiplied by ``scale``; a ``cached_mini_batch`` above 0 saves memory.

    ``directions``: ``forward`` sets each query's candidate against the other candidates (equation 1 of the paper),
    ``symmetric`` adds each candidate's query against the other queries, ``all`` sets each pair against every other text of
    the batch on either side.
    """

    scale: Positive
    directions: Literal["forward", "symmetric", "all"] = "forward"
    cached_mini_batch: Annotated[int, Field(ge=0)] = 0


class OptimizerPart(_Part):
    """AdamW, or lazy Adam on the rows that a batch touches (``sparse-adam``); ``warmup`` is a share of the steps."""

    name: Literal["adamw", "sparse-adam"] = "adamw"
    steps: Count
    learning_rate: Positive
    weight_decay: Weight = 0.0
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: Share = 0.0
    precision: Literal["auto", "float32"] = "auto"


class DevSource(_Part):
    """Topics held out of one file for the dev task, drawn among rows with at least ``languages`` languages."""

    file: str
    view: Literal["answer", "passage", "text"] = "answer"
    topics: Count
    languages: Count = 1


class DevPart(_Part):
    """The dev task: evaluated every ``every`` steps; ``patience`` evaluations without a better ``metric`` end the training."""

    every: Count
    metric: str = "multilingual.mAP"
    patience: Annotated[int, Field(ge=0)] = 0
    source: Annotated[tuple[DevSource, ...], Field(min_length=1)]


class SourcePart(_Part):
    """Training data of one kind: every batch comes from one source.

    ``monolingual`` and ``cross_lingual`` are its weights among the sources of either kind of batch (0: not used there).
    ``view`` says
    which columns are paired; ``entries`` joins 1 to ``longest`` short entries of one language pair, at most ``lists``
    lists per pair. Rows
    whose ``source`` starts with one of ``without_origins``, and the languages in ``without_languages``, are left out.
    """

    name: str
    files: Annotated[tuple[str, ...], Field(min_length=1)]
    view: Literal["text", "entries", "gloss", "answer", "passage"]
    monolingual: Weight = 0.0
    cross_lingual: Weight = 0.0
    longest: Count = 6
    lists: Count = 6_000
    without_origins: tuple[str, ...] = ()
    without_languages: tuple[str, ...] = ()


class Recipe(_Part):
    """A recipe as it stands in its file, with everything that decides what comes out.

    ``overlapping_rows``: whether rows that hold evaluation text stop the training, or are left out and counted.
    ``licences`` by file and ``spent`` (public test sets among the data) are for the model card.
    """

    format: Literal[1]
    name: Text
    description: Text
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    languages: Annotated[tuple[Text, ...], Field(min_length=1)]
    overlapping_rows: Literal["stop", "drop"] = "stop"
    model: ModelPart | None = None
    static: StaticPart | None = None
    batches: BatchesPart
    loss: LossPart
    optimizer: OptimizerPart
    dev: DevPart | None = None
    source: Annotated[tuple[SourcePart, ...], Field(min_length=1)]
    licences: Mapping[str, str] = Field(default_factory=dict)
    spent: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.model is None) == (self.static is None):
            raise ValueError("give either [model] or [static]")
        if (self.static is None) != (self.optimizer.name == "adamw"):
            raise ValueError("optimizer.name is sparse-adam with [static], adamw with [model]")
        if len(set(self.languages)) != len(self.languages):
            raise ValueError("'languages' names one twice")
        if self.static:
            self._check_static(self.static)
        check_name(self.name)
        names = [source.name for source in self.source]
        if len(set(names)) != len(names):
            raise ValueError("two sources have one name")
        alpha = self.batches.alpha
        if alpha > 0 and not any(source.monolingual for source in self.source):
            raise ValueError("alpha is above 0 but no source has a weight 'monolingual'")
        if alpha < 1 and not any(source.cross_lingual for source in self.source):
            raise ValueError("alpha is below 1 but no source has a weight 'cross_lingual'")
        return self

    def _check_static(self, part: StaticPart) -> None:
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
    """Read a recipe: a file, or a shipped one by its file name.

    Args:
        name: Path, or the name of a shipped recipe such as ``static.toml``.
        changes: Values that replace the file's, by dotted key, such as ``{"batches.alpha": 0.0}``.

    Returns:
        The recipe and the file that it came from.

    Raises:
        ClirbenchError: There is no such recipe, or a key is unknown, missing or wrong; the message names file and key.
    """
    path = Path(name)
    if not path.is_file():
        path = SHIPPED / str(name)
        if not path.is_file():
            raise ClirbenchError(f"no recipe '{name}': give a TOML file, or one of {', '.join(shipped_recipes())}")
    try:
        with reading(path, "check its permissions"):
            text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ClirbenchError(f"{path}: not valid TOML ({error}): correct the file") from error
    for key, value in (changes or {}).items():
        *tables, last = key.split(".")
        table = raw
        for part in tables:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ClirbenchError(f"{path}: '{part}' must be a table: write [{part}]")
        table[last] = value
    try:
        return Recipe.model_validate(as_tuples(raw)), path
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        if key in (changes or {}):
            raise ClirbenchError(f"'{key}' was given as {first['input']!r}: {message}: correct the option") from error
        line = _line_of(text, first["loc"])
        raise ClirbenchError(f"{path}:{line}: '{key or 'recipe'}': {message}: correct the file") from error
    except ClirbenchError as error:
        raise ClirbenchError(f"{path}: 'name': {error}") from error


def _line_of(text: str, place: tuple[int | str, ...]) -> int:
    """The line where a key stands, or else the table that should hold it; 1 for the recipe as a whole."""
    table = ".".join(part for part in place[:-1] if isinstance(part, str))
    number = next((part for part in place if isinstance(part, int)), 0)
    current, seen, found = "", -1, 1
    for i, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[\[?)\s*([\w.]+)", line):
            current = header[2]
            seen += current == table
        inside = current == table and (not table or seen == number)
        if inside and header:
            found = i
        if inside and place and re.match(rf"\s*{re.escape(str(place[-1]))}\s*=", line):
            return i
    return found


def as_tuples(value: Any) -> Any:
    """TOML arrays as tuples, so that a strict frozen model takes them."""
    if isinstance(value, list):
        return tuple(as_tuples(entry) for entry in value)
    if isinstance(value, dict):
        return {key: as_tuples(entry) for key, entry in value.items()}
    return value
