"""Files that the cache keeps of each submission, by a key: each with its hash, and no more of them than a limit."""

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from clirbench.support.errors import ClirbenchError
from clirbench.support.paths import cache_dir

# What reading them may raise where a file is absent or damaged.
DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, ClirbenchError)


def kept_root() -> Path:
    """The folder below which submissions are kept: that of the cache."""
    return cache_dir()


@contextmanager
def writable_root() -> Iterator[Path]:
    """:func:`kept_root`, or, if that cannot be written, a folder that is removed at the end."""
    root = kept_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=root):
            pass
    except OSError:
        with TemporaryDirectory(prefix="clirbench-") as own:
            yield Path(own)
        return
    yield root


class KeptFiles:
    """Groups of small files, each group in a folder named by its key, below ``root``. It is safe to delete.

    ``most`` groups are kept, and more only where one board has more.
    """

    def __init__(self, root: Path, most: int) -> None:
        self.root, self._most = root, most

    def read(self, key: str, name: str) -> bytes:
        """A file that is kept; an OSError or a ValueError if it is absent or damaged."""
        content = (self.root / key / name).read_bytes()
        digest, _, content = content.partition(b"\n")
        if digest != sha256(content).hexdigest().encode():
            raise ValueError(f"{name} is damaged")
        return content

    def write(self, key: str, files: Mapping[str, bytes]) -> None:
        """Keep files under a key, and remove what was kept there; an OSError if that cannot be written."""
        part = self.root / f".{key[:16]}.{secrets.token_hex(8)}.part"
        part.mkdir(parents=True)
        try:
            for name, content in files.items():
                (part / name).write_bytes(sha256(content).hexdigest().encode() + b"\n" + content)
            # Damaged files of this key give way. Another process may write the same at the same time: either may win.
            shutil.rmtree(self.root / key, ignore_errors=True)
            with suppress(OSError):
                part.replace(self.root / key)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def used(self, key: str) -> None:
        """Note that a group was used, so that it is not the first to go; an OSError if it is absent."""
        os.utime(self.root / key)

    def trim(self, in_use: int) -> None:
        """Remove the groups that were used longest ago, if there are too many. As many as are ``in_use`` stay."""
        with suppress(OSError):
            kept = sorted((path.stat().st_mtime_ns, path) for path in self.root.iterdir())
            for _, path in kept[: max(0, len(kept) - max(self._most, in_use))]:
                shutil.rmtree(path, ignore_errors=True)
