"""What a build keeps of each submission in the cache, so that an unchanged one is neither read nor computed again.

A submission is read once, in a process of its own: its page's values, its scripts and what each topic adds to its numbers are
computed from one reading, and written below a key. The key is the hash of everything that decides them. The board then needs
small parts only, and no ranks.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, is_dataclass
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from pydantic import BaseModel

from clirbench.board.entries import Entry, Shares, read_entry, shares_of
from clirbench.board.site.model_page import measured_task, mteb_task, reported_task
from clirbench.board.site.questions import has_questions, questions_file, questions_script
from clirbench.board.site.render import rendered, templates_digest
from clirbench.board.site.scripts import opened, pair_values, topics_file, topics_script
from clirbench.metrics.scores import headline_tables
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.results.file_names import RANKS_ENDING, mteb_result_files
from clirbench.results.read import read_mteb_result
from clirbench.results.result import Result, with_ranks
from clirbench.results.schema import Document, Reported
from clirbench.submissions.accepted import CheckRecord
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import sha256_of
from clirbench.support.paths import cache_dir
from clirbench.tasks.task_file import board_columns, board_tasks, settled_tasks

# Submissions that the cache keeps. One takes about half a megabyte.
KEPT = 1_000
_PLAIN = frozenset((str, int, float, bool, type(None)))
_DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, ClirbenchError)
_RECORD, _SHARES, _ROWS, _PAGE = "entry.json", "shares.npz", "rows.json", "page.json"


def kept_dir() -> Path:
    """The folder of what builds keep, with one folder for each submission. It is safe to delete."""
    return cache_dir() / "site"


@contextmanager
def store_root() -> Iterator[Path]:
    """Where a build keeps its submissions: :func:`kept_dir`, or, if that cannot be written, a folder for this build alone."""
    root = kept_dir()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=root):
            pass
    except OSError:
        with TemporaryDirectory(prefix="clirbench-") as own:
            yield Path(own)
        return
    yield root


class StoredResult(Result):
    """A result whose ranks are read from its file each time that they are asked for, because a board of many holds none.

    Its document lacks the numbers by pair of languages and the counts of queue jumps.
    """

    def __init__(self, document: Document, path: Path) -> None:
        object.__setattr__(self, "document", document)
        object.__setattr__(self, "path", path)

    @property
    def ranks(self) -> GoldRanks:
        """The ranks, from their file."""
        return self._read().ranks

    @property
    def ranks_file(self) -> bytes:
        """The bytes of their file."""
        return self._read().ranks_file

    def _read(self) -> Result:
        path: Path = self.path  # type: ignore[attr-defined]
        return with_ranks(self.document, path)


@dataclass(frozen=True)
class Kept:
    """A submission as the board needs it, and what a build has written of it.

    Attributes:
        entry: The submission. Its results are of :class:`StoredResult`.
        key: The hash of everything that decides what is kept.
        rows: What the scripts of the board hold of it: "opened" and "pairs", each by task.
    """

    entry: Entry
    key: str
    rows: Mapping[str, Mapping[str, Any]]


class KeptPage(NamedTuple):
    """What a model's page is made of, its scripts by kind ("topics" or "questions") and task, and its files.

    A file is its name, its bytes and its SHA-256.
    """

    tasks: list[tuple[str, str, dict[str, Any]]]
    mteb_results: list[dict[str, Any]]
    scripts: dict[str, dict[str, bytes]]
    files: list[tuple[str, int, str]]


class Store:
    """What is kept, below a folder. Whatever is damaged there counts as absent."""

    def __init__(self, root: Path) -> None:
        self.root, self._record = root, CheckRecord()

    def key(self, folder: Path) -> str:
        """The hash of everything that decides what is kept of a submission: what decides its check, and the templates."""
        return sha256(f"{self._record.key(folder)} {templates_digest()}".encode()).hexdigest()

    def recall(self, folder: Path) -> Kept | None:
        """What is kept of a submission; None if it is new, if anything has changed, or if its record is damaged."""
        key = self.key(folder)
        try:
            shares = _shares(self.read(key, _SHARES))
            kept = Kept(self.entry(folder, key, shares), key, json.loads(self.read(key, _ROWS)))
            # It was used, so it is not the first to go.
            os.utime(self.root / key)
        except _DAMAGED:
            return None
        return kept

    def entry(self, folder: Path, key: str, shares: Shares | None = None) -> Entry:
        """A submission as the board needs it; one of ``_DAMAGED`` if its record is absent or damaged."""
        record = json.loads(self.read(key, _RECORD))
        results = {task: _stored(folder, task, text) for task, text in record["results"].items()}
        return read_entry(folder, results, shares)

    def prepare(self, folder: Path) -> None:
        """Read a submission and keep what a build needs of it.

        Raises:
            ClirbenchError: A file was removed or changed while it was read, or a result is not of its format.
            OSError: The store cannot be written.
        """
        key = self.key(folder)
        examined = self._record.recall(folder)
        made = _made(folder, checked=examined is not None and not examined.errors)
        if self.key(folder) != key:
            raise ClirbenchError(f"{folder}: was changed while it was read: build again")
        self._write(key, made)

    def read(self, key: str, name: str) -> bytes:
        """A file that is kept; an OSError or a ValueError if it is absent or damaged."""
        content = (self.root / key / name).read_bytes()
        digest, _, content = content.partition(b"\n")
        if digest != sha256(content).hexdigest().encode():
            raise ValueError(f"{name} is damaged")
        return content

    def model(self, kept: Kept) -> KeptPage:
        """What a model's page and scripts are made of. What is absent or damaged is made again."""
        for attempt in range(2):
            try:
                page = unpacked(json.loads(self.read(kept.key, _PAGE)))
                scripts = {
                    "topics": {task: self.read(kept.key, topics_file(task)) for task in page["topics"]},
                    "questions": {task: self.read(kept.key, questions_file(task)) for task in page["questions"]},
                }
                return KeptPage(page["tasks"], page["mteb_results"], scripts, page["files"])
            except _DAMAGED:
                if attempt:
                    raise
                self.prepare(kept.entry.folder)
        raise AssertionError

    def trim(self) -> None:
        """Remove what was used longest ago, if there is too much."""
        with suppress(OSError):
            kept = sorted((path.stat().st_mtime_ns, path) for path in self.root.iterdir())
            for _, path in kept[: max(0, len(kept) - KEPT)]:
                shutil.rmtree(path, ignore_errors=True)

    def _write(self, key: str, files: Mapping[str, bytes]) -> None:
        part = self.root / f".{key[:16]}.{secrets.token_hex(8)}.part"
        part.mkdir(parents=True)
        try:
            for name, content in files.items():
                (part / name).write_bytes(sha256(content).hexdigest().encode() + b"\n" + content)
            # Damaged files of this key give way. Another build may write the same at the same time: either may win.
            shutil.rmtree(self.root / key, ignore_errors=True)
            with suppress(OSError):
                part.replace(self.root / key)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def prepare(folder: Path, root: Path) -> None:
    """:meth:`Store.prepare` in a process that works for a build."""
    with settled_tasks():
        _opened(root).prepare(folder)


