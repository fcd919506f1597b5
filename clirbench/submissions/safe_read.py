"""Read files of strangers: only regular files, only up to a limit, no links."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from clirbench.support.errors import ClirbenchError
from clirbench.support.files import reading

JSON_LIMIT, RANKS_LIMIT, TOML_LIMIT = 200_000, 800_000, 50_000
ENTRIES = 100


@dataclass
class Recording:
    """What was read of folders: their names, and the SHA-256 of each file's bytes, "" for a file that could not be read."""

    tell: Callable[[Path], None] | None = None
    names: dict[Path, list[str]] = field(default_factory=dict)
    digests: dict[Path, str] = field(default_factory=dict)


_recording: ContextVar[Recording | None] = ContextVar("recording", default=None)


@contextmanager
def recorded(tell: Callable[[Path], None] | None = None) -> Iterator[Recording]:
    """Record what is read meanwhile. ``tell`` gets the path of each file before it is read."""
    recording = Recording(tell)
    token = _recording.set(recording)
    try:
        yield recording
    finally:
        _recording.reset(token)


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
    names.sort()
    if (recording := _recording.get()) is not None:
        recording.names[folder] = names
    return names


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most ``limit`` bytes.

    Raises:
        ClirbenchError: The file is a link, a folder, a device, larger than the limit, or cannot be read.
    """
    recording = _recording.get()
    if recording is not None:
        recording.digests[path] = ""
        if recording.tell is not None:
            recording.tell(path)
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
    if recording is not None:
        recording.digests[path] = hashlib.sha256(content).hexdigest()
    return content


def read_hashed(path: Path, limit: int) -> tuple[bytes, str]:
    """The bytes of :func:`read_bounded`, and their SHA-256."""
    content = read_bounded(path, limit)
    recording = _recording.get()
    return content, hashlib.sha256(content).hexdigest() if recording is None else recording.digests[path]
