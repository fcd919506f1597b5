"""A local copy of a data set of the hub: in the folder that ``CLIRBENCH_MIRROR`` names, or downloaded into the cache."""

import json
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from clirbench.support.errors import ClirbenchError, first_line
from clirbench.support.files import one_at_a_time, write_atomically, writing
from clirbench.support.paths import cache_dir, mirror_dir
from clirbench.tasks.corpora.configurations import Configurations, hub_name
from clirbench.tasks.task import HubCorpus

# Which configurations of a copy in the cache are whole. A download that was stopped is not among them.
_WHOLE = "whole.json"


def local_copy(name: str, hub: HubCorpus, configurations: Sequence[str]) -> Path:
    """Find a folder with some configurations of a data set, or download them.

    These places are tried in order: the folder ``name`` in the mirror; the cache; the hub, at the pinned commit. With a mirror
    set, the hub is not asked. README.md, which declares the configurations, is always fetched.

    Raises:
        ClirbenchError: The mirror lacks the folder, the data cannot be downloaded, or the cache cannot be written.
    """
    mirror = mirror_dir()
    if mirror is not None and (mirror / name).is_dir():
        return mirror / name
    folder = cache_dir() / "hub" / hub.hub.replace("/", "--") / hub.revision
    wanted = {"README.md", *configurations}
    if wanted <= _whole(folder):
        return folder
    if mirror is not None:
        raise ClirbenchError(
            f"CLIRBENCH_MIRROR ({mirror}) has no folder {name}: put a snapshot of {hub_name(hub)} there, "
            "or unset the variable to download"
        )
    with writing(f"the cache at {folder}", "point CLIRBENCH_CACHE at a writable folder"):
        folder.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(folder / _WHOLE):
            # Another process may have downloaded some while this one waited.
            lacking = sorted(wanted - _whole(folder))
            _download(hub, folder, [one for one in lacking if one != "README.md"])
            write_atomically(folder / _WHOLE, json.dumps(sorted(wanted | _whole(folder))).encode())
    return folder


def _whole(folder: Path) -> set[str]:
    try:
        return set(json.loads((folder / _WHOLE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return set()


def _download(hub: HubCorpus, folder: Path, configurations: Sequence[str]) -> None:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    data = Configurations(hub, (), folder)
    place: dict[str, Any] = {"repo_type": "dataset", "revision": hub.revision}
    files: dict[str, list[str]] = {}
    try:
        there = HfApi().list_repo_files(hub.hub, **place)
        snapshot_download(hub.hub, **place, local_dir=folder, allow_patterns=["README.md"])
        for one in configurations:
            files[one] = [name for name in there for pattern in data.patterns(one) if fnmatch(name, pattern)]
        wanted = [name for names in files.values() for name in names]
        if wanted:
            snapshot_download(hub.hub, **place, local_dir=folder, allow_patterns=wanted)
    except ClirbenchError:
        raise
    except GatedRepoError as error:
        raise ClirbenchError(
            f"{hub_name(hub)} is given on request only: ask for it on its page, and log in with  hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise ClirbenchError(
            f"{hub_name(hub)}: the hub has no such data set, or it is private: correct the name, or log in with  hf auth login"
        ) from error
    except RevisionNotFoundError as error:
        raise ClirbenchError(f"{hub_name(hub)}: the data set has no such commit: correct the revision") from error
    # The hub's client raises dozens of types of errors when the data cannot be reached.
    except Exception as error:
        raise _unreachable(hub, first_line(error)) from error
    lacking = next((one for one, names in files.items() if not names), None)
    if lacking is not None:
        raise ClirbenchError(f"{hub_name(hub)}: has no configuration {lacking}: correct the languages or the revision")
    # Where the line dies, the client may give the folder as it is.
    missing = next((name for name in wanted if not (folder / name).is_file()), None)
    if missing is not None:
        raise _unreachable(hub, f"{missing} did not come")


def _unreachable(hub: HubCorpus, reason: str) -> ClirbenchError:
    return ClirbenchError(
        f"cannot download {hub_name(hub)} ({reason}): check the network and run again (it resumes), "
        "or put a snapshot into CLIRBENCH_MIRROR"
    )
