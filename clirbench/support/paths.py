"""Paths of the shipped data, the cache and the mirror of the data hosts."""

import os
from pathlib import Path

import platformdirs

from clirbench.support.errors import ClirbenchError

_PACKAGE = Path(__file__).resolve().parent.parent
CACHE = "CLIRBENCH_CACHE"
MIRROR = "CLIRBENCH_MIRROR"
TASKS = "CLIRBENCH_TASKS"
API_KEY = "CLIRBENCH_API_KEY"
OPENAI_KEY = "OPENAI_API_KEY"
# Every variable that a user may set, and what it does: the docs are generated from this table.
VARIABLES = {
    CACHE: "folder for downloads and vectors; without it, the platform's cache folder. Safe to delete",
    MIRROR: "folder that stands in for the data hosts, and is read before any host is asked; the same checksums apply",
    TASKS: "folder of task files that takes the place of the shipped one; copy files from there that are to stay",
    API_KEY: "key of a server that `--model` names by its address; never recorded, never sent over plain http to another machine",
    OPENAI_KEY: "the same, for OpenAI's own servers only",
    "HF_HUB_OFFLINE": "`1`: take models and data sets of the hub from its local cache only",
    "HF_ENDPOINT": "address of another hub",
}


def data_dir(name: str) -> Path:
    """Folder or file of shipped data, such as ``tasks``: that of the checkout, if run from one, else that of the package.

    Raises:
        ClirbenchError: Neither place has it: the installation is broken.
    """
    checkout = _PACKAGE.parent
    places = [checkout] if (checkout / "pyproject.toml").is_file() else []
    for place in (*places, _PACKAGE / "_data"):
        if (place / name).exists():
            return place / name
    raise ClirbenchError(f"clirbench's own folder '{name}' is missing: reinstall with pip install clirbench")


def tasks_dir() -> Path:
    """Folder of task files: the folder that ``CLIRBENCH_TASKS`` names, or else the shipped one.

    Raises:
        ClirbenchError: The variable names something that is not a folder.
    """
    return _named_folder(TASKS) or data_dir("tasks")


def cache_dir() -> Path:
    """Folder for downloads and vectors: ``CLIRBENCH_CACHE``, or the platform's cache folder."""
    return Path(os.environ.get(CACHE) or platformdirs.user_cache_dir("clirbench"))


def mirror_dir() -> Path | None:
    """Folder named by ``CLIRBENCH_MIRROR``, from which data files are taken instead of the network; None where it is not set.

    Raises:
        ClirbenchError: The variable names something that is not a folder.
    """
    return _named_folder(MIRROR)


def _named_folder(variable: str) -> Path | None:
    value = os.environ.get(variable)
    if value and not Path(value).is_dir():
        raise ClirbenchError(f"{variable} names '{value}', which is not a folder: correct or unset it")
    return Path(value) if value else None
