"""The command line: each command calls one function."""

import sys
import traceback

# The modules stand in the order in which --help lists their commands.
from clirbench.cli import run, train, results, tools, submissions, board, lists  # isort: skip  # noqa: F401
from clirbench.cli.app import app
from clirbench.cli.streams import ReaderGoneError, give_up_output, guard_streams
from clirbench.support.errors import ClirbenchError, ModelError, first_line, printable
from clirbench.support.quiet import silence_others

__all__ = ["app", "main"]
_INTERRUPTED = 130


def main() -> None:
    """Entry point: a user's mistake is one line on standard error and exit code 2."""
    guard_streams()
    silence_others()
    try:
        try:
            app()
        finally:
            # Most of the output is written here, so its errors show here.
            sys.stdout.flush()
    except ReaderGoneError:
        give_up_output()
        sys.exit(2)
    except ClirbenchError as error:
        give_up_output()
        if isinstance(error, ModelError) and error.__cause__ is not None:
            sys.stderr.write("".join(traceback.format_exception(error.__cause__)))
        sys.stderr.write("\n".join(map(printable, f"clirbench: {error}".split("\n"))) + "\n")
        sys.exit(2)
    except MemoryError as error:
        give_up_output()
        sys.stderr.write(
            f"clirbench: this machine is out of memory ({first_line(error)}): close other programs, or run fewer --languages\n"
        )
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        # The system refuses a path that the user named. Files that clirbench itself writes have their own messages.
        where = printable(str(error.filename))
        sys.stderr.write(
            f"clirbench: {where}: cannot be used ({error.strerror}): correct the path or its permissions\n"
        )
        sys.exit(2)
    except SystemExit as end:
        # Typer turns Ctrl-C into this code without a message.
        if end.code == _INTERRUPTED:
            sys.stderr.write("clirbench: stopped; run the same command again to continue\n")
        raise