@lru_cache(maxsize=1)
def _opened(root: Path) -> Store:
    # Its key reads all of the code, once.
    return Store(root)


def _made(folder: Path, checked: bool = False) -> dict[str, bytes]:
    """Everything that is kept of a submission, as files by name, from one reading and one computation of its tables."""
    entry, files = read_entry(folder, checked=checked), {}
    tasks: list[tuple[str, str, dict[str, Any]]] = []
    shares: Shares = {}
    for i, (task, result) in enumerate(entry.results.items()):
        if isinstance(result, Reported):
            tasks.append((task, "reported", reported_task(result)))
            continue
        document = result.document
        metrics = dict.fromkeys(
            ("mAP", document.main_metric, *(metric for kind, metric in board_columns(task).headline if kind != "bias"))
        )
        tables = headline_tables(
            result.ranks, document.counts.candidates, list(metrics), ["rank_distance"], depth=document.encoder.depth
        )
        values = measured_task(result, f"t{i}", entry.model.reproduce, tables)
        tasks.append((task, "measured", _part(values, task, folder.name, entry)))
        shares[task] = shares_of(result, task, tables)
        if board_tasks()[task].across_languages:
            files[topics_file(task)] = topics_script(result, folder.name, tables).encode()
        if has_questions(result):
            files[questions_file(task)] = questions_script(result, folder.name).encode()
    mteb = mteb_result_files(sorted(path.name for path in folder.iterdir()))
    page = {
        "tasks": tasks,
        "mteb_results": [mteb_task(read_mteb_result(folder / name)) for name in mteb],
        "topics": [task for task in entry.results if topics_file(task) in files],
        "questions": [task for task in entry.results if questions_file(task) in files],
        "files": [
            (path.name, path.stat().st_size, sha256_of(path)) for path in sorted(folder.iterdir()) if _given(path)
        ],
    }
    rows = {
        "opened": {task: opened(entry, task) for task in entry.results},
        "pairs": {task: pairs for task in entry.results if (pairs := pair_values(entry, task)) is not None},
    }
    results = {
        task: (_slim(result.document, task) if isinstance(result, Result) else result).model_dump_json()
        for task, result in entry.results.items()
    }
    return {
        **files,
        _RECORD: json.dumps({"results": results}).encode(),
        _SHARES: _npz(shares),
        _ROWS: json.dumps(rows).encode(),
        _PAGE: json.dumps(packed(page)).encode(),
    }


