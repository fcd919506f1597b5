"""Damaged files of the cache and of killed runs: equal ranks with a note, or one line; never a traceback, never another rank."""

import functools
import gzip
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from attacks.caches import ATTACKS, Place
from conftest import tiny_collection
from miracl_corpus import build, invented

from clirbench.encoders import encode, vector_cache
from clirbench.encoders.base import EncoderSettings, LoadedEncoder, LoadedRerank, LoadedReranker, ModelInfo
from clirbench.encoders.encode import by_length
from clirbench.encoders.vector_cache import CacheEntry
from clirbench.evaluation.streaming.options import Streaming
from clirbench.evaluation.streaming.streamed_task import StreamedTask
from clirbench.ranking import counters, second_stage
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import Silent
from clirbench.support.sealed import seal
from clirbench.tasks.corpora import inventory
from clirbench.tasks.fetch import fetch
from clirbench.tasks.selection import select
from clirbench.tasks.task import SETTINGS, SourceFile
from clirbench.tasks.task_file import load_task

SHARD = 8


class Notes(Silent):
    """A reporter that keeps the lines which the user is told."""

    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


class Hashed:
    """Vectors that depend on a text and on a salt alone."""

    def __init__(self, salt="", later=()):
        self.salt, self.later = salt, later

    def encode_queries(self, texts):
        while self.later:
            self.later.pop()()
        return np.array([self.vector(text) for text in texts])

    encode_candidates = encode_queries

    def vector(self, text):
        seed = list(hashlib.sha256(f"{self.salt} {text}".encode()).digest())
        return np.random.default_rng(seed).standard_normal(SHARD).astype(np.float32)

    def score_pairs(self, pairs):
        return np.array([self.vector(" ".join(pair))[0] for pair in pairs])


def model_of(what="", later=()):
    """The attacked model, or one that differs in ``what``."""
    info = ModelInfo(f"test/hashed{'-2' if what == 'model' else ''}", "bundled", "1", "test")
    if what == "revision":
        info = replace(info, revision="2")
    settings = EncoderSettings(similarity="cosine")
    if what == "prompt":
        settings = replace(settings, query_prompt="find: ", candidate_prompt="text: ")
    if what == "length":
        settings = replace(settings, query_max_length=9, candidate_max_length=9)
    return LoadedEncoder(encoder=Hashed(what, later), info=info, settings=settings)


def served(what="", later=()):
    model = model_of(what, later)
    where = "http://127.0.0.1:1/v1" if what else "http://127.0.0.1:2/v1"
    return replace(model, info=replace(model.info, kind="endpoint", revision=None), served_by=where)


def two_stages(what="", later=()):
    info = ModelInfo(f"test/pairs{'-2' if what == 'model' else ''}", "sentence-transformers", "1", "test")
    settings = EncoderSettings(similarity="rerank", depth=5 if what == "depth" else 4)
    second = LoadedReranker(scorer=Hashed(what, later), info=info, settings=EncoderSettings(similarity="rerank"))
    both = replace(info, name="test/both", kind="rerank")
    return LoadedRerank(first=model_of("", later), second=second, info=both, settings=settings)


@dataclass
class Store:
    """What one kind of attack meets: files, and a run that reads them."""

    place: Place
    run: object


def ranked(model, collection, root, notes):
    context = RunContext(root, reporter=notes)
    counts = counters.encode(model, collection, context).count(SETTINGS, context)
    return bytes(counts.outranked.wrong) + bytes(counts.outranked.gold) + bytes(counts.within.wrong)


def entry(model, collection, role, root):
    texts = collection.queries if role == "query" else collection.candidates
    return CacheEntry(root, model, role, by_length(texts))


def store_of_vectors(root, make=model_of, others=("model", "revision", "prompt", "length", "task")):
    collection, other_texts = tiny_collection(), tiny_collection(("en", "de", "th"))
    ranked(make(), collection, root, Notes())
    files = {role: entry(make(), collection, role, root).folder for role in ("query", "candidate")}
    for other in others:
        chosen = other_texts if other == "task" else collection
        ranked(make(other), chosen, root, Notes())
        for role in ("query", "candidate"):
            files[f"{role} other {other}"] = entry(make(other), chosen, role, root).folder

    def sealed(name, content):
        return seal(entry(make(), collection, "candidate", root)._identity(int(Path(name).stem)), content)

    place = Place(files, seal=sealed)
    return Store(place, lambda notes: ranked(make("", place.later), collection, root, notes))


