"""The picture of the board in README and docs: measured models on XQuAD-R, by multilingual mAP.

python benchmarks/report.py --picture --write
"""

from html import escape
from pathlib import Path

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
NAME, RANK, WIDE, GAP, ROW, TOP, FOOT = 246, 46, 84, 82, 30, 64, 44
STYLE = (
    "text{font:13px system-ui,'Segoe UI',Roboto,sans-serif;fill:#1b1f24}.s{fill:#57606a;font-size:12px}"
    ".h{font-weight:600}.o{fill:#57606a;font-size:11px}.n{font-variant-numeric:tabular-nums}"
    ".b{fill:#0b66b5}.d{fill:#b3541e}.r{fill:#8c959f;fill-opacity:.16}.l{stroke:#8c959f;stroke-opacity:.45}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.s,.o{fill:#a3adb8}.b{fill:#58a6ff}.d{fill:#f0883e}}"
)


def shown(frame):
    """Measured models as they are, without the copies whose language bias was removed afterwards, in the board's order."""
    return frame[(frame["origin"] == "measured") & ~frame["model"].str.contains(" + ", regex=False)]


def picture(frame):
    """The SVG, from the table of ``clirbench.leaderboard``."""
    rows = list(shown(frame).iterrows())
    width = NAME + RANK + len(COLUMNS) * (WIDE + GAP) + 14
    height = TOP + ROW * len(rows) + FOOT
    task = load_task(TASK)
    size = f"{task.counts['topics']:,} questions in {len(task.languages)} languages"
    pool = sum(task.counts["candidates"].values())
    out = [f'<text x="8" y="22" class="h">{task.name}: {size}, {pool:,} candidate sentences</text>']
    out.append(
        f'<text x="8" y="{TOP - 14}" class="s">model</text><text x="{NAME}" y="{TOP - 14}" class="s">rank</text>'
    )
    for place, (heading, _, _, more) in enumerate(COLUMNS):
        arrow = "↑" if more else "↓"
        out.append(f'<text x="{_left(place)}" y="{TOP - 14}" class="s">{heading} {arrow}</text>')
    for number, (_, row) in enumerate(rows):
        y = TOP + ROW * number
        low, high = (int(row[f"{TASK} rank {end}"]) for end in ("low", "high"))
        rank = str(low) if low == high else f"{low}-{high}"
        out.append(f'<path d="M8 {y}H{width - 8}" class="l"/>')
        out.append(
            f'<text x="8" y="{y + 20}">{escape(row["model"])}</text><text x="{NAME}" y="{y + 20}" class="n">{rank}</text>'
        )
        for place, (_, column, end, more) in enumerate(COLUMNS):
            out.append(
                _bar(
                    _left(place),
                    y,
                    [row[f"{TASK} {column}{tail}"] for tail in ("", " low", " high")],
                    end or pool,
                    more,
                )
            )
    foot = (
        "mAP x100. ± is the 95 % margin over questions. "
        "Rank: the range that pairwise tests cannot exclude, among all rows of the board."
    )
    out.append(
        f'<path d="M8 {height - FOOT}H{width - 8}" class="l"/><text x="8" y="{height - 18}" class="s">{foot}</text>'
    )
    title = "The board: measured models on XQuAD-R, with mAP in three settings and rank distance"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="board-title">'
        f'<title id="board-title">{title}</title><style>{STYLE}</style>\n' + "\n".join(out) + "\n</svg>\n"
    )


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
