"""The content of pages as plain values. The templates lay the values out, and compute nothing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote

import humanize
import numpy as np
import pandas as pd
from markupsafe import Markup

from clirbench.board.aggregate import domain_mean, rank_moves, what_it_covers, what_moved
from clirbench.board.entries import Entry
from clirbench.board.names import in_words, model_name
from clirbench.board.standing import group, standing
from clirbench.board.text import shown_moves
from clirbench.board.wins import Wins
from clirbench.metrics.bias import BIAS, PoolLists
from clirbench.metrics.retrieval import METRICS, RankedLists
from clirbench.results.compare import is_small
from clirbench.results.schema import EstimatePart
from clirbench.support.errors import printable
from clirbench.support.languages import language_name
from clirbench.tasks.task_file import averaged_tasks, board_columns, board_tasks

# A folder's name in an address.
quoted = partial(quote, safe="")


@dataclass(frozen=True)
class Cell:
    """A number as text, and the value by which its column is sorted. ``margin``, ``mark`` and ``heat`` may be empty.

    ``ends`` are those of its interval.
    """

    text: str
    value: float | None
    margin: str = ""
    mark: str = ""
    heat: str = ""
    ends: tuple[float, float] | None = None


def number(value: float | None, scale: float = 100, digits: int = 1) -> str:
    """A number as text, by default x100 with one decimal; "–" if it is missing."""
    if value is None or math.isnan(value):
        return "–"
    text = f"{value * scale:,.{digits}f}"
    # A true minus sign, and none before a zero.
    return text.replace("-", "\u2212" if text.strip("-0.,") else "")


def estimate_cell(estimate: EstimatePart | None, setting: str, partial: bool = False) -> Cell:
    """A headline number of the board. ``partial`` marks a mean over fewer languages than the task has."""
    if estimate is None or estimate.value is None:
        return Cell("–", None)
    scale, digits = (1, 0) if setting == "bias" else (100, 1)
    return shown_cell(estimate, scale, digits, "*" if partial else "")


def shown_cell(estimate: EstimatePart, scale: float, digits: int, mark: str = "") -> Cell:
    """An estimate and its margin, both multiplied by ``scale``."""
    margin = "" if estimate.margin is None else number(estimate.margin, scale, digits)
    ends = None if estimate.low is None or estimate.high is None else (estimate.low, estimate.high)
    return Cell(number(estimate.value, scale, digits), estimate.value, margin, mark, ends=ends)


def origin(entry: Entry, tasks: Sequence[str]) -> str:
    """The origin of an entry's figures: "verified" (on one of these tasks), "differs", "measured" or "reported"."""
    behind = standing(entry, tasks)
    return entry.origin if behind == "verified on another task" else behind


@dataclass(frozen=True)
class Column:
    """A column of a board's table. ``kind`` says how its cells look: rank, model, bar, number, size or evidence.

    ``key`` is what it is sorted by. ``lower`` says that low values are best, and ``about`` is its key in ``EXPLAINED``.
    """

    key: str
    kind: str
    name: str
    under: str = ""
    about: str = ""
    lower: bool = False


# What each column of a board says: one list for the pages of all tasks.
EXPLAINED = {
    "rank": (
        "Rank range",
        "The places that this row may have by its main number. Tests over questions cannot exclude any of them. Two rows with "
        "ranges that do not overlap differ, by a test. Where ranges overlap, compare the two. Folded rows count too.",
    ),
    "model": (
        "Model",
        "What people call the model, who made it, and its name on this board. Rows with a transform fold under their model.",
    ),
    "multilingual": (
        "All languages in one pool",
        "Mean average precision ×100 where each question is ranked against the candidates of all languages at once, and the "
        "answer in every language counts. The line is the 95 % interval. A pale bar is the best folded row.",
    ),
    "monolingual": (
        "Same language",
        "The question and all candidates are in one language. A mean over languages, ×100, with its 95 % margin.",
    ),
    "cross-lingual": (
        "Across languages",
        "All candidates are in one other language than the question. A mean over language pairs, ×100, with its 95 % margin.",
    ),
    "bias": (
        "Rank distance",
        "How far apart the answers to one question stand in the pool of all languages: the worst rank minus the best. Low is "
        "fair: no language waits behind another. Read it beside the mAP, because a model that ranks all answers last has a low "
        "distance too.",
    ),
    "size": ("Size", "Parameters, as the submitters say (\u2020): nobody can recompute it."),
    "evidence": (
        "Evidence",
        "Verified: a maintainer ran a part of it again, and the ranks agree. Measured: every number is recomputed from its "
        "ranks. Reported: figures of a publication, neither recomputed nor tested. They stand in a group of their own.",
    ),
    "mean": (
        "Mean over tasks",
        "The mean of the tasks' main numbers, over domains and then over the tasks of each. Only rows with all of these tasks "
        "have it.",
    ),
    "main": ("Main number of the task", "The number that ranks the rows of the task, ×100, with its 95 % margin."),
}
_SETTING_NAMES = {key: EXPLAINED[key][0] for key in ("monolingual", "cross-lingual", "multilingual", "bias")}


