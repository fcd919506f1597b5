"""The training data in memory: every distinct text once, and the table of pairs that batches are drawn from."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from datasets.table import InMemoryTable
from numpy.typing import NDArray

from clirbench.support.errors import ClirbenchError
from clirbench.training.overlap import Overlap, Protected
from clirbench.training.recipe import Recipe, TrainingSource
from clirbench.training.rows import Row, read_rows, resolve

_COLUMNS = ("query", "candidate", "query_language", "candidate_language", "topic", "source")


@dataclass(frozen=True)
class SourceTexts:
    """The rows of one source: which text stands where.

    Attributes:
        part: The source's table in the recipe.
        queries: int32 (rows, languages): the query's place in the corpus's texts; -1 where the row lacks the language.
        candidates: int32 (rows, languages): the candidate's place, likewise.
    """

    part: TrainingSource
    queries: NDArray[np.int32]
    candidates: NDArray[np.int32]


@dataclass(frozen=True)
class Corpus:
    """All training texts, and the rows that they stand in.

    Attributes:
        languages: The recipe's languages, in the order of the columns of each source.
        texts: The distinct texts.
        sources: One for each source of the recipe.
        rows: Number of rows that were taken, by file.
        dropped: Number of rows that were left out because they hold text of the dev task, by file.
        overlaps: Rows that hold evaluation text, whether they were taken or left out.
        other_languages: Number of texts in languages that the recipe does not name, by language.
    """

    languages: tuple[str, ...]
    texts: list[str]
    sources: tuple[SourceTexts, ...]
    rows: dict[str, int]
    dropped: dict[str, int]
    overlaps: list[Overlap]
    other_languages: dict[str, int]

    def running_texts(self, language: int) -> NDArray[np.int32]:
        """Places of the distinct candidate texts in one language, int32, ascending. Lexicon entries are left out.

        ``language`` is the place of the language in ``languages``.
        """
        columns = [source.candidates[:, language] for source in self.sources if source.part.view != "entries"]
        texts = np.unique(np.concatenate(columns)) if columns else np.zeros(0, dtype=np.int32)
        return texts[texts >= 0]

    def covered(self) -> dict[str, int]:
        """Number of rows that have a candidate in each language, over all sources."""
        present = sum((source.candidates >= 0).sum(axis=0) for source in self.sources)
        return dict(zip(self.languages, np.asarray(present).tolist(), strict=True))


@dataclass
class _Reading:
    """What is known while the sources are read; it becomes the corpus."""

    languages: tuple[str, ...]
    texts: dict[str, int] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    overlaps: list[Overlap] = field(default_factory=list)
    other: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)

    def places(self, texts: Mapping[str, str]) -> list[int]:
        """Places of a row's texts, one for each language; a new text gets the next place."""
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
    """Read every source of a recipe. No step is random.

    Args:
        recipe: Which files, which views, which languages.
        folders: Where the files are looked for; the first folder that has a file wins.
        dev: Texts of the dev task. A row that holds one of them is left out and counted.
        evaluation: Texts of the evaluation tasks. A row that holds one of them is listed in ``overlaps``; it is left out where
            the recipe's ``overlapping_rows`` is ``drop``.
        advance: Called with 1 after each file.

    Returns:
        The corpus.

    Raises:
        ClirbenchError: A file is missing or wrong, or a source has no row in any of the languages.
    """
    reading = _Reading(recipe.languages)
    sources = []
    for part in recipe.source:
        queries: list[list[int]] = []
        candidates: list[list[int]] = []
        for name in part.files:
            for row in _wanted_rows(part, name, folders, reading):
                if dev is not None and any(dev.find(language, text) for language, text in _texts(row)):
                    reading.dropped[name] += 1
                    continue
                if evaluation is not None and (overlaps := _first_overlap(row, name, evaluation)):
                    reading.overlaps.extend(overlaps)
                    if recipe.overlapping_rows == "drop":
                        continue
                reading.rows[name] += 1
                queries.append(reading.places(row.queries))
                same = row.candidates is row.queries
                candidates.append(queries[-1] if same else reading.places(row.candidates))
            if advance:
                advance(1)
        if not queries:
            raise ClirbenchError(f"source '{part.name}' has no row in {', '.join(recipe.languages)}: check its files")
        sources.append(SourceTexts(part, np.array(queries, dtype=np.int32), np.array(candidates, dtype=np.int32)))
    texts = list(reading.texts)
    return Corpus(
        recipe.languages, texts, tuple(sources), reading.rows, reading.dropped, reading.overlaps, dict(reading.other)
    )


