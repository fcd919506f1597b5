"""Readers of parallel tasks. A reader turns the file of one language into queries, candidates and gold pairs.

A reader is named after the format of its files, not after a task: several tasks share one.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LanguageTexts:
    """One language: its queries (topic, text), its candidates in the order that decides ties, its golds (topic, candidate).

    ``grades`` has the grade of each gold, from 1 to 127. It is empty if all are 1.
    """

    queries: tuple[tuple[str, str], ...]
    candidates: tuple[str, ...]
    golds: tuple[tuple[str, int], ...]
    grades: tuple[int, ...] = ()

    @property
    def graded(self) -> list[tuple[str, int, int]]:
        """The golds as (topic, candidate, grade)."""
        grades = self.grades or [1] * len(self.golds)
        return [(topic, index, grade) for (topic, index), grade in zip(self.golds, grades, strict=True)]


def read_lareqa(path: Path) -> LanguageTexts:
    """Read SQuAD-style JSON with sentence boundaries (LAReQA: Roy et al. 2020, arXiv 2004.05484).

    A candidate is a slice of its paragraph, as ``sentence_breaks`` gives it. (The file's own ``sentences`` differ from these
    slices in one Turkish paragraph; the slices are used.) The gold candidate of a question is the first sentence with ``start <=
    answer_start < end``. Two older evaluators compare with ``<= end``, which moves about 30 Chinese gold candidates.

    Raises:
        ValueError: The file is not JSON, or an answer lies in no sentence.
        KeyError: A field is missing.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    queries: list[tuple[str, str]] = []
    candidates: list[str] = []
    golds: list[tuple[str, int]] = []
    for article in document["data"]:
        for paragraph in article["paragraphs"]:
            breaks = paragraph["sentence_breaks"]
            for question in paragraph["qas"]:
                topic = question["id"]
                answer = question["answers"][0]["answer_start"]
                sentence = next((i for i, (start, end) in enumerate(breaks) if start <= answer < end), None)
                if sentence is None:
                    raise ValueError(f"question '{topic}': its answer at {answer} lies in no sentence")
                queries.append((topic, question["question"]))
                golds.append((topic, len(candidates) + sentence))
            candidates.extend(paragraph["context"][start:end] for start, end in breaks)
    return LanguageTexts(tuple(queries), tuple(candidates), tuple(golds))


def read_demo(path: Path) -> LanguageTexts:
    """Read JSON Lines with one topic a line: ``topic``, ``question``, ``answer`` (the gold) and a list of ``distractors``.

    Raises:
        ValueError: A line is not JSON.
        KeyError: A field is missing.
    """
    queries: list[tuple[str, str]] = []
    candidates: list[str] = []
    golds: list[tuple[str, int]] = []
    for line in path.read_text(encoding="utf-8").strip().split("\n"):
        row = json.loads(line)
        queries.append((row["topic"], row["question"]))
        golds.append((row["topic"], len(candidates)))
        candidates += [row["answer"], *row["distractors"]]
    return LanguageTexts(tuple(queries), tuple(candidates), tuple(golds))


# The names are part of a task's hash, so they must not change.
READERS: dict[str, Callable[[Path], LanguageTexts]] = {"lareqa": read_lareqa, "demo": read_demo}
