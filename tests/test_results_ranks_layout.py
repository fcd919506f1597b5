"""The layout of ranks files: what clirbench writes is read, and nothing else, whatever it hides and wherever."""

import io
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT

import clirbench
from clirbench.ranking.gold_ranks import GoldRanks, gold_digest
from clirbench.results import ranks_layout
from clirbench.results.ranks_file import decode_ranks, encode_ranks
from clirbench.results.ranks_layout import read_layout
from clirbench.results.rescore import rescore
from clirbench.results.result import Result
from clirbench.submissions.impossible_ranks import impossible
from clirbench.support.errors import ClirbenchError

TEXTS = ("topic", "query_language", "gold_language")
COLUMNS = (*TEXTS, "own_rank", "pool_rank", "query_language_above")
FIELDS = (*COLUMNS, "topics")
PLACE = Path("x.ranks.parquet")


@pytest.fixture(scope="module")
def result():
    """A small result whose ranks file has all six columns."""
    return clirbench.evaluate("clirbench/char-ngram", "demo", languages=["de", "en", "th"])


@pytest.fixture(scope="module")
def frame(result):
    return pq.read_table(io.BytesIO(result.ranks_file)).to_pydict()


def written(columns, schema=None, **options):
    """A file with these columns, written as clirbench writes it but for ``options``."""
    types = {name: pa.string() if name in TEXTS else pa.int32() for name in columns} | (schema or {})
    table = pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})
    sink = io.BytesIO()
    settings = {
        "compression": "zstd",
        "compression_level": 15,
        "use_dictionary": [name for name in columns if name in TEXTS],
        "column_encoding": {name: "BYTE_STREAM_SPLIT" for name in columns if name not in TEXTS},
        "write_statistics": False,
        "store_schema": False,
    }
    pq.write_table(table, sink, **(settings | options))
    return sink.getvalue()


def assert_as_pyarrow_reads(content, layout):
    table = pq.read_table(io.BytesIO(content))
    for name in layout.columns:
        if name in TEXTS:
            column = layout.texts[name]
            assert [column.texts[code] for code in column.codes] == table[name].to_pylist()
            names, codes = column.numbered
            assert [names[code] for code in codes] == table[name].to_pylist()
            assert list(names) == list(dict.fromkeys(table[name].to_pylist()))
        else:
            column = layout.numbers[name]
            values = table[name].drop_null().to_pylist()
            assert (column.values.tolist(), column.missing) == (values, table[name].null_count)


def refusal(content, result):
    with pytest.raises(ClirbenchError) as error:
        decode_ranks(content, result.document, PLACE)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_written_is_read(result, frame):
    assert read_layout(result.ranks_file, len(result.ranks), TEXTS, (COLUMNS,)).columns == COLUMNS
    assert written(frame) == result.ranks_file