def columns(task: str, ranked: bool) -> list[Column]:
    """The columns of one task's table: its main number as a bar, then the others. ``ranked`` says that rows have ranks."""
    board = board_columns(task)
    alike = len({setting for setting, _ in board.headline if setting != "bias"}) == 1

    def of(setting: str, metric: str, kind: str) -> Column:
        key, long = f"{task}.{setting}.{metric}", metric.replace("R@", "Recall@")
        if setting == "bias":
            return Column(key, kind, _SETTING_NAMES[setting], "low is fair", "bias", lower=True)
        if alike:
            return Column(key, kind, long, _SETTING_NAMES[setting].lower(), setting)
        return Column(key, kind, _SETTING_NAMES[setting], f"{long} ×100", setting)

    rank = [Column(f"{task}.rank", "rank", "Rank", "range", "rank", lower=True)] if ranked else []
    others = [of(*one, "number") for one in board.headline if one != board.main]
    return [*rank, *_MODEL, of(*board.main, "bar"), *others, *_LAST]


def overview_columns(tasks: Sequence[str], ranked: Sequence[str]) -> list[Column]:
    """The columns of the table over all tasks: the mean, and of each task the rank and the main number."""
    mean = [Column("mean", "number", "Mean", "over tasks", "mean")] if set(averaged_tasks()) <= set(tasks) else []
    shown = []
    for task in tasks:
        setting, metric = board_columns(task).main
        name = board_tasks()[task].name
        if task in ranked:
            shown.append(Column(f"{task}.rank", "rank", name, "rank range", "rank", lower=True))
        shown.append(Column(f"{task}.{setting}.{metric}", "number", name, f"{metric} ×100", "main"))
    return [*_MODEL, *(mean if averaged_tasks() else []), *shown, *_LAST]


_MODEL = (Column("model", "model", "Model", "", "model"),)
_LAST = (
    Column("parameters", "size", "Size\u2020", "", "size"),
    Column("origin", "evidence", "Evidence", "", "evidence"),
)


def board_row(entry: Entry, tasks: Sequence[str], ranks: dict[str, tuple[int, int] | None]) -> dict[str, Any]:
    """One row of a board: cells by column, and the values that filters use."""
    document = entry.document
    cells = {}
    for task in tasks:
        aside = len(tasks) > 1 and entry.not_comparable(task) != ""
        for setting, metric in board_columns(task).headline:
            cell = estimate_cell(entry.estimate(task, setting, metric), setting, aside)
            # Beside other rows, a figure that does not compare is shown, and never sorted by.
            cells[f"{task}.{setting}.{metric}"] = replace(cell, value=None) if aside else cell
        low, high = ranks[task] or (None, None)
        cells[f"{task}.rank"] = Cell(
            "\u2013" if low is None else f"{low}" if low == high else f"{low}\u2013{high}", low
        )
    mean = domain_mean(entry.averaged(tasks), averaged_tasks())
    parameters = document.model.parameters if document else entry.model.parameters
    # Over the shown tasks: any "no" gives "no"; otherwise any "unknown" gives "unknown".
    answers = {entry.model.zero_shot(task) for task in tasks if task in entry.results}
    zero_shot = "no" if "no" in answers else "unknown" if "unknown" in answers else "yes"
    organisation = printable(entry.model.organisation or "")
    return {
        "folder": entry.folder.name,
        "label": entry.label,
        "name": model_name(entry),
        "variant": in_words(entry.variant),
        "full": " \u00b7 ".join(filter(None, (organisation, entry.label))),
        "cells": cells | {"mean": Cell(number(mean), mean), "parameters": Cell(size(parameters), parameters)},
        "zero_shot": zero_shot,
        "licence_kind": _licence_kind(entry.model.licence),
        "origin": origin(entry, tasks),
        "group": group(standing(entry, tasks)),
        "also": entry.verification.task
        if standing(entry, tasks) == "verified on another task" and entry.verification
        else "",
        "aside": entry.not_comparable(tasks[0]) if len(tasks) == 1 else "",
    }


