"""The processes that examine submissions: each examines many, one after another under limits, and one that dies is replaced.

Orders and answers are lines of JSON. So what a stranger's file makes of such a process is never unpickled here.
"""

import gc
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from clirbench.submissions.findings import Comparable, Examined, Finding
from clirbench.submissions.safe_read import recorded
from clirbench.support.processes import end_with_parent, safe_start
from clirbench.tasks.task_file import settled_tasks


class Limits(NamedTuple):
    """Limits for one submission: bytes beyond those that the process has when it begins, and seconds of computing time."""

    memory: int
    seconds: int


# A result of the largest task needs about a tenth of either.
LIMITS = Limits(1_500_000_000, 60)
# By the clock, a process on a busy machine takes longer than it computes.
_CLOCK = 20
# Bytes of an answer. The findings on a submission are far fewer.
_LONGEST = 20_000_000
# A submission that ends a process is examined once more, in a new one: what was examined before must not decide its verdict.
_TRIES = 2


class Examiners:
    """Processes that examine, which may begin to load what they need before it is known which folders they get."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.workers: list[_Worker] = []

    def expect(self, folders: int) -> None:
        """Start as many processes as so many folders are examined by; those that were started count."""
        most = min(os.cpu_count() or 1, folders)
        while len(self.workers) < most:
            self.workers.append(_Worker(self.limits))

    def __enter__(self) -> "Examiners":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.end()


def examined_apart(
    folders: Sequence[Path], untrusted: bool, examiners: Examiners, advance: Callable[[], None]
) -> dict[Path, Examined]:
    """Examine each folder in a process with limits; a folder that ends its process gets an error.

    ``advance`` is called after each folder.
    """
    done: dict[Path, Examined] = {}
    queue = list(reversed(folders))
    examiners.expect(len(folders))
    workers, limits = examiners.workers, examiners.limits
    while queue or any(worker.folder for worker in workers):
        for i, worker in enumerate(workers):
            if worker.folder is None and queue:
                worker.begin(queue.pop(), untrusted)
            elif worker.dead:
                folder, tries, reading = worker.folder, worker.tries, worker.reading
                worker.end()
                workers[i] = _Worker(limits)
                if folder is not None and tries < _TRIES:
                    workers[i].begin(folder, untrusted, tries)
                elif folder is not None:
                    done[folder] = _ended(folder, reading, limits)
                    advance()
        for worker in _answering(workers):
            examined = worker.answer()
            if examined is not None:
                done[examined.folder] = examined
                advance()
    return done


def _ended(folder: Path, reading: str, limits: Limits) -> Examined:
    examined = Examined(folder, final=False)
    needs = f"examining it needs more than {limits.memory / 1e9:.1f} GB or {limits.seconds} s"
    file = Path(reading) if reading else folder
    examined.error(file, "", f"{needs}, or ends the process: submit the files as clirbench wrote them")
    return examined


class _Worker:
    """A process, and the folder that it examines at the moment."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.folder: Path | None = None
        self.reading = ""
        self.tries, self.dead = 0, False
        self.deadline = float("inf")
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        with safe_start():
            self._process = context.Process(target=_work, args=(theirs, *limits), daemon=True)
            self._process.start()
        # The connection ends when the process does, so nobody else may hold the other end.
        theirs.close()

    def begin(self, folder: Path, untrusted: bool, tries: int = 0) -> None:
        """Let the process examine a folder, on which ``tries`` processes have ended before."""
        self.folder, self.reading, self.tries = folder, "", tries + 1
        self.deadline = time.monotonic() + _CLOCK * self._limits.seconds
        # A process that has died meanwhile is seen when its answer is awaited.
        with suppress(OSError):
            self.connection.send_bytes(json.dumps([str(folder), untrusted]).encode("ascii"))

    def answer(self) -> Examined | None:
        """Take what the process sends: the findings on its folder, or None if it has not finished, or has died."""
        try:
            kind, value = json.loads(self.connection.recv_bytes(_LONGEST))
            if kind == "reading":
                self.reading = str(value)
                return None
            if kind != "done" or self.folder is None:
                raise ValueError(kind)
            examined = _unpacked(self.folder, value)
        except (EOFError, OSError, ValueError, TypeError, KeyError, RecursionError):
            self.dead = True
            return None
        self.folder, self.deadline = None, float("inf")
        return examined

    def end(self) -> None:
        """End the process."""
        self.connection.close()
        self._process.kill()
        self._process.join()
        self._process.close()


