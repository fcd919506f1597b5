"""The board as a table: one row per submission, with its headline numbers and the ranks that it may have by tests."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from clirbench.board.aggregate import PLACES, coverage, domain_mean, measured_numbers, places
from clirbench.board.entries import Entry
from clirbench.board.folders import Accepted, accept, check_task, submission_folders
from clirbench.board.kept_entries import kept_entries
from clirbench.board.names import row_name
from clirbench.board.remembered import Remembered, columns_of, frame_of_columns
from clirbench.board.standing import group, standing
from clirbench.board.wins import Wins, by_main, wins
from clirbench.support.errors import ClirbenchError, printable
from clirbench.support.progress import Reporter
from clirbench.tasks.task_file import averaged_tasks, board_columns, board_tasks, settled_tasks


def leaderboard(
    submissions: str | Path | None = None, task: str | None = None, reporter: Reporter | None = None
) -> pd.DataFrame:
    """The board as a DataFrame: one row per submission, in the order of the first task's main number.

    Figures of publications stand below the rows with ranks, and last the rows whose verification found other ranks.
    Only submissions that ``clirbench check`` accepts have rows. ``frame.attrs["left_out"]`` gives the others: the reason by path.

    Args:
        submissions: Folder of submissions; None for ``submissions`` here, and those of the checkout.
        task: Only this task.
        reporter: Receives the progress of the check, and a line for each submission that is left out.

    Returns:
        First columns of the model: ``model``, ``origin`` ("measured" or "reported"), ``verified`` (a verdict or ""),
        ``evidence`` (what stands behind the row: one of :data:`clirbench.board.standing.STANDINGS`), ``name`` (as people call the
        row), ``organisation``, ``released``, ``submitted``, ``licence``, ``parameters``, ``embedding_size``, ``coverage`` (shown
        tasks that were run) and ``mean``.

        The mean is of the tasks' main numbers, over domains and then over the tasks of each
        (:func:`clirbench.board.aggregate.domain_mean`). It is given only if all of its tasks were run: ``mean tasks`` and
        ``mean domains`` say how many were. Measured rows that have it are ranked among each other: ``mean rank``,
        ``borda points`` and ``borda rank`` (:func:`clirbench.board.aggregate.places`).

        Then, for each task: ``<task> zero-shot`` (yes, no, unknown); ``<task> languages`` (number of languages in the means);
        ``<task> not comparable`` (why its figures cannot stand beside those of other rows, or ""); its
        headline numbers ``<task> <setting> <metric>`` with their 95 % interval in ``... low`` and ``... high``; and ``<task> rank
        low`` and ``<task> rank high``, the ranks by its main number that pairwise tests cannot exclude.

        Missing values are NaN.

    Raises:
        ClirbenchError: There is no such folder or task, or no accepted submission in it.
    """
    if task is not None:
        check_task(task)
    return board_of(accept(submission_folders(submissions), reporter), task, reporter)


def board_of(accepted: Accepted, task: str | None = None, reporter: Reporter | None = None) -> pd.DataFrame:
    """The board of accepted submissions, as :func:`leaderboard` describes it. One that has not changed is remembered.

    Raises:
        ClirbenchError: None of the submissions is on the task, or one was changed since its check.
    """
    remembered, name = Remembered(accepted), json.dumps(["frame", task])
    columns = remembered.recall(name)
    frame: pd.DataFrame
    if columns is None:
        with settled_tasks():
            frame = _computed(accepted, task, reporter)
        remembered.keep(name, columns_of(frame))
    else:
        frame = frame_of_columns(columns)
    frame.attrs["left_out"] = {str(path): reason for path, reason in accepted.left_out.items()}
    return frame


def _computed(accepted: Accepted, task: str | None, reporter: Reporter | None) -> pd.DataFrame:
    read = kept_entries(accepted, reporter)
    entries = [entry for entry in read if task is None or task in entry.results]
    if not entries:
        raise ClirbenchError(
            f"{accepted.paths[0].parent}: holds no submission on {task}: add one, or pass --submissions"
        )
    tasks = [task] if task else list(board_tasks())
    return frame_of(entries, tasks, {name: board_ranks(entries, name) for name in tasks})


def frame_of(
    entries: Sequence[Entry], tasks: Sequence[str], ranks: Mapping[str, Mapping[Path, tuple[int, int]]]
) -> pd.DataFrame:
    """The board of some submissions, as :func:`leaderboard` describes it; ``ranks`` holds :func:`board_ranks` of each task."""
    rows = [_row(entry, tasks) for entry in entries]
    for name in tasks:
        for entry, row in zip(entries, rows, strict=True):
            if entry.folder in ranks[name]:
                row[f"{name} rank low"], row[f"{name} rank high"] = ranks[name][entry.folder]
    frame = pd.DataFrame(rows)
    placed = places(measured_numbers(frame), averaged_tasks())
    for column in PLACES:
        frame[column] = placed[column]
    counts = ("parameters", "embedding_size", "mean rank", "borda rank", " languages", " rank low", " rank high")
    frame = frame.astype({column: "Int64" for column in frame if str(column).endswith(counts)})
    main = [f"{name} {' '.join(board_columns(name).main)}" for name in tasks]
    # What does not compare stands below the figures that do, and above rows without one.
    aside = (frame[f"{tasks[0]} not comparable"] != "").astype(int).mask(frame[main[0]].isna(), 2)
    order = frame.assign(group=frame["evidence"].map(group), aside=aside).sort_values(
        ["group", "aside", *main, "model"], ascending=[True, True, *[False] * len(main), True], na_position="last"
    )
    return frame.loc[order.index].reset_index(drop=True)


def board_ranks(entries: Sequence[Entry], task: str) -> dict[Path, tuple[int, int]]:
    """By submission folder, the best and the worst rank by the task's main number that pairwise tests allow.

    Only measured results have these ranks, because a test needs the values of every topic.
    """
    return ranks_by_main(wins(entries, task, [board_columns(task).main]), task)


def ranks_by_main(tested: Sequence[Wins], task: str) -> dict[Path, tuple[int, int]]:
    """The ranks of :func:`board_ranks`, from tests of a task's numbers."""
    main = by_main(tested, task)
    return main.ranks() if main else {}


