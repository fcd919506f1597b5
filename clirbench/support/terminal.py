"""The console, and the plain tables that every command prints."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH = 200


def stdout() -> Console:
    """Console for results: as wide as the terminal, or plain and wide enough not to wrap when piped."""
    console = Console(highlight=False, markup=False, emoji=False)
    return (
        console
        if console.is_terminal
        else Console(highlight=False, markup=False, emoji=False, no_color=True, width=_PIPED_WIDTH)
    )


def title(text: str) -> Text:
    """A heading that folds instead of being cut."""
    return Text(text, style="bold", overflow="fold")


def plain_table(console: Console) -> Table:
    """An empty table: lines under its head on a terminal, bare columns elsewhere."""
    # The narrow gap on a terminal lets eleven languages fit in 80 columns.
    gap = 1 if console.is_terminal else 2
    return Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False, padding=(0, gap, 0, 0))


def cell(value: float | None, scale: float, digits: int = 1) -> str:
    """A number as shown, "-" where it is missing."""
    return "-" if value is None else f"{value * scale:,.{digits}f}"
