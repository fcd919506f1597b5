"""Records of the check of one submission: its errors and warnings, and the part that is compared with other submissions."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from clirbench.submissions.safe_read import read_bounded
from clirbench.submissions.safe_text import tricks
from clirbench.support.errors import ClirbenchError, printable

Record = TypeVar("Record", bound=BaseModel)


@dataclass(frozen=True)
class Finding:
    """An error or a warning about a submission, and what to do next.

    ``level`` is "error" or "warning"; ``key`` is a dotted key in the file, or "" for the whole file.
    """

    level: str
    file: str
    key: str
    message: str


@dataclass(frozen=True)
class Comparable:
    """The part of a result that is compared with the results of other submissions.

    ``main`` is the task's main number; ``zero_shot`` the answer of ``model.toml``; ``digest`` the SHA-256 over all ranks, "" for
    reported figures. ``verified`` says that a maintainer ran a sample of the submission again, and the ranks agreed.
    """

    task: str
    main: float | None
    zero_shot: str = "unknown"
    digest: str = ""
    verified: bool = False


@dataclass
class Examined:
    """The findings on one submission, and the comparable part of each measured result.

    Attributes:
        final: False if the examination broke off, so that another one may end otherwise.
        names: The names in the folder, sorted; None if they were not told.
        digests: The SHA-256 of each file that was read, by name; "" for a file that could not be read.
    """

    folder: Path
    findings: list[Finding] = field(default_factory=list)
    comparables: list[Comparable] = field(default_factory=list)
    final: bool = True
    names: list[str] | None = field(default=None, compare=False)
    digests: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def errors(self) -> int:
        """Number of errors among the findings. A submission without errors is accepted."""
        return sum(finding.level == "error" for finding in self.findings)

    def error(self, path: Path, key: str, message: str) -> None:
        """Add an error; ``key`` is "" for the whole file."""
        self._add("error", path, key, message)

    def warning(self, path: Path, key: str, message: str) -> None:
        """Add a warning; ``key`` is "" for the whole file."""
        self._add("warning", path, key, message)

    def refused(self, path: Path, error: ClirbenchError) -> None:
        """Add the error of a reader, whose message begins with the file and the key."""
        message = str(error).removeprefix(f"{path}: ")
        key = re.match(r"'([^']+)' (?=is wrong|must|is not)", message)
        self.error(path, key[1] if key else "", message[key.end() :] if key else message)

    def read(self, path: Path, limit: int, parse: Callable[[bytes, Path], Record]) -> Record | None:
        """Read and parse a file of at most ``limit`` bytes; None if this fails.

        Faults of the file, and text in it that could deceive, become errors.
        """
        try:
            record = parse(read_bounded(path, limit), path)
        except ClirbenchError as error:
            self.refused(path, error)
            return None
        for key, trick in tricks(record.model_dump()):
            self.error(path, key, trick)
        return record

    def _add(self, level: str, path: Path, key: str, message: str) -> None:
        # Names of files and keys come from a stranger.
        self.findings.append(Finding(level, printable(str(path)), printable(key), printable(message)))
