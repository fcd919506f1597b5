"""Progress of a run: a live display on a terminal, plain lines elsewhere, nothing inside other programs."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_PLAIN_INTERVAL = 10.0


class Reporter(Protocol):
    """What the work says of its progress. A phase is known by its label; its total may grow."""

    def start(self, phase: str, total: int) -> None:
        """Announce a phase of ``total`` units (texts, queries or bytes)."""

    def advance(self, phase: str, done: int) -> None:
        """Say that ``done`` more units of the phase are there."""

    def note(self, line: str) -> None:
        """Say one thing worth knowing."""


class Silent:
    """Says nothing: for use as a library."""

    def start(self, phase: str, total: int) -> None:
        """Ignored."""

    def advance(self, phase: str, done: int) -> None:
        """Ignored."""

    def note(self, line: str) -> None:
        """Ignored."""


class PlainReporter:
    """Lines on standard error: at the start and end of a phase, and every ten seconds in between."""

    def __init__(self) -> None:
        self._phases: dict[str, list[float]] = {}

    def start(self, phase: str, total: int) -> None:
        """One line per phase."""
        now = time.monotonic()
        self._phases[phase] = [float(total), 0.0, now, now]
        self.note(f"{phase}: {total:,}")

    def advance(self, phase: str, done: int) -> None:
        """One line every ten seconds, and one at the end."""
        state = self._phases[phase]
        state[1] += done
        total, sofar, began, spoke = state
        now = time.monotonic()
        if sofar >= total:
            self.note(f"{phase}: {int(sofar):,} of {int(total):,} in {now - began:.1f} s")
        elif now - spoke >= _PLAIN_INTERVAL:
            state[3] = now
            left = (now - began) / sofar * (total - sofar)
            self.note(f"{phase}: {int(sofar):,} of {int(total):,}, about {left:.0f} s left")

    def note(self, line: str) -> None:
        """Written at once, so that a pipe sees it."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class RichReporter:
    """One live display for the whole run, a bar with its ETA per phase."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._phases: dict[str, TaskID] = {}

    def start(self, phase: str, total: int) -> None:
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
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield RichReporter(progress)
