"""A user's own task: a short TOML file beside two JSON Lines files, one of queries and one of candidates."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clirbench.support.errors import ClirbenchError, quoted, shortened
from clirbench.support.text_files import object_of_line, read_text
from clirbench.tasks.ids_and_grades import GAIN, gain, grade, identifier, look, twin
from clirbench.tasks.readers import LanguageTexts
from clirbench.tasks.task import SETTINGS, OwnFiles

READER = "jsonl"
METRICS = ("mAP", "mAP@20", "R@1", "R@10", "R@100", "MRR@10", "nDCG@10")
# Measures of bias if queries have golds in several languages, and if not.
PARALLEL_BIAS = (
    "rank_distance", "rank_distance_normalised", "Max@R", "Max@R_normalised", "Comp@10", "Comp@100",
    "own_gold_removal", "other_gold_removal", "gold_removal_difference", "own_language_preference", "transfer_ratio",
)  # fmt: skip
OTHER_BIAS = ("own_language_preference",)
# Besides PARALLEL_BIAS, for tasks that ask for them.
LITERATURE_BIAS = ("PEER", "PEER@20", "TLR@20", "TLR@100")


@dataclass(frozen=True)
class OwnFacts:
    """Facts of a user's own task that are read from its data, not from its TOML; named as in :class:`clirbench.tasks.task.Task`.

    ``bias`` has the measures of a task that names none, and ``possible_bias`` those that it may name. ``sha256`` is the SHA-256
    of the rows of both files, of ``relevant_from``, and of whether a gold has another grade than 1.
    """

    settings: tuple[str, ...]
    bias: tuple[str, ...]
    possible_bias: tuple[str, ...]
    absent: dict[str, str]
    counts: dict[str, Any]
    sha256: str


def read_own_files(files: OwnFiles, languages: Sequence[str]) -> dict[str, LanguageTexts]:
    """Read both files, check every line, and return queries, candidates and golds by language.

    Raises:
        ClirbenchError: A line is wrong (the message names file, line and field), or a query has no gold candidate.
    """
    queries: dict[str, list[tuple[str, str]]] = {language: [] for language in languages}
    candidates: dict[str, list[str]] = {language: [] for language in languages}
    golds: dict[str, list[tuple[str, int]]] = {language: [] for language in languages}
    grades: dict[str, list[int]] = {language: [] for language in languages}
    asked: dict[str, dict[str, _Line]] = {}
    # By its look, the first topic that has it: two topics that look the same are one by intention.
    looks: dict[str, str] = {}
    for line in _lines(files.queries, ("topic", "language", "text")):
        topic, language = line.topic(line.row["topic"], "topic"), line.language(languages)
        known = looks.setdefault(look(topic), topic)
        if topic != known:
            number = next(iter(asked[known].values())).number
            raise line.wrong(f"topic {twin(topic, [known])} (line {number})", "write both alike")
        if language in asked.setdefault(topic, {}):
            raise line.wrong(f"topic {quoted(topic)} is asked twice in {language}", "keep one of the two")
        asked[topic][language] = line
        queries[language].append((topic, line.text()))
    for line in _lines(files.candidates, ("language", "text"), ("answers",)):
        language = line.language(languages)
        for topic, number in line.answers(files.relevant_from).items():
            if topic not in asked:
                if confused := twin(topic, asked):
                    raise line.wrong(f"'answers' has topic {confused}", "write it as the query does")
                raise line.wrong(f"'answers' has topic {quoted(topic)}, which no query asks", "correct one of the two")
            golds[language].append((topic, len(candidates[language])))
            grades[language].append(number)
        candidates[language].append(line.text())
    answered = {topic for pairs in golds.values() for topic, _ in pairs}
    for topic, lines in asked.items():
        if topic not in answered:
            first = next(iter(lines.values()))
            raise first.wrong(f"no candidate answers topic {quoted(topic)}", f"add one to {files.candidates.name}")
    for language in languages:
        for what, texts in (("query", queries[language]), ("candidate", candidates[language])):
            if not texts:
                raise ClirbenchError(
                    f"{files.queries.parent}: no {what} in {language}: add one, or take it out of 'languages'"
                )
    return {
        x: LanguageTexts(tuple(queries[x]), tuple(candidates[x]), tuple(golds[x]), tuple(grades[x])) for x in languages
    }


def read_facts(files: OwnFiles, languages: Sequence[str]) -> OwnFacts:
    """Read the data of a user's own task, as :func:`read_own_files` does, and return the facts of the task."""
    texts = read_own_files(files, languages)
    asked = [(topic, language) for language, one in texts.items() for topic, _ in one.queries]
    golds = Counter(topic for one in texts.values() for topic, _ in one.golds)
    golds_in = Counter((topic, language) for language, one in texts.items() for topic, _ in one.golds)
    # One query is enough: a setting is possible if it has a query to rank.
    own = any(golds_in[topic, language] for topic, language in asked)
    crossing = any(golds[topic] > golds_in[topic, language] for topic, language in asked)
    absent = {}
    if not crossing:
        absent["cross-lingual"] = "no topic has an answer in another language than its question"
    if not own:
        absent["monolingual"] = "no topic has an answer in the language of its question"
    # Over the rows, not the bytes: a byte order mark, CRLF or a blank line changes no score.
    rows = ["".join(f"{row}\n" for _, row in _rows(path)) for path in (files.queries, files.candidates)]
    # The lowest grade of a gold is part of the checksum, because it decides which candidates are gold.
    # Results from before grades were gains have another nDCG, so a task with grades has a checksum of its own.
    graded = any(number != 1 for one in texts.values() for number in one.grades)
    digest = hashlib.sha256(f"{rows[0]}\0{rows[1]}{files.relevant_from!r}{'graded' if graded else ''}".encode())
    bias = PARALLEL_BIAS if crossing and len(languages) > 1 else OTHER_BIAS
    return OwnFacts(
        settings=tuple(setting for setting in SETTINGS if setting not in absent),
        bias=bias,
        possible_bias=(*bias, *LITERATURE_BIAS) if bias == PARALLEL_BIAS else bias,
        absent=absent,
        counts={
            "topics": len(golds),
            "gold_pairs": sum(golds[topic] for topic, _ in asked),
            "queries": {x: len(one.queries) for x, one in texts.items()},
            "candidates": {x: len(one.candidates) for x, one in texts.items()},
        },
        sha256=digest.hexdigest(),
    )


