"""The board on a terminal: what `clirbench leaderboard` prints."""

import pandas as pd
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from clirbench.board.text import column_key, shown_board
from clirbench.support.terminal import plain_table, title
from clirbench.tasks.task_file import board_columns, board_tasks


def board_tables(frame: pd.DataFrame, console: Console) -> Group:
    """One table per task, best model first, reported figures last; tasks that nobody ran are left out.

    Args:
        frame: The board, as :func:`clirbench.leaderboard` gives it.
        console: Where it will be printed.
    """
    shown = shown_board(frame)
    parts: list[Text | Table] = []
    for name, task in board_tasks().items():
        columns = [column for column in shown.columns if column.startswith(f"{name} ")]
        numbers = shown[[column for column in columns if not column.endswith("zero-shot")]]
        present = frame[(numbers != "-").any(axis=1)]
        if present.empty:
            continue
        ranked = present.assign(reported=present["origin"] == "reported").sort_values(
            ["reported", column_key(name, *board_columns(name).main)], ascending=[True, False], na_position="last"
        )
        table = plain_table(console)
        for column in ("model", *columns, "parameters", "origin"):
            left = column in ("model", "origin") or column.endswith("zero-shot")
            heading = column.removeprefix(f"{name} ")
            table.add_column(heading, justify="left" if left else "right", no_wrap=column == "model")
        for _, row in shown.loc[ranked.index].iterrows():
            style = "dim italic" if row["origin"] == "reported" else ""
            table.add_row(*(str(row[column]) for column in ("model", *columns, "parameters", "origin")), style=style)
        parts += [title(f"{name}: x100 ± 95 % margin; rank: what pairwise tests over topics cannot exclude"), table]
        if any(str(text).endswith("*") for column in columns for text in shown.loc[ranked.index, column]):
            number = len(task.languages)
            parts.append(Text(f"* mean over fewer than the {number} languages of {name}: not comparable"))
    if (frame["origin"] == "reported").any():
        parts.append(
            Text("reported: figures of a publication, not recomputed and not tested; see their caveats in submissions/")
        )
    return Group(*parts)
