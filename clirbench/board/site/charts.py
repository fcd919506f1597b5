"""Charts as SVG, drawn when the site is built. Texts are escaped; colours come from the style sheet; a table has the numbers."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from clirbench.board.site.svg import drawing as _svg
from clirbench.board.site.svg import element as _tag
from clirbench.board.site.svg import line as _line
from clirbench.board.site.svg import text as _text
from clirbench.board.story import Step
from clirbench.support.errors import shortened

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
