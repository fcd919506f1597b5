"""XQuAD-R and MLQA-R: SQuAD-style JSON with sentence boundaries (LAReQA, Roy et al. 2020, arXiv 2004.05484)."""

import json
from pathlib import Path

from clirbench.tasks.language_data import LanguageData


def read(path: Path) -> LanguageData:
    """Read one language.

    A candidate is a slice of the paragraph as given by ``sentence_breaks`` (the file's ``sentences`` differ from the slices
    in one Turkish paragraph, and the slices count). The gold candidate of a question is the first whose ``start <= answer_start <
    end``; comparing with ``<= end``, as two older evaluators do, moves about 30 Chinese golds.

    Args:
        path: One ``<language>.json``.

    Returns:
        Queries, candidates (not de-duplicated) and golds.

    Raises:
        ValueError: Not JSON, or an answer lies in no sentence.
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
    return LanguageData(tuple(queries), tuple(candidates), tuple(golds))
