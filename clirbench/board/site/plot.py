"""The plot of a task's main number against another: every model is seen, and those that none beats are joined."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from typing import Literal

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from clirbench.board.entries import Entry
from clirbench.board.site.content import number, quoted, size
from clirbench.board.site.svg import at, drawing, element, line, text
from clirbench.board.standing import standing
from clirbench.results.schema import Document
from clirbench.support.errors import printable, shortened
from clirbench.tasks.task_file import board_columns, board_tasks

_VARIANT = re.compile(r"[-_/](x-x-mono|x-x|x-y|mono|cross|hybrid)$")
_ORDER = ("x-x-mono", "x-x", "mono", "hybrid", "x-y", "cross")
# Room that a mark takes, from its middle to that of the next.
_APART = 9.0
_NAMES = 14
Ends = tuple[float, float]


@dataclass(frozen=True)
class Point:
    """A model in the plot: ``x`` is its main number in 0 to 1, ``y`` its value on the chosen axis. A line joins a ``family``.

    ``verified`` says that somebody has run a sample of it again, on whichever task. The ends are those of 95 % intervals.
    ``note`` is what a reader must know of ``y``, such as the device of a speed.
    """

    label: str
    href: str
    x: float
    y: float
    origin: str
    family: str | None
    order: int
    verified: bool = False
    x_ends: Ends | None = None
    y_ends: Ends | None = None
    note: str = ""


@dataclass(frozen=True)
class Axis:
    """What the main number is plotted against.

    ``better`` says which values are good, ``log`` whether the axis is logarithmic, and ``shown`` writes a value. A logarithmic
    axis shows zero at its lower end. ``about`` is said below the plot.
    """

    key: str
    name: str
    better: Literal["lower", "higher", "near 1"]
    log: bool
    shown: Callable[[float], str]
    about: str = ""

    def cost(self, value: float) -> float:
        """How far a value is from what is good: less is better."""
        if self.better == "near 1":
            return abs(math.log(max(value, 1e-9)))
        return value if self.better == "lower" else -value


def axes(task: str) -> list[Axis]:
    """The axes to choose for a task: rank distance first, and the main numbers of the other tasks of the same kind last."""
    many = [
        Axis(
            "rank_distance",
            "rank distance",
            "lower",
            True,
            lambda v: number(v, 1, 0),
            "How far apart the answers to one question stand in the pool of all languages. Low is fair.",
        ),
        Axis(
            "size",
            "parameters\u2020",
            "lower",
            True,
            lambda v: size(round(v)),
            "\u2020 As the submitters say: nobody can recompute it.",
        ),
        Axis(
            "speed",
            "texts a second\u2020",
            "higher",
            True,
            lambda v: number(v, 1, 0),
            "\u2020 As the submitters say: nobody can recompute it. Speeds compare on one device; a model's tip names its own.",
        ),
        Axis(
            "own_language_preference",
            "own-language preference",
            "near 1",
            True,
            lambda v: number(v, 1, 2).rstrip("0").rstrip("."),
            "How often wrong candidates in the question's language stand before an answer, against their share of the pool. "
            "1 is fair.",
        ),
    ]
    for other, facts in board_tasks().items():
        if other != task and facts.across_languages:
            setting, metric = board_columns(other).main
            about = f"The main number of {facts.name}: {setting} {metric} ×100."
            many.append(Axis(other, f"{facts.name} {metric} ×100", "higher", False, number, about))
    return many


def plot_points(entries: Sequence[Entry], task: str, axis: Axis | None = None) -> list[Point]:
    """The models that have both numbers; against rank distance without an ``axis``."""
    axis = axis or axes(task)[0]
    points = []
    for entry in entries:
        main = entry.estimate(task, *board_columns(task).main)
        if main is None or main.value is None or entry.not_comparable(task):
            continue
        up = _up(entry, task, axis.key)
        if up is None:
            continue
        variant = _VARIANT.search(entry.label)
        behind = standing(entry, [task])
        points.append(
            Point(
                label=entry.label,
                href=f"models/{quoted(entry.folder.name)}.html",
                x=main.value,
                y=up[0],
                origin=entry.origin if behind == "verified on another task" else behind,
                verified=behind.startswith("verified"),
                family=f"{entry.label[: variant.start()]} {entry.model.base_model}" if variant else None,
                order=_ORDER.index(variant[1]) if variant else 0,
                x_ends=None if main.low is None or main.high is None else (main.low, main.high),
                y_ends=up[1],
                note=up[2],
            )
        )
    return points


def _up(entry: Entry, task: str, key: str) -> tuple[float, Ends | None, str] | None:
    """A model's value on an axis, its interval, and what a reader must know of it; None where it has none."""
    document = entry.on(task)
    if key == "size":
        parameters = document.model.parameters if document else None
        value: float | None = entry.model.parameters if parameters is None else parameters
        return None if value is None else (float(value), None, "")
    if key == "speed":
        if not isinstance(document, Document) or not document.cost.texts_per_second:
            return None
        where = document.environment
        device = printable(where.device)
        cores = f", {where.cpus} cores" if device == "cpu" and where.cpus else ""
        return document.cost.texts_per_second, None, f"on {device}{cores}"
    if key in board_tasks() and entry.not_comparable(key):
        return None
    estimate = (
        entry.estimate(key, *board_columns(key).main) if key in board_tasks() else entry.estimate(task, "bias", key)
    )
    if estimate is None or estimate.value is None:
        return None
    ends = None if estimate.low is None or estimate.high is None else (estimate.low, estimate.high)
    return estimate.value, ends, ""


