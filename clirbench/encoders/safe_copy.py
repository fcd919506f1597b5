"""A private copy of the files of a model that may be loaded: what was checked is what is read."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from clirbench.encoders.base import UNCHECKED, EncoderOptions
from clirbench.encoders.hub import cached_snapshot, hub_cache
from clirbench.encoders.safe_model import (
    DATA_FILES,
    JSON_FILES,
    READ_FIRST,
    REFUSED_FILES,
    WEIGHTS,
    UnsafeModelError,
    has_weights,
    modules_of,
    refuse_link,
    refuse_unlisted,
    refuse_unsafe,
    shards_of,
)
from clirbench.support.errors import ClirbenchError, first_line, printable
from clirbench.support.files import writing
from clirbench.support.paths import cache_dir

# What a user can do about a model on the hub that is refused.
OF_HUB = "read it, then pass --no-safe, --allow-pickle for weights in .bin, or --trust-remote-code for code"
# What a folder of a module may hold beside weights. Those that are refused are fetched too, so that nobody overlooks them.
_FETCHED = (*JSON_FILES, *DATA_FILES, *REFUSED_FILES)
# Copies that this process made, or that the process which started it made for it.
_copies: set[Path] = set()


def loads_safely(options: EncoderOptions) -> bool:
    """Whether a model on the hub is loaded from a checked copy."""
    if options.safe is None:
        return not any(getattr(options, name) for name in UNCHECKED)
    return options.safe


def already_checked(folder: Path) -> None:
    """Say that a folder is a checked copy, which nobody else can change."""
    _copies.add(folder.resolve())


@contextmanager
def safe_copy(
    folder: Path, remedy: str, name: str | None = None, place: Path | None = None, linked: bool = False
) -> Iterator[Path]:
    """A private copy of a model's folder, which has passed the check and cannot be written. It is removed at the end.

    Args:
        folder: The model.
        remedy: Ends the message about what is refused.
        name: The model's name on the hub. Only the files that are read are copied. Without it every file must be known, and is
            copied.
        place: Where the copy lies in a new folder; None for the name of the folder.
        linked: Weights are links to the files of the hub's cache, which are kept under their checksums, and which nobody changes.

    Raises:
        ClirbenchError: The model holds something that is not known; the message names it.
    """
    if folder.resolve() in _copies:
        yield folder
        return
    with _new_place(folder, place) as copy:
        with _room(), _refusal(name or str(folder), remedy):
            _fill(copy, folder, files_to_read(folder) if name else refuse_unlisted(folder), linked)
            refuse_unsafe(copy)
        already_checked(copy)
        try:
            yield copy
        finally:
            _copies.discard(copy.resolve())


@contextmanager
def trusted_copy(folder: Path, place: Path | None = None) -> Iterator[Path]:
    """A copy of a folder that the user trusts, with all of its files, for other users to read. It is removed at the end."""
    with _new_place(folder, place) as copy:
        with _room():
            shutil.copytree(folder, copy)
            _close(copy)
        yield copy


@contextmanager
def _new_place(folder: Path, place: Path | None) -> Iterator[Path]:
    """A path in a folder of its own in the cache, which is removed at the end."""
    with _room():
        (cache_dir() / "copies").mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(dir=cache_dir() / "copies"))
    try:
        yield holder / (place or folder.resolve().name or "model")
    finally:
        _remove(holder)


def _room() -> AbstractContextManager[None]:
    return writing(cache_dir(), "point CLIRBENCH_CACHE at a folder with room for a copy of the model")


@contextmanager
def _refusal(name: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except UnsafeModelError as error:
        raise ClirbenchError(
            f"{printable(name)}: {error}; clirbench does not load that from a stranger: {remedy}"
        ) from error


def _fill(copy: Path, folder: Path, files: Sequence[str], linked: bool) -> None:
    copy.mkdir(parents=True)
    for place in files:
        source, target = folder / place, copy / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if linked and source.suffix == WEIGHTS:
            try:
                os.link(source.resolve(), target)
                continue
            except OSError:
                pass
        shutil.copyfile(source, target)
    _close(copy)


def _close(copy: Path) -> None:
    """Let everybody read a copy, and nobody write it. Links stay as they are: they are none of this copy's."""
    for path in (copy, *copy.rglob("*")):
        if path.is_dir():
            path.chmod(0o555)
        elif path.stat().st_nlink == 1:
            path.chmod(0o444)


