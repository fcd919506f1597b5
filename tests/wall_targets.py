"""What a stranger's code might do behind the wall: functions that tests call there."""

import ctypes
import getpass
import mmap
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from clirbench.support.errors import ClirbenchError


def attempt(action):
    """The result of an action, or the name of its error."""
    try:
        return action()
    except Exception as error:
        return type(error).__name__


def echo(argument, reporter, tell):
    """Use every way to answer."""
    reporter.start("texts", 2)
    reporter.advance("texts", 2)
    reporter.advance("a phase that nobody began", 1)
    reporter.note("a note\x1b[31m")
    tell({"held": 1})
    return {"argument": argument, "arguments": sys.argv[1:], "name": __name__}


def look(argument, reporter, tell):
    """Try what is forbidden, and say what came of each."""
    secret = Path(argument["secret"])
    places = [*argument["places"], "/usr/forbidden", "/forbidden", "/etc/forbidden"]
    return {
        "connect": attempt(lambda: socket.create_connection(("127.0.0.1", argument["port"]), 5) and "open"),
        "outside": attempt(lambda: socket.create_connection(("192.0.2.1", 80), 2) and "open"),
        "secret": attempt(secret.read_text),
        "home": attempt(lambda: sorted(path.name for path in Path(argument["home"]).iterdir())),
        "own home": attempt(lambda: sorted(path.name for path in Path.home().iterdir())),
        "written": [place for place in places if attempt(lambda place=place: Path(place).write_text("x")) == 1],
        "temporary": attempt(lambda: Path(os.environ["TMPDIR"], "x").write_text("x")),
        "processes": [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()],
        "kill": attempt(lambda: os.kill(argument["pid"], 0) or "there"),
        "user": os.geteuid(),
        "name": attempt(getpass.getuser),
        "capabilities": next(
            line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff")
        ),
        "remounted": ctypes.CDLL(None, use_errno=True).mount(b"none", b"/", None, 32, None) == 0,
        "variables": dict(os.environ),
        "readable": attempt(lambda: Path(argument["readable"]).read_text()),
    }


def forks(argument, reporter, tell):
    """Start processes until the system refuses, or there are too many."""
    children = []
    try:
        while len(children) < argument["most"]:
            children.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
    except OSError as error:
        return {"started": len(children), "error": type(error).__name__}
    return {"started": len(children), "error": None}


def memory(argument, reporter, tell):
    """Take memory until there is none."""
    held = []
    while True:
        held.append(bytearray(64 << 20))


def shared_memory(argument, reporter, tell):
    """Take memory that processes can share."""
    held = []
    while True:
        held.append(mmap.mmap(-1, 1 << 30))


def a_large_file(argument, reporter, tell):
    """Fill the temporary folder."""
    with Path(os.environ["TMPDIR"], "large").open("wb") as file:
        while True:
            file.write(bytes(1 << 20))


def for_ever(argument, reporter, tell):
    """Wait and never end."""
    reporter.note("asleep")
    threading.Event().wait()


def busy(argument, reporter, tell):
    """Compute and never end."""
    while True:
        pass


def dies(argument, reporter, tell):
    """End as a parser does that has a hole."""
    ctypes.string_at(0)


def fails(argument, reporter, tell):
    """Fail as clirbench does, in two lines with colours."""
    raise ClirbenchError("one\ntwo\x1b[31m")


def talks(argument, reporter, tell):
    """Send lines that are none of ours."""
    pipe = reporter._file
    for line in argument["lines"]:
        pipe.write(line + "\n")
    pipe.flush()
    return "the result"


def talks_without_end(argument, reporter, tell):
    """Send one line that never ends."""
    while True:
        reporter._file.write("x" * (1 << 20))
