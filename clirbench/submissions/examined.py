"""What examining a submission finds."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from clirbench.errors import ClirbenchError, printable


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

    def add(self, level: str, path: Path, key: str, message: str) -> None:
        """Note a finding."""
        self.findings.append(Finding(level, printable(str(path)), printable(key), printable(message)))

    def fail(self, path: Path, error: ClirbenchError) -> None:
        """Note an error whose message already names the file and key."""
        message = str(error).removeprefix(f"{path}: ")
        key = re.match(r"'([^']+)' (?=is wrong|must|is not)", message)
        self.add("error", path, key[1] if key else "", message[key.end() :] if key else message)
