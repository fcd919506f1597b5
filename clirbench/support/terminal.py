"""The console, and the one kind of table that every command prints."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

# A pipe has no width, so nothing is cut there; only a column of sentences ends its lines somewhere.
_PIPED_WIDTH = 100_000
_PIPED_LINE = 200
# The least width of a column of words: a quarter of the line, but at least this much.
_LEAST_WORDS = 12
# A name or heading is broken behind one of these before it is broken elsewhere.
_PIECE = re.compile(r"\S*?(?:(?<=\w)[/_-]+|\s+|$)")

Cell = str | Text


def stdout() -> Console:
    """Console for results: as wide as the terminal, or plain and wide enough not to wrap when piped."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.no_color, console.width = True, _PIPED_WIDTH
    return console


def title(text: str) -> Text:
    """A bold heading that wraps on a narrow terminal; a title of rich would be cut there."""
    return Text(text, style="bold", overflow="fold")


@dataclass
class _Column:
    heading: str
    words: bool
    style: str
    cells: list[Cell] = field(default_factory=list)

    @property
    def natural(self) -> int:
        """The width that shows every cell and the heading on as few lines as they have."""
        return max(_width(self.heading), self.content)

    @property
    def content(self) -> int:
        """The width of the widest cell."""
        return max(map(_width, self.cells), default=0)

    @property
    def narrowest(self) -> int:
        """The least width of a column of numbers: every number is whole, and only the heading folds."""
        pieces = _PIECE.findall(self.heading)
        return max(self.content, *(cell_len(piece.rstrip()) for piece in pieces))


class PlainTable:
    """A table that never cuts a number, however narrow the terminal.

    Columns of words fold. Columns of numbers are whole or left out: from the right, except those that ``keep`` names, with a
    line below the table that says what is left out. With ``blocks``, what does not fit stands in further tables below.
    """

    def __init__(self, terminal: bool, keep: Collection[str] = (), blocks: bool = False) -> None:
        self._terminal, self._keep, self._blocks = terminal, keep, blocks
        self.columns: list[_Column] = []
        self._styles: list[str] = []

    def add_column(self, heading: str = "", words: bool = False, style: str = "") -> None:
        """Add a column of numbers, or of ``words``."""
        self.columns.append(_Column(heading, words, style))

    def add_row(self, *cells: Cell, style: str = "") -> None:
        """Add a row with a cell for every column."""
        for column, one in zip(self.columns, cells, strict=True):
            column.cells.append(one)
        self._styles.append(style)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for the width that the console has."""
        width = options.max_width if self._terminal else _PIPED_LINE
        # The first column says what a row is, so it stands in every block and is never left out.
        left = self.columns[1:]
        while True:
            shown = left if not self._terminal else self._fitting(left, width)
            yield self._drawn([*self.columns[:1], *shown], width)
            left = [column for column in left if column not in shown]
            if not self._blocks or not left or not shown:
                break
        if left:
            names = ", ".join(" ".join(column.heading.split()) for column in left)
            note = f"not shown at {width} columns: {names}; pipe the output, or widen the window"
            yield Text(note, style="dim", overflow="fold")

    @property
    def _gap(self) -> int:
        # The narrow gap on a terminal lets eleven languages fit in 80 columns.
        return 1 if self._terminal else 2

    def _fitting(self, columns: Sequence[_Column], width: int) -> list[_Column]:
        """The columns that stand beside the first one: all, or those without which the rest fits."""
        shown = list(columns)
        while shown and sum(self._least(c, width) + self._gap for c in (self.columns[0], *shown)) > width + self._gap:
            spare = [column for column in shown if column.heading not in self._keep] or shown
            shown.remove(spare[-1])
        return shown

    def _least(self, column: _Column, width: int) -> int:
        return min(column.natural, max(_LEAST_WORDS, width // 4)) if column.words else column.narrowest

    def _drawn(self, columns: Sequence[_Column], width: int) -> Table:
        """A table of rich whose columns have the widths that they are to have."""
        widths = [self._least(column, width) for column in columns]
        # Headings of numbers unfold first, then words, from the left.
        for words in (False, True):
            for i, column in enumerate(columns):
                spare = width - sum(widths) - self._gap * (len(columns) - 1)
                if column.words is words:
                    # A pipe has room for every number and name; only sentences fold there.
                    endless = not self._terminal and (not words or i == 0)
                    wanted = column.natural if endless else min(column.natural, widths[i] + max(0, spare))
                    widths[i] = max(widths[i], wanted)
        table = Table(
            box=box.SIMPLE_HEAD if self._terminal else None,
            show_header=any(column.heading for column in columns),
            show_edge=False,
            pad_edge=False,
            # A box brings a gap of one column by itself.
            padding=(0, 0 if self._terminal else self._gap, 0, 0),
        )
        for column, one in zip(columns, widths, strict=True):
            justify = "left" if column.words else "right"
            table.add_column(_folded(column.heading, one), justify=justify, width=one, style=column.style)  # type: ignore[arg-type]
        for i, style in enumerate(self._styles):
            table.add_row(*(_folded(c.cells[i], one) for c, one in zip(columns, widths, strict=True)), style=style)
        return table


def plain_table(
    console: Console,
    headings: Iterable[str] = (),
    left: Collection[str] = (),
    keep: Collection[str] = (),
    blocks: bool = False,
) -> PlainTable:
    """A table without rows: a rule under its head on a terminal, bare columns elsewhere.

    Columns under the headings in ``left`` hold words: they are aligned to the left, and fold. All others hold numbers.
    :class:`PlainTable` says what a narrow terminal shows.
    """
    table = PlainTable(console.is_terminal, keep, blocks)
    for heading in headings:
        table.add_column(heading, words=heading in left)
    return table


def cell(value: float | None, scale: float, digits: int = 1, sign: str = "") -> str:
    """A number times ``scale`` with ``digits`` decimals; "-" if it is missing. With ``sign`` "+", a gain has a plus."""
    if value is None:
        return "-"
    # A small loss is 0.0, not -0.0.
    rounded = round(value * scale, digits) + 0.0
    return f"{rounded:{sign if rounded else ''},.{digits}f}"


def _width(one: Cell) -> int:
    lines = str(one).split("\n")
    return max(map(cell_len, lines))


def _folded(one: Cell, width: int) -> Cell:
    """The cell with line breaks, so that no line is wider than ``width``. A styled cell is folded by rich."""
    if isinstance(one, Text):
        return one
    return "\n".join(folded for line in one.split("\n") for folded in _lines(line, width))


def _lines(line: str, width: int) -> list[str]:
    lines, last = [], ""
    for piece in _PIECE.findall(line):
        for part in chop_cells(piece, width) if cell_len(piece.rstrip()) > width else [piece]:
            if last and cell_len(last) + cell_len(part.rstrip()) > width:
                lines.append(last.rstrip())
                last = ""
            last += part
    return [*lines, last.rstrip()]
