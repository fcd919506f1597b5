"""Training rows: one topic each, with the same text, or question and answer, in one or more languages."""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clirbench.support.errors import ClirbenchError, first_line

# What a row's two sides are made of, by view: the column of the query side and that of the candidate side.
VIEWS: dict[str, tuple[str, str]] = {
    "text": ("text", "text"),
    "entries": ("text", "text"),
    "gloss": ("text", "gloss"),
    "answer": ("question", "answer"),
    "passage": ("question", "passage"),
}
HUB = "hf:"


@dataclass(frozen=True, slots=True)
class Row:
    """One topic of training data.

    Attributes:
        id: The row's ``id``, or its place in the file.
        origin: The row's ``source``, or empty.
        queries: Query text by language.
        candidates: Candidate text by language; the same object as ``queries`` where a row has one text only.
    """

    id: str
    origin: str
    queries: Mapping[str, str]
    candidates: Mapping[str, str]


def resolve(name: str, folders: Iterable[Path]) -> str | Path:
    """Where a recipe's file is: ``hf:ORG/NAME[:CONFIG]`` as it is, a path below the first folder that has it.

    Raises:
        ClirbenchError: None of the folders has it.
    """
    if name.startswith(HUB):
        return name
    tried = []
    for folder in folders:
        path = folder / Path(name).expanduser()
        if path.exists():
            return path
        tried.append(str(folder))
    raise ClirbenchError(f"no training data '{name}' in {', '.join(tried)}: pass --data with the folder that holds it")


def read_rows(place: str | Path, view: str) -> Iterator[Row]:
    """Read training data through one view.

    Args:
        place: A ``.jsonl``, ``.jsonl.gz`` or ``.parquet`` file, a data set saved by ``datasets``, a folder of any of them, or
            ``hf:ORG/NAME[:CONFIG]`` on the hub (its ``train`` split).
        view: One of :data:`VIEWS`. A column of texts is a mapping from language to text; a text that is null or blank counts as
            absent. ``alternatives`` (lists by language) stands in for languages that ``text`` lacks, with its first entry.

    Yields:
        Rows that have both sides in at least one language each; the others are passed over.

    Raises:
        ClirbenchError: The place cannot be read, or a row is not of that form; the message names file and line.
    """
    query, candidate = VIEWS[view]
    for where, raw in _raw_rows(place):
        if not isinstance(raw, dict):
            raise ClirbenchError(f"{where}: a row must be an object with '{query}'")
        queries = _texts(raw, query, where)
        candidates = queries if query == candidate else _texts(raw, candidate, where)
        if queries and candidates:
            yield Row(str(raw.get("id") or where), str(raw.get("source") or ""), queries, candidates)


def _texts(raw: dict[str, Any], column: str, where: str) -> dict[str, str]:
    if column not in raw:
        # A gloss or passage may be absent from a row; the text, question or answer may not.
        if column in ("gloss", "passage"):
            return {}
        raise ClirbenchError(f"{where}: no column '{column}': correct the row, or the source's 'view' in the recipe")
    found: dict[str, str] = {}
    for language, text in _by_language(raw, column, where).items():
        if text is not None and not isinstance(text, str):
            raise ClirbenchError(f"{where}: '{column}.{language}' must be text")
        _keep(found, language, text, f"{where}: '{column}.{language}'")
    if column == "text":
        for language, texts in _by_language(raw, "alternatives", where).items():
            if texts is not None and not (isinstance(texts, list) and all(isinstance(text, str) for text in texts)):
                raise ClirbenchError(f"{where}: 'alternatives.{language}' must be a list of texts")
            if language not in found:
                _keep(found, language, next(iter(texts or ()), None), f"{where}: 'alternatives.{language}'")
    return found


def _by_language(raw: dict[str, Any], column: str, where: str) -> dict[str, Any]:
    value = raw.get(column)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ClirbenchError(f"{where}: '{column}' must be an object with texts by language")
    return value


def _keep(found: dict[str, str], language: str, text: str | None, what: str) -> None:
    if text and text.strip():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ClirbenchError(f"{what} holds half a character ({error.reason}): correct the text") from error
        found[language] = text


def _raw_rows(place: str | Path) -> Iterator[tuple[str, Any]]:
    if isinstance(place, str):
        yield from _from_hub(place.removeprefix(HUB))
    elif place.is_dir():
        if (place / "state.json").is_file() or (place / "dataset_dict.json").is_file():
            yield from _saved(place)
            return
        files = [
            path
            for path in sorted(place.iterdir())
            if path.is_dir() or path.name.endswith((".jsonl", ".jsonl.gz", ".parquet"))
        ]
        if not files:
            raise ClirbenchError(f"{place}: no .jsonl, .jsonl.gz or .parquet file, and no saved data set in it")
        for path in files:
            yield from _raw_rows(path)
    elif place.suffix == ".parquet":
        from datasets import Dataset  # noqa: PLC0415

        yield from _numbered(str(place), _open(lambda: Dataset.from_parquet(str(place)), str(place)))
    else:
        yield from _json_lines(place)


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                where = f"{path}:{number}"
                if line.strip():
                    try:
                        yield where, json.loads(line)
                    except (ValueError, RecursionError) as error:
                        reason = getattr(error, "msg", type(error).__name__)
                        raise ClirbenchError(f"{where}: not JSON ({reason}): correct or remove the line") from error
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ClirbenchError(f"{path}: cannot be read as UTF-8 JSON Lines ({error}): replace the file") from error


def _saved(folder: Path) -> Iterator[tuple[str, Any]]:
    from datasets import load_from_disk  # noqa: PLC0415

    found = _open(lambda: load_from_disk(str(folder)), str(folder))
    if isinstance(found, dict):
        if "train" not in found:
            raise ClirbenchError(f"{folder}: has no split 'train' ({', '.join(found)}): name the split's own folder")
        found = found["train"]
    yield from _numbered(str(folder), found)


def _from_hub(name: str) -> Iterator[tuple[str, Any]]:
    from datasets import load_dataset  # noqa: PLC0415

    repository, _, config = name.partition(":")
    found = _open(lambda: load_dataset(repository, config or None, split="train"), f"{HUB}{name}")
    yield from _numbered(f"{HUB}{name}", found)


def _open(load: Any, label: str) -> Any:
    try:
        return load()
    except Exception as error:
        raise ClirbenchError(
            f"{label}: cannot be loaded ({first_line(error)}): check the name, the network, or use a folder"
        ) from error


def _numbered(label: str, rows: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    for number, row in enumerate(rows, 1):
        yield f"{label}:{number}", row