def _remove(holder: Path) -> None:
    for path in (holder, *holder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    # On Windows, weights that are still in use cannot be removed.
    shutil.rmtree(holder, ignore_errors=True)


def files_to_read(folder: Path) -> list[str]:
    """List the files of a snapshot of the hub that a loader reads: known names in the folders of the model's modules.

    Raises:
        UnsafeModelError: modules.json names what is not listed, or a file is there that makes it another kind of model.
    """
    files = []
    for where in dict.fromkeys(("", *modules_of(folder))):
        for name in _FETCHED:
            place = f"{where}/{name}" if where else name
            if not (folder / place).is_file():
                continue
            if name in REFUSED_FILES:
                raise UnsafeModelError(f"{place} {REFUSED_FILES[name]}")
            files.append(place)
        files += [place for place in shards_of(folder, where) if (folder / place).is_file()]
    for place in files:
        if (folder / place).is_symlink():
            refuse_link(folder / place, folder, place)
    return files


def fetch_files_to_read(name: str, commit: str, remedy: str) -> Path:
    """Fetch the files of a model on the hub that a loader reads, and no others; return its snapshot in the local cache.

    Raises:
        ClirbenchError: The hub and the cache lack the model, or modules.json names what is not known.
    """
    asked: set[str] = set()
    wanted = set(_FETCHED)
    while wanted - asked:
        folder = _fetch(name, commit, wanted - asked)
        asked |= wanted
        with _refusal(name, remedy):
            for where, kinds in modules_of(folder).items():
                start = f"{where}/" if where else ""
                wanted |= {f"{start}{file}" for file in _FETCHED}
                if has_weights(kinds):
                    wanted |= {f"{start}{READ_FIRST[0]}", *shards_of(folder, where)}
    return folder


def _fetch(name: str, commit: str, files: set[str]) -> Path:
    """Fetch those of the files that there are: small ones together, and each file of weights with a bar of its own."""
    from huggingface_hub import constants, hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError

    reason = "HF_HUB_OFFLINE is set"
    if not constants.HF_HUB_OFFLINE:
        weights = {file for file in files if file.endswith(WEIGHTS)}
        try:
            with _no_bars():
                small = sorted(files - weights)
                folder = snapshot_download(name, revision=commit, allow_patterns=small, cache_dir=hub_cache())
            for file in sorted(weights):
                with suppress(EntryNotFoundError):
                    hf_hub_download(name, file, revision=commit, cache_dir=hub_cache())
            return Path(folder)
        # The client of the hub fails in any way.
        except Exception as error:
            reason = first_line(error)
    cached = cached_snapshot(name, commit)
    if cached is None:
        raise ClirbenchError(f"cannot download {name} at {commit} ({reason}): check the network, or give a folder")
    if not any(path.name.endswith((WEIGHTS, ".bin", ".index.json")) for path in cached.rglob("*")):
        raise ClirbenchError(
            f"the hub cannot be asked ({reason}), and the cache has no weights of {name}: fetch them while online with  "
            f"hf download {name} --revision {commit}"
        )
    return cached


@contextmanager
def _no_bars() -> Iterator[None]:
    """Show no progress of small files, even if nothing has to be fetched."""
    from huggingface_hub import utils

    shown = not utils.are_progress_bars_disabled()  # type: ignore[attr-defined]
    if shown:
        utils.disable_progress_bars()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if shown:
            utils.enable_progress_bars()  # type: ignore[attr-defined]
