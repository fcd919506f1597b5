"""The ranks file: the ranks of all gold pairs, as Parquet of a few hundred kilobytes."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.results.ranks_layout import read_layout
from clirbench.results.schema import Document
from clirbench.support.errors import ClirbenchError, first_line

_NAMES = ("topic", "query_language", "gold_language")
_ABOVE = "query_language_above"
_GRADE = "grade"
_COLUMNS = (*_NAMES, "own_rank", "pool_rank", _ABOVE)
# Files that were made before the sixth column was counted lack it. The seventh is there if the task has grades.
_LAYOUTS = (_COLUMNS, _COLUMNS[:-1], (*_COLUMNS, _GRADE), (*_COLUMNS[:-1], _GRADE))


def encode_ranks(ranks: GoldRanks) -> bytes:
    """The bytes of a ranks file: Parquet with columns topic, query_language, gold_language, own_rank, pool_rank.

    Two more columns, query_language_above and grade, are written where ``ranks`` has them. All numbers are int32.
    """
    columns: dict[str, Any] = {
        name: pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names, pa.string()))
        for name, codes, names in (
            ("topic", ranks.topic, ranks.topics),
            ("query_language", ranks.query_language.astype(np.int8), ranks.languages),
            ("gold_language", ranks.gold_language.astype(np.int8), ranks.languages),
        )
    }
    columns["own_rank"] = pa.array(ranks.own_rank, pa.int32())
    no_pool = ranks.pool_rank is None
    columns["pool_rank"] = pa.nulls(len(ranks), pa.int32()) if no_pool else pa.array(ranks.pool_rank, pa.int32())
    if ranks.query_language_above is not None:
        columns[_ABOVE] = pa.array(ranks.query_language_above, pa.int32())
    if ranks.grade is not None:
        columns[_GRADE] = pa.array(ranks.grade.astype(np.int32), pa.int32())
    sink = BytesIO()
    # Most ranks are small. If their bytes are split, the upper bytes are runs of zeros, which compress to nearly nothing.
    pq.write_table(
        pa.table(columns),
        sink,
        compression="zstd",
        compression_level=15,
        use_dictionary=list(_NAMES),
        column_encoding={name: "BYTE_STREAM_SPLIT" for name in columns if name not in _NAMES},
        write_statistics=False,
        store_schema=False,
    )
    return sink.getvalue()


def decode_ranks(content: bytes, document: Document, path: Path) -> GoldRanks:
    """Parse the bytes of a ranks file.

    Args:
        content: The bytes of the file.
        document: The result that the ranks belong to. It states the number of rows, the languages and the settings.
        path: The file's name in error messages; the path is not opened.

    Raises:
        ClirbenchError: The content is not a ranks file, is not sorted, or does not fit the document.
    """
    try:
        layout = read_layout(content, document.ranks.rows, _NAMES, _LAYOUTS)
        table = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
        frame = {name: table.column(name).combine_chunks() for name in layout.columns}
        languages = document.task.languages
        place = {language: i for i, language in enumerate(languages)}
        topics, topic = _numbered(frame["topic"])
        pool, above, grade = frame["pool_rank"], frame.get(_ABOVE), frame.get(_GRADE)
        for name in ("own_rank", _ABOVE, _GRADE):
            if name in frame and frame[name].null_count:
                raise ValueError(f"a value of {name} is missing")
        for name, known in (("topic", topics), ("query_language", languages), ("gold_language", languages)):
            if len(set(layout.dictionaries[name]) & set(known)) != len(layout.dictionaries[name]):
                raise ValueError(f"{name} numbers texts that no row has")
        ranks = GoldRanks(
            topics=topics,
            languages=tuple(languages),
            topic=topic,
            query_language=_codes(frame["query_language"], place),
            gold_language=_codes(frame["gold_language"], place),
            own_rank=_int32(frame["own_rank"]),
            pool_rank=None if pool.null_count else _int32(pool),
            query_language_above=None if above is None else _int32(above),
            grade=None if grade is None else _grades(_int32(grade)),
        )
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise ClirbenchError(f"{path}: not a ranks file ({first_line(error)}): run the model again") from error
    if not len(ranks) or ranks.own_rank.min() < 1 or (ranks.pool_rank is not None and ranks.pool_rank.min() < 1):
        raise ClirbenchError(f"{path}: has no rows, or ranks below 1: run the model again")
    if (ranks.pool_rank is not None) != ("multilingual" in document.task.settings) or 0 < pool.null_count < len(ranks):
        raise ClirbenchError(f"{path}: 'pool_rank' does not fit the settings of the result: run the model again")
    if (ranks.grade is not None) != document.graded:
        has = "without grades" if ranks.grade is None else "with grades"
        raise ClirbenchError(
            f"{path}: 'format' is wrong ({document.format}, and the ranks are {has}): run the model again"
        )
    counted = ranks.query_language_above
    if counted is not None and (ranks.pool_rank is None or counted.min() < 0):
        raise ClirbenchError(f"{path}: '{_ABOVE}' is below 0, or stands without 'pool_rank': run the model again")
    pair = (ranks.topic.astype(np.int64) * len(languages) + ranks.query_language) * len(languages) + ranks.gold_language
    if len(ranks) != document.ranks.rows or (np.diff(pair << 32 | ranks.own_rank) < 0).any():
        raise ClirbenchError(f"{path}: rows are missing or not sorted as written: run the model again")
    return ranks


def _int32(column: pa.Array) -> NDArray[np.int32]:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.int32)


def _grades(numbers: NDArray[np.int32]) -> NDArray[np.int8]:
    if numbers.min(initial=1) < 1 or numbers.max(initial=1) > np.iinfo(np.int8).max:
        raise ValueError("a grade is not from 1 to 127")
    return numbers.astype(np.int8)


def _numbered(column: pa.Array) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """The distinct texts of a column in order of first appearance, and for each row the index of its text, int32 (rows,)."""
    encoded = column.cast(pa.string()).dictionary_encode()
    if column.null_count:
        raise ValueError("a name is missing")
    return tuple(encoded.dictionary.to_pylist()), np.asarray(encoded.indices.to_numpy(), dtype=np.int32)


def _codes(column: pa.Array, place: dict[str, int]) -> NDArray[np.int32]:
    """The index of each row's language in the document's list, int32 (rows,)."""
    names, codes = _numbered(column)
    return np.array([place[name] for name in names], dtype=np.int32)[codes]
