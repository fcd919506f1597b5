"""Seeded mutations of honest submissions: their JSON, TOML, Parquet, ranks, names and kinds of files, and splices of two.

python tests/attacks/mutations.py --number 2000    # what became of them, in what time and memory
"""

import io
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from attacks import forging
from attacks.promises import Promise

# How many a default run tries, how many a nightly one, and how many share one process.
DEFAULT, NIGHTLY, PART = 2_000, 10_000, 250
SEED = 20240810
# Bytes beyond what the checking process holds at its start, and seconds, that one submission may take.
MEMORY, SECONDS = 500_000_000, 20
TASKS = ("trio", "duo")


class Mutant(NamedTuple):
    """A submission that was changed.

    Attributes:
        folder: Where it lies.
        kind: The kind of mutation.
        told: What was done, to see what failed.
        forged: By task, the bytes of the result of edited ranks, with numbers that fit; empty for the other kinds.
    """

    folder: Path
    kind: str
    told: list[Any]
    forged: dict[str, bytes]


ODD: tuple[Any, ...] = (
    None, True, False, [], {}, "", "0.5", "NaN", "\0", " ", -1, 0, 1, 0.5, -0.0, 2**31, 2**32 + 1, 2**63, 10**30, 1e308, 1e-300,
    float("nan"), float("inf"), float("-inf"), "../../etc/passwd", "<script>alert(1)</script>", "a\u202eb", "\u3164", "\u2800",
    "clirbеnch", "=1+1", "＝1+1", "\x1b[2J", "::error::x", "a" + "\u0301" * 9, "x" * 5000, "\ud800", "{{7*7}}", ["x"] * 300,
    {"a": {"b": {"c": [[[[1]]]]}}}, {"value": 1.0, "low": 1.0, "high": 1.0}, "main", "sha256:" + "0" * 64,
)  # fmt: skip
NUDGES = (1e-8, -1e-6, 1e-3, 0.5, 1, -1, 7, 2**32)
LINES = (
    "true", "nan", "inf", "-1", "9" * 40, "1.5", "[]", "{}", "2026-01-01", '"<b>"', '"a\\u202Eb"', '"\\u3164"', '"=1+1"',
    '"http://x"', '"https://a@b"', "[[[[[1]]]]]", '["trio"]', '"""\n"""', "'x'", "", "{a = 1}",
)  # fmt: skip


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values that hold no others."""
    if isinstance(value, dict | list) and value:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))
    else:
        yield path


def within(value: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path."""
    for key in path:
        value = value[key]
    return value


def a_json(rng: random.Random, folder: Path) -> Path:
    return folder / rng.choice([*(f"{task}.json" for task in TASKS), "mteb.XNLI.json"])


