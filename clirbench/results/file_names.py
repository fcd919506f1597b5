"""Names of the files that clirbench writes for a model on a task, and of their folder."""

import re
from collections.abc import Sequence
from pathlib import Path

from clirbench.results.schema import Document, TaskPart
from clirbench.tasks.selection import ALL
from clirbench.tasks.task import Task

RANKS_ENDING = ".ranks.parquet"
# Scores of a TREC run have their own ending in the folder of results, because they have no ranks.
RUN_ENDING = ".run.json"
# Prefix of one of mteb's own tasks in --tasks.
MTEB_PREFIX = "mteb:"
# Start of the file names of mteb's results. It tells them from clirbench's results, which have ranks and can be recomputed.
MTEB_FILE_START = "mteb."
_MTEB_FILE = re.compile(r"mteb\.[A-Za-z0-9][A-Za-z0-9_.()-]{0,99}\.json")


def model_folder(name: str) -> str:
    """The folder of a model: ``org__model``. What is not a letter, digit, '_', '.' or '-' becomes '-'."""
    return "__".join(re.sub(r"[^\w.-]", "-", part) for part in name.strip("/").split("/"))


def run_folder(name: str, variant: str) -> str:
    """The folder of a model's results: ``org__model``, or ``org__model+lir-2+int8`` for its variant "lir:2, int8"."""
    return model_folder(name) + "".join(f"+{re.sub('[: ]', '-', part)}" for part in variant.split(", ") if part)


def result_stem(part: TaskPart, task: Task) -> str:
    """The file name of a result without its ending.

    A run of a whole task is named ``<task>``. A restricted run adds its languages, and its settings if some are left out:
    ``<task>+en-de+monolingual``. A run on all languages of the data is named ``<task>+all``.
    """
    if part.complete and not task.whole_data:
        return str(part.id)
    whole = task.whole_data and part.languages == list(task.languages)
    settings = [] if set(part.settings) == set(task.settings) else ["-".join(part.settings)]
    return "+".join([part.id, ALL if whole else "-".join(part.languages), *settings])


def result_path(document: Document) -> Path:
    """The path of a result's JSON file, below the folder of results."""
    folder = run_folder(document.model.name, document.encoder.variant)
    return Path(folder) / f"{document.ranks.file.removesuffix(RANKS_ENDING)}.json"


def mteb_result_files(names: Sequence[str]) -> list[str]:
    """The names of files that hold a result on a whole mteb task, sorted.

    A run on a part of a task has the languages in its name (``mteb.XNLI+en.json``) and is left out.
    """
    return sorted(name for name in names if _MTEB_FILE.fullmatch(name))