@pytest.mark.parametrize("rows", [1, 3, 8, 20_001, 45_000])
@pytest.mark.parametrize("pooled", [True, False])
def test_files_of_any_length_are_read(rows, pooled):
    """Pyarrow 23 and later begin a page every 20,000 rows, and a run of eight equal numbers is written in another way."""
    rng = np.random.default_rng(rows)
    topics = tuple(f"τ{i}" for i in range(-(-rows // 3)))
    number = np.arange(rows, dtype=np.int32)
    ranks = GoldRanks(
        topics, ("a", "b"), number // 3, number * 0, number % 3 % 2, number + 1,
        rng.integers(1, 10**6, rows, dtype=np.int32) if pooled else None,
        rng.integers(0, 10**6, rows, dtype=np.int32) if pooled else None,
    )  # fmt: skip
    columns = COLUMNS if pooled else COLUMNS[:-1]
    content = encode_ranks(ranks)
    layout = read_layout(content, rows, TEXTS, (COLUMNS, COLUMNS[:-1]))
    assert layout.columns == columns
    assert layout.texts["topic"].dictionary == topics
    assert_as_pyarrow_reads(content, layout)


def test_names_beyond_a_dictionary_are_read():
    """Pyarrow gives up a dictionary that grows beyond a megabyte, and then writes every text out."""
    rows = 6000
    number = np.arange(rows, dtype=np.int32)
    topics = tuple(f"{i:0190}" for i in range(rows))
    ranks = GoldRanks(topics, ("a",), number, number * 0, number * 0, number + 1, None)
    content = encode_ranks(ranks)
    layout = read_layout(content, rows, TEXTS, (COLUMNS[:-1],))
    assert layout.columns == COLUMNS[:-1]
    assert_as_pyarrow_reads(content, layout)


def test_texts_that_are_written_out_are_read(frame):
    """Pages with numbers of texts, and then pages with the texts."""
    longer = {name: [one for value in values for one in [value] * 40] for name, values in frame.items()}
    longer["topic"] = [f"{topic} {i}" for i, topic in enumerate(longer["topic"])]
    content = written(longer, dictionary_pagesize_limit=20_000, write_batch_size=100, data_page_size=2_000)
    layout = read_layout(content, len(longer["topic"]), TEXTS, (COLUMNS,))
    column = layout.texts["topic"]
    assert 0 < len(column.dictionary) < len(column.texts) == len(longer["topic"])
    assert_as_pyarrow_reads(content, layout)


@pytest.mark.parametrize("distinct", [1, 2, 3, 9, 300])
def test_numbers_of_texts_are_those_that_pyarrow_reads(distinct):
    """Long and short runs of one number, in numbers of no bits to nine."""
    rng = np.random.default_rng(distinct)
    lengths = rng.choice([1, 2, 7, 8, 9, 31, 700], size=400)
    codes = np.repeat(rng.integers(0, distinct, len(lengths)), lengths).astype(np.int32)
    rows, topics = len(codes), tuple(f"t{i}" for i in range(distinct))
    ranks = GoldRanks(topics, ("a",), codes, codes * 0, codes * 0, np.arange(1, rows + 1, dtype=np.int32), codes + 1)
    content = encode_ranks(ranks)
    assert_as_pyarrow_reads(content, read_layout(content, rows, TEXTS, (COLUMNS[:-1],)))


def test_a_column_of_texts_is_read_again_where_any_byte_of_it_differs(result, monkeypatch):
    """What is kept of one submission is found again only for the very same bytes, name and number of rows."""
    file = pq.ParquetFile(io.BytesIO(result.ranks_file)).metadata.row_group(0).column(0)
    chunk = result.ranks_file[file.dictionary_page_offset :][: file.total_compressed_size]
    rows = len(result.ranks)
    ranks_layout._kept_texts.cache_clear()
    first = ranks_layout._pages_of(chunk, "topic", True, rows)
    assert ranks_layout._pages_of(bytes(bytearray(chunk)), "topic", True, rows) is first
    asked = []
    monkeypatch.setattr(ranks_layout, "_Pages", lambda *given: asked.append(given) or pytest.fail("is read"))
    others = [bytes([*chunk[:i], chunk[i] ^ 1, *chunk[i + 1 :]]) for i in range(len(chunk))]
    wanted = [*((other, "topic", rows) for other in others), (chunk, "gold_language", rows), (chunk, "topic", rows + 1)]
    for other, name, number in wanted:
        with pytest.raises(pytest.fail.Exception, match="is read"):
            ranks_layout._pages_of(other, name, True, number)
    assert [(given[0], given[1], given[3]) for given in asked] == wanted
    # Whoever got it cannot change it for others.
    with pytest.raises(ValueError, match="read-only"):
        first.content.codes[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        first.content.numbered[1][0] = 1


def graded(result, grades):
    """The document of a result with grades, and its ranks file with these grades."""
    document = result.document.model_copy(update={"format": 2})
    return document, encode_ranks(replace(result.ranks, grade=np.resize(grades, len(result.ranks))))


@pytest.mark.parametrize("pooled", [True, False])
def test_grades_are_one_more_column(result, pooled):
    whole = result if pooled else clirbench.evaluate("clirbench/char-ngram", "demo", settings=["monolingual"])
    document, content = graded(whole, np.array([1, 3, 127]))
    columns = (*(COLUMNS if pooled else COLUMNS[:-1]), "grade")
    assert pq.read_table(io.BytesIO(content)).column_names == list(columns)
    ranks = decode_ranks(content, document, PLACE)
    assert ranks.grade.dtype == np.int8
    assert ranks.grade[:4].tolist() == [1, 3, 127, 1]
    assert all(np.array_equal(getattr(ranks, name), getattr(whole.ranks, name)) for name in FIELDS)
    assert encode_ranks(ranks) == content


def test_a_task_without_grades_writes_format_1_without_the_column(result):
    assert result.document.format == 1
    assert result.ranks.grade is None
    assert pq.read_table(io.BytesIO(result.ranks_file)).column_names == list(COLUMNS)


def test_format_and_column_belong_together(result):
    document, content = graded(result, np.array([1, 2]))
    assert "'format' is wrong (1, and the ranks are with grades): run the model again" in refusal(content, result)
    with pytest.raises(ClirbenchError, match=r"'format' is wrong \(2, and the ranks are without grades\)"):
        decode_ranks(result.ranks_file, document, PLACE)


@pytest.mark.parametrize("grade", [0, -1, 128, 2**31 - 1, None])
def test_a_grade_that_is_no_gain_is_refused(result, frame, grade):
    document, _ = graded(result, np.array([1]))
    content = written({**frame, "grade": [grade, *([2] * (len(result.ranks) - 1))]})
    told = "a value of grade is missing" if grade is None else "a grade is not from 1 to 127"
    with pytest.raises(ClirbenchError, match=told):
        decode_ranks(content, document, PLACE)


@pytest.mark.parametrize("task", ["xquad-r", "mlqa-r"])
def test_older_files_are_read(task):
    """The submissions were written before the last column was counted."""
    result = clirbench.read_result(ROOT / "submissions" / "clirbench__mono" / f"{task}.json")
    old = replace(result.ranks, query_language_above=None)
    assert decode_ranks(encode_ranks(old), result.document, PLACE).query_language_above is None


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (pa.int64(), "column own_rank is INT64, and clirbench writes INT32"),
        (pa.uint64(), "column own_rank is INT64, and clirbench writes INT32"),
        (pa.uint32(), "column own_rank is INT32 with an annotation, and clirbench writes INT32"),
        (pa.int16(), "column own_rank is INT32 with an annotation, and clirbench writes INT32"),
        (pa.int8(), "column own_rank is INT32 with an annotation, and clirbench writes INT32"),
        (pa.date32(), "column own_rank is INT32 with an annotation, and clirbench writes INT32"),
        (pa.time32("s"), "column own_rank is INT32 with an annotation, and clirbench writes INT32"),
        (pa.float64(), "column own_rank is DOUBLE, and clirbench writes INT32"),
        (pa.float32(), "column own_rank is FLOAT, and clirbench writes INT32"),
        (pa.bool_(), "column own_rank is BOOLEAN, and clirbench writes INT32"),
        (pa.decimal128(9, 0), "column own_rank is FIXED_LEN_BYTE_ARRAY"),
        (pa.string(), "column own_rank is BYTE_ARRAY, and clirbench writes INT32"),
        (pa.timestamp("s"), "column own_rank is INT64, and clirbench writes INT32"),
        (pa.list_(pa.int32()), "columns are not topic"),
        (pa.struct({"a": pa.int32()}), "columns are not topic"),
    ],
)
def test_a_column_of_another_type_is_refused_before_it_is_read(result, frame, kind, message):
    """A reader that casts would wrap 4,294,967,297 to 1, where pandas shows it as it is."""
    own = [rank % 100 + 1 for rank in frame["own_rank"]]
    values = [[rank] for rank in own] if pa.types.is_list(kind) else own
    values = [{"a": rank} for rank in own] if pa.types.is_struct(kind) else values
    values = [str(rank) for rank in own] if pa.types.is_string(kind) else values
    values = [rank > 1 for rank in own] if pa.types.is_boolean(kind) else values
    array = pa.array(own, pa.int32()).cast(kind) if pa.types.is_date(kind) else pa.array(values, kind)
    columns = {**frame, "own_rank": array}
    assert message in refusal(written(columns, {"own_rank": kind}, column_encoding=None), result)


@pytest.mark.parametrize("values", [2**32 + 1, 2**63 - 1, -(2**32) + 1])
def test_integers_that_would_wrap_are_refused(result, frame, values):
    wide = {**frame, "own_rank": [values, *frame["own_rank"][1:]]}
    assert "column own_rank is INT64" in refusal(written(wide, {"own_rank": pa.int64()}), result)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"store_schema": True}, "the footer has key-value metadata"),
        ({"write_statistics": True}, "has statistics"),
        ({"write_page_index": True, "write_statistics": True}, "has "),
        ({"write_page_checksum": True}, "a page of topic has a checksum"),
        ({"data_page_version": "2.0"}, "a page of topic has a data page of version 2"),
        ({"compression": "gzip", "compression_level": 6}, "a page of topic is not compressed with zstd"),
        ({"compression": "none", "compression_level": None}, "a page of topic is not compressed with zstd"),
        ({"use_dictionary": False}, "topic"),
        ({"use_dictionary": [*TEXTS[:2]]}, "gold_language"),
        ({"column_encoding": None}, "own_rank"),
        ({"column_encoding": {"own_rank": "DELTA_BINARY_PACKED"}}, "own_rank"),
        ({"row_group_size": 200}, "row groups, and clirbench writes one"),
        ({"version": "1.0"}, "the version is not as clirbench writes it"),
    ],
)  # fmt: skip
def test_what_parquet_allows_and_clirbench_does_not_write(result, frame, options, message):
    assert message in refusal(written(frame, **options), result)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: {**c, "more": c["own_rank"]},
        lambda c: {name: c[name] for name in COLUMNS[:-2]},
        lambda c: {name: c[name] for name in reversed(COLUMNS)},
        lambda c: {("own rank" if name == "own_rank" else name): values for name, values in c.items()},
    ],
)
def test_other_columns_are_refused(result, frame, change):
    assert "columns are not topic, query_language, gold_language" in refusal(written(change(frame)), result)


