"""The picture of the board in README and docs: the story of the model that the pool costs most, then the other measured models.

python benchmarks/report.py --picture --write
"""

import textwrap
from html import escape
from pathlib import Path

from clirbench.board.story import as_they_are, story
from clirbench.tasks.task_file import load_task

FILE = Path(__file__).resolve().parent.parent / "docs" / "assets" / "board.svg"
TASK = "xquad-r"
# Heading, column of the leaderboard, the value at the end of the scale (None: the pool), and whether more is better.
COLUMNS = (
    ("monolingual", "monolingual mAP", 1.0, True),
    ("cross-lingual", "cross-lingual mAP", 1.0, True),
    ("multilingual", "multilingual mAP", 1.0, True),
    ("rank distance", "bias rank_distance", None, False),
)
NAME, RANK, WIDE, GAP, ROW, LINE, FOOT = 262, 52, 84, 82, 30, 19, 44
STYLE = (
    "text{font:13px system-ui,'Segoe UI',Roboto,sans-serif;fill:#1b1f24}.s{fill:#57606a;font-size:12px}"
    ".h{font-weight:600}.m{fill:#8c959f;fill-opacity:.13}.o{fill:#57606a;font-size:11px}.n{font-variant-numeric:tabular-nums}"
    ".b{fill:#0b66b5}.d{fill:#b3541e}.r{fill:#8c959f;fill-opacity:.16}.l{stroke:#8c959f;stroke-opacity:.45}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.s,.o{fill:#a3adb8}.b{fill:#58a6ff}.d{fill:#f0883e}}"
)


def picture(frame):
    """The SVG, from the table of ``clirbench.leaderboard``."""
    told, others = story(frame, TASK), as_they_are(frame)
    rows, marked = [(row["model"], row) for _, row in others.iterrows()], 0
    if told:
        # The story's two rows stand first, whatever their ranks.
        by_name = {row["model"]: row for _, row in frame.iterrows()}
        names = {told.biased.model: told.biased.model, told.centred.model: "one mean per language subtracted"}
        pair = [(shown, by_name[name]) for name, shown in names.items()]
        rows, marked = pair + [row for row in rows if row[0] != told.biased.model], len(pair)
    width = NAME + RANK + len(COLUMNS) * (WIDE + GAP) + 14
    task = load_task(TASK)
    size = f"{task.counts['topics']:,} questions in {len(task.languages)} languages"
    pool = sum(task.counts["candidates"].values())
    out = [f'<text x="8" y="22" class="h">{task.name}: {size}, {pool:,} candidate sentences</text>']
    lines = textwrap.wrap(" ".join(told.sentences), 146) if told else []
    out += [f'<text x="8" y="{44 + LINE * i}">{escape(line)}</text>' for i, line in enumerate(lines)]
    top = 64 + LINE * len(lines)
    out.append(
        f'<text x="8" y="{top - 14}" class="s">model</text><text x="{NAME}" y="{top - 14}" class="s">rank</text>'
    )
    for place, (heading, _, _, more) in enumerate(COLUMNS):
        out.append(f'<text x="{_left(place)}" y="{top - 14}" class="s">{heading} {"↑" if more else "↓"}</text>')
    if marked:
        out.append(f'<rect x="8" y="{top}" width="{width - 16}" height="{ROW * marked}" class="m"/>')
    for number, (name, row) in enumerate(rows):
        out += _row(name, row, top + ROW * number, width, inset=0 < number < marked)
    end = top + ROW * len(rows)
    foot = (
        "mAP x100. ± is the 95 % margin over questions. "
        "Rank: the range that pairwise tests cannot exclude, among all rows of the board."
    )
    out.append(f'<path d="M8 {end}H{width - 8}" class="l"/><text x="8" y="{end + FOOT - 18}" class="s">{foot}</text>')
    title = "The board: measured models on XQuAD-R, with mAP in three settings and rank distance"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {end + FOOT}" role="img" aria-labelledby="board-title">'
        f'<title id="board-title">{title}</title><style>{STYLE}</style>\n' + "\n".join(out) + "\n</svg>\n"
    )


def _row(name, row, y, width, inset):
    """The shapes of one row. ``inset`` is for a row that belongs to the one above."""
    low, high = (int(row[f"{TASK} rank {end}"]) for end in ("low", "high"))
    rank = str(low) if low == high else f"{low}-{high}"
    out = [f'<path d="M8 {y}H{width - 8}" class="l"/>']
    out.append(f'<text x="{24 if inset else 8}" y="{y + 20}">{escape(name)}</text>')
    out.append(f'<text x="{NAME}" y="{y + 20}" class="n">{rank}</text>')
    pool = sum(load_task(TASK).counts["candidates"].values())
    for place, (_, column, end, more) in enumerate(COLUMNS):
        values = [row[f"{TASK} {column}{tail}"] for tail in ("", " low", " high")]
        out.append(_bar(_left(place), y, values, end or pool, more))
    return out


def _left(place):
    return NAME + RANK + place * (WIDE + GAP)


def _bar(x, y, values, end, more):
    value, low, high = values
    margin = max(high - value, value - low)
    number, off = (f"{100 * value:.1f}", f"±{100 * margin:.1f}") if more else (f"{value:,.0f}", f"±{margin:,.0f}")
    return (
        f'<rect x="{x}" y="{y + 9}" width="{WIDE}" height="12" class="r"/>'
        f'<rect x="{x}" y="{y + 9}" width="{WIDE * value / end:.1f}" height="12" class="{"b" if more else "d"}"/>'
        f'<text x="{x + WIDE + 5}" y="{y + 20}" class="n">{number} <tspan class="o">{off}</tspan></text>'
    )
