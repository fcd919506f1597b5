"""The console, and the plain tables that every command prints."""

from collections.abc import Collection, Iterable

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH = 200


def stdout() -> Console:
    """Console for results: as wide as the terminal, or plain and wide enough not to wrap when piped."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.no_color, console.width = True, _PIPED_WIDTH
    return console


def title(text: str) -> Text:
    """A bold heading that wraps on a narrow terminal; a title of rich would be cut there."""
    return Text(text, style="bold", overflow="fold")


def plain_table(console: Console, headings: Iterable[str] = (), left: Collection[str] = ()) -> Table:
    """A table without rows: a rule under its head on a terminal, bare columns elsewhere.

    The columns do not wrap; a caller that wants columns that wrap adds them itself. Columns under the headings in ``left`` are
    aligned to the left, all others to the right.
    """
    # The narrow gap on a terminal lets eleven languages fit in 80 columns.
    gap = 1 if console.is_terminal else 2
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False, padding=(0, gap, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="left" if heading in left else "right", no_wrap=True)
    return table


def cell(value: float | None, scale: float, digits: int = 1) -> str:
    """A number times ``scale`` with ``digits`` decimals; "-" if it is missing."""
    return "-" if value is None else f"{value * scale:,.{digits}f}"
