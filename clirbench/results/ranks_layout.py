"""Where each byte of a ranks file belongs. What clirbench writes is a small part of Parquet, and nothing else is read.

A reader of Parquet passes over what it does not need: bytes between pages, key-value metadata, statistics, indexes, encrypted
columns, further frames in a compressed page. So a file can hold more than its ranks, and two readers can see two things in it.
Here every byte belongs to a page of a known column or to the footer, and every field of page headers and footer is one that
pyarrow 17 or later writes for a ranks file. Field numbers are those of ``parquet.thrift``, format 2.12, in Thrift's compact
protocol.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_MAGIC = b"PAR1"
# The footer of seven columns takes 750 bytes.
_FOOTER, _PAGE_HEADER, _DEPTH = 4_000, 100, 8
# Limits of the expanded size: twice the seven columns of four bytes per row, and spare bytes for the names of topics.
_ROW_BYTES, _SPARE_BYTES = 56, 1_000_000
_WRITER = re.compile(rb"parquet-cpp-arrow version [0-9]{1,4}(\.[0-9]{1,4}){1,3}(-SNAPSHOT)?")
_TYPES = ("BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
_INT32, _TEXT = 1, 6
_ZSTD = 6
_PLAIN, _RLE, _RLE_DICTIONARY, _BYTE_STREAM_SPLIT = 0, 3, 8, 9
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
# Columns of texts that are kept: all submissions on a task have the same. Larger ones are read each time.
_KEPT, _KEPT_BYTES, _KEPT_ROWS = 16, 1_000_000, 2**19
Codes = NDArray[np.int32]


@dataclass(frozen=True)
class Texts:
    """A column of texts: ``codes`` has the place of each row's text in ``texts``, int32 (rows,).

    ``texts`` has the column's dictionary, which is ``dictionary``, and then the texts that are written out in rows.
    """

    dictionary: tuple[str, ...]
    texts: tuple[str, ...]
    codes: Codes

    @cached_property
    def numbered(self) -> tuple[tuple[str, ...], Codes]:
        """The distinct texts in order of first appearance, and for each row the place of its text, int32 (rows,)."""
        # A dictionary may have a text twice, or texts in another order than rows have them.
        number = {text: i for i, text in enumerate(dict.fromkeys(self.texts))}
        rows = np.array([number[text] for text in self.texts], dtype=np.int32)[self.codes]
        # Of repeated places, the last assignment stays: from the end to the start, that is the first appearance.
        first = np.full(len(number), len(rows))
        first[rows[::-1]] = np.arange(len(rows))[::-1]
        order = np.argsort(first, kind="stable")[: int((first < len(rows)).sum())]
        place = np.empty(len(number), dtype=np.int32)
        place[order] = np.arange(len(order))
        names, numbers = list(number), place[rows]
        numbers.flags.writeable = False
        return tuple(names[i] for i in order), numbers


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: the values of the rows that have one, int32 (values,), and how many rows have none."""

    values: NDArray[np.int32]
    missing: int


@dataclass(frozen=True)
class Layout:
    """The content of a ranks file whose layout is right.

    Attributes:
        columns: The names of the columns, in their order.
        texts: The columns of texts, by name.
        numbers: The other columns, by name.
    """

    columns: tuple[str, ...]
    texts: dict[str, Texts]
    numbers: dict[str, Numbers]


def read_layout(content: bytes, rows: int, texts: Collection[str], allowed: Sequence[tuple[str, ...]]) -> Layout:
    """Account for every byte of a ranks file.

    Args:
        content: The bytes of the file.
        rows: How many rows it must have.
        texts: The columns of texts. All others are of int32.
        allowed: The columns that it may have, in their order.

    Raises:
        ValueError: Something in the file is not as clirbench writes it; the message says what.
        OSError: A compressed page is damaged.
    """
    size = int.from_bytes(content[-8:-4], "little")
    if len(content) < 12 or content[:4] != _MAGIC or content[-4:] != _MAGIC or size > len(content) - 12:
        raise ValueError("it does not begin and end as Parquet does")
    if size > _FOOTER:
        raise ValueError(f"its footer has {size:,} bytes, and clirbench writes less than {_FOOTER:,}")
    end = len(content) - 8 - size
    footer, read = _struct(content[end:-8], 0)
    if read != size:
        raise ValueError(f"its footer ends with {size - read:,} bytes that say nothing")
    _fields(
        footer, "the footer", {1, 2, 3, 4, 6, 7}, refused={5: "key-value metadata", 8: "encryption", 9: "a signature"}
    )
    if footer[3] != rows:
        raise ValueError(f"{footer[3]:,} rows, but 'ranks.rows' is {rows:,}")
    columns = _columns(footer[2], texts, allowed)
    groups = footer[4]
    if len(groups) != 1:
        raise ValueError(f"it has {len(groups):,} row groups, and clirbench writes one")
    _same(footer[1], 2, "the version")
    _same(footer[7], [{1: {}}] * len(columns), "the order of values")
    if not _WRITER.fullmatch(footer[6]):
        raise ValueError("it was not written by pyarrow")
    return _chunks(content[:end], groups[0], columns, texts, rows)


