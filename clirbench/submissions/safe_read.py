"""Read files of strangers: only regular files, only up to a limit, no links."""

import os
import stat
from contextvars import ContextVar
from pathlib import Path

from clirbench.support.errors import ClirbenchError
from clirbench.support.files import reading

JSON_LIMIT, RANKS_LIMIT, TOML_LIMIT = 200_000, 800_000, 50_000
ENTRIES = 100


_note: ContextVar[Path | None] = ContextVar("note", default=None)


def note_reading(note: Path | None) -> None:
    """Write the name of each file to ``note`` before it is read; None ends this.

    A file of a stranger may end the process that reads it. The note tells another process which file it was.
    """
    _note.set(note)


def entries(folder: Path) -> list[str]:
    """The names in a folder, sorted.

    Raises:
        ClirbenchError: The folder is a link, is not a folder, or holds more than 100 entries.
    """
    try:
        status = folder.lstat()
    except (OSError, ValueError) as error:
        raise ClirbenchError(f"{folder}: cannot be read: give the folder of a submission") from error
    if stat.S_ISLNK(status.st_mode):
        raise ClirbenchError(f"{folder}: is a link: put the files themselves there")
    if not stat.S_ISDIR(status.st_mode):
        raise ClirbenchError(f"{folder}: is not a folder: give the folder of a submission")
    names = []
    with os.scandir(folder) as items:
        for item in items:
            names.append(item.name)
            if len(names) > ENTRIES:
                raise ClirbenchError(
                    f"{folder}: holds more than {ENTRIES} files: leave only results, ranks and model.toml"
                )
    return sorted(names)


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most ``limit`` bytes.

    Raises:
        ClirbenchError: The file is a link, a folder, a device, larger than the limit, or cannot be read.
    """
    note = _note.get()
    if note is not None:
        note.write_bytes(os.fsencode(path))
    with reading(path, "put it back"):
        before = path.lstat()
        if stat.S_ISLNK(before.st_mode):
            raise ClirbenchError(f"{path}: is a link: put the file itself there")
        if not stat.S_ISREG(before.st_mode):
            raise ClirbenchError(f"{path}: is not a file: remove it")
        if before.st_size > limit:
            raise ClirbenchError(
                f"{path}: has {before.st_size:,} bytes, and at most {limit:,} are allowed: make it smaller"
            )
        # The file may have been replaced since lstat, so the flags refuse a link and do not wait for a pipe.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
            content = file.read(limit + 1)
    if len(content) > limit:
        raise ClirbenchError(f"{path}: has more than {limit:,} bytes: make it smaller")
    return content
