"""Progress of long work: bars on a terminal, plain lines in a log, silence when clirbench is used as a library."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich import progress as bars
from rich.console import Console
from rich.text import Text

ENCODE, RANK, RERANK, DOWNLOAD = "encode (texts)", "rank (queries)", "second stage (pairs)", "download"
# Called with the bytes received so far and the total, which is None where the host does not say.
Advance = Callable[[int, int | None], None]
_PLAIN_INTERVAL = 10.0


class Reporter(Protocol):
    """A receiver of progress. Work goes in phases, each known by its label, such as "encode (texts)"."""

    def start(self, phase: str, total: int, brief: bool = False) -> None:
        """Begin a phase, or change the total of a running one; totals are in texts, queries or bytes.

        A ``brief`` phase works for seconds at a time, while another phase waits, so its rate means nothing.
        """

    def advance(self, phase: str, done: int) -> None:
        """Report that ``done`` more units of the phase are finished."""

    def note(self, line: str) -> None:
        """Show the user a line."""


class Silent:
    """A reporter that says nothing: the default where clirbench is used as a library."""

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
    """A reporter of plain lines on standard error: at the start and end of a phase, and every ten seconds in between."""

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}

    def start(self, phase: str, total: int, brief: bool = False) -> None:
        """Write the phase's label and total."""
        now = time.monotonic()
        self._phases[phase] = _Phase(total, brief, began=now, spoke=now)
        self.note(f"{phase}: {total:,}")

    def advance(self, phase: str, done: int) -> None:
        """Write a line if the last line is ten seconds old, or the phase has ended."""
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
        """Write the line at once, so that a reader of a pipe sees it."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class RichReporter:
    """A reporter on a terminal: one live display for the whole run, with a bar and its remaining time per phase."""

    def __init__(self, progress: bars.Progress) -> None:
        self._progress = progress
        self._phases: dict[str, bars.TaskID] = {}

    def start(self, phase: str, total: int, brief: bool = False) -> None:
        """Add a bar, or give the phase's bar its new total."""
        if phase in self._phases:
            self._progress.update(self._phases[phase], total=total)
        else:
            self._phases[phase] = self._progress.add_task(phase, total=total)

    def advance(self, phase: str, done: int) -> None:
        """Move the bar."""
        self._progress.advance(self._phases[phase], done)

    def note(self, line: str) -> None:
        """Print the line above the bars."""
        self._progress.console.print(line, markup=False, highlight=False)


class _Rate(bars.ProgressColumn):
    """Units per second, measured over the most recent units."""

    def render(self, task: bars.Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


def duration(seconds: float) -> str:
    """A length of time with one unit, such as 45 s, 12 min, 3.5 h or 2.1 days; anything below a second reads "1 s"."""
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
        bars.SpinnerColumn(),
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        _Rate(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("ETA"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console) as progress:
        yield RichReporter(progress)


def follow_download(reporter: Reporter) -> Callable[[str], Advance]:
    """Return a function from a file's name to the callback of its download. Each download is a phase of its own."""

    def follow(name: str) -> Advance:
        phase = f"{DOWNLOAD} {name}"
        told = 0

        def advance(received: int, total: int | None) -> None:
            nonlocal told
            if told == 0:
                reporter.start(phase, total or received)
            reporter.advance(phase, received - told)
            told = received

        return advance

    return follow