def test_missing_values_are_refused(result, frame):
    for name in COLUMNS:
        content = written({**frame, name: [None, *frame[name][1:]]})
        assert f"a value of {name} is missing" in refusal(content, result)
        nothing = {**frame, name: [None] * len(frame[name])}
        refusal(written(nothing), result)


def put(content, place, payload):
    return content[:place] + payload + content[place:]


def footer_of(content):
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")


def test_bytes_that_belong_to_nothing_are_refused(result):
    """A payload of other bytes before, between and after pages, in the footer, and outside the file's ends."""
    content = result.ranks_file
    footer = footer_of(content)
    for place in (0, 4, footer - 1, footer, footer + 1, len(content) - 8, len(content) - 4, len(content)):
        for payload in (b"\x00", b"payload", content, bytes(200_000)):
            refusal(put(content, place, payload), result)
    assert "7 bytes belong to no column" in refusal(put(content, footer, b"payload"), result)
    longer = put(content, len(content) - 8, b"payload")
    size = int.from_bytes(content[-8:-4], "little") + 7
    longer = longer[:-8] + size.to_bytes(4, "little") + b"PAR1"
    assert "its footer ends with 7 bytes that say nothing" in refusal(longer, result)


class Rebuilt:
    """A ranks file of one column's changed page: the footer is rewritten, so that only the page is wrong."""

    def __init__(self, content):
        self.content = content

    def with_footer(self, change):
        """Change the footer: ``change`` is given its fields, and those of the last column."""
        from clirbench.results.ranks_layout import _struct

        end = footer_of(self.content)
        footer, _ = _struct(self.content[end:-8], 0)
        change(footer, footer[4][0][1][-1])
        foot = thrift(footer)
        return self.content[:end] + foot + len(foot).to_bytes(4, "little") + b"PAR1"

    def with_page(self, change):
        """Change the last page of the last column. Its header states the new sizes, and so does the footer."""
        from clirbench.results.ranks_layout import _struct

        content, end = self.content, footer_of(self.content)
        footer, _ = _struct(content[end:-8], 0)
        column = footer[4][0][1][-1][3]
        start = column[9]
        header, size = _struct(content[start:end], 0)
        packed = content[start + size : end]
        assert header[3] == len(packed)
        plain = pa.Codec("zstd").decompress(packed, header[2], asbytes=True)
        new_plain, new_packed = change(plain, packed)
        head = {**header, 2: len(new_plain), 3: len(new_packed)}
        page = thrift(head) + new_packed
        total = len(thrift(head)) + len(new_plain)
        group = footer[4][0]
        group[6] += len(page) - column[7]
        group[2] += total - column[6]
        column[6], column[7] = total, len(page)
        foot = thrift(footer)
        return content[:start] + page + foot + len(foot).to_bytes(4, "little") + b"PAR1"


