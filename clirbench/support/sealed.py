"""Files of the cache and of a run that was killed: each begins with a checksum over what it is and what it holds.

So a file that was damaged, cut off, renamed, swapped with another or left by another run is noticed when it is read. A checksum
keeps accidents out, not people: who may write a cache may write anything there, checksum included.
"""

import hashlib
from errno import EINVAL
from pathlib import Path
from stat import S_ISREG

# SHA-256 in hexadecimal.
_DIGITS = 64


class DamagedError(ValueError):
    """A file is not what was written there. The message is a reason, such as "its checksum differs"."""


def seal(identity: bytes, content: bytes) -> bytes:
    """Put a line with a checksum before some content.

    ``identity`` says what the content is, and its last field has a fixed length or an end that no other field has, so that it
    cannot run into the content.
    """
    return _digest(identity, content) + b"\n" + content


def read_sealed(path: Path, identity: bytes) -> bytes | None:
    """Read what :func:`seal` made, without the checksum; None where there is no file.

    Raises:
        DamagedError: It has no checksum, or another one.
        OSError: It is no file, or cannot be read.
    """
    try:
        data = read_file(path)
    except FileNotFoundError:
        return None
    if data[_DIGITS : _DIGITS + 1] != b"\n":
        raise DamagedError("it has no checksum")
    content = data[_DIGITS + 1 :]
    if data[:_DIGITS] != _digest(identity, content):
        raise DamagedError("its checksum differs")
    return content


def read_file(path: Path) -> bytes:
    """Read a file, and nothing that stands in the place of one: a pipe would be read for ever.

    Raises:
        OSError: There is no file, or it cannot be read.
    """
    if not S_ISREG(path.stat().st_mode):
        raise OSError(EINVAL, "it is no file", str(path))
    return path.read_bytes()


def _digest(identity: bytes, content: bytes) -> bytes:
    digest = hashlib.sha256(identity)
    digest.update(content)
    return digest.hexdigest().encode()