def _answering(workers: Sequence[_Worker]) -> list[_Worker]:
    """Wait until some of the processes at work send something. One that is past its time counts as dead."""
    busy = {worker.connection: worker for worker in workers if worker.folder is not None and not worker.dead}
    if not busy:
        return []
    left = min(worker.deadline for worker in busy.values()) - time.monotonic()
    ready: list[Any] = wait(list(busy), max(0.0, left))
    for worker in busy.values():
        worker.dead = worker.connection not in ready and time.monotonic() > worker.deadline
    return [busy[connection] for connection in ready]


# From here on: the process that examines.


def _work(orders: Connection, memory: int, seconds: int) -> None:
    # Ctrl-C is the other process's, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare()
    while True:
        try:
            name, untrusted = json.loads(orders.recv_bytes())
        except EOFError:
            return

        def tell(path: Path) -> None:
            # A file of a stranger may end the process that reads it. So the other process knows which file it was.
            orders.send_bytes(json.dumps(["reading", str(path)]).encode("ascii"))

        limit(Limits(memory, seconds))
        try:
            examined = examine_safely(Path(name), untrusted, tell)
            orders.send_bytes(json.dumps(["done", _packed(examined)]).encode("ascii"))
        except MemoryError:
            os._exit(1)


def prepare() -> None:
    """Make this process one that examines."""
    from threadpoolctl import threadpool_limits

    # What the process needs to examine is none of a submission's memory.
    import clirbench.submissions.check_one  # noqa: F401

    end_with_parent()
    # What is loaded stays. To look through it for garbage again and again takes time.
    gc.freeze()
    # The processes share the cores already, so each gets one thread.
    threadpool_limits(1)


def limit(limits: Limits) -> None:
    """Limit this process from now on. A limit of an earlier submission ends."""
    # Only Linux limits the process. On all systems, the sizes of files and of their expanded content are limited.
    with suppress(ImportError, OSError, ValueError):
        import resource

        most = resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + limits.seconds, most))
        held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (held + limits.memory, most))


def examine_safely(folder: Path, untrusted: bool, tell: Callable[[Path], None] | None = None) -> Examined:
    """Examine a folder; what clirbench itself does wrong there becomes an error. ``tell`` gets each file before it is read.

    Raises:
        MemoryError: The process may not have as much memory.
    """
    from clirbench.submissions.check_one import examine

    try:
        with recorded(tell) as read, settled_tasks():
            examined = examine(folder, untrusted)
        examined.names = read.names.get(folder)
        examined.digests = {path.name: digest for path, digest in read.digests.items()}
        return examined
    except MemoryError:
        raise
    except Exception as error:
        # After a defect of clirbench, the check of other submissions goes on, and this submission does not pass.
        examined = Examined(folder, final=False)
        examined.error(folder, "", f"examining it failed ({type(error).__name__}: {error}): please report this")
        return examined


def _packed(examined: Examined) -> dict[str, Any]:
    return {
        "findings": [asdict(one) for one in examined.findings],
        "comparables": [asdict(one) for one in examined.comparables],
        "final": examined.final,
        "names": examined.names,
        "digests": examined.digests,
    }


def _unpacked(folder: Path, value: dict[str, Any]) -> Examined:
    return Examined(
        folder,
        [Finding(**one) for one in value["findings"]],
        [Comparable(**one) for one in value["comparables"]],
        bool(value["final"]),
        value["names"],
        dict(value["digests"]),
    )