I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
# Fields of the footer and of page headers that are i64; the others are i32.
WIDE = {"footer": {3}, "group": {2, 3, 5, 6}, "chunk": {2}, "column": {5, 6, 7, 9, 11}, "sizes": {1}}
INSIDE = {("footer", 2): "schema", ("footer", 4): "group", ("group", 1): "chunk", ("chunk", 3): "column",
          ("footer", 7): "order", ("column", 16): "sizes", ("column", 13): "counts", ("schema", 10): "type"}  # fmt: skip


def varint(number):
    out = []
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def thrift(fields, where=None):
    """A struct in Thrift's compact protocol."""
    where = where or ("footer" if 4 in fields else "page")
    out, last = b"", 0
    for number, value in sorted(fields.items()):
        inside = INSIDE.get((where, number), "other")
        if isinstance(value, bool):
            kind, body = (1 if value else 2), b""
        elif isinstance(value, int):
            kind = I64 if number in WIDE.get(where, ()) else I32
            body = varint(value << 1 ^ (value >> 63))
        elif isinstance(value, bytes):
            kind, body = BINARY, varint(len(value)) + value
        elif isinstance(value, dict):
            kind, body = STRUCT, thrift(value, inside)
        else:
            kind = LIST
            of = {int: I64 if where == "sizes" else I32, bytes: BINARY, dict: STRUCT}[type(value[0])] if value else I64
            head = bytes([len(value) << 4 | of]) if len(value) < 15 else bytes([0xF0 | of]) + varint(len(value))
            items = [
                thrift(v, inside)
                if isinstance(v, dict)
                else varint(len(v)) + v
                if isinstance(v, bytes)
                else varint(v << 1)
                for v in value
            ]
            body = head + b"".join(items)
        out += bytes([(number - last) << 4 | kind]) + body
        last = number
    return out + b"\x00"


