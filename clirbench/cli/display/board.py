"""The board on a terminal: what `clirbench leaderboard` prints."""

import pandas as pd
from rich.console import Console, Group
from rich.text import Text

from clirbench.board.text import column_key, shown_board
from clirbench.support.terminal import plain_table, title
from clirbench.tasks.task_file import board_columns, board_tasks


def board_tables(frame: pd.DataFrame, console: Console) -> Group:
    """One table per task, best model first, reported figures last; a line under it where a row is a mean over fewer languages."""
    shown = shown_board(frame)
    parts: list[object] = []
    for task in board_tasks():
        columns = [column for column in shown.columns if column.startswith(f"{task} ")]
        present = [
            i for i in range(len(shown)) if any(shown.iloc[i][c] != "-" for c in columns if not c.endswith("zero-shot"))
        ]
        if not columns or not present:
            continue
        order = frame.loc[present].assign(reported=frame["origin"] == "reported")
        by = ["reported", column_key(task, *board_columns(task).main)]
        table = plain_table(console)
        for column in ("model", *columns, "parameters", "origin"):
            left = column in ("model", "origin") or column.endswith("zero-shot")
            table.add_column(
                column.removeprefix(f"{task} "), justify="left" if left else "right", no_wrap=column == "model"
            )
        for i in order.sort_values(by, ascending=[True, False], na_position="last").index:
            row = shown.loc[i]
            style = "dim italic" if row["origin"] == "reported" else ""
            table.add_row(*(str(row[c]) for c in ("model", *columns, "parameters", "origin")), style=style)
        parts += [title(f"{task}: x100 ± 95 % margin; rank: what pairwise tests over topics cannot exclude"), table]
        if any(str(text).endswith("*") for column in columns for text in shown.loc[present, column]):
            number = len(board_tasks()[task].languages)
            parts.append(Text(f"* mean over fewer than the {number} languages of {task}: not comparable"))
    if (frame["origin"] == "reported").any():
        parts.append(
            Text("reported: figures of a publication, not recomputed and not tested; see their caveats in submissions/")
        )
    return Group(*parts)  # type: ignore[arg-type]
