"""The embedded demo set: JSON Lines written for clirbench, CC0, one file per language."""

import json
from pathlib import Path

from clirbench.tasks.language_data import LanguageData


def read(path: Path) -> LanguageData:
    """Read one language: per line a topic with its question, its answer sentence and distractor sentences.

    Args:
        path: One ``<language>.jsonl``.

    Returns:
        Queries, candidates (answer, then distractors, topic by topic) and golds (the answers).

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
    return LanguageData(tuple(queries), tuple(candidates), tuple(golds))
