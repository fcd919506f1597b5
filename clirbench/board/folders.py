"""The folders of submissions that a board shows, and which of these submissions ``clirbench check`` accepts.

Nothing of a submission is read here that its check did not read.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from clirbench.submissions.accepted import CheckRecord
from clirbench.submissions.check_many import check_submissions, inside
from clirbench.submissions.findings import Examined
from clirbench.support.commands import command
from clirbench.support.errors import ClirbenchError, printable
from clirbench.support.paths import data_dir
from clirbench.support.progress import Reporter, Silent
from clirbench.tasks.task_file import board_tasks

# Where CLIRBENCH_TASKS names other tasks, no submission of the checkout has a result on the board.
_ONE_BY_ONE = 5
# How a board is written: for a terminal, for programs, and for papers.
FORMATS = ("table", "csv", "json", "markdown", "latex")


class Accepted(NamedTuple):
    """What a check makes of folders of submissions.

    Attributes:
        paths: The submissions that it accepts; of one name, the first folder's.
        left_out: The reason of each path that it refuses, in words that continue the path.
        record: The record of the check, which has hashed every file.
    """

    paths: list[Path]
    left_out: dict[Path, str]
    record: CheckRecord


def submissions_dir(folder: str | Path | None = None) -> Path:
    """The folder of submissions: ``folder``, or ``submissions`` here, or the checkout's. None of them is a ClirbenchError."""
    if folder is not None:
        if not Path(folder).is_dir():
            raise ClirbenchError(f"--submissions is '{folder}', which is not a folder: correct it")
        return Path(folder)
    if Path("submissions").is_dir():
        return Path("submissions")
    try:
        return data_dir("submissions")
    except ClirbenchError as error:
        raise ClirbenchError("there is no folder 'submissions' here: run in a clone, or pass --submissions") from error


def submission_folders(folder: str | Path | None = None) -> list[Path]:
    """The folders whose submissions a board shows: ``folder``; or, without one, ``submissions`` here and the checkout's.

    Without the checkout's, the first submission of one's own would take all other rows off the board.
    """
    folders = [submissions_dir(folder)]
    if folder is None:
        with suppress(ClirbenchError):
            shipped = data_dir("submissions")
            folders += [] if folders[0].resolve() == shipped.resolve() else [shipped]
    return folders


def check_task(task: str) -> None:
    """Refuse a task that is not on the board: a :class:`ClirbenchError`."""
    if task not in board_tasks():
        raise ClirbenchError(f"--task is '{task[:40]}': use {', '.join(board_tasks())}")


def accept(folders: Sequence[Path], reporter: Reporter | None = None) -> Accepted:
    """Check folders of submissions, each by itself, as ``clirbench check FOLDER`` does it.

    The reporter shows what is left out, a line each.

    Raises:
        ClirbenchError: The folders hold no submission, or none that is accepted.
    """
    record = CheckRecord()
    accepted: dict[str, Path] = {}
    left_out: dict[Path, str] = {}
    for folder in folders:
        for examined in check_submissions(inside(folder), reporter=reporter, record=record):
            if examined.errors:
                left_out[examined.folder] = _reason(examined)
            else:
                accepted.setdefault(examined.folder.name, examined.folder)
    if not accepted and left_out:
        # Imported only for a mistake: it takes its time.
        from clirbench.submissions.model_toml import FILE

        if folders[0] / FILE in left_out:
            raise ClirbenchError(f"{folders[0]}: is one submission: pass the folder that holds it as --submissions")
        raise ClirbenchError(f"{folders[0]}: no submission in it is accepted: see {command('check', folders[0])}")
    if not accepted:
        raise ClirbenchError(f"{folders[0]}: holds no submission: add one, or pass --submissions")
    for line in _lines(left_out):
        (reporter or Silent()).note(line)
    return Accepted(list(accepted.values()), left_out, record)


def _lines(left_out: Mapping[Path, str]) -> list[str]:
    """A line for each path that is left out; one for all of a folder that are left out for the same reason, if they are many."""
    alike: dict[tuple[Path, str], list[Path]] = {}
    for path, reason in left_out.items():
        alike.setdefault((path.parent, reason), []).append(path)
    lines = []
    for (folder, reason), paths in alike.items():
        if len(paths) <= _ONE_BY_ONE:
            lines += [f"{printable(str(path))}: {reason}" for path in paths]
        else:
            some = ", ".join(printable(path.name) for path in paths[:_ONE_BY_ONE])
            lines.append(f"{folder}: {some} and {len(paths) - _ONE_BY_ONE} more: {reason}")
    return lines


def _reason(examined: Examined) -> str:
    """Why a submission is left out: the error of the whole folder, such as a link, or the number of errors in its files."""
    for finding in examined.findings:
        if finding.level == "error" and finding.file == printable(str(examined.folder)):
            return f"left out: {finding.message}"
    number = f"{examined.errors} error{'' if examined.errors == 1 else 's'}"
    return f"left out, {number}: see {printable(command('check', examined.folder))}"
