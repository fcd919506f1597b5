"""Tasks: one TOML file each, read strictly."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clirbench.errors import ClirbenchError
from clirbench.paths import data_dir

SETTINGS = ("monolingual", "cross-lingual", "multilingual")
FORMAT = 1

_KEYS: dict[str, type] = {
    "format": int,
    "id": str,
    "name": str,
    "description": str,
    "licence": str,
    "homepage": str,
    "citation": str,
    "reader": str,
    "candidate_text": str,
    "gold_sha256": str,
    "languages": list,
    "settings": list,
    "metrics": list,
    "bias": list,
    "source": dict,
    "counts": dict,
}
_LISTS = ("languages", "settings", "metrics", "bias")
_TEXT = ("id", "name", "description", "licence", "homepage", "citation", "reader", "candidate_text", "gold_sha256")
_COUNTS = ("topics", "gold_pairs", "queries", "candidates")


@dataclass(frozen=True)
class SourceFile:
    """One file that a task reads, pinned by its SHA-256 (lower-case hexadecimal).

    It comes from ``url`` (with ``mirror``, its path below ``CLIRBENCH_MIRROR``), or lies at ``path`` in the package.
    """

    sha256: str
    url: str | None = None
    mirror: str | None = None
    path: Path | None = None

    @property
    def name(self) -> str:
        """The shortest name by which a person would know it."""
        return self.mirror or (self.path.name if self.path else str(self.url))


@dataclass(frozen=True)
class Task:
    """A data set with its protocol, as declared in one TOML file.

    ``gold_sha256`` pins the gold pairs of the whole task (:func:`clirbench.gold_ranks.gold_digest`).
    ``counts`` holds ``topics`` and ``gold_pairs`` (of the whole task) and, by language, ``queries`` and
    ``candidates``. ``sources`` maps a language to its file.
    """

    id: str
    name: str
    description: str
    licence: str
    homepage: str
    citation: str
    reader: str
    candidate_text: str
    gold_sha256: str
    languages: tuple[str, ...]
    settings: tuple[str, ...]
    metrics: tuple[str, ...]
    bias: tuple[str, ...]
    sources: Mapping[str, SourceFile]
    counts: Mapping[str, Any]
    file: Path

    @property
    def hash(self) -> str:
        """SHA-256 of what the scores depend on: protocol and data, not the prose and not the list of metrics."""
        protocol = {
            "format": FORMAT,
            "id": self.id,
            "reader": self.reader,
            "candidate_text": self.candidate_text,
            "languages": list(self.languages),
            "settings": list(self.settings),
            "sha256": {language: source.sha256 for language, source in self.sources.items()},
            "counts": dict(self.counts),
        }
        return hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()


def list_tasks() -> list[str]:
    """Identifiers of the shipped tasks, sorted."""
    return sorted(path.stem for path in data_dir("tasks").glob("*.toml"))


def load_task(name: str) -> Task:
    """Read a shipped task by its identifier, or any task by the path of its TOML file.

    Raises:
        ClirbenchError: There is no such task, or its file has an unknown, missing or wrong key.
    """
    path = Path(name) if name.endswith(".toml") else data_dir("tasks") / f"{name}.toml"
    try:
        known = path.is_file()
    except OSError:
        known = False
    if not known:
        raise ClirbenchError(f"no task '{name[:80]}': the tasks are {', '.join(list_tasks())}")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ClirbenchError(f"{path}: not valid TOML ({error}): correct the file") from error
    return _parse(raw, path)


def _parse(raw: dict[str, Any], path: Path) -> Task:
    _keys(raw, _KEYS, path, "")
    for key, kind in _KEYS.items():
        if not isinstance(raw[key], kind) or raw[key] in ("", [], {}):
            raise ClirbenchError(f"{path}: '{key}' must be a non-empty {kind.__name__}")
    if raw["format"] != FORMAT:
        raise ClirbenchError(f"{path}: format {raw['format']} is not {FORMAT}: upgrade clirbench or the file")
    if raw["id"] != path.stem:
        raise ClirbenchError(f"{path}: 'id' is '{raw['id']}' but the file is named '{path.stem}': make them equal")
    languages = raw["languages"]
    for key in _LISTS:
        if not all(isinstance(value, str) for value in raw[key]) or len(set(raw[key])) != len(raw[key]):
            raise ClirbenchError(f"{path}: '{key}' must list distinct names")
    for setting in raw["settings"]:
        if setting not in SETTINGS:
            raise ClirbenchError(f"{path}: 'settings' has '{setting}': use {', '.join(SETTINGS)}")
    if raw["candidate_text"] != "sentence":
        raise ClirbenchError(f"{path}: 'candidate_text' is '{raw['candidate_text']}': use 'sentence'")
    _check_counts(raw["counts"], languages, path)
    text = {key: str(raw[key]) for key in _TEXT}
    lists = {key: tuple(raw[key]) for key in _LISTS}
    return Task(**text, **lists, sources=_sources(raw["source"], languages, path), counts=raw["counts"], file=path)  # type: ignore[arg-type]


def _check_counts(counts: dict[str, Any], languages: list[str], path: Path) -> None:
    _keys(counts, _COUNTS, path, "counts.")
    for key in ("topics", "gold_pairs"):
        if not isinstance(counts[key], int):
            raise ClirbenchError(f"{path}: 'counts.{key}' must be a whole number")
    for key in ("queries", "candidates"):
        if not isinstance(counts[key], dict) or not all(isinstance(n, int) for n in counts[key].values()):
            raise ClirbenchError(f"{path}: 'counts.{key}' must be a table of whole numbers, one per language")
        _keys(counts[key], languages, path, f"counts.{key}.")


def _sources(source: dict[str, Any], languages: list[str], path: Path) -> dict[str, SourceFile]:
    _keys(source, ("path", "sha256") if "path" in source else ("url", "mirror", "sha256"), path, "source.")
    if not isinstance(source["sha256"], dict):
        raise ClirbenchError(f"{path}: 'source.sha256' must be a table of checksums, one per language")
    _keys(source["sha256"], languages, path, "source.sha256.")
    files = {}
    for key in ("path", "url", "mirror"):
        if not isinstance(source.get(key, ""), str):
            raise ClirbenchError(f"{path}: 'source.{key}' must be text")
    for language in languages:
        if not isinstance(source["sha256"][language], str):
            raise ClirbenchError(f"{path}: 'source.sha256.{language}' must be text")
        if "path" in source:
            place: dict[str, Any] = {"path": path.parent / source["path"].replace("{language}", language)}
        else:
            place = {key: source[key].replace("{language}", language) for key in ("url", "mirror")}
        files[language] = SourceFile(sha256=source["sha256"][language], **place)
    return files


def _keys(table: Mapping[str, Any], expected: Any, path: Path, prefix: str) -> None:
    for key in table:
        if key not in expected:
            raise ClirbenchError(f"{path}: unknown key '{prefix}{key}': remove it or correct its spelling")
    for key in expected:
        if key not in table:
            raise ClirbenchError(f"{path}: missing key '{prefix}{key}': add it")
