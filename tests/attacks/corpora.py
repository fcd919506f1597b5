"""Damaged and odd corpora: tasks of one's own, streamed corpora in both layouts, vectors in files, and TREC runs.

Each attack changes one file of a sound folder, and says what is right: the same ranks as before, another ranking of as many
golds, or one line that a pattern describes.
"""

import gzip
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from attacks.promises import Promise

# Outcomes besides a pattern of the one line.
SAME, TAKEN = "the same ranks", "a ranking of all golds"
Damage = Callable[[Path], object]


class Attack(NamedTuple):
    """One damage.

    Attributes:
        kind: What is damaged: "own", "original", "mteb", "jsonl" (mteb's layout in JSON Lines), "npy", "parquet" or "run".
        damage: Changes a sound folder of that kind.
        outcome: ``SAME``, ``TAKEN``, or a pattern of the line that refuses it.
        process: Whether the real command is tried too.
    """

    kind: str
    damage: Damage
    outcome: str
    process: bool = False


# Names of files. {} is a part: topics, qrels, corpus, queries.
DOCS, TSV = "miracl-corpus-v1.0-sw/docs-0.jsonl.gz", "miracl-v1.0-sw/{0}/{0}.miracl-v1.0-sw-dev.tsv"
SHARD, ROWS = "sw-{}/dev-00000-of-0000{}.parquet", "sw-{}/dev-00000.jsonl"
TOPICS, QRELS = TSV.format("topics"), TSV.format("qrels")
CORPUS, QUERIES, JUDGED = SHARD.format("corpus", 3), SHARD.format("queries", 1), SHARD.format("qrels", 1)
Q, C, TOML, RUN = "q.jsonl", "c.jsonl", "mine.toml", "run.trec"


def content(file: str, change: Callable[[bytes], bytes]) -> Damage:
    """Change the bytes of a file; of ``.gz``, those inside."""

    def damage(folder: Path) -> None:
        path = folder / file
        raw = path.read_bytes()
        path.write_bytes(gzip.compress(change(gzip.decompress(raw))) if path.suffix == ".gz" else change(raw))

    return damage


def raw(file: str, change: Callable[[bytes], bytes]) -> Damage:
    """Change the bytes of a file as they lie on the disk."""
    return lambda folder: (folder / file).write_bytes(change((folder / file).read_bytes()))


def swap(file: str, old: str, new: str) -> Damage:
    """Replace the first such text in a file."""

    def change(there: bytes) -> bytes:
        assert old.encode() in there, f"{old} does not stand in {file}"
        return there.replace(old.encode(), new.encode(), 1)

    return content(file, change)


def after(file: str, more: str) -> Damage:
    """Write more at the end of a file."""
    return content(file, lambda there: there + more.encode())


def value(file: str, row: int, **changes: Any) -> Damage:
    """Give fields of one line of JSON Lines other values."""

    def change(there: bytes) -> bytes:
        lines = there.splitlines()
        lines[row] = json.dumps({**json.loads(lines[row]), **changes}).encode()
        return b"\n".join(lines) + b"\n"

    return content(file, change)


def column(file: str, name: str, make: Callable[[list[Any]], Any]) -> Damage:
    """Replace a column of a Parquet file."""
    return table(file, lambda t: t.set_column(t.schema.get_field_index(name), name, make(t.column(name).to_pylist())))


def table(file: str, make: Callable[[Any], Any]) -> Damage:
    """Replace a Parquet file."""
    return lambda folder: pq.write_table(make(pq.read_table(folder / file)), folder / file)


def array(file: str, make: Callable[[Any], Any]) -> Damage:
    """Replace an array in a file."""

    def damage(folder: Path) -> None:
        there = np.load(folder / file)
        np.save(folder / file, make(there), allow_pickle=True)

    return damage


def instead(file: str, make: Callable[[Path], object]) -> Damage:
    """Remove a file, and put something else in its place."""

    def damage(folder: Path) -> None:
        (folder / file).unlink()
        make(folder / file)

    return damage


def loop(path: Path) -> None:
    """A link to itself."""
    path.symlink_to(path.name)


def outside(path: Path) -> None:
    """A link that leaves the folder, to nothing."""
    path.symlink_to("/nowhere/at/all")


def archive(path: Path) -> None:
    """NumPy's format of several arrays, under the name of one."""
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


def moved(file: str) -> Damage:
    """Move a file out of the folder, and link to it."""

    def damage(folder: Path) -> None:
        away = folder.parent / "outside"
        shutil.move(folder / file, away)
        (folder / file).symlink_to(away)

    return damage