def _part(values: dict[str, Any], task: str, name: str, entry: Entry) -> dict[str, Any]:
    """The part of a model's page that its results alone decide, as markup, and what the rest of the page asks of it."""
    html = rendered(
        f"models/{name}.html", "own_part.html", task=task, t=values, folder=name, reproduce=entry.model.reproduce
    )
    # The template escapes what stands in the results.
    return {"html": Markup(html), "matrix": bool(values["pairs"] or values["scripts"])}  # noqa: S704


def _given(path: Path) -> bool:
    """Whether a file of a submission is there to download."""
    return path.suffix in (".json", ".toml") or path.name.endswith(RANKS_ENDING)


def _slim(document: Document, task: str) -> Document:
    """A document without what the board does not show: numbers by pair, queue jumps, and metrics that are not the board's."""
    shown = set(board_columns(task).headline) | {board_columns(task).main}
    by_language = {
        language: {
            setting: {name: value for name, value in numbers.items() if (setting, name) in shown}
            for setting, numbers in settings.items()
        }
        for language, settings in document.per_language.items()
    }
    empty: dict[str, Any] = {"per_pair": {}, "queue_jump": {}, "queue_jump_ratio": {}, "micro": {}, "lengths": None}
    if document.compact is not None:
        # Its matrices are as long as those of the other form.
        empty |= {"compact": document.compact.model_copy(update={"pairs": [], "queue_jump": []})}
    return document.model_copy(update={**empty, "indistinguishable": None, "per_language": by_language})


def _stored(folder: Path, task: str, text: str) -> Result | Reported:
    if json.loads(text)["origin"] == "reported":
        return Reported.model_validate_json(text)
    return StoredResult(Document.model_validate_json(text), folder / f"{task}.json")


def _npz(shares: Shares) -> bytes:
    sink = BytesIO()
    np.savez(sink, **{"\n".join((task, *key)): v for task, one in shares.items() for key, v in one.items()})  # type: ignore[arg-type]
    return sink.getvalue()


def _shares(content: bytes) -> Shares:
    shares: Shares = {}
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        for name in arrays.files:
            task, setting, metric = name.split("\n")
            shares.setdefault(task, {})[setting, metric] = arrays[name]
    return shares


def packed(value: Any) -> dict[str, Any]:
    """Values of a page as plain values for JSON, and apart from them the places of those that are markup.

    Markup is told from text by its place alone, so no text of a submission can pass for markup.
    """
    markup: list[list[str | int]] = []

    def plain(one: Any, place: tuple[str | int, ...]) -> Any:
        # Most values are plain already. Markup is a kind of text, but not of this type.
        if type(one) in _PLAIN:
            return one
        if isinstance(one, Markup):
            markup.append(list(place))
            return str(one)
        if isinstance(one, BaseModel):
            return one.model_dump(mode="json")
        if is_dataclass(one) and not isinstance(one, type):
            return {name: plain(inner, (*place, name)) for name, inner in vars(one).items()}
        if isinstance(one, Mapping):
            return {str(key): plain(inner, (*place, str(key))) for key, inner in one.items()}
        if isinstance(one, np.generic):
            return one.item()
        if isinstance(one, Sequence) and not isinstance(one, str):
            return [plain(inner, (*place, i)) for i, inner in enumerate(one)]
        return one

    return {"values": plain(value, ()), "markup": markup}


def unpacked(kept: Mapping[str, Any]) -> Any:
    """What :func:`packed` was given: dataclasses and documents as dicts, which templates read alike."""
    for *path, last in kept["markup"]:
        holder = kept["values"]
        for key in path:
            holder = holder[key]
        # It was markup when it was packed.
        holder[last] = Markup(holder[last])  # noqa: S704
    return kept["values"]
