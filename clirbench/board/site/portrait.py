"""Where a model stands among all rows of a task: a strip per number, and its neighbours with verdicts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clirbench.board.entries import Entry
from clirbench.board.names import families, in_words, row_name
from clirbench.board.site.content import Cell, columns, estimate_cell, number
from clirbench.board.site.scales import round_down, round_up
from clirbench.board.wins import Wins
from clirbench.results.compare import is_small
from clirbench.tasks.task_file import board_columns

# Units of a strip from its left to its right end.
WIDTH = 600
# Other models that are shown on each side.
_EACH_SIDE = 3
_VERDICTS = {1: "better", -1: "worse", 0: "no difference shown"}


@dataclass(frozen=True)
class Strip:
    """One number of a row on a line with the numbers of all rows, from the worst on the left to the best on the right.

    Attributes:
        name: The column's name on the board.
        under: What the column's name leaves out.
        cell: The number of this row.
        place: The ranks that tests leave to it; "" for a published figure.
        measured: A path with a tick for each measured row.
        reported: A path with a tick for each published figure that compares.
        at: The place of this row on the line, and of the ends of its interval, from 0 to ``WIDTH``; None without a number.
        ends: The numbers at both ends of the line.
    """

    name: str
    under: str
    cell: Cell
    place: str
    measured: str
    reported: str
    at: tuple[int, int, int] | None
    ends: tuple[str, str]


@dataclass(frozen=True)
class Neighbour:
    """A measured row, and the verdict on the page's row against it.

    ``short`` is its name on the page: of the same model, only what tells the row apart. ``verdict`` is "better", "worse" or "not
    shown different", and "" of the page's row itself. ``own`` says that it is another row of the same model.
    """

    folder: str
    name: str
    short: str
    value: str
    difference: str
    verdict: str
    small: bool
    own: bool


class _Line:
    """The scale of a strip. Distances are on a logarithmic scale, and their best end, the low one, is on the right."""

    def __init__(self, values: Sequence[float], lower: bool) -> None:
        self._lower = lower
        if lower:
            positive = [max(value, 1.0) for value in values] or [1.0]
            self.left, self.right = round_up(max(positive)), round_down(min(positive))
            if self.left <= self.right:
                self.left = 10 * self.right
        else:
            self.left, self.right = 0.0, round_up(max([*values, 1e-3]))

    def at(self, value: float) -> int:
        left, right, here = self.left, self.right, value
        if self._lower:
            left, right, here = (math.log10(max(one, 1.0)) for one in (left, right, value))
        return round(WIDTH * min(max((here - left) / (right - left), 0.0), 1.0))

    def ticks(self, values: Sequence[float]) -> str:
        """A path with a tick for each value; values at one place share one."""
        return "".join(f"M{x} 3v14" for x in sorted({self.at(value) for value in values}))

    @property
    def ends(self) -> tuple[str, str]:
        scale, digits = (1, 0) if self._lower else (100, 0 if self.right >= 0.01 else 1)
        return number(self.left, scale, digits), number(self.right, scale, digits)


def portraits(entries: Sequence[Entry], tested: Mapping[str, Sequence[Wins]]) -> dict[str, dict[str, dict[str, Any]]]:
    """The portrait of each row on each of its tasks, by folder name and task. ``tested`` has the tests of each task."""
    made: dict[str, dict[str, dict[str, Any]]] = {}
    for task, of_task in tested.items():
        present = [entry for entry in entries if task in entry.results]
        by_number = {(one.setting, one.metric): one for one in of_task}
        main = by_number.get(board_columns(task).main)
        strips, beside = _Strips(present, task, by_number), _Neighbours(task, main)
        ranks = main.ranks() if main else {}
        for entry in present:
            made.setdefault(entry.folder.name, {})[task] = {
                "rank": _span(ranks[entry.folder]) if entry.folder in ranks else "",
                "rows": len(ranks),
                "strips": strips.of(entry),
                "neighbours": beside.of(entry),
                "aside": entry.not_comparable(task),
            }
    return made


class _Strips:
    """The strips of a task: what all rows share is computed once."""

    def __init__(self, entries: Sequence[Entry], task: str, tested: Mapping[tuple[str, str], Wins]) -> None:
        self._task = task
        self._ranks = {number: one.ranks() for number, one in tested.items()}
        board = board_columns(task)
        self._names = {column.key: column for column in columns(task, ranked=False)}
        self._columns: dict[tuple[str, str], tuple[_Line, str, str]] = {}
        # The main number first, then in the order of the task.
        for setting, metric in dict.fromkeys((board.main, *board.headline)):
            measured, reported = (
                [
                    one.value
                    for entry in entries
                    if entry.origin == origin
                    and not entry.not_comparable(task)
                    and (one := entry.estimate(task, setting, metric)) is not None
                    and one.value is not None
                ]
                for origin in ("measured", "reported")
            )
            if measured or reported:
                line = _Line([*measured, *reported], lower=setting == "bias")
                self._columns[setting, metric] = (line, line.ticks(measured), line.ticks(reported))

    def of(self, entry: Entry) -> list[Strip]:
        """The strips of one row."""
        shown = []
        for (setting, metric), (line, measured, reported) in self._columns.items():
            column = self._names[f"{self._task}.{setting}.{metric}"]
            estimate = entry.estimate(self._task, setting, metric)
            aside = entry.not_comparable(self._task) != ""
            cell = estimate_cell(estimate, setting, aside)
            low, high = cell.ends or (cell.value, cell.value)
            at = None
            # What does not compare has no place beside the others.
            if cell.value is not None and low is not None and high is not None and not aside:
                first, last = sorted((line.at(low), line.at(high)))
                at = (line.at(cell.value), first, last)
            ranks = self._ranks.get((setting, metric), {})
            place = f"rank {_span(ranks[entry.folder])} of {len(ranks)}" if entry.folder in ranks else ""
            shown.append(
                Strip(
                    name=column.name,
                    under=column.under,
                    cell=cell,
                    place=place,
                    measured=measured,
                    reported=reported,
                    at=at,
                    ends=line.ends,
                )
            )
        return shown


class _Neighbours:
    """The verdicts on the rows of a task."""

    def __init__(self, task: str, tested: Wins | None) -> None:
        self._task, self._tested = task, tested
        entries = tested.entries if tested else ()
        # Wins has its models in the order of their numbers.
        self._place = {entry.folder: i for i, entry in enumerate(entries)}
        grouped = families(entries)
        self._family = {one.folder: [head, *others] for head, others in grouped for one in (head, *others)}
        self._heads = [entry for entry in entries if self._family[entry.folder][0] is entry]

    def of(self, entry: Entry) -> list[Neighbour]:
        """This row among the other rows of its model and the nearest models on both sides as they come; best first."""
        if self._tested is None or entry.folder not in self._place or len(self._place) < 2:
            return []
        family, own = self._family[entry.folder], self._place[entry.folder]
        heads = [head for head in self._heads if head not in family]
        split = sum(self._place[head.folder] < own for head in heads)
        near = heads[max(0, split - _EACH_SIDE) : split + _EACH_SIDE]
        shown = sorted([*near, *family], key=lambda other: self._place[other.folder])
        better = self._tested.better[own]
        return [self._beside(entry, other, int(better[self._place[other.folder]]), other in family) for other in shown]

    def _beside(self, entry: Entry, other: Entry, sign: int, own: bool) -> Neighbour:
        first, second = (self._main(one) for one in (entry, other))
        if other is entry:
            name = row_name(entry)
            return Neighbour(entry.folder.name, name, name, number(first), "", "", False, own=False)
        difference = number(first - second)
        return Neighbour(
            folder=other.folder.name,
            name=row_name(other),
            short=f"with {in_words(other.variant)}" if own and other.variant else row_name(other),
            value=number(second),
            difference=difference if difference.startswith(("\u2212", "0.0")) else f"+{difference}",
            verdict=_VERDICTS[sign],
            small=sign != 0 and is_small(first, second),
            own=own,
        )

    def _main(self, entry: Entry) -> float:
        estimate = entry.estimate(self._task, *board_columns(self._task).main)
        return float("nan") if estimate is None or estimate.value is None else estimate.value


def _span(rank: tuple[int, int]) -> str:
    return f"{rank[0]}" if rank[0] == rank[1] else f"{rank[0]}\u2013{rank[1]}"