def numbered(there: bytes, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    return b"\n".join(change(there.splitlines())) + b"\n"


def readme(text: str) -> Damage:
    """Another README.md of a snapshot of mteb's layout."""
    return lambda folder: (folder / "README.md").write_text(f"---\n{text}\n---\n", encoding="utf-8")


def files_of_corpus(path: Any) -> Damage:
    return readme(f"configs:\n- config_name: sw-corpus\n  data_files: {json.dumps(path)}")


def utf16(there: bytes) -> bytes:
    return there.decode().encode("utf-16")


def marked(there: bytes) -> bytes:
    return b"\xef\xbb\xbf" + there


def crlf(there: bytes) -> bytes:
    return there.replace(b"\n", b"\r\n")


def old_mac(there: bytes) -> bytes:
    return there.replace(b"\n", b"\r")


def nothing(there: bytes) -> bytes:
    return b""


NO_ID, NO_TEXT = "is no identifier: write text that is not empty", "must be text, and is"
LINE3 = r"docs-0\.jsonl\.gz:3: "
ROW1 = r"dev-00000-of-0000\d\.parquet, row 1: "
RUN1 = r"run\.trec:1: "
HALF = "holds half of a character"

ORIGINAL = {
    "an identifier that is null": Attack("original", value(DOCS, 2, docid=None), LINE3 + f"None {NO_ID}", True),
    "an identifier that is a list": Attack("original", value(DOCS, 2, docid=["9"]), LINE3 + r"\['9'\] " + NO_ID),
    "an identifier that is an object": Attack("original", value(DOCS, 2, docid={"a": 1}), LINE3 + f".*{NO_ID}"),
    "an identifier with a fraction": Attack("original", value(DOCS, 2, docid=7.0), LINE3 + rf"7\.0 {NO_ID}"),
    "an identifier that is true": Attack("original", value(DOCS, 2, docid=True), LINE3 + f"True {NO_ID}"),
    "an empty identifier": Attack("original", value(DOCS, 2, docid=""), LINE3 + f"'' {NO_ID}"),
    "an identifier of spaces": Attack("original", value(DOCS, 2, docid=" \u00a0"), LINE3 + f".*{NO_ID}"),
    "an identifier of which nothing is seen": Attack(
        "original", value(DOCS, 2, docid="\u200b\u2060"), f"{LINE3}.*{NO_ID}"
    ),
    "an identifier of 10 MB": Attack("original", value(DOCS, 2, docid="x" * 10**7), LINE3 + f"'x+ {NO_ID}"),
    "an identifier that is half a character": Attack(
        "original", value(DOCS, 2, docid="a\ud800"), f"{LINE3}field 'docid' {HALF}"
    ),
    "an identifier that is a number": Attack("original", value(DOCS, 2, docid=123456), SAME),
    "an identifier with a tab and a line end": Attack("original", value(DOCS, 2, docid="a\tb\nc"), SAME),
    "an identifier with a null character": Attack("original", value(DOCS, 2, docid="a\0b"), SAME),
    "an identifier that clears the screen": Attack("original", value(DOCS, 2, docid="\x1b[2J"), SAME),
    "a gold that stands twice": Attack("original", value(DOCS, 2, docid="7#0"), "passage '7#0' stands twice", True),
    "an identifier that looks like a gold's": Attack(
        "original", value(DOCS, 2, docid="7\u200b#0"), "only in the invisible character"
    ),
    "a text that is null": Attack("original", value(DOCS, 2, text=None), f"{LINE3}field 'text' {NO_TEXT} None"),
    "a text that is a number": Attack("original", value(DOCS, 2, text=7), f"{LINE3}field 'text' {NO_TEXT} 7"),
    "a text that is a list": Attack("original", value(DOCS, 2, text=["a", "b"]), f"{LINE3}field 'text' {NO_TEXT}"),
    "a title that is an object": Attack(
        "original", value(DOCS, 2, title={"en": "a"}), f"{LINE3}field 'title' {NO_TEXT}", True
    ),
    "a title that is false": Attack("original", value(DOCS, 2, title=False), f"{LINE3}field 'title' {NO_TEXT} False"),
    "a title that is null": Attack("original", value(DOCS, 2, title=None), TAKEN),
    "a text of half a character": Attack(
        "original", value(DOCS, 2, text="a \ud800 b"), f"{LINE3}field 'text' {HALF}", True
    ),
    "a text of nothing": Attack("original", value(DOCS, 2, title="", text=""), TAKEN),
    "a text with a null character": Attack("original", value(DOCS, 2, text="a\0b"), TAKEN),
    "a text of 10 MB": Attack("original", value(DOCS, 2, text="word " * 2 * 10**6), TAKEN),
    "a text with other line ends": Attack("original", value(DOCS, 2, text="a\u2028b\x85c\rd"), TAKEN),
    "a field too many": Attack("original", value(DOCS, 2, url="x", more=[1]), SAME),
    "no title": Attack("original", swap(DOCS, '"title"', '"titel"'), r"docs-0.*:1: not a passage .*no 'title'"),
    "a key twice": Attack(
        "original", swap(DOCS, '"title"', '"docid": "other", "title"'), "the key 'docid' stands twice", True
    ),
    "a trailing comma": Attack("original", swap(DOCS, "}", ",}"), r"docs-0.*:1: not JSON \(Expecting property name"),
    "NaN in a field": Attack("original", swap(DOCS, '"title"', '"x": NaN, "title"'), "NaN is no number of JSON"),
    "two objects on a line": Attack("original", swap(DOCS, "}\n", "}"), r"docs-0.*:1: not JSON \(Extra data"),
    "a list on a line": Attack("original", swap(DOCS, "{", "[{"), r"docs-0.*:1: not JSON Lines, because a list begins"),
    "objects in objects without end": Attack("original", swap(DOCS, "{", '{"a":' * 10**5), "nested too deeply"),
    "a line of 100 MB in a small file": Attack(
        "original",
        raw(DOCS, lambda _: gzip.compress(b"0" * (10**8 + 1), 1)),
        r"docs-0.*:1: the line has more than 100,000,000",
    ),
    "a byte order mark": Attack("original", content(DOCS, marked), SAME),
    "CRLF": Attack("original", content(DOCS, crlf), SAME),
    "CR alone": Attack("original", content(DOCS, old_mac), r"docs-0.*:1: not JSON"),
    "UTF-16": Attack("original", content(DOCS, utf16), "docs-0.*is not UTF-8 but UTF-16"),
    "Latin-1": Attack("original", swap(DOCS, "title", "t\u00eftle"), r"not a passage .*no 'title'"),
    "a byte that is no UTF-8": Attack(
        "original", content(DOCS, lambda x: x.replace(b"sw", b"\xff\xfe", 1)), "is not UTF-8 .*line 1"
    ),
    "gzip cut off": Attack(
        "original", raw(DOCS, lambda x: x[:-30]), r"docs-0.*cannot be read \(Compressed file ended", True
    ),
    "gzip with a flipped checksum": Attack(
        "original", raw(DOCS, lambda x: x[:-8] + b"abcd" + x[-4:]), "docs-0.*CRC check failed"
    ),
    "garbage after gzip": Attack(
        "original", raw(DOCS, lambda x: x + b"garbage"), r"docs-0.*cannot be read \(Not a gzipped"
    ),
    "plain text named gzip": Attack("original", raw(DOCS, gzip.decompress), "docs-0.*Not a gzipped file"),
    "zstd named gzip": Attack(
        "original", raw(DOCS, lambda _: b"\x28\xb5\x2f\xfd" + b"0" * 99), "docs-0.*Not a gzipped file"
    ),
    "gzip of nothing": Attack("original", content(DOCS, nothing), "18 passages in sw, but .* declares 29"),
    "an empty file": Attack("original", raw(DOCS, nothing), "18 passages in sw, but .* declares 29"),
    "a pipe": Attack("original", instead(DOCS, os.mkfifo), "docs-0.*is a pipe or a device", True),
    "a folder in the place of a file": Attack("original", instead(DOCS, Path.mkdir), "docs-0.*[Ii]s a directory"),
    "a link to nothing": Attack("original", instead(DOCS, outside), "docs-0.*cannot be read"),
    "a link to itself": Attack("original", instead(DOCS, loop), "docs-0.*Too many levels"),
    "a link out of the folder": Attack("original", moved(DOCS), SAME),
    "a file without a number": Attack(
        "original", lambda f: shutil.copy(f / DOCS, f / DOCS.replace("0.jsonl", "00.jsonl")), SAME
    ),
    "a file too many": Attack(
        "original", lambda f: shutil.copy(f / DOCS, f / DOCS.replace("0.jsonl", "3.jsonl")), "stands twice"
    ),
    "a file missing in the middle": Attack(
        "original", lambda f: (f / DOCS.replace("0.jsonl", "1.jsonl")).unlink(), r"docs-1\.jsonl\.gz is missing"
    ),
    "a file where the folder should be": Attack(
        "original", lambda f: (shutil.rmtree((f / DOCS).parent), (f / DOCS).parent.touch()), "has no corpus for sw"
    ),
    "no topics": Attack("original", raw(TOPICS, nothing), "0 judged queries in sw, but .* declares 2"),
    "topics with a mark and CRLF": Attack("original", raw(TOPICS, lambda x: marked(crlf(x))), SAME),
    "topics in UTF-16": Attack("original", raw(TOPICS, utf16), "topics.*is not UTF-8 but UTF-16", True),
    "topics with CR alone": Attack("original", raw(TOPICS, old_mac), "topics.*:1: not a query id, a tab and a query"),
    "topics with spaces for tabs": Attack("original", swap(TOPICS, "\t", " "), "topics.*:1: not a query id, a tab"),
    "topics with a third column": Attack("original", swap(TOPICS, "\n", "\tx\n"), "topics.*:1: not a query id, a tab"),
    "topics with a heading": Attack("original", raw(TOPICS, lambda x: b"id\tquery\n" + x), SAME),
    "a topic twice": Attack("original", after(TOPICS, "2\tTena?\n"), "query '2' stands twice in sw"),
    "a topic without text": Attack(
        "original", raw(TOPICS, lambda x: re.sub(rb"(?m)^2\t.*$", b"2\t ", x)), "query '2' has no text"
    ),
    "a topic without a name": Attack("original", after(TOPICS, "\u00a0\tTena?\n"), f"topics.*:3: .*{NO_ID}"),
    "a topic that looks like another": Attack(
        "original", after(TOPICS, "2 \tTena?\n"), "'2 ' only in spaces|only in spaces"
    ),
    "a query that nobody judged": Attack("original", after(TOPICS, "99\tNini?\n"), SAME),
    "no judgements": Attack("original", raw(QRELS, nothing), "0 judged queries in sw"),
    "judgements with a heading": Attack(
        "original", raw(QRELS, lambda x: b"q\tQ0\td\trel\n" + x), "qrels.*:1: not a query id, Q0"
    ),
    "judgements with spaces for tabs": Attack("original", raw(QRELS, lambda x: x.replace(b"\t", b"  ")), SAME),
    "judgements with commas": Attack(
        "original", raw(QRELS, lambda x: x.replace(b"\t", b",")), "qrels.*:1: not a query id, Q0"
    ),
    "judgements without Q0": Attack(
        "original", raw(QRELS, lambda x: x.replace(b"\tQ0", b"")), "qrels.*:1: not a query id, Q0"
    ),
    "judgements with swapped columns": Attack(
        "original",
        raw(QRELS, lambda x: re.sub(rb"(?m)^(\S+)\tQ0\t(\S+)", rb"\2\tQ0\1\t\1", x)),
        "0 judged queries in sw",
    ),
    "a judgement of an unknown query": Attack("original", after(QRELS, "77\tQ0\t10#0\t1\n"), SAME),
    "a judgement of an unknown passage": Attack(
        "original", after(QRELS, "2\tQ0\t1234#1\t1\n"), "are not those that .* pins"
    ),
    "a negative grade": Attack("original", after(QRELS, "2\tQ0\t9000000#0\t-1\n"), SAME),
    "a grade of a half": Attack("original", after(QRELS, "2\tQ0\t9000000#0\t0.5\n"), SAME),
    "a grade without end": Attack(
        "original", after(QRELS, "2\tQ0\t9000000#0\t99999999999\n"), "qrels.*:5: not a query id, Q0"
    ),
    "a grade that is NaN": Attack("original", after(QRELS, "2\tQ0\t9000000#0\tnan\n"), "qrels.*:5: not a query id, Q0"),
    "a grade in Arabic digits": Attack(
        "original", after(QRELS, "2\tQ0\t9000000#0\t\u0661\n"), "qrels.*:5: not a query id, Q0"
    ),
    "a judgement twice": Attack("original", after(QRELS, "2\tQ0\t7#0\t1\n"), SAME),
    "judgements that disagree": Attack(
        "original", after(QRELS, "2\tQ0\t7#0\t0\n"), "has the grades 1 and 0 for passage '7#0'", True
    ),
    "a judgement without a passage": Attack("original", after(QRELS, "2\tQ0\t\t1\n"), f"qrels.*:5: '' {NO_ID}"),
    "judgements in a pipe": Attack("original", instead(QRELS, os.mkfifo), "has no miracl-v1.0-sw/qrels/.*: add it"),
}

MTEB = {
    "a column of bytes as identifiers": Attack(
        "mteb", column(CORPUS, "_id", lambda c: pa.array([x.encode() for x in c])), f"{ROW1}b'.*{NO_ID}"
    ),
    "a column of floats as identifiers": Attack(
        "mteb", column(CORPUS, "_id", lambda c: pa.array(np.arange(len(c)) * 1.0)), f"{ROW1}0.0 {NO_ID}"
    ),
    "a column of lists as identifiers": Attack(
        "mteb", column(CORPUS, "_id", lambda c: pa.array([[x] for x in c])), f"{ROW1}.*{NO_ID}"
    ),
    "a column of dates as identifiers": Attack(
        "mteb", column(CORPUS, "_id", lambda c: pa.array([0] * len(c), pa.date32())), f"{ROW1}datetime"
    ),
    "one identifier missing": Attack(
        "mteb", column(CORPUS, "_id", lambda c: pa.array([None, *c[1:]])), f"{ROW1}a row has no _id or id", True
    ),
    "identifiers as categories": Attack("mteb", column(CORPUS, "_id", lambda c: pa.array(c).dictionary_encode()), SAME),
    "long strings": Attack("mteb", column(CORPUS, "text", lambda c: pa.array(c, pa.large_string())), SAME),
    "a column renamed": Attack(
        "mteb", table(CORPUS, lambda t: t.rename_columns(["docid", "title", "text"])), "has no _id or id"
    ),
    "columns in another order": Attack("mteb", table(CORPUS, lambda t: t.select(["text", "_id", "title"])), SAME),
    "a column twice": Attack(
        "mteb",
        table(CORPUS, lambda t: pa.Table.from_arrays([*t.columns, t["text"]], [*t.column_names, "text"])),
        "a column stands twice",
    ),
    "a column too many": Attack("mteb", table(CORPUS, lambda t: t.append_column("url", t["text"])), SAME),
    "a column of texts missing": Attack(
        "mteb", table(CORPUS, lambda t: t.drop_columns(["text"])), f"{ROW1}field 'text' {NO_TEXT}"
    ),
    "a column of titles missing": Attack("mteb", table(CORPUS, lambda t: t.drop_columns(["title"])), TAKEN),
    "numbers as texts": Attack(
        "mteb", column(CORPUS, "text", lambda c: pa.array(range(len(c)))), f"{ROW1}field 'text' {NO_TEXT} 0"
    ),
    "bytes as texts": Attack(
        "mteb", column(CORPUS, "text", lambda c: pa.array([x.encode() for x in c])), f"{ROW1}field 'text' {NO_TEXT}"
    ),
    "texts that are no UTF-8": Attack(
        "mteb",
        column(CORPUS, "text", lambda c: pa.array([b"\xff"] * len(c)).view(pa.string())),
        r"dev-00000.*cannot be read \('utf-8'",
    ),
    "Parquet without rows": Attack(
        "mteb", table(CORPUS, lambda t: t.slice(0, 0)), "18 passages in sw, but .* declares 29"
    ),
    "Parquet cut off": Attack(
        "mteb", raw(CORPUS, lambda x: x[:-100]), r"dev-00000.*cannot be read \(Parquet magic bytes", True
    ),
    "an empty file for Parquet": Attack("mteb", raw(CORPUS, nothing), "dev-00000.*Parquet file size is 0 bytes"),
    "a file of another kind for Parquet": Attack(
        "mteb", raw(CORPUS, lambda _: b"PAR1" * 9), "dev-00000.*cannot be read"
    ),
    "Parquet in a pipe": Attack("mteb", instead(CORPUS, os.mkfifo), "dev-00000.*is a pipe or a device"),
    "Parquet that is a folder": Attack("mteb", instead(CORPUS, Path.mkdir), "dev-00000.*is a directory"),
    "queries that are numbers": Attack(
        "mteb", column(QUERIES, "text", lambda c: pa.array(range(len(c)))), f"{ROW1}field 'text' {NO_TEXT}"
    ),
    "queries without text": Attack("mteb", column(QUERIES, "text", lambda c: pa.array([""] * len(c))), "has no text"),
    "queries twice": Attack("mteb", table(QUERIES, lambda t: pa.concat_tables([t, t])), "stands twice in sw"),
    "grades as text": Attack(
        "mteb", column(JUDGED, "score", lambda c: pa.array(list(map(str, c)))), f"{ROW1}score '1' is no number"
    ),
    "grades that are true": Attack(
        "mteb", column(JUDGED, "score", lambda c: pa.array([True] * len(c))), f"{ROW1}score True is no"
    ),
    "grades that are NaN": Attack(
        "mteb", column(JUDGED, "score", lambda c: pa.array([np.nan] * len(c))), f"{ROW1}score nan is no"
    ),
    "grades that are missing": Attack(
        "mteb", column(JUDGED, "score", lambda c: pa.nulls(len(c))), f"{ROW1}a row has no score"
    ),
    "grades as bytes of eight bits": Attack("mteb", column(JUDGED, "score", lambda c: pa.array(c, pa.uint8())), SAME),
    "grades without end": Attack(
        "mteb", column(JUDGED, "score", lambda c: pa.array([2**60] * len(c))), f"{ROW1}score 1152"
    ),
    "judgements with other columns": Attack(
        "mteb",
        table(JUDGED, lambda t: t.rename_columns(["query_id", "corpus_id", "score"])),
        f"{ROW1}a row has no query-id",
    ),
    "judgements twice": Attack("mteb", table(JUDGED, lambda t: pa.concat_tables([t, t])), SAME),
    "a README that is no YAML": Attack("mteb", readme("configs: ["), "README.md: its metadata cannot be read", True),
    "a README that runs Python": Attack(
        "mteb", readme("configs: !!python/object/apply:os.abort []"), "README.md: its metadata"
    ),
    "a README that grows without end": Attack(
        "mteb",
        readme("\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else 'x'] * 9)}]" for i in range(9))),
        SAME,
    ),
    "a README in UTF-16": Attack("mteb", raw("README.md", utf16), "README.md: its metadata cannot be read"),
    "a README with a number for its list": Attack("mteb", readme("configs: 7"), SAME),
    "a README that names a number": Attack("mteb", files_of_corpus(7), "README.md: names the files of sw-corpus by 7"),
    "a README that names the files of another": Attack(
        "mteb", files_of_corpus("/etc/passwd"), "which is no path in its folder"
    ),
    "a README that leaves the folder": Attack(
        "mteb", files_of_corpus("../*.parquet"), "which is no path in its folder", True
    ),
    "a README with no pattern": Attack("mteb", files_of_corpus("sw**/x"), "which is no pattern"),
    "a README that names CSV": Attack(
        "mteb",
        lambda f: ((f / "sw-corpus" / "dev.csv").touch(), files_of_corpus("sw-corpus/*.csv")(f)),
        "is neither Parquet nor JSON",
    ),
    "JSON Lines with numbers and text as identifiers": Attack("jsonl", value(ROWS.format("corpus"), 2, _id=77), SAME),
    "JSON Lines with a key twice": Attack(
        "jsonl", swap(ROWS.format("corpus"), '"title"', '"_id": "x", "title"'), "'_id' stands twice"
    ),
    "JSON Lines with an empty line": Attack("jsonl", swap(ROWS.format("queries"), "\n", "\n\n"), SAME),
    "JSON Lines with a list for a text": Attack(
        "jsonl", value(ROWS.format("queries"), 0, text=["a"]), r"dev-00000\.jsonl:1: field 'text'"
    ),
    "JSON Lines cut off": Attack("jsonl", raw(ROWS.format("qrels"), lambda x: x[:-9]), r"dev-00000\.jsonl:4: not JSON"),
    "JSON Lines with a grade in quotes": Attack(
        "jsonl", value(ROWS.format("qrels"), 0, score="1"), r"jsonl:1: score '1' is no number"
    ),
    "JSON Lines in Latin-1": Attack(
        "jsonl", raw(ROWS.format("corpus"), lambda x: x.replace(b"sw", b"\xe9", 1)), r"jsonl: is not UTF-8"
    ),
}

