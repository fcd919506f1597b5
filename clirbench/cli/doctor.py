"""What is here and what is missing: the first thing to look at, and to paste into a report of a fault."""

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from humanize import naturalsize

from clirbench.support.errors import ClirbenchError
from clirbench.support.paths import cache_dir, data_dir, mirror_dir
from clirbench.support.version import __version__

_PACKAGES = ("torch", "sentence-transformers", "transformers", "mteb", "datasets", "numpy", "scipy")
# Feature, module that it needs, and the extra that installs it.
_FEATURES = (
    ("training", "accelerate", "train"),
    ("counting on a Ray cluster", "ray", "ray"),
    ("BM25", "bm25s", "bm25"),
    ("Result.plot()", "matplotlib", "plot"),
)
_HOST = "https://huggingface.co"


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, "ok", "missing" or "note", and what was found (and what to do)."""

    what: str
    state: str
    found: str


def findings(online: bool = True) -> Iterator[Finding]:
    """Look at versions, device, caches, mirror, hub and optional packages.

    Args:
        online: Ask the hub whether it can be reached, for two seconds at most.
    """
    yield Finding("clirbench", "ok", f"{__version__}, in {data_dir('tasks').parent}")
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in _PACKAGES:
        try:
            yield Finding(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, "missing", "pip install clirbench again")
    yield Finding("device", "ok", _device())
    yield _cache()
    try:
        mirror = mirror_dir()
        text = f"{mirror}: read before any host is asked" if mirror else "not set: data are downloaded"
        yield Finding("CLIRBENCH_MIRROR", "ok" if mirror else "note", text)
    except ClirbenchError as error:
        yield Finding("CLIRBENCH_MIRROR", "missing", str(error))
    yield _hub(online)
    for feature, module, extra in _FEATURES:
        if importlib.util.find_spec(module):
            yield Finding(feature, "ok", f"{module} {metadata.version(module)}")
        else:
            yield Finding(feature, "missing", f"pip install 'clirbench[{extra}]'")


def _device() -> str:
    if not importlib.util.find_spec("torch"):
        return "unknown without torch"
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    if torch.backends.mps.is_available():
        return "mps (Apple)"
    return f"cpu, {os.cpu_count()} cores, {torch.get_num_threads()} threads for torch"


def _cache() -> Finding:
    folder = cache_dir()
    there = folder
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK):
        return Finding("cache", "missing", f"{folder} cannot be written: set CLIRBENCH_CACHE to a folder that can")
    free = shutil.disk_usage(there).free
    return Finding(
        "cache", "ok", f"{folder}: {naturalsize(_used(folder))} used, {naturalsize(free)} free; safe to delete"
    )


def _used(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0


def _hub(online: bool) -> Finding:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return Finding("hub", "note", "HF_HUB_OFFLINE is set: only models in the hub's cache are found")
    if not online:
        return Finding("hub", "note", "not asked")
    import httpx  # noqa: PLC0415

    host = os.environ.get("HF_ENDPOINT") or _HOST
    try:
        httpx.head(host, timeout=2, follow_redirects=True)
    except httpx.HTTPError as error:
        reason = type(error).__name__
        return Finding("hub", "missing", f"{host} cannot be reached ({reason}): use local folders, or CLIRBENCH_MIRROR")
    return Finding("hub", "ok", f"{host} answers")