def store_of_pairs(root):
    collection = tiny_collection()
    ranked(model_of(), collection, root, Notes())
    files = {"query": entry(model_of(), collection, "query", root).folder}
    for name, model in (
        ("", two_stages()),
        (" other model", two_stages("model")),
        (" other depth", two_stages("depth")),
    ):
        before = set(root.iterdir())
        ranked(model, collection, root, Notes())
        (files[f"pairs{name}"],) = set(root.iterdir()) - before
    place = Place(files)
    return Store(place, lambda notes: ranked(two_stages("", place.later), collection, root, notes))


def store_of_a_server(root):
    store = store_of_vectors(root, served, ())
    ranked(served("server"), tiny_collection(), root, Notes())
    store.place.files["candidate other server"] = entry(served("server"), tiny_collection(), "candidate", root).folder
    return store


def streamed(root, model, notes, folder=None, shard=SHARD, top=0):
    task = select(load_task(str(root / "tiny-miracl.toml")), None, None)
    run = StreamedTask(task, Streaming(data=root / "corpus", shard=shard, top=top), folder)
    context = RunContext(inventories=root / "inventories", reporter=notes)
    counts = run.encode(model, context).count(SETTINGS, context)
    # What a result records of the corpus is what was read.
    return bytes(counts.outranked.wrong) + bytes(counts.outranked.gold)


def corpus_in(root):
    """A corpus whose files are not compressed, and another one in which two wrong candidates of one shard changed places."""
    build(root, invented, ["sw", "yo", "te"], distractors=30, per_file=17)
    files = {}
    for path in sorted((root / "corpus").rglob("docs-*.gz")):
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 0, mtime=0))
    files["corpus sw 0"] = path = root / "corpus" / "miracl-corpus-v1.0-sw" / "docs-0.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    one, other = [i for i, line in enumerate(lines[:SHARD]) if line.startswith(b'{"docid": "9')][:2]
    lines[one], lines[other] = lines[other], lines[one]
    files["changed corpus sw 0"] = changed = root / "changed"
    changed.write_bytes(gzip.compress(b"".join(lines), 0, mtime=0))
    return files


def store_of_inventories(root):
    root.mkdir()
    files, keys, original = corpus_in(root), {}, inventory._store

    def kept(found, path, key):
        keys[path] = key
        original(found, path, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inventory, "_store", kept)
        streamed(root, model_of(), Notes())
        parts = [(x, sorted((root / "corpus" / f"miracl-corpus-v1.0-{x}").iterdir())) for x in ("sw", "yo", "te")]
        names = [f"{language} {number}" for language, paths in parts for number in range(len(paths))]
        files |= dict(zip(names, keys, strict=True))
        first = len(keys)
        streamed(root, model_of(), Notes(), shard=SHARD - 1)
        files["sw 0 other size"] = list(keys)[first]

    def sealed(name, content):
        return seal(inventory._identity(keys[files[name]]), content)

    place = Place(files, seal=sealed)
    return Store(place, lambda notes: streamed(root, model_of("", place.later), notes))


def store_of_counts(root):
    root.mkdir()
    files = corpus_in(root)
    for name, model, top in (
        ("", model_of(), 0),
        (" other model", model_of("model"), 0),
        (" other run", model_of(), 2),
    ):
        folder = root / f"counts{name}"
        streamed(root, model, Notes(), folder, top=top)
        counted = sorted(folder.glob("*.counts"))
        files |= {f"shard{name}": counted[0], f"other shard{name}": counted[1]}
        files |= {f"{file}{name}": folder / file for file in ("manifest.json", "first.npz")}
    # A run that was killed has counted some of its shards.
    for path in sorted((root / "counts").glob("*.counts"))[3:]:
        path.unlink()
    place = Place(files)
    return Store(place, lambda notes: streamed(root, model_of("", place.later), notes, root / "counts"))


def store_of_downloads(root):
    text = b"one line\nand another\n" * 9
    source = SourceFile(hashlib.sha256(text).hexdigest(), url="http://127.0.0.1:9/en.json")
    path = Path(os.environ["CLIRBENCH_CACHE"]) / "sources" / source.sha256[:16] / "en.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    return Store(Place({"source": path}), lambda _: fetch(source).read_bytes())


