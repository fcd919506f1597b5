"""Progress of long work: bars on a terminal, plain lines in a log, silence when clirbench is used as a library."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
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

    def start(self, phase: str, total: int, brief: bool = False, work: int | None = None) -> None:
        """Begin a phase, or change the total of a running one; totals are in texts, queries or bytes.

        A ``brief`` phase works for seconds at a time, while another phase waits, so its rate means nothing. ``work`` is what all
        units take together, in any measure that time follows, such as tokens; None where one unit takes as long as another.
        """

    def advance(self, phase: str, done: int, work: int | None = None, skipped: bool = False) -> None:
        """Report that ``done`` more units of the phase are finished, and what they take of the phase's ``work``.

        ``skipped`` units took no time, because they came from a cache.
        """

    def note(self, line: str) -> None:
        """Show the user a line."""


class Silent:
    """A reporter that says nothing: the default where clirbench is used as a library."""

    def start(self, phase: str, total: int, brief: bool = False, work: int | None = None) -> None:
        """Ignored."""

    def advance(self, phase: str, done: int, work: int | None = None, skipped: bool = False) -> None:
        """Ignored."""

    def note(self, line: str) -> None:
        """Ignored."""


@dataclass
class Phase:
    """How far a phase is: its units, and its work, which is counted in units where nobody says more.

    Attributes:
        total: Units in all.
        work: Work in all; None where one unit takes as long as another.
        began: When it began, in seconds of a clock that only goes on.
        brief: It works for seconds at a time, so its rate means nothing.
        done: Units that are finished, skipped ones included.
        skipped: Units that took no time.
        work_done: Work that is finished, skipped work included.
        work_skipped: Work that took no time.
        told: When the last units were finished.
    """

    total: int
    work: int | None
    began: float
    brief: bool = False
    done: int = 0
    skipped: int = 0
    work_done: int = 0
    work_skipped: int = 0
    told: float = 0.0

    def advance(self, now: float, done: int, work: int | None, skipped: bool) -> None:
        """Add units that are finished, and their work."""
        work = done if work is None or self.work is None else work
        self.done += done
        self.work_done += work
        if skipped:
            self.skipped += done
            self.work_skipped += work
        self.told = now

    @property
    def all_work(self) -> int:
        """The work of the whole phase."""
        return self.total if self.work is None else self.work

    def rate(self, now: float) -> float | None:
        """Units per second, skipped ones left out; None before the first ones."""
        seconds, done = now - self.began, self.done - self.skipped
        return done / seconds if done > 0 and seconds > 0 else None

    def left(self, now: float) -> float | None:
        """Seconds to the end, if the other work goes as fast as the work so far, skipped work left out; None before that."""
        seconds, done = self.told - self.began, self.work_done - self.work_skipped
        if done <= 0 or seconds <= 0:
            return None
        return max(0.0, seconds * (self.all_work - self.work_done) / done - (now - self.told))


class PlainReporter:
    """A reporter of plain lines on standard error: at the start and end of a phase, and every ten seconds in between."""

    def __init__(self) -> None:
        self._phases: dict[str, Phase] = {}
        self._spoke: dict[str, float] = {}

    def start(self, phase: str, total: int, brief: bool = False, work: int | None = None) -> None:
        """Write the phase's label and total."""
        now = time.monotonic()
        self._phases[phase], self._spoke[phase] = Phase(total, work, now, brief), now
        self.note(f"{phase}: {total:,}")

    def advance(self, phase: str, done: int, work: int | None = None, skipped: bool = False) -> None:
        """Write a line if the last line is ten seconds old, or the phase has ended."""
        state, now = self._phases[phase], time.monotonic()
        state.advance(now, done, work, skipped)
        if state.done >= state.total:
            self.note(f"{phase}: {state.done:,} of {state.total:,}")
        elif now - self._spoke[phase] >= _PLAIN_INTERVAL and not state.brief:
            self._spoke[phase] = now
            rate, left = state.rate(now), state.left(now)
            share = f" ({state.work_done / state.work:.0%} of the work)" if state.work else ""
            pace = "" if rate is None or left is None else f", {rate:,.0f} a second, about {duration(left)} left"
            self.note(f"{phase}: {state.done:,} of {state.total:,}{share}{pace}")

    def note(self, line: str) -> None:
        """Write the line at once, so that a reader of a pipe sees it."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class RichReporter:
    """A reporter on a terminal: one live display for the whole run, with a bar and its remaining time per phase."""

    def __init__(self, progress: bars.Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, bars.TaskID] = {}
        self._phases: dict[str, Phase] = {}

    def start(self, phase: str, total: int, brief: bool = False, work: int | None = None) -> None:
        """Add a bar, or give the phase's bar its new total. The bar shows the work."""
        if phase in self._phases:
            state = self._phases[phase]
            state.total, state.work = total, work
            self._progress.update(self._tasks[phase], total=state.all_work)
        else:
            state = self._phases[phase] = Phase(total, work, self._progress.get_time(), brief)
            self._tasks[phase] = self._progress.add_task(phase, total=state.all_work, phase=state)

    def advance(self, phase: str, done: int, work: int | None = None, skipped: bool = False) -> None:
        """Move the bar."""
        state = self._phases[phase]
        state.advance(self._progress.get_time(), done, work, skipped)
        # Work may be an estimate, and units are not: the bar is full when the last unit is finished.
        completed = state.all_work if state.done >= state.total else min(state.work_done, state.all_work)
        self._progress.update(self._tasks[phase], completed=completed)

    def note(self, line: str) -> None:
        """Print the line above the bars."""
        self._progress.console.print(line, markup=False, highlight=False)


class _Units(bars.ProgressColumn):
    """Finished units of all units."""

    def render(self, task: bars.Task) -> Text:
        state: Phase = task.fields["phase"]
        return Text(f"{state.done}/{state.total}", style="progress.download")


class _Rate(bars.ProgressColumn):
    """Units per second so far, cached ones left out."""

    def render(self, task: bars.Task) -> Text:
        state: Phase = task.fields["phase"]
        rate = state.rate(state.told if task.finished else task.get_time())
        return Text("" if rate is None else f"{rate:,.0f}/s", style="progress.data.speed")


class _Left(bars.ProgressColumn):
    """Time to the end, by the work that is left."""

    def render(self, task: bars.Task) -> Text:
        state: Phase = task.fields["phase"]
        left = 0.0 if task.finished else state.left(task.get_time())
        shown = "-:--:--" if left is None else str(timedelta(seconds=round(left)))
        return Text(shown, style="progress.remaining")


def duration(seconds: float) -> str:
    """A length of time with one unit, such as 45 s, 12 min, 3.5 h or 2.1 days; anything below a second reads "1 s"."""
    for size, name, digits in ((86400, "days", 1), (3600, "h", 1), (60, "min", 0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.{digits}f} {name}"
    return f"{seconds:.0f} s" if seconds >= 1 else "1 s"


def live(console: Console, clock: Callable[[], float] = time.monotonic) -> bars.Progress:
    """The display of a :class:`RichReporter`: what it does, how far it is, how fast, how long, and how long still."""
    columns = (
        bars.SpinnerColumn(),
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        _Units(),
        _Rate(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("ETA"),
        _Left(),
    )
    return bars.Progress(*columns, console=console, get_time=clock)


@contextmanager
def reporting() -> Iterator[Reporter]:
    """A reporter that fits standard error: a live display on a terminal, plain lines when piped."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainReporter()
        return
    with live(console) as progress:
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
