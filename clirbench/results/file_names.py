"""Names of the files that clirbench writes for a model on a task, and of their folder."""

import re
from collections.abc import Sequence
from pathlib import Path

from clirbench.results.schema import Document, TaskPart

RANKS_ENDING = ".ranks.parquet"
# Scores of a TREC run: kept in the folder of results under an ending of their own, since they have no ranks.
RUN_ENDING = ".run.json"
# How --tasks names one of mteb's own tasks.
MTEB_PREFIX = "mteb:"
# How the names of their files start. It keeps them apart from clirbench's results, which have ranks and can be recomputed.
MTEB_FILE_START = "mteb."
_MTEB_FILE = re.compile(r"mteb\.[A-Za-z0-9][A-Za-z0-9_.()-]{0,99}\.json")


def model_folder(name: str) -> str:
    """The folder of a model: ``org__model``. What is not a letter, digit, '_', '.' or '-' becomes '-'."""
    return "__".join(re.sub(r"[^\w.-]", "-", part) for part in name.strip("/").split("/"))


def run_folder(name: str, transform: str | None) -> str:
    """The folder of a model's results: ``org__model``, or ``org__model+lir-2`` with the transform "lir:2"."""
    return model_folder(name) + (f"+{transform.replace(':', '-')}" if transform else "")


def result_stem(task: TaskPart, task_settings: tuple[str, ...]) -> str:
    """The file name of a result without its ending.

    A run of a whole task is named after the task: ``<task>``. A restricted run names its languages, and its settings where some
    are left out: ``<task>+en-de+monolingual``.
    """
    if task.complete:
        return str(task.id)
    settings = [] if set(task.settings) == set(task_settings) else ["-".join(task.settings)]
    return "+".join([task.id, "-".join(task.languages), *settings])


def result_path(document: Document) -> Path:
    """The path of a result's JSON file, below the folder of results."""
    folder = run_folder(document.model.name, document.encoder.transform)
    return Path(folder) / f"{document.ranks.file.removesuffix(RANKS_ENDING)}.json"


def mteb_result_files(names: Sequence[str]) -> list[str]:
    """Those of the file names that hold a result of a whole mteb task, sorted.

    A run on a part of a task has the languages in its name (``mteb.XNLI+en.json``) and is left out.
    """
    return sorted(name for name in names if _MTEB_FILE.fullmatch(name))
