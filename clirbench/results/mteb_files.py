"""Results of mteb's own tasks, kept beside ours and apart from them: run, written, read."""

import re
from collections.abc import Sequence
from pathlib import Path

from clirbench.results.read import parse_strictly
from clirbench.results.schema import MtebDocument
from clirbench.support.errors import ClirbenchError

PREFIX = "mteb:"
# Of their files: they stand beside results and are none, since nobody can recompute them.
FILE_START = "mteb."
_FILE = re.compile(r"mteb\.[A-Za-z0-9][A-Za-z0-9_.()-]{0,99}\.json")
LIMIT = 200_000


def read_foreign(path: Path) -> MtebDocument:
    """Read a result of an mteb task, strictly.

    Raises:
        ClirbenchError: It cannot be read, or does not follow the schema.
    """
    try:
        if not path.is_file() or path.stat().st_size > LIMIT:
            raise ClirbenchError(f"{path}: is not a file of at most {LIMIT // 1000} kB: remove it")
        content = path.read_bytes()
    except OSError as error:
        raise ClirbenchError(f"{path}: cannot be read ({error.strerror}): remove it") from error
    return parse_foreign(content, path)


def parse_foreign(content: bytes, path: Path) -> MtebDocument:
    """A result of an mteb task from the bytes of a JSON file; ``path`` is only what messages call it.

    Raises:
        ClirbenchError: It is not JSON, repeats a key, or does not follow the schema.
    """
    return parse_strictly(content, path, MtebDocument.model_validate_json, "run the task again")


def foreign_files(names: Sequence[str]) -> list[str]:
    """Which of some file names are those of results of whole mteb tasks, sorted."""
    return sorted(name for name in names if _FILE.fullmatch(name))
