"""Charts as SVG, drawn when the site is built. Texts are escaped; colours come from the style sheet; a table has the numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Point:
    """A model in the plot: ``x`` is its mAP in 0 to 1, ``y`` its rank distance. A line joins the models of one ``family``."""

    label: str
    href: str
    x: float
    y: float
    origin: str
    family: str | None
    order: int


@dataclass(frozen=True)
class Bar:
    """One bar and its interval, in the unit of the axis. What is missing is None."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None


def _scrolled(chart: Markup, title: str) -> Markup:
    # A chart keeps its size on a phone, where shrinking would make its text unreadable.
    return _tag("div", chart, class_="scroll chart-box", tabindex="0", role="region", aria_label=title)


def _tag(name: str, content: str | Markup = "", **attributes: object) -> Markup:
    """An element. In names of attributes an underscore stands for a hyphen, and a last one is dropped."""
    pairs = [f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()]
    # Values are escaped above, and content here unless it is markup already.
    return Markup(f"<{name}{''.join(pairs)}>{escape(content)}</{name}>")  # noqa: S704


def _svg(
    width: int, height: int, key: str, title: str, description: str, shapes: Sequence[Markup], role: str = "img"
) -> Markup:
    head = _tag("title", title, id=f"{key}-title") + _tag("desc", description, id=f"{key}-desc")
    chart = _tag(
        "svg",
        head + Markup("\n").join(shapes),
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role=role,
        aria_labelledby=f"{key}-title {key}-desc",
        class_="chart",
    )
    return _scrolled(chart, title)


def _text(x: float, y: float, content: str, anchor: str = "start", class_: str = "") -> Markup:
    extra = {"class_": class_} if class_ else {}
    return _tag("text", content, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, **extra)


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return _tag("path", d=f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}", class_=class_)


_MARKS = {"measured": "circle", "verified": "square", "reported": "diamond", "differs": "circle"}


def _mark(x: float, y: float, origin: str) -> Markup:
    # Shapes, not only colours, tell the origins apart.
    kind = _MARKS[origin]
    if kind == "circle":
        return _tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="4.5", class_="mark measured")
    if kind == "square":
        return _tag("rect", x=f"{x - 4.5:.1f}", y=f"{y - 4.5:.1f}", width="9", height="9", class_="mark verified")
    return _tag("path", d=f"M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6-6z", class_="mark reported")


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that no other point beats in both mAP (higher) and rank distance (lower), by mAP."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.x, p.y)):
        if not front or point.y < front[-1].y:
            front.append(point)
    return front[::-1]


def scatter(points: Sequence[Point], task: str) -> Markup:
    """A plot of multilingual mAP against rank distance (logarithmic). Good is right and down."""
    width, height, left, top, bottom, right = 720, 360, 62, 10, 46, 24
    most = max([point.x for point in points], default=1.0)
    x_step = 0.1 if most > 0.4 else 0.05
    x_top = x_step * math.ceil(most / x_step + 0.4)
    lows = [max(point.y, 1.0) for point in points] or [1.0, 10.0]
    y_low, y_high = math.floor(math.log10(min(lows)) * 2) / 2, math.ceil(math.log10(max(lows)) * 2 + 0.2) / 2
    y_high = max(y_high, y_low + 0.5)

    def place(x: float, y: float) -> tuple[float, float]:
        share = (math.log10(max(y, 1.0)) - y_low) / (y_high - y_low)
        return left + x / x_top * (width - left - right), top + (1 - share) * (height - top - bottom)

    shapes: list[Markup] = []
    for i in range(round(x_top / x_step) + 1):
        x, _ = place(i * x_step, 1)
        shapes.append(_line(x, top, x, height - bottom, "grid"))
        shapes.append(_text(x, height - bottom + 18, f"{100 * i * x_step:.0f}", "middle"))
    for power in range(math.floor(y_low), math.ceil(y_high) + 1):
        for factor in (1, 2, 5):
            value = factor * 10**power
            if y_low - 1e-9 <= math.log10(value) <= y_high + 1e-9:
                _, y = place(0, value)
                shapes.append(_line(left, y, width - right, y, "grid"))
                shapes.append(_text(left - 8, y + 4, f"{value:,}", "end"))
    shapes.append(_text(width - right, height - 8, "multilingual mAP x100 (right is better)", "end", "axis"))
    shapes.append(_text(left, height - 8, "up: rank distance, logarithmic (down is better)", "start", "axis"))
    # Of what was measured: published figures cannot be tested, and would hide it.
    front = pareto_front([point for point in points if point.origin != "reported"])
    if len(front) > 1:
        path = "L".join("{:.1f} {:.1f}".format(*place(p.x, p.y)) for p in front)
        shapes.append(_tag("path", d=f"M{path}", class_="front"))
    families: dict[str, list[Point]] = {}
    for point in points:
        if point.family:
            families.setdefault(point.family, []).append(point)
    for members in families.values():
        if len(members) > 1:
            path = "L".join("{:.1f} {:.1f}".format(*place(p.x, p.y)) for p in sorted(members, key=lambda p: p.order))
            shapes.append(_tag("path", d=f"M{path}", class_="family"))
    labelled: list[tuple[float, float]] = []
    marks: list[Markup] = []
    for point in sorted(points, key=lambda p: (p not in front, -p.x)):
        x, y = place(point.x, point.y)
        tip = f"{point.label}: mAP {100 * point.x:.1f}, rank distance {point.y:,.0f} ({point.origin})"
        inside = _tag("title", tip) + _mark(x, y, point.origin)
        clear = all(abs(x - other) > 150 or abs(y - above) > 13 for other, above in labelled)
        if clear and len(labelled) < 14:
            labelled.append((x, y))
            end = x > width - 190
            inside += _text(x - 9 if end else x + 9, y + 4, point.label, "end" if end else "start", "name")
        marks.append(_tag("a", inside, href=point.href, aria_label=tip))
    shapes += marks[::-1]
    description = (
        f"{len(points)} models. No other measured model beats these in both: {', '.join(point.label for point in front)}"
        f"{' (joined by the dashed line)' if len(front) > 1 else ''}. Solid lines join training variants of one model."
    )
    # Not an image to a screen reader: its points are links.
    title = f"{task}: multilingual mAP against rank distance"
    return _svg(width, height, f"plot-{task}", title, description, shapes, role="group")


