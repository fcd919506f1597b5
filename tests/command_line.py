"""The command line in tests: in a process of its own, as a person types it, or in this one."""

import os
import subprocess
import sys

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
