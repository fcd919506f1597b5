"""Submissions to a table: one row per model, headline numbers per task, which ranks tests cannot separate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from clirbench.bias import BIAS
from clirbench.errors import ClirbenchError, printable
from clirbench.metrics import METRICS
from clirbench.paired import headline_tables
from clirbench.paths import data_dir
from clirbench.results import Result, parse_submitted, with_ranks
from clirbench.schema import Document, EstimatePart, Reported
from clirbench.statistics import rank_intervals, shares_of_macro
from clirbench.submissions import model_toml
from clirbench.submissions.model_toml import ModelFile, parse_model_file
from clirbench.submissions.verification import FILE as VERIFICATION
from clirbench.submissions.verification import Verification, parse_verification

PARALLEL = (("monolingual", "mAP"), ("cross-lingual", "mAP"), ("multilingual", "mAP"), ("bias", "rank_distance"))
# The headline numbers of a task, and which of them ranks the models.
_MIRACL = (("monolingual", "nDCG@10"), ("monolingual", "R@100"))
HEADLINE: dict[str, tuple[tuple[str, str], ...]] = {
    "xquad-r": PARALLEL,
    "mlqa-r": PARALLEL,
    "miracl": _MIRACL,
    "miracl-hard-negatives": _MIRACL,
}
MAIN: dict[str, tuple[str, str]] = {
    "xquad-r": ("multilingual", "mAP"),
    "mlqa-r": ("multilingual", "mAP"),
    "miracl": ("monolingual", "nDCG@10"),
    "miracl-hard-negatives": ("monolingual", "nDCG@10"),
}
# Languages of a whole task: a mean over fewer is marked.
LANGUAGES = {"xquad-r": 11, "mlqa-r": 7, "miracl": 18, "miracl-hard-negatives": 18}
# Tasks whose main numbers are the same measure: only those are averaged.
AVERAGED = ("xquad-r", "mlqa-r")


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
    return [read_entry(path) for path in folders if any((path / f"{task}.json").is_file() for task in HEADLINE)]


def read_entry(path: Path) -> Entry:
    """One submission.

    Raises:
        ClirbenchError: It cannot be read.
    """
    results: dict[str, Result | Reported] = {}
    for task in HEADLINE:
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


def leaderboard(submissions: str | Path | None = None, task: str | None = None) -> pd.DataFrame:
    """The board as a DataFrame: one row per submission, best multilingual mAP of the first task first, reported rows last.

    Args:
        submissions: Folder of submissions; None for ``submissions`` here.
        task: Only this task.

    Returns:
        Columns ``model``, ``origin`` ("measured" or "reported"), ``verified`` (a verdict or ""), ``licence``, ``parameters``,
        ``embedding_size``, ``coverage`` (tasks run, of those shown), ``mean`` (of multilingual mAP over xquad-r and mlqa-r,
        only where both were run). Then per task ``<task> zero-shot`` (yes, no, unknown), ``<task> languages`` (how many its
        numbers are means over), the headline numbers as
        ``<task> <setting> <metric>`` with their 95 % interval in ``... low`` and ``... high``, and the ranks by its main number
        that pairwise tests cannot exclude, ``<task> rank low`` and ``<task> rank high``. What is missing is NaN.

    Raises:
        ClirbenchError: No such folder or task, or a submission that cannot be read.
    """
    if task is not None and task not in HEADLINE:
        raise ClirbenchError(f"--task is '{task[:40]}': use {', '.join(HEADLINE)}")
    folder = submissions_dir(submissions)
    entries = [entry for entry in read_entries(folder) if task is None or task in entry.results]
    if not entries:
        raise ClirbenchError(
            f"{folder}: holds no submission{f' on {task}' if task else ''}: add one, or pass --submissions"
        )
    tasks = [task] if task else list(HEADLINE)
    return frame_of(entries, tasks, {name: board_ranks(entries, name) for name in tasks})


def frame_of(
    entries: Sequence[Entry], tasks: Sequence[str], ranks: Mapping[str, Mapping[Path, tuple[int, int]]]
) -> pd.DataFrame:
    """The board of some submissions, as :func:`leaderboard` describes it; ``ranks`` holds :func:`board_ranks` by task."""
    rows = [_row(entry, tasks) for entry in entries]
    for name in tasks:
        for entry, row in zip(entries, rows, strict=True):
            if entry.folder in ranks[name]:
                row[f"{name} rank low"], row[f"{name} rank high"] = ranks[name][entry.folder]
    columns = list(dict.fromkeys(key for row in [_row(None, tasks), *rows] for key in row))
    frame = pd.DataFrame(rows, columns=columns)
    whole = [
        c
        for c in columns
        if c in ("parameters", "embedding_size") or c.endswith((" languages", " rank low", " rank high"))
    ]
    frame = frame.astype(dict.fromkeys(whole, "Int64"))
    main = [f"{name} {' '.join(MAIN[name])}" for name in tasks]
    order = frame.assign(reported=frame["origin"] == "reported").sort_values(
        ["reported", *main, "model"], ascending=[True, *[False] * len(main), True], na_position="last"
    )
    return frame.loc[order.index].reset_index(drop=True)


def board_ranks(entries: Sequence[Entry], task: str) -> dict[Path, tuple[int, int]]:
    """By submission folder, the ranks by the task's main number that pairwise tests cannot exclude; measured results only."""
    setting, metric = MAIN[task]
    measured = [(entry.folder, r) for entry in entries if isinstance(r := entry.results.get(task), Result)]
    if not measured:
        return {}
    shares = np.stack([topic_shares(result, setting, metric) for _, result in measured], axis=1)
    intervals = rank_intervals(shares, METRICS[metric].higher_is_better)
    return {folder: (int(low), int(high)) for (folder, _), (low, high) in zip(measured, intervals, strict=True)}


