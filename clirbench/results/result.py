"""A result in memory: its document and its ranks. Its two files are written and read here."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.results.file_names import MTEB_FILE_START, RUN_ENDING, result_path
from clirbench.results.ranks_file import decode_ranks
from clirbench.results.read import read_content, read_document
from clirbench.results.schema import Document, TaskPart
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import reading, write_atomically, writing
from clirbench.tasks.selection import task_with
from clirbench.tasks.task_file import board_tasks, list_tasks, load_task

_NUMBERS = re.compile(r"\[\s+(?:[-+.0-9eE]+|null)(?:,\s+(?:[-+.0-9eE]+|null))*\s+\]")


@dataclass(frozen=True)
class Result:
    """The scores of one model on one task, and the ranks from which they were computed.

    Attributes:
        document: The content of the JSON file.
        ranks: The content of the ranks file.
        ranks_file: The bytes of the ranks file; the document states their SHA-256.
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
        """The document as dicts, lists and plain values, as the JSON file holds them."""
        left_out = {name for name in ("corpus", "compact") if getattr(self.document, name) is None}
        return self.document.model_dump(mode="json", exclude=left_out)

    def save(self, folder: str | Path, *, force: bool = False) -> Path:
        """Write ``<folder>/<org>__<model>/<task>.json`` and its ranks file. Each is written whole or not at all, the JSON last.

        Args:
            folder: The folder of results; the model's folder is made in it.
            force: Replace the result of another run, or of a model without a revision.

        Returns:
            The path of the JSON file.

        Raises:
            ClirbenchError: The folder cannot be written, or holds the result of another run under this name.
        """
        path = Path(folder) / result_path(self.document)
        if path.exists() and not force:
            there = read_document(path)
            refuse_changed_task(
                path, there.task, self.document.task, "pass force=True to replace it, or another folder"
            )
            if there.identity != self.document.identity or self.document.model.revision is None:
                raise ClirbenchError(
                    f"{path} holds another run: pass force=True to replace it, or give the model a name"
                )
        with writing(path, "choose another folder with --output"):
            # The old JSON is removed first, so that it never lies beside new ranks. A run that is killed here leaves no result.
            path.unlink(missing_ok=True)
            write_atomically(path.with_name(self.document.ranks.file), self.ranks_file)
            write_atomically(path, self._json())
        return path

    def save_document(self, path: Path) -> None:
        """Replace the JSON file at ``path``. The ranks file beside it stays."""
        with writing(path, "copy both files into a folder of yours"):
            write_atomically(path, self._json())

    def _json(self) -> bytes:
        text = json.dumps(self.to_dict(), ensure_ascii=False, indent=1, allow_nan=False)
        # A row of numbers is one line. Only the compact form has lists of numbers.
        text = _NUMBERS.sub(lambda row: f"[{' '.join(row[0][1:-1].split())}]", text)
        return (text + "\n").encode()

    def to_pandas(self) -> Any:
        """A pandas DataFrame with one row per score; see :func:`clirbench.results.views.as_pandas`."""
        from clirbench.results.views import as_pandas

        return as_pandas(self.document)

    def plot(self, metric: str | None = None) -> Any:
        """The heat map of language pairs as a matplotlib figure; see :func:`clirbench.results.views.as_figure`."""
        from clirbench.results.views import as_figure

        return as_figure(self.document, metric)

    def hardest(self, n: int = 10, language: str | None = None, task: str | None = None) -> Any:
        """The topics where one language fails and others succeed; see :func:`clirbench.results.views.hardest`."""
        from clirbench.results.views import hardest

        return hardest(self.document, self.ranks, n, language, task)

    def _repr_html_(self) -> str:
        """The headline and the heat map of language pairs, for a notebook to show."""
        from clirbench.results.views import as_html

        return as_html(self.document)

    def __repr__(self) -> str:
        values = {
            f"{setting} {name}": round(estimate.value, 4)
            for setting, numbers in self.document.headline.items()
            for name, estimate in numbers.items()
            if name in ("mAP", "rank_distance") and estimate.value is not None
        }
        return f"Result({self.document.model.name!r}, {self.document.task.id!r}, {values})"


def read_result(path: str | Path) -> Result:
    """Read a result: its JSON file, and the ranks file beside it.

    Raises:
        ClirbenchError: A file is missing or not of this format, or the two do not belong together.
    """
    path = Path(path)
    return with_ranks(read_document(path), path)


def read_results(folder: Path, leave_out: Sequence[str] = ()) -> list[Result]:
    """Read the results of a folder: all its JSON files except ``leave_out``, the scores of TREC runs, and mteb's results."""
    return [
        read_result(path)
        for path in sorted(folder.glob("*.json"))
        if path.name not in leave_out
        and not path.name.endswith(RUN_ENDING)
        and not path.name.startswith(MTEB_FILE_START)
    ]


def with_ranks(document: Document, path: Path) -> Result:
    """Read the ranks file beside a document, whose JSON file lies at ``path``.

    Raises:
        ClirbenchError: The ranks file is missing, or does not belong to the document.
    """
    if Path(document.ranks.file).name != document.ranks.file or document.ranks.file in ("", ".", ".."):
        raise ClirbenchError(
            f"{path}: 'ranks.file' must be a plain file name beside it, not {document.ranks.file[:80]!a}"
        )
    ranks_path = path.with_name(document.ranks.file)
    with reading(ranks_path, "put the ranks file back"):
        content = read_content(ranks_path)
    if hashlib.sha256(content).hexdigest() != document.ranks.sha256:
        raise ClirbenchError(
            f"{ranks_path}: its SHA-256 is not 'ranks.sha256' of {path.name}: one of the two was changed"
        )
    return Result(document, decode_ranks(content, document, ranks_path), content)


def other_run(first: Document, second: Document) -> str | None:
    """The part in which two results differ, "model" or "encoder"; None if model and settings are the same."""
    return next((part for part in ("model", "encoder") if getattr(first, part) != getattr(second, part)), None)


def refuse_another_task(where: Path | str, stated: TaskPart) -> None:
    """Refuse a result whose task has the name of a shipped task, but other data or another protocol.

    Raises:
        ClirbenchError: The hash of the task is not that of the shipped one. The message begins with ``where``.
    """
    task = board_tasks().get(stated.id) or (load_task(stated.id) if stated.id in list_tasks() else None)
    if task is not None and stated.hash != task_with(task, stated.hash).hash:
        raise ClirbenchError(
            f"{where} is of another task that is called {stated.id}, or of an earlier version of it: remove it, or run the "
            f"model again with --tasks {stated.id}"
        )


def refuse_changed_task(path: Path, there: TaskPart, now: TaskPart, remedy: str) -> None:
    """Refuse a result that is of an earlier version of its task. ``remedy`` ends the message.

    Raises:
        ClirbenchError: Data, languages or settings have changed since. The message says which, and names ``path``.
    """
    if there.id != now.id or there.hash == now.hash:
        return
    for key in ("languages", "settings"):
        before, after = ", ".join(getattr(there, key)), ", ".join(getattr(now, key))
        if before != after:
            raise ClirbenchError(
                f"{path}: '{key}' of {now.id} have changed since ({before} there, {after} now): {remedy}"
            )
    what = "texts or grades" if there.sources != now.sources else "languages, settings or counts"
    raise ClirbenchError(f"{path}: the {what} of {now.id} have changed since: {remedy}")
