"""The verdict of a board on one task: who is first, whether tests separate it from the next, and what publications say."""

from typing import Any

import pandas as pd

from clirbench.board.wins import Wins
from clirbench.results.compare import is_small
from clirbench.tasks.task_file import board_columns


def verdict(frame: pd.DataFrame, task: str, tested: Wins | None) -> list[str]:
    """Sentences on the rows of ``clirbench.leaderboard``, the first of them on the measured row with the highest main number.

    ``tested`` has the tests of the task's main number.

    What nobody has run again leads no board alone: where the first row is not verified, a sentence names the first that is.
    """
    setting, metric = board_columns(task).main
    main = f"{task} {setting} {metric}"
    measured = frame[frame[f"{task} rank low"].notna()].sort_values(main, ascending=False, kind="stable")
    told = ["No row is measured."]
    if len(measured):
        told = [_first(measured, main, metric, tested), *_verified(measured, main), *_fair(measured, task)]
    published = frame[(frame["origin"] == "reported") & (frame[f"{task} not comparable"] == "") & frame[main].notna()]
    if len(published):
        low, high = 100 * published[main].min(), 100 * published[main].max()
        figures = f"{low:.1f}" if len(published) == 1 else f"{low:.1f} to {high:.1f}"
        told.append(f"Published figures say {figures}, and nobody has run those models here.")
    return told


def _first(measured: pd.DataFrame, main: str, metric: str, tested: Wins | None) -> str:
    first = measured.iloc[0]
    said = f"Of {len(measured)} measured rows, {first['name']} is first ({metric} {100 * first[main]:.1f})"
    # Beside its own transforms, a model stands alone.
    others = measured[measured["model"].str.partition(" + ")[0] != first["model"].partition(" + ")[0]]
    if not len(others):
        return f"{first['name']} is first ({metric} {100 * first[main]:.1f}), and no other model is measured."
    second = others.iloc[0]
    other = f"the next model, {_named(second, main)}"
    if tested is None or tested.compared(first["model"], second["model"]) != 1:
        return f"{said}; tests do not separate it from {other}."
    small = ", by a small difference" if is_small(first[main], second[main]) else ""
    return f"{said}; tests separate it from {other}{small}."


def _verified(measured: pd.DataFrame, main: str) -> list[str]:
    if measured.iloc[0]["evidence"] == "verified":
        return []
    again = measured[measured["evidence"] == "verified"]
    if not len(again):
        return ["Nobody has run any of them again on this task."]
    return [f"Nobody has run that row again; of those that somebody has, {_named(again.iloc[0], main)} is first."]


def _fair(measured: pd.DataFrame, task: str) -> list[str]:
    """How far apart the answers to a question stand in the first row, and where they stand closest."""
    column = f"{task} bias rank_distance"
    if column not in measured or pd.isna(measured.iloc[0][column]):
        return []
    distances = measured[column].dropna()
    own, least = (f"{one:,.0f}" for one in (distances.iloc[0], distances.min()))
    said = f"With {measured.iloc[0]['name']}, the answers to one question stand {own} ranks apart on average"
    if len(distances) == 1:
        return [f"{said}."]
    if own == least:
        return [f"{said}; no measured row is fairer."]
    return [f"{said}; the fairest measured row has {least} ({measured.at[distances.idxmin(), 'name']})."]


def _named(row: Any, main: str) -> str:
    return f"{row['name']} ({100 * row[main]:.1f})"