def _columns(
    schema: list[dict[int, Any]], texts: Collection[str], allowed: Sequence[tuple[str, ...]]
) -> tuple[str, ...]:
    """The names of the columns, after a check of their types."""
    for element in schema:
        _fields(element, "the schema", {4}, range(1, 11))
    names = [element[4] for element in schema[1:]]
    columns = next((known for known in allowed if names == [name.encode() for name in known]), None)
    if columns is None:
        raise ValueError(f"columns are not {', '.join(allowed[0])}")
    _same(schema[0], {3: 0, 4: b"schema", 5: len(columns)}, "the schema")
    for name, element in zip(columns, schema[1:], strict=True):
        kind = _TEXT if name in texts else _INT32
        # Texts are UTF-8, and all columns may hold nulls.
        expected = {1: kind, 3: 1, 4: name.encode(), **({6: 0, 10: {1: {}}} if name in texts else {})}
        if element != expected:
            stated = element.get(1, -1)
            told = _TYPES[stated] if 0 <= stated < len(_TYPES) else "a group"
            more = " with an annotation" if stated == kind else ""
            raise ValueError(f"column {name} is {told}{more}, and clirbench writes {_TYPES[kind]}")
    return columns


def _chunks(body: bytes, group: dict[int, Any], columns: Sequence[str], texts: Collection[str], rows: int) -> Layout:
    """Account for the bytes between the first four and the footer: the pages of the columns, one column after another."""
    _fields(group, "the row group", {1, 2, 3}, {5, 6, 7})
    _same(len(group[1]), len(columns), "the number of columns")
    position, expanded, compressed = len(_MAGIC), 0, 0
    texts_of: dict[str, Texts] = {}
    numbers: dict[str, Numbers] = {}
    for name, chunk in zip(columns, group[1], strict=True):
        start = position
        _fields(chunk, name, {2, 3}, refused={4: "a page index", 6: "a page index", 8: "encryption", 9: "encryption"})
        refused = {8: "key-value metadata", 10: "an index", 12: "statistics", 14: "a bloom filter"}
        stated = chunk[3]
        _fields(stated, name, {1, 2, 3, 4, 5, 6, 7, 9}, {11, 13, 16}, refused)
        position = max(start, start + stated[7])
        if position > len(body):
            raise ValueError("the header of a page is cut: the file ends before it")
        pages = _pages_of(body[start:position], name, name in texts, rows)
        described = {1: _TEXT if name in texts else _INT32, 3: [name.encode()], 4: _ZSTD, 5: rows, 6: pages.expanded}
        described |= {7: position - start, 9: start + pages.first_data}
        compressed += position - start
        # Pyarrow before version 19 repeats the description after the pages, and says where; newer ones say 0.
        if chunk[2]:
            _same(chunk[2], position, f"the place of {name}")
            repeated, position = _struct(body, position)
            _same(repeated, chunk, f"the repeated description of {name}")
        _same({key: stated[key] for key in described}, described, f"the description of {name}")
        _same(stated.get(11), start if name in texts else None, f"the dictionary of {name}")
        encodings = {_PLAIN, _RLE, _RLE_DICTIONARY} if name in texts else {_RLE, _BYTE_STREAM_SPLIT}
        _same(len(stated[2]) == len(encodings) and set(stated[2]) == encodings, True, f"the encodings of {name}")
        _statistics_of_size(stated, name, pages.count, rows)
        expanded += pages.expanded
        if isinstance(pages.content, Texts):
            texts_of[name] = pages.content
        else:
            numbers[name] = pages.content
    if position != len(body):
        raise ValueError(f"{len(body) - position:,} bytes belong to no column")
    sizes = {2: expanded, 3: rows, 5: len(_MAGIC), 6: compressed, 7: 0}
    _same(group, {key: sizes.get(key, group[1]) for key in group}, "the row group")
    return Layout(tuple(columns), texts_of, numbers)


