"""mteb's own results: JSON files that lie in a model's results folder beside those of clirbench."""

import re
from collections.abc import Sequence
from pathlib import Path

from clirbench.results.read import parse_strictly
from clirbench.results.schema import MtebDocument
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import reading

# How --tasks names one of mteb's own tasks.
PREFIX = "mteb:"
# How their file names start. It keeps them apart from clirbench's results, which have ranks and can be recomputed.
FILE_START = "mteb."
_FILE = re.compile(r"mteb\.[A-Za-z0-9][A-Za-z0-9_.()-]{0,99}\.json")
MTEB_RESULT_LIMIT = 200_000


def read_mteb_result(path: Path) -> MtebDocument:
    """Read one of mteb's own results from its JSON file.

    Raises:
        ClirbenchError: The file cannot be read, is larger than 200 kB, or does not follow the schema.
    """
    with reading(path, "remove it"):
        if not path.is_file() or path.stat().st_size > MTEB_RESULT_LIMIT:
            raise ClirbenchError(f"{path}: is not a file of at most {MTEB_RESULT_LIMIT // 1000} kB: remove it")
        content = path.read_bytes()
    return parse_mteb_result(content, path)


def parse_mteb_result(content: bytes, path: Path) -> MtebDocument:
    """Parse the bytes of one of mteb's own results; ``path`` is only its name in error messages.

    Raises:
        ClirbenchError: The content is not JSON, repeats a key, or does not follow the schema.
    """
    return parse_strictly(content, path, MtebDocument.model_validate_json, "run the task again")


def mteb_result_files(names: Sequence[str]) -> list[str]:
    """Those of the file names that hold a result of a whole mteb task, sorted.

    A run on a part of a task has the languages in its name (``mteb.XNLI+en.json``) and is left out.
    """
    return sorted(name for name in names if _FILE.fullmatch(name))