def bars(key: str, title: str, groups: Sequence[tuple[str, Sequence[Bar]]], unit: str) -> Markup:
    """Bars with intervals, a slot per label and a colour per group. Values are in ``unit`` already."""
    labels = [bar.label for bar in groups[0][1]]
    slot, left, top, height = 22 * len(groups) + 16, 46, 30, 220
    width = max(left + slot * len(labels) + 10, 320)
    ends = [v for _, row in groups for b in row for v in (b.value, b.low, b.high) if v is not None]
    most, least = max([*ends, 1e-9]), min([*ends, 0.0])
    step = _step(most - least)
    ceiling, floor = step * math.ceil(most / step), step * math.floor(least / step)
    base = height - 34

    def up(value: float) -> float:
        return base - (value - floor) / (ceiling - floor) * (base - top)

    shapes = []
    for i in range(round((ceiling - floor) / step) + 1):
        value = floor + i * step
        shapes.append(_line(left, up(value), width - 4, up(value), "grid"))
        shapes.append(_text(left - 6, up(value) + 4, f"{value:,.{0 if step >= 1 else 1}f}", "end"))
    # The longest name and its mark, at about seven units a letter.
    apart = max(130, 40 + 7 * max(len(name) for name, _ in groups))
    for s, (name, row) in enumerate(groups):
        shapes.append(_tag("rect", x=left + apart * s, y=6, width=10, height=10, class_=f"bar s{s}"))
        shapes.append(_text(left + apart * s + 15, 15, name))
        for i, bar in enumerate(row):
            if bar.value is None:
                continue
            x = left + slot * i + 8 + 22 * s
            y, zero = up(bar.value), up(max(floor, min(0.0, ceiling)))
            tip = f"{bar.label}, {name}: {bar.value:,.1f}"
            if bar.low is not None and bar.high is not None:
                tip += f" ({bar.low:,.1f} to {bar.high:,.1f})"
            shape = _tag("title", tip) + _tag(
                "rect",
                x=x,
                y=f"{min(y, zero):.1f}",
                width=18,
                height=f"{max(abs(zero - y), 0.5):.1f}",
                class_=f"bar s{s}",
            )
            if bar.low is not None and bar.high is not None:
                shape += _line(x + 9, up(bar.low), x + 9, up(bar.high), "whisker")
            shapes.append(_tag("g", shape))
    for i, label in enumerate(labels):
        shapes.append(_text(left + slot * i + slot / 2, height - 16, label, "middle"))
    shapes.append(_text(width - 4, height - 5, unit, "end", "axis"))
    return _svg(
        width,
        height,
        key,
        title,
        f"{', '.join(name for name, _ in groups)} by language; the numbers stand in the table.",
        shapes,
    )


def histogram(key: str, title: str, edges: Sequence[float], shares: Sequence[float], unit: str) -> Markup:
    """Shares of queries, one bar per bin between two ``edges``."""
    left, top, height, slot = 46, 14, 200, 56
    width = left + slot * len(shares) + 20
    most = max([*shares, 0.01])
    base = height - 34
    shapes = []
    step = _step(100 * most)
    for i in range(math.ceil(100 * most / step) + 1):
        y = base - i * step / (step * math.ceil(100 * most / step)) * (base - top)
        shapes.append(_line(left, y, width - 4, y, "grid"))
        shapes.append(_text(left - 6, y + 4, f"{i * step:g} %", "end"))
    for i, share in enumerate(shares):
        tall = 100 * share / (step * math.ceil(100 * most / step)) * (base - top)
        tip = f"{edges[i]:,.0f} to {edges[i + 1]:,.0f}: {100 * share:.1f} % of the queries"
        rect = _tag(
            "rect", x=left + slot * i + 2, y=f"{base - tall:.1f}", width=slot - 4, height=f"{tall:.1f}", class_="bar s0"
        )
        shapes.append(_tag("g", _tag("title", tip) + rect))
    for i, edge in enumerate(edges):
        shapes.append(_text(left + slot * i, height - 16, f"{edge:,.0f}", "middle"))
    shapes.append(_text(width - 4, height - 5, unit, "end", "axis"))
    return _svg(
        width, height, key, title, "Share of the queries in each range; the numbers stand in the table.", shapes
    )


def _step(span: float) -> float:
    power = 10 ** math.floor(math.log10(max(span, 1e-9)))
    return next(float(power * share) for share in (0.1, 0.2, 0.5, 1, 2) if span / (power * share) <= 6)