def topic_shares(result: Result, setting: str, metric: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """float64 (topics,): what each topic adds to a headline number."""
    names = ([], [metric]) if metric in BIAS else ([metric], [])
    settings = ("multilingual",) if setting == "bias" else (setting,)
    tables = headline_tables(result.ranks, result.document.counts.candidates, *names, settings)
    return shares_of_macro(tables[setting, metric], slice(None))


def _row(entry: Entry | None, tasks: Sequence[str]) -> dict[str, object]:
    """One row; without an entry, the keys that every row has."""
    model = entry.model if entry else None
    document = entry.document if entry else None
    row: dict[str, object] = {
        "model": entry.label if entry else "",
        "origin": entry.origin if entry else "",
        "verified": entry.verified(tasks) if entry else "",
        "licence": model.licence if model else "",
        "parameters": document.model.parameters if document else model.parameters if model else None,
        "embedding_size": document.model.dimensions if document else model.embedding_size if model else None,
        "coverage": f"{sum(task in entry.results for task in tasks)}/{len(tasks)}" if entry else "",
        "mean": None,
    }
    mains: list[float] = []
    for task in tasks:
        row[f"{task} zero-shot"] = model.zero_shot(task) if model and entry and task in entry.results else ""
        row[f"{task} languages"] = entry.languages(task) if entry else None
        for setting, metric in HEADLINE[task]:
            estimate = entry.estimate(task, setting, metric) if entry else None
            key = f"{task} {setting} {metric}"
            for suffix, end in (("", "value"), (" low", "low"), (" high", "high")):
                value = getattr(estimate, end) if estimate else None
                row[key + suffix] = float("nan") if value is None else value
            if (setting, metric) == MAIN[task] and task in AVERAGED and estimate and estimate.value is not None:
                mains.append(estimate.value)
        row[f"{task} rank low"] = row[f"{task} rank high"] = None
    if len(mains) == len(AVERAGED):
        row["mean"] = sum(mains) / len(mains)
    return row
