"""Read the submissions of a folder for the board, and find results by the name that a user types."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from clirbench.metrics.per_topic import TopicTable, shares_of_macro
from clirbench.metrics.retrieval import Values
from clirbench.metrics.scores import headline_tables
from clirbench.results.file_names import model_folder
from clirbench.results.read import parse_submitted
from clirbench.results.result import Result, read_result, read_results, with_ranks
from clirbench.results.schema import Document, EstimatePart, Reported
from clirbench.submissions import model_toml
from clirbench.submissions.check_many import check_submissions, inside
from clirbench.submissions.findings import Examined
from clirbench.submissions.model_toml import ModelFile, parse_model_file
from clirbench.submissions.verification import FILE as VERIFICATION
from clirbench.submissions.verification import Verification, parse_verification
from clirbench.support.commands import command
from clirbench.support.errors import ClirbenchError, printable
from clirbench.support.files import reading
from clirbench.support.paths import data_dir
from clirbench.support.progress import Reporter, Silent
from clirbench.tasks.task_file import averaged_tasks, board_columns, board_tasks

# Where CLIRBENCH_TASKS names other tasks, no submission of the checkout has a result on the board.
_ONE_BY_ONE = 5
# What each topic adds to a headline number, float64 (topics,), by task, then by setting (or "bias") and metric.
Shares = dict[str, dict[tuple[str, str], Values]]


@dataclass(frozen=True)
class Entry:
    """One submission, with its results by task. ``verification`` is None if nobody has verified these ranks.

    ``label`` is the model's name, with what tells its variants apart, such as "+ lir:2". ``kept`` has the shares that
    were computed before (:meth:`shares`).
    """

    folder: Path
    label: str
    model: ModelFile
    results: dict[str, Result | Reported]
    verification: Verification | None
    kept: Shares = field(default_factory=dict)

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

    def not_comparable(self, task: str) -> str:
        """Why published figures on a task cannot stand beside those of other rows, or ""."""
        if not isinstance(self.results.get(task), Reported):
            return ""
        if stated := (self.model.not_comparable or {}).get(task):
            return printable(stated)
        languages, of_task = self.languages(task), len(board_tasks()[task].languages)
        return f"mean over {languages} of {of_task} languages" if languages is not None and languages < of_task else ""

    @property
    def variant(self) -> str:
        """What tells this row from the model as it comes, such as "lir:2"; "" for the model as it comes."""
        return self.document.encoder.variant if self.document else ""

    def on(self, task: str) -> Document | Reported | None:
        """The result or the reported figures on a task; None if there are none."""
        result = self.results.get(task)
        return result.document if isinstance(result, Result) else result

    def shares(self, task: str, setting: str, metric: str) -> Values | None:
        """What each topic adds to a headline number of the board, float64 (topics,), with the number as its sum.

        None without ranks, and where the number has no value, as below the depth of a second stage: there is nothing to test.
        """
        result = self.results.get(task)
        if not isinstance(result, Result):
            return None
        if task not in self.kept:
            self.kept[task] = shares_of(result, task)
        return self.kept[task].get((setting, metric))

    def averaged(self, tasks: Sequence[str]) -> dict[str, float]:
        """The main numbers of those of ``tasks`` that enter the mean, where there is one and it compares."""
        mains = {task: self.estimate(task, *board_columns(task).main) for task in averaged_tasks() if task in tasks}
        return {
            task: one.value
            for task, one in mains.items()
            if one is not None and one.value is not None and not self.not_comparable(task)
        }


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


class Board(NamedTuple):
    """The submissions that a board shows, and the paths that it leaves out because ``clirbench check`` refuses them.

    ``left_out`` gives the reason of each, in words that continue its path.
    """

    entries: list[Entry]
    left_out: dict[Path, str]


def read_board(
    folders: Sequence[Path],
    reporter: Reporter | None = None,
    read: Callable[[Sequence[Path]], list[Entry]] | None = None,
) -> Board:
    """Read every submission of some folders that ``clirbench check`` accepts; of one name, the first folder's is taken.

    Each folder is checked by itself, as ``clirbench check FOLDER`` does it. The reporter shows what is left out, a line each.
    ``read`` is another way of reading them than :func:`read_entry` of each.

    Raises:
        ClirbenchError: The folders hold no submission, or none that is accepted.
    """
    accepted: dict[str, Path] = {}
    left_out: dict[Path, str] = {}
    for folder in folders:
        for examined in check_submissions(inside(folder), reporter=reporter):
            if examined.errors:
                left_out[examined.folder] = _reason(examined)
            else:
                accepted.setdefault(examined.folder.name, examined.folder)
    if not accepted and left_out:
        if folders[0] / model_toml.FILE in left_out:
            raise ClirbenchError(f"{folders[0]}: is one submission: pass the folder that holds it as --submissions")
        raise ClirbenchError(f"{folders[0]}: no submission in it is accepted: see {command('check', folders[0])}")
    if not accepted:
        raise ClirbenchError(f"{folders[0]}: holds no submission: add one, or pass --submissions")
    for line in _lines(left_out):
        (reporter or Silent()).note(line)
    paths = list(accepted.values())
    return Board(read(paths) if read else [read_entry(path) for path in paths], left_out)


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


def read_entry(
    path: Path,
    read: dict[str, Result | Reported] | None = None,
    kept: Shares | None = None,
    checked: bool = False,
) -> Entry:
    """One submission that ``clirbench check`` accepts; a :class:`ClirbenchError` names a file that was removed meanwhile.

    ``read`` has its results where they were read before, and ``kept`` the shares of :meth:`Entry.shares`. With
    ``checked``, its files are on record as accepted (:class:`clirbench.submissions.accepted.CheckRecord`).
    """
    results = dict(read or {})
    with reading(path, "put its files back"):
        for task in board_tasks() if read is None else ():
            file = path / f"{task}.json"
            if file.is_file():
                document = parse_submitted(file.read_bytes(), file)
                results[task] = document if isinstance(document, Reported) else with_ranks(document, file, checked)
        toml = path / model_toml.FILE
        model = parse_model_file(toml.read_bytes(), toml)
        verification = _verification(path, results)
    variant = next((r.document.encoder.variant for r in results.values() if isinstance(r, Result)), "")
    label = f"{printable(model.name)} + {variant}" if variant else printable(model.name)
    return Entry(path, label, model, results, verification, kept or {})


def shares_of(
    result: Result, task: str, tables: Mapping[tuple[str, str], TopicTable] | None = None
) -> dict[tuple[str, str], Values]:
    """What each topic adds to the numbers of the board, by setting (or "bias") and metric; see :meth:`Entry.shares`.

    ``tables`` are those of :func:`clirbench.metrics.scores.headline_tables`, if they were computed before.
    """
    document = result.document
    wanted = [
        (setting, metric)
        for setting, metric in board_columns(task).headline
        if (stated := document.headline.get(setting, {}).get(metric)) is not None and stated.value is not None
    ]
    if tables is None:
        metrics = list(dict.fromkeys(metric for setting, metric in wanted if setting != "bias"))
        bias = [metric for setting, metric in wanted if setting == "bias"]
        settings = [setting for setting, _ in wanted if setting != "bias"] + ["multilingual"] * bool(bias)
        sizes, depth = document.counts.candidates, document.encoder.depth
        tables = headline_tables(result.ranks, sizes, metrics, bias, settings, depth)
    # A measure of bias over all topics at once has no table.
    return {key: shares_of_macro(tables[key], slice(None)) for key in wanted if key in tables}


def _verification(path: Path, results: dict[str, Result | Reported]) -> Verification | None:
    """The verification of a submission; None without one, or if it is of other ranks."""
    if not (path / VERIFICATION).is_file():
        return None
    stated = parse_verification((path / VERIFICATION).read_bytes(), path / VERIFICATION)
    result = results.get(stated.task)
    bound = isinstance(result, Result) and result.document.ranks.sha256 == stated.ranks_sha256
    return stated if bound else None


def results_of(
    names: Sequence[str], submissions: Path | None = None, reporter: Reporter | None = None
) -> list[dict[str, Result]]:
    """The measured results that each name stands for, by task.

    A name is a result JSON, a folder with result JSONs, or a submitted model ("org/model", or with " + lir:2"). Submissions are
    read by :func:`read_board`, and only if a name is no path.

    Raises:
        ClirbenchError: There is nothing of a name, nothing measured, or its submission is not accepted.
    """
    board = lru_cache(maxsize=1)(lambda: read_board(submission_folders(submissions), reporter))
    return [_results_of(name, board) for name in names]


def _results_of(name: str, read: Callable[[], Board]) -> dict[str, Result]:
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
    board = read()
    for entry in board.entries:
        if name in (entry.label, entry.label.replace(" ", ""), entry.folder.name):
            if entry.origin == "reported":
                raise ClirbenchError(f"'{name}' holds reported figures only: without ranks nothing can be tested")
            return {task: result for task, result in entry.results.items() if isinstance(result, Result)}
    for path, reason in board.left_out.items():
        if path.name in (name, model_folder(name)):
            raise ClirbenchError(f"{printable(str(path))}: {reason}")
    names = ", ".join(entry.label for entry in board.entries if entry.origin == "measured")
    raise ClirbenchError(f"no file, folder or submitted model '{name[:80]}': the models are {names}")


def common_tasks(first: dict[str, Result], second: dict[str, Result], task: str | None) -> list[str]:
    """The tasks that both have, or only ``task``. If they share none, a :class:`ClirbenchError`."""
    both = [name for name in first if name in second and task in (None, name)]
    if not both:
        wanted = f"task '{task}'" if task else "a task"
        raise ClirbenchError(f"the two do not share {wanted}: they hold {', '.join(first)} and {', '.join(second)}")
    return both
