"""What examining a submission finds."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from clirbench.submissions.safe_read import read_bounded, tricks
from clirbench.support.errors import ClirbenchError, printable

Read = TypeVar("Read", bound=BaseModel)


@dataclass(frozen=True)
class Finding:
    """Something wrong with a submission, or worth a look.

    Attributes:
        level: "error" or "warning".
        file: Path of the file, as given.
        key: Dotted key in it, or "" for the whole file.
        message: What is wrong and what to do next.
    """

    level: str
    file: str
    key: str
    message: str


@dataclass(frozen=True)
class Facts:
    """What other submissions are compared with.

    Attributes:
        task: Identifier.
        multilingual: Headline mAP of the multilingual setting.
        parameters: Of the model, None where it does not say.
        digest: SHA-256 over all ranks.
    """

    task: str
    multilingual: float | None
    parameters: int | None
    digest: str


@dataclass
class Examined:
    """One submission's findings and facts."""

    folder: Path
    findings: list[Finding] = field(default_factory=list)
    facts: list[Facts] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """How many of the findings are errors; none means accepted."""
        return sum(finding.level == "error" for finding in self.findings)

    def add(self, level: str, path: Path, key: str, message: str) -> None:
        """Note a finding."""
        self.findings.append(Finding(level, printable(str(path)), printable(key), printable(message)))

    def fail(self, path: Path, error: ClirbenchError) -> None:
        """Note an error whose message already names the file and key."""
        message = str(error).removeprefix(f"{path}: ")
        key = re.match(r"'([^']+)' (?=is wrong|must|is not)", message)
        self.add("error", path, key[1] if key else "", message[key.end() :] if key else message)

    def read(self, path: Path, limit: int, parse: Callable[[bytes, Path], Read]) -> Read | None:
        """What a file holds, with notes on texts that could deceive; None, with an error noted, where it cannot be read.

        Args:
            path: The file.
            limit: Its largest size in bytes.
            parse: Strict: raises ClirbenchError.
        """
        try:
            found = parse(read_bounded(path, limit), path)
        except ClirbenchError as error:
            self.fail(path, error)
            return None
        for key, trick in tricks(found.model_dump()):
            self.add("error", path, key, trick)
        return found
