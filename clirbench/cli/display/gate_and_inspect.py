"""What `clirbench gate` and `clirbench inspect` print."""

from collections.abc import Sequence

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from clirbench.results.gate import Check
from clirbench.results.inspect import Inspection
from clirbench.support.errors import printable
from clirbench.support.terminal import cell, plain_table, title

_LONG = 160


def gate_table(checks: Sequence[Check], console: Console) -> Table:
    """One row per check: both values, the loss against its limit, p, and the verdict."""
    table = plain_table(console)
    for heading in ("what", "baseline", "new", "lost", "limit", "p", "verdict"):
        table.add_column(heading, justify="left" if heading in ("what", "verdict") else "right", no_wrap=True)
    for check in checks:
        bias = check.setting == "bias"
        scale, unit = (1, " %") if bias else (100, "")
        style = {"pass": "green", "fail": "bold red", "unclear": "yellow"}[check.verdict]
        table.add_row(
            check.metric if bias else f"{check.setting} {check.metric} x100",
            cell(check.baseline, scale),
            cell(check.value, scale),
            f"{check.lost:.2f}{unit}",
            f"{check.limit:g}{unit}",
            f"{check.p:.4f}",
            Text(check.verdict, style=style),
        )
    return table


def inspection(found: Inspection, console: Console) -> Group:
    """Each topic with its golds and what stands before them, then which languages the wrong candidates are in."""
    parts: list[Text | Table | Group] = [
        title(
            f"{printable(found.model)} on {found.task}: the worst {len(found.topics)} topics asked in {found.query_language}"
        )
    ]
    if found.differing:
        parts.append(
            Text(
                f"{found.differing} ranks differ from the result's: another machine, package or version rounds otherwise",
                style="yellow",
            )
        )
    for topic in found.topics:
        parts.append(Text())
        parts.append(Text(f"{printable(topic.topic)}  {_short(topic.question)}", style="bold"))
        table = plain_table(console)
        for heading in ("rank", "score", "language", "", "text"):
            table.add_column(heading, justify="right" if heading in ("rank", "score") else "left", overflow="fold")
        own = [gold for gold in topic.golds if gold.language == found.query_language]
        golds = dict.fromkeys([topic.golds[0], *own, topic.golds[-1]])
        for text in sorted({*golds, *topic.before}, key=lambda text: text.rank):
            mark = Text("gold", style="green") if text.gold else Text("")
            table.add_row(f"{text.rank:,}", f"{text.score:.4f}", text.language, mark, _short(text.text))
        parts.append(table)
        others = len(topic.golds) - len(golds)
        if others > 0:
            parts.append(Text(f"and {others} more golds between the first and the last", style="dim"))
    parts.append(Text())
    if found.first:
        said = ", ".join(f"{language} {count}" for language, count in found.first.items())
        parts.append(Text(f"language of what stands first, over these topics: {said}"))
    if found.confusion:
        parts.append(title(f"which languages outrank the answers, over all topics asked in {found.query_language}"))
        table = plain_table(console)
        for heading in ("candidate language", "share", "over its share of the pool"):
            table.add_column(heading, justify="left" if heading == "candidate language" else "right", no_wrap=True)
        for language, (share, ratio) in found.confusion.items():
            table.add_row(language, f"{100 * share:.1f} %", "-" if ratio is None else f"x{ratio:.2f}")
        parts.append(table)
    return Group(*parts)


def _short(text: str) -> str:
    text = printable(" ".join(text.split()))
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"
