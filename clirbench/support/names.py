"""Names of models, which become folders."""

import re

from clirbench.support.errors import ClirbenchError


def check_name(name: str) -> None:
    """Check that a model's name can name a folder of results.

    A name is one or more parts, joined by slashes, of letters, digits, dots, hyphens and underscores; no part starts
    with a dot or a hyphen, and the whole has at most 200 bytes of UTF-8.

    Raises:
        ClirbenchError: The name is anything else.
    """
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", name) or len(name.encode()) > 200:
        raise ClirbenchError(
            f"model name {name[:80]!r} cannot name a folder: use ORG/NAME in letters, digits, '.', '-' and '_'"
        )
