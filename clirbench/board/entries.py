"""Read the submissions of a folder for the board, and find results by the name that a user types."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from clirbench.results.read import parse_submitted
from clirbench.results.result import Result, read_result, read_results, refuse_another_task, with_ranks
from clirbench.results.schema import Document, EstimatePart, Reported
from clirbench.submissions import model_toml
from clirbench.submissions.model_toml import ModelFile, parse_model_file
from clirbench.submissions.verification import FILE as VERIFICATION
from clirbench.submissions.verification import Verification, parse_verification
from clirbench.support.commands import command
from clirbench.support.errors import ClirbenchError, printable
from clirbench.support.paths import data_dir
from clirbench.tasks.task_file import averaged_tasks, board_columns, board_tasks


@dataclass(frozen=True)
class Entry:
    """One submission, with its results by task. ``verification`` is None if nobody has verified these ranks.

    ``label`` is the model's name, with what tells its variants apart, such as "+ lir:2".
    """

    folder: Path
    label: str
    model: ModelFile
    results: dict[str, Result | Reported]
    verification: Verification | None

    @property
    def origin(self) -> str:
        """Where the figures come from: "measured" if the submission has ranks, "reported" if a publication gives them."""
        return "reported" if all(isinstance(result, Reported) for result in self.results.values()) else "measured"

    @property
    def document(self) -> Document | None:
        """The document of the first measured task. All tasks have the same model and encoder."""
        return next((result.document for result in self.results.values() if isinstance(result, Result)), None)

    def verified(self, tasks: Sequence[str]) -> str:
        """The verdict of a verification on one of these tasks, or ""."""
        return self.verification.verdict if self.verification and self.verification.task in tasks else ""

    def languages(self, task: str) -> int | None:
        """Number of languages in the means on a task; None without numbers, or if a publication does not say."""
        document = self.on(task)
        return len(document.task.languages) or None if document else None

    def estimate(self, task: str, setting: str, metric: str) -> EstimatePart | None:
        """A headline number; None if it was not run or is not reported."""
        document = self.on(task)
        return document.headline.get(setting, {}).get(metric) if document else None

    def on(self, task: str) -> Document | Reported | None:
        """The result or the reported figures on a task; None if there are none."""
        result = self.results.get(task)
        return result.document if isinstance(result, Result) else result

    def mean(self, tasks: Sequence[str]) -> float | None:
        """Mean of the main numbers over the averaged tasks; None unless all averaged tasks are in ``tasks`` and were run."""
        averaged = averaged_tasks()
        mains = [self.estimate(task, *board_columns(task).main) for task in averaged if task in tasks]
        values = [estimate.value for estimate in mains if estimate is not None and estimate.value is not None]
        return sum(values) / len(values) if values and len(values) == len(averaged) else None


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


def read_all_entries(folders: Sequence[Path]) -> list[Entry]:
    """The submissions of several folders, as :func:`read_entries` reads each; of one name, the first folder's is taken."""
    entries: dict[str, Entry] = {}
    for entry in (entry for folder in folders for entry in read_entries(folder)):
        entries.setdefault(entry.folder.name, entry)
    return list(entries.values())


def read_entries(folder: Path) -> list[Entry]:
    """Read every submission of a folder by :func:`read_entry`, in the order of their names."""
    # Links are not followed, so a board shows only what lies in its folder.
    folders = sorted(inner for inner in folder.iterdir() if not inner.is_symlink() and inner.is_dir())
    return [read_entry(path) for path in folders if any((path / f"{task}.json").is_file() for task in board_tasks())]


def read_entry(path: Path) -> Entry:
    """One submission; a :class:`ClirbenchError` names the file that is missing or cannot be read."""
    results: dict[str, Result | Reported] = {}
    for task in board_tasks():
        file = path / f"{task}.json"
        if file.is_file():
            document = parse_submitted(file.read_bytes(), file)
            if document.task.id != task:
                raise ClirbenchError(f"{file}: its task is {document.task.id[:40]!a}: run {command('check', path)}")
            if isinstance(document, Document):
                refuse_another_task(file, document.task)
            results[task] = document if isinstance(document, Reported) else with_ranks(document, file)
    toml = path / model_toml.FILE
    if not toml.is_file():
        raise ClirbenchError(f"{toml}: is missing: run {command('check', path)}")
    model = parse_model_file(toml.read_bytes(), toml)
    variant = next((r.document.encoder.variant for r in results.values() if isinstance(r, Result)), "")
    verification = None
    if (path / VERIFICATION).is_file():
        stated = parse_verification((path / VERIFICATION).read_bytes(), path / VERIFICATION)
        result = results.get(stated.task)
        if isinstance(result, Result) and result.document.ranks.sha256 == stated.ranks_sha256:
            verification = stated
    label = f"{printable(model.name)} + {variant}" if variant else printable(model.name)
    return Entry(path, label, model, results, verification)


def results_of(name: str, submissions: Path | None = None) -> dict[str, Result]:
    """The measured results that a name stands for, by task.

    The name is a result JSON, a folder with result JSONs, or a submitted model ("org/model", or with " + lir:2").

    Raises:
        ClirbenchError: There is nothing of that name, or nothing measured.
    """
    path = Path(name)
    if path.is_file():
        result = read_result(path)
        return {result.document.task.id: result}
    if path.is_dir():
        held = read_results(path, leave_out=[VERIFICATION])
        if not held:
            raise ClirbenchError(f"{path}: holds no result: give a folder of results, or a result JSON")
        whole = {result.document.task.id: result for result in held if result.document.task.complete}
        if not whole:
            raise ClirbenchError(f"{path}: holds restricted results only: give a result JSON, or run whole tasks")
        return whole
    entries = read_all_entries(submission_folders(submissions))
    for entry in entries:
        if name in (entry.label, entry.label.replace(" ", ""), entry.folder.name):
            if entry.origin == "reported":
                raise ClirbenchError(f"'{name}' holds reported figures only: without ranks nothing can be tested")
            return {task: result for task, result in entry.results.items() if isinstance(result, Result)}
    names = ", ".join(entry.label for entry in entries if entry.origin == "measured")
    raise ClirbenchError(f"no file, folder or submitted model '{name[:80]}': the models are {names}")


def common_tasks(first: dict[str, Result], second: dict[str, Result], task: str | None) -> list[str]:
    """The tasks that both have, or only ``task``. If they share none, a :class:`ClirbenchError`."""
    both = [name for name in first if name in second and task in (None, name)]
    if not both:
        wanted = f"task '{task}'" if task else "a task"
        raise ClirbenchError(f"the two do not share {wanted}: they hold {', '.join(first)} and {', '.join(second)}")
    return both