def test_a_rebuilt_file_is_read(result):
    """The helper of the next test writes what pyarrow writes, so its refusals are of the page alone."""
    rebuilt = Rebuilt(result.ranks_file).with_page(lambda plain, packed: (plain, packed))
    assert rebuilt == result.ranks_file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda footer, column: footer.update({5: [{1: b"payload", 2: b"x" * 500}]}),
            "the footer has key-value metadata",
        ),
        (lambda footer, column: footer.update({5: [{1: b"payload", 2: b"x" * 50_000}]}), "its footer has 50,"),
        (lambda footer, column: footer.update({5: [{1: b"", 2: b""}]}), "the footer has key-value metadata"),
        (
            lambda footer, column: footer.update({5: [{1: b"ARROW:schema", 2: b"?!"}]}),
            "the footer has key-value metadata",
        ),
        (lambda footer, column: footer.update({5: []}), "the footer has key-value metadata"),
        (lambda footer, column: footer.update({6: b"x" * 90}), "it was not written by pyarrow"),
        (
            lambda footer, column: footer.update({6: b"parquet-cpp-arrow version 26.0.1 payload"}),
            "not written by pyarrow",
        ),
        (lambda footer, column: footer.update({6: 7}), "not a ranks file"),
        (lambda footer, column: footer.update({8: {1: {}}}), "the footer has encryption"),
        (lambda footer, column: footer.update({9: b"x" * 80}), "the footer has a signature"),
        (lambda footer, column: footer.update({10: 7}), "the footer has a field 10"),
        (lambda footer, column: footer.pop(7), "the footer lacks a field"),
        (lambda footer, column: footer.update({7: footer[7][1:]}), "the order of values is not"),
        (lambda footer, column: footer.update({3: footer[3] + 1}), "433 rows, but 'ranks.rows' is 432"),
        (lambda footer, column: footer.update({4: []}), "it has 0 row groups"),
        (lambda footer, column: footer.update({4: footer[4] * 2}), "it has 2 row groups"),
        (lambda footer, column: footer.update({4: [{1: []}]}), "the row group lacks a field"),
        (lambda footer, column: footer.update({4: [7]}), "the row group is not as clirbench writes it"),
        (lambda footer, column: footer.update({2: footer[2][:-2]}), "columns are not"),
        (lambda footer, column: footer.update({2: []}), "columns are not"),
        (lambda footer, column: footer.update({2: [7]}), "the schema is not as clirbench writes it"),
        (lambda footer, column: footer[2][0].update({4: b"payload"}), "the schema is not as clirbench writes it"),
        (lambda footer, column: footer[2][1].update({4: b"topic\n"}), "columns are not"),
        (lambda footer, column: footer[4][0].update({2: 7}), "the row group is not as"),
        (lambda footer, column: footer[4][0].update({4: [{1: 0, 2: False, 3: False}]}), "the row group has a field 4"),
        (lambda footer, column: column.update({2: 4}), "the place of query_language_above"),
        (lambda footer, column: column.update({4: 4, 5: 9}), "has a page index"),
        (lambda footer, column: column.update({1: b"other.parquet"}), "has a field 1"),
        (lambda footer, column: column.update({8: {1: {}}}), "has encryption"),
        (lambda footer, column: column[3].update({8: [{1: b"a", 2: b"b"}]}), "has key-value metadata"),
        (lambda footer, column: column[3].update({12: {1: b"\x00" * 4, 2: b"\x00" * 4}}), "has statistics"),
        (lambda footer, column: column[3].update({14: 4, 15: 32}), "has a bloom filter"),
        (lambda footer, column: column[3].update({4: 0}), "the description of query_language_above"),
        (lambda footer, column: column[3].update({5: 7}), "the description of query_language_above"),
        (lambda footer, column: column[3].update({7: 7}), "a number is cut"),
        (lambda footer, column: column[3].update({7: 10**9}), "the header of a page is cut"),
        (lambda footer, column: column[3].update({7: -(10**9)}), "the pages of query_language_above hold 0 values"),
        (lambda footer, column: column[3].update({9: 4}), "the description of query_language_above"),
        (lambda footer, column: column[3].update({2: [3, 9, 0]}), "the encodings of query_language_above"),
        (lambda footer, column: column[3].update({11: 4}), "the dictionary of query_language_above"),
        (lambda footer, column: column[3].update({3: [b"own_rank"]}), "the description of query_language_above"),
        (lambda footer, column: column[3].update({13: [{1: 0, 2: 9, 3: 10**6}]}), "pages of query_language_above"),
        (lambda footer, column: column[3].update({16: {2: [7], 3: [0, 432]}}), "the nulls of query_language_above"),
        (
            lambda footer, column: column[3].update({16: {2: [], 3: [0] * 400 + [432]}}),
            "the nulls of query_language_above",
        ),
    ],
)
def test_what_a_footer_must_not_say(result, change, message):
    assert message in refusal(Rebuilt(result.ranks_file).with_footer(change), result)


