"""What a build keeps of each submission in the cache: its page's values and its scripts, beside what the board needs of it.

They are computed from one reading, and kept under a hash of everything that decides them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from pydantic import BaseModel

from clirbench.board.entries import Entry, Shares, read_entry, shares_of
from clirbench.board.kept_entries import KeptEntries, refuse_changed
from clirbench.board.kept_files import DAMAGED, KeptFiles
from clirbench.board.site.model_page import measured_task, mteb_task, reported_task
from clirbench.board.site.questions import has_questions, questions_file, questions_script
from clirbench.board.site.render import rendered, templates_digest
from clirbench.board.site.scripts import opened, pair_values, topics_file, topics_script
from clirbench.metrics.scores import headline_tables
from clirbench.results.file_names import RANKS_ENDING, mteb_result_files
from clirbench.results.read import read_mteb_result
from clirbench.results.schema import Reported
from clirbench.support.files import sha256_of
from clirbench.tasks.task_file import board_columns, board_tasks, settled_tasks

# Submissions whose pages the cache keeps. One takes about half a megabyte.
KEPT = 1_000
_PLAIN = frozenset((str, int, float, bool, type(None)))
# The folder of the store; its files of each submission, beside those of its scripts.
_PAGES, _ROWS, _PAGE = "site", "rows.json", "page.json"


@dataclass(frozen=True)
class Kept:
    """A submission as the board needs it, and what a build has written of it.

    Attributes:
        entry: The submission. Its results are of :class:`clirbench.board.kept_entries.StoredResult`.
        key: The hash of everything that decides what a check, or a board, makes of it.
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
    """What a build keeps, below a folder. Whatever is damaged there counts as absent.

    A submission has the key of :class:`clirbench.submissions.accepted.CheckRecord`; what its page is made of depends on the
    templates as well.
    """

    def __init__(self, root: Path) -> None:
        self._entries, self._pages = KeptEntries(root), KeptFiles(root / _PAGES, KEPT)

    def recall(self, folder: Path, key: str) -> Kept | None:
        """What is kept of a submission under its key; None if it is new, if anything has changed, or if its record is damaged."""
        entry = self._entries.recall(folder, key)
        try:
            rows = json.loads(self._pages.read(_page_key(key), _ROWS))
            self._pages.used(_page_key(key))
        except DAMAGED:
            return None
        return Kept(entry, key, rows) if entry else None

    def prepare(self, folder: Path, key: str) -> None:
        """Read a submission and keep what a build needs of it.

        Raises:
            ClirbenchError: A file was removed or changed since its check, or a result is not of its format.
            OSError: The store cannot be written.
        """
        entry, shares, files = _made(folder)
        refuse_changed(folder, key)
        self._entries.keep(key, entry, shares)
        self._pages.write(_page_key(key), files)

    def model(self, kept: Kept) -> KeptPage:
        """What a model's page and scripts are made of. What is absent or damaged is made again."""
        for attempt in range(2):
            try:
                read = partial(self._pages.read, _page_key(kept.key))
                page = unpacked(json.loads(read(_PAGE)))
                scripts = {
                    "topics": {task: read(topics_file(task)) for task in page["topics"]},
                    "questions": {task: read(questions_file(task)) for task in page["questions"]},
                }
                return KeptPage(page["tasks"], page["mteb_results"], scripts, page["files"])
            except DAMAGED:
                if attempt:
                    raise
                self.prepare(kept.entry.folder, kept.key)
        raise AssertionError

    def trim(self, in_use: int) -> None:
        """Remove what was used longest ago, if there is too much. As many submissions as are ``in_use`` stay."""
        self._entries.trim(in_use)
        self._pages.trim(in_use)


def prepare(asked: tuple[Path, str], root: Path) -> None:
    """:meth:`Store.prepare` of a folder and its key, in a process that works for a build."""
    with settled_tasks():
        Store(root).prepare(*asked)


def _page_key(key: str) -> str:
    return sha256(f"{key} {templates_digest()}".encode()).hexdigest()


def _made(folder: Path) -> tuple[Entry, Shares, dict[str, bytes]]:
    """A submission and everything that is kept of it, from one reading and one computation of its tables.

    Returns:
        The submission, what each topic adds to its numbers, and the files by name.
    """
    entry, files = read_entry(folder), {}
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
    return entry, shares, {**files, _ROWS: json.dumps(rows).encode(), _PAGE: json.dumps(packed(page)).encode()}


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
