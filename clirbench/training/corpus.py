"""Training data in memory: every distinct text once, and a table of the pairs that batches are drawn from."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clirbench.support.errors import ClirbenchError
from clirbench.training.overlap import Overlap, Protected
from clirbench.training.recipe import Recipe, TrainingSource
from clirbench.training.rows import Row, read_rows, resolve


@dataclass(frozen=True)
class SourceTexts:
    """One source after reading: texts by row and language.

    Attributes:
        part: The source's part of the recipe.
        queries: int32 (rows, languages), index into the corpus's texts; -1 where the row lacks the language.
        candidates: int32 (rows, languages), likewise.
    """

    part: TrainingSource
    queries: NDArray[np.int32]
    candidates: NDArray[np.int32]


@dataclass(frozen=True)
class Corpus:
    """All training texts and where they stand.

    Attributes:
        languages: The recipe's languages; columns of the sources' tables.
        texts: Distinct texts.
        sources: One per source of the recipe.
        rows: Rows read, by file.
        dropped: Rows left out because they share text with the dev task, by file.
        overlaps: Training texts that share text with the evaluation collections.
        other_languages: Texts in languages that the recipe does not name, by language.
    """

    languages: tuple[str, ...]
    texts: list[str]
    sources: tuple[SourceTexts, ...]
    rows: dict[str, int]
    dropped: dict[str, int]
    overlaps: list[Overlap]
    other_languages: dict[str, int]

    def running_texts(self, language: int) -> NDArray[np.int32]:
        """Distinct candidate texts of all sources but the lexica, in the language of that column; int32, ascending."""
        columns = [source.candidates[:, language] for source in self.sources if source.part.view != "entries"]
        texts = np.unique(np.concatenate(columns)) if columns else np.zeros(0, dtype=np.int32)
        return texts[texts >= 0]

    def covered(self) -> dict[str, int]:
        """Number of rows with a text, by language."""
        present = sum((source.candidates >= 0).sum(axis=0) for source in self.sources)
        return dict(zip(self.languages, np.asarray(present).tolist(), strict=True))


@dataclass
class _Reading:
    languages: tuple[str, ...]
    texts: dict[str, int] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    overlaps: list[Overlap] = field(default_factory=list)
    other: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)

    def side(self, texts: Mapping[str, str]) -> list[int]:
        return [
            self.texts.setdefault(text, len(self.texts)) if (text := texts.get(language)) else -1
            for language in self.languages
        ]


def read_corpus(
    recipe: Recipe,
    folders: Sequence[Path],
    dev: Protected | None = None,
    evaluation: Protected | None = None,
    advance: Callable[[int], None] | None = None,
) -> Corpus:
    """Read every source of a recipe.

    Args:
        recipe: Which files, which views, which languages.
        folders: Where the files may lie, first match wins.
        dev: Texts of the dev task; a row that holds any of them is left out and counted.
        evaluation: Texts of the evaluation collections; a row that holds any of them is listed, and left out where the recipe
            says so.
        advance: Told of every file that was read.

    Returns:
        The corpus; nothing of it is random.

    Raises:
        ClirbenchError: A file is missing or wrong, or a source has no row in any of the languages.
    """
    reading = _Reading(recipe.languages)
    sources = []
    for part in recipe.source:
        queries: list[list[int]] = []
        candidates: list[list[int]] = []
        for name in part.files:
            for row in _rows(part, name, folders, reading):
                if dev is not None and any(dev.find(language, text) for language, text in _texts(row)):
                    reading.dropped[name] += 1
                    continue
                if evaluation is not None and (overlaps := _first_overlap(row, name, evaluation)):
                    reading.overlaps.extend(overlaps)
                    if recipe.overlapping_rows == "drop":
                        continue
                reading.rows[name] += 1
                queries.append(reading.side(row.queries))
                same = row.candidates is row.queries
                candidates.append(queries[-1] if same else reading.side(row.candidates))
            if advance:
                advance(1)
        if not queries:
            raise ClirbenchError(f"source '{part.name}' has no row in {', '.join(recipe.languages)}: check its files")
        sources.append(SourceTexts(part, np.array(queries, dtype=np.int32), np.array(candidates, dtype=np.int32)))
    texts = list(reading.texts)
    return Corpus(
        recipe.languages, texts, tuple(sources), reading.rows, reading.dropped, reading.overlaps, dict(reading.other)
    )


def _rows(part: TrainingSource, name: str, folders: Sequence[Path], reading: _Reading) -> Iterator[Row]:
    known = set(reading.languages)
    wanted = known - set(part.without_languages)
    for row in read_rows(resolve(name, folders), part.view):
        if part.without_origins and row.origin.startswith(part.without_origins):
            continue
        for language in row.candidates:
            if language not in known:
                reading.other[language] += 1
        queries = {language: text for language, text in row.queries.items() if language in wanted}
        same = row.candidates is row.queries
        candidates = queries if same else {k: text for k, text in row.candidates.items() if k in wanted}
        if queries and candidates:
            yield Row(row.id, row.origin, queries, candidates)


def _first_overlap(row: Row, name: str, evaluation: Protected) -> list[Overlap]:
    for language, text in _texts(row):
        if shared := evaluation.find(language, text):
            return [Overlap(f"{name}: {row.id}", language, shared)]
    return []


def _texts(row: Row) -> Iterator[tuple[str, str]]:
    yield from row.queries.items()
    if row.candidates is not row.queries:
        yield from row.candidates.items()
