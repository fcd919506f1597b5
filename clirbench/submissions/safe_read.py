"""Read files of strangers: only regular files, only up to a limit, no links. Find text that could deceive."""

import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from clirbench.support.errors import ClirbenchError
from clirbench.support.files import reading

JSON_LIMIT, RANKS_LIMIT, TOML_LIMIT = 200_000, 600_000, 50_000
ENTRIES = 100


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


def tricks(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Find text that could deceive a reader or a page: control characters, invisible characters, and markup.

    Prompts and citations may hold line ends, tabs and angle brackets, because instruction models use them. Pages escape them.

    Yields:
        The dotted key of a text below ``key``, and the fault of the text.
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(inner, float | int):
                yield from tricks(inner, f"{key}.{str(name)[:40]}".lstrip("."))
            yield from tricks(str(name), f"{key}.{str(name)[:40]!a}".lstrip("."))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from tricks(inner, f"{key}.{i}")
    elif isinstance(value, str):
        if value.isprintable() and "<" not in value and ">" not in value:
            return
        free = key.rsplit(".", 1)[-1] in _FREE
        for character in value:
            kind = unicodedata.category(character)
            if kind in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") and not (free and character in "\n\t"):
                yield key, f"holds the invisible character U+{ord(character):04X}: remove it"
                break
            if character in "<>" and not free:
                yield key, f"holds '{character}', which looks like markup: remove it"
                break


_FREE = ("query_prompt", "candidate_prompt", "query_prefix", "candidate_prefix", "citation")


def skeleton(name: str) -> str:
    """A name in which letters that look alike are made equal. Two names with the same skeleton can be confused."""
    return name.lower().translate(_ALIKE).replace("rn", "m").replace("vv", "w")


_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "-": "_", ".": "_", "+": "_", "5": "s"})