def _statistics_of_size(stated: dict[int, Any], name: str, pages: int, rows: int) -> None:
    """Check the numbers of pages by encoding, and the histogram of nulls, which some versions of pyarrow write."""
    for entry in stated.get(13, []):
        _fields(entry, name, {1, 2, 3})
        _same(
            0 <= min(entry.values()) <= max(entry.values()) <= max(pages, _BYTE_STREAM_SPLIT), True, f"pages of {name}"
        )
    _same(len(stated.get(13, [])) <= 3, True, f"the pages of {name}")
    if 16 in stated:
        _fields(stated[16], name, {2, 3}, {1})
        _same((stated[16][2], sum(stated[16][3])), ([], rows), f"the nulls of {name}")
        _same(len(stated[16][3]), 2, f"the nulls of {name}")


@dataclass(frozen=True)
class _Chunk:
    """What the pages of one column hold: their number, their expanded size, where the first page of rows begins, the content."""

    count: int
    expanded: int
    first_data: int
    content: Texts | Numbers


def _pages_of(chunk: bytes, name: str, is_text: bool, rows: int) -> _Chunk:
    """Read the pages of one column, which must take all bytes of ``chunk``."""
    if is_text and len(chunk) <= _KEPT_BYTES and rows <= _KEPT_ROWS:
        return _kept_texts(chunk, name, rows)
    return _Pages(chunk, name, is_text, rows).read()


# Nothing but its arguments decides what this returns, and a chunk is found again only if all of its bytes are the same.
@lru_cache(maxsize=_KEPT)
def _kept_texts(chunk: bytes, name: str, rows: int) -> _Chunk:
    return _Pages(chunk, name, True, rows).read()