SKIPPED = b"\x50\x2a\x4d\x18"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plain, packed: (plain, packed + b"payload"), "7 bytes after its content"),
        (lambda plain, packed: (plain, SKIPPED + b"\x03\x00\x00\x00abc" + packed), "not compressed with zstd"),
        (lambda plain, packed: (plain, packed + SKIPPED + b"\x03\x00\x00\x00abc"), "11 bytes after its content"),
        (lambda plain, packed: (plain, packed + pa.compress(b"", "zstd", asbytes=True)), "after its content"),
        (
            lambda plain, packed: (plain + b"xyz", pa.compress(plain + b"xyz", "zstd", asbytes=True)),
            "query_language_above",
        ),
        (lambda plain, packed: (plain[:-4], pa.compress(plain[:-4], "zstd", asbytes=True)), "query_language_above"),
        (lambda plain, packed: (plain + b"xyz", packed), ""),
        (lambda plain, packed: (plain[:-1], packed), ""),
        (lambda plain, packed: (b"", b""), "not compressed with zstd"),
    ],
)
def test_bytes_inside_a_page_are_counted(result, change, message):
    assert message in refusal(Rebuilt(result.ranks_file).with_page(change), result)


def test_texts_that_no_row_has_are_refused(result):
    ranks = result.ranks
    more = replace(ranks, topics=(*ranks.topics, "a payload of any length"))
    assert "topic numbers texts that no row has" in refusal(encode_ranks(more), result)
    twice = replace(ranks, languages=("de", "en", "th", "de"))
    refusal(encode_ranks(twice), result)
    strange = replace(ranks, languages=("de", "en", "th", "tlh"))
    assert "query_language numbers texts that no row has" in refusal(encode_ranks(strange), result)


