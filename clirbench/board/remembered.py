"""What was computed of a board, in the cache, so that a board that has not changed is neither read nor tested again."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from clirbench.board.folders import Accepted
from clirbench.submissions.accepted import digest_of
from clirbench.submissions.safe_read import read_bounded
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import write_atomically
from clirbench.support.paths import cache_dir

# The limits of the cache: values, and bytes of one of them. A board of 5,000 rows takes about a tenth of the latter.
KEPT, LONGEST = 50, 100_000_000


def boards_dir() -> Path:
    """The folder of what is remembered of boards, with one file for each value. It is safe to delete."""
    return cache_dir() / "boards"


class Remembered:
    """Values that belong to a board, by everything that decides them.

    That is the key of each accepted submission, which :class:`clirbench.submissions.accepted.CheckRecord` makes of all bytes of
    it, of the task files and of the code; the order of the submissions; and the name of the value.
    """

    def __init__(self, accepted: Accepted) -> None:
        self._accepted = accepted

    def recall(self, name: str) -> Any | None:
        """The value of this name; None if it is new, if anything has changed, or if it is damaged."""
        path = self._path(name)
        try:
            held = json.loads(read_bounded(path, LONGEST))
            if held["sha256"] != digest_of([path.stem, held["value"]]):
                return None
            # It was used, so it is not the first to go.
            with suppress(OSError):
                os.utime(path)
            return held["value"]
        except (ClirbenchError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def keep(self, name: str, value: Any) -> None:
        """Remember a value, which JSON can hold. A cache that cannot be written is no error."""
        path, record = self._path(name), self._accepted.record
        # Somebody may have written into a submission while it was read.
        if any(record.key(one) != record.key_of(one) for one in self._accepted.paths):
            return
        content = json.dumps({"sha256": digest_of([path.stem, value]), "value": value}).encode("ascii")
        if len(content) <= LONGEST:
            with suppress(OSError):
                write_atomically(path, content)
                self._trim()

    def _path(self, name: str) -> Path:
        keys = [self._accepted.record.key_of(path) for path in self._accepted.paths]
        return boards_dir() / f"{digest_of([keys, name])}.json"

    def _trim(self) -> None:
        held = sorted((path.stat().st_mtime_ns, path) for path in boards_dir().iterdir())
        for _, path in held[: max(0, len(held) - KEPT)]:
            path.unlink()


def columns_of(frame: Any) -> dict[str, Any]:
    """A DataFrame as JSON can hold it: the type and the values of each column."""
    return {
        str(name): [str(frame[name].dtype), frame[name].astype(object).where(frame[name].notna(), None).tolist()]
        for name in frame
    }


def frame_of_columns(columns: Mapping[str, Any]) -> Any:
    """The DataFrame that :func:`columns_of` was given."""
    import pandas as pd

    return pd.DataFrame({name: pd.Series(values, dtype=kind) for name, (kind, values) in columns.items()})
