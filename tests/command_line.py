"""The command line in tests: in a process of its own, as a person types it, or in this one."""

import contextlib
import os
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from clirbench.cli import app


def environment(home, **more):
    """Variables of a process that keeps its cache under ``home``."""
    kept = {key: value for key, value in os.environ.items() if key not in ("CLIRBENCH_MIRROR", "FORCE_COLOR")}
    return {**kept, "CLIRBENCH_CACHE": str(home / "cache"), "PYTHONWARNINGS": "default", "COLUMNS": "100", **more}


def clir(home, *args, **more):
    """Run ``clirbench ARGS`` in the folder ``home``; the process that ended."""
    return subprocess.run(
        [sys.executable, "-m", "clirbench", *args],
        capture_output=True,
        text=True,
        cwd=home,
        env=environment(home, **more),
        check=False,
        timeout=300,
    )


def call(*arguments):
    """Run ``clirbench ARGUMENTS`` in this process; typer's result."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def wait_until(condition, process, seconds=120):
    """Return once ``condition()`` holds; fail where the process ends first, or after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        with contextlib.suppress(subprocess.TimeoutExpired):
            pytest.fail(f"the process ended with {process.wait(timeout=0.01)} before what was waited for")
        if time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"not within {seconds} seconds")


# A command that hears Ctrl-C: what a shell starts in the background is born deaf to it, and Python would stay so.
HEARS_CTRL_C = (
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\nfrom clirbench.cli import main; main()",
)
