"""Fetching a task's files from a mirror, the cache or the network. Every file is checked against its SHA-256."""

import hashlib
import os
from pathlib import Path

from clirbench.support.errors import ClirbenchError
from clirbench.support.files import one_at_a_time, reading, sha256_of, writing
from clirbench.support.paths import cache_dir, mirror_dir
from clirbench.support.progress import Advance
from clirbench.tasks.task import SourceFile

_PIECE = 1 << 18


def fetch(source: SourceFile, advance: Advance | None = None) -> Path:
    """Find or download a file. Every call checks it against its SHA-256.

    These places are tried in order: beside the task file; the folder that ``CLIRBENCH_MIRROR`` names; the cache; the network.
    An interrupted download is resumed. With a mirror set, the network is not touched. ``advance`` is called with (bytes received,
    total bytes or None) while downloading.

    Raises:
        ClirbenchError: The file cannot be found or downloaded, its SHA-256 differs, or the cache cannot be written.
    """
    if source.path is not None:
        return _verified(source.path, source, "reinstall clirbench")
    mirror = mirror_dir()
    if mirror is not None and source.mirror and (mirror / source.mirror).is_file():
        return _verified(mirror / source.mirror, source, "replace it with the original")
    cached = cache_dir() / "sources" / source.sha256[:16] / source.name.rpartition("/")[2]
    if cached.is_file():
        return _verified(cached, source, "delete it and run again")
    if mirror is not None:
        raise ClirbenchError(
            f"'{source.mirror}' is not in CLIRBENCH_MIRROR ({mirror}): add it there, or unset the variable to download"
        )
    with writing(f"the cache at {cached.parent}", "point CLIRBENCH_CACHE at a writable folder"):
        cached.parent.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(cached):
            # Another process may have downloaded the file while this one waited.
            if not cached.is_file():
                _download(source, cached, advance)
    return cached


def _verified(path: Path, source: SourceFile, remedy: str) -> Path:
    with reading(path, remedy):
        digest = sha256_of(path)
    if digest != source.sha256:
        if hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest() == source.sha256:
            raise ClirbenchError(
                f"{path} is the right file with CRLF line ends, as Git for Windows makes them: {remedy}, and set "
                "core.autocrlf to false where Git copied it"
            )
        raise ClirbenchError(
            f"{path} has SHA-256 {digest[:16]}…, not {source.sha256[:16]}… (changed or truncated): {remedy}"
        )
    return path


def _download(source: SourceFile, target: Path, advance: Advance | None) -> None:
    import httpx

    part = target.with_name(target.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with httpx.stream("GET", str(source.url), headers=headers, follow_redirects=True, timeout=30) as response:
            # Otherwise the partial file is whole (a run died before the rename) or wrong. The checksum shows which.
            if response.status_code != httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                response.raise_for_status()
                resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
                have = have if resumed else 0
                length = response.headers.get("Content-Length")
                total = have + int(length) if length else None
                with part.open("ab" if resumed else "wb") as file:
                    for piece in response.iter_bytes(_PIECE):
                        file.write(piece)
                        have += len(piece)
                        if advance:
                            advance(have, total)
                    file.flush()
                    os.fsync(file.fileno())
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise ClirbenchError(f"{source.url} answered {status}: try again later, or set CLIRBENCH_MIRROR") from error
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError) as error:
        raise ClirbenchError(
            f"cannot download {source.url} ({type(error).__name__}): check the network and run again "
            "(it resumes), or set CLIRBENCH_MIRROR to a folder that holds the files"
        ) from error
    digest = sha256_of(part)
    if digest != source.sha256:
        part.unlink()
        raise ClirbenchError(
            f"{source.url} came with SHA-256 {digest[:16]}…, not {source.sha256[:16]}… (changed or truncated): "
            "nothing was kept; run again"
        )
    part.replace(target)
