"""The table of training pairs: who may be drawn, in which languages, from which source."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from datasets.table import InMemoryTable
from numpy.typing import NDArray

from clirbench.training.corpus import Corpus

COLUMNS = ("query", "candidate", "query_language", "candidate_language", "topic", "source")
SIDES = ("query", "candidate")


def pair_table(corpus: Corpus, *, monolingual: bool, cross_lingual: bool) -> pa.Table:
    """Every pair of a query and a candidate of one row, as indices.

    Args:
        corpus: What was read.
        monolingual: Whether to take the pairs in one language, of sources with a weight there.
        cross_lingual: Whether to take the pairs in two languages, likewise.

    Returns:
        Columns ``query`` and ``candidate`` (int32, into the corpus's texts), ``query_language`` and
        ``candidate_language`` (int8, into
        its languages), ``topic`` (int32, one per row of the corpus) and ``source`` (int16), sorted by source and languages.
    """
    parts: list[list[NDArray[Any]]] = [[] for _ in COLUMNS]
    first_topic = 0
    for number, source in enumerate(corpus.sources):
        rows = len(source.queries)
        for q in range(len(corpus.languages)):
            for c in range(len(corpus.languages)):
                wanted = (
                    monolingual and source.part.monolingual > 0
                    if q == c
                    else cross_lingual and source.part.cross_lingual > 0
                )
                found = (
                    np.flatnonzero((source.queries[:, q] >= 0) & (source.candidates[:, c] >= 0))
                    if wanted
                    else np.zeros(0, dtype=np.intp)
                )
                if len(found):
                    size = len(found)
                    columns = (
                        source.queries[found, q],
                        source.candidates[found, c],
                        np.full(size, q, dtype=np.int8),
                        np.full(size, c, dtype=np.int8),
                        (first_topic + found).astype(np.int32),
                        np.full(size, number, dtype=np.int16),
                    )
                    for part, column in zip(parts, columns, strict=True):
                        part.append(column)
        first_topic += rows
    arrays = [np.concatenate(part) if part else np.zeros(0, dtype=np.int32) for part in parts]
    return pa.table(dict(zip(COLUMNS, map(pa.array, arrays), strict=True)))


def pair_dataset(table: pa.Table, side: Callable[[NDArray[np.int32]], list[Any]]) -> Dataset:
    """A data set over the table that looks its two sides up when rows are read.

    Args:
        table: What :func:`pair_table` gave.
        side: Text indices to what the collator wants of each, such as the texts.

    Returns:
        A data set whose rows read as ``{"query": ..., "candidate": ...}``; its own columns are those of the table.
    """

    def look_up(rows: dict[str, list[int]]) -> dict[str, list[Any]]:
        return {column: side(np.asarray(rows[column], dtype=np.int32)) for column in SIDES}

    dataset = Dataset(InMemoryTable(table))
    dataset.set_transform(look_up, columns=list(SIDES))
    return dataset
