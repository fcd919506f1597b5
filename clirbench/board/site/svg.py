"""Elements of SVG for charts. Texts are escaped; colours come from the style sheet.

A reader can take a chart as a figure for a paper: a script scales its places and keeps the size of its texts. For this, a chart
has absolute coordinates only. What stands in a group ``at`` keeps its size around one place, and groups ``key`` are the
chart's legend, which is laid out anew.
"""

from collections.abc import Sequence

from markupsafe import Markup, escape


def element(name: str, content: str | Markup = "", **attributes: object) -> Markup:
    """An element. In a name of an attribute, an underscore stands for a hyphen, and an underscore at the end is dropped."""
    pairs = [f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()]
    # Values are escaped above. Content is escaped here, unless it is markup already.
    return Markup(f"<{name}{''.join(pairs)}>{escape(content)}</{name}>")  # noqa: S704


def drawing(
    size: tuple[int, int], key: str, title: str, description: str, shapes: Sequence[Markup], role: str = "img"
) -> Markup:
    """A chart in a box that scrolls where it is too wide. ``key`` is unique on its page."""
    head = element("title", title, id=f"{key}-title") + element("desc", description, id=f"{key}-desc")
    sizes = {"viewBox": f"0 0 {size[0]} {size[1]}", "width": size[0], "height": size[1]}
    described = {"role": role, "aria_labelledby": f"{key}-title {key}-desc"}
    chart = element("svg", head + Markup("\n").join(shapes), **sizes, **described, class_="chart")
    # A chart keeps its size on a phone, where shrinking would make its text unreadable.
    return element("div", chart, class_="scroll chart-box", tabindex="0", role="region", aria_label=title)


def text(x: float, y: float, content: str, anchor: str = "start", class_: str = "") -> Markup:
    """A line of text, at its baseline."""
    named = {"class_": class_} if class_ else {}
    return element("text", content, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, **named)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("path", d=f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}", class_=class_)


def at(x: float, y: float, content: Markup, class_: str = "at") -> Markup:
    """What keeps its size around a place; its own coordinates are from there. ``class_`` is "at" or "key"."""
    return element("g", content, class_=class_, transform=f"translate({x:.1f} {y:.1f})")
