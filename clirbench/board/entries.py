"""The submissions of a folder, read for the board."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clirbench.results.read import parse_submitted
from clirbench.results.result import Result, with_ranks
from clirbench.results.schema import Document, EstimatePart, Reported
from clirbench.submissions import model_toml
from clirbench.submissions.model_toml import ModelFile, parse_model_file
from clirbench.submissions.verification import FILE as VERIFICATION
from clirbench.submissions.verification import Verification, parse_verification
from clirbench.support.errors import ClirbenchError, printable
from clirbench.support.paths import data_dir
from clirbench.tasks.task_file import board_tasks


@dataclass(frozen=True)
class Entry:
    """One submission as read.

    Attributes:
        folder: Its folder.
        label: The model's name, with what was done to its vectors.
        model: What ``model.toml`` says.
        results: By task.
        verification: None where nobody verified it, or other ranks than these were.
    """

    folder: Path
    label: str
    model: ModelFile
    results: dict[str, Result | Reported]
    verification: Verification | None

    @property
    def origin(self) -> str:
        """Where its figures come from: "measured" or "reported"."""
        return "reported" if all(isinstance(result, Reported) for result in self.results.values()) else "measured"

    @property
    def document(self) -> Document | None:
        """The document of its first measured task: its model and encoder are those of all."""
        return next((result.document for result in self.results.values() if isinstance(result, Result)), None)

    def verified(self, tasks: Sequence[str]) -> str:
        """The verdict of a verification on one of these tasks, or ""."""
        return self.verification.verdict if self.verification and self.verification.task in tasks else ""

    def languages(self, task: str) -> int | None:
        """How many languages its numbers are means over; None where it was not run, or a publication does not say."""
        result = self.results.get(task)
        if result is None:
            return None
        part = result.task if isinstance(result, Reported) else result.document.task
        return len(part.languages) or None

    def estimate(self, task: str, setting: str, metric: str) -> EstimatePart | None:
        """A headline number; None where it was not run or is not reported."""
        result = self.results.get(task)
        if result is None:
            return None
        headline = result.headline if isinstance(result, Reported) else result.document.headline
        return headline.get(setting, {}).get(metric)


def submissions_dir(folder: str | Path | None = None) -> Path:
    """The folder of submissions: the one given, or ``submissions`` here, or the checkout's.

    Raises:
        ClirbenchError: There is none.
    """
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


def read_entries(folder: Path) -> list[Entry]:
    """Every submission of a folder, in the order of their names.

    Raises:
        ClirbenchError: One cannot be read.
    """
    # Links are not followed: a board is what lies in its folder.
    folders = sorted(inner for inner in folder.iterdir() if not inner.is_symlink() and inner.is_dir())
    return [read_entry(path) for path in folders if any((path / f"{task}.json").is_file() for task in board_tasks())]


def read_entry(path: Path) -> Entry:
    """One submission.

    Raises:
        ClirbenchError: It cannot be read.
    """
    results: dict[str, Result | Reported] = {}
    for task in board_tasks():
        file = path / f"{task}.json"
        if file.is_file():
            document = parse_submitted(file.read_bytes(), file)
            if document.task.id != task:
                raise ClirbenchError(f"{file}: its task is {document.task.id[:40]!a}: run clirbench check {path}")
            results[task] = document if isinstance(document, Reported) else with_ranks(document, file)
    toml = path / model_toml.FILE
    if not toml.is_file():
        raise ClirbenchError(f"{toml}: is missing: run clirbench check {path}")
    model = parse_model_file(toml.read_bytes(), toml)
    transform = next((r.document.encoder.transform for r in results.values() if isinstance(r, Result)), None)
    verification = None
    if (path / VERIFICATION).is_file():
        read = parse_verification((path / VERIFICATION).read_bytes(), path / VERIFICATION)
        result = results.get(read.task)
        if isinstance(result, Result) and result.document.ranks.sha256 == read.ranks_sha256:
            verification = read
    return Entry(
        path,
        f"{printable(model.name)} + {transform}" if transform else printable(model.name),
        model,
        results,
        verification,
    )
