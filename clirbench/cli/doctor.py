"""`clirbench doctor`: what is installed, reachable and writable here. Users paste its report into a bug report."""

import importlib.util
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from humanize import naturalsize

from clirbench.support.errors import ClirbenchError
from clirbench.support.paths import API_KEY, MIRROR, TASKS, cache_dir, data_dir, mirror_dir, tasks_dir
from clirbench.support.version import __version__

_PACKAGES = ("torch", "sentence-transformers", "transformers", "mteb", "datasets", "numpy", "scipy")
# Feature, module that it needs, and the extra that installs it.
_FEATURES = (
    ("training", "accelerate", "train"),
    ("counting on a Ray cluster", "ray", "ray"),
    ("BM25", "bm25s", "bm25"),
    ("counting with Numba", "numba", "fast"),
    ("Result.plot()", "matplotlib", "plot"),
)


@dataclass(frozen=True)
class Diagnosis:
    """One line of the report.

    Attributes:
        what: The thing that was examined: a package, a folder, a host, or a feature that needs an optional package.
        state: "ok", "missing", or "note" for neither.
        detail: A version, a place or a number; for a missing thing, what to do.
    """

    what: str
    state: str
    detail: str


def diagnose(online: bool = True) -> Iterator[Diagnosis]:
    """Examine versions, device, cache, folders that variables name, hub, key and optional packages, in this order.

    If ``online``, the hub is called, which takes at most two seconds.
    """
    yield Diagnosis("clirbench", "ok", f"{__version__}, in {data_dir('tasks').parent}")
    yield Diagnosis("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in _PACKAGES:
        try:
            yield Diagnosis(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Diagnosis(name, "missing", "pip install clirbench again")
    yield Diagnosis("device", "ok", _device())
    yield _cache()
    yield _named_folder(MIRROR, mirror_dir, "read before any host is asked", "data are downloaded")
    yield _named_folder(TASKS, tasks_dir, "takes the place of the shipped tasks", "the shipped tasks are used")
    yield _hub(online)
    yield _key()
    for feature, module, extra in _FEATURES:
        if importlib.util.find_spec(module):
            yield Diagnosis(feature, "ok", f"{module} {metadata.version(module)}")
        else:
            yield Diagnosis(feature, "missing", f"pip install 'clirbench[{extra}]'")


def _named_folder(variable: str, read: Callable[[], Path | None], given: str, otherwise: str) -> Diagnosis:
    try:
        folder = read()
    except ClirbenchError as error:
        return Diagnosis(variable, "missing", str(error))
    if not os.environ.get(variable):
        return Diagnosis(variable, "note", f"not set: {otherwise}")
    return Diagnosis(variable, "ok", f"{folder}: {given}")


def _key() -> Diagnosis:
    if os.environ.get(API_KEY, "").strip():
        return Diagnosis(API_KEY, "ok", "set: sent to the server that --model http...#MODEL names")
    return Diagnosis(API_KEY, "note", "not set: servers that --model http...#MODEL names are called without a key")


def _device() -> str:
    if not importlib.util.find_spec("torch"):
        return "unknown without torch"
    import torch

    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    if torch.backends.mps.is_available():
        return "mps (Apple)"
    return f"cpu, {os.cpu_count()} cores, {torch.get_num_threads()} threads for torch"


def _cache() -> Diagnosis:
    folder = cache_dir()
    # The first run makes the folder. Until then, its nearest parent is examined.
    there = folder
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK):
        return Diagnosis("cache", "missing", f"{folder} cannot be written: set CLIRBENCH_CACHE to a folder that can")
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    sizes = f"{naturalsize(used)} used, {naturalsize(shutil.disk_usage(there).free)} free"
    return Diagnosis("cache", "ok", f"{folder}: {sizes}; safe to delete")


def _hub(online: bool) -> Diagnosis:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return Diagnosis("hub", "note", "HF_HUB_OFFLINE is set: only models in the hub's cache are found")
    if not online:
        return Diagnosis("hub", "note", "not asked")
    import httpx

    host = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        httpx.head(host, timeout=2, follow_redirects=True)
    except httpx.HTTPError as error:
        problem = f"{host} cannot be reached ({type(error).__name__})"
        return Diagnosis("hub", "missing", f"{problem}: use local folders, or CLIRBENCH_MIRROR")
    return Diagnosis("hub", "ok", f"{host} answers")
