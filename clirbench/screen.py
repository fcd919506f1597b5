"""What a person sees at the end of a run: tables, x100 with one decimal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from clirbench.bias import shown_as
from clirbench.errors import printable
from clirbench.schema import Document, EstimatePart
from clirbench.tasks import SETTINGS

_PIPED_WIDTH = 200


def stdout() -> Console:
    """Console for results: as wide as the terminal, or plain and wide enough not to wrap when piped."""
    console = Console(highlight=False, markup=False, emoji=False)
    return (
        console
        if console.is_terminal
        else Console(highlight=False, markup=False, emoji=False, no_color=True, width=_PIPED_WIDTH)
    )


def summary(documents: Sequence[Document], console: Console) -> None:
    """Print the headline of one model on one or more tasks, then each task by query language."""
    console.print(title(f"{model_label(documents[0])}: mAP x100 ± 95 % margin"))
    table = plain_table(console)
    for heading in ("task", *SETTINGS, "rank distance", "Max@R\nnorm."):
        table.add_column(heading, justify="left" if heading == "task" else "right", no_wrap=True)
    for document in documents:
        bias = document.headline.get("bias", {})
        table.add_row(
            label(document),
            *(_margin(document.headline.get(s, {}).get("mAP"), 100) for s in SETTINGS),
            _margin(bias.get("rank_distance"), 1),
            _margin(bias.get("Max@R_normalised"), 100),
        )
    console.print(table)
    for document in documents:
        console.print(_by_language(document, console))
        if not document.task.complete:
            console.print(
                f"* restricted to {','.join(document.task.languages)} ({', '.join(document.task.settings)}): "
                "not comparable with a full run",
                style="yellow",
                soft_wrap=True,
            )


def pairs(document: Document, metric: str, console: Console) -> Group:
    """Heat table of one metric: query languages down, candidate languages across, the diagonal monolingual."""
    languages = document.task.languages
    above = title(f"{label(document)}: {metric} x100, query language down, candidate language across")
    table = plain_table(console)
    table.add_column("", no_wrap=True)
    for language in languages:
        table.add_column(language, justify="right", no_wrap=True)
    for query in languages:
        cells = []
        for candidate in languages:
            if query == candidate:
                value = document.per_language.get(query, {}).get("monolingual", {}).get(metric)
            else:
                value = document.per_pair.get(query, {}).get(candidate, {}).get(metric)
            cells.append(_heat(value, query == candidate, console))
        table.add_row(query, *cells)
    return Group(above, table)


def headline(document: Document, console: Console) -> Group:
    """Every headline number of a result: metrics by setting, then the measures of bias."""
    metrics = plain_table(console)
    for heading in ("metric x100", *SETTINGS):
        metrics.add_column(heading, justify="left" if heading == "metric x100" else "right", no_wrap=True)
    for name in document.task.metrics:
        metrics.add_row(name, *(_margin(document.headline.get(s, {}).get(name), 100) for s in SETTINGS))
    bias = plain_table(console)
    for heading in ("bias", "value", "unit"):
        bias.add_column(heading, justify="right" if heading == "value" else "left", no_wrap=True)
    for name, estimate in document.headline.get("bias", {}).items():
        scale, digits, unit = shown_as(name)
        bias.add_row(name, _margin(estimate, scale, digits), unit)
    return Group(title(f"{label(document)}: macro averages ± 95 % margin"), metrics, bias)


def label(document: Document) -> str:
    """The task's identifier, with a star where the run was restricted."""
    return document.task.id if document.task.complete else f"{document.task.id}*"


def model_label(document: Document) -> str:
    """The model's name, with what was done to its vectors."""
    name, transform = printable(document.model.name), document.encoder.transform
    return f"{name} + {transform}" if transform else name


def title(text: str) -> Text:
    """A heading that folds instead of being cut."""
    return Text(text, style="bold", overflow="fold")


def plain_table(console: Console) -> Table:
    """An empty table: lines under its head on a terminal, bare columns elsewhere."""
    # The narrow gap on a terminal lets eleven languages fit in 80 columns.
    gap = 1 if console.is_terminal else 2
    return Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False, padding=(0, gap, 0, 0))


def _by_language(document: Document, console: Console) -> Group:
    above = title(f"{label(document)} by query language: mAP x100")
    table = plain_table(console)
    for heading in ("language", *SETTINGS, "rank distance", "own-lang.\npreference"):
        table.add_column(heading, justify="left" if heading == "language" else "right", no_wrap=True)
    for language, numbers in document.per_language.items():
        bias = numbers.get("bias", {})
        preference = bias.get("own_language_preference")
        table.add_row(
            language,
            *(cell(numbers.get(setting, {}).get("mAP"), 100) for setting in SETTINGS),
            cell(bias.get("rank_distance"), 1),
            "-" if preference is None else f"x{preference:.2f}",
        )
    return Group(above, table)


def _margin(estimate: EstimatePart | None, scale: float, digits: int = 1) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    shown = cell(estimate.value, scale, digits)
    return shown if estimate.margin is None else f"{shown} ±{cell(estimate.margin, scale, digits)}"


def cell(value: float | None, scale: float, digits: int = 1) -> str:
    """A number as shown, "-" where it is missing."""
    return "-" if value is None else f"{value * scale:,.{digits}f}"


def _heat(value: float | None, diagonal: bool, console: Console) -> Text:
    text = Text(cell(value, 100))
    if value is None or not console.is_terminal:
        return text
    # One hue, from dark to light: readable on both dark and light terminals because the text colour is set as well.
    shade = round(30 + 190 * min(max(value, 0), 1))
    text.stylize(f"{'black' if shade > 120 else 'white'} on rgb({shade // 4},{shade},{shade // 2 + 40})")
    if diagonal:
        text.stylize("bold underline")
    return text
