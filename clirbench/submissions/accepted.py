"""A record of checked submissions in the cache, so that an unchanged submission is not examined again."""

import hashlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from clirbench.submissions.findings import Comparable, Examined, Finding
from clirbench.submissions.safe_read import JSON_LIMIT, RANKS_LIMIT, TOML_LIMIT, entries, read_bounded
from clirbench.support.errors import ClirbenchError, printable
from clirbench.support.files import sha256_of, write_atomically
from clirbench.support.packages import version_of
from clirbench.support.paths import cache_dir, tasks_dir

# The limits of the record: submissions, where no board has more, and bytes for one of them. A longer list of findings is not
# recorded.
KEPT, LONGEST = 4_000, 50_000
_PACKAGE = Path(__file__).resolve().parent.parent
# They read the files and compute the scores, so another version may find something else.
_LIBRARIES = ("numpy", "pyarrow", "pydantic")
_FILE_LIMIT = max(JSON_LIMIT, RANKS_LIMIT, TOML_LIMIT)


def records_dir() -> Path:
    """The folder of the record, with one file for each submission. It is safe to delete."""
    return cache_dir() / "checked"


class CheckRecord:
    """What checks have found, by everything that decides it.

    That is the submission's name, the name and the bytes of every file in it, the task files, and the code that checks. The
    record is no signature: who can write into the cache of a user can write into clirbench as well.
    """

    def __init__(self) -> None:
        tasks = [[path.name, sha256_of(path)] for path in sorted(tasks_dir().glob("*.toml"))]
        self._rules = digest_of([_code(), tasks])
        self._keys: dict[Path, str] = {}
        self._contents: dict[Path, list[Any]] = {}

    def recall(self, folder: Path) -> Examined | None:
        """The findings on a submission; None if it is new, if anything has changed, or if its record is damaged."""
        key = self.key_of(folder)
        try:
            record = json.loads(read_bounded(records_dir() / f"{key}.json", LONGEST))
            if record.pop("sha256") != digest_of([key, record]):
                return None
            findings = [Finding(**{**one, "file": _whole(folder, one["file"])}) for one in record["findings"]]
            return Examined(folder, findings, [Comparable(**one) for one in record["comparables"]])
        except (ClirbenchError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def keep(self, examined: Examined) -> None:
        """Record the findings on a submission that :meth:`recall` did not know. A cache that cannot be written is no error."""
        folder = examined.folder
        # Somebody may have written into the folder while it was examined. Files that were read again are not read a third time.
        if not examined.final or not (self._as_read(examined) or self.key(folder) == self._keys[folder]):
            return
        findings = [{**asdict(one), "file": _relative(folder, one.file)} for one in examined.findings]
        record = {"findings": findings, "comparables": [asdict(one) for one in examined.comparables]}
        content = json.dumps({**record, "sha256": digest_of([self._keys[folder], record])}).encode("ascii")
        if len(content) <= LONGEST:
            with suppress(OSError):
                write_atomically(records_dir() / f"{self._keys[folder]}.json", content)

    def trim(self, in_use: int) -> None:
        """Remove the oldest records, if there are too many. As many as are ``in_use`` stay."""
        with suppress(OSError):
            records = sorted((path.stat().st_mtime_ns, path) for path in records_dir().iterdir())
            for _, path in records[: max(0, len(records) - max(KEPT, in_use))]:
                path.unlink()

    def key_of(self, folder: Path) -> str:
        """The :meth:`key` of a submission when this record was first asked for it: each file is hashed once."""
        if folder not in self._keys:
            self._contents[folder] = _contents(folder)
            self._keys[folder] = self._key(folder, self._contents[folder])
        return self._keys[folder]

    def key(self, folder: Path) -> str:
        """The hash of everything that decides what a check, or a board, makes of a submission."""
        return self._key(folder, _contents(folder))

    def _key(self, folder: Path, contents: list[Any]) -> str:
        return digest_of([self._rules, folder.name, Path(os.path.realpath(folder)).name, contents])

    def _as_read(self, examined: Examined) -> bool:
        """Whether what was examined are the very bytes that the key is of."""
        known = self._contents.get(examined.folder, [])
        if examined.names is None or examined.names != [one[0] for one in known]:
            return False
        # A file that does not belong there is not read.
        return all(examined.digests.get(name, digest) == digest for name, digest in known)


def _contents(folder: Path) -> list[Any]:
    """The names in a folder, each with what stands for its bytes; or why the folder cannot be read, and nothing."""
    try:
        return [[name, _content(folder / name)] for name in entries(folder)]
    except ClirbenchError as error:
        return [[_reason(error, folder), ""]]


# A record holds for its submission wherever the folder lies, so it states files without the path of the folder.
def _relative(folder: Path, file: str) -> list[str]:
    inside = printable(str(folder / "_"))[:-1]
    return [file.removeprefix(inside)] if file.startswith(inside) and file != printable(str(folder)) else []


def _whole(folder: Path, file: list[str]) -> str:
    return printable(str(folder / "_"))[:-1] + file[0] if file else printable(str(folder))


def _content(path: Path) -> str:
    """The SHA-256 of a file's bytes. A link, a folder and a file over the limit are not read: the reason stands for the bytes."""
    try:
        return hashlib.sha256(read_bounded(path, _FILE_LIMIT)).hexdigest()
    except ClirbenchError as error:
        return _reason(error, path)


def _reason(error: ClirbenchError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")


@lru_cache(maxsize=1)
def _code() -> str:
    sources = [[path.relative_to(_PACKAGE).as_posix(), sha256_of(path)] for path in sorted(_PACKAGE.rglob("*.py"))]
    return digest_of([sys.version, [version_of(name) for name in _LIBRARIES], sources])


def digest_of(value: object) -> str:
    """The SHA-256 of plain data, as JSON writes it."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("ascii")).hexdigest()
