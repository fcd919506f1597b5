"""Submissions as the board needs them, kept in the cache: an unchanged one is neither read nor computed again.

A submission is read once, in a process of its own: what each topic adds to its numbers is computed, and its result is kept
without what the board does not show. So a board of many submissions holds no ranks. The leaderboard and the site share it.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from clirbench.board.crew import Crew
from clirbench.board.entries import Entry, Shares, read_entry, shares_of
from clirbench.board.folders import Accepted
from clirbench.board.kept_files import DAMAGED, KeptFiles, kept_root, writable_root
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.results.result import Result, with_ranks
from clirbench.results.schema import Document, Reported
from clirbench.submissions.accepted import CheckRecord
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import Reporter, Silent
from clirbench.tasks.task_file import board_columns, settled_tasks

# Submissions that the cache keeps. One takes about a tenth of a megabyte.
KEPT = 5_000
_RECORD, _SHARES = "entry.json", "shares.npz"
_PHASE, _MANY = "read (submissions)", 50
_Kept = TypeVar("_Kept")


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


class KeptEntries:
    """The submissions that are kept below a folder, by the key that :class:`clirbench.submissions.accepted.CheckRecord` gives."""

    def __init__(self, root: Path) -> None:
        self._files = KeptFiles(root / "entries", KEPT)

    def recall(self, folder: Path, key: str) -> Entry | None:
        """A submission as the board needs it; None if it is not kept, or damaged. Its results are of :class:`StoredResult`."""
        try:
            record = json.loads(self._files.read(key, _RECORD))
            shares = _shares(self._files.read(key, _SHARES))
            results = {task: _stored(folder, task, text) for task, text in record["results"].items()}
            entry = read_entry(folder, results, shares)
            self._files.used(key)
        except DAMAGED:
            return None
        return entry

    def keep(self, key: str, entry: Entry, shares: Shares) -> None:
        """Keep a submission that was read, with what each topic adds to its numbers; an OSError if that cannot be written."""
        results = {
            task: (_slim(result.document, task) if isinstance(result, Result) else result).model_dump_json()
            for task, result in entry.results.items()
        }
        self._files.write(key, {_RECORD: json.dumps({"results": results}).encode(), _SHARES: _npz(shares)})

    def trim(self, in_use: int) -> None:
        """Remove what was used longest ago, if there is too much. As many submissions as are ``in_use`` stay."""
        self._files.trim(in_use)


def kept_entries(accepted: Accepted, reporter: Reporter | None = None) -> list[Entry]:
    """The accepted submissions as the board needs them, in their order. Those that are not kept are read, side by side.

    Raises:
        ClirbenchError: A submission was changed since its check, or the cache was emptied meanwhile.
    """
    keys = {path: accepted.record.key_of(path) for path in accepted.paths}
    with writable_root() as root, Crew() as crew:
        kept = KeptEntries(root)
        work = partial(_prepare, root=root)
        entries = recalled(keys, kept.recall, lambda new: crew.run(work, new), reporter or Silent())
        kept.trim(len(entries))
    return entries


def recalled(
    keys: Mapping[Path, str],
    recall: Callable[[Path, str], _Kept | None],
    prepare: Callable[[Sequence[tuple[Path, str]]], Iterable[None]],
    reporter: Reporter,
) -> list[_Kept]:
    """What is kept of each submission, in order, after ``prepare`` has kept those that are new or changed.

    Raises:
        ClirbenchError: Something is not kept although it was prepared.
    """
    found = {path: recall(path, key) for path, key in keys.items()}
    new = [path for path, one in found.items() if one is None]
    if new:
        reporter.start(_PHASE, len(new), brief=len(new) < _MANY)
        for path, _ in zip(new, prepare([(path, keys[path]) for path in new]), strict=True):
            found[path] = recall(path, keys[path])
            reporter.advance(_PHASE, 1)
    held = [one for one in found.values() if one is not None]
    if len(held) < len(found):
        raise ClirbenchError(f"{kept_root()}: changes while the board is read: run it again")
    return held


def refuse_changed(folder: Path, key: str) -> None:
    """Refuse a submission whose files, or whose task files or code, are not those of the key any more.

    Raises:
        ClirbenchError: They are not.
    """
    if CheckRecord().key(folder) != key:
        raise ClirbenchError(f"{folder}: was changed while it was read: run it again")


def _prepare(asked: tuple[Path, str], root: Path) -> None:
    """Read and keep a submission, in a process that works for a board."""
    folder, key = asked
    with settled_tasks():
        entry = read_entry(folder)
        shares = {task: shares_of(one, task) for task, one in entry.results.items() if isinstance(one, Result)}
        refuse_changed(folder, key)
        KeptEntries(root).keep(key, entry, shares)


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