VECTORS = {
    "vectors in half precision": Attack("npy", array("sw/passages.npy", lambda x: x.astype(np.float16)), SAME),
    "vectors of the other byte order": Attack("npy", array("sw/passages.npy", lambda x: x.astype(">f8")), SAME),
    "vectors in columns": Attack("npy", array("sw/queries.npy", np.asfortranarray), SAME),
    "vectors of whole numbers": Attack(
        "npy", array("sw/passages.npy", lambda x: x.astype(np.int8)), "holds int8 of shape"
    ),
    "complex vectors": Attack("npy", array("sw/queries.npy", lambda x: x * 1j), "holds complex"),
    "vectors that are objects": Attack(
        "npy", array("sw/queries.npy", lambda x: x.astype(object)), "cannot be read as vectors"
    ),
    "a pickle for an array": Attack(
        "npy", raw("sw/queries.npy", lambda _: b"cos\nabort\n(tR."), "cannot be read as vectors", True
    ),
    "an archive of arrays": Attack("npy", instead("sw/queries.npy", archive), "an archive of several"),
    "a header that promises more": Attack("npy", raw("sw/passages.npy", lambda x: x[:-9]), "cannot be read as vectors"),
    "vectors without dimensions": Attack("npy", array("sw/passages.npy", lambda x: x[:, :0]), "shape 29x0"),
    "vectors with three axes": Attack("npy", array("sw/passages.npy", lambda x: x[:, :, None]), "shape 29x8x1"),
    "a vector too few": Attack("npy", array("sw/passages.npy", lambda x: x[1:]), "shape 28x8 for 29 identifiers"),
    "queries with other dimensions": Attack(
        "npy", array("sw/queries.npy", lambda x: x[:, :4]), "gave 8 dimensions after 4"
    ),
    "a vector with NaN": Attack(
        "npy", array("sw/passages.npy", lambda x: np.where(x > 1.5, np.nan, x)), "gave NaN for the candidate"
    ),
    "a vector of zeros": Attack("npy", array("sw/queries.npy", lambda x: x * 0), "all-zero"),
    "vectors that vanish as float32": Attack(
        "npy", array("sw/passages.npy", lambda x: x.astype(float) * 1e-300), "all-zero"
    ),
    "vectors that are infinite as float32": Attack(
        "npy", array("sw/passages.npy", lambda x: x.astype(float) * 1e300), "infinite values"
    ),
    "identifiers with CRLF and a mark": Attack("npy", raw("sw/passages.ids.txt", lambda x: marked(crlf(x))), SAME),
    "an empty line among identifiers": Attack(
        "npy", raw("sw/passages.ids.txt", lambda x: b"\n" + x), r"ids\.txt:1: '' is no"
    ),
    "identifiers with commas": Attack(
        "npy", raw("sw/passages.ids.txt", lambda x: x.replace(b"\n", b",\n")), "gold passages of sw are not"
    ),
    "a query's vector twice": Attack(
        "npy", raw("sw/queries.ids.txt", lambda x: x.splitlines(True)[0] * 2), "has query '1#0' twice"
    ),
    "no identifiers": Attack("npy", lambda f: (f / "sw/queries.ids.txt").unlink(), "has no queries.ids.txt beside it"),
    "vectors in a pipe": Attack("npy", instead("sw/queries.npy", os.mkfifo), "is a pipe or a device"),
    "vectors that are a folder": Attack("npy", instead("sw/queries.npy", Path.mkdir), "[Ii]s a directory"),
    "lists of unequal length": Attack(
        "parquet", column("sw/passages.parquet", "vector", lambda c: pa.array([[1.0], *c[1:]])), "differ in length"
    ),
    "a list that is missing": Attack(
        "parquet", column("sw/passages.parquet", "vector", lambda c: pa.array([None, *c[1:]])), "or are missing"
    ),
    "a number that is missing": Attack(
        "parquet", column("sw/passages.parquet", "vector", lambda c: pa.array([[None] * 8, *c[1:]])), "gave NaN"
    ),
    "lists of text": Attack(
        "parquet", column("sw/passages.parquet", "vector", lambda c: pa.array([["a"] * 8] * len(c))), "holds object"
    ),
    "maps for lists": Attack(
        "parquet",
        column(
            "sw/queries.parquet",
            "vector",
            lambda c: pa.array([[("a", 1.0)]] * len(c), pa.map_(pa.string(), pa.float32())),
        ),
        "cannot be read as vectors",
    ),
    "lists of fixed size": Attack(
        "parquet", column("sw/passages.parquet", "vector", lambda c: pa.array(c, pa.list_(pa.float32(), 8))), SAME
    ),
    "identifiers as bytes": Attack(
        "parquet", column("sw/queries.parquet", "id", lambda c: pa.array([x.encode() for x in c])), "row 1: b'"
    ),
    "other names for the columns": Attack(
        "parquet", table("sw/queries.parquet", lambda t: t.rename_columns(["a", "b"])), "has columns a, b"
    ),
}

