"""The counts of finished shards, kept on disk so that a run that was killed can go on."""

import hashlib
import json
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from clirbench.evaluation.streaming.first_pass import FirstPass
from clirbench.evaluation.streaming.job import ShardCounts
from clirbench.support.errors import ClirbenchError, shortened
from clirbench.support.files import reading, write_atomically, writing
from clirbench.support.sealed import read_file, read_sealed, seal
from clirbench.tasks.corpora.inventory import Shard

FORMAT = 2
_MANIFEST, _FIRST = "manifest.json", "first.npz"


class CountsFolder:
    """The folder of one run: a manifest, pass 1, and a small file of counts for each finished shard.

    Every file is written under another name and renamed when it is complete. A counts file begins with a SHA-256 over the run's
    identity, the shard and the counts. A file that is damaged, cut off or from another run fails the check of this SHA-256. It is
    treated as missing, and its shard is counted again. Where the manifest or pass 1 is damaged, the run begins anew.

    Args:
        folder: The folder; None keeps everything in memory.

    Attributes:
        damaged: Names of the files that failed their check.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.damaged: list[str] = []
        self._run = b""
        self._memory: dict[str, ShardCounts] = {}

    def resume(self, identity: dict[str, Any], force: bool) -> FirstPass | None:
        """Read pass 1 of the run that was begun in this folder; None if there is no run, or its files are damaged.

        Where None is returned, the folder is empty. ``identity`` holds all that decides a count, by name. With ``force``, a run
        whose identity differs is removed.

        Raises:
            ClirbenchError: Another run was begun here, or the folder cannot be read.
        """
        if self.folder is None:
            return None
        try:
            manifest = json.loads(read_file(self.folder / _MANIFEST))
            content = read_file(self.folder / _FIRST)
            begun = dict(manifest["identity"])
            # Releases up to 0.1 wrote none.
            if manifest.pop("sha256", None) not in (None, _checksum(manifest)):
                raise ValueError("its checksum differs")
        except FileNotFoundError:
            self.remove()
            return None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.damaged.append(_MANIFEST)
            self.remove()
            return None
        except OSError as error:
            raise ClirbenchError(
                f"{error.filename}: cannot be read ({error.strerror}): make it readable and run again; nothing was removed"
            ) from error
        # One difference often follows from another. The identity lists causes first, so the message names the cause.
        for key in [*identity, *(begun.keys() - identity.keys())]:
            there, now = begun.get(key), json.loads(json.dumps(identity.get(key)))
            if there != now and force:
                self.remove()
                return None
            if there != now:
                raise ClirbenchError(
                    f"{self.folder} was begun with another {key.replace('_', ' ')} ({_short(there, now)} there, "
                    f"{_short(now, there)} now), and counts of two runs do not mix: change it back, pass --output for another "
                    "folder, or --force to begin anew"
                )
        if hashlib.sha256(content).hexdigest() != manifest.get("first"):
            self.damaged.append(_FIRST)
            self.remove()
            return None
        self._run = _run_digest(begun, str(manifest["first"]))
        return FirstPass.from_bytes(content)

    def begin(self, identity: dict[str, Any], first: FirstPass) -> None:
        """Begin a run: write pass 1, then the manifest. Pass 1 without a manifest is ignored.

        Raises:
            ClirbenchError: The folder cannot be written.
        """
        if self.folder is None:
            return
        content = first.to_bytes()
        digest = hashlib.sha256(content).hexdigest()
        self._write(_FIRST, content)
        manifest = {"format": FORMAT, "identity": identity, "first": digest}
        self._write(_MANIFEST, json.dumps({**manifest, "sha256": _checksum(manifest)}, indent=1).encode())
        self._run = _run_digest(identity, digest)

    def get(self, shard: Shard, blocks: Collection[int] = ()) -> ShardCounts | None:
        """Read the counts of a shard, and the best passages of some blocks of queries; None where they are missing or damaged.

        Raises:
            ClirbenchError: The file exists but cannot be read.
        """
        if self.folder is None:
            return self._memory.get(shard.name)
        path = self._path(shard)
        with reading(path, "remove it, and it is counted again"):
            try:
                content = read_sealed(path, self._identity(shard))
                return None if content is None else ShardCounts.from_bytes(content, blocks)
            except (ValueError, KeyError, zipfile.BadZipFile):
                self.damaged.append(path.name)
                return None

    def put(self, shard: Shard, counts: ShardCounts) -> None:
        """Write the counts of a shard.

        Raises:
            ClirbenchError: The folder cannot be written.
        """
        if self.folder is None:
            self._memory[shard.name] = counts
            return
        self._write(self._path(shard).name, seal(self._identity(shard), counts.to_bytes()))

    def remove(self) -> None:
        """Remove the files that this class wrote, and the folder if nothing else is in it.

        Raises:
            ClirbenchError: A file cannot be removed.
        """
        self._memory.clear()
        if self.folder is None or not self.folder.is_dir():
            return
        try:
            # Files of the user stay. The manifest is removed first, so that an interrupted removal leaves no run to resume.
            for pattern in (_MANIFEST, _FIRST, "*.counts", ".*.part"):
                for path in self.folder.glob(pattern):
                    path.unlink(missing_ok=True)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()
        except OSError as error:
            raise ClirbenchError(
                f"cannot remove {error.filename} ({error.strerror}): remove it, and run again"
            ) from error

    def remove_finished(self, result: Path) -> None:
        """Remove what a run left that was killed after it had saved its result, at ``result``. Counts of a later run stay.

        Raises:
            ClirbenchError: A file cannot be removed.
        """
        if self.folder is None or not self.folder.is_dir():
            return
        with reading(self.folder, "make it readable and run again"):
            saved = result.stat().st_mtime_ns
            later = any(path.stat().st_mtime_ns > saved for path in self.folder.iterdir())
        if not later:
            self.remove()

    def _path(self, shard: Shard) -> Path:
        assert self.folder is not None  # noqa: S101
        return self.folder / f"{shard.name}.counts"

    def _identity(self, shard: Shard) -> bytes:
        return self._run + f"{shard.name} {shard.size} {shard.sha256} ".encode()

    def _write(self, name: str, content: bytes) -> None:
        assert self.folder is not None  # noqa: S101
        with writing(self.folder / name, "choose another folder with --output"):
            write_atomically(self.folder / name, content)


def _run_digest(identity: dict[str, Any], first: str) -> bytes:
    return hashlib.sha256(json.dumps([identity, first], sort_keys=True).encode()).digest()


def _checksum(manifest: dict[str, Any]) -> str:
    # Read back, a tuple is a list and a key is text, whose order differs from that of numbers.
    return hashlib.sha256(json.dumps(json.loads(json.dumps(manifest)), sort_keys=True).encode()).hexdigest()


def _short(value: object, other: object) -> str:
    """Shorten a value for a message; of two tables, only the entries that differ are shown."""
    if isinstance(value, dict) and isinstance(other, dict):
        value = {key: inner for key, inner in value.items() if other.get(key) != inner}
    return shortened(json.dumps(value), 60)
