"""The board as text: CSV and JSON for programs, Markdown, LaTeX and a frame of texts for people."""

import json
import re

import pandas as pd

from clirbench.support.errors import ClirbenchError
from clirbench.support.terminal import cell
from clirbench.tasks.task_file import board_columns, board_tasks

FORMATS = ("table", "csv", "json", "markdown", "latex")
_SHORT = {"monolingual": "mono", "cross-lingual": "cross", "multilingual": "multi", "bias": ""}
# Mean average precision is meant where a column names a setting only.
_NAMES = {"rank_distance": "rank dist.", "mAP": ""}


def board_text(frame: pd.DataFrame, style: str) -> str:
    """The board as CSV, JSON (both with every column, shares in 0 to 1), Markdown or LaTeX (as shown, x100).

    Raises:
        ClirbenchError: ``style`` is none of these.
    """
    if style == "csv":
        return str(frame.map(_inert).to_csv(index=False, lineterminator="\n"))
    if style == "json":
        records = frame.astype(object).where(frame.notna(), None).to_dict("records")
        return json.dumps(records, indent=1, ensure_ascii=False) + "\n"
    shown = shown_board(frame)
    if style == "markdown":
        rows = [list(shown.columns), ["---"] * len(shown.columns), *shown.to_numpy().tolist()]
        return "".join("| " + " | ".join(_markdown(value) for value in row) + " |\n" for row in rows)
    if style == "latex":
        return str(shown.style.hide(axis="index").format(escape="latex").to_latex(hrules=True))
    raise ClirbenchError(f"--format is '{style}': use {', '.join(FORMATS)}")


def shown_board(frame: pd.DataFrame) -> pd.DataFrame:
    """The board as a frame of texts. A number that is missing is "-", and a task that nobody ran has no columns."""
    shown = pd.DataFrame({"model": frame["model"]})
    tasks = [
        t
        for t in board_tasks()
        if any(column_key(t, *c) in frame and frame[column_key(t, *c)].notna().any() for c in board_columns(t).headline)
    ]
    for task in tasks:
        ranks = zip(frame[f"{task} rank low"], frame[f"{task} rank high"], strict=True)
        shown[f"{task} rank"] = [_interval(low, high) for low, high in ranks]
        for setting, metric in board_columns(task).headline:
            key, scale = column_key(task, setting, metric), 1 if setting == "bias" else 100
            short = " ".join(filter(None, (_SHORT[setting], _NAMES.get(metric, metric))))
            three = zip(frame[key], frame[f"{key} low"], frame[f"{key} high"], strict=True)
            cells = [_number(value, low, high, scale) for value, low, high in three]
            partial = (frame[f"{task} languages"] < len(board_tasks()[task].languages)).fillna(False).tolist()
            shown[f"{task} {short}"] = [
                f"{text}*" if fewer and text != "-" else text for text, fewer in zip(cells, partial, strict=True)
            ]
        shown[f"{task} zero-shot"] = frame[f"{task} zero-shot"].replace("", "-")
    shown["mean multi"] = [cell(None if pd.isna(value) else value, 100) for value in frame["mean"]]
    shown["tasks"] = frame["coverage"]
    shown["parameters"] = ["-" if pd.isna(value) else f"{int(value):,}" for value in frame["parameters"]]
    shown["origin"] = [
        "verified" if verified.startswith("agree") else "differs" if verified else origin
        for origin, verified in zip(frame["origin"], frame["verified"], strict=True)
    ]
    return shown


def _markdown(value: object) -> str:
    """A cell of a Markdown table. What would end the cell or begin markup is escaped."""
    return re.sub(r"([\\|`*_\[\]<>])", r"\\\1", str(value))


def _inert(value: object) -> object:
    """The value. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def column_key(task: str, setting: str, metric: str) -> str:
    """The name of a headline number's column in the board's frame."""
    return f"{task} {setting} {metric}"


def _interval(low: float | None, high: float | None) -> str:
    if low is None or high is None or pd.isna(low) or pd.isna(high):
        return "-"
    return f"{int(low)}" if low == high else f"{int(low)}-{int(high)}"


def _number(value: float, low: float, high: float, scale: int) -> str:
    if pd.isna(value):
        return "-"
    digits = 0 if scale == 1 else 1
    margin = "" if pd.isna(low) or pd.isna(high) else f" ±{max(high - value, value - low) * scale:,.{digits}f}"
    return f"{cell(value, scale, digits)}{margin}"