def pareto_front(points: Sequence[Point], cost: Callable[[float], float] = float) -> list[Point]:
    """The points that no other point beats in both mAP (higher) and the cost of ``y`` (lower), by mAP."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.x, cost(p.y))):
        if not front or cost(point.y) < cost(front[-1].y):
            front.append(point)
    return front[::-1]


class _Plane:
    """The area of the plot between its four edges: the main number from 0 to a round number, and the chosen axis upwards."""

    left, top, right, bottom = 62, 46, 706, 340

    def __init__(self, points: Sequence[Point], axis: Axis) -> None:
        self._axis = axis
        most = max([point.x for point in points], default=1.0)
        self._step = 0.1 if most > 0.4 else 0.05
        self._x_end = self._step * math.ceil(most / self._step + 0.2)
        values = [v for point in points for v in (point.y, *(point.y_ends or ()))]
        if axis.log:
            positive = [v for v in values if v > 0] or [1.0, 10.0]
            # The axis ends at half powers of ten, and is at least one half power long. Zero stands half a power below.
            self._low = math.floor(math.log10(min(positive)) * 2 + 1e-9) / 2 - (0.5 if 0 in values else 0)
            self._high = max(math.ceil(math.log10(max(positive)) * 2 + 0.2) / 2, self._low + 0.5)
        else:
            top = max(values, default=1.0)
            self._low, self._high = 0.0, self._step * math.ceil(top / self._step + 0.2)
        self.zero = axis.log and 0 in values

    def _up(self, value: float) -> float:
        if not self._axis.log:
            return value
        return math.log10(value) if value > 0 else self._low

    def place(self, x: float, y: float) -> tuple[float, float]:
        share = min(max((self._up(y) - self._low) / (self._high - self._low), 0.0), 1.0)
        across, down = self.right - self.left, self.bottom - self.top
        return self.left + x / self._x_end * across, self.top + (1 - share) * down

    def grid(self) -> list[Markup]:
        shapes = []
        for i in range(round(self._x_end / self._step) + 1):
            x, _ = self.place(i * self._step, 1)
            shapes.append(line(x, self.top, x, self.bottom, "grid"))
            shapes.append(text(x, self.bottom + 18, f"{100 * i * self._step:.0f}", "middle"))
        for value in self._ticks():
            _, y = self.place(0, value)
            shapes.append(line(self.left, y, self.right, y, "grid"))
            shapes.append(text(self.left - 8, y + 4, self._axis.shown(value), "end"))
        return shapes

    def _ticks(self) -> list[float]:
        if not self._axis.log:
            return [i * self._step for i in range(round(self._high / self._step) + 1)]
        powers = range(math.floor(self._low), math.ceil(self._high) + 1)
        low = self._low + (0.3 if self.zero else 0)
        ticks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
        # Over many powers of ten, only these have lines. The tolerance keeps the lines at both ends despite rounding.
        few = self._high - self._low > 4
        ticks = [t for t in ticks if low - 1e-9 <= math.log10(t) <= self._high + 1e-9]
        return [0.0] * self.zero + [t for t in ticks if not few or math.log10(t) % 1 < 1e-9]

    def joined(self, points: Sequence[Point]) -> list[Markup]:
        """A line through the members of a family; none for a single one."""
        path = "L".join("{:.1f} {:.1f}".format(*self.place(p.x, p.y)) for p in points)
        return [element("path", d=f"M{path}", class_="family")] if len(points) > 1 else []

    def front(self, points: Sequence[Point]) -> list[Markup]:
        """The edge of what models reach: stairs through those of the front, from the left to the worse end of the axis."""
        if not points or self._axis.better == "near 1":
            return []
        places = [self.place(p.x, p.y) for p in points]
        end = (places[-1][0], self.top if self._axis.better == "lower" else self.bottom)
        corners = [((a[0], b[1]), b) for a, b in pairwise(places)]
        steps = [(self.left, places[0][1]), places[0], *chain.from_iterable(corners), end]
        return [element("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in steps), class_="front")]

    def whiskers(self, point: Point) -> list[Markup]:
        (x, y), drawn = self.place(point.x, point.y), []
        if point.x_ends:
            drawn.append(
                line(self.place(point.x_ends[0], point.y)[0], y, self.place(point.x_ends[1], point.y)[0], y, "whisker")
            )
        if point.y_ends:
            drawn.append(
                line(x, self.place(point.x, point.y_ends[0])[1], x, self.place(point.x, point.y_ends[1])[1], "whisker")
            )
        return drawn

    def apart(self, points: Sequence[Point]) -> dict[Point, tuple[float, float]]:
        """Where each mark is drawn: at its place, or beside it where another mark stands there already."""
        taken = np.empty((len(points), 2))
        places: dict[Point, tuple[float, float]] = {}
        for i, point in enumerate(points):
            taken[i] = self._free(self.place(point.x, point.y), taken[:i])
            places[point] = (float(taken[i, 0]), float(taken[i, 1]))
        return places

    def _free(self, true: tuple[float, float], taken: NDArray[np.float64]) -> tuple[float, float]:
        """The first spot around a place that is inside, and far enough from those that are taken; the last one if none is."""
        away = (taken[:, 0] - true[0]) ** 2 + (taken[:, 1] - true[1]) ** 2
        if (away >= _APART**2).all():
            return true
        for radius, offsets in _rings():
            spots = true + offsets
            inside = ((spots >= (self.left, self.top)) & (spots <= (self.right, self.bottom))).all(axis=1)
            # What is further away than this is far from all of these spots.
            near = taken[away < (radius + _APART + 1) ** 2]
            # Column by column: a sum over an axis of two takes several times as long.
            across, down = (np.subtract.outer(spots[:, k], near[:, k]) for k in (0, 1))
            free = np.flatnonzero(inside & (across**2 + down**2 >= _APART**2).all(axis=1))
            if len(free):
                return spots[free[0], 0], spots[free[0], 1]
        return spots[-1, 0], spots[-1, 1]


@lru_cache(maxsize=1)
def _rings() -> list[tuple[int, NDArray[np.float64]]]:
    """Spots around a place, nearest first, some rings at a time: the largest radius, and float64 (spots, 2)."""
    pieces = []
    for first in range(3, 400, 12):
        radii = range(first, min(first + 12, 400), 3)
        spots = [(r * math.cos(a), r * math.sin(a)) for r in radii for a in (math.tau * k / r for k in range(r))]
        pieces.append((radii[-1], np.array(spots)))
    return pieces


def _mark(origin: str) -> Markup:
    # Origins differ in shape, not only in colour.
    if origin == "verified":
        return element("rect", x="-4", y="-4", width="8", height="8", class_="mark verified")
    if origin == "reported":
        return element("path", d="M0 -5L5 0L0 5L-5 0Z", class_="mark reported")
    return element("circle", cx="0", cy="0", r="4.2", class_="mark measured")


def _named(plane: _Plane, points: Sequence[Point], places: dict[Point, tuple[float, float]]) -> dict[Point, Markup]:
    """Names that cover no other name, and no mark: in the order of ``points``, as long as there is room."""
    marks = np.array(list(places.values())).reshape(-1, 2)
    number = {point: i for i, point in enumerate(places)}
    boxes: list[tuple[float, float, float, float]] = []
    names: dict[Point, Markup] = {}
    for point in points:
        if len(names) == _NAMES:
            break
        name, (x, y) = shortened(point.label, 40), places[point]
        wide = 5.6 * len(name)
        for dx, dy, anchor in ((8, 4, "start"), (-8, 4, "end"), (0, -8, "middle"), (0, 15, "middle")):
            left = x + dx - {"start": 0, "end": wide, "middle": wide / 2}[anchor]
            box = (left, y + dy - 10, left + wide, y + dy + 3)
            free = all(box[2] < b[0] or b[2] < box[0] or box[3] < b[1] or b[3] < box[1] for b in boxes)
            under = (
                (marks[:, 0] > box[0] - 4)
                & (marks[:, 0] < box[2] + 4)
                & (marks[:, 1] > box[1] - 3)
                & (marks[:, 1] < box[3] + 3)
            )
            alone = int(under.sum()) <= int(dx == 0 and under[number[point]])
            if free and alone and plane.left <= box[0] and box[2] <= plane.right + 10 and box[1] >= plane.top - 6:
                boxes.append(box)
                names[point] = text(dx, dy, name, anchor, "name")
                break
    return names


def scatter(points: Sequence[Point], task: str, axis: Axis | None = None) -> Markup:
    """A plot of a task's main number against an axis, rank distance without one."""
    axis = axis or axes(task)[0]
    facts, (setting, metric) = board_tasks()[task], board_columns(task).main
    plane = _Plane(points, axis)
    shapes = plane.grid()
    good = {"lower": "down is better", "higher": "up is better", "near 1": "1 is fair"}[axis.better]
    shapes.append(
        text(4, plane.top - 10, f"{axis.name} ({'logarithmic, ' if axis.log else ''}{good})", "start", "axis")
    )
    shapes.append(text(plane.right, plane.bottom + 36, f"{setting} {metric} ×100 (right is better)", "end", "axis"))
    # The front is of verified models: ranks that nobody has run again can be of one's own making. Where none is verified, it is
    # of measured ones. Published figures cannot be tested.
    verified = [point for point in points if point.verified]
    tested = verified or [point for point in points if point.origin != "reported"]
    # Speeds on two devices do not compare.
    one_device = len({point.note for point in tested}) < 2
    front = pareto_front(tested, axis.cost) if one_device else []
    shapes += [shape for point in points for shape in plane.whiskers(point)]
    families: dict[str, list[Point]] = {}
    for point in points:
        if point.family:
            families.setdefault(point.family, []).append(point)
    for members in families.values():
        shapes += plane.joined(sorted(members, key=lambda p: p.order))
    stairs = plane.front(front)
    shapes += stairs
    # Models of the front get their places and their names first, because there is room for few names.
    best = set(front)
    ordered = sorted(points, key=lambda p: (p not in best, -p.x))
    places = plane.apart(ordered)
    names = _named(plane, ordered, places)
    for point in ordered[::-1]:
        (x, y), true = places[point], plane.place(point.x, point.y)
        value = f"{axis.name.rstrip(chr(0x2020))} {axis.shown(point.y)}"
        tip = f"{point.label}: {metric} {100 * point.x:.1f}, {value}{f' {point.note}' if point.note else ''} ({point.origin})"
        lead = [line(*true, x, y, "lead")] if math.dist(true, (x, y)) > 1 else []
        inside = Markup().join([element("title", tip), *lead, at(x, y, _mark(point.origin) + names.get(point, ""))])
        shapes.append(element("a", inside, href=point.href, aria_label=tip, data_x=f"{x:.1f}"))
    kind = "verified" if verified else "measured"
    told = [f"{len(points)} models."]
    if front:
        joined = " (on the dashed line)" if stairs else ""
        told.append(f"No other {kind} model beats these in both: {', '.join(point.label for point in front)}{joined}.")
    elif not one_device:
        told.append("Their speeds are of different devices, so no line joins the best.")
    told.append("Solid lines join training variants of one model. Thin lines are 95 % intervals.")
    description = " ".join(told)
    present = {point.origin for point in points}
    shapes += _keys(
        [one for one in ("verified", "measured", "reported", "differs") if one in present], kind if stairs else ""
    )
    title = f"{facts.name}: {setting} {metric} against {axis.name}"
    # To a screen reader it is a group, not an image, because its points are links.
    return drawing((720, 384), f"plot-{task}-{axis.key}", title, description, shapes, role="group")


def _keys(kinds: Sequence[str], front: str) -> list[Markup]:
    """The legend: the marks that are there, and the line of the ``front``, "" without one."""
    shapes, x = [], 62.0
    for kind in kinds:
        shapes.append(at(x, 16, element("g", _mark(kind), transform="translate(5 -4)") + text(15, 0, kind), "key"))
        x += 36 + 6.5 * len(kind)
    if front:
        shapes.append(
            at(x, 16, line(0, -4, 22, -4, "front") + text(28, 0, f"no {front} model is better in both"), "key")
        )
    return shapes
