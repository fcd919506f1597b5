"""What a forger does to a submission: edit its JSON, its TOML, its ranks with all numbers that follow, its Parquet files."""

import dataclasses
import hashlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w

from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.results.ranks_file import encode_ranks
from clirbench.results.rescore import with_measures
from clirbench.results.result import Result, read_result
from clirbench.submissions.model_toml import parse_model_file

# The task whose files an attack edits if it names none.
TASK = "trio"
Change = Callable[[Path], object]


def split(keys: str) -> list[str]:
    """The keys of a dotted path; a key that holds a dot stands in brackets."""
    return [bracketed or plain for bracketed, plain in re.findall(r"\[([^\]]*)\]|([^.\[\]]+)", keys)]


def edit(folder: Path, change: Callable[[dict[str, Any]], object], file: str = f"{TASK}.json") -> None:
    """Change a JSON file in place."""
    path = folder / file
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8", errors="surrogatepass")


def put(keys: str, value: Any, file: str = f"{TASK}.json") -> Change:
    """Give a key of a JSON file a value; a function is called with the value before. ``keys`` is a dotted path."""
    *outer, last = split(keys)

    def change(document: Any) -> None:
        for key in outer:
            document = document[int(key) if isinstance(document, list) else key]
        place = int(last) if isinstance(document, list) else last
        document[place] = value(document[place]) if callable(value) else value

    return lambda folder: edit(folder, change, file)


def drop(keys: str, file: str = f"{TASK}.json") -> Change:
    """Take a key out of a JSON file."""
    *outer, last = split(keys)

    def change(document: Any) -> None:
        for key in outer:
            document = document[key]
        del document[last]

    return lambda folder: edit(folder, change, file)


def everywhere(keys: str, value: Any) -> Change:
    """Give a key of the results on both tasks a value."""
    return both(put(keys, value), put(keys, value, "duo.json"))


def both(*changes: Change) -> Change:
    """Several changes, one after the other; a change that gives the folder another name comes last, and its path is returned."""

    def change(folder: Path) -> object:
        done = [one(folder) for one in changes]
        return done[-1]

    return change


def write(file: str, content: bytes) -> Change:
    """Write a file."""
    return lambda folder: (folder / file).write_bytes(content)


