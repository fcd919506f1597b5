"""The content of the win matrix: for each task and number, all measured models against all, the best first."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clirbench.board.names import model_name
from clirbench.board.site.content import EXPLAINED, number
from clirbench.board.wins import Wins
from clirbench.results.compare import is_small
from clirbench.support.errors import printable
from clirbench.tasks.task_file import board_columns

# Rows and columns of a matrix on the page: more have no room there. The files have all.
MOST = 40
# By what tests say of the row against the column, and whether the difference is small: the class of the cell, and its text.
_CELLS = {
    (1, False): ("b", "+"),
    (1, True): ("b s", "+"),
    (-1, False): ("w", "\u2212"),
    (-1, True): ("w s", "\u2212"),
    (0, False): ("", "\u00b7"),
}


def matrices(tested: Mapping[str, Sequence[Wins]]) -> list[dict[str, Any]]:
    """What the page shows, by task: each of its numbers with the rows of its matrix."""
    parts = []
    for task, by_number in tested.items():
        main = board_columns(task).main
        # The number that ranks the rows of the board stands first.
        ordered = sorted(by_number, key=lambda one: (one.setting, one.metric) != main)
        parts.append({"task": task, "matrices": [_matrix(task, one) for one in ordered]})
    return parts


def place(task: str, one: Wins) -> str:
    """Where the file of a matrix stands on the site."""
    return f"data/wins/{task}.{one.setting}.{one.metric}.csv"


def wins_csv(one: Wins) -> str:
    """A matrix as CSV: a row and a column for each model, 1 where the row is shown to be better, -1 worse, 0 no difference."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    folders = [entry.folder.name for entry in one.entries]
    writer.writerow(["model", "value", *folders])
    for folder, value, row in zip(folders, one.values.tolist(), one.better.tolist(), strict=True):
        writer.writerow([folder, f"{value:.6g}", *row])
    return out.getvalue()


def _matrix(task: str, one: Wins) -> dict[str, Any]:
    bias, count = one.setting == "bias", len(one.entries)
    shown = [number(value, 1, 0) if bias else number(value) for value in one.values.tolist()]
    # The short form of a variant: in words, its end would be cut off.
    names = [" + ".join(filter(None, (model_name(entry), printable(entry.variant)))) for entry in one.entries]
    rows = []
    for i in range(min(count, MOST)):
        cells = [("x", "") if i == j else _cell(one, i, j) for j in range(min(count, MOST))]
        won, lost = int((one.better[i] > 0).sum()), int((one.better[i] < 0).sum())
        rows.append(
            {
                "name": names[i],
                "folder": one.entries[i].folder.name,
                "variant": bool(one.entries[i].variant),
                "value": shown[i],
                "cells": cells,
                "counts": [won, count - 1 - won - lost, lost],
            }
        )
    metric = one.metric.replace("_", " ").replace("R@", "Recall@")
    pairs = count * (count - 1) // 2
    apart = int(np.triu(one.better != 0).sum())
    return {
        "key": f"{task}-{one.setting}-{one.metric}".replace("@", "-"),
        "name": EXPLAINED[one.setting][0] + ("" if bias else f", {metric}"),
        "unit": "ranks" if bias else "\u00d7100",
        "rows": rows,
        "count": count,
        "file": place(task, one),
        "says": f"Tests separate {apart} of {pairs} pairs."
        if pairs
        else "One model is measured: there is no pair to test.",
    }


def _cell(one: Wins, i: int, j: int) -> tuple[str, str]:
    sign = int(one.better[i, j])
    return _CELLS[sign, sign != 0 and is_small(one.values[i], one.values[j])]
