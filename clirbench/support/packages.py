"""Versions of installed packages."""

import re
from importlib import metadata

_VERSION = re.compile(r"^Version: *(\S+) *$", re.MULTILINE)


def version_of(package: str) -> str:
    """The version of an installed package, as :func:`importlib.metadata.version` tells it.

    That function parses the whole description of the package, line by line. This one reads the headers above it only, because a
    small run asks for the versions of a dozen packages.

    Raises:
        PackageNotFoundError: The package is not installed.
    """
    about = metadata.distribution(package).read_text("METADATA") or ""
    found = _VERSION.search(about.partition("\n\n")[0])
    return found[1] if found else metadata.version(package)
