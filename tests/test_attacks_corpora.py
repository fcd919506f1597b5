"""Damaged corpora, tasks of one's own, vectors and runs: the same ranks as undamaged, or one line that names the file."""

import json
import re
import shutil
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from attacks.corpora import ATTACKS, SAME, TAKEN
from command_line import clir
from miracl_corpus import build, invented
from own_task import write_task

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import as_loaded
from clirbench.encoders.precomputed import load_vectors
from clirbench.evaluation.evaluate import evaluate, evaluate_loaded
from clirbench.evaluation.streaming.options import Streaming
from clirbench.evaluation.streaming.streamed_task import StreamedTask
from clirbench.evaluation.trec_runs import read_run, score_run
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.selection import select
from clirbench.tasks.task_file import load_task

ENCODER = """
import zlib
import numpy as np

class Mine:
    name, revision = "test/hashed", "1"

    def encode_queries(self, texts):
        return np.array([np.random.default_rng(zlib.crc32(text.encode())).standard_normal(8) for text in texts])

    encode_candidates = encode_queries

def make():
    return Mine()
"""


class Hashed:
    """Vectors that depend on the text alone."""

    name, revision = "test/hashed", "1"

    def encode_queries(self, texts):
        return np.array([np.random.default_rng(zlib.crc32(text.encode())).standard_normal(8) for text in texts])

    encode_candidates = encode_queries


def in_json_lines(folder):
    for name in ("corpus", "queries", "qrels"):
        paths = sorted((folder / f"sw-{name}").glob("*.parquet"))
        rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"sw-{name}" / "dev-00000.jsonl").write_text(lines, encoding="utf-8")
        for path in paths:
            path.unlink()
    (folder / "README.md").unlink()


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """A sound folder of each kind, and the task file of the streamed ones."""
    home = tmp_path_factory.mktemp("sound")
    folders, task, data = {}, None, None
    for kind in ("original", "mteb", "jsonl"):
        (home / kind).mkdir()
        folders[kind], task, data = build(
            home / kind,
            invented,
            ["sw"],
            distractors=25,
            per_file=11,
            layout="original" if kind == "original" else "mteb",
        )
    in_json_lines(folders["jsonl"])
    rng = np.random.default_rng(0)
    ids = {"queries": [query for query, _, _ in data["sw"][0]], "passages": [id_ for id_, _, _ in data["sw"][1]]}
    for kind in ("npy", "parquet"):
        folders[kind] = home / kind
        (home / kind / "sw").mkdir(parents=True)
    for part, names in ids.items():
        # Eighths, which half precision holds.
        vectors = rng.integers(-16, 17, (len(names), 8)).astype(np.float32) / 8
        np.save(home / "npy" / "sw" / f"{part}.npy", vectors)
        (home / "npy" / "sw" / f"{part}.ids.txt").write_text("\n".join(names) + "\n")
        pq.write_table(pa.table({"id": names, "vector": list(vectors)}), home / "parquet" / "sw" / f"{part}.parquet")
    folders["own"] = home / "own"
    folders["own"].mkdir()
    write_task(folders["own"])
    folders["run"] = home / "run"
    folders["run"].mkdir()
    others = [id_ for id_ in ids["passages"] if id_.startswith("9")]
    ranked = {"1#0": [others[0], "10#0", *others[1:], "11#3", "10#1", "7#0"], "2": [others[2], "7#0", others[3]]}
    lines = [
        f"{query} Q0 {passage} {rank} {10 - rank / 7:.4f} tag\n"
        for query, passages in ranked.items()
        for rank, passage in enumerate(passages, 1)
    ]
    (folders["run"] / "run.trec").write_text("".join(lines))
    return folders, task


def outcome(kind, folder, corpus, task):
    """What a damaged folder gives: ranks, or the value of a run."""
    if kind == "own":
        (path,) = folder.glob("*.toml")
        ranks = evaluate(Hashed(), str(path)).ranks
        return ranks.own_rank.tolist(), ranks.pool_rank.tolist()
    if kind == "run":
        document = score_run(read_run(folder / "run.trec"), load_task(str(task)), "sw", corpus)
        return {metric: estimate.value for metric, estimate in document.headline["monolingual"].items()}
    vectors = kind in ("npy", "parquet")
    model = load_vectors(folder, ["sw"], EncoderOptions(name="me/mine")) if vectors else as_loaded(Hashed())
    streaming = Streaming(data=corpus if vectors else folder, vectors=folder if vectors else None, shard=7)
    streamed = StreamedTask(select(load_task(str(task)), None, None), streaming, None)
    return evaluate_loaded(model, streamed, RunContext()).ranks.own_rank.tolist()


@pytest.fixture(scope="session")
def right(sound):
    folders, task = sound
    return {kind: outcome(kind, folder, folders["original"], task) for kind, folder in folders.items()}


@pytest.fixture
def damaged(sound, tmp_path):
    folders, task = sound

    def copy(attack):
        folder = tmp_path / "damaged" / attack.kind
        shutil.copytree(folders[attack.kind], folder)
        attack.damage(folder)
        return folder, folders["original"], task

    return copy


@pytest.mark.parametrize("name", ATTACKS)
def test_damage_changes_no_rank_or_is_one_line(name, damaged, right):
    attack = ATTACKS[name]
    folder, corpus, task = damaged(attack)
    if attack.outcome in (SAME, TAKEN):
        got = outcome(attack.kind, folder, corpus, task)
        assert got == right[attack.kind] if attack.outcome == SAME else len(got) == len(right[attack.kind])
        return
    with pytest.raises(ClirbenchError) as error:
        outcome(attack.kind, folder, corpus, task)
    line = str(error.value)
    assert re.search(attack.outcome, line)
    assert line.isprintable()
    assert len(line) < 600
    # A file or its folder, or the task with a query, or the run, or the model of the vectors.
    assert str(folder)[:200] in line or re.search(r"docs-\d|\.toml|folder |tiny-miracl|me/mine|the run ", line)


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.process])
def test_the_real_command_ends_with_one_line_and_exit_code_2(name, damaged, tmp_path):
    attack = ATTACKS[name]
    folder, corpus, task = damaged(attack)
    (tmp_path / "mine.py").write_text(ENCODER)
    if attack.kind == "own":
        (path,) = folder.glob("*.toml")
        command = ["run", "--model", "mine:make", "--tasks", str(path)]
    elif attack.kind == "run":
        command = [
            "score",
            "--run",
            str(folder / "run.trec"),
            "--task",
            str(task),
            "--language",
            "sw",
            "--data",
            str(corpus),
        ]
    elif attack.kind in ("npy", "parquet"):
        command = ["run", "--vectors", str(folder), "--name", "me/mine", "--tasks", str(task), "--data", str(corpus)]
    else:
        command = ["run", "--model", "mine:make", "--tasks", str(task), "--data", str(folder)]
    ended = clir(tmp_path, *command)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    *notes, last = ended.stderr.splitlines()
    assert last.startswith("clirbench: ")
    assert re.search(attack.outcome, last)
    assert not any(note.startswith("clirbench: ") for note in notes)
    assert not list(tmp_path.rglob("*.ranks.parquet"))


def test_the_attacks_are_many_and_differ():
    assert len(ATTACKS) >= 110
    assert len({(attack.kind, attack.outcome) for attack in ATTACKS.values()}) > 60
    assert sum(attack.process for attack in ATTACKS.values()) >= 15
