"""The content of pages as plain values. The templates lay the values out, and compute nothing."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import humanize
import numpy as np
import pandas as pd

from clirbench.board.aggregate import domain_mean, rank_moves, what_it_covers, what_moved
from clirbench.board.entries import Entry
from clirbench.board.site.charts import Point
from clirbench.board.standing import STANDINGS, standing
from clirbench.board.text import SHORT, shown_moves
from clirbench.metrics.bias import BIAS, PoolLists
from clirbench.metrics.retrieval import METRICS, RankedLists
from clirbench.results.schema import EstimatePart
from clirbench.tasks.task_file import averaged_tasks, board_columns, board_tasks

_VARIANT = re.compile(r"[-_/](x-x-mono|x-x|x-y|mono|cross|hybrid)$")
# A folder's name in an address.
quoted = partial(quote, safe="")
_ORDER = ("x-x-mono", "x-x", "mono", "hybrid", "x-y", "cross")


@dataclass(frozen=True)
class Cell:
    """A number as text, and the value by which its column is sorted. ``margin``, ``mark`` and ``heat`` may be empty."""

    text: str
    value: float | None
    margin: str = ""
    mark: str = ""
    heat: str = ""


def number(value: float | None, scale: float = 100, digits: int = 1) -> str:
    """A number as text, by default x100 with one decimal; "–" if it is missing."""
    return "–" if value is None or math.isnan(value) else f"{value * scale:,.{digits}f}"


def estimate_cell(estimate: EstimatePart | None, setting: str, partial: bool = False) -> Cell:
    """A headline number of the board. ``partial`` marks a mean over fewer languages than the task has."""
    if estimate is None or estimate.value is None:
        return Cell("–", None)
    scale, digits = (1, 0) if setting == "bias" else (100, 1)
    return shown_cell(estimate, scale, digits, "*" if partial else "")


def shown_cell(estimate: EstimatePart, scale: float, digits: int, mark: str = "") -> Cell:
    """An estimate and its margin, both multiplied by ``scale``."""
    margin = "" if estimate.margin is None else number(estimate.margin, scale, digits)
    return Cell(number(estimate.value, scale, digits), estimate.value, margin, mark)


def origin(entry: Entry, tasks: Sequence[str]) -> str:
    """The origin of an entry's figures: "verified" (on one of these tasks), "differs", "measured" or "reported"."""
    behind = standing(entry, tasks)
    return entry.origin if behind == "verified on another task" else behind


def board_row(entry: Entry, tasks: Sequence[str], ranks: dict[str, tuple[int, int] | None]) -> dict[str, Any]:
    """One row of a board: cells by column, and the values that filters use."""
    document = entry.document
    cells = {}
    for task in tasks:
        languages = entry.languages(task)
        partial = languages is not None and languages < len(board_tasks()[task].languages)
        for setting, metric in board_columns(task).headline:
            cells[f"{task}.{setting}.{metric}"] = estimate_cell(entry.estimate(task, setting, metric), setting, partial)
    mean = domain_mean(entry.averaged(tasks), averaged_tasks())
    speed = document.cost.texts_per_second if document else None
    parameters = document.model.parameters if document else entry.model.parameters
    # Over the shown tasks: any "no" gives "no"; otherwise any "unknown" gives "unknown".
    answers = {entry.model.zero_shot(task) for task in tasks if task in entry.results}
    zero_shot = "no" if "no" in answers else "unknown" if "unknown" in answers else "yes"
    return {
        "folder": entry.folder.name,
        "label": entry.label,
        "cells": cells,
        "ranks": ranks,
        "mean": Cell(number(mean), mean),
        "parameters": Cell(size(parameters), parameters),
        "speed": Cell(number(speed, 1, 0), speed),
        "zero_shot": zero_shot,
        "licence": entry.model.licence or "unknown",
        "licence_kind": (entry.model.licence or "unknown").split(";")[0].strip().lower(),
        "origin": origin(entry, tasks),
        "standing": STANDINGS.index(standing(entry, tasks)),
        "also": entry.verification.task
        if standing(entry, tasks) == "verified on another task" and entry.verification
        else "",
        "tasks": [task for task in tasks if task in entry.results],
    }


