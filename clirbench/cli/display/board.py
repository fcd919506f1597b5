"""The board, two models side by side, and the gate: what `clirbench leaderboard`, `compare` and `gate` print."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd
from rich.console import Console, Group
from rich.text import Text

from clirbench.board.aggregate import what_it_covers, what_moved
from clirbench.board.standing import group, verified_share
from clirbench.board.text import SHORT, column_key, shown_board, shown_moves
from clirbench.results.compare import Comparison, Contrast, sentence
from clirbench.results.gate import GateCheck
from clirbench.support.terminal import PlainTable, cell, plain_table, title
from clirbench.tasks.task import SETTINGS
from clirbench.tasks.task_file import board_columns, board_tasks


def board_tables(frame: pd.DataFrame, console: Console) -> Group:
    """One table per task, by the main number, figures of publications below the others; tasks that nobody ran are left out."""
    shown = shown_board(frame)
    parts: list[Text | PlainTable] = []
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
        # A figure of a publication must not be taken for a measured one.
        table = plain_table(console, keep=("origin",))
        for column in ("model", *columns, "parameters", "origin"):
            left = column in ("model", "origin") or column.endswith("zero-shot")
            table.add_column(column.removeprefix(f"{name} "), words=left)
        for _, row in shown.loc[ranked.index].iterrows():
            style = "dim italic" if row["origin"] == "reported" else ""
            table.add_row(*(str(row[column]) for column in ("model", *columns, "parameters", "origin")), style=style)
        above = f"{name}: x100 ± 95 % margin; rank: what pairwise tests over topics cannot exclude"
        if any(column.endswith(SHORT["bias"]) for column in columns):
            above += f"; {SHORT['bias']}: lower is better"
        parts += [title(above), table]
        if any(str(text).endswith("*") for column in columns for text in shown.loc[ranked.index, column]):
            parts.append(Text(f"* not comparable with the others: {'; '.join(dict.fromkeys(aside[aside != '']))}"))
    if (frame["origin"] == "measured").any():
        parts.append(Text(f"{verified_share(frame['evidence'])}: a maintainer ran a sample of them again."))
    parts.append(Text("parameters and zero-shot: as the submitters say, not recomputed"))
    if (frame["origin"] == "reported").any():
        parts.append(
            Text("reported: figures of a publication, not recomputed and not tested; see their caveats in submissions/")
        )
    return Group(*parts)


def moves_table(frame: pd.DataFrame, moved: pd.DataFrame, left_out: str, console: Console) -> Group:
    """How ranks over tasks move when one is left out, and what the mean of the board covers."""
    parts: list[Text | PlainTable] = []
    if len(moved):
        shown = shown_moves(moved)
        kept = ("rank by mean", "rank by mean without")
        table = plain_table(console, shown.columns, left=("model", "evidence"), keep=kept)
        for row in shown.to_numpy().tolist():
            table.add_row(*row)
        parts += [
            title(f"ranks over tasks, and without {left_out}; means x100"),
            table,
            Text(what_moved(moved, left_out)),
        ]
    return Group(*parts, Text(" ".join(what_it_covers(frame))))


def comparison_tables(comparison: Comparison, console: Console, pairs: bool = False) -> Group:
    """The differences of two models by setting, a sentence on the languages of each setting, and, with ``pairs``, every pair."""
    first, second = comparison.first, comparison.second
    overall = {
        "rank distance" if contrast.setting == "bias" else f"{contrast.setting} {contrast.metric}": contrast
        for contrast in comparison.of("overall")
    }
    by_pair = {f"{c.query_language} > {c.candidate_language}": c for c in comparison.of("pair")}
    parts: list[Text | PlainTable] = [
        title(f"{comparison.task}: {first} minus {second}, 95 % interval, paired over topics"),
        _contrasts("", overall, comparison, console),
    ]
    for setting in (*SETTINGS, "bias"):
        if comparison.of("language", setting):
            name = "rank distance" if setting == "bias" else setting
            parts.append(Text(f"{name}: {sentence(comparison, setting)}."))
    if by_pair:
        won = Counter(contrast.better for contrast in by_pair.values())
        parts.append(
            Text(f"pairs: {first} is better in {won[1]}, {second} in {won[-1]}, no difference shown in {won[0]}.")
        )
    if pairs:
        parts += [title("by language pair, query > candidate"), _contrasts("pair", by_pair, comparison, console)]
    return Group(*parts)


def _contrasts(heading: str, contrasts: Mapping[str, Contrast], comparison: Comparison, console: Console) -> PlainTable:
    headings = (heading, comparison.first, comparison.second, "difference", "95 % interval", "corrected p", "verdict")
    table = plain_table(console, headings, left=(heading, "verdict"), blocks=True)
    verdicts = {1: f"{comparison.first} is better", -1: f"{comparison.second} is better", 0: "no difference shown"}
    for name, contrast in contrasts.items():
        table.add_row(name, *_cells(contrast), verdicts[contrast.better] + (" (small)" if contrast.small else ""))
    return table


def _cells(contrast: Contrast) -> Sequence[str]:
    scale, digits = (1, 0) if contrast.setting == "bias" else (100, 1)
    bounds = "-"
    if contrast.low is not None and contrast.high is not None:
        bounds = f"{cell(contrast.low, scale, digits, '+')} to {cell(contrast.high, scale, digits, '+')}"
    return (
        cell(contrast.first, scale, digits),
        cell(contrast.second, scale, digits),
        cell(contrast.difference, scale, digits, "+"),
        bounds,
        f"{contrast.p:.4f}",
    )


def gate_table(checks: Sequence[GateCheck], console: Console) -> PlainTable:
    """One row per headline number: both values, the loss against its limit, the p-value, and the verdict."""
    headings = ("what", "baseline", "new", "lost", "limit", "p", "verdict")
    table = plain_table(console, headings, left=("what", "verdict"), keep=("lost", "verdict"))
    for check in checks:
        bias = check.setting == "bias"
        scale, unit = (1, " %") if bias else (100, "")
        style = {"pass": "green", "fail": "bold red", "unclear": "yellow"}[check.verdict]
        table.add_row(
            check.metric if bias else f"{check.setting} {check.metric} x100",
            cell(check.baseline, scale),
            cell(check.value, scale),
            f"{cell(check.lost, 1, 2)}{unit}",
            f"{check.limit:g}{unit}",
            f"{check.p:.4f}",
            Text(check.verdict, style=style),
        )
    return table
