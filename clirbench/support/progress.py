"""Progress of a run: a live display on a terminal, plain lines elsewhere, nothing inside other programs."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

ENCODE, RANK, DOWNLOAD = "encode (texts)", "rank (queries)", "download"
Advance = Callable[[int, int | None], None]
_PLAIN_INTERVAL = 10.0


class Reporter(Protocol):
    """What the work says of its progress. A phase is known by its label; its total may grow."""

    def start(self, phase: str, total: int, brief: bool = False) -> None:
        """Announce a phase of ``total`` units (texts, queries or bytes); a brief one takes seconds, between waits for another."""

    def advance(self, phase: str, done: int) -> None:
        """Say that ``done`` more units of the phase are there."""

    def note(self, line: str) -> None:
        """Say one thing worth knowing."""


class Silent:
    """Says nothing: for use as a library."""

    def start(self, phase: str, total: int, brief: bool = False) -> None:
        """Ignored."""

    def advance(self, phase: str, done: int) -> None:
        """Ignored."""

    def note(self, line: str) -> None:
        """Ignored."""


@dataclass
class _Phase:
    total: int
    brief: bool
    began: float
    spoke: float
    done: int = 0


class PlainReporter:
    """Lines on standard error: at the start and end of a phase, and every ten seconds in between."""

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}

    def start(self, phase: str, total: int, brief: bool = False) -> None:
        """One line per phase."""
        now = time.monotonic()
        self._phases[phase] = _Phase(total, brief, began=now, spoke=now)
        self.note(f"{phase}: {total:,}")

    def advance(self, phase: str, done: int) -> None:
        """One line every ten seconds, and one at the end."""
        state = self._phases[phase]
        now = time.monotonic()
        state.done += done
        if state.done >= state.total:
            self.note(f"{phase}: {state.done:,} of {state.total:,}")
        elif now - state.spoke >= _PLAIN_INTERVAL and not state.brief:
            state.spoke = now
            rate = state.done / (now - state.began)
            left = duration((state.total - state.done) / rate)
            self.note(f"{phase}: {state.done:,} of {state.total:,}, {rate:,.0f} a second, about {left} left")

    def note(self, line: str) -> None:
        """Written at once, so that a pipe sees it."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class RichReporter:
    """One live display for the whole run, a bar with its ETA per phase."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._phases: dict[str, TaskID] = {}

    def start(self, phase: str, total: int, brief: bool = False) -> None:
        """A new bar, or a longer one."""
        if phase in self._phases:
            self._progress.update(self._phases[phase], total=total)
        else:
            self._phases[phase] = self._progress.add_task(phase, total=total)

    def advance(self, phase: str, done: int) -> None:
        """Move the bar."""
        self._progress.advance(self._phases[phase], done)

    def note(self, line: str) -> None:
        """Printed above the bars."""
        self._progress.console.print(line, markup=False, highlight=False)


class _Rate(ProgressColumn):
    """Units a second, of late."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


def duration(seconds: float) -> str:
    """As a person says it: 45 s, 12 min, 3.5 h, 2.1 days; at least a second."""
    for size, name, digits in ((86400, "days", 1), (3600, "h", 1), (60, "min", 0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.{digits}f} {name}"
    return f"{seconds:.0f} s" if seconds >= 1 else "1 s"


@contextmanager
def reporting() -> Iterator[Reporter]:
    """A reporter that fits standard error: a live display on a terminal, plain lines when piped."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainReporter()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield RichReporter(progress)


def follow_download(reporter: Reporter) -> Callable[[str], Advance]:
    """A bar per downloaded file."""

    def file(name: str) -> Advance:
        phase = f"{DOWNLOAD} {name}"
        told = 0

        def advance(have: int, total: int | None) -> None:
            nonlocal told
            if told == 0:
                reporter.start(phase, total or have)
            reporter.advance(phase, have - told)
            told = have

        return advance

    return file
