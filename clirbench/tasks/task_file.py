"""Reading a task's TOML file strictly."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clirbench.support.errors import ClirbenchError
from clirbench.support.paths import data_dir
from clirbench.tasks.own_data import METRICS, READER, facts_of
from clirbench.tasks.task import FORMAT, SETTINGS, HubCorpus, SourceFile, Task

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
    "languages": list,
    "settings": list,
    "metrics": list,
    "bias": list,
    "counts": dict,
}
# A streamed task may lack the first two: what it reads is pinned by its corpus.
_OPTIONAL: dict[str, type] = {
    "gold_sha256": str,
    "source": dict,
    "corpus": dict,
    "judgements": dict,
    "absent": dict,
    "remarks": dict,
}
_OWN: dict[str, type] = {
    "format": int,
    "id": str,
    "name": str,
    "description": str,
    "licence": str,
    "reader": str,
    "languages": list,
    "queries": str,
    "candidates": str,
}
_OWN_OPTIONAL: dict[str, type] = {
    "homepage": str,
    "citation": str,
    "settings": list,
    "metrics": list,
    "bias": list,
    "relevant_from": float,
}
_CORPUS = ("hub", "revision", "split")
_LISTS = ("languages", "settings", "metrics", "bias")
_TEXT = ("id", "name", "description", "licence", "homepage", "citation", "reader", "candidate_text")
_COUNTS = ("topics", "gold_pairs", "queries", "candidates")


def stated_task(task_id: str, task_hash: str, path: str | None = None) -> Task:
    """The task that a result states.

    Args:
        task_id: The identifier in the result.
        task_hash: The hash in the result.
        path: The TOML file of a task of one's own; None for a shipped one.

    Raises:
        ClirbenchError: It is not there, or has changed since.
    """
    if path is None and task_id not in list_tasks():
        raise ClirbenchError(
            f"'{task_id}' is a task of your own, whose texts are not in the result: pass its TOML file as --task"
        )
    task = load_task(path or task_id)
    if (task.id, task.hash) != (task_id, task_hash):
        raise ClirbenchError(
            f"{task.file}: is not the task that the result is of, or its data have changed: run it again"
        )
    return task


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


def _parse_own(raw: dict[str, Any], path: Path) -> Task:
    _keys(raw, _OWN, path, "", _OWN_OPTIONAL)
    for key, kind in {**_OWN, **_OWN_OPTIONAL}.items():
        # TOML tells 1 from 1.0, and a grade may be either.
        kinds = (int, float) if key == "relevant_from" else kind
        if key in raw and (not isinstance(raw[key], kinds) or raw[key] in ("", [])):
            raise ClirbenchError(f"{path}: '{key}' must be a non-empty {kind.__name__}")
    _check_head(raw, path)
    files, facts = facts_of(raw, path)
    text: dict[str, Any] = {key: str(raw.get(key, "")) for key in _TEXT if key != "candidate_text"}
    return Task(
        **text,
        candidate_text="text",
        gold_sha256="",
        languages=tuple(raw["languages"]),
        settings=tuple(raw.get("settings", facts["settings"])),
        metrics=tuple(raw.get("metrics", METRICS)),
        bias=tuple(raw.get("bias", facts["bias"])),
        sources={x: SourceFile(sha256=facts["sha256"], path=files.candidates) for x in raw["languages"]},
        counts=facts["counts"],
        file=path,
        absent=facts["absent"],
        own=files,
    )


def _check_head(raw: dict[str, Any], path: Path) -> None:
    if raw["format"] != FORMAT:
        raise ClirbenchError(f"{path}: format {raw['format']} is not {FORMAT}: upgrade clirbench or the file")
    if raw["id"] != path.stem:
        raise ClirbenchError(f"{path}: 'id' is '{raw['id']}' but the file is named '{path.stem}': make them equal")
    for key in _LISTS:
        if not all(isinstance(value, str) for value in raw.get(key, ())) or len(set(raw.get(key, ()))) != len(
            raw.get(key, ())
        ):
            raise ClirbenchError(f"{path}: '{key}' must list distinct names")


def _parse(raw: dict[str, Any], path: Path) -> Task:
    if raw.get("reader") == READER:
        return _parse_own(raw, path)
    streamed = "corpus" in raw
    required = _KEYS if streamed else {**_KEYS, "gold_sha256": str, "source": dict}
    _keys(raw, required, path, "", _OPTIONAL)
    for key, kind in {**_KEYS, **_OPTIONAL}.items():
        if key in raw and (not isinstance(raw[key], kind) or raw[key] in ("", [], {})):
            raise ClirbenchError(f"{path}: '{key}' must be a non-empty {kind.__name__}")
    _check_head(raw, path)
    languages = raw["languages"]
    for setting in raw["settings"]:
        if setting not in SETTINGS:
            raise ClirbenchError(f"{path}: 'settings' has '{setting}': use {', '.join(SETTINGS)}")
    candidate_text = "passage" if streamed else "sentence"
    if raw["candidate_text"] != candidate_text:
        raise ClirbenchError(f"{path}: 'candidate_text' is '{raw['candidate_text']}': use '{candidate_text}'")
    _check_counts(raw["counts"], languages, path)
    text = {key: str(raw[key]) for key in _TEXT}
    lists = {key: tuple(raw[key]) for key in _LISTS}
    tables = {key: _table(raw.get(key, {}), path, key) for key in ("judgements", "absent", "remarks")}
    if tables["judgements"]:
        _keys(tables["judgements"], languages, path, "judgements.")
    parts: dict[str, Any] = {**text, **lists, **tables}
    return Task(
        **parts,
        gold_sha256=raw.get("gold_sha256", ""),
        sources=_streamed_sources(raw, path) if streamed else _sources(raw["source"], languages, path, "source."),
        counts=raw["counts"],
        file=path,
        corpus=_corpus(raw["corpus"], path) if streamed else None,
    )


def _table(table: dict[str, Any], path: Path, key: str) -> dict[str, str]:
    for name, value in table.items():
        if not isinstance(value, str) or not value:
            raise ClirbenchError(f"{path}: '{key}.{name}' must be text")
    return table


def _corpus(table: dict[str, Any], path: Path) -> HubCorpus:
    _keys(table, _CORPUS, path, "corpus.")
    return HubCorpus(**_table(table, path, "corpus"))


def _streamed_sources(raw: dict[str, Any], path: Path) -> dict[str, SourceFile]:
    if "source" not in raw:
        return {}
    _keys(raw["source"], ("topics", "qrels"), path, "source.")
    found = {}
    for part in ("topics", "qrels"):
        if not isinstance(raw["source"][part], dict):
            raise ClirbenchError(f"{path}: 'source.{part}' must be a table")
        files = _sources(raw["source"][part], raw["languages"], path, f"source.{part}.")
        found.update({f"{language}/{part}": file for language, file in files.items()})
    return found


def _check_counts(counts: dict[str, Any], languages: list[str], path: Path) -> None:
    _keys(counts, _COUNTS, path, "counts.")
    for key in ("topics", "gold_pairs"):
        if not isinstance(counts[key], int):
            raise ClirbenchError(f"{path}: 'counts.{key}' must be a whole number")
    for key in ("queries", "candidates"):
        if not isinstance(counts[key], dict) or not all(isinstance(n, int) for n in counts[key].values()):
            raise ClirbenchError(f"{path}: 'counts.{key}' must be a table of whole numbers, one per language")
        _keys(counts[key], languages, path, f"counts.{key}.")


def _sources(source: dict[str, Any], languages: list[str], path: Path, prefix: str) -> dict[str, SourceFile]:
    _keys(source, ("path", "sha256") if "path" in source else ("url", "mirror", "sha256"), path, prefix)
    if not isinstance(source["sha256"], dict):
        raise ClirbenchError(f"{path}: '{prefix}sha256' must be a table of checksums, one per language")
    _keys(source["sha256"], languages, path, f"{prefix}sha256.")
    files = {}
    for key in ("path", "url", "mirror"):
        if not isinstance(source.get(key, ""), str):
            raise ClirbenchError(f"{path}: '{prefix}{key}' must be text")
    for language in languages:
        if not isinstance(source["sha256"][language], str):
            raise ClirbenchError(f"{path}: '{prefix}sha256.{language}' must be text")
        if "path" in source:
            place: dict[str, Any] = {"path": path.parent / source["path"].replace("{language}", language)}
        else:
            place = {key: source[key].replace("{language}", language) for key in ("url", "mirror")}
        files[language] = SourceFile(sha256=source["sha256"][language], **place)
    return files


def _keys(table: Mapping[str, Any], expected: Any, path: Path, prefix: str, optional: Any = ()) -> None:
    for key in table:
        if key not in expected and key not in optional:
            raise ClirbenchError(f"{path}: unknown key '{prefix}{key}': remove it or correct its spelling")
    for key in expected:
        if key not in table:
            raise ClirbenchError(f"{path}: missing key '{prefix}{key}': add it")
