"""The command line: each command calls one function."""

import gc
import os
import sys
import traceback

from clirbench.cli.app import app
from clirbench.cli.streams import ReaderGoneError, give_up_output, guard_streams
from clirbench.support.errors import ClirbenchError, ModelError, first_line, printable
from clirbench.support.quiet import silence_others

__all__ = ["app", "main"]
_INTERRUPTED = 130
# Containers that Python makes before it looks for garbage for the first time. Imports make so many, and leave no garbage.
_CONTAINERS = 150_000


def main() -> None:
    """Entry point: a user's mistake is one line on standard error and exit code 2."""
    _leave_imports_alone()
    guard_streams()
    silence_others()
    # Pydantic would read the metadata of every installed package to look for plugins, and let them see each result.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
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


def _leave_imports_alone() -> None:
    """Let Python look for garbage for the first time after the imports, and from then on as often as always.

    It would look dozens of times meanwhile: a tenth of the time of a small command.
    """
    usual = gc.get_threshold()

    def back(phase: str, _: object) -> None:
        if phase == "stop":
            gc.callbacks.remove(back)
            gc.set_threshold(*usual)

    gc.callbacks.append(back)
    gc.set_threshold(_CONTAINERS, *usual[1:])
