"""The history of a board: dated copies of its site under addresses that stay, and what changed between two of them."""

import datetime
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from clirbench.board.site.content import number
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import write_atomically
from clirbench.tasks.task_file import board_columns, board_tasks

FOLDER = "snapshots"
# File that marks a folder of dated copies, which each build keeps.
MARK = ".clirbench-snapshots"
# What a dated copy leaves to the newest board: the docs, the other copies, and the pages on history.
_LEFT = ("docs", FOLDER, "changes", "history.html")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Two numbers that differ by less are shown as the same.
_LEAST = {"bias": 0.5}
_LEAST_SHARE = 0.00005
Record = dict[str, Any]


@dataclass(frozen=True)
class Release:
    """A board as it was: the rows of its ``data/board.json``. ``date`` is a day, or "" for the board that is being built."""

    date: str
    rows: list[Record]

    @property
    def name(self) -> str:
        """What a page calls it."""
        return self.date or "now"

    @property
    def place(self) -> str:
        """Where its front page stands on the site."""
        return f"{FOLDER}/{self.date}/index.html" if self.date else "index.html"


def a_day(text: str, option: str) -> str:
    """A day as YYYY-MM-DD, or ""; a :class:`ClirbenchError` names the option where it is none."""
    with suppress(ValueError):
        if not text or datetime.date.fromisoformat(text).isoformat() == text:
            return text
    raise ClirbenchError(f"{option} is '{text[:40]}': write a day as YYYY-MM-DD")


def kept_in(site: Path) -> Path | None:
    """The folder of dated copies of a site that an earlier build made; None without one."""
    return site / FOLDER if (site / FOLDER / MARK).is_file() else None


def refuse_again(site: Path, date: str) -> None:
    """A :class:`ClirbenchError` where a copy of this day is kept already: it stays as it is."""
    if date and (site / FOLDER / date).exists():
        raise ClirbenchError(
            f"--snapshot is '{date}', and {site / FOLDER / date} is there: a copy stays as it is, so choose another day"
        )


def keep_snapshots(site: Path, earlier: Path | None, date: str, address: str) -> None:
    """Take the dated copies of an earlier build over into a new ``site``, and add one of the site as it is now.

    Files that do not change are links to one file where the disk has them, so a copy takes little room.
    """
    folder = site / FOLDER
    if earlier:
        shutil.copytree(earlier, folder, copy_function=_linked)
    if not date:
        return
    write_atomically(folder / MARK, b"dated copies of the board; each build keeps them\n")
    # A copy has a name of its own until it is whole.
    part = folder / f".{date}.part"
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(site, part, copy_function=_linked, ignore=lambda at, _: _LEFT if Path(at) == site else ())
    for page in part.rglob("*.html"):
        text = _as_copy(page.read_text(encoding="utf-8"), "../" * len(page.relative_to(part).parts[:-1]), date, address)
        write_atomically(page, text.encode())
    part.replace(folder / date)


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _as_copy(page: str, root: str, date: str, address: str) -> str:
    """A page of the site as a page of a dated copy: it says so, and leads to the docs and the history of the newest board."""
    home = address.rstrip("/")
    if home:
        page = page.replace(f'content="{home}/', f'content="{home}/{FOLDER}/{date}/')
    page = re.sub(r'href="(?:\.\./)*(docs/index\.html|history\.html)', rf'href="{root}../../\1', page)
    stays = f" It stays at {home}/{FOLDER}/{date}/." if home else ""
    said = (
        f'<p class="kept" role="note">The board as it was on {date}.{stays} '
        f'<a href="{root}../../index.html">The newest board</a> · <a href="{root}../../history.html">History</a></p>\n'
    )
    return re.sub(r'(<main id="main"[^>]*>\n)', rf"\1{said}", page, count=1)