OWN = {
    "a topic that is null": Attack(
        "own", value(Q, 0, topic=None), r"q\.jsonl, line 1: field 'topic' must be text", True
    ),
    "a topic that is a list": Attack(
        "own", value(Q, 0, topic=["open"]), r"q\.jsonl, line 1: field 'topic' must be text"
    ),
    "a topic of 3,000 letters": Attack(
        "own", value(Q, 0, topic="x" * 3000), r"q\.jsonl, line 1: field 'topic' must be text"
    ),
    "a topic with a line end": Attack("own", value(Q, 0, topic="open\n"), r"'open\\n' only in spaces"),
    "an answer that is an object": Attack("own", value(C, 0, answers=[{"a": 1}]), r"c\.jsonl, line 1: field 'answers'"),
    "an answer to nobody's question": Attack(
        "own", value(C, 0, answers=["\x1b[2J"]), r"topic '\\x1b\[2J', which no query asks", True
    ),
    "an answer twice": Attack("own", value(C, 0, answers=["open", "open"]), SAME),
    "an answer with a grade in quotes": Attack(
        "own", value(C, 0, answers={"open": "2"}), "the grade of 'open' in 'answers' is no number"
    ),
    "an answer with a grade without end": Attack("own", value(C, 0, answers={"open": 1e300}), "the grade of 'open'"),
    "no answers at all": Attack(
        "own",
        content(C, lambda x: re.sub(rb', "answers": \[[^]]*\]', b"", x)),
        "no candidate answers topic 'open': add one to c.jsonl",
    ),
    "answers in no language of the questions": Attack(
        "own", lambda f: [value(C, i, answers=[])(f) for i in (0, 2)], TAKEN
    ),
    "a question that is an object": Attack(
        "own", value(Q, 0, text={"en": "a"}), r"q\.jsonl, line 1: field 'text' must be text"
    ),
    "a question of half a character": Attack("own", value(Q, 0, text="\udc00"), f"line 1: field 'text' {HALF}"),
    "a question of spaces": Attack(
        "own", value(Q, 0, text=" \t\n"), r"q\.jsonl, line 1: field 'text' must be text that is not empty"
    ),
    "a candidate of 10 MB": Attack("own", value(C, 0, text="word " * 2 * 10**6), TAKEN),
    "a language nobody declared": Attack("own", value(Q, 0, language="xx"), "language 'xx' is not one of en, de"),
    "a language in capitals": Attack("own", value(Q, 0, language="EN"), "language 'EN' is not one of en, de"),
    "a language that is a list": Attack("own", value(Q, 0, language=["en"]), "is not one of en, de"),
    "a language of 9,000 letters": Attack("own", value(Q, 0, language="e" * 9000), "is not one of en, de"),
    "a question twice": Attack("own", content(Q, lambda x: x + x), "line 5: topic 'open' is asked twice in en"),
    "a candidate twice": Attack("own", content(C, lambda x: x + x), TAKEN),
    "questions as CSV": Attack(
        "own", raw(Q, lambda _: b"topic,language,text\nopen,en,hi\n"), r"q\.jsonl, line 1: not JSON"
    ),
    "questions as one list": Attack(
        "own", raw(Q, lambda x: b"[" + x.replace(b"\n", b",\n") + b"]"), "not JSON Lines, because a list"
    ),
    "questions over several lines": Attack(
        "own", content(Q, lambda x: x.replace(b", ", b",\n", 1)), r"q\.jsonl, line 1: not JSON"
    ),
    "no questions": Attack("own", raw(Q, nothing), r"q\.jsonl: is empty: write one JSON object a line", True),
    "no candidates": Attack("own", raw(C, lambda _: b" \n\n"), r"c\.jsonl: is empty: write one JSON object a line"),
    "questions with a mark and CRLF": Attack("own", content(Q, lambda x: marked(crlf(x))), SAME),
    "questions in UTF-16": Attack("own", content(Q, utf16), r"q\.jsonl: is not UTF-8 but UTF-16"),
    "candidates in Latin-1": Attack("own", content(C, lambda x: x.decode().encode("latin-1")), "is not UTF-8 .*line 2"),
    "questions in gzip": Attack("own", raw(Q, gzip.compress), r"q\.jsonl: is not UTF-8 but gzip"),
    "null bytes": Attack("own", raw(Q, lambda _: bytes(99)), r"q\.jsonl: is not UTF-8"),
    "questions in a pipe": Attack("own", instead(Q, os.mkfifo), r"q\.jsonl: is a pipe or a device"),
    "questions that are a folder": Attack(
        "own", instead(Q, Path.mkdir), r"q\.jsonl: cannot be read \(Is a directory\)"
    ),
    "questions that are not there": Attack(
        "own", lambda f: (f / Q).unlink(), r"q\.jsonl: cannot be read \(No such file"
    ),
    "a file name without end": Attack(
        "own", swap(TOML, "q.jsonl", "q" * 5000), r"cannot be read \(File name too long\)"
    ),
    "a file name with a null character": Attack("own", swap(TOML, "q.jsonl", "q\\u0000"), r"q\\x00: cannot be read"),
    "a language twice": Attack("own", swap(TOML, '["en"', '["en", "en"'), "'languages' must list distinct names"),
    "a language without texts": Attack("own", swap(TOML, '["en"', '["fr", "en"'), "no query in fr"),
    "no languages": Attack("own", swap(TOML, '["en", "de"]', "[]"), "'languages' is empty"),
    "a language that leaves the folder": Attack("own", swap(TOML, '["en"', '["../x", "en"'), "'languages' has '../x'"),
    "a lowest grade that is NaN": Attack("own", after(TOML, "relevant_from = nan\n"), "'relevant_from' is wrong"),
    "a key that nobody knows": Attack("own", after(TOML, "colour = 1\n"), "unknown key 'colour'"),
    "a key of the task twice": Attack("own", after(TOML, 'name = "x"\n'), "not valid TOML"),
    "the name of a shipped task": Attack(
        "own",
        lambda f: (swap(TOML, '"mine"', '"demo"')(f), (f / TOML).rename(f / "demo.toml")),
        "'demo' is a task of clirbench",
        True,
    ),
    "a metric that nobody knows": Attack("own", after(TOML, 'metrics = ["mAP@7"]\n'), "'metrics' has 'mAP@7'"),
}

