"""Read a submission for the board, and find results by the name that a user types."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from clirbench.board.folders import Accepted, accept, submission_folders
from clirbench.metrics.per_topic import TopicTable, shares_of_macro
from clirbench.metrics.retrieval import Values
from clirbench.metrics.scores import headline_tables
from clirbench.results.file_names import model_folder, run_folder
from clirbench.results.read import parse_submitted
from clirbench.results.result import Result, read_result, read_results, with_ranks
from clirbench.results.schema import Document, EstimatePart, Reported
from clirbench.submissions import model_toml
from clirbench.submissions.model_toml import ModelFile, parse_model_file
from clirbench.submissions.verification import FILE as VERIFICATION
from clirbench.submissions.verification import Verification, parse_verification
from clirbench.support.errors import ClirbenchError, printable
from clirbench.support.files import reading
from clirbench.support.progress import Reporter
from clirbench.tasks.task_file import averaged_tasks, board_columns, board_tasks

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


def read_entry(
    path: Path,
    read: dict[str, Result | Reported] | None = None,
    kept: Shares | None = None,
) -> Entry:
    """One submission that ``clirbench check`` accepts; a :class:`ClirbenchError` names a file that was removed meanwhile.

    ``read`` has its results where they were read before, and ``kept`` the shares of :meth:`Entry.shares`.
    """
    results = dict(read or {})
    with reading(path, "put its files back"):
        for task in board_tasks() if read is None else ():
            file = path / f"{task}.json"
            if file.is_file():
                document = parse_submitted(file.read_bytes(), file)
                results[task] = document if isinstance(document, Reported) else with_ranks(document, file)
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
    checked as ``clirbench check FOLDER`` does it, and only if a name is no path. Of the accepted ones, the named ones are read.

    Raises:
        ClirbenchError: There is nothing of a name, nothing measured, or its submission is not accepted.
    """
    accepted = lru_cache(maxsize=1)(lambda: accept(submission_folders(submissions), reporter))
    return [_results_of(name, accepted) for name in names]


def _results_of(name: str, accepted: Callable[[], Accepted]) -> dict[str, Result]:
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
    paths, left_out, _ = accepted()
    # The folder of an accepted submission has the name of its model and variant. Only that one is read, if there is one.
    model, _, variant = name.partition("+")
    likely = {name, run_folder(model.strip(), ", ".join(part.strip() for part in variant.split(",")))}
    for path in sorted(paths, key=lambda one: one.name not in likely):
        entry = read_entry(path)
        if name in (entry.label, entry.label.replace(" ", ""), entry.folder.name):
            if entry.origin == "reported":
                raise ClirbenchError(f"'{name}' holds reported figures only: without ranks nothing can be tested")
            return {task: result for task, result in entry.results.items() if isinstance(result, Result)}
    for path, reason in left_out.items():
        if path.name in (name, model_folder(name)):
            raise ClirbenchError(f"{printable(str(path))}: {reason}")
    entries = [read_entry(path) for path in paths]
    names = ", ".join(entry.label for entry in entries if entry.origin == "measured")
    raise ClirbenchError(f"no file, folder or submitted model '{name[:80]}': the models are {names}")


def common_tasks(first: dict[str, Result], second: dict[str, Result], task: str | None) -> list[str]:
    """The tasks that both have, or only ``task``. If they share none, a :class:`ClirbenchError`."""
    both = [name for name in first if name in second and task in (None, name)]
    if not both:
        wanted = f"task '{task}'" if task else "a task"
        raise ClirbenchError(f"the two do not share {wanted}: they hold {', '.join(first)} and {', '.join(second)}")
    return both
