"""Write a file whole or not at all, and turn an error of the file system into one line for the user."""

import errno
import hashlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clirbench.support.errors import ClirbenchError, printable, shortened

_PART = ".part"
# What a disk without locks answers: some network disks are.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def write_atomically(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write under another name, flush to the disk, then rename; parent folders are made. Content may come in parts.

    Raises:
        OSError: The file cannot be written. An older file of that name is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two containers that share a disk may have the same process number.
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_PART}")
    try:
        with part.open("xb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def remove_parts(folder: Path, seconds: float = 86400.0) -> None:
    """Remove what killed processes left half written in a folder, if it is so many seconds old: others may be writing now."""
    for part in folder.glob(f".*{_PART}"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime >= seconds:
                part.unlink()


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
        raise ClirbenchError(f"{shortened(printable(str(path)), 300)}: cannot be read ({reason}): {remedy}") from error


@contextmanager
def only_writer(path: Path, remedy: str, note: Callable[[str], None] | None = None) -> Iterator[None]:
    """Around work that ends with writing ``path``: no other process may be at the same work.

    The lock is the system's, on a hidden file beside ``path``. It ends with the process, however that ends. A second hidden file
    says who holds it. A folder that was made for it and holds nothing at the end is removed. On a disk without locks the work
    goes on without one, and ``note`` is told so.

    Raises:
        ClirbenchError: Another process is at it, or the folder cannot be written; the line names ``path`` and the remedy.
    """
    from filelock import FileLock, Timeout

    made = not path.parent.exists()
    lock, holder = FileLock(path.with_name(f".{path.name}.lock")), path.with_name(f".{path.name}.writer")
    with writing(path, remedy):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            who = _holder(holder)
            raise ClirbenchError(
                f"{path}: another run is writing it ({who}): wait until it has ended, or {remedy}"
            ) from error
        except (OSError, NotImplementedError) as error:
            if not _lacks_locks(error):
                raise
            if note:
                note(f"{path}: its disk has no locks, so nothing stops a second run of the same: start only one")
    with suppress(OSError):
        holder.write_text(
            f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S %z')}"
        )
    remove_parts(path.parent)
    # In a folder that is locked as a whole, nobody else writes.
    remove_parts(path, 0)
    try:
        yield
    finally:
        # Removed while the lock is held: who holds a lock on a removed file looks again.
        for file in (holder, Path(lock.lock_file)):
            with suppress(OSError):
                file.unlink()
        lock.release()
        # A folder that holds nothing says that something was saved.
        with suppress(OSError):
            if made:
                path.parent.rmdir()


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Around work that one process does while others wait, such as writing ``path``. On a disk without locks nobody waits.

    Raises:
        OSError: The lock beside ``path`` cannot be written.
    """
    from filelock import FileLock

    lock = FileLock(path.with_name(f"{path.name}.lock"))
    try:
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        if not _lacks_locks(error):
            raise
    try:
        yield
    finally:
        lock.release()


def _lacks_locks(error: Exception) -> bool:
    return isinstance(error, NotImplementedError) or getattr(error, "errno", None) in _NO_LOCKS


def remove_stale_lock(path: Path) -> None:
    """Remove the lock of a process that was killed, where there is one and nobody holds it."""
    if path.with_name(f".{path.name}.lock").exists():
        with suppress(ClirbenchError), only_writer(path, ""):
            pass


def _holder(path: Path) -> str:
    """Who holds a lock, as the file at ``path`` has it."""
    try:
        with path.open("rb") as file:
            return printable(file.read(120).decode()) or "it does not say who"
    except (OSError, ValueError):
        return "it does not say who"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
