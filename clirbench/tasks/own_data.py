"""A task of one's own: a short TOML file beside two JSON Lines files, one of queries and one of candidates."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clirbench.support.errors import ClirbenchError, printable
from clirbench.support.files import reading
from clirbench.tasks.readers import LanguageTexts
from clirbench.tasks.task import SETTINGS, OwnFiles

READER = "jsonl"
METRICS = ("mAP", "mAP@20", "R@1", "R@10", "R@100", "MRR@10", "nDCG@10")
# Where queries have golds in several languages, and where they have not.
PARALLEL_BIAS = (
    "rank_distance", "rank_distance_normalised", "Max@R", "Max@R_normalised", "Comp@10", "Comp@100",
    "own_gold_removal", "other_gold_removal", "gold_removal_difference", "own_language_preference", "transfer_ratio",
)  # fmt: skip
OTHER_BIAS = ("own_language_preference",)


@dataclass(frozen=True)
class OwnFacts:
    """What the data of a task of one's own say, so that its TOML file need not.

    Attributes:
        settings: Those that the gold pairs allow.
        bias: The measures of language bias that make sense.
        absent: By setting, why it is not among them.
        counts: As :class:`clirbench.tasks.task.Task` has them.
        sha256: Over both files and ``relevant_from``.
    """

    settings: tuple[str, ...]
    bias: tuple[str, ...]
    absent: dict[str, str]
    counts: dict[str, Any]
    sha256: str


def read_own_files(files: OwnFiles, languages: Sequence[str]) -> dict[str, LanguageTexts]:
    """Read both files and check every line.

    Args:
        files: Where they are.
        languages: The task's.

    Returns:
        Queries, candidates and golds by language.

    Raises:
        ClirbenchError: A line is wrong (it names file, line and field), or a query has no gold candidate.
    """
    queries: dict[str, list[tuple[str, str]]] = {language: [] for language in languages}
    candidates: dict[str, list[str]] = {language: [] for language in languages}
    golds: dict[str, list[tuple[str, int]]] = {language: [] for language in languages}
    asked: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()
    for number, row in _rows(files.queries, ("topic", "language", "text"), ()):
        topic = _topic(row["topic"], files.queries, number, "topic")
        language = _language(row, languages, files.queries, number)
        if (topic, language) in seen:
            raise _wrong(files.queries, number, f"topic '{topic}' is asked twice in {language}", "keep one of the two")
        seen.add((topic, language))
        asked.setdefault(topic, number)
        queries[language].append((topic, _text(row, files.queries, number)))
    answered = set()
    for number, row in _rows(files.candidates, ("language", "text"), ("answers",)):
        language = _language(row, languages, files.candidates, number)
        for topic in _answers(row.get("answers", []), files, number):
            if topic not in asked:
                raise _wrong(
                    files.candidates,
                    number,
                    f"'answers' has topic '{topic}', which no query asks",
                    "correct one of the two",
                )
            answered.add(topic)
            golds[language].append((topic, len(candidates[language])))
        candidates[language].append(_text(row, files.candidates, number))
    for topic, number in asked.items():
        if topic not in answered:
            raise _wrong(
                files.queries, number, f"no candidate answers topic '{topic}'", f"add one to {files.candidates.name}"
            )
    for language in languages:
        for what, rows in (("query", queries), ("candidate", candidates)):
            if not rows[language]:
                raise ClirbenchError(
                    f"{files.queries.parent}: no {what} in {language}: add one, or take it out of 'languages'"
                )
    return {x: LanguageTexts(tuple(queries[x]), tuple(candidates[x]), tuple(golds[x])) for x in languages}


def read_facts(files: OwnFiles, languages: Sequence[str]) -> OwnFacts:
    """Read the data of a task of one's own for what they say of it.

    Args:
        files: Where they are.
        languages: The task's.

    Returns:
        The facts.

    Raises:
        ClirbenchError: A file is missing or wrong.
    """
    texts = read_own_files(files, languages)
    gold_languages: dict[str, set[str]] = {}
    golds = Counter(topic for one in texts.values() for topic, _ in one.golds)
    for language, one in texts.items():
        for topic, _ in one.golds:
            gold_languages.setdefault(topic, set()).add(language)
    asked = [(topic, language) for language, one in texts.items() for topic, _ in one.queries]
    own = any(language in gold_languages[topic] for topic, language in asked)
    crossing = any(gold_languages[topic] - {language} for topic, language in asked)
    absent = {}
    if not crossing:
        absent["cross-lingual"] = "no topic has an answer in another language than its question"
    if not own:
        absent["monolingual"] = "no topic has an answer in the language of its question"
    digest = hashlib.sha256(files.queries.read_bytes() + b"\0" + files.candidates.read_bytes())
    digest.update(repr(files.relevant_from).encode())
    return OwnFacts(
        settings=tuple(setting for setting in SETTINGS if setting not in absent),
        bias=PARALLEL_BIAS if crossing and len(languages) > 1 else OTHER_BIAS,
        absent=absent,
        counts={
            "topics": len(gold_languages),
            "gold_pairs": sum(golds[topic] for topic, _ in asked),
            "queries": {x: len(one.queries) for x, one in texts.items()},
            "candidates": {x: len(one.candidates) for x, one in texts.items()},
        },
        sha256=digest.hexdigest(),
    )


def _rows(path: Path, needed: Sequence[str], optional: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with reading(path, "correct its name in the task file"):
            lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ClirbenchError(
            f"{path}: is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise _wrong(path, number, f"not JSON ({printable(str(error))})", "correct it") from error
        except RecursionError as error:
            raise _wrong(path, number, "nested too deeply", "correct it") from error
        if not isinstance(row, dict):
            raise _wrong(path, number, "not an object", "write {" + ", ".join(f'"{key}": ...' for key in needed) + "}")
        for key in row:
            if key not in needed and key not in optional:
                raise _wrong(
                    path, number, f"unknown field '{printable(key[:40])}'", f"use {', '.join((*needed, *optional))}"
                )
        for key in needed:
            if key not in row:
                raise _wrong(path, number, f"field '{key}' is missing", "add it")
        yield number, row


def _text(row: Mapping[str, Any], path: Path, number: int) -> str:
    text = row["text"]
    if not isinstance(text, str) or not text.strip():
        raise _wrong(path, number, "field 'text' must be text that is not empty", "add it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _wrong(path, number, "field 'text' holds half of a character (a lone surrogate)", "correct it") from error
    return text


def _topic(value: Any, path: Path, number: int, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(path, number, f"field '{field}' must be text, such as \"returns\"", "put it in quotes")
    return value


def _language(row: Mapping[str, Any], languages: Sequence[str], path: Path, number: int) -> str:
    language = row["language"]
    if language not in languages:
        raise _wrong(
            path, number, f"language {language!a} is not one of {', '.join(languages)}", "correct it, or 'languages'"
        )
    return str(language)


def _answers(value: Any, files: OwnFiles, number: int) -> list[str]:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list):
        return list(dict.fromkeys(_topic(topic, files.candidates, number, "answers") for topic in value))
    if isinstance(value, dict):
        for topic, grade in value.items():
            if isinstance(grade, bool) or not isinstance(grade, int | float) or not -1e9 < grade < 1e9:
                raise _wrong(
                    files.candidates,
                    number,
                    f"the grade of '{printable(topic)}' in 'answers' is no number",
                    "correct it",
                )
        return [topic for topic, grade in value.items() if grade >= files.relevant_from]
    raise _wrong(
        files.candidates, number, "field 'answers' must be a list of topics, or topics with grades", "correct it"
    )


def _wrong(path: Path, number: int, fault: str, remedy: str) -> ClirbenchError:
    return ClirbenchError(f"{path}, line {number}: {fault}: {remedy}")
