"""A process of its own for a stranger's model: no network, no home, nothing to write but a small temporary folder, and limits.

The process answers in lines of JSON. Nothing that it sends is unpickled or imported.
"""

import json
import os
import signal
import site
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from clirbench.support.errors import ClirbenchError, first_line, printable
from clirbench.support.progress import Reporter, Silent

# What the process takes from the environment: where programs, languages and graphics cards are. No token is among these.
_KEPT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "LD_LIBRARY_PATH",
    "CUDA_HOME",
    "CUDA_PATH",
    "SYSTEMROOT",
    "WINDIR",
)
_KEPT_STARTS = ("CUDA_VISIBLE", "NVIDIA_", "HIP_", "ROCR_", "OMP_NUM", "MKL_NUM", "OPENBLAS_NUM", "PYTHONWARNINGS")
_LONGEST_LINE, _LONGEST_NOTE, _MOST_LINES = 64_000_000, 2_000, 1_000_000
_PACKAGE = Path(__file__).resolve().parent.parent
# Memory of addresses that libraries reserve and never use.
_RESERVED = 32 << 30
# More units of work than any run has.
_MOST_UNITS = 2**53


@dataclass(frozen=True)
class Limits:
    """What the process may use.

    Attributes:
        memory: Bytes.
        seconds: By the clock. Each core may compute for so long.
        processes: Processes and threads; 0 for 64, and 8 for each core.
        file_size: Bytes of a file that it writes; its temporary folders hold as much together.
    """

    memory: int = 0
    seconds: float = 24 * 3600.0
    processes: int = 0
    file_size: int = 256 << 20


def default_memory() -> int:
    """Nine tenths of the machine's memory, in bytes; 0 where the system does not say."""
    try:
        return int(0.9 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return 0


@dataclass(frozen=True)
class Wall:
    """How a process is walled in.

    Attributes:
        limits: What it may use.
        readable: Files and folders that it may read, beside Python, clirbench and the system's libraries.
        namespaces: Take away the network, other processes and the file system. Only Linux has them.
        environment: Variables that it has, beside a few of the system's.
    """

    limits: Limits = Limits()
    readable: Sequence[Path] = ()
    namespaces: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


def behind_wall(
    target: str,
    argument: Mapping[str, Any],
    wall: Wall,
    reporter: Reporter | None = None,
    told: Callable[[Any], None] | None = None,
) -> Any:
    """Call a function of ours in a process behind a wall, and return what it returns.

    Args:
        target: The function, as MODULE:NAME. It takes ``argument``, a reporter and a function that sends a value to ``told``.
        argument: Plain data, as JSON holds them.
        wall: What the process may do.
        reporter: Told of its progress.
        told: Called with each value that the function sends on its way.

    Raises:
        ClirbenchError: The function raised one, the process broke a limit or died, or the system has no such wall.
    """
    if sys.platform != "linux" and wall.namespaces:
        _refuse_no_wall(f"{sys.platform} has no network namespaces")
    with tempfile.TemporaryDirectory(prefix="clirbench-wall-") as scratch:
        home = Path(scratch)
        for name in ("root", "home", "tmp"):
            (home / name).mkdir()
        order = {
            "target": target,
            "argument": dict(argument),
            "scratch": scratch,
            "readable": [str(path) for path in (*_own_places(), *wall.readable)],
            "namespaces": wall.namespaces,
            "limits": asdict(wall.limits),
        }
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as errors:
            stdin.write(json.dumps(order).encode())
            stdin.seek(0)
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "clirbench.submissions.wall"],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(home, wall),
                cwd=home / "tmp",
                # Ctrl-C is this process's own, which ends the other one.
                start_new_session=True,
            )
            late = threading.Event()

            def end() -> None:
                late.set()
                _kill(process)

            timer = threading.Timer(wall.limits.seconds, end)
            timer.start()
            try:
                return _follow(
                    _answers(process), reporter or Silent(), told, lambda: _end_of(process, errors, wall, late)
                )
            finally:
                timer.cancel()
                timer.join()
                # The kernel ends all that it has started.
                _kill(process)
                process.wait()
                process.stdout.close()  # type: ignore[union-attr]


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