def _licence_kind(licence: str) -> str:
    """A licence as a choice of the filter: its name before details, or "terms of its own" for an address."""
    kind = (licence or "unknown").split(";")[0].strip().lower()
    return "terms of its own" if "://" in kind else kind


def folded(head: dict[str, Any], rows: Sequence[dict[str, Any]], task: str, tested: Wins | None) -> dict[str, Any]:
    """The best folded row beside its model's: how far it reaches, and in words what it takes. Empty without one.

    ``tested`` has the tests of the task's main number.
    """
    main = ".".join((task, *board_columns(task).main))
    known = [row for row in rows if row["cells"][main].value is not None]
    if not known or head["cells"][main].value is None:
        return {}
    best = max(known, key=lambda row: row["cells"][main].value)
    cell, own = best["cells"][main], head["cells"][main]
    if not best["variant"]:
        return {"text": cell.text, "words": f"in another source, {best['full']}", "reach": None}
    # What does little needs no name beside its model's number.
    words = f"with {best['variant']}"
    if tested is not None and not tested.compared(best["label"], head["label"]):
        words = "transformed, no difference shown"
    elif is_small(cell.value, own.value):
        words = "transformed, a small difference"
    return {"text": cell.text, "words": words, "reach": cell.value}


def colours(rows: Sequence[Mapping[str, Any]], shown: Sequence[Column]) -> None:
    """Give the cells of each column of numbers a calm colour by their place between its least and its most.

    Distances are taken by their logarithm, and the lowest has the most colour.
    """
    for column in shown:
        values = [v for row in rows if column.kind == "number" and (v := row["cells"][column.key].value) is not None]
        if len(values) < 2:
            continue
        scale = (lambda v: -math.log(max(v, 1.0))) if column.lower else float
        least, most = min(map(scale, values)), max(map(scale, values))
        for row in rows:
            cell = row["cells"][column.key]
            if cell.value is not None and most > least:
                row["cells"][column.key] = replace(
                    cell, heat=f"h{round(9 * (scale(cell.value) - least) / (most - least))}"
                )


def size(parameters: int | None) -> str:
    """Parameters as 23 M or 1.5 B."""
    if not parameters:
        return "–" if parameters is None else "0"
    return humanize.metric(parameters, precision=2).replace("G", "B")


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


@lru_cache(maxsize=4096)
def named(code: str) -> Markup:
    """A language's name and its code; the code alone where the name is not known."""
    name = language_name(code)
    if name == code:
        return Markup("{}").format(code)
    return Markup('{} <small class="code">{}</small>').format(name, code)


@lru_cache(maxsize=4096)
def short(code: str) -> Markup:
    """A language's code, with its name for who points at it or has it read."""
    return Markup('<abbr title="{}">{}</abbr>').format(language_name(code), code)


def heat(share: float | None) -> str:
    """The class of a heat map's colour for a value of 0 to 1."""
    return "" if share is None else f"h{round(20 * min(max(share, 0.0), 1.0))}"


def column_kinds(task: str) -> str:
    """What the columns of a task contain, for the caption of its table."""
    headline = board_columns(task).headline
    metrics = dict.fromkeys(metric.replace("R@", "Recall@") for setting, metric in headline if setting != "bias")
    bias = [metric.replace("_", " ") for setting, metric in headline if setting == "bias"]
    return " and ".join([" and ".join(metrics) + " x100", *bias])