class _Pages:
    """The pages of one column, as they are read."""

    def __init__(self, body: bytes, name: str, is_text: bool, rows: int) -> None:
        self.body, self.name, self.is_text, self.rows = body, name, is_text, rows
        self.count = self.expanded = self.missing = 0
        self.dictionary: list[str] = []
        # Texts that are written out come after those of the dictionary.
        self.more: list[str] = []
        self.pieces: list[NDArray[np.int32]] = []

    def read(self) -> _Chunk:
        """Read the pages; the last one must end where the bytes end."""
        position, values, end = 0, 0, len(self.body)
        if self.is_text:
            position = self._page(position, end, first=True)[0]
        first_data = position
        while position < end:
            position, here = self._page(position, end, first=False)
            values += here
        if position != end or values != self.rows:
            raise ValueError(f"the pages of {self.name} hold {values:,} values in {position:,} bytes")
        rows = np.concatenate(self.pieces) if self.pieces else np.empty(0, dtype=np.int32)
        rows.flags.writeable = False
        content: Texts | Numbers = Numbers(rows, self.missing)
        if self.is_text:
            content = Texts(tuple(self.dictionary), (*self.dictionary, *self.more), rows)
        return _Chunk(self.count, self.expanded, first_data, content)

    def _page(self, position: int, end: int, first: bool) -> tuple[int, int]:
        """Check one page; the position after it, and how many values it has. The ``first`` one of texts is their dictionary."""
        header, size = _struct(self.body[position : min(end, position + _PAGE_HEADER)], 0)
        refused = {4: "a checksum", 6: "an index page", 8: "a data page of version 2"}
        _fields(header, f"a page of {self.name}", {1, 2, 3, 7 if first else 5}, refused=refused)
        kind = _DICTIONARY_PAGE if first else _DATA_PAGE
        _same(header[1], kind, f"the kind of a page of {self.name}")
        expanded, begin = header[2], position + size
        stop = begin + header[3]
        if not (0 <= expanded <= _ROW_BYTES * self.rows + _SPARE_BYTES - self.expanded) or not begin <= stop <= end:
            raise ValueError(f"its columns expand far beyond what so many rows need, at {self.name}")
        packed = self.body[begin:stop]
        _one_frame(packed, self.name)
        page = pa.Codec("zstd").decompress(packed, expanded, asbytes=True)
        self.count += 1
        self.expanded += size + expanded
        described = header[7 if first else 5]
        if first:
            _fields(described, f"the dictionary of {self.name}", {1, 2}, {3})
            _same((described[2], described.get(3, False)), (_PLAIN, False), f"the dictionary of {self.name}")
            self.dictionary = list(_texts(page, described[1], self.name))
            return stop, 0
        self._data_page(described, page)
        return stop, described[1]

    def _data_page(self, described: dict[int, Any], page: bytes) -> None:
        """Check that the content of a page has the length that its values take."""
        _fields(described, f"a page of {self.name}", {1, 2, 3, 4}, {5})
        _same((described[3], described[4], described.get(5, {})), (_RLE, _RLE, {}), f"a page of {self.name}")
        values, encoding = described[1], described[2]
        if not 0 < values <= self.rows:
            raise ValueError(f"a page of {self.name} has {values:,} values")
        # Whether each value is there: one run, of 1 for "all" or 0 for "none".
        run = _varint_bytes(values << 1)
        whole, none = ((len(run) + 1).to_bytes(4, "little") + run + flag for flag in (b"\x01", b"\x00"))
        rest = page[len(whole) :]
        if page.startswith(none) and not self.is_text:
            _same((encoding, len(rest)), (_BYTE_STREAM_SPLIT, 0), f"a page of {self.name}")
            self.missing += values
        elif not page.startswith(whole):
            raise ValueError(f"a value of {self.name} is missing")
        elif not self.is_text:
            _same((encoding, len(rest)), (_BYTE_STREAM_SPLIT, 4 * values), f"a page of {self.name}")
            # The lowest bytes of all values stand first, then the next ones.
            split = np.frombuffer(rest, dtype=np.uint8).reshape(4, values)
            numbers = split[0].astype(np.uint32)
            for place in (1, 2, 3):
                # Most ranks are small.
                if split[place].any():
                    numbers |= split[place].astype(np.uint32) << np.uint32(8 * place)
            self.pieces.append(numbers.view(np.int32))
        elif encoding == _PLAIN:
            # Pyarrow goes over to this encoding when a dictionary grows beyond a megabyte.
            begin = len(self.dictionary) + len(self.more)
            self.more += _texts(rest, values, self.name)
            self.pieces.append(np.arange(begin, begin + values, dtype=np.int32))
        else:
            _same(encoding, _RLE_DICTIONARY, f"the encoding of {self.name}")
            self.pieces.append(_numbers(rest, values, self.name, len(self.dictionary)))


def _texts(page: bytes, count: int, name: str) -> Iterator[str]:
    """The texts of a page, each after its length; the last one must end the page."""
    position = 0
    for _ in range(count):
        start = position + 4
        position = start + int.from_bytes(page[position:start], "little")
        if position > len(page):
            raise ValueError(f"a text of {name} is cut")
        yield page[start:position].decode()
    if position != len(page):
        raise ValueError(f"{len(page) - position:,} bytes follow the texts of {name}")


