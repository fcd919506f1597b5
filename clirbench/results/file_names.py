"""Names of result files and folders."""

import re
from pathlib import Path

from clirbench.results.schema import Document, TaskPart

RANKS_ENDING = ".ranks.parquet"
# Scores of a TREC run, which stand beside results and are none: there are no ranks behind them.
RUN_ENDING = ".run.json"


def model_folder(name: str) -> str:
    """Folder name of a model: ``org__model``, in letters that every file system takes."""
    return "__".join(re.sub(r"[^\w.-]", "-", part) for part in name.strip("/").split("/"))


def run_folder(name: str, transform: str | None) -> str:
    """Folder name of a model's results: with a transform, the model's and what was done to its vectors."""
    return model_folder(name) + (f"+{transform.replace(':', '-')}" if transform else "")


def result_stem(task: TaskPart, task_settings: tuple[str, ...]) -> str:
    """File name of a result without its ending: the task, and for a restricted run what it was restricted to."""
    if task.complete:
        return str(task.id)
    settings = [] if set(task.settings) == set(task_settings) else ["-".join(task.settings)]
    return "+".join([task.id, "-".join(task.languages), *settings])


def result_path(document: Document) -> Path:
    """Path of a result below the results folder."""
    folder = run_folder(document.model.name, document.encoder.transform)
    return Path(folder) / f"{document.ranks.file.removesuffix(RANKS_ENDING)}.json"