def releases(site: Path) -> list[Release]:
    """The boards that a site has, the oldest first: its dated copies, and last the one that it is."""
    folder = site / FOLDER
    days = sorted(path.name for path in folder.iterdir() if _DAY.fullmatch(path.name)) if folder.is_dir() else []
    made = []
    for day in days:
        file = folder / day / "data" / "board.json"
        try:
            made.append(Release(day, json.loads(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError) as error:
            raise ClirbenchError(
                f"{file}: cannot be read ({error}): put the copy back, or remove {folder / day}"
            ) from error
    return [*made, Release("", json.loads((site / "data" / "board.json").read_text(encoding="utf-8")))]


def write_history(site: Path, page: Callable[..., None]) -> int:
    """Write the page of the history, and one for every two boards; return their number. ``page`` writes a page of the site."""
    boards = releases(site)
    pairs = list(combinations(boards, 2))
    leaders = {task: facts.name for task, facts in board_tasks().items()}
    line = [
        (board, [(name, told) for task, name in leaders.items() if (told := _leader(board, task))]) for board in boards
    ]
    page(
        "history.html",
        "history.html",
        line=line,
        boards=boards,
        rows=sorted(boards[-1].rows, key=lambda row: (row.get("submitted") or "", row["name"]), reverse=True),
    )
    for before, after in pairs:
        changed = changes(before, after)
        page(between(before, after), "changes.html", before=before, after=after, changed=changed, told=_told(changed))
    return 1 + len(pairs)


def between(before: Release, after: Release) -> str:
    """Where the page on what changed between two boards stands."""
    return f"changes/{before.name}_{after.name}.html"


def changes(before: Release, after: Release) -> dict[str, Any]:
    """What changed between two boards: rows that came and went, numbers, evidence, rank ranges, and who leads.

    Rank ranges are listed only of rows whose own numbers stayed: they move because other rows came or went.
    """
    old, new = ({row["model"]: row for row in board.rows} for board in (before, after))
    both = [(old[model], row) for model, row in new.items() if model in old]
    numbers = [(row["name"], *one) for was, row in both for one in _numbers(was, row)]
    evidence = [
        (row["name"], was["evidence"], row["evidence"]) for was, row in both if was["evidence"] != row["evidence"]
    ]
    ranges = [
        (row["name"], board_tasks()[task].name, _range(was, task), _range(row, task))
        for was, row in both
        for task in board_tasks()
        if not _numbers(was, row) and _range(was, task) != _range(row, task)
    ]
    leads = [(board_tasks()[task].name, _leader(before, task), _leader(after, task)) for task in board_tasks()]
    return {
        "came": [_brief(row) for model, row in new.items() if model not in old],
        "went": [_brief(row) for model, row in old.items() if model not in new],
        "numbers": numbers,
        "evidence": evidence,
        "ranges": ranges,
        "leads": [one for one in leads if one[1] or one[2]],
        "counts": (len(old), len(new)),
    }


def _told(changed: dict[str, Any]) -> str:
    came, went, numbers = (len(changed[key]) for key in ("came", "went", "numbers"))
    said = f"{came} {_plural(came, 'row')} came, {went} went"
    return f"{said}, and {numbers} {_plural(numbers, 'number')} of other rows changed."


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"


def _brief(row: Record) -> dict[str, Any]:
    mains = []
    for task in board_tasks():
        value = row.get(_main(task))
        if value is not None:
            mains.append(f"{board_tasks()[task].name} {number(value)}")
    return {"name": row["name"], "model": row["model"], "evidence": row["evidence"], "says": ", ".join(mains)}


def _main(task: str) -> str:
    return " ".join((task, *board_columns(task).main))


def _numbers(was: Record, row: Record) -> list[tuple[str, str, str]]:
    """The headline numbers that changed, as (number, before, after)."""
    changed = []
    for task in board_tasks():
        for setting, metric in board_columns(task).headline:
            key, bias = f"{task} {setting} {metric}", setting == "bias"
            one, other = was.get(key), row.get(key)
            least = _LEAST.get(setting, _LEAST_SHARE)
            if (one is None) != (other is None) or (
                one is not None and other is not None and abs(one - other) >= least
            ):
                scale, digits = (1, 0) if bias else (100, 2)
                words = metric.replace("_", " ") if bias else f"{setting} {metric}"
                named = f"{board_tasks()[task].name} {words}"
                changed.append((named, number(one, scale, digits), number(other, scale, digits)))
    return changed


def _range(row: Record, task: str) -> str:
    low, high = row.get(f"{task} rank low"), row.get(f"{task} rank high")
    return "\u2013" if low is None else f"{low}" if low == high else f"{low}\u2013{high}"


def _leader(board: Release, task: str) -> str:
    """The measured row with the highest main number of a task, in words; "" without one."""
    held = [row for row in board.rows if row.get(f"{task} rank low") is not None and row.get(_main(task)) is not None]
    if not held:
        return ""
    first = max(held, key=lambda row: (row[_main(task)], row["model"]))
    return f"{first['name']} {number(first[_main(task)])}"
