"""The ranks file: the ranks of all gold pairs, as Parquet of a few hundred kilobytes.

Rounded ranks take its compact form, which has places in the grid of :class:`clirbench.ranking.rounding.Rounding` in the place of
ranks. Each place is a small number, so the bytes of a column compress to little more than what they tell. A gold's place among
all languages follows roughly from its place in its own: each of n languages has about as many candidates above it. So
``pool_code`` is the difference from that, which is smaller still.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.ranking.rounding import Rounding
from clirbench.results.ranks_layout import Layout, Texts, read_layout
from clirbench.results.schema import Document
from clirbench.support.errors import ClirbenchError, first_line

_NAMES = ("topic", "query_language", "gold_language")
_ABOVE = "query_language_above"
_GRADE = "grade"
_COLUMNS = (*_NAMES, "own_rank", "pool_rank", _ABOVE)
_OWN_CODE, _POOL_CODE = "own_code", "pool_code"
_COMPACT = (*_NAMES, _OWN_CODE, _POOL_CODE)
_COMPACT_LAYOUTS = (_COMPACT, (*_COMPACT, _GRADE))
# Files that were made before the sixth column was counted lack it. The seventh is there if the task has grades.
_LAYOUTS = (_COLUMNS, _COLUMNS[:-1], (*_COLUMNS, _GRADE), (*_COLUMNS[:-1], _GRADE))


def encode_ranks(ranks: GoldRanks) -> bytes:
    """The bytes of a ranks file: Parquet with columns topic, query_language, gold_language, own_rank, pool_rank.

    Two more columns, query_language_above and grade, are written where ``ranks`` has them. All numbers are int32. The compact
    form of rounded ranks has own_code and pool_code in the place of the ranks.
    """
    # Reading needs no more than the layout.
    import pyarrow.parquet as pq

    # A language is a byte, or two where there are more than a byte tells apart.
    small = np.int8 if len(ranks.languages) <= np.iinfo(np.int8).max else np.int16
    columns: dict[str, Any] = {
        name: pa.DictionaryArray.from_arrays(_column(codes), _texts(names))
        for name, codes, names in (
            ("topic", ranks.topic, ranks.topics),
            ("query_language", ranks.query_language.astype(small), ranks.languages),
            ("gold_language", ranks.gold_language.astype(small), ranks.languages),
        )
    }
    own, pool = ranks.own_rank, ranks.pool_rank
    if ranks.rounding is not None:
        own, pool = _codes_of(ranks.rounding, own, pool, len(ranks.languages))
    own_name, pool_name = ("own_rank", "pool_rank") if ranks.rounding is None else (_OWN_CODE, _POOL_CODE)
    columns[own_name] = _column(own)
    columns[pool_name] = pa.nulls(len(ranks), pa.int32()) if pool is None else _column(pool)
    if ranks.query_language_above is not None:
        columns[_ABOVE] = _column(ranks.query_language_above)
    if ranks.grade is not None:
        columns[_GRADE] = _column(ranks.grade.astype(np.int32))
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
        # One row group, whatever the number of rows.
        row_group_size=max(len(ranks), 1),
    )
    return sink.getvalue()


# Pyarrow's own conversions import pandas, which takes as long as a small run. These copy nothing.
def _column(numbers: NDArray[Any]) -> pa.Array:
    kind = pa.from_numpy_dtype(numbers.dtype)
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers))])


def _texts(texts: Sequence[str]) -> pa.Array:
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))


def _codes_of(
    rounding: Rounding, own: NDArray[np.int32], pool: NDArray[np.int32] | None, languages: int
) -> tuple[NDArray[np.int32], NDArray[np.int32] | None]:
    """The columns of the compact form, int32 (rows,) each: places in the grid, and differences from what these lead to expect."""
    largest = languages * int(own.max(initial=1))
    own_code = rounding.codes(own, largest).astype(np.int32)
    if pool is None:
        return own_code, None
    largest = max(largest, int(pool.max(initial=1)))
    more = rounding.codes(pool, largest) - rounding.codes(own.astype(np.int64) * languages, largest)
    # Differences of either sign as numbers from 0: 0, -1, 1, -2, 2 and so on.
    return own_code, np.where(more < 0, -2 * more - 1, 2 * more).astype(np.int32)


def _ranks_of(
    document: Document,
    gold_language: NDArray[np.int32],
    own_code: NDArray[np.int32],
    pool_code: NDArray[np.int32] | None,
) -> tuple[Rounding, NDArray[np.int32], NDArray[np.int32] | None]:
    """The grid of a compact file, and the ranks of its two columns, int32 (rows,) each.

    Raises:
        ValueError: A value has no rank in its pool, or is not the one that clirbench writes for that rank.
    """
    assert document.compact is not None  # noqa: S101
    rounding, languages = Rounding(document.compact.exact), document.task.languages
    sizes = np.array([document.counts.candidates.get(language, 0) for language in languages], dtype=np.int64)
    total = int(sizes.sum())
    if total > np.iinfo(np.int32).max or sizes.min() < 1:
        raise ValueError("'counts.candidates' is no pool that has ranks")
    grid = rounding.grid(max(total, len(languages) * int(sizes.max())))
    if own_code.min(initial=0) < 0 or own_code.max(initial=0) >= len(grid):
        raise ValueError("a value of own_code is no place in the grid of ranks")
    own = np.minimum(grid[own_code], sizes[gold_language]).astype(np.int32)
    pool = None
    if pool_code is not None:
        expected = rounding.codes(own.astype(np.int64) * len(languages), int(grid[-1]))
        place = expected + np.where(pool_code % 2, -(pool_code // 2) - 1, pool_code // 2)
        if pool_code.min(initial=0) < 0 or place.min(initial=0) < 0 or place.max(initial=0) >= len(grid):
            raise ValueError("a value of pool_code is no place in the grid of ranks")
        pool = np.minimum(grid[place], total).astype(np.int32)
    for code, written in zip((own_code, pool_code), _codes_of(rounding, own, pool, len(languages)), strict=True):
        if code is not None and written is not None and not np.array_equal(code, written):
            raise ValueError("a rank is beyond its pool")
    return rounding, own, pool


def decode_ranks(content: bytes, document: Document, path: Path) -> GoldRanks:
    """Parse the bytes of a ranks file.

    Args:
        content: The bytes of the file.
        document: The result that the ranks belong to. It states the number of rows, the languages and the settings.
        path: The file's name in error messages; the path is not opened.

    Raises:
        ClirbenchError: The content is not a ranks file, is not sorted, or does not fit the document.
    """
    compact = document.compact is not None
    own_name, pool_name = (_OWN_CODE, _POOL_CODE) if compact else ("own_rank", "pool_rank")
    try:
        layouts = _COMPACT_LAYOUTS if compact else _LAYOUTS
        layout = read_layout(content, document.ranks.rows, _NAMES, layouts)
        languages = document.task.languages
        place = {language: i for i, language in enumerate(languages)}
        topics, topic = layout.texts["topic"].numbered
        pool, above, grade = layout.numbers[pool_name], layout.numbers.get(_ABOVE), layout.numbers.get(_GRADE)
        _check_columns(layout, own_name, pool_name, languages)
        gold_language = _codes(layout.texts["gold_language"], place)
        rounding, own_rank = None, layout.numbers[own_name].values
        pool_rank = None if pool.missing else pool.values
        if compact:
            rounding, own_rank, pool_rank = _ranks_of(document, gold_language, own_rank, pool_rank)
        ranks = GoldRanks(
            topics=topics,
            languages=tuple(languages),
            topic=topic,
            query_language=_codes(layout.texts["query_language"], place),
            gold_language=gold_language,
            own_rank=own_rank,
            pool_rank=pool_rank,
            query_language_above=None if above is None else above.values,
            grade=None if grade is None else _grades(grade.values),
            rounding=rounding,
        )
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise ClirbenchError(f"{path}: not a ranks file ({first_line(error)}): run the model again") from error
    if not len(ranks) or ranks.own_rank.min() < 1 or (ranks.pool_rank is not None and ranks.pool_rank.min() < 1):
        raise ClirbenchError(f"{path}: has no rows, or ranks below 1: run the model again")
    if (ranks.pool_rank is not None) != ("multilingual" in document.task.settings):
        raise ClirbenchError(f"{path}: '{pool_name}' does not fit the settings of the result: run the model again")
    if (ranks.grade is not None) != document.graded:
        has = "without grades" if ranks.grade is None else "with grades"
        raise ClirbenchError(
            f"{path}: 'format' is wrong ({document.format}, and the ranks are {has}): run the model again"
        )
    counted = ranks.query_language_above
    if counted is not None and (ranks.pool_rank is None or counted.min() < 0):
        raise ClirbenchError(f"{path}: '{_ABOVE}' is below 0, or stands without 'pool_rank': run the model again")
    arranged = ranks.arranged
    falls = arranged.neighbours & (ranks.own_rank[1:] < ranks.own_rank[:-1])
    if len(ranks) != document.ranks.rows or not arranged.ordered or falls.any():
        raise ClirbenchError(f"{path}: rows are missing or not sorted as written: run the model again")
    if rounding is not None and rounding != Rounding.of(int(arranged.golds.max())):
        raise ClirbenchError(f"{path}: 'compact.exact' is not that of these gold pairs: run the model again")
    return ranks


def _check_columns(layout: Layout, own_name: str, pool_name: str, languages: list[str]) -> None:
    """Refuse values that are missing, and texts that no row has: a ValueError."""
    for name in (own_name, _ABOVE, _GRADE):
        if name in layout.numbers and layout.numbers[name].missing:
            raise ValueError(f"a value of {name} is missing")
    topics = layout.texts["topic"].numbered[0]
    for name, known in (("topic", topics), ("query_language", languages), ("gold_language", languages)):
        dictionary = layout.texts[name].dictionary
        if len(set(dictionary) & set(known)) != len(dictionary):
            raise ValueError(f"{name} numbers texts that no row has")
    pool = layout.numbers[pool_name]
    if pool.missing and len(pool.values):
        raise ValueError(f"{pool.missing:,} values of {pool_name} are missing")


def _grades(numbers: NDArray[np.int32]) -> NDArray[np.int8]:
    if numbers.min(initial=1) < 1 or numbers.max(initial=1) > np.iinfo(np.int8).max:
        raise ValueError("a grade is not from 1 to 127")
    return numbers.astype(np.int8)


def _codes(column: Texts, place: dict[str, int]) -> NDArray[np.int32]:
    """The index of each row's language in the document's list, int32 (rows,)."""
    names, codes = column.numbered
    return np.array([place[name] for name in names], dtype=np.int32)[codes]
