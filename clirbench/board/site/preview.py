"""The picture that a link to the board shows where it is shared: the question, the verdict, and the first rows as bars."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

# What those who show previews of links ask for.
WIDTH, HEIGHT = 1200, 630
_MARGIN, _ROWS = 64, 5
# No line has room for more characters.
_LONGEST = 200
_INK, _SOFT, _LINE, _BAR = "#1b1f24", "#57606a", "#d0d7de", "#0b66b5"


def preview(question: str, verdict: str, title: str, rows: Sequence[tuple[str, str, float]]) -> bytes | None:
    """A PNG of ``WIDTH`` by ``HEIGHT`` pixels; None without Pillow, which comes with ``clirbench[plot]``.

    Args:
        question: What the board answers.
        verdict: The answer, in a sentence.
        title: What the bars are of.
        rows: The name of each row, its number as text, and its share of the full length.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError:
        return None
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    small, middle, large = (ImageFont.load_default(size) for size in (24, 28, 44))
    draw.text((_MARGIN, 40), "clirbench", _SOFT, middle)
    y = _paragraph(draw, question, large, 82, 2, _INK)
    y = _paragraph(draw, verdict, middle, y + 10, 3, _SOFT)
    top = max(y + 16, HEIGHT - 40 - 44 * (_ROWS + 1))
    draw.line((_MARGIN, top - 8, WIDTH - _MARGIN, top - 8), _LINE, 2)
    draw.text((_MARGIN, top), _cut(draw, title, small, WIDTH - 2 * _MARGIN), _SOFT, small)
    for i, (name, text, share) in enumerate(rows[:_ROWS]):
        at = top + 44 * (i + 1)
        draw.text((_MARGIN, at), _cut(draw, name, small, 430), _INK, small)
        draw.rectangle((520, at + 2, 520 + round(520 * min(max(share, 0.0), 1.0)), at + 28), _BAR)
        draw.text((WIDTH - _MARGIN, at), text, _INK, small, anchor="ra")
    sink = BytesIO()
    image.save(sink, "PNG", optimize=True)
    return sink.getvalue()


def preview_rows(panel: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    """The first rows of a table that are no folded ones, for :func:`preview`."""
    heads = [row for row in panel["rows"] if not row["of"] and row["cells"][panel["main"]].value is not None]
    cells = [(row["name"], row["cells"][panel["main"]]) for row in heads[:_ROWS]]
    return [(name, cell.text, cell.value) for name, cell in cells]


def _cut(draw: Any, text: str, font: Any, width: int) -> str:
    """A text that fits, with an ellipsis where it is cut."""
    if len(text) <= _LONGEST and draw.textlength(text, font) <= width:
        return text
    text = text[:_LONGEST]
    while text and draw.textlength(text + "...", font) > width:
        text = text[:-1]
    return text.rstrip() + "..."


def _paragraph(draw: Any, text: str, font: Any, y: int, lines: int, colour: str) -> int:
    """Draw a text in at most so many lines; the place below it."""
    words, width = text.split(), WIDTH - 2 * _MARGIN
    height: int = round(1.3 * font.size)
    for line in range(lines):
        shown = ""
        # On the last line, what does not fit is cut.
        while words and (line == lines - 1 or not shown or draw.textlength(f"{shown} {words[0]}", font) <= width):
            shown = f"{shown} {words.pop(0)}".strip()
        draw.text((_MARGIN, y + line * height), _cut(draw, shown, font, width), colour, font)
        if not words:
            return y + (line + 1) * height
    return y + lines * height