def _wanted_rows(part: TrainingSource, name: str, folders: Sequence[Path], reading: _Reading) -> Iterator[Row]:
    """The rows of one file, with the texts that the recipe wants. Texts in languages that it does not name are counted."""
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
    """The first evaluation text that a row holds: one entry, or none."""
    for language, text in _texts(row):
        if shared := evaluation.find(language, text):
            return [Overlap(f"{name}: {row.id}", language, shared)]
    return []


def _texts(row: Row) -> Iterator[tuple[str, str]]:
    """The texts of a row with their languages; a text that is both query and candidate comes once."""
    yield from row.queries.items()
    if row.candidates is not row.queries:
        yield from row.candidates.items()


def pair_table(corpus: Corpus, *, monolingual: bool, cross_lingual: bool) -> pa.Table:
    """Every pair of a query and a candidate of one row.

    Args:
        corpus: The training data.
        monolingual: Take pairs in one language, from the sources with a weight for monolingual batches.
        cross_lingual: Take pairs in two languages, from the sources with a weight for cross-lingual batches.

    Returns:
        One row for each pair, sorted by source, query language and candidate language. Columns: ``query`` and ``candidate``
        (int32, places in the corpus's texts), ``query_language`` and ``candidate_language`` (int8, places in its languages),
        ``topic`` (int32, one number for each row of the corpus) and ``source`` (int16, its number).
    """
    parts: list[list[NDArray[Any]]] = [[] for _ in _COLUMNS]
    first_topic = 0
    for number, source in enumerate(corpus.sources):
        for q, c in product(range(len(corpus.languages)), repeat=2):
            wanted, weight = (
                (monolingual, source.part.monolingual) if q == c else (cross_lingual, source.part.cross_lingual)
            )
            if not wanted or weight == 0:
                continue
            rows = np.flatnonzero((source.queries[:, q] >= 0) & (source.candidates[:, c] >= 0))
            columns = (
                source.queries[rows, q],
                source.candidates[rows, c],
                np.full(len(rows), q, dtype=np.int8),
                np.full(len(rows), c, dtype=np.int8),
                (first_topic + rows).astype(np.int32),
                np.full(len(rows), number, dtype=np.int16),
            )
            for part, column in zip(parts, columns, strict=True):
                part.append(column)
        first_topic += len(source.queries)
    arrays = [np.concatenate(part) if part else np.zeros(0, dtype=np.int32) for part in parts]
    return pa.table(dict(zip(_COLUMNS, map(pa.array, arrays), strict=True)))


def pair_dataset(table: pa.Table, side: Callable[[NDArray[np.int32]], list[Any]]) -> Dataset:
    """A data set over a table of pairs. It looks up the query and the candidate of a row only when the row is read.

    Args:
        table: Of :func:`pair_table`.
        side: From places of texts to what the collator wants for each, such as the texts.

    Returns:
        A data set whose rows read as ``{"query": ..., "candidate": ...}``. Its own columns are those of the table.
    """

    def look_up(rows: dict[str, list[int]]) -> dict[str, list[Any]]:
        return {column: side(np.asarray(rows[column], dtype=np.int32)) for column in ("query", "candidate")}

    dataset = Dataset(InMemoryTable(table))
    dataset.set_transform(look_up, columns=["query", "candidate"])
    return dataset
