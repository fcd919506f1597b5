"""Charts as SVG, drawn when the site is built. Texts are escaped; colours come from the style sheet; a table has the numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from clirbench.board.site.svg import at
from clirbench.board.site.svg import drawing as _svg
from clirbench.board.site.svg import element as _tag
from clirbench.board.site.svg import line as _line
from clirbench.board.site.svg import text as _text
from clirbench.board.story import Step
from clirbench.support.errors import shortened


@dataclass(frozen=True)
class Bar:
    """One bar and its interval, in the unit of the axis. A missing value is None."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None


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


def bars(key: str, title: str, groups: Sequence[tuple[str, Sequence[Bar]]], unit: str) -> Markup:
    """Bars with intervals, a slot per label and a colour per group. Values are in ``unit`` already."""
    labels = [bar.label for bar in groups[0][1]]
    slot, height = 22 * len(groups) + 16, 220
    width = max(_LEFT + slot * len(labels) + 10, 320)
    ends = [v for _, row in groups for b in row for v in (b.value, b.low, b.high) if v is not None]
    scale = _Scale([*ends, 1e-9], top=30, base=height - 34)
    shapes = scale.grid(width - 4, "{:,.0f}" if scale.step >= 1 else "{:,.1f}")
    # Room for the longest name and its mark, at about seven units per letter.
    apart = max(130, 40 + 7 * max(len(name) for name, _ in groups))
    for s, (name, row) in enumerate(groups):
        swatch = _tag("rect", x=0, y=-9, width=10, height=10, class_=f"bar s{s}")
        shapes.append(at(_LEFT + apart * s, 15, swatch + _text(15, 0, name), "key"))
        for i, bar in enumerate(row):
            shapes += _bar(bar, name, _LEFT + slot * i + 8 + 22 * s, scale, f"bar s{s}")
    for i, label in enumerate(labels):
        shapes.append(_text(_LEFT + slot * i + slot / 2, height - 16, label, "middle"))
    shapes.append(_text(width - 4, height - 5, unit, "end", "axis"))
    description = f"{', '.join(name for name, _ in groups)} by language; the numbers stand in the table."
    return _svg((width, height), key, title, description, shapes)


def _bar(bar: Bar, group: str, x: int, scale: _Scale, class_: str) -> list[Markup]:
    if bar.value is None:
        return []
    y, zero = scale.up(bar.value), scale.up(0.0)
    tip, whisker = f"{bar.label}, {group}: {bar.value:,.1f}", Markup()
    if bar.low is not None and bar.high is not None:
        tip += f" ({bar.low:,.1f} to {bar.high:,.1f})"
        whisker = _line(x + 9, scale.up(bar.low), x + 9, scale.up(bar.high), "whisker")
    # A bar with value 0 must still be visible.
    tall = f"{max(abs(zero - y), 0.5):.1f}"
    rect = _tag("rect", x=x, y=f"{min(y, zero):.1f}", width=18, height=tall, class_=class_)
    return [_tag("g", _tag("title", tip) + rect + whisker)]


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
    height, slot = 200, 56
    width = _LEFT + slot * len(shares) + 20
    scale = _Scale([100 * share for share in (*shares, 0.01)], top=14, base=height - 34)
    shapes = scale.grid(width - 4, "{:g} %")
    for i, share in enumerate(shares):
        y, tip = scale.up(100 * share), f"{edges[i]:,.0f} to {edges[i + 1]:,.0f}: {100 * share:.1f} % of the queries"
        tall = f"{height - 34 - y:.1f}"
        rect = _tag("rect", x=_LEFT + slot * i + 2, y=f"{y:.1f}", width=slot - 4, height=tall, class_="bar s0")
        shapes.append(_tag("g", _tag("title", tip) + rect))
    shapes += [_text(_LEFT + slot * i, height - 16, f"{edge:,.0f}", "middle") for i, edge in enumerate(edges)]
    shapes.append(_text(width - 4, height - 5, unit, "end", "axis"))
    description = "Share of the queries in each range; the numbers stand in the table."
    return _svg((width, height), key, title, description, shapes)
