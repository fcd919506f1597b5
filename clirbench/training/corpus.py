"""The training data in memory: every distinct text once, and the table of pairs from which batches are drawn."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    """The rows of one source, as indices into the corpus's texts: int32 (rows, languages), -1 where a row lacks the language."""

    part: TrainingSource
    queries: NDArray[np.int32]
    candidates: NDArray[np.int32]


@dataclass(frozen=True)
class Corpus:
    """All training texts, and the rows that contain them.

    Attributes:
        languages: The recipe's languages, in the order of the columns of each source.
        texts: The distinct texts.
        sources: The rows of each source of the recipe.
        rows: Number of rows that are kept, by file.
        dropped: Number of rows that were left out because they hold text of the dev task, by file.
        overlaps: Rows that hold evaluation text, whether they are kept or left out.
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
        """Indices of the distinct candidate texts in one language, int32, ascending. Lexicon entries are left out.

        ``language`` is an index into ``languages``.
        """
        columns = [source.candidates[:, language] for source in self.sources if source.part.view != "entries"]
        texts = np.unique(np.concatenate(columns)) if columns else np.zeros(0, dtype=np.int32)
        return texts[texts >= 0]

    def covered(self) -> dict[str, int]:
        """Number of rows that have a candidate in each language, over all sources."""
        present = sum((source.candidates >= 0).sum(axis=0) for source in self.sources)
        return dict(zip(self.languages, np.asarray(present).tolist(), strict=True))


def read_corpus(
    recipe: Recipe,
    folders: Sequence[Path],
    dev: Protected | None = None,
    evaluation: Protected | None = None,
    advance: Callable[[int], None] | None = None,
) -> Corpus:
    """Read every source of a recipe, each file from the first folder that has it. No step is random.

    A row that holds text of the dev task is left out and counted. A row that holds text of an evaluation task is listed in
    ``overlaps``. It is left out too if the recipe's ``overlapping_rows`` is ``drop``. ``advance`` is called with 1 after each
    file.

    Raises:
        ClirbenchError: A file is missing or wrong, or a source has no row in any of the languages.
    """
    texts: dict[str, int] = {}
    rows, dropped, other = Counter[str](), Counter[str](), Counter[str]()
    overlaps: list[Overlap] = []
    sources = []

    def places(row_texts: Mapping[str, str]) -> list[int]:
        # A new text gets the next index.
        return [texts.setdefault(row_texts[x], len(texts)) if row_texts.get(x) else -1 for x in recipe.languages]

    for part in recipe.source:
        queries: list[list[int]] = []
        candidates: list[list[int]] = []
        for name in part.files:
            for row in _wanted_rows(part, resolve(name, folders), recipe.languages, other):
                if dev is not None and _first_overlap(row, name, dev):
                    dropped[name] += 1
                    continue
                if evaluation is not None and (overlap := _first_overlap(row, name, evaluation)):
                    overlaps.append(overlap)
                    if recipe.overlapping_rows == "drop":
                        continue
                rows[name] += 1
                queries.append(places(row.queries))
                candidates.append(queries[-1] if row.candidates is row.queries else places(row.candidates))
            if advance:
                advance(1)
        if not queries:
            raise ClirbenchError(f"source '{part.name}' has no row in {', '.join(recipe.languages)}: check its files")
        sources.append(SourceTexts(part, np.array(queries, dtype=np.int32), np.array(candidates, dtype=np.int32)))
    return Corpus(recipe.languages, list(texts), tuple(sources), rows, dropped, overlaps, dict(other))


def _wanted_rows(
    part: TrainingSource, place: str | Path, languages: Sequence[str], other: Counter[str]
) -> Iterator[Row]:
    """The rows of one file, with the texts in the recipe's languages. Texts in other languages are counted in ``other``."""
    wanted = set(languages) - set(part.without_languages)
    for row in read_rows(place, part.view):
        if part.without_origins and row.origin.startswith(part.without_origins):
            continue
        other.update(language for language in row.candidates if language not in languages)
        queries = {language: text for language, text in row.queries.items() if language in wanted}
        same = row.candidates is row.queries
        candidates = queries if same else {k: text for k, text in row.candidates.items() if k in wanted}
        if queries and candidates:
            yield Row(row.id, row.origin, queries, candidates)


def _first_overlap(row: Row, name: str, protected: Protected) -> Overlap | None:
    """The first protected text that a row holds."""
    # A text that is both query and candidate is searched once.
    others = () if row.candidates is row.queries else row.candidates.items()
    for language, text in (*row.queries.items(), *others):
        if shared := protected.find(language, text):
            return Overlap(f"{name}: {row.id}", language, shared)
    return None


def pair_table(corpus: Corpus, *, monolingual: bool, cross_lingual: bool) -> pa.Table:
    """All pairs of a query and a candidate of one row, sorted by source, query language and candidate language.

    Pairs of a kind come from the sources that have a weight for batches of this kind. The columns are ``query`` and ``candidate``
    (int32, indices into the corpus's texts), ``query_language`` and ``candidate_language`` (int8, indices into its languages),
    ``topic`` (int32, number of the row) and ``source`` (int16, number of the source).
    """
    parts: list[tuple[NDArray[Any], ...]] = []
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
            parts.append(columns)
        first_topic += len(source.queries)
    arrays = [np.concatenate(column) for column in zip(*parts, strict=True)] or [np.zeros(0, dtype=np.int32)] * len(
        _COLUMNS
    )
    return pa.table(dict(zip(_COLUMNS, map(pa.array, arrays), strict=True)))


def pair_dataset(table: pa.Table, side: Callable[[NDArray[np.int32]], list[Any]] | None = None) -> Dataset:
    """A data set over a table of pairs, for a trainer.

    With ``side``, rows read as ``{"query": ..., "candidate": ...}``: it turns indices of texts into what the library's collator
    needs, the texts, and is called only when rows are read. Without it, rows read as the numbers ``query``, ``candidate`` and
    ``topic``.
    """

    def look_up(rows: dict[str, list[int]]) -> dict[str, list[Any]]:
        return {
            column: side(np.asarray(numbers, dtype=np.int32)) if side else numbers for column, numbers in rows.items()
        }

    # Without a fingerprint, the library would make one of all rows, which takes long; nothing is cached by it here.
    dataset = Dataset(InMemoryTable(table), fingerprint="pairs")
    dataset.set_transform(look_up, columns=["query", "candidate", *([] if side else ["topic"])])
    return dataset
