"""Charts as SVG, drawn when the site is built. Texts are escaped; colours come from the style sheet; a table has the numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from clirbench.board.story import Step
from clirbench.support.errors import shortened


@dataclass(frozen=True)
class Point:
    """A model in the plot: ``x`` is its mAP in 0 to 1, ``y`` its rank distance. A line joins the models of one ``family``.

    ``verified`` says that somebody has run a sample of it again, on whichever task.
    """

    label: str
    href: str
    x: float
    y: float
    origin: str
    family: str | None
    order: int
    verified: bool = False


def _tag(name: str, content: str | Markup = "", **attributes: object) -> Markup:
    """An element. In a name of an attribute, an underscore stands for a hyphen, and an underscore at the end is dropped."""
    pairs = [f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()]
    # Values are escaped above. Content is escaped here, unless it is markup already.
    return Markup(f"<{name}{''.join(pairs)}>{escape(content)}</{name}>")  # noqa: S704


def _svg(
    size: tuple[int, int], key: str, title: str, description: str, shapes: Sequence[Markup], role: str = "img"
) -> Markup:
    head = _tag("title", title, id=f"{key}-title") + _tag("desc", description, id=f"{key}-desc")
    sizes = {"viewBox": f"0 0 {size[0]} {size[1]}", "width": size[0], "height": size[1]}
    described = {"role": role, "aria_labelledby": f"{key}-title {key}-desc"}
    chart = _tag("svg", head + Markup("\n").join(shapes), **sizes, **described, class_="chart")
    # A chart keeps its size on a phone, where shrinking would make its text unreadable.
    return _tag("div", chart, class_="scroll chart-box", tabindex="0", role="region", aria_label=title)


def _text(x: float, y: float, content: str, anchor: str = "start", class_: str = "") -> Markup:
    named = {"class_": class_} if class_ else {}
    return _tag("text", content, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, **named)


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return _tag("path", d=f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}", class_=class_)


def _mark(x: float, y: float, origin: str) -> Markup:
    # Origins differ in shape, not only in colour.
    if origin == "verified":
        return _tag("rect", x=f"{x - 4.5:.1f}", y=f"{y - 4.5:.1f}", width="9", height="9", class_="mark verified")
    if origin == "reported":
        return _tag("path", d=f"M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6-6z", class_="mark reported")
    return _tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="4.5", class_="mark measured")


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that no other point beats in both mAP (higher) and rank distance (lower), by mAP."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.x, p.y)):
        if not front or point.y < front[-1].y:
            front.append(point)
    return front[::-1]


class _Plane:
    """The area of the plot between its four edges: mAP from 0 to a round number, rank distance on a logarithmic scale."""

    left, top, right, bottom = 62, 10, 696, 314

    def __init__(self, points: Sequence[Point]) -> None:
        most = max([point.x for point in points], default=1.0)
        self._step = 0.1 if most > 0.4 else 0.05
        self._x_end = self._step * math.ceil(most / self._step + 0.4)
        ys = [max(point.y, 1.0) for point in points] or [1.0, 10.0]
        # The axis ends at half powers of ten, and is at least one half power long.
        self._low = math.floor(math.log10(min(ys)) * 2) / 2
        self._high = max(math.ceil(math.log10(max(ys)) * 2 + 0.2) / 2, self._low + 0.5)

    def place(self, x: float, y: float) -> tuple[float, float]:
        share = (math.log10(max(y, 1.0)) - self._low) / (self._high - self._low)
        across, down = self.right - self.left, self.bottom - self.top
        return self.left + x / self._x_end * across, self.top + (1 - share) * down

    def grid(self) -> list[Markup]:
        shapes = []
        for i in range(round(self._x_end / self._step) + 1):
            x, _ = self.place(i * self._step, 1)
            shapes.append(_line(x, self.top, x, self.bottom, "grid"))
            shapes.append(_text(x, self.bottom + 18, f"{100 * i * self._step:.0f}", "middle"))
        powers = range(math.floor(self._low), math.ceil(self._high) + 1)
        for value in (factor * 10**power for power in powers for factor in (1, 2, 5)):
            # The tolerance keeps the lines at both ends despite rounding.
            if self._low - 1e-9 <= math.log10(value) <= self._high + 1e-9:
                _, y = self.place(0, value)
                shapes.append(_line(self.left, y, self.right, y, "grid"))
                shapes.append(_text(self.left - 8, y + 4, f"{value:,}", "end"))
        return shapes

    def joined(self, points: Sequence[Point], class_: str) -> list[Markup]:
        """A line through the points; no line for a single point."""
        path = "L".join("{:.1f} {:.1f}".format(*self.place(p.x, p.y)) for p in points)
        return [_tag("path", d=f"M{path}", class_=class_)] if len(points) > 1 else []


def scatter(points: Sequence[Point], task: str) -> Markup:
    """A plot of multilingual mAP against rank distance (logarithmic). Good is right and down."""
    width, height, plane = 720, 360, _Plane(points)
    shapes = plane.grid()
    shapes.append(_text(plane.right, height - 8, "multilingual mAP x100 (right is better)", "end", "axis"))
    shapes.append(_text(plane.left, height - 8, "up: rank distance, logarithmic (down is better)", "start", "axis"))
    # The front is of verified models: ranks that nobody has run again can be of one's own making. Where none is verified, it is
    # of measured ones. Published figures cannot be tested.
    verified = [point for point in points if point.verified]
    front = pareto_front(verified or [point for point in points if point.origin != "reported"])
    shapes += plane.joined(front, "front")
    families: dict[str, list[Point]] = {}
    for point in points:
        if point.family:
            families.setdefault(point.family, []).append(point)
    for members in families.values():
        shapes += plane.joined(sorted(members, key=lambda p: p.order), "family")
    labelled: list[tuple[float, float]] = []
    marks: list[Markup] = []
    # Models of the front get their names first, because there is room for few names.
    for point in sorted(points, key=lambda p: (p not in front, -p.x)):
        x, y = plane.place(point.x, point.y)
        tip = f"{point.label}: mAP {100 * point.x:.1f}, rank distance {point.y:,.0f} ({point.origin})"
        inside = _tag("title", tip) + _mark(x, y, point.origin)
        # A name is written only if it covers no other name. Near the right edge it is written towards the middle.
        clear = all(abs(x - other) > 150 or abs(y - above) > 13 for other, above in labelled)
        if clear and len(labelled) < 14:
            labelled.append((x, y))
            end = x > width - 190
            inside += _text(
                x - 9 if end else x + 9, y + 4, shortened(point.label, 40), "end" if end else "start", "name"
            )
        marks.append(_tag("a", inside, href=point.href, aria_label=tip, data_x=f"{x:.1f}"))
    # The front is drawn last, above all others.
    shapes += marks[::-1]
    kind, names = "verified" if verified else "measured", ", ".join(point.label for point in front)
    description = (
        f"{len(points)} models. No other {kind} model beats these in both: {names}"
        f"{' (joined by the dashed line)' if len(front) > 1 else ''}. Solid lines join training variants of one model."
    )
    title = f"{task}: multilingual mAP against rank distance"
    # To a screen reader it is a group, not an image, because its points are links.
    return _svg((width, height), f"plot-{task}", title, description, shapes, role="group")


_LEFT = 46


class _Scale:
    """The vertical scale of a chart of bars. It holds zero and all values, and ends at round numbers."""

    def __init__(self, values: Sequence[float], top: int, base: int) -> None:
        least, most = min([*values, 0.0]), max(values)
        power = 10 ** math.floor(math.log10(max(most - least, 1e-9)))
        # The smallest round step that needs no more than six lines.
        steps = (float(power * share) for share in (0.1, 0.2, 0.5, 1, 2))
        self.step = next(step for step in steps if (most - least) / step <= 6)
        self.floor, self.ceiling = self.step * math.floor(least / self.step), self.step * math.ceil(most / self.step)
        self._top, self._base = top, base

    def up(self, value: float) -> float:
        return self._base - (value - self.floor) / (self.ceiling - self.floor) * (self._base - self._top)

    def grid(self, right: int, style: str) -> list[Markup]:
        shapes = []
        for i in range(round((self.ceiling - self.floor) / self.step) + 1):
            value = self.floor + i * self.step
            shapes.append(_line(_LEFT, self.up(value), right, self.up(value), "grid"))
            shapes.append(_text(_LEFT - 6, self.up(value) + 4, style.format(value), "end"))
        return shapes


def ladder(key: str, model: str, steps: Sequence[Step]) -> Markup:
    """Bars below their words, from 0 to 100: first those of one model, then those of others. It shrinks to a phone's width."""
    width, tall = 420, 34
    shapes, y = [], 4
    for i, step in enumerate(steps):
        if i == 0 or step.own != steps[i - 1].own:
            shapes.append(
                _text(0, y + 14, shortened(model, 50) if step.own else "others in the same pool", class_="group")
            )
            y += 20
        shapes.append(_text(0, y + 14, step.words))
        shapes.append(_text(width, y + 14, f"{100 * step.value:.1f}", "end", "group"))
        shapes.append(_tag("rect", x=0, y=y + 19, width=width, height=8, class_="room"))
        shapes.append(
            _tag("rect", x=0, y=y + 19, width=f"{width * step.value:.1f}", height=8, class_=f"bar s{int(not step.own)}")
        )
        y += tall
    named = ", ".join(f"{step.words}: {100 * step.value:.1f}" for step in steps)
    return _svg((width, y), key, f"mAP of {model}, and of others in the same pool", f"{named}.", shapes)


def histogram(key: str, title: str, edges: Sequence[float], shares: Sequence[float], unit: str) -> Markup:
    """Shares of queries, one bar per bin between two ``edges``."""
    height, slot, base = 214, 56, 166
    width = _LEFT + slot * len(shares) + 20
    scale = _Scale([100 * share for share in (*shares, 0.01)], top=14, base=base)
    shapes = scale.grid(width - 4, "{:g} %")
    for i, share in enumerate(shares):
        y, tip = scale.up(100 * share), f"{edges[i]:,.0f} to {edges[i + 1]:,.0f}: {100 * share:.1f} % of the queries"
        tall = f"{base - y:.1f}"
        rect = _tag("rect", x=_LEFT + slot * i + 2, y=f"{y:.1f}", width=slot - 4, height=tall, class_="bar s0")
        shapes.append(_tag("g", _tag("title", tip) + rect))
    shapes += [_text(_LEFT + slot * i, base + 18, f"{edge:,.0f}", "middle") for i, edge in enumerate(edges)]
    # On a line of its own, below the numbers.
    shapes.append(_text(width - 4, height - 8, unit, "end", "axis"))
    description = "Share of the queries in each range; the numbers stand in the table."
    return _svg((width, height), key, title, description, shapes)
