"""Write a file whole or not at all, and turn an error of the file system into one line for the user."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clirbench.support.errors import ClirbenchError


def write_atomically(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write under another name, flush to the disk, then rename; parent folders are made. Content may come in parts.

    Raises:
        OSError: The file cannot be written. An older file of that name is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
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


@contextmanager
def only_writer(path: Path, remedy: str) -> Iterator[None]:
    """Around work that ends with writing ``path``: no other process may be at the same work.

    The lock is the system's, on a hidden file beside ``path``. It ends with the process, however that ends. A folder that was
    made for it and holds nothing at the end is removed.

    Raises:
        ClirbenchError: Another process is at it, or the folder cannot be written; the line names ``path`` and the remedy.
    """
    from filelock import FileLock, Timeout

    lock, made = FileLock(path.with_name(f".{path.name}.lock")), not path.parent.exists()
    with writing(path, remedy):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise ClirbenchError(f"{path}: another run is writing it: wait until it has ended, or {remedy}") from error
    try:
        yield
    finally:
        # Removed while it is held: who holds a lock on a removed file looks again.
        with suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()
        # A folder that holds nothing says that something was saved.
        with suppress(OSError):
            if made:
                path.parent.rmdir()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
