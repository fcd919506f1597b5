"""Damage to what the cache and a killed run keep: vectors, scores of a second stage, inventories, counts of shards, downloads."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from attacks.promises import Promise

# Bytes of the checksum and of its line end.
SEAL = 65
DIFFERS, NONE = "its checksum differs", "it has no checksum"


@dataclass
class Place:
    """What an attack finds: files that are whole.

    Attributes:
        files: The files or folders by name. Vectors: the folder of an entry, by role and what differs from the attacked run
            ("query", "candidate other revision"). Else: single files.
        later: Functions that the model calls while it encodes.
        seal: Seals content for a file of the run as the project itself does: ``seal(name, content)``.
    """

    files: dict[str, Path]
    later: list[Callable[[], object]] = field(default_factory=list)
    seal: Callable[[str, bytes], bytes] | None = None


class Attack(NamedTuple):
    """One damage, and the right outcome of the next run.

    ``outcome`` is "again" where the damage is noted and the file is made again, "refused" where the run ends in one line, and
    "equal" where nothing is to be said. ``says`` is part of that line. Except where it is refused, the ranks are those of the
    undamaged run.
    """

    kind: Literal["vectors", "pairs", "server", "inventory", "counts", "source"]
    damage: Callable[[Place], object]
    outcome: Literal["again", "refused", "equal"] = "again"
    says: str = DIFFERS


# ------------------------------------------------------------------------------------------------------ damage to one file


def flipped(path, place, bit=0):
    """Flip one bit of the byte at ``place``; text finds the byte where it stands."""
    content = bytearray(path.read_bytes())
    at = content.index(place) if isinstance(place, bytes) else place
    content[at] ^= 1 << bit
    path.write_bytes(content)


def swapped(one, other):
    """Let two files or folders change places."""
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def copied(one, other):
    """Put a copy of ``one`` in the place of ``other``."""
    if one.is_dir():
        shutil.rmtree(other)
        shutil.copytree(one, other)
    else:
        shutil.copyfile(one, other)


def replaced_by(path, make):
    """Put something else in the place of a file: ``make`` is called with its path."""
    path.unlink()
    make(path)


def payload(path, change):
    """Change what a file holds, and keep its checksum as it was."""
    content = path.read_bytes()
    path.write_bytes(content[:SEAL] + change(content[SEAL:]))


def rewritten(path, change):
    """The same for an array: ``change`` takes it and returns another one."""

    def other(content):
        about, _, array = content.partition(b"\n")
        sink = BytesIO()
        np.save(sink, change(np.load(BytesIO(array))), allow_pickle=True)
        return about + b"\n" + sink.getvalue()

    payload(path, other)


def retold(path, change):
    """The same for JSON: ``change`` edits the document."""

    def other(content):
        document = json.loads(content)
        change(document)
        return json.dumps(document).encode()

    payload(path, other)


def pipe(path):
    os.mkfifo(path)


def listener(path):
    # The name of a socket is at most a hundred bytes long.
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


def unreadable(path):
    path.chmod(0)


# ---------------------------------------------------------------------------------------------------------------- vectors


def shard(place, number=0, entry="candidate"):
    return place.files[entry] / f"{number:06d}.npy"


def _vectors(change, entry="candidate", number=1):
    return Attack("vectors", lambda place: rewritten(shard(place, number, entry), change))


def _on_shard(damage, *outcome, number=1):
    return Attack("vectors", lambda place: damage(shard(place, number)), *outcome)


def _old_shard(place, change=lambda array: array):
    """A shard as releases up to 0.1 wrote it, with their list of checksums beside it."""
    import hashlib

    path = shard(place)
    array = change(np.load(BytesIO(path.read_bytes()[SEAL:].partition(b"\n")[2])))
    np.save(path, array)
    listed = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    path.with_name("manifest.json").write_text(json.dumps({"format": 1, "shards": listed, "output_dtype": "float32"}))


def _forged(place, content):
    """Content that no run wrote, under a checksum that is right."""
    path = shard(place)
    path.write_bytes(place.seal(path.name, content))


def _array(array):
    sink = BytesIO()
    np.save(sink, array, allow_pickle=True)
    return b'{"output_dtype": "float32", "written": 0}\n' + sink.getvalue()


FLIPS = {
    "the first digit of the checksum": (0, 0),
    "the last digit of the checksum": (63, 0),
    "a digit that becomes a capital": (b"a", 5),
    "the end of the checksum's line": (64, 0),
    "the note on the dtype": (b"output", 1),
    "the note of the time": (b"written", 0),
    "the magic word of the array": (b"NUMPY", 0),
    "the byte order of the array": (b"<f4", 1),
    "the width of its numbers": (b"f4", 2),
    "the order of its rows": (b"False", 3),
    "the number of its dimensions": (b", 8)", 3),
}
NUMBERS = {
    "the sign of a number": (-1, 7),
    "the exponent of a number": (-1, 0),
    "the last bit of a number": (-4, 0),
    "a number in the middle": (-200, 6),
}

VECTORS = {
    **{
        f"vectors: a bit of {what} is flipped": _on_shard(
            lambda path, at=at, bit=bit: flipped(path, at, bit), "again", NONE if at == 64 else DIFFERS
        )
        for what, (at, bit) in {**FLIPS, **NUMBERS}.items()
    },
    "vectors: the last byte is cut off": _on_shard(lambda path: path.write_bytes(path.read_bytes()[:-1])),
    "vectors: the second half is cut off": _on_shard(
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    ),
    "vectors: only the checksum is left": _on_shard(lambda path: path.write_bytes(path.read_bytes()[:SEAL])),
    "vectors: half a checksum is left": _on_shard(lambda path: path.write_bytes(path.read_bytes()[:32]), "again", NONE),
    "vectors: nothing is left": _on_shard(lambda path: path.write_bytes(b""), "again", NONE),
    "vectors: zeros of the same length, as after a crash": _on_shard(
        lambda path: path.write_bytes(bytes(path.stat().st_size)), "again", NONE
    ),
    "vectors: a byte is appended": _on_shard(lambda path: path.write_bytes(path.read_bytes() + b"\0")),
    "vectors: a row of zeros is appended": _on_shard(lambda path: path.write_bytes(path.read_bytes() + bytes(32))),
    "vectors: the file twice in one": _on_shard(lambda path: path.write_bytes(path.read_bytes() * 2)),
    "vectors: a line end before the file": _on_shard(
        lambda path: path.write_bytes(b"\n" + path.read_bytes()), "again", NONE
    ),
    "vectors: line ends as on Windows": _on_shard(
        lambda path: path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n")), "again", NONE
    ),
    "vectors: a page for people in the place of the file": _on_shard(
        lambda path: path.write_bytes(b"<html>moved</html>" * 9), "again", NONE
    ),
    "vectors: two shards are swapped": Attack("vectors", lambda place: swapped(shard(place, 0), shard(place, 1))),
    "vectors: first shards of both roles are swapped": Attack(
        "vectors", lambda place: swapped(shard(place, 0, "query"), shard(place, 0))
    ),
    "vectors: a shard moves up by one place": Attack("vectors", lambda place: shard(place, 1).replace(shard(place, 0))),
    "vectors: a shard in the place of all others": Attack(
        "vectors", lambda place: [copied(shard(place, 0), shard(place, number)) for number in (1, 2, 3)]
    ),
    "vectors: the entries of both roles are swapped": Attack(
        "vectors", lambda place: swapped(place.files["query"], place.files["candidate"])
    ),
    **{
        f"vectors: {what} of another {other}": Attack("vectors", damage)
        for other in ("model", "revision", "prompt", "length", "task")
        for what, damage in (
            (
                "a shard",
                lambda place, other=other: copied(shard(place, 0, f"query other {other}"), shard(place, 0, "query")),
            ),
            (
                "an entry",
                lambda place, other=other: copied(place.files[f"candidate other {other}"], place.files["candidate"]),
            ),
        )
    },
    "vectors: negated": _vectors(lambda array: -array),
    "vectors: negated, of the queries": _vectors(lambda array: -array, "query", 0),
    "vectors: doubled": _vectors(lambda array: array * 2),
    "vectors: all zero": _vectors(np.zeros_like),
    "vectors: NaN": _vectors(lambda array: array * np.nan),
    "vectors: infinite": _vectors(lambda array: array + np.inf),
    "vectors: one number is NaN": _vectors(
        lambda array: np.where(np.arange(array.size).reshape(array.shape), array, np.nan)
    ),
    "vectors: rows in another order": _vectors(lambda array: array[::-1].copy()),
    "vectors: columns in another order": _vectors(lambda array: array[:, ::-1].copy()),
    "vectors: a row too few": _vectors(lambda array: array[:-1]),
    "vectors: a column too few": _vectors(lambda array: array[:, :-1]),
    "vectors: no rows": _vectors(lambda array: array[:0]),
    "vectors: one row, repeated": _vectors(lambda array: np.repeat(array[:1], len(array), axis=0)),
    "vectors: the other byte order": _vectors(lambda array: array.astype(">f4")),
    "vectors: float64": _vectors(lambda array: array.astype(np.float64)),
    "vectors: float16": _vectors(lambda array: array.astype(np.float16)),
    "vectors: integers of the same bits": _vectors(lambda array: array.view(np.int32)),
    "vectors: columns first": _vectors(np.asfortranarray),
    "vectors: transposed": _vectors(lambda array: array.T.copy()),
    "vectors: three dimensions": _vectors(lambda array: array[None]),
    "vectors: flat": _vectors(np.ravel),
    "vectors: complex numbers": _vectors(lambda array: array.astype(np.complex64)),
    "vectors: pickled objects": _vectors(lambda array: array.astype(object)),
    "vectors: rounded to 8 bits": _vectors(lambda array: array.round(2)),
    "vectors: of an older release": Attack("vectors", _old_shard, "again", NONE),
    "vectors: of an older release, and negated": Attack(
        "vectors", lambda place: _old_shard(place, np.negative), "again", NONE
    ),
    "vectors: a right checksum over no array": Attack(
        "vectors", lambda place: _forged(place, b"{}\n"), "again", "holds no vectors"
    ),
    "vectors: a right checksum over no line": Attack(
        "vectors", lambda place: _forged(place, b""), "again", "holds no vectors"
    ),
    "vectors: a right checksum over pickled objects": Attack(
        "vectors", lambda place: _forged(place, _array(np.array([print], dtype=object))), "again", "holds no vectors"
    ),
    "vectors: a right checksum over too few rows": Attack(
        "vectors",
        lambda place: _forged(place, _array(np.ones((2, 8), dtype=np.float32))),
        "again",
        "holds other vectors",
    ),
    "vectors: a right checksum over NaN": Attack(
        "vectors",
        lambda place: _forged(place, _array(np.full((8, 8), np.nan, dtype=np.float32))),
        "refused",
        "gave NaN",
    ),
    "vectors: a link to another shard": _on_shard(
        lambda path: replaced_by(path, lambda path: path.symlink_to(path.with_name("000000.npy")))
    ),
    "vectors: another name of another shard's file": _on_shard(
        lambda path: replaced_by(path, lambda path: path.hardlink_to(path.with_name("000000.npy")))
    ),
    "vectors: a link to nowhere": _on_shard(
        lambda path: replaced_by(path, lambda path: path.symlink_to("nowhere")), "equal"
    ),
    "vectors: a link to itself": _on_shard(
        lambda path: replaced_by(path, lambda path: path.symlink_to(path.name)), "again", "it cannot be read"
    ),
    "vectors: a link to endless zeros": _on_shard(
        lambda path: replaced_by(path, lambda path: path.symlink_to("/dev/zero")), "again", "it is no file"
    ),
    "vectors: a link to the file, which lies elsewhere": _on_shard(
        lambda path: (path.rename(path.parent.parent / "elsewhere"), path.symlink_to("../elsewhere")), "equal"
    ),
    "vectors: a folder in the place of a shard": _on_shard(
        lambda path: replaced_by(path, Path.mkdir), "refused", "cannot write the vector cache"
    ),
    "vectors: a pipe in the place of a shard": _on_shard(
        lambda path: replaced_by(path, pipe), "again", "it is no file"
    ),
    "vectors: a socket in the place of a shard": _on_shard(
        lambda path: replaced_by(path, listener), "again", "it is no file"
    ),
    "vectors: a shard without permission": _on_shard(unreadable, "again", "it cannot be read"),
    "vectors: a shard is gone": _on_shard(Path.unlink, "equal"),
    "vectors: a shard has another ending": _on_shard(lambda path: path.rename(path.with_suffix(".npy.bak")), "equal"),
    "vectors: an entry is gone": Attack("vectors", lambda place: shutil.rmtree(place.files["query"]), "equal"),
    "vectors: a file in the place of an entry": Attack(
        "vectors",
        lambda place: (shutil.rmtree(place.files["query"]), place.files["query"].write_text("")),
        "refused",
        "cannot write the vector cache",
    ),
    "vectors: a link to the entry of another model": Attack(
        "vectors",
        lambda place: (
            shutil.rmtree(place.files["candidate"]),
            place.files["candidate"].symlink_to(place.files["candidate other model"].name),
        ),
    ),
    "vectors: files of somebody else beside the shards": Attack(
        "vectors", lambda place: shard(place).with_name("notes.txt").write_text("mine"), "equal"
    ),
    "vectors: a half-written part beside the shards": Attack(
        "vectors", lambda place: shard(place).with_name(".000000.npy.0123.part").write_bytes(b"half"), "equal"
    ),
    "vectors: a half-written part of tomorrow, because the clock was set back": Attack(
        "vectors",
        lambda place: (
            shard(place, 1).unlink(),
            shard(place).with_name(".000001.npy.0123.part").touch(),
            os.utime(shard(place).with_name(".000001.npy.0123.part"), (4e9, 4e9)),
        ),
        "equal",
    ),
    "vectors: the entry goes while the run encodes": Attack(
        "vectors",
        lambda place: (shard(place, 1).unlink(), place.later.append(lambda: shutil.rmtree(place.files["candidate"]))),
        "equal",
    ),
    "vectors: the whole cache goes while the run encodes": Attack(
        "vectors",
        lambda place: (
            shard(place, 0, "query").unlink(),
            place.later.append(lambda: shutil.rmtree(place.files["query"].parent)),
        ),
        "equal",
    ),
    "vectors: a later shard is damaged while the run encodes": Attack(
        "vectors",
        lambda place: (shard(place, 1).unlink(), place.later.append(lambda: flipped(shard(place, 3), -1))),
    ),
}


# ----------------------------------------------------------------------------- scores of a second stage; vectors of a server


def _pairs(damage, *outcome):
    return Attack("pairs", lambda place: damage(place.files["pairs"] / "000000.npy", place), *outcome)


PAIRS = {
    "pairs: negated": _pairs(lambda path, _: rewritten(path, np.negative)),
    "pairs: in another order": _pairs(lambda path, _: rewritten(path, lambda array: array[::-1].copy())),
    "pairs: infinite": _pairs(lambda path, _: rewritten(path, lambda array: array + np.inf)),
    "pairs: a bit of a score is flipped": _pairs(lambda path, _: flipped(path, -1, 6)),
    "pairs: two files are swapped": _pairs(lambda path, _: swapped(path, path.with_name("000001.npy"))),
    "pairs: the last score is cut off": _pairs(lambda path, _: path.write_bytes(path.read_bytes()[:-4])),
    "pairs: of another second stage": _pairs(
        lambda path, place: copied(place.files["pairs other model"], place.files["pairs"])
    ),
    "pairs: of another depth": _pairs(
        lambda path, place: copied(place.files["pairs other depth"] / path.name, path)
    ),
    "pairs: vectors in their place": _pairs(lambda path, place: copied(place.files["query"] / path.name, path)),
    "pairs: a folder in the place of a file": _pairs(
        lambda path, _: replaced_by(path, Path.mkdir), "refused", "cannot write the vector cache"
    ),
}  # fmt: skip


def _aged(place, seconds):
    """Vectors of a server that were kept at another time; their checksum is right."""
    path = shard(place)
    content = path.read_bytes()[SEAL:]
    about, _, array = content.partition(b"\n")
    stated = json.loads(about)
    stated["written"] += seconds
    path.write_bytes(place.seal(path.name, json.dumps(stated).encode() + b"\n" + array))


SERVER = {
    "server: vectors of the day before yesterday": Attack("server", lambda place: _aged(place, -2 * 86400), "equal"),
    "server: vectors of tomorrow, because the clock was set back": Attack(
        "server", lambda place: _aged(place, 2 * 86400), "equal"
    ),
    "server: the note of the time is edited": Attack(
        "server", lambda place: payload(shard(place), lambda content: content.replace(b'"written": 1', b'"written": 2'))
    ),
    "server: a new date of an old file": Attack(
        "server", lambda place: (_aged(place, -2 * 86400), os.utime(shard(place))), "equal"
    ),
    "server: negated": Attack("server", lambda place: rewritten(shard(place), np.negative)),
    "server: of another server": Attack(
        "server", lambda place: copied(place.files["candidate other server"], place.files["candidate"])
    ),
}


# ------------------------------------------------------------------------------------------------------------ inventories


def _inventory(damage, *outcome):
    return Attack("inventory", lambda place: damage(place.files["sw 0"], place), *outcome)


def _told(change):
    return _inventory(lambda path, _: retold(path, change))


def _one_more(document):
    document["shards"][0][0] += 1


def _one_moved(document):
    document["shards"][0][0] += 1
    document["shards"][1][0] -= 1


def _merged(document):
    document["shards"] = [[sum(rows for rows, _ in document["shards"]), document["shards"][0][1]]]


def _gold(change):
    def edit(document):
        for gold in document["golds"].values():
            change(gold)

    return edit


def _renamed_golds(document):
    document["golds"] = {f"{name}0": gold for name, gold in document["golds"].items()}


def _same_size(place):
    """Two wrong candidates of a shard change places: the file is as long as before, and has its old time."""
    path = place.files["corpus sw 0"]
    state = path.stat()
    content = path.read_bytes()
    place.files["changed corpus sw 0"].replace(path)
    assert path.stat().st_size == len(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


INVENTORY = {
    "inventory: a bit of the checksum is flipped": _inventory(lambda path, _: flipped(path, 7)),
    "inventory: a bit of a shard's checksum is flipped": _inventory(lambda path, _: flipped(path, -90, 1)),
    "inventory: a bit of a gold text is flipped": _inventory(lambda path, _: flipped(path, b"golds", 0)),
    "inventory: a shard is longer": _told(_one_more),
    "inventory: a row moves to the next shard": _told(_one_moved),
    "inventory: all rows in one shard": _told(_merged),
    "inventory: a shard is gone": _told(lambda document: document["shards"].pop()),
    "inventory: shards in another order": _told(lambda document: document["shards"].reverse()),
    "inventory: a shard twice": _told(lambda document: document["shards"].append(document["shards"][0])),
    "inventory: no shards": _told(lambda document: document["shards"].clear()),
    "inventory: a shard of minus one rows": _told(lambda document: document["shards"][0].__setitem__(0, -1)),
    "inventory: golds in other rows": _told(_gold(lambda gold: gold.__setitem__(0, gold[0] + 1))),
    "inventory: golds with other texts": _told(_gold(lambda gold: gold.__setitem__(1, "another text"))),
    "inventory: golds without texts": _told(_gold(lambda gold: gold.__setitem__(1, None))),
    "inventory: golds with other identifiers": _told(_renamed_golds),
    "inventory: no golds": _told(lambda document: document["golds"].clear()),
    "inventory: other numbers of judged rows": _told(lambda document: document.update(judged=0)),
    "inventory: of another file": _inventory(lambda path, place: copied(place.files["sw 1"], path)),
    "inventory: of another language": _inventory(lambda path, place: swapped(place.files["yo 0"], path)),
    "inventory: of another shard size": _inventory(lambda path, place: copied(place.files["sw 0 other size"], path)),
    "inventory: cut off": _inventory(lambda path, _: path.write_bytes(path.read_bytes()[:-2])),
    "inventory: empty": _inventory(lambda path, _: path.write_bytes(b""), "again", NONE),
    "inventory: of an older release": _inventory(
        lambda path, _: path.write_bytes(path.read_bytes()[SEAL:]), "again", NONE
    ),
    "inventory: a right checksum over another document": _inventory(
        lambda path, place: path.write_bytes(place.seal("sw 0", b'{"shards": []}')), "again", "it holds no inventory"
    ),
    "inventory: a right checksum over brackets without end": _inventory(
        lambda path, place: path.write_bytes(place.seal("sw 0", b"[" * 100_000)), "again", "it holds no inventory"
    ),
    "inventory: a pipe in its place": _inventory(lambda path, _: replaced_by(path, pipe), "again", "it is no file"),
    "inventory: a folder in its place": _inventory(
        lambda path, _: replaced_by(path, Path.mkdir), "refused", "cannot write"
    ),
    "inventory: a link to that of another file": _inventory(
        lambda path, place: replaced_by(path, lambda path: path.symlink_to(place.files["sw 1"].name))
    ),
    "inventory: gone": _inventory(lambda path, _: path.unlink(), "equal"),
    "inventory: without permission": _inventory(lambda path, _: unreadable(path), "again", "Permission denied"),
    "inventory: the corpus changes, with its old size and time": Attack("inventory", _same_size, "equal"),
    "inventory: the corpus changes while the run encodes": Attack(
        "inventory",
        lambda place: place.later.append(
            lambda: place.files["changed corpus sw 0"].replace(place.files["corpus sw 0"])
        ),
        "refused",
        "differ from those read at the start",
    ),
}


# --------------------------------------------------------------------------------------------------------------- counts


def _counts(damage, *outcome):
    return Attack("counts", lambda place: damage(place.files["shard"], place), *outcome)


def _of_run(name, damage, *outcome):
    return Attack("counts", lambda place: damage(place.files[name], place), *outcome)


def _edited(path, old, new):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


AGAIN = "is damaged: counted again"
COUNTS = {
    "counts: a bit of the checksum is flipped": _counts(lambda path, _: flipped(path, 3), "again", AGAIN),
    "counts: a bit of the counts is flipped": _counts(lambda path, _: flipped(path, 200), "again", AGAIN),
    "counts: the last bit is flipped": _counts(lambda path, _: flipped(path, -1), "again", AGAIN),
    "counts: a byte is appended": _counts(lambda path, _: path.write_bytes(path.read_bytes() + b"\0"), "again", AGAIN),
    "counts: the second half is cut off": _counts(
        lambda path, _: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "again", AGAIN
    ),
    "counts: empty": _counts(lambda path, _: path.write_bytes(b""), "again", AGAIN),
    "counts: of no candidates": _counts(
        lambda path, _: payload(path, lambda _: b"PK\x05\x06" + bytes(18)), "again", AGAIN
    ),
    "counts: swapped with another shard's": _counts(
        lambda path, place: swapped(path, place.files["other shard"]), "again", AGAIN
    ),
    "counts: of another run": _counts(lambda path, place: copied(place.files["shard other run"], path), "again", AGAIN),
    "counts: of another model": _counts(
        lambda path, place: copied(place.files["shard other model"], path), "again", AGAIN
    ),
    "counts: a pipe in their place": _counts(
        lambda path, _: replaced_by(path, pipe), "refused", "remove it, and it is counted again"
    ),
    "counts: a folder in their place": _counts(
        lambda path, _: replaced_by(path, Path.mkdir), "refused", "remove it, and it is counted again"
    ),
    "counts: gone": _counts(lambda path, _: path.unlink(), "equal"),
    "pass 1: a bit of a vector is flipped": _of_run("first.npz", lambda path, _: flipped(path, 300, 6), "again", AGAIN),
    "pass 1: cut off": _of_run("first.npz", lambda path, _: path.write_bytes(path.read_bytes()[:-9]), "again", AGAIN),
    "pass 1: of another model": _of_run(
        "first.npz", lambda path, place: copied(place.files["first.npz other model"], path), "again", AGAIN
    ),
    "pass 1: gone": _of_run("first.npz", lambda path, _: path.unlink(), "equal"),
    "pass 1: a folder in its place": _of_run(
        "first.npz", lambda path, _: replaced_by(path, Path.mkdir), "refused", "cannot be read"
    ),
    "pass 1: a pipe in its place": _of_run(
        "first.npz", lambda path, _: replaced_by(path, pipe), "refused", "cannot be read"
    ),
    "manifest: another model's name": _of_run(
        "manifest.json", lambda path, _: _edited(path, b"test/hashed", b"test/hashes"), "again", AGAIN
    ),
    "manifest: another checksum of pass 1": _of_run(
        "manifest.json", lambda path, _: _edited(path, b'"first": "', b'"first": "0'), "again", AGAIN
    ),
    "manifest: a key less": _of_run(
        "manifest.json", lambda path, _: _edited(path, b'"identity"', b'"identify"'), "again", AGAIN
    ),
    "manifest: a list": _of_run("manifest.json", lambda path, _: path.write_text("[]"), "again", AGAIN),
    "manifest: null": _of_run("manifest.json", lambda path, _: path.write_text("null"), "again", AGAIN),
    "manifest: brackets without end": _of_run(
        "manifest.json", lambda path, _: path.write_text("[" * 100_000), "again", AGAIN
    ),
    "manifest: bytes that are no text": _of_run(
        "manifest.json", lambda path, _: path.write_bytes(b"\xff\xfe{"), "again", AGAIN
    ),
    "manifest: cut off": _of_run(
        "manifest.json", lambda path, _: path.write_bytes(path.read_bytes()[:-3]), "again", AGAIN
    ),
    "manifest: of another model's run": _of_run(
        "manifest.json",
        lambda path, place: copied(place.files["manifest.json other model"], path),
        "refused",
        "was begun with another model",
    ),
    "manifest: gone": _of_run("manifest.json", lambda path, _: path.unlink(), "equal"),
    "manifest: a folder in its place": _of_run(
        "manifest.json", lambda path, _: replaced_by(path, Path.mkdir), "refused", "nothing was removed"
    ),
    "counts: the folder goes while the run counts": Attack(
        "counts",
        lambda place: place.later.append(lambda: shutil.rmtree(place.files["shard"].parent)),
        "equal",
    ),
    "counts: the corpus changed since": Attack(
        "counts",
        lambda place: place.files["changed corpus sw 0"].replace(place.files["corpus sw 0"]),
        "refused",
        "was begun with another corpus",
    ),
}


# ------------------------------------------------------------------------------------------------------------- downloads


def _source(damage, *outcome):
    return Attack("source", lambda place: damage(place.files["source"]), *outcome)


SOURCE = {
    "download: a bit is flipped": _source(lambda path: flipped(path, 9), "refused", "delete it and run again"),
    "download: cut off": _source(
        lambda path: path.write_bytes(path.read_bytes()[:-1]), "refused", "delete it and run again"
    ),
    "download: empty": _source(lambda path: path.write_bytes(b""), "refused", "delete it and run again"),
    "download: line ends as on Windows": _source(
        lambda path: path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n")), "refused", "CRLF line ends"
    ),
    "download: a folder in its place": _source(
        lambda path: replaced_by(path, Path.mkdir), "refused", "check the network"
    ),
    "download: a pipe in its place": _source(lambda path: replaced_by(path, pipe), "refused", "check the network"),
}

ATTACKS: dict[str, Attack] = {**VECTORS, **PAIRS, **SERVER, **INVENTORY, **COUNTS, **SOURCE}

PROMISE = Promise(
    what="A damaged, swapped or outdated file of the cache, or of a run that was killed, changes no rank.",
    stops="A checksum in each file, over its content and what it is, that is checked when it is read (support/sealed.py).",
    attacks=len(ATTACKS),
    test="tests/test_attacks_caches.py",
)
