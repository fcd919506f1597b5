"""The board and its moves as plain data that a terminal shows: titles, tables and sentences."""

from typing import Any

import pandas as pd

from clirbench.board.aggregate import what_it_covers, what_moved
from clirbench.board.standing import group, verified_share
from clirbench.board.text import SHORT, column_key, shown_board, shown_moves
from clirbench.tasks.task_file import board_columns, board_tasks

# A kind, "title", "text" or "table", with a text or a table. A table is a dict: "columns" with a heading and whether it holds
# words; "keep", the headings of columns that are never left out; "rows" with their cells; and "styles" of rows.
Part = tuple[str, Any]


def board_parts(frame: pd.DataFrame) -> list[Part]:
    """One table per task, by the main number, figures of publications below the others; tasks that nobody ran are left out."""
    shown = shown_board(frame)
    parts: list[Part] = []
    for name in board_tasks():
        columns = [column for column in shown.columns if column.startswith(f"{name} ")]
        numbers = shown[[column for column in columns if not column.endswith("zero-shot")]]
        present = frame[(numbers != "-").any(axis=1)]
        if present.empty:
            continue
        aside = present[f"{name} not comparable"]
        placed = present.assign(aside=aside != "", group=present["evidence"].map(group))
        ranked = placed.sort_values(
            ["group", "aside", column_key(name, *board_columns(name).main), "model"],
            ascending=[True, True, False, True],
            na_position="last",
        )
        headings = ["model", *columns, "parameters", "origin"]
        words = [column in ("model", "origin") or column.endswith("zero-shot") for column in headings]
        table = {
            "columns": [[one.removeprefix(f"{name} "), left] for one, left in zip(headings, words, strict=True)],
            # A figure of a publication must not be taken for a measured one.
            "keep": ["origin"],
            "rows": [[str(value) for value in row] for row in shown.loc[ranked.index, headings].to_numpy().tolist()],
            "styles": ["dim italic" if origin == "reported" else "" for origin in shown.loc[ranked.index, "origin"]],
        }
        above = f"{name}: x100 ± 95 % margin; rank: what pairwise tests over topics cannot exclude"
        if any(column.endswith(SHORT["bias"]) for column in columns):
            above += f"; {SHORT['bias']}: lower is better"
        parts += [("title", above), ("table", table)]
        if any(str(text).endswith("*") for column in columns for text in shown.loc[ranked.index, column]):
            reasons = "; ".join(dict.fromkeys(aside[aside != ""]))
            parts.append(("text", f"* not comparable with the others: {reasons}"))
    if (frame["origin"] == "measured").any():
        run_again = "a maintainer ran a sample of them again."
        parts.append(("text", f"{verified_share(frame['evidence'])}: {run_again}"))
    parts.append(("text", "parameters and zero-shot: as the submitters say, not recomputed"))
    if (frame["origin"] == "reported").any():
        caveat = "reported: figures of a publication, not recomputed and not tested; see their caveats in submissions/"
        parts.append(("text", caveat))
    return parts


def moves_parts(frame: pd.DataFrame, moved: pd.DataFrame, left_out: str) -> list[Part]:
    """How ranks over tasks move when one is left out, and what the mean of the board covers."""
    parts: list[Part] = []
    if len(moved):
        shown = shown_moves(moved)
        rows = shown.to_numpy().tolist()
        table = {
            "columns": [[heading, heading in ("model", "evidence")] for heading in shown.columns],
            "keep": ["rank by mean", "rank by mean without"],
            "rows": rows,
            "styles": [""] * len(rows),
        }
        parts += [
            ("title", f"ranks over tasks, and without {left_out}; means x100"),
            ("table", table),
            ("text", what_moved(moved, left_out)),
        ]
    return [*parts, ("text", " ".join(what_it_covers(frame)))]
