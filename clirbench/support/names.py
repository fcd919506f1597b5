"""Names that become folders."""

import re

from clirbench.support.errors import ClirbenchError


def check_name(name: str) -> None:
    """Fail on a name that cannot become a folder of results.

    Raises:
        ClirbenchError: It is not one or more parts of letters, digits, dots, hyphens and underscores, joined by slashes.
    """
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", name) or len(name.encode()) > 200:
        raise ClirbenchError(
            f"model name {name[:80]!r} cannot name a folder: use ORG/NAME in letters, digits, '.', '-' and '_'"
        )