def _numbers(page: bytes, count: int, name: str, known: int) -> NDArray[np.int32]:
    """The numbers of texts of a page, int32 (count,), each below ``known``.

    A page is the width of a number in bits, then runs of one number, or of groups of eight. They must fill the page exactly.
    """
    width = page[0] if page else 255
    if width > 32:
        raise ValueError(f"a page of {name} is damaged")
    position, held = 1, 0
    runs = []
    while held < count:
        # Most heads are one byte.
        if position < len(page) and page[position] < 128:
            head, position = page[position], position + 1
        else:
            head, position = _varint(page, position)
        length = head >> 1
        # A run without values could hold anything.
        if not length or held + (8 * (length - 1) if head & 1 else length - 1) >= count:
            raise ValueError(f"a page of {name} has numbers that belong to no row")
        runs.append((head & 1, length, position, held))
        position += length * width if head & 1 else -(-width // 8)
        held += 8 * length if head & 1 else length
    if position != len(page):
        raise ValueError(f"{len(page) - position:,} bytes follow the numbers of {name}")
    numbers, powers = np.empty(held, dtype=np.int64), 1 << np.arange(width)
    for in_groups, length, begin, place in runs:
        if in_groups:
            bits = np.unpackbits(np.frombuffer(page, np.uint8, length * width, begin), bitorder="little")
            numbers[place : place + 8 * length] = bits.reshape(8 * length, width) @ powers
        else:
            numbers[place : place + length] = int.from_bytes(page[begin : begin - (-width // 8)], "little")
    if count and numbers[:count].max() >= known:
        raise ValueError(f"a page of {name} has the number of no text")
    return numbers[:count].astype(np.int32)


def _one_frame(packed: bytes, name: str) -> None:
    """Check that compressed bytes are one frame of Zstandard (RFC 8878, section 3.1.1), with nothing before or after it."""
    head = packed[4] if len(packed) > 4 else 0
    # Neither reserved bits nor a number of a dictionary.
    if packed[:4] != b"\x28\xb5\x2f\xfd" or head & 0b00001011:
        raise ValueError(f"a page of {name} is not compressed with zstd")
    single, checksum = bool(head & 0b00100000), bool(head & 0b00000100)
    position = 5 + (not single) + (1 if single and head < 64 else (0, 2, 4, 8)[head >> 6])
    last = False
    while not last:
        block = int.from_bytes(packed[position : position + 3], "little")
        last, kind, size = bool(block & 1), block >> 1 & 3, block >> 3
        if position + 3 > len(packed) or kind == 3 or (kind == 1 and not size):
            raise ValueError(f"a page of {name} is damaged")
        position += 3 + (1 if kind == 1 else size)
    if position + 4 * checksum != len(packed):
        raise ValueError(f"a page of {name} has {len(packed) - position:,} bytes after its content")


def _same(stated: object, expected: object, what: str) -> None:
    if stated != expected or type(stated) is not type(expected):
        raise ValueError(f"{what} is not as clirbench writes it")


def _fields(
    struct: object,
    what: str,
    required: set[int],
    optional: Collection[int] = (),
    refused: dict[int, str] | None = None,
) -> None:
    """Check which fields a Thrift struct has; ``refused`` names some of those that it must not have."""
    if not isinstance(struct, dict):
        raise ValueError(f"{what} is not as clirbench writes it")
    more = sorted(struct.keys() - required - set(optional))
    if more:
        told = (refused or {}).get(more[0], f"a field {more[0]}")
        raise ValueError(f"{what} has {told}, which clirbench does not write")
    if required - struct.keys():
        raise ValueError(f"{what} lacks a field")


def _varint_bytes(number: int) -> bytes:
    """A number in groups of seven bits, the lowest first."""
    groups = [number >> shift & 127 for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """The number at a position, and the position after it."""
    number = shift = 0
    while True:
        if position >= len(content):
            raise ValueError("a number is cut")
        byte = content[position]
        number |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            # A last group of 0 says nothing.
            if shift > 70 or (shift > 7 and not byte):
                raise ValueError("a number is written longer than it is")
            return number, position


def _struct(content: bytes, position: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """A Thrift struct at a position, its values by field number, and the position after it.

    Raises:
        ValueError: It is cut, nested too deep, or has a type of value that no ranks file has.
    """
    if depth > _DEPTH:
        raise ValueError("the footer is nested too deep")
    fields: dict[int, Any] = {}
    number = 0
    try:
        while head := content[position]:
            # Fields stand in the order of their numbers, so none is there twice.
            if not head >> 4:
                raise ValueError("the fields of the footer are out of order")
            number += head >> 4
            fields[number], position = _value(content, position + 1, head & 15, depth)
    except IndexError:
        raise ValueError("the footer or the header of a page is cut") from None
    return fields, position + 1


def _value(content: bytes, position: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return kind == 1, position
    if kind == 3:
        return content[position], position + 1
    if kind in (4, 5, 6):
        number, position = _varint(content, position)
        return number >> 1 ^ -(number & 1), position
    if kind == 8:
        length, position = _varint(content, position)
        if position + length > len(content):
            raise IndexError
        return content[position : position + length], position + length
    if kind == 9:
        head = content[position]
        # Values of yes and no would take no bytes in a list, so it could have any number of them.
        if depth > _DEPTH or head & 15 in (1, 2):
            raise ValueError("the footer holds a list that clirbench does not write")
        length, position = (head >> 4, position + 1) if head >> 4 < 15 else _varint(content, position + 1)
        items = []
        for _ in range(length):
            item, position = _value(content, position, head & 15, depth + 1)
            items.append(item)
        return items, position
    if kind == 12:
        return _struct(content, position, depth + 1)
    raise ValueError("the footer holds a value of a type that clirbench does not write")