def _row(entry: Entry, tasks: Sequence[str]) -> dict[str, object]:
    model, document, averaged = entry.model, entry.document, entry.averaged(tasks)
    mean_tasks, mean_domains = coverage(averaged, averaged_tasks())
    row: dict[str, object] = {
        "model": entry.label,
        "origin": entry.origin,
        "verified": entry.verified(tasks),
        "evidence": standing(entry, tasks),
        "name": row_name(entry),
        "organisation": printable(model.organisation or ""),
        "released": model.released or "",
        "submitted": model.submitted or "",
        "licence": model.licence,
        "parameters": document.model.parameters if document else model.parameters,
        "embedding_size": document.model.dimensions if document else model.embedding_size,
        "coverage": f"{sum(task in entry.results for task in tasks)}/{len(tasks)}",
        "mean": domain_mean(averaged, averaged_tasks()),
        "mean tasks": mean_tasks,
        "mean domains": mean_domains,
        # A place is among the other rows.
        **dict.fromkeys(PLACES),
    }
    for task in tasks:
        row[f"{task} zero-shot"] = model.zero_shot(task) if task in entry.results else ""
        row[f"{task} languages"] = entry.languages(task)
        row[f"{task} not comparable"] = entry.not_comparable(task)
        for setting, metric in board_columns(task).headline:
            estimate = entry.estimate(task, setting, metric)
            for suffix, end in (("", "value"), (" low", "low"), (" high", "high")):
                value = getattr(estimate, end) if estimate else None
                row[f"{task} {setting} {metric}{suffix}"] = float("nan") if value is None else value
        row[f"{task} rank low"] = row[f"{task} rank high"] = None
    return row
