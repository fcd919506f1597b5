"""Write a file whole or not at all, and turn an error of the file system into one line for the user."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clirbench.support.errors import ClirbenchError


def write_atomically(path: Path, content: bytes) -> None:
    """Write under another name, flush to the disk, then rename; parent folders are made.

    Raises:
        OSError: The file cannot be written. An older file of that name is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def writing(path: Path | str, remedy: str) -> Iterator[None]:
    """Around a block that writes ``path``: turn an OSError into one line with a remedy, such as "choose another --output".

    Raises:
        ClirbenchError: The block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise ClirbenchError(f"cannot write {path} ({error.strerror}): {remedy}") from error


@contextmanager
def reading(path: Path | str, remedy: str) -> Iterator[None]:
    """Around a block that reads ``path``: turn an OSError into one line with a remedy, such as "correct --data".

    Raises:
        ClirbenchError: The block raised an OSError, or the ValueError of a name that holds a null byte.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClirbenchError(f"{path}: cannot be read ({reason}): {remedy}") from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
