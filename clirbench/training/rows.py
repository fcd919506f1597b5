"""Rows of training data. A row is one topic, as one text or as question and answer, in one or more languages."""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from clirbench.support.errors import ClirbenchError, first_line
from clirbench.support.text_files import object_of_line, text_lines

# By view: the column of the queries, and the column of the candidates.
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
    """One topic of training data, with its query and its candidate by language.

    ``id`` is the column ``id``, or file and line if that column is missing. ``origin`` is the column ``source``, or empty.
    ``candidates`` is the same object as ``queries`` if the view reads one column for both.
    """

    id: str
    origin: str
    queries: Mapping[str, str]
    candidates: Mapping[str, str]


def resolve(name: str, folders: Sequence[Path]) -> str | Path:
    """The path of a file that a recipe names, in the first folder that has it; ``hf:ORG/NAME[:CONFIG]`` stays as it is.

    Raises:
        ClirbenchError: None of the folders has it.
    """
    if name.startswith(HUB):
        return name
    for folder in folders:
        if (path := folder / Path(name).expanduser()).exists():
            return path
    tried = ", ".join(map(str, folders))
    raise ClirbenchError(f"no training data '{name}' in {tried}: pass --data with the folder that holds it")


def read_rows(place: str | Path, view: str) -> Iterator[Row]:
    """Read training data through one view.

    A column maps languages to texts. A text that is null or blank counts as absent. If ``text`` lacks a language, the first entry
    of ``alternatives`` (lists of texts by language) replaces it.

    Args:
        place: A ``.jsonl``, ``.jsonl.gz`` or ``.parquet`` file, a data set saved by ``datasets``, a folder of any of them, or
            ``hf:ORG/NAME[:CONFIG]``, of which the split ``train`` is read.
        view: A key of :data:`VIEWS`.

    Yields:
        Rows with at least one query and at least one candidate; other rows are passed over.

    Raises:
        ClirbenchError: The place cannot be read, or a row has the wrong form. The message names file and line.
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
    """The texts of one column by language, absent ones left out."""
    if column not in raw:
        # A gloss or passage may be absent from a row; the text, question or answer may not.
        if column in ("gloss", "passage"):
            return {}
        raise ClirbenchError(f"{where}: no column '{column}': correct the row, or the source's 'view' in the recipe")
    texts: dict[str, str] = {}
    for language, text in _by_language(raw, column, where).items():
        key = f"{where}: '{column}.{language}'"
        if text is not None and not isinstance(text, str):
            raise ClirbenchError(f"{key} must be text")
        if text and _is_there(text, key):
            texts[language] = text
    # A lexicon entry may have several translations and no main one. Then the first translation is used.
    if column == "text":
        for language, others in _by_language(raw, "alternatives", where).items():
            key = f"{where}: 'alternatives.{language}'"
            if others is not None and not (isinstance(others, list) and all(isinstance(text, str) for text in others)):
                raise ClirbenchError(f"{key} must be a list of texts")
            if language not in texts and others and _is_there(others[0], key):
                texts[language] = others[0]
    return texts


def _by_language(raw: dict[str, Any], column: str, where: str) -> dict[str, Any]:
    value = raw.get(column)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ClirbenchError(f"{where}: '{column}' must be an object with texts by language")
    return value


def _is_there(text: str, key: str) -> bool:
    """Whether a text is more than blank. A text that cannot be written as UTF-8 is an error."""
    if not text.strip():
        return False
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ClirbenchError(f"{key} holds half a character ({error.reason}): correct the text") from error
    return True


def _raw_rows(place: str | Path) -> Iterator[tuple[str, Any]]:
    """Rows as they are stored, each with the place that messages name: file and line, or data set and number."""
    if isinstance(place, str):
        name, _, config = place.removeprefix(HUB).partition(":")
        yield from _numbered(place, lambda: datasets.load_dataset(name, config or None, split="train"))
    elif place.suffix == ".parquet" and not place.is_dir():
        yield from _numbered(place, lambda: datasets.Dataset.from_parquet(str(place)))
    elif not place.is_dir():
        yield from _json_lines(place)
    elif (place / "state.json").is_file() or (place / "dataset_dict.json").is_file():
        yield from _numbered(place, lambda: datasets.load_from_disk(str(place)))
    else:
        read = (".jsonl", ".jsonl.gz", ".parquet")
        files = [path for path in sorted(place.iterdir()) if path.is_dir() or path.name.endswith(read)]
        if not files:
            raise ClirbenchError(f"{place}: no .jsonl, .jsonl.gz or .parquet file, and no saved data set in it")
        for path in files:
            yield from _raw_rows(path)


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        for number, line in text_lines(path):
            if line.strip():
                yield f"{path}:{number}", object_of_line(line, f"{path}:{number}")
    except (OSError, EOFError, zlib.error) as error:
        raise ClirbenchError(f"{path}: cannot be read as JSON Lines ({error}): replace the file") from error


def _numbered(place: str | Path, load: Callable[[], Any]) -> Iterator[tuple[str, Any]]:
    """The rows of a data set of ``datasets``; if it has several splits, of the split ``train``."""
    try:
        rows = load()
    except Exception as error:
        raise ClirbenchError(
            f"{place}: cannot be loaded ({first_line(error)}): check the name, the network, or use a folder"
        ) from error
    if isinstance(rows, dict):
        if "train" not in rows:
            raise ClirbenchError(f"{place}: has no split 'train' ({', '.join(rows)}): name the split's own folder")
        rows = rows["train"]
    for number, row in enumerate(rows, 1):
        yield f"{place}:{number}", row