def swap(file: str, old: str, new: str) -> Change:
    """Replace the first occurrence of a text, which must be there."""

    def change(folder: Path) -> None:
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text, old
        (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def toml(key: str, value: Any) -> Change:
    """Give a key of ``model.toml`` a value; a dotted key lies in a table."""
    outer, _, last = key.rpartition(".")

    def change(folder: Path) -> None:
        path = folder / "model.toml"
        values = parse_model_file(path.read_bytes(), path).model_dump(exclude_none=True)
        (values[outer] if outer else values)[last] = value
        path.write_text(tomli_w.dumps(values), encoding="utf-8")

    return change


def line(key: str, literal: str) -> Change:
    """Write a line of ``model.toml`` as it is, in the place of the line of that key."""

    def change(folder: Path) -> None:
        path = folder / "model.toml"
        kept = [text for text in path.read_text(encoding="utf-8").splitlines() if not text.startswith(f"{key} =")]
        path.write_text("\n".join([f"{key} = {literal}", *kept]) + "\n", encoding="utf-8")

    return change


def renamed(name: str, *changes: Change, folder_name: str = "") -> Change:
    """Give the model another name, in every file and in the name of the folder, which the caller finds again."""

    def change(folder: Path) -> Path:
        for one in (everywhere("model.name", name), toml("name", name), *changes):
            one(folder)
        return folder.rename(folder.with_name(folder_name or name.replace("/", "__")))

    return change


def signed(folder: Path, task: str = TASK) -> None:
    """Write the checksum of the ranks file into the result."""
    digest = hashlib.sha256((folder / f"{task}.ranks.parquet").read_bytes()).hexdigest()
    put("ranks.sha256", digest, f"{task}.json")(folder)


def ranks_bytes(make: Callable[[bytes], bytes]) -> Change:
    """Make another ranks file from the bytes of the true one, with its checksum."""

    def change(folder: Path) -> None:
        path = folder / f"{TASK}.ranks.parquet"
        path.write_bytes(make(path.read_bytes()))
        signed(folder)

    return change


def as_written(table: pa.Table, **options: Any) -> bytes:
    """The bytes of a table, written as clirbench writes ranks, so that the values decide; ``options`` go to the writer."""
    names = [
        field.name for field in table.schema if pa.types.is_string(field.type) or pa.types.is_dictionary(field.type)
    ]
    split = [field.name for field in table.schema if pa.types.is_integer(field.type) and field.type.bit_width >= 32]
    usual = {
        "compression": "zstd",
        "use_dictionary": names,
        "column_encoding": dict.fromkeys(split, "BYTE_STREAM_SPLIT"),
        "write_statistics": False,
        "store_schema": False,
    }
    sink = io.BytesIO()
    pq.write_table(table, sink, **(usual | options))
    return sink.getvalue()


def columns(make: Callable[[dict[str, pa.Array]], dict[str, pa.Array]], **options: Any) -> Change:
    """Write a ranks file with other columns, made from the true ones, with its checksum; ``options`` are those of the writer."""

    def rewrite(content: bytes) -> bytes:
        table = pq.read_table(io.BytesIO(content))
        true = {name: table.column(name).combine_chunks() for name in table.column_names}
        made = make(true)
        return as_written(made if isinstance(made, pa.Table) else pa.table(made), **options)

    return ranks_bytes(rewrite)


def column(name: str, make: Callable[[list[Any]], Any], **options: Any) -> Change:
    """Write a ranks file with one other column, made from the values of the true one."""
    return columns(lambda true: {**true, name: make(true[name].to_pylist())}, **options)


def ranks(make: Callable[[GoldRanks, np.ndarray], dict[str, Any]], task: str = TASK) -> Change:
    """Edit ranks and make every number fit them: ``make`` gets the ranks and the sizes of the pools, and returns fields."""

    def change(folder: Path) -> None:
        path = folder / f"{task}.json"
        result = read_result(path)
        sizes = np.array([result.document.counts.candidates[x] for x in result.ranks.languages])
        edited = dataclasses.replace(result.ranks, **make(result.ranks, sizes))
        totals, of_query, _ = jumps(edited, sizes, result.document.model.scores_by_pool)
        if any(field.name == "query_language_above" for field in dataclasses.fields(GoldRanks)):
            edited = dataclasses.replace(edited, query_language_above=of_query)
        save(folder, Result(result.document.model_copy(update={"queue_jump": totals}), edited, b""))

    return change


def save(folder: Path, result: Result) -> None:
    """Write a result whose ranks or totals were edited, with all numbers that follow from them."""
    content = encode_ranks(result.ranks)
    part = result.document.ranks.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    signed_result = Result(result.document.model_copy(update={"ranks": part}), result.ranks, content)
    with np.errstate(all="ignore"):
        document = with_measures(signed_result, part_of(result, "metrics"), part_of(result, "bias")).document
    (folder / document.ranks.file).write_bytes(content)
    (folder / f"{document.task.id}.json").write_text(document.model_dump_json(indent=1), encoding="utf-8")


def part_of(result: Result, key: str) -> list[str]:
    """The names of metrics, or of measures of bias, of a result."""
    return list(getattr(result.document.task, key))


def jumps(
    ranks: GoldRanks, sizes: np.ndarray, by_pool: bool = False
) -> tuple[dict[str, dict[str, dict[str, int]]], np.ndarray, bool]:
    """Queue-jump totals of a ranking with these ranks, the number of each row for the query's language, and whether there is one.

    There is one gold by query and language. On the walk down a ranking, the language whose gold comes next is served first: if
    there is a ranking with these ranks, this finds one. ``by_pool``: the ranks in blocks are of other rankings.
    """
    n, names = len(sizes), ranks.languages
    possible = True
    totals = np.zeros((n, n, n), dtype=np.int64)
    of_query = np.zeros(len(ranks), dtype=np.int32)
    for query in np.unique(ranks.query):
        rows = np.flatnonzero(ranks.query == query)
        rows = rows[np.argsort(ranks.pool_rank[rows], kind="stable")]
        golds = [int(ranks.gold_language[row]) for row in rows]
        above = np.zeros(n, dtype=np.int64)
        for place, row in enumerate(rows):
            due = int(ranks.pool_rank[row]) - 1 - place - int(above.sum())
            for language in [*golds[place:], *golds[:place], *(set(range(n)) - set(golds))]:
                limit = sizes[language] - (language in golds)
                if language in golds[place:] and not by_pool:
                    limit = ranks.own_rank[rows[golds.index(language)]] - 1
                more = max(0, min(due, int(limit - above[language])))
                above[language] += more
                due -= more
            possible &= due == 0 and (by_pool or above[golds[place]] == ranks.own_rank[row] - 1)
            totals[ranks.query_language[row], golds[place]] += above
            of_query[row] = above[ranks.query_language[row]]
    stated = {
        names[q]: {names[g]: {names[c]: int(totals[q, g, c]) for c in range(n)} for g in range(n)} for q in range(n)
    }
    return stated, of_query, bool(possible)


def moved_jumps(task: str = TASK) -> Change:
    """Move queue-jump totals from the query's language to a third one, as far as all sums and bounds allow, and recompute."""

    def change(folder: Path) -> None:
        result = read_result(folder / f"{task}.json")
        totals = json.loads(json.dumps(result.document.queue_jump))
        query, gold, third = "de", "en", "zh"
        row = totals[query][gold]
        row[query], row[third] = row[query] - 3, row[third] + 3
        save(folder, Result(result.document.model_copy(update={"queue_jump": totals}), result.ranks, b""))

    return change