def test_cut_files_are_refused(result):
    content = result.ranks_file
    for length in [*range(40), *range(40, len(content), 97), *range(len(content) - 40, len(content))]:
        refusal(content[:length], result)


def test_nested_footers_are_refused(result):
    for nested in (b"\x19" * 3000, b"\x1c" * 3000, b"\x19\xf1\xff\xff\xff\xff\x07", b"\x15" + b"\xff" * 30):
        foot = nested + b"\x00"
        refusal(b"PAR1" + foot + len(foot).to_bytes(4, "little") + b"PAR1", result)


def read_or_none(content, result):
    """The ranks of a file; None if it is refused, which takes one line."""
    try:
        return decode_ranks(content, result.document, PLACE)
    except ClirbenchError as error:
        if "\n" in str(error):
            raise
        return None


@pytest.mark.parametrize("flips", [500, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_flipped_bits_never_give_other_numbers(result, flips):
    """The document's checksum is made to fit, as a forger does: other values contradict the document, or break a rule."""
    random.seed(7)
    content, sizes = result.ranks_file, result.document.counts.candidates
    read = 0
    for _ in range(flips):
        # Half of the flips are in the footer, which is a small part of the file.
        first = footer_of(content) if random.random() < 0.5 else 0
        bit = random.randrange(8 * first, 8 * len(content))
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        ranks = read_or_none(bytes(changed), result)
        if ranks is None:
            continue
        read += 1
        same = all(np.array_equal(getattr(ranks, name), getattr(result.ranks, name)) for name in FIELDS)
        same = same or gold_digest(ranks) != gold_digest(result.ranks)
        assert same or impossible(ranks, sizes) or rescore(Result(result.document, ranks, bytes(changed))).differences
    assert read