RUNS = {
    "tabs between the fields": Attack("run", raw(RUN, lambda x: x.replace(b" ", b"\t")), SAME),
    "a run with a mark and CRLF": Attack("run", raw(RUN, lambda x: marked(crlf(x))), SAME),
    "commas between the fields": Attack("run", raw(RUN, lambda x: x.replace(b" ", b",")), RUN1 + "not 'query Q0", True),
    "a run with a heading": Attack("run", raw(RUN, lambda x: b"q Q0 d rank score tag\n" + x), RUN1 + "not 'query Q0"),
    "a run without tags": Attack("run", raw(RUN, lambda x: x.replace(b" tag", b"")), RUN1 + "not 'query Q0"),
    "a run with a field too many": Attack("run", swap(RUN, "tag", "tag x"), RUN1 + "not 'query Q0"),
    "an empty run": Attack("run", raw(RUN, nothing), "holds no line of a run"),
    "a run in UTF-16": Attack("run", raw(RUN, utf16), "is not UTF-8 but UTF-16"),
    "judgements for a run": Attack("run", raw(RUN, lambda _: b"1#0 Q0 10#0 1\n"), RUN1 + "not 'query Q0"),
    "JSON for a run": Attack("run", raw(RUN, lambda _: b'{"1#0": {"10#0": 1}}'), RUN1 + "not 'query Q0"),
    "a score that is NaN": Attack("run", swap(RUN, "9.8571", "nan"), RUN1 + "the score is nan", True),
    "a score that is infinite": Attack("run", swap(RUN, "9.8571", "1e400"), RUN1 + "the score is 1e400"),
    "a score with an underscore": Attack("run", swap(RUN, "9.8571", "9_8"), RUN1 + "not 'query Q0"),
    "a score in Arabic digits": Attack("run", swap(RUN, "9.8571", "\u0669"), RUN1 + "not 'query Q0"),
    "a score with a decimal comma": Attack("run", swap(RUN, "9.8571", "9,8571"), RUN1 + "not 'query Q0"),
    "a score in powers of ten": Attack("run", swap(RUN, "9.8571", "98.571E-1"), SAME),
    "a rank that contradicts its score": Attack("run", swap(RUN, " 1 9.8571", " 9 9.8571"), SAME),
    "a rank that is no number": Attack("run", swap(RUN, " 1 9.8571", " first 9.8571"), SAME),
    "a passage twice": Attack(
        "run", after(RUN, "1#0 Q0 10#0 9 0.1 tag\n"), "passage '10#0' stands twice for query '1#0'"
    ),
    "a passage that clears the screen twice": Attack(
        "run", after(RUN, "2 Q0 \x1b[2J 8 0.1 tag\n2 Q0 \x1b[2J 9 0.05 tag\n"), r"passage '\\x1b\[2J' stands twice"
    ),
    "a query that the task lacks": Attack(
        "run", after(RUN, "77 Q0 10#0 1 9 tag\n"), "the run has 1 queries that .* does not have"
    ),
    "no query of the task": Attack(
        "run", raw(RUN, lambda x: re.sub(rb"(?m)^", b"x", x.rstrip())), "the run has 2 queries"
    ),
    "nothing but judged passages": Attack(
        "run", raw(RUN, lambda _: b"1#0 Q0 10#0 1 2 t\n2 Q0 7#0 1 2 t\n"), "is a judged one"
    ),
    "a passage that looks like a judged one": Attack(
        "run", swap(RUN, "10#0", "10\u200b#0"), "only in the invisible character"
    ),
    "a query as a fraction": Attack(
        "run", raw(RUN, lambda x: x.replace(b"2 Q0", b"2.0 Q0")), "'2.0', which is not '2'"
    ),
    "a line of 4 MB": Attack("run", raw(RUN, lambda x: b"x " * 2 * 10**6 + b"\n" + x), RUN1 + "not 'query Q0"),
    "a tag of 9,000 letters": Attack("run", raw(RUN, lambda x: x.replace(b"tag", b"t" * 9000)), SAME),
    "a run that is a folder": Attack("run", instead(RUN, Path.mkdir), r"cannot be read \(Is a directory\)"),
}

ATTACKS: dict[str, Attack] = {**ORIGINAL, **MTEB, **VECTORS, **OWN, **RUNS}

PROMISE = Promise(
    what="Damaged data end in one line that names the file, and its line where it has some, or change no rank.",
    stops="One rule for identifiers, texts and grades (tasks/ids_and_grades.py, support/text_files.py), in every reader.",
    attacks=len(ATTACKS),
    test="tests/test_attacks_corpora.py",
)
