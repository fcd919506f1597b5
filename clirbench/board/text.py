"""The board as text: CSV and JSON for programs; Markdown, LaTeX and a frame of texts for people."""

import json
import re
from collections.abc import Callable

import pandas as pd

from clirbench.board.folders import FORMATS
from clirbench.submissions.safe_text import begins_formula
from clirbench.support.errors import ClirbenchError
from clirbench.support.terminal import cell
from clirbench.tasks.task_file import board_columns, board_tasks

SHORT = {"monolingual": "mono", "cross-lingual": "cross", "multilingual": "multi", "bias": "rank dist."}
# A column that names only a setting is mean average precision.
_NAMES = {"rank_distance": "", "mAP": ""}


def board_text(frame: pd.DataFrame, style: str) -> str:
    """The board as CSV, JSON (both with every column, shares in 0 to 1), Markdown or LaTeX (as shown, x100)."""
    return _text(frame, style, shown_board)


def moves_text(moved: pd.DataFrame, style: str) -> str:
    """What :func:`clirbench.board.aggregate.rank_moves` gives, as :func:`board_text` writes a board."""
    return _text(moved, style, shown_moves)


def _text(frame: pd.DataFrame, style: str, show: Callable[[pd.DataFrame], pd.DataFrame]) -> str:
    if style == "csv":
        return str(frame.map(_inert).to_csv(index=False, lineterminator="\n"))
    if style == "json":
        records = frame.astype(object).where(frame.notna(), None).to_dict("records")
        return json.dumps(records, indent=1, ensure_ascii=False) + "\n"
    shown = show(frame)
    if style == "markdown":
        rows = [list(shown.columns), ["---"] * len(shown.columns), *shown.to_numpy().tolist()]
        return "".join("| " + " | ".join(_markdown(value) for value in row) + " |\n" for row in rows)
    if style == "latex":
        return str(shown.style.hide(axis="index").format(escape="latex").to_latex(hrules=True))
    raise ClirbenchError(f"--format is '{style}': use {', '.join(FORMATS)}")


def shown_board(frame: pd.DataFrame) -> pd.DataFrame:
    """The board as a frame of texts. A missing number is "-". A task that nobody ran has no columns."""
    shown = pd.DataFrame({"model": frame["model"]})
    for task in board_tasks():
        keys = [column_key(task, *column) for column in board_columns(task).headline]
        # A frame of one task lacks the columns of the others.
        if not frame.reindex(columns=keys).notna().any(axis=None):
            continue
        ranks = zip(frame[f"{task} rank low"], frame[f"{task} rank high"], strict=True)
        shown[f"{task} rank"] = [_interval(low, high) for low, high in ranks]
        # A star marks figures that cannot stand beside the others.
        stars = (frame[f"{task} not comparable"] != "").map({True: "*", False: ""})
        for key, (setting, metric) in zip(keys, board_columns(task).headline, strict=True):
            short = " ".join(filter(None, (SHORT[setting], _NAMES.get(metric, metric))))
            numbers = zip(frame[key], frame[f"{key} low"], frame[f"{key} high"], stars, strict=True)
            shown[f"{task} {short}"] = [_number(*one, 1 if setting == "bias" else 100) for one in numbers]
        shown[f"{task} zero-shot"] = frame[f"{task} zero-shot"].replace("", "-")
    shown["mean multi"] = [cell(None if pd.isna(value) else value, 100) for value in frame["mean"]]
    shown["tasks"] = frame["coverage"]
    shown["parameters"] = ["-" if pd.isna(value) else f"{int(value):,}" for value in frame["parameters"]]
    # The outcome of a verification replaces the origin.
    shown["origin"] = [
        "verified" if verified.startswith("agree") else "differs" if verified else origin
        for origin, verified in zip(frame["origin"], frame["verified"], strict=True)
    ]
    return shown


def shown_moves(moved: pd.DataFrame) -> pd.DataFrame:
    """The frame of :func:`clirbench.board.aggregate.rank_moves` as texts: each rank without the task says how far it moves."""
    shown = pd.DataFrame({"model": moved["model"]})
    for name, column in (("mean multi", "mean"), ("mean without", "mean without")):
        shown[name] = [cell(value, 100) for value in moved[column]]
    for name, column in (("rank by mean", "mean rank"), ("rank by Borda", "borda rank")):
        shown[name] = moved[column].astype(str)
        pairs = zip(moved[column], moved[f"{column} without"], strict=True)
        shown[f"{name} without"] = [place_and_move(*pair) for pair in pairs]
    shown["evidence"] = moved["evidence"]
    return shown


def place_and_move(before: int, after: int) -> str:
    """A new place and how far it is from the old one, such as "3 (up 2)"."""
    return f"{after}" if before == after else f"{after} ({'up' if after < before else 'down'} {abs(before - after)})"


def _markdown(value: object) -> str:
    """A cell of a Markdown table. Characters that end the cell or begin markup are escaped."""
    return re.sub(r"([\\|`*_\[\]<>])", r"\\\1", str(value))


def _inert(value: object) -> object:
    """The value; a text that a spreadsheet would read as a formula gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and begins_formula(value) else value


def column_key(task: str, setting: str, metric: str) -> str:
    """The name of a headline number's column in the board's frame."""
    return f"{task} {setting} {metric}"


def _interval(low: int | None, high: int | None) -> str:
    if pd.isna(low) or pd.isna(high):
        return "-"
    return f"{low}" if low == high else f"{low}-{high}"


def _number(value: float, low: float, high: float, star: str, scale: int) -> str:
    if pd.isna(value):
        return "-"
    digits = 0 if scale == 1 else 1
    margin = "" if pd.isna(low) or pd.isna(high) else f" ±{max(high - value, value - low) * scale:,.{digits}f}"
    return f"{cell(value, scale, digits)}{margin}{star}"