def _environment(home: Path, wall: Wall) -> dict[str, str]:
    """The variables of the process: no token is among them, and its home and caches are empty folders."""
    kept = {k: v for k, v in os.environ.items() if k in _KEPT or k.startswith(_KEPT_STARTS)}
    own = str(home / "home")
    private = dict.fromkeys(("HOME", "USERPROFILE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), own)
    private |= {"HF_HOME": f"{own}/hf", "TORCH_HOME": f"{own}/torch", "CLIRBENCH_CACHE": f"{own}/clirbench"}
    private |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(home / "tmp"))
    # Nobody has an entry in a list of users, which libraries ask for a name.
    private |= dict.fromkeys(("USER", "LOGNAME", "USERNAME"), "clirbench")
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_DATASETS_OFFLINE": "1"}
    python = {
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "PYTHONPATH": str(_PACKAGE.parent),
    }
    if site.ENABLE_USER_SITE:
        # Packages of the user lie in the home that the process does not have.
        python["PYTHONUSERBASE"] = site.getuserbase()
    return kept | private | offline | python | dict(wall.environment)


def _own_places() -> list[Path]:
    """Where Python, its packages and clirbench lie."""
    prefixes = {Path(place).resolve() for place in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    prefixes |= {Path(sys.executable).resolve().parent, Path(sys.prefix), Path(sys.base_prefix)}
    packages = {Path(place) for place in sys.path if Path(place).name in ("site-packages", "dist-packages")}
    libraries = {
        Path(place)
        for place in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
        if Path(place).parent != Path(place)
    }
    # A checkout also holds files that are none of clirbench's.
    own = {_PACKAGE, _PACKAGE.parent / "tasks", _PACKAGE.parent / "pyproject.toml"}
    return sorted(place for place in prefixes | packages | libraries | own if place.is_absolute() and place.exists())


def _answers(process: "subprocess.Popen[bytes]") -> Iterator[Any]:
    """Yield the lines that the process sends, as plain data, until it has ended."""
    held = bytearray()
    lines = 0
    while piece := os.read(process.stdout.fileno(), 1 << 16):  # type: ignore[union-attr]
        held += piece
        *whole, rest = held.split(b"\n")
        held = bytearray(rest)
        lines += len(whole)
        if len(held) > _LONGEST_LINE or lines > _MOST_LINES:
            raise ClirbenchError("the process of the model sends more than a run has to say: it was ended")
        yield from map(json.loads, whole)


def _follow(
    answers: Iterator[Any],
    reporter: Reporter,
    told: Callable[[Any], None] | None,
    end: Callable[[], ClirbenchError],
) -> Any:
    """Read the answers until one is the result. They are a stranger's: a text is made printable, everything else refused."""
    phases: set[str] = set()
    try:
        for answer in answers:
            kind, values = (answer[0], answer[1:]) if isinstance(answer, list) and answer else (None, [])
            if kind == "error" and len(values) == 1:
                raise ClirbenchError(printable(str(values[0]))[:_LONGEST_NOTE])
            if kind == "wall" and len(values) == 1:
                _refuse_no_wall(printable(str(values[0]))[:200])
            if kind == "result" and len(values) == 1:
                return values[0]
            if kind == "told" and len(values) == 1 and told is not None:
                told(values[0])
            elif kind == "note" and len(values) == 1:
                reporter.note(printable(str(values[0]))[:_LONGEST_NOTE])
            elif kind == "start" and _is_phase(values):
                phases.add(printable(values[0])[:80])
                reporter.start(printable(values[0])[:80], values[1], bool(values[3]), values[2])
            elif kind == "advance" and _is_phase(values) and printable(values[0])[:80] in phases:
                reporter.advance(printable(values[0])[:80], values[1], values[2], skipped=bool(values[3]))
    except (ValueError, RecursionError) as error:
        raise ClirbenchError(f"the process of the model sends what is no JSON ({first_line(error)})") from error
    raise end()


def _is_phase(values: Sequence[Any]) -> bool:
    """Whether values are a label, a number of units, their work, and a switch."""
    kinds = (str, int, int | None, bool)
    numbers = [value for value in values if isinstance(value, int)]
    return (
        len(values) == len(kinds)
        and all(map(isinstance, values, kinds))
        and all(0 <= number <= _MOST_UNITS for number in numbers)
    )


def _end_of(process: "subprocess.Popen[bytes]", errors: Any, wall: Wall, late: threading.Event) -> ClirbenchError:
    """Say how a process ended that has sent no result."""
    hours = f"{wall.limits.seconds / 3600:.2g}"
    if late.is_set():
        return ClirbenchError(f"the model has not ended after {hours} hours: pass --max-hours, or another --device")
    code = process.wait()
    errors.seek(0)
    lines = errors.read(1_000_000).decode("utf-8", "replace").strip().splitlines()
    last = printable(lines[-1])[:300] if lines else "it says nothing"
    # The first process of a namespace hands on a signal as a shell does.
    number = -code if code < 0 else code - 128
    limits = f"--max-memory is {(wall.limits.memory or default_memory()) / 1e9:.3g} GB, --max-hours is {hours}"
    how = f"was ended by signal {number}" if 0 < number < 65 else f"ended with code {code}"
    return ClirbenchError(f"the process of the model {how} ({last}): {limits}; raise them, or look at the model")


def _refuse_no_wall(why: str) -> NoReturn:
    raise ClirbenchError(
        f"a stranger's model is not loaded here, because {why}, so it could reach the network and your files: "
        "use a Linux machine with user namespaces, or pass --without-network-wall for limits and an empty home alone"
    )


# From here on: the process behind the wall.


class _Sender:
    """A reporter that sends what it is told through a pipe."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
        # What a library prints is no answer.
        os.dup2(2, 1)

    def send(self, *answer: Any) -> None:
        self._file.write(json.dumps(answer) + "\n")
        self._file.flush()

    def start(self, phase: str, total: int, brief: bool = False, work: int | None = None) -> None:
        self.send("start", phase, total, work, brief)

    def advance(self, phase: str, done: int, work: int | None = None, skipped: bool = False) -> None:
        self.send("advance", phase, done, work, skipped)

    def note(self, line: str) -> None:
        self.send("note", line)


def main() -> None:
    """Build the wall around this process, and call the function that was asked for."""
    order = json.loads(sys.stdin.buffer.read())
    sender = _Sender()
    if order["namespaces"]:
        from clirbench.submissions.namespaces import WallError, enclose

        try:
            enclose(Path(order["scratch"]), [Path(place) for place in order["readable"]], order["limits"]["file_size"])
        except WallError as error:
            sender.send("wall", str(error))
            return
    _limit(Limits(**order["limits"]), 0 if order["namespaces"] else _threads_of_user())
    try:
        from importlib import import_module

        module, _, name = order["target"].partition(":")
        function = getattr(import_module(module), name)
        sender.send("result", function(order["argument"], sender, lambda value: sender.send("told", value)))
    except ClirbenchError as error:
        sender.send("error", str(error))
    except MemoryError:
        sender.send("error", "the model needs more memory than it may have: raise --max-memory")


def _threads_of_user() -> int | None:
    """Count the threads of this user, which the system's limit counts too; None where the system does not list them."""
    if not Path("/proc/self/task").is_dir():
        return None
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            count += sum(1 for _ in (process / "task").iterdir()) if process.stat().st_uid == os.getuid() else 0
    return count


def _limit(limits: Limits, others: int | None) -> None:
    """Limit this process and those that it starts. ``others`` are threads that are none of its own and count as such."""
    with suppress(ImportError):
        import resource

        cores = os.cpu_count() or 1
        bounds = {
            "RLIMIT_CORE": 0,
            "RLIMIT_FSIZE": limits.file_size,
            "RLIMIT_CPU": int(limits.seconds * cores) + 1,
            "RLIMIT_NPROC": 0 if others is None else others + (limits.processes or 64 + 8 * cores),
            "RLIMIT_DATA": limits.memory or default_memory(),
        }
        # A graphics card is mapped into more addresses than the machine has memory.
        if not Path("/dev/nvidiactl").exists() and not Path("/dev/kfd").exists():
            bounds["RLIMIT_AS"] = bounds["RLIMIT_DATA"] and bounds["RLIMIT_DATA"] + _RESERVED
        for name, bound in bounds.items():
            if (bound or name == "RLIMIT_CORE") and hasattr(resource, name):
                with suppress(ValueError, OSError):
                    resource.setrlimit(getattr(resource, name), (bound, bound))


if __name__ == "__main__":
    main()
