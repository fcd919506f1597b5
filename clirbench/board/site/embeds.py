"""What others show of a row: a badge for a model card, and a page with one row for a frame."""

from typing import Any
from urllib.parse import quote

from markupsafe import escape

from clirbench.board.site.portrait import Strip

# Stands for the board's address where a build does not name it.
SOMEWHERE = "https://BOARD"
# Colours of the right half, dark enough for white letters; those of the site's light theme.
_COLOURS = {"verified": "#116329", "differs": "#a40e26"}
_MEASURED = "#0b66b5"
# Width of a letter at 11 units, and the space on both sides of a text.
_LETTER, _SPACE = 6.6, 8


def badge_text(task: str, main: Strip, rank: str, rows: int) -> str:
    """What a badge says, such as "XQuAD-R 59.8 ± 1.5, rank 2 of 20"."""
    margin = f" ± {main.cell.margin}" if main.cell.margin else ""
    return f"{task} {main.cell.text}{margin}, rank {rank} of {rows}"


def badge(task: str, said: str, origin: str, date: str) -> str:
    """A badge as SVG that needs nothing else: the task on the left, and the rest of :func:`badge_text` on the right.

    ``origin`` chooses the colour, and stands with the date of the board in the title.
    """
    right = said.removeprefix(f"{task} ")
    widths = [round(_LETTER * len(text) + 2 * _SPACE) for text in (task, right)]
    title = f"{said}: {origin} on clirbench{f', board of {date}' if date else ''}"
    middle = (widths[0] / 2, widths[0] + widths[1] / 2)
    texts = "".join(
        f'<text x="{x:.1f}" y="14" textLength="{width - 2 * _SPACE}">{escape(text)}</text>'
        for x, width, text in zip(middle, widths, (task, right), strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{sum(widths)}" height="20" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>"
        f'<clipPath id="r"><rect width="{sum(widths)}" height="20" rx="3"/></clipPath><g clip-path="url(#r)">'
        f'<rect width="{widths[0]}" height="20" fill="#3a424c"/>'
        f'<rect x="{widths[0]}" width="{widths[1]}" height="20" fill="{_COLOURS.get(origin, _MEASURED)}"/></g>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
        f"{texts}</g></svg>\n"
    )


def embeds(folder: str, name: str, tasks: dict[str, str], portrait: Any, address: str) -> list[dict[str, Any]]:
    """What a model's page says of its badges and frames: by task the files, and lines to paste.

    Args:
        folder: Name of the submission's folder.
        name: The row's name.
        tasks: The names of its tasks; those that no test ranks have nothing to embed.
        portrait: The portrait of the row by task.
        address: The board's address; "" if nobody said it.
    """
    base, here = (address or SOMEWHERE).rstrip("/"), quote(folder, safe="")
    made = []
    for task, task_name in tasks.items():
        of_task = portrait[task]
        if not of_task["rank"]:
            continue
        said = badge_text(task_name, of_task["strips"][0], of_task["rank"], of_task["rows"])
        # What ends a link's text in Markdown is escaped.
        alt = said.replace("[", "\\[").replace("]", "\\]")
        frame = f"{base}/embed/{here}.{task}.html"
        made.append(
            {
                "task": task,
                "said": said,
                "badge": f"badges/{folder}.{task}.svg",
                "frame": f"embed/{folder}.{task}.html",
                "markdown": f"[![{alt}]({base}/badges/{here}.{task}.svg)]({base}/models/{here}.html)",
                "html": f'<iframe src="{frame}" title="{escape(f"{name} on {task_name}")}" width="100%" height="130"></iframe>',
            }
        )
    return made