STORES = {
    "vectors": store_of_vectors,
    "pairs": store_of_pairs,
    "server": store_of_a_server,
    "inventory": store_of_inventories,
    "counts": store_of_counts,
    "source": store_of_downloads,
}


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(encode, "TEXTS_PER_SHARD", SHARD)
    monkeypatch.setattr(vector_cache, "TEXTS_PER_SHARD", SHARD)
    monkeypatch.setattr(second_stage, "_PAIRS", 10)
    # Half of the time of these tests would be spent in it.
    monkeypatch.setattr(os, "fsync", lambda _: None)


def reads_everything(folder):
    """Whether this user reads files without permission, as root does."""
    path = folder / "secret"
    path.touch(0)
    return os.access(path, os.R_OK)


@pytest.mark.parametrize("name", ATTACKS)
def test_damage_changes_no_rank(name, tmp_path, small_shards):
    attack = ATTACKS[name]
    if name.endswith("without permission") and reads_everything(tmp_path):
        pytest.skip("this user reads everything")
    store = STORES[attack.kind](tmp_path / "store")
    # Counts of a killed run would not be those of a killed run any more.
    whole = streamed(tmp_path / "store", model_of(), Notes()) if attack.kind == "counts" else store.run(Notes())
    attack.damage(store.place)
    notes = Notes()
    if attack.outcome == "refused":
        with pytest.raises(ClirbenchError) as error:
            store.run(notes)
        assert attack.says in str(error.value)
        assert "\n" not in str(error.value)
        return
    assert store.run(notes) == whole
    damage = [line for line in notes.lines if "damaged" in line]
    assert "\n" not in "".join(damage)
    if attack.outcome == "equal":
        assert damage == []
        return
    assert any(attack.says in line for line in damage), notes.lines
    # It is mended.
    notes = Notes()
    assert store.run(notes) == whole
    assert [line for line in notes.lines if "damaged" in line] == []


# ------------------------------------------------------------------------------------------------- two at once; no permission

CONTAINER = """
import os, socket, sys
from pathlib import Path
import test_attacks_caches as tests
# What each container says of itself where nobody told them apart.
os.getpid, socket.gethostname = lambda: 7, lambda: "box"
tests.encode.TEXTS_PER_SHARD = tests.vector_cache.TEXTS_PER_SHARD = tests.SHARD
tests.second_stage._PAIRS = 10
for line in sys.stdin:
    root = Path(line.strip())
    notes = tests.Notes()
    ranks = tests.ranked(tests.two_stages(), tests.tiny_collection(), root / "vectors", notes)
    ranks += tests.streamed(root, tests.model_of(), notes)
    print(tests.hashlib.sha256(ranks).hexdigest(), *(line for line in notes.lines if "damaged" in line), flush=True)
"""


def test_two_containers_with_one_process_number_share_a_cache(tmp_path):
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    start = functools.partial(
        subprocess.Popen, [sys.executable, "-c", CONTAINER], env=variables, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with start() as one, start() as other:
        said = []
        for number in range(16):
            root = tmp_path / str(number)
            root.mkdir()
            corpus_in(root)
            for container in (one, other):
                container.stdin.write(f"{root}\n")
                container.stdin.flush()
            said.append([container.stdout.readline() for container in (one, other)])
        errors = [container.communicate()[1] for container in (one, other)]
    assert errors == ["", ""]
    assert {line for pair in said for line in pair} == {said[0][0]}
    assert len(said[0][0]) == 65
    assert list(tmp_path.rglob("*.part")) == []


def test_a_read_only_cache_serves_what_it_has(tmp_path, small_shards):
    store = store_of_vectors(tmp_path / "store", others=())
    whole = store.run(Notes())
    entry = store.place.files["candidate"]
    entry.chmod(0o555)
    if os.access(entry, os.W_OK):
        pytest.skip("this user writes everywhere")
    assert store.run(Notes()) == whole
    entry.chmod(0o755)
    (entry / "000001.npy").unlink()
    entry.chmod(0o555)
    with pytest.raises(ClirbenchError, match=r"cannot write the vector cache .*Permission denied.*: pass --no-cache"):
        store.run(Notes())
    entry.chmod(0o755)
    assert store.run(Notes()) == whole


def test_there_are_enough_of_them():
    assert len(ATTACKS) >= 90