class _Line:
    """An object on one line of a file. Its errors name file and line."""

    def __init__(self, path: Path, number: int, text: str, needed: Sequence[str], optional: Sequence[str]) -> None:
        self.number = number
        self._place = f"{path}, line {number}"
        self.row = object_of_line(text, self._place)
        for key in self.row:
            if key not in (*needed, *optional):
                raise self.wrong(f"unknown field {quoted(key)}", f"use {', '.join((*needed, *optional))}")
        for key in needed:
            if key not in self.row:
                raise self.wrong(f"field '{key}' is missing", "add it")

    def wrong(self, fault: str, remedy: str = "correct it") -> ClirbenchError:
        return ClirbenchError(f"{self._place}: {fault}: {remedy}")

    def text(self) -> str:
        text = self.row["text"]
        if not isinstance(text, str) or not text.strip():
            raise self.wrong("field 'text' must be text that is not empty", "add it")
        return text

    def topic(self, value: Any, field: str) -> str:
        topic = identifier(value)
        if topic is None:
            raise self.wrong(
                f"field '{field}' must be text, such as \"returns\", or a whole number", "put it in quotes"
            )
        return topic

    def language(self, languages: Sequence[str]) -> str:
        language = self.row["language"]
        if language not in languages:
            known = ", ".join(languages)
            raise self.wrong(
                f"language {shortened(f'{language!a}', 40)} is not one of {known}", "correct it, or 'languages'"
            )
        return str(language)

    def answers(self, relevant_from: float) -> dict[str, int]:
        """The topics for which this candidate is gold, each with its grade. Topics without grades have the grade 1."""
        value = self.row.get("answers", [])
        if isinstance(value, list) or identifier(value) is not None:
            topics = value if isinstance(value, list) else [value]
            return dict.fromkeys((self.topic(topic, "answers") for topic in topics), 1)
        if not isinstance(value, dict):
            raise self.wrong("field 'answers' must be a list of topics, or topics with grades")
        golds = {}
        for topic, stated in value.items():
            number = grade(stated)
            if number is None:
                raise self.wrong(f"the grade of {quoted(topic)} in 'answers' is no number")
            if number >= relevant_from:
                counted = gain(number)
                if counted is None:
                    fault = f"the grade of {quoted(topic)} in 'answers' is {number:g}, and {GAIN}"
                    raise self.wrong(fault, "correct it, or list the topics without grades")
                golds[topic] = counted
        return golds


def _lines(path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> Iterator[_Line]:
    return (_Line(path, number, row, needed, optional) for number, row in _rows(path))


def _rows(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, each with its number."""
    lines = read_text(path, "correct its name in the task file").split("\n")
    rows = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise ClirbenchError(f"{path}: is empty: write one JSON object a line")
    return iter(rows)
