"""The board, two models side by side, and the gate: what `clirbench leaderboard`, `compare` and `gate` print."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.text import Text

from clirbench.support.terminal import PlainTable, cell, plain_table, title
from clirbench.tasks.task import SETTINGS

if TYPE_CHECKING:
    # The board itself needs none of them, nor what they import.
    from clirbench.results.compare import Comparison, Contrast
    from clirbench.results.gate import GateCheck


def board_tables(parts: Iterable[Sequence[Any]], console: Console) -> Group:
    """What :mod:`clirbench.board.printed` makes of a board, as tables and texts of a terminal."""
    drawn: list[Text | PlainTable] = []
    for kind, what in parts:
        if kind == "table":
            table = plain_table(console, keep=what["keep"])
            for heading, words in what["columns"]:
                table.add_column(heading, words=words)
            for cells, style in zip(what["rows"], what["styles"], strict=True):
                table.add_row(*cells, style=style)
            drawn.append(table)
        else:
            drawn.append(title(what) if kind == "title" else Text(what))
    return Group(*drawn)


def comparison_tables(comparison: "Comparison", console: Console, pairs: bool = False) -> Group:
    """The differences of two models by setting, a sentence on the languages of each setting, and, with ``pairs``, every pair."""
    from clirbench.results.compare import sentence

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


def _contrasts(
    heading: str, contrasts: Mapping[str, "Contrast"], comparison: "Comparison", console: Console
) -> PlainTable:
    headings = (heading, comparison.first, comparison.second, "difference", "95 % interval", "corrected p", "verdict")
    table = plain_table(console, headings, left=(heading, "verdict"), blocks=True)
    verdicts = {1: f"{comparison.first} is better", -1: f"{comparison.second} is better", 0: "no difference shown"}
    for name, contrast in contrasts.items():
        table.add_row(name, *_cells(contrast), verdicts[contrast.better] + (" (small)" if contrast.small else ""))
    return table


def _cells(contrast: "Contrast") -> Sequence[str]:
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


def gate_table(checks: Sequence["GateCheck"], console: Console) -> PlainTable:
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
