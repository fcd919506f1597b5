"""Standard output and error that may be full, or closed before everything is written."""

import contextlib
import os
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from clirbench.support.errors import ClirbenchError


class ReaderGoneError(Exception):
    """The reader of standard output has gone, such as ``head``: nobody waits for a line."""


class _Output(TextIOWrapper):
    """Standard output. Its errors are told from those of files, and no library takes them for its own."""

    def write(self, text: str) -> int:
        """Write, or raise what :meth:`_told` raises."""
        with self._told():
            return super().write(text)

    def flush(self) -> None:
        """Flush, or raise what :meth:`_told` raises."""
        with self._told():
            super().flush()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn an error of the system into :class:`ReaderGoneError`, or into one line for the user."""
        try:
            yield
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise ReaderGoneError from error
            raise ClirbenchError(
                f"cannot write to standard output ({error.strerror}): send it elsewhere, or make room; saved results are whole"
            ) from error


class _Errors(TextIOWrapper):
    """Standard error. What cannot be written there is lost, because a run must not fail for a line of progress."""

    def write(self, text: str) -> int:
        """Write, if it can be written."""
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Flush, if it can be flushed."""
        with contextlib.suppress(OSError):
            super().flush()


def guard_streams() -> None:
    """Take the place of standard output and error. A character that a terminal or pipe cannot show is replaced by "?"."""
    for name, kind in (("stdout", _Output), ("stderr", _Errors)):
        guarded = _guarded(getattr(sys, name), kind)
        setattr(sys, name, guarded)
        setattr(sys, f"__{name}__", guarded)


def give_up_output() -> None:
    """Send what is left of standard output to nowhere, so that the end of the program does not try to write it again."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _guarded(stream: TextIO | None, kind: type[TextIOWrapper]) -> TextIO:
    if stream is None:
        # Closed by the user (2>&-). Another file would otherwise get its number, and the lines of libraries.
        return Path(os.devnull).open("w", encoding="utf-8")
    if not isinstance(stream, TextIOWrapper):
        return stream
    encoding, by_line, at_once = stream.encoding, stream.line_buffering, stream.write_through
    return kind(stream.detach(), encoding=encoding, errors="replace", line_buffering=by_line, write_through=at_once)
