"""The command line: each command calls one function."""

import sys
from io import TextIOWrapper

# In the order in which --help lists them.
from clirbench.cli import run, train, results, submissions, board, lists  # isort: skip  # noqa: F401
from clirbench.cli.app import app
from clirbench.errors import ClirbenchError

__all__ = ["app", "main"]

_INTERRUPTED = 130


def main() -> None:
    """Entry point: a user's mistake is one line on standard error and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal or pipe that cannot show a character must not cost the run.
            stream.reconfigure(errors="replace")
    try:
        app()
    except ClirbenchError as error:
        sys.stderr.write(f"clirbench: {error}\n")
        sys.exit(2)
    except SystemExit as end:
        # Typer turns Ctrl-C into this code without a word.
        if end.code == _INTERRUPTED:
            sys.stderr.write("clirbench: stopped; run the same command again to continue\n")
        raise