def size(parameters: int | None) -> str:
    """Parameters as 23 M or 1.5 B."""
    if not parameters:
        return "–" if parameters is None else "0"
    return humanize.metric(parameters, precision=2).replace("G", "B")


def plot_points(entries: Sequence[Entry], task: str) -> list[Point]:
    """The models that have both numbers of the plot."""
    points = []
    for entry in entries:
        across, up = entry.estimate(task, "multilingual", "mAP"), entry.estimate(task, "bias", "rank_distance")
        if across is None or up is None or across.value is None or up.value is None:
            continue
        variant = _VARIANT.search(entry.label)
        points.append(
            Point(
                label=entry.label,
                href=f"models/{quoted(entry.folder.name)}.html",
                x=across.value,
                y=up.value,
                origin=origin(entry, [task]),
                verified=standing(entry, [task]).startswith("verified"),
                family=f"{entry.label[: variant.start()]} {entry.model.base_model}" if variant else None,
                order=_ORDER.index(variant[1]) if variant else 0,
            )
        )
    return points


def over_tasks(frame: pd.DataFrame, folders: Mapping[str, str]) -> dict[str, Any]:
    """The page of the aggregate: what it covers, and the rows with all of its tasks, ranked with and without each task.

    ``folders`` gives the folder of each row by its label.
    """
    averaged = list(averaged_tasks())
    moves = {task: rank_moves(frame, task) for task in averaged if len(averaged) > 1}
    names = {task: board_tasks()[task].name for task in moves}
    tables = [shown_moves(moved) for moved in moves.values()]
    rows = []
    for i in tables[0].index if tables else ():
        one = tables[0].loc[i]
        cells = [one[name] for name in ("mean multi", "rank by mean", "rank by Borda")]
        cells += [table.at[i, f"rank by {by} without"] for table in tables for by in ("mean", "Borda")]
        rows.append(
            {"label": one["model"], "folder": folders[one["model"]], "evidence": one["evidence"], "cells": cells}
        )
    moved = [what_moved(table, names[task]) for task, table in moves.items()]
    return {"covers": what_it_covers(frame), "moved": moved, "names": list(names.values()), "rows": rows}


def worked_example() -> dict[str, Any]:
    """Every metric, computed for a query with two golds at ranks 2 and 5 of a pool of 20."""
    lists = RankedLists.of(np.array([0, 0]), np.array([2, 5], dtype=np.int32))
    pool = PoolLists(lists, own=np.array([True, False]), language=np.array([0, 1]), pool=20)
    rows = [(name, number(float(metric.compute(lists)[0]), 1, 4)) for name, metric in METRICS.items()]
    rows += [(name, number(float(measure.compute(pool)[0]), 1, 4)) for name, measure in BIAS.items()]
    return {"ranks": [2, 5], "pool": 20, "rows": rows}


def heat(share: float | None) -> str:
    """The class of a heat map's colour for a value of 0 to 1."""
    return "" if share is None else f"h{round(20 * min(max(share, 0.0), 1.0))}"


def column_names(task: str) -> list[str]:
    """Short names of a task's columns: the setting if all have one metric, the metric if all have one setting."""
    headline = board_columns(task).headline
    settings, metrics = ({column[i] for column in headline if column[0] != "bias"} for i in (0, 1))

    def of(setting: str, metric: str) -> str:
        if setting == "bias":
            return SHORT["bias"]
        long = metric.replace("R@", "Recall@")
        return SHORT[setting] if len(metrics) == 1 else long if len(settings) == 1 else f"{SHORT[setting]} {long}"

    return [of(*column) for column in headline]


def column_kinds(task: str) -> str:
    """What the columns of a task contain, for the caption of its table."""
    headline = board_columns(task).headline
    metrics = dict.fromkeys(metric.replace("R@", "Recall@") for setting, metric in headline if setting != "bias")
    bias = [metric.replace("_", " ") for setting, metric in headline if setting == "bias"]
    return " and ".join([" and ".join(metrics) + " x100", *bias])
