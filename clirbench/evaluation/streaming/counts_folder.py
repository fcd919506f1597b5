"""The counts of finished shards on disk: what a run that was killed goes on from."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

from clirbench.evaluation.streaming.count_shard import ShardCounts
from clirbench.evaluation.streaming.first_pass import FirstPass
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import reading, write_atomically, writing
from clirbench.tasks.corpora.inventory import Shard

FORMAT = 1
_MANIFEST, _FIRST = "manifest.json", "first.npz"


class CountsFolder:
    """One run's manifest, its pass 1, and a small file of counts per shard.

    Every file is written under another name and renamed when it is whole. A counts file begins with a SHA-256 over the run and
    its own bytes: one that is damaged, half written, or another run's counts as missing, and its shard is counted again.

    Args:
        folder: Where; None keeps everything in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.damaged: list[str] = []
        self._run = b""
        self._memory: dict[str, ShardCounts] = {}

    def resume(self, identity: dict[str, Any], force: bool) -> FirstPass | None:
        """The pass 1 of the run that was begun here; None where there is none, or it is damaged and everything begins anew.

        Args:
            identity: Everything that decides a count. A value that differs from the one there is refused.
            force: Begin anew where it differs.

        Raises:
            ClirbenchError: Another run was begun here.
        """
        if self.folder is None:
            return None
        try:
            manifest = json.loads((self.folder / _MANIFEST).read_bytes())
            content = (self.folder / _FIRST).read_bytes()
            begun = dict(manifest["identity"])
        except FileNotFoundError:
            self.remove()
            return None
        except (ValueError, KeyError, TypeError):
            self.damaged.append(_MANIFEST)
            self.remove()
            return None
        except OSError as error:
            raise ClirbenchError(
                f"{error.filename}: cannot be read ({error.strerror}): mend that and run again; nothing was removed"
            ) from error
        # In the order of identity: what explains a difference stands before what follows from it.
        for key in [*identity, *(begun.keys() - identity.keys())]:
            there, now = begun.get(key), json.loads(json.dumps(identity.get(key)))
            if there != now and force:
                self.remove()
                return None
            if there != now:
                raise ClirbenchError(
                    f"{self.folder} was begun with another {key.replace('_', ' ')} ({_short(there, now)} there, "
                    f"{_short(now, there)} now), and counts of two runs do not mix: undo that, pass --output for another "
                    "folder, or --force to begin anew"
                )
        if hashlib.sha256(content).hexdigest() != manifest.get("first"):
            self.damaged.append(_FIRST)
            self.remove()
            return None
        self._run = _run_digest(begun, str(manifest["first"]))
        return FirstPass.from_bytes(content)

    def begin(self, identity: dict[str, Any], first: FirstPass) -> None:
        """Write pass 1, then the manifest.

        Raises:
            ClirbenchError: The folder cannot be written.
        """
        if self.folder is None:
            return
        content = first.to_bytes()
        digest = hashlib.sha256(content).hexdigest()
        self._write(_FIRST, content)
        manifest = {"format": FORMAT, "identity": identity, "first": digest}
        self._write(_MANIFEST, json.dumps(manifest, indent=1).encode())
        self._run = _run_digest(identity, digest)

    def get(self, shard: Shard) -> ShardCounts | None:
        """The counts of a shard; None where they are missing or damaged."""
        if self.folder is None:
            return self._memory.get(shard.name)
        path = self._path(shard)
        with reading(path, "remove it, and it is counted again"):
            content = path.read_bytes() if path.exists() else None
        if content is None:
            return None
        try:
            digest, payload = content[:64], content[65:]
            if digest != self._digest(shard, payload):
                raise ValueError("its checksum differs")
            return ShardCounts.from_bytes(payload)
        except (ValueError, KeyError, OSError, zipfile.BadZipFile):
            self.damaged.append(path.name)
            return None

    def put(self, shard: Shard, counts: ShardCounts) -> None:
        """Keep the counts of a shard.

        Raises:
            ClirbenchError: The folder cannot be written.
        """
        if self.folder is None:
            self._memory[shard.name] = counts
            return
        payload = counts.to_bytes()
        self._write(self._path(shard).name, self._digest(shard, payload) + b"\n" + payload)

    def remove(self) -> None:
        """Forget everything."""
        self._memory.clear()
        if self.folder is None or not self.folder.is_dir():
            return
        try:
            # Only what is written here, whatever else a folder of that name may hold; the manifest first: without it
            # nothing of the rest counts.
            for pattern in (_MANIFEST, _FIRST, "*.counts", ".*.part"):
                for path in self.folder.glob(pattern):
                    path.unlink(missing_ok=True)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()
        except OSError as error:
            raise ClirbenchError(
                f"cannot remove {error.filename} ({error.strerror}): remove it, and run again"
            ) from error

    def _path(self, shard: Shard) -> Path:
        assert self.folder is not None  # noqa: S101
        return self.folder / f"{shard.name}.counts"

    def _digest(self, shard: Shard, payload: bytes) -> bytes:
        what = f"{shard.name} {shard.size} {shard.sha256} ".encode()
        return hashlib.sha256(self._run + what + payload).hexdigest().encode()

    def _write(self, name: str, content: bytes) -> None:
        assert self.folder is not None  # noqa: S101
        with writing(self.folder / name, "choose another folder with --output"):
            write_atomically(self.folder / name, content)


def _run_digest(identity: dict[str, Any], first: str) -> bytes:
    return hashlib.sha256(json.dumps([identity, first], sort_keys=True).encode()).digest()


def _short(value: object, other: object) -> str:
    """A value for a message: of two tables, only what differs."""
    if isinstance(value, dict) and isinstance(other, dict):
        value = {key: inner for key, inner in value.items() if other.get(key) != inner}
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
