"""The aggregate of a board: a mean over domains and their tasks, Borda's count beside it, and both without one of the tasks."""

from collections.abc import Iterable, Mapping
from statistics import fmean

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clirbench.board.standing import group
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task_file import averaged_tasks, board_columns

# Columns of a board that compare its rows over all tasks of the mean. Only measured rows have them.
PLACES = ("mean rank", "borda points", "borda rank")


def domain_mean(numbers: Mapping[str, float], domains: Mapping[str, str]) -> float | None:
    """Mean over domains of the mean over each domain's tasks; None unless every task has a number.

    A mean over those tasks that happen to be there would be of other tasks in each row, and leaving out a hard one would lift a
    model. Sums are exact before they are rounded, so that the order of tasks changes no digit.

    Args:
        numbers: The main number of each task that was run.
        domains: The domain of each task of the mean.
    """
    if not domains or not domains.keys() <= numbers.keys():
        return None
    return fmean([fmean([numbers[task] for task in tasks]) for tasks in _by_domain(domains).values()])


def coverage(ran: Iterable[str], domains: Mapping[str, str]) -> tuple[str, str]:
    """How many tasks of the mean were run, and how many domains with all their tasks, each as "run/all"."""
    done, groups = set(ran) & domains.keys(), _by_domain(domains).values()
    return f"{len(done)}/{len(domains)}", f"{sum(done.issuperset(tasks) for tasks in groups)}/{len(groups)}"


def places(numbers: pd.DataFrame, domains: Mapping[str, str]) -> pd.DataFrame:
    """The places of the rows that have every task, by the mean and by Borda's count.

    On each task, a row gets a point for every row below it and half a point for every row with the same number. Its points
    are added over tasks (Borda 1781; for benchmarks Colombo et al. 2022, arXiv 2202.03799, and MMTEB, arXiv 2502.13595). Each
    task has one vote, whatever its domain. Rows that lack a task are not counted at all: mteb gives them no points on it.

    Args:
        numbers: A row per model and a column per task, NaN where there is no number; higher is better.
        domains: The domain of each task of the mean.

    Returns:
        By the index of ``numbers``: ``mean``, ``mean rank``, ``borda points`` and ``borda rank``. The best rank is 1, and equal
        rows share the best of their ranks.
    """
    whole = _with_every_task(numbers, domains)
    means = np.array([domain_mean(dict(zip(domains, row, strict=True)), domains) for row in whole.to_numpy()], float)
    points = (whole.rank() - 1).sum(axis=1).to_numpy()
    columns = (means, _ranks(means), points, _ranks(points))
    return pd.DataFrame(dict(zip(("mean", *PLACES), columns, strict=True)), index=whole.index)


def measured_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The main numbers of the mean's tasks on a board of ``clirbench.leaderboard``; NaN where a row is not measured on a task."""
    return pd.DataFrame(
        {
            # A task's rank is given for just the rows that are measured on it.
            task: frame[" ".join((task, *board_columns(task).main))].where(frame[f"{task} rank low"].notna())
            for task in averaged_tasks()
            if f"{task} rank low" in frame
        },
        index=frame.index,
        dtype=float,
    )


def rank_moves(frame: pd.DataFrame, left_out: str) -> pd.DataFrame:
    """How the rows of a board move when one task is left out of the mean and of Borda's count.

    Only measured rows with every task of the mean are in it, so that a rank moves because of the task that is left out, and never
    because other rows come in. A domain whose only task is left out has no part in the mean.

    Args:
        frame: The board of all tasks, from ``clirbench.leaderboard``.
        left_out: A task of the mean.

    Returns:
        ``model``, ``evidence``, the columns of :func:`places`, and the same without the task, with " without" behind their names.
        Rows stand by their mean rank, and last those whose verification found other ranks.

    Raises:
        ClirbenchError: The mean has no such task, or no other one.
    """
    domains = averaged_tasks()
    if left_out not in domains:
        known = f"use {', '.join(domains)}" if domains else "no task says 'board.mean = true'"
        raise ClirbenchError(f"--leave-out is '{left_out[:40]}', which is not in the mean: {known}")
    rest = {task: domain for task, domain in domains.items() if task != left_out}
    if not rest:
        raise ClirbenchError(f"--leave-out is '{left_out}', the only task of the mean: without it nothing is ranked")
    whole = _with_every_task(measured_numbers(frame), domains)
    both = places(whole, domains).join(places(whole, rest).add_suffix(" without"))
    moved = frame[["model", "evidence"]].join(both, how="inner")
    order = moved.assign(group=moved["evidence"].map(group)).sort_values(["group", "mean rank", "model"])
    return moved.loc[order.index].reset_index(drop=True)


def what_moved(moved: pd.DataFrame, left_out: str) -> str:
    """The sentence that says how much of the order :func:`rank_moves` changes. ``left_out`` is the task's name for people."""
    pairs = len(moved) * (len(moved) - 1) // 2
    mean, borda = (_turned(moved[f"{by} rank"], moved[f"{by} rank without"]) for by in ("mean", "borda"))
    return f"Without {left_out}, {mean} of {pairs} pairs of rows change their order by the mean, and {borda} by Borda's count."


def what_it_covers(frame: pd.DataFrame) -> list[str]:
    """Sentences on what the mean of a board is over, which rows have it, and when it says nothing."""
    domains = averaged_tasks()
    if not domains:
        return ["No task of this board is in the mean, so there is none."]
    groups = _by_domain(domains)
    listed = "; ".join(f"{domain}: {', '.join(tasks)}" for domain, tasks in groups.items())
    told = [f"The mean is over {_number(groups, 'domain')} and {_number(domains, 'task')} ({listed})."]
    if len(groups) == 1:
        told.append(f"All of it is {next(iter(groups))} text: it says nothing about any other domain.")
    if len(domains) == 1:
        told.append("With one task, it is that task's main number, and no task can be left out.")
    numbers = measured_numbers(frame)
    whole = _with_every_task(numbers, domains)
    measured = frame.index[frame["origin"] == "measured"]
    told.append(
        f"{len(whole)} of {_number(measured, 'measured row')} were run on all of its tasks, and are ranked here."
    )
    lacking = numbers.reindex(columns=list(domains)).loc[measured].isna().sum()
    if lacking.any():
        told.append(f"The others lack {', '.join(f'{task} ({n})' for task, n in lacking.items() if n)}.")
    return told


def _by_domain(domains: Mapping[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for task, domain in domains.items():
        groups.setdefault(domain, []).append(task)
    return groups


def _with_every_task(numbers: pd.DataFrame, domains: Mapping[str, str]) -> pd.DataFrame:
    # Without any task, every row would have all of them.
    return numbers.reindex(columns=list(domains)).dropna() if domains else numbers.iloc[:0, :0]


def _ranks(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Places from 1, the highest value first; equal values share the best of their places."""
    # Of pandas, which is loaded already: scipy's statistics take longer to load than a board to read.
    places: NDArray[np.int64] = pd.Series(-values).rank(method="min").to_numpy().astype(np.int64)
    return places


def _turned(first: pd.Series, second: pd.Series) -> int:
    """The number of pairs that stand in one order by the first ranks, and in the other by the second."""
    signs = [np.sign(np.subtract.outer(ranks.to_numpy(), ranks.to_numpy())) for ranks in (first, second)]
    return int((signs[0] * signs[1] < 0).sum()) // 2


def _number(things: Iterable[object], name: str) -> str:
    count = len(list(things))
    return f"{count} {name}{'' if count == 1 else 's'}"