def dumped(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


def json_values(rng: random.Random, folder: Path, other: Path) -> list[Any]:
    """Values replaced, nudged, removed, added, swapped, or turned into another type, in one JSON file."""
    path = a_json(rng, folder)
    document, told = json.loads(path.read_bytes()), [path.name]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        # Every key is as likely, so that not all mutations hit the many numbers.
        place = rng.choice(list(leaves(document)))
        place = place[: rng.randint(1, len(place))] if rng.random() < 0.5 else place
        if not place:
            continue
        holder, last = within(document, place[:-1]), place[-1]
        kind = rng.choice(("replace", "nudge", "nudge", "remove", "add", "swap", "text", "list", "rename"))
        told.append((kind, place))
        value = holder[last]
        if kind == "nudge" and isinstance(value, int | float) and not isinstance(value, bool):
            holder[last] = value + rng.choice(NUDGES)
        elif kind == "remove":
            del holder[last]
        elif kind == "add" and isinstance(holder, dict):
            holder[rng.choice(("x", "", "__proto__", "<b>", "mAP", "en", "a\u200bb"))] = rng.choice(ODD)
        elif kind == "swap":
            elsewhere = rng.choice(list(leaves(document)))
            if elsewhere:
                holder_2 = within(document, elsewhere[:-1])
                holder[last], holder_2[elsewhere[-1]] = holder_2[elsewhere[-1]], value
                # A value may have been put into itself.
                document = document if not circular(document) else json.loads(path.read_bytes())
        elif kind == "text":
            holder[last] = str(value)
        elif kind == "list" and isinstance(value, list):
            holder[last] = rng.choice((value[::-1], value + value, value[1:], [*value, rng.choice(ODD)]))
        elif kind == "rename" and isinstance(holder, dict):
            holder[rng.choice((f"{last} ", str(last).upper(), f"{last}\u0301"))] = holder.pop(last)
        else:
            holder[last] = rng.choice(ODD)
    path.write_bytes(dumped(document))
    return told


def circular(document: Any) -> bool:
    try:
        json.dumps(document)
    except (ValueError, RecursionError):
        return True
    return False


def json_text(rng: random.Random, folder: Path, other: Path) -> list[Any]:
    """Keys that stand twice, nesting, tokens that are no JSON, other encodings."""
    path = a_json(rng, folder)
    text = path.read_text(encoding="utf-8")
    places = [i for i, character in enumerate(text) if character in "{[,:"]
    place = rng.choice(places)
    key = json.dumps(rng.choice([leaf for leaf in leaves(json.loads(text)) if leaf])[-1])
    kind = rng.choice(("twice", "token", "nesting", "cut", "encoding", "escape"))
    if kind == "twice":
        text = text.replace(f"{key}:", f"{key}: {rng.choice(('0.99', 'null', '{}'))}, {key}:", 1)
    elif kind == "token":
        token = rng.choice(
            ("NaN", "-Infinity", "//x\n", "/**/", ",", "'", "\0", "1e999", "0x1", "01", "True", "\ufeff")
        )
        text = text[: place + 1] + token + text[place + 1 :]
    elif kind == "nesting":
        text = text[: place + 1] + "[" * rng.choice((10, 500, 20_000)) + text[place + 1 :]
    elif kind == "cut":
        text = text[:place]
    elif kind == "escape":
        text = text.replace(key, "".join(f"\\u{ord(c):04x}" for c in key.strip('"')).join('""'), rng.choice((1, -1)))
    encoding = rng.choice(("utf-16", "utf-32", "utf-8-sig", "latin-1")) if kind == "encoding" else "utf-8"
    path.write_bytes(text.encode(encoding))
    return [path.name, kind, place, key, encoding]


def toml(rng: random.Random, folder: Path, other: Path) -> list[Any]:
    """Lines of model.toml with other values, twice, left out, or more."""
    path = folder / "model.toml"
    lines = path.read_text(encoding="utf-8").splitlines()
    told: list[Any] = []
    for _ in range(rng.choice((1, 1, 2))):
        place = rng.choice([i for i, text in enumerate(lines) if " = " in text])
        key, kind = (
            lines[place].split(" = ")[0],
            rng.choice(("value", "value", "value", "twice", "remove", "more", "head")),
        )
        told.append((kind, key))
        if kind == "value":
            lines[place] = f"{key} = {rng.choice(LINES)}"
            told.append(lines[place])
        elif kind == "twice":
            lines.insert(place, lines[place])
        elif kind == "remove":
            del lines[place]
        elif kind == "more":
            lines.insert(place, f"{rng.choice(('verified', 'x', '<b>', 'trained_on.trio'))} = {rng.choice(LINES)}")
        else:
            lines.insert(
                place, rng.choice(("[trained_on]", "[x]", "[[x]]", "[trained_on.trio]", "[" + "a." * 3000 + "a]"))
            )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return told


def some_bytes(rng: random.Random, folder: Path, other: Path) -> list[Any]:
    """Bytes of a file overwritten, cut, repeated, put in, or taken from another file; checksums made to fit."""
    path = rng.choice(sorted(folder.iterdir()) + [folder / f"{task}.ranks.parquet" for task in TASKS] * 2)
    content = bytearray(path.read_bytes())
    kind = rng.choice(("flip", "flip", "flip", "cut", "twice", "insert", "zero", "tail of another"))
    told: list[Any] = [path.name, kind]
    # Parquet's footer is at the end: most lies would stand there.
    last = len(content) - 1
    start = rng.choice((0, max(0, last - 900)))
    place = rng.randint(start, last)
    if kind == "flip":
        for _ in range(rng.randint(1, 4)):
            content[rng.randint(start, last)] = rng.randint(0, 255)
    elif kind == "cut":
        del content[place:]
    elif kind == "twice":
        content += bytes(content)
    elif kind == "insert":
        content[place:place] = rng.randbytes(rng.randint(1, 60))
    elif kind == "zero":
        content[place : place + 8] = bytes(8)
    else:
        another = (other / path.name).read_bytes() if (other / path.name).is_file() else b""
        content[place:] = another[place:]
    path.write_bytes(bytes(content))
    sign(folder)
    return told


def sign(folder: Path) -> None:
    """Write the checksum of each ranks file into its result, where that can still be read."""
    for task in TASKS:
        try:
            forging.signed(folder, task)
        except (OSError, ValueError, TypeError, KeyError):
            continue


def parquet(rng: random.Random, folder: Path, other: Path) -> list[Any]:
    """A well-formed ranks file with other values, types, rows, columns or options of the writer; the checksum made to fit."""
    task = rng.choice(TASKS)
    path = folder / f"{task}.ranks.parquet"
    table = pq.read_table(io.BytesIO(path.read_bytes()))
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    kinds = {name: pa.string() if isinstance(values[0], str) else pa.int32() for name, values in columns.items()}
    name, rows = rng.choice(list(columns)), len(table)
    row, second = rng.randrange(rows), rng.randrange(rows)
    kind = rng.choice(("value", "value", "swap", "swap", "null", "type", "wrap", "rows", "column", "options", "rename"))
    options: dict[str, Any] = {}
    number = kinds[name] == pa.int32()
    if kind == "value":
        columns[name][row] = (
            rng.choice((0, -1, 1, 2, 35, 108, 2**31 - 1)) if number else rng.choice(("de", "xx", "", "\u202e"))
        )
    elif kind == "swap":
        columns[name][row], columns[name][second] = columns[name][second], columns[name][row]
    elif kind == "null":
        columns[name][row] = None
    elif kind == "type":
        kinds[name] = rng.choice((pa.int64(), pa.uint64(), pa.int16(), pa.float64())) if number else pa.large_string()
    elif kind == "wrap" and number:
        kinds[name] = rng.choice((pa.int64(), pa.uint64()))
        columns[name][row] += 2**32
    elif kind == "rows":
        order = rng.choice((list(range(rows - 1)), [*range(rows), row], rng.sample(range(rows), rows), [row] * rows))
        columns = {key: [values[i] for i in order] for key, values in columns.items()}
    elif kind == "column":
        columns[name + rng.choice(("2", " ", ""))] = columns[name]
        kinds |= dict.fromkeys(columns, kinds[name]) | kinds
        if rng.random() < 0.5:
            del columns[name]
    elif kind == "rename":
        columns[name] = [f"{value}x" if isinstance(value, str) else value + 1 for value in columns[name]]
    else:
        options = rng.choice(
            ({"compression": "gzip"}, {"row_group_size": 7}, {"data_page_version": "2.0"}, {"use_dictionary": False},
             {"write_statistics": True}, {"compression": "none"}, {"version": "1.0"}, {"write_page_checksum": True})
        )  # fmt: skip
    made = pa.table({key: pa.array(values, kinds[key]) for key, values in columns.items()})
    if kind == "options" and rng.random() < 0.3:
        made = made.replace_schema_metadata({"note": "x" * rng.choice((1, 3000))})
    if "use_dictionary" in options:
        options["column_encoding"] = {}
    path.write_bytes(forging.as_written(made, **options))
    sign(folder)
    return [task, kind, name, row, second, options]


def forged(rng: random.Random, folder: Path, other: Path) -> list[Any]:
    """Edited ranks of one task, with every number recomputed; sometimes one of the numbers is made better afterwards."""
    task = rng.choice(TASKS)
    told: list[Any] = [task]

    def make(ranks: Any, sizes: Any) -> dict[str, Any]:
        own, pool = ranks.own_rank.copy(), ranks.pool_rank.copy()
        for _ in range(rng.randint(1, 4)):
            kind, row, second = (
                rng.choice(("own", "pool", "swap", "query", "best")),
                rng.randrange(len(own)),
                rng.randrange(len(own)),
            )
            told.append((kind, row, second))
            here = np.flatnonzero(ranks.query == ranks.query[row])
            if kind == "own":
                own[row] = max(1, own[row] + rng.choice((-3, -1, 1, 3)))
            elif kind == "pool":
                pool[row] = max(1, pool[row] + rng.choice((-3, -1, 1, 3)))
            elif kind == "swap":
                pool[row], pool[second] = pool[second], pool[row]
            elif kind == "query":
                pool[here] = pool[rng.sample(here.tolist(), len(here))]
            else:
                own[here], pool[here] = 1, 1 + np.argsort(np.argsort(pool[here]))
        return {"own_rank": own, "pool_rank": pool}

    forging.ranks(make, task)(folder)
    return told


def files(rng: random.Random, folder: Path, other: Path) -> list[Any]:
    """Files renamed, removed, added, turned into links, folders or pipes, given other modes, or swapped."""
    paths = sorted(folder.iterdir())
    path = rng.choice(paths)
    kind = rng.choice(("rename", "remove", "task", "add", "link", "folder", "pipe", "mode", "swap", "copy"))
    told: list[Any] = [kind, path.name]
    if kind == "rename":
        path.rename(
            folder / rng.choice((path.name.upper(), f"{path.name} ", f".{path.name}", "x\n::error::y", "mteb.x.json"))
        )
    elif kind == "remove":
        path.unlink()
    elif kind == "task":
        for one in folder.glob(f"{rng.choice(TASKS)}.*"):
            one.unlink()
    elif kind == "add":
        (folder / rng.choice(("run.py", "a\x1b[2J", "demo.json", "\u202exslx", "verification.json"))).write_bytes(b"{}")
    elif kind == "mode":
        path.chmod(rng.choice((0o755, 0o600, 0o4755, 0o666)))
    elif kind == "swap":
        second = rng.choice(paths)
        one, two = path.read_bytes(), second.read_bytes()
        path.write_bytes(two)
        second.write_bytes(one)
    elif kind == "copy":
        (folder / rng.choice(paths).name).write_bytes(path.read_bytes())
    else:
        content = path.read_bytes()
        path.unlink()
        if kind == "link":
            (folder.parent / "elsewhere").write_bytes(content)
            path.symlink_to(folder.parent / "elsewhere")
        elif kind == "folder":
            path.mkdir()
        else:
            os.mkfifo(path)
    return told


def splice(rng: random.Random, folder: Path, other: Path) -> list[Any]:
    """A file, or a part of a result, of another submission; checksums made to fit."""
    kind = rng.choice(("file", "part", "part", "both files", "half"))
    task = rng.choice(TASKS)
    path = folder / f"{task}.json"
    told: list[Any] = [kind, task]
    if kind == "file":
        name = rng.choice([f"{task}.json", f"{task}.ranks.parquet", "model.toml"])
        (folder / name).write_bytes((other / name).read_bytes())
        told.append(name)
    elif kind == "both files":
        for name in (f"{task}.json", f"{task}.ranks.parquet"):
            (folder / name).write_bytes((other / name).read_bytes())
        if rng.random() < 0.5:
            forging.put("model.name", "acme/hybrid", path.name)(folder)
    else:
        mine, theirs = json.loads(path.read_bytes()), json.loads((other / path.name).read_bytes())
        for key in rng.sample(sorted(theirs), 1 if kind == "part" else len(theirs) // 2):
            mine[key] = theirs[key]
            told.append(key)
        path.write_bytes(dumped(mine))
    if rng.random() < 0.5:
        sign(folder)
    return told


Mutation = Callable[[random.Random, Path, Path], list[Any]]
KINDS: dict[Mutation, int] = {
    json_values: 8, json_text: 2, toml: 3, some_bytes: 5, parquet: 4, forged: 4, files: 2, splice: 3,
}  # fmt: skip


def mutant(number: int, honest: Path, other: Path, parent: Path) -> Mutant:
    """The mutant of a number, made from an honest submission in a folder of its own; the same one every time."""
    rng = random.Random(SEED + number)
    folder = parent / honest.name
    shutil.copytree(honest, folder)
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    told = kind(rng, folder, other)
    results = {}
    if kind is forged:
        results = {task: (folder / f"{task}.json").read_bytes() for task in TASKS}
        if rng.random() < 0.3:
            told += json_values(rng, folder, other)
    return Mutant(folder, kind.__name__, told, results)


PROMISE = Promise(
    what="A mutated submission that is accepted has the scores and the names of the honest one.",
    stops="every number is recomputed from the ranks, and ranks must be possible (clirbench/submissions/check_one.py)",
    attacks=DEFAULT,
    test="tests/test_attacks_mutations.py",
)
