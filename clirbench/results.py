"""Results: one JSON file and one ranks file per model and task; reading and writing them."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from clirbench.atomic import write_atomically
from clirbench.errors import ClirbenchError, printable
from clirbench.gold_ranks import GoldRanks
from clirbench.ranks_file import decode_ranks
from clirbench.schema import Document, EstimatePart, Reported, Submitted, TaskPart, problem, unreadable
from clirbench.scores import Scores, unknown_names

Parsed = TypeVar("Parsed")
RANKS_ENDING = ".ranks.parquet"
# Scores of a TREC run, which stand beside results and are none: there are no ranks behind them.
RUN_ENDING = ".run.json"


@dataclass(frozen=True)
class Result:
    """Scores of one model on one task, with the ranks they come from.

    Attributes:
        document: What the JSON file holds.
        ranks: What the ranks file holds.
        ranks_file: Its bytes, whose checksum the document states.
    """

    document: Document
    ranks: GoldRanks
    ranks_file: bytes

    def score(self, setting: str, metric: str) -> float | None:
        """A headline number, such as ``score("multilingual", "mAP")`` or ``score("bias", "rank_distance")``.

        Raises:
            ClirbenchError: The setting or the metric was not run.
        """
        headline = self.document.headline
        if setting not in headline or metric not in headline[setting]:
            choices = ", ".join(headline.get(setting, headline))
            raise ClirbenchError(f"the result holds no {setting} {metric}: choose from {choices}")
        return headline[setting][metric].value

    def to_dict(self) -> dict[str, Any]:
        """The document as plain values, ready for JSON."""
        left_out = {"corpus"} if self.document.corpus is None else None
        return self.document.model_dump(mode="json", exclude=left_out)

    def save(self, folder: str | Path, *, force: bool = False) -> Path:
        """Write ``<folder>/<org>__<model>/<task>.json`` and its ranks file, both atomically, the JSON last.

        Args:
            folder: Folder for results.
            force: Replace a result of another run, or of a model without a revision.

        Returns:
            Path of the JSON file.

        Raises:
            ClirbenchError: The folder cannot be written, or another run's result is there.
        """
        path = Path(folder) / result_path(self.document)
        if path.exists() and not force:
            there = read_document(path)
            if there.identity != self.document.identity or self.document.model.revision is None:
                raise ClirbenchError(
                    f"{path} holds another run: pass force=True to replace it, or give the model a name"
                )
        text = json.dumps(self.to_dict(), ensure_ascii=False, indent=1, allow_nan=False)
        try:
            # Never an old JSON beside new ranks: whoever is killed in between leaves no result, and runs again.
            path.unlink(missing_ok=True)
            write_atomically(path.with_name(self.document.ranks.file), self.ranks_file)
            write_atomically(path, (text + "\n").encode())
        except OSError as error:
            reason = f"cannot write {path} ({error.strerror})"
            raise ClirbenchError(f"{reason}: choose another folder with --output") from error
        return path

    def to_pandas(self) -> Any:
        """Every score as one row of a pandas DataFrame; see :func:`clirbench.notebook.as_pandas`."""
        from clirbench.notebook import as_pandas  # noqa: PLC0415

        return as_pandas(self)

    def plot(self, metric: str | None = None) -> Any:
        """The heat map of language pairs as a matplotlib figure; see :func:`clirbench.notebook.as_figure`."""
        from clirbench.notebook import as_figure  # noqa: PLC0415

        return as_figure(self, metric)

    def hardest(self, n: int = 10, language: str | None = None, task: str | None = None) -> Any:
        """The topics where a language fails while others succeed; see :func:`clirbench.notebook.hardest`."""
        from clirbench.notebook import hardest  # noqa: PLC0415

        return hardest(self, n, language, task)

    def _repr_html_(self) -> str:
        """What a notebook shows: the headline, and the heat map of language pairs."""
        from clirbench.notebook import as_html  # noqa: PLC0415

        return as_html(self)

    def __repr__(self) -> str:
        values = {
            f"{setting} {name}": round(estimate.value, 4)
            for setting, numbers in self.document.headline.items()
            for name, estimate in numbers.items()
            if name in ("mAP", "rank_distance") and estimate.value is not None
        }
        return f"Result({self.document.model.name!r}, {self.document.task.id!r}, {values})"


def model_folder(name: str) -> str:
    """Folder name of a model: ``org__model``, in letters that every file system takes."""
    return "__".join(re.sub(r"[^\w.-]", "-", part) for part in name.strip("/").split("/"))


def run_folder(name: str, transform: str | None) -> str:
    """Folder name of a model's results: with a transform, the model's and what was done to its vectors."""
    return model_folder(name) + (f"+{transform.replace(':', '-')}" if transform else "")


def result_stem(task: TaskPart, task_settings: tuple[str, ...]) -> str:
    """File name of a result without its ending: the task, and for a restricted run what it was restricted to."""
    if task.complete:
        return str(task.id)
    settings = [] if set(task.settings) == set(task_settings) else ["-".join(task.settings)]
    return "+".join([task.id, "-".join(task.languages), *settings])


def result_path(document: Document) -> Path:
    """Path of a result below the results folder."""
    folder = run_folder(document.model.name, document.encoder.transform)
    return Path(folder) / f"{document.ranks.file.removesuffix(RANKS_ENDING)}.json"


def headline_of(scores: Scores) -> dict[str, dict[str, EstimatePart]]:
    """The headline of computed scores, as a document holds it."""
    return {
        setting: {name: EstimatePart(value=e.value, low=e.low, high=e.high) for name, e in numbers.items()}
        for setting, numbers in scores.headline.items()
    }


def read_result(path: str | Path) -> Result:
    """Read a result and its ranks file.

    Raises:
        ClirbenchError: A file is missing, is not a result of this format, or the two do not belong together.
    """
    path = Path(path)
    return with_ranks(read_document(path), path)


def with_ranks(document: Document, path: Path) -> Result:
    """A document, read from ``path``, with the ranks file beside it.

    Raises:
        ClirbenchError: That is missing, or does not belong to it.
    """
    if Path(document.ranks.file).name != document.ranks.file or document.ranks.file in ("", ".", ".."):
        raise ClirbenchError(
            f"{path}: 'ranks.file' must be a plain file name beside it, not {document.ranks.file[:80]!a}"
        )
    ranks_path = path.with_name(document.ranks.file)
    try:
        content = _bytes(ranks_path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClirbenchError(f"{ranks_path}: cannot be read ({reason}): put the ranks file back") from error
    if hashlib.sha256(content).hexdigest() != document.ranks.sha256:
        raise ClirbenchError(
            f"{ranks_path}: its SHA-256 is not 'ranks.sha256' of {path.name}: one of the two was changed"
        )
    return Result(document, decode_ranks(content, document, ranks_path), content)


def read_document(path: Path) -> Document:
    """Read a result's JSON file, strictly.

    Raises:
        ClirbenchError: It cannot be read, is not JSON, repeats a key, or does not follow the schema.
    """
    try:
        content = _bytes(path)
    except OSError as error:
        raise ClirbenchError(f"{path}: cannot be read ({error.strerror}): give the path of a result JSON") from error
    document = parse_submitted(content, path)
    if not isinstance(document, Document):
        raise ClirbenchError(f"{path}: holds reported figures, without ranks: give a result of clirbench run")
    return document


def _bytes(path: Path) -> bytes:
    # Opening a pipe would wait for ever.
    if path.exists() and not path.is_file():
        raise OSError(0, "not a file", str(path))
    return path.read_bytes()


def parse_submitted(content: bytes, path: Path) -> Document | Reported:
    """A document from the bytes of a JSON file, strictly; ``path`` is only what messages call it.

    Raises:
        ClirbenchError: It is not JSON in UTF-8, repeats a key, or does not follow the schema.
    """
    try:
        refuse_repeats(content)
        document = Submitted.validate_json(content)
    except ValidationError as error:
        remedy = "compare with `clirbench schema`, or run the model again"
        raise ClirbenchError(f"{path}: {problem(error)}: {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise ClirbenchError(f"{path}: not valid JSON ({unreadable(error)}): run the model again") from error
    if isinstance(document, Document):
        for key, name in unknown_names(document.task.metrics, document.task.bias):
            raise ClirbenchError(
                f"{path}: 'task.{key}' has '{printable(name[:40])}': upgrade clirbench, or run the model again"
            )
    return document


def parse_strictly(content: bytes, path: Path, validate: Callable[[bytes], Parsed], remedy: str) -> Parsed:
    """What a model of pydantic makes of the bytes of a JSON file; ``path`` is only what messages call it.

    Raises:
        ClirbenchError: It is not JSON in UTF-8, repeats a key, or does not follow the schema; ``remedy`` ends the line.
    """
    try:
        refuse_repeats(content)
        return validate(content)
    except ValidationError as error:
        raise ClirbenchError(f"{path}: {problem(error)}: {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise ClirbenchError(f"{path}: not valid JSON ({unreadable(error)}): {remedy}") from error


def other_run(first: Document, second: Document) -> str | None:
    """In which part two results say that they are of different runs, "model" or "encoder"; None where they are of one."""
    return next((part for part in ("model", "encoder") if getattr(first, part) != getattr(second, part)), None)


def refuse_repeats(content: bytes) -> None:
    """Fail where JSON repeats a key: readers would disagree on which value counts.

    Raises:
        ValueError: It does, or it is not JSON in UTF-8.
        RecursionError: It is nested too deeply.
    """
    json.loads(content.decode("utf-8"), object_pairs_hook=_no_repeats)


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key '{key[:80]}' stands twice")
        found[key] = value
    return found
