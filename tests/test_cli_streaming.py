"""Streamed tasks as a person runs them: killing, resuming, vectors, TREC runs in and out, plans, and every mistake."""

import contextlib
import json
import os
import random
import re
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytrec_eval
from command_line import clir, environment, wait_until
from miracl_corpus import build, home_of, invented, write_original, write_task
from test_evaluation_streaming import Continuous, texts_of

from clirbench.evaluation.trec_runs import read_run, score_run
from clirbench.results.result import read_result
from clirbench.results.schema import RunDocument
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task_file import load_task

ENCODER = """
import hashlib, pathlib, threading, time
import numpy as np
class Slow:
    name, revision, pause, last = "test/slow", "1", 0.0, None
    def encode_queries(self, texts):
        return np.array([np.random.default_rng(list(hashlib.sha256(t.encode()).digest())).standard_normal(24) for t in texts])
    def encode_candidates(self, texts):
        time.sleep(self.pause)
        if len(list(pathlib.Path("results").rglob("*.counts"))) == self.last:
            threading.Event().wait()
        return self.encode_queries(texts)
    def count_tokens(self, texts):
        return [len(text.split()) for text in texts]
def make(): return Slow()
def slow():
    Slow.pause = 0.05
    return Slow()
def stuck():
    Slow.last = 4
    return Slow()
"""


@pytest.fixture
def home(tmp_path):
    return home_of(tmp_path, ENCODER)


RUN = ("run", "--model", "mine:make", "--tasks", "tiny-miracl.toml", "--data", "corpus", "--shard-size", "9")
RESULT = "results/test__slow/tiny-miracl.json"


def bytes_of(home, folder="results"):
    return (home / folder / "test__slow" / "tiny-miracl.ranks.parquet").read_bytes()


def test_the_whole_tour(home):
    ran = clir(home, *RUN, "--save-top", "5")
    assert ran.returncode == 0, ran.stderr
    assert "test/slow: nDCG@10 x100 ± 95 % margin" in ran.stdout
    assert re.search(r"^sw \(passages\): 6\d of 6\d", ran.stderr, re.M)
    assert "cross-lingual" not in ran.stdout
    assert clir(home, "score", RESULT).stdout.endswith("agree\n")
    shown = clir(home, "show", RESULT)
    assert "own_language_preference" in shown.stdout
    assert not (home / "results" / "test__slow" / "tiny-miracl.shards").exists()
    again = clir(home, *RUN, "--save-top", "5")
    assert "kept results/test__slow/tiny-miracl.json" in again.stderr
    exported = clir(home, "export", RESULT, "--metrics", "nDCG@10").stdout
    assert "ndcg_cut_10\tmonolingual/yo-yo/yo:12#0\t" in exported
    lines = (home / "results" / "test__slow" / "tiny-miracl.sw.trec").read_text().splitlines()
    assert len(lines) == 10
    assert lines[0].split()[1::2] == ["Q0", "1", "test/slow"]
    (home / "results" / "test__slow" / "tiny-miracl.sw.trec").unlink()
    assert (
        "without a run of sw that is 5 passages deep: --force runs it again"
        in clir(home, *RUN, "--save-top", "5").stderr
    )
    assert "without a run of sw that is 6 passages deep" in clir(home, *RUN, "--save-top", "6").stderr


@pytest.mark.slow
def test_killed_at_ten_random_moments_it_ends_with_the_same_ranks(home):
    """kill -9, run again, ten times over; each time the run that follows goes on, and the last one ends."""
    assert clir(home, *RUN, "-o", "whole").returncode == 0
    slow = ("run", "--model", "mine:slow", *RUN[3:], "-o", "killed")
    counts = home / "killed" / "test__slow" / "tiny-miracl.shards"
    rng = random.Random(20240810)
    begun = []
    for _ in range(10):
        process = subprocess.Popen(
            [sys.executable, "-m", "clirbench", *slow],
            cwd=home,
            env=environment(home),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        wanted = rng.randint(0, 2)
        before = len(list(counts.glob("*.counts")))
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if len(list(counts.glob("*.counts"))) - before >= wanted:
                # Somewhere within the next two shards.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=rng.random() * 0.1)
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.005)
        process.kill()
        process.communicate()
        begun.append(len(list(counts.glob("*.counts"))))
        if (home / "killed" / "test__slow" / "tiny-miracl.json").exists():
            break
    # No kill took a finished shard with it, and not all of the work was done before the last one.
    assert begun == sorted(begun)
    assert len(begun) == 10
    assert begun[-1] > begun[0]
    last = clir(home, *slow)
    assert last.returncode == 0, last.stderr
    there, shards = map(int, re.search(r"^(\d+) of (\d+) shards are there: going on$", last.stderr, re.M).groups())
    assert there == begun[-1] < shards
    assert bytes_of(home, "killed") == bytes_of(home, "whole")


def killed_with_four_shards(home):
    """The folder of counts of a run that was killed when four shards were there."""
    counts = home / "results" / "test__slow" / "tiny-miracl.shards"
    with subprocess.Popen(
        [sys.executable, "-m", "clirbench", "run", "--model", "mine:stuck", *RUN[3:]],
        cwd=home, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        wait_until(lambda: len(list(counts.glob("*.counts"))) == 4, process)
        process.kill()
    return counts


def test_a_corrupted_counts_file_is_counted_again(home):
    assert clir(home, *RUN, "-o", "whole").returncode == 0
    counts = killed_with_four_shards(home)
    path = sorted(counts.glob("*.counts"))[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    ran = clir(home, *RUN)
    assert f"{path.name} is damaged: counted again" in ran.stderr
    assert bytes_of(home) == bytes_of(home, "whole")


def test_counts_that_outlived_their_result_go_and_those_of_a_later_run_stay(home):
    assert clir(home, *RUN).returncode == 0
    result = home / "results" / "test__slow" / "tiny-miracl.json"
    counts = result.with_suffix(".shards")
    saved = result.stat().st_mtime_ns
    for later in (1, 0):
        counts.mkdir(exist_ok=True)
        for name in ("manifest.json", "first.npz", "sw-0000-000000000.counts"):
            (counts / name).touch()
            os.utime(counts / name, ns=(saved, saved + later * 10**9))
        assert f"kept {result.relative_to(home)}" in clir(home, *RUN).stderr
        assert counts.exists() == bool(later)


def test_another_run_in_the_folder_is_refused_with_one_line(home):
    counts = killed_with_four_shards(home)
    before = sorted(counts.iterdir())
    refused = clir(home, *RUN[:-1], "8")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert re.search(r"begun with another shard size \(9 there, 8 now\).*--force to begin anew\n$", refused.stderr)
    assert sorted(counts.iterdir()) == before
    (home / "mine.py").write_text(ENCODER.replace('"1", 0.0', '"2", 0.0'))
    assert "begun with another model revision" in clir(home, *RUN).stderr
    assert clir(home, *RUN, "--force").returncode == 0


def write_vectors(home, kind, dtype):
    task = load_task(str(home / "tiny-miracl.toml"))
    encoder = Continuous()
    from clirbench.tasks.corpora.judged import open_candidates, open_judgements

    candidates, judgements = open_candidates(task, home / "corpus"), open_judgements(task, home / "corpus")
    for language in task.languages:
        folder = home / "vectors" / language
        folder.mkdir(parents=True)
        parts = {"queries": [judgements.topics(language)]}
        blocks = [b for i in range(len(candidates.files(language))) for b in candidates.blocks(language, i, 25)]
        parts["passages"] = [list(zip(block.ids, block.texts, strict=True)) for block in blocks]
        for part, files in parts.items():
            for number, rows in enumerate(files):
                vectors = np.array([encoder.vector(text) for _, text in rows]).astype(dtype)
                if kind == "npy":
                    np.save(folder / f"{part}-{number}.npy", vectors)
                    (folder / f"{part}-{number}.ids.txt").write_text("".join(f"{id_}\n" for id_, _ in rows))
                else:
                    table = pa.table({"docid": [id_ for id_, _ in rows], "emb": list(vectors)})
                    pq.write_table(table, folder / f"{part}-{number}.parquet")


@pytest.mark.parametrize(("kind", "dtype"), [("npy", np.float32), ("parquet", np.float32)])
def test_vectors_that_are_there_take_the_place_of_a_model(home, kind, dtype):
    (home / "mine.py").write_text(ENCODER.replace("return np.array(", "return np.float32("))
    assert clir(home, *RUN, "-o", "whole").returncode == 0
    write_vectors(home, kind, dtype)
    vectors = ("run", "--vectors", "vectors", *RUN[3:], "--name", "test/slow")
    ran = clir(home, *vectors)
    assert ran.returncode == 0, ran.stderr
    mine, whole = (read_result(home / f / "test__slow" / "tiny-miracl.json") for f in ("results", "whole"))
    assert (mine.ranks.own_rank == whole.ranks.own_rank).all()
    assert (mine.ranks.pool_rank == whole.ranks.pool_rank).all()
    assert (mine.document.model.kind, mine.document.corpus.layout) == ("vectors", "vectors")
    assert mine.document.cost.texts_encoded == 0
    assert clir(home, *vectors).stderr.count("kept") == 1
    assert "--vectors needs --name" in clir(home, *vectors[:-2]).stderr
    assert "give one of them" in clir(home, *vectors, "--model", "mine:make").stderr
    assert "--device does not apply to vectors" in clir(home, *vectors, "--device", "cpu").stderr
    for path in (home / "vectors" / "sw").glob("queries*"):
        path.unlink()
    assert "has no sw/queries*.npy or .parquet" in clir(home, *vectors, "-o", "other").stderr


def test_float16_vectors(home):
    write_vectors(home, "npy", np.float16)
    ran = clir(home, "run", "--vectors", "vectors", *RUN[3:], "--name", "test/slow")
    assert ran.returncode == 0, ran.stderr
    assert clir(home, "score", RESULT).returncode == 0


def test_a_transform_needs_a_sample(home):
    assert "add --transform-sample FILE" in clir(home, *RUN, "--transform", "center").stderr
    rows = [{"language": x, "text": f"{x} {i}"} for x in ("sw", "te", "yo") for i in range(30)]
    (home / "sample.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = clir(home, *RUN, "--transform", "lir:2", "--transform-sample", "sample.jsonl")
    assert ran.returncode == 0, ran.stderr
    document = read_result(home / "results" / "test__slow+lir-2" / "tiny-miracl.json").document
    assert document.encoder.transform == "lir:2"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shard-size", "0"), "--shard-size is 0: use 1 or more"),
        (("--save-top", "-1"), "--save-top is -1: use 0 or more"),
        (("--engine", "spark"), "--engine is 'spark': use local, ray"),
        (("--workers", "2"), "--workers does nothing without --engine ray"),
        (("--ray-address", "auto"), "--ray-address does nothing without --engine ray"),
        (("--gpus-per-worker", "1"), "--gpus-per-worker does nothing without --engine ray"),
        (("--gpus-per-worker", "1.5"), "--gpus-per-worker is 1.5: use a part of 1, or a whole number"),
        (("--gpus-per-worker", "nan"), "--gpus-per-worker is nan"),
        (
            ("--settings", "cross-lingual"),
            "has no cross-lingual setting: passages are judged in the query's language only",
        ),
        (("--languages", "en"), "has no language 'en'"),
        (("--data", "nowhere"), "--data is 'nowhere', which is not a folder"),
        (("--model", "clirbench/char-ngram"), "needs all candidates at once"),
        (("--tasks", "miracl"), "2 judged queries in sw, but miracl.toml declares 482"),
        (("--tasks", "xquad-r"), "--data serves tasks that are read shard by shard, and xquad-r is not"),
        (("--languages", "te", "--tasks", "demo"), "demo has no language 'te'"),
    ],
)
def test_a_mistake_is_one_line(home, arguments, message):
    languages = ("--languages", "sw") if "--languages" not in arguments and "xquad-r" not in arguments[1] else ()
    ran = clir(home, *RUN, *languages, *arguments)
    assert ran.returncode == 2, ran.stderr
    assert message in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr


def test_in_python(home, monkeypatch):
    import clirbench

    monkeypatch.chdir(home)
    result = clirbench.evaluate(Continuous(), load_task("tiny-miracl.toml"), data="corpus", languages=["sw", "yo"])
    assert result.score("monolingual", "nDCG@10") is not None
    assert not result.document.task.complete
    with pytest.raises(ClirbenchError, match="data is for tasks that are read shard by shard"):
        clirbench.evaluate(Continuous(), "demo", data="corpus")


def test_plan(home):
    ran = clir(
        home, "plan", "--model", "mine:slow", "--tasks", "tiny-miracl.toml", "--data", "corpus", "--workers", "6"
    )
    assert ran.returncode == 0, ran.stderr
    rows = {line.split()[0]: line.split() for line in ran.stdout.splitlines()}
    counts = load_task(str(home / "tiny-miracl.toml")).counts["candidates"]
    assert rows["all"][2] == f"{sum(counts.values()):,}"
    for language, passages in counts.items():
        assert rows[language][1:3] == ["2", f"{passages:,}"]
        # 0.05 seconds for at most 512 texts, and little else.
        assert 300 < float(rows[language][4].replace(",", "")) < 1.05 * passages / 0.05
    assert re.search(r"workers like this one: 1: 1 s, 2: 1 s, 4: 1 s, 6: 1 s", ran.stdout)
    assert "peak memory of each: about " in ran.stdout
    assert "3 shards" in ran.stdout
    assert "encode a sample (texts)" in ran.stderr
    whole = clir(
        home, "plan", "--model", "mine:make", "--languages", "sw,te", "--data", "corpus", "--settings", "monolingual"
    )
    assert whole.returncode == 0, whole.stderr
    assert "650,003" in whole.stdout
    demo = clir(home, "plan", "--model", "clirbench/char-ngram", "--tasks", "demo", "--languages", "en,de")
    assert demo.returncode == 0, demo.stderr
    assert "the vector cache" in demo.stdout
    assert "time in all: 1 s" in demo.stdout
    assert "workers" not in demo.stdout
    assert "--sample is 0" in clir(home, "plan", "--model", "mine:make", "--data", "corpus", "--sample", "0").stderr
    refused = clir(home, "plan", "--model", "clirbench/char-ngram", "--tasks", "tiny-miracl.toml", "--data", "corpus")
    assert "needs all candidates at once" in refused.stderr


def full_run(home, language, depth, skip=()):
    """A run of a language's queries against its whole corpus, cut at a depth."""
    task = load_task(str(home / "tiny-miracl.toml"))
    from clirbench.tasks.corpora.judged import open_candidates, open_judgements

    encoder = Continuous()
    candidates = open_candidates(task, home / "corpus")
    blocks = [b for i in range(len(candidates.files(language))) for b in candidates.blocks(language, i, 25)]
    texts = [pair for block in blocks for pair in zip(block.ids, block.texts, strict=True)]
    vectors = np.array([encoder.vector(text) for _, text in texts])
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    lines, scored = [], {}
    for query, text in open_judgements(task, home / "corpus").topics(language):
        if query in skip:
            continue
        scores = vectors @ encoder.vector(text)
        for rank, i in enumerate(np.argsort(-scores)[:depth], 1):
            lines.append(f"{query} Q0 {texts[i][0]} {rank} {scores[i]:.9f} bm25\n")
            scored.setdefault(query, {})[texts[i][0]] = float(f"{scores[i]:.9f}")
    path = home / "run.trec"
    path.write_text("".join(lines))
    return path, scored


def test_a_run_made_elsewhere_is_scored_by_pytrec_eval(home):
    _, scored = full_run(home, "yo", 10)
    command = ("score", "--run", "run.trec", "--task", "tiny-miracl.toml", "--language", "yo", "--data", "corpus")
    ran = clir(home, *command)
    assert ran.returncode == 0, ran.stderr
    assert "depth = 10" in ran.stdout
    path = home / "results" / "trec__bm25" / "tiny-miracl+yo.run.json"
    document = RunDocument.model_validate_json(path.read_bytes())
    assert (document.origin, document.depth, document.run.missing) == ("run", 10, 0)
    qrels = {query: {p: r for p, r in judged.items() if r} for query, _, judged in invented("yo")}
    expected = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_10", "recall_10"}).evaluate(scored)
    found = document.headline["monolingual"]
    for name, trec in (("nDCG@10", "ndcg_cut_10"), ("R@10", "recall_10")):
        assert found[name].value == pytest.approx(np.mean([values[trec] for values in expected.values()]), abs=1e-12)
        assert found[name].low <= found[name].value <= found[name].high
    # What lies beyond the end of the run is not guessed.
    assert all(found[name].value is None for name in ("R@100", "MRR", "mAP"))
    assert ran.stdout.count("needs a deeper run") == 3


def test_a_run_of_the_whole_corpus_has_every_metric(home):
    assert clir(home, *RUN).returncode == 0
    full_run(home, "yo", 10**6)
    # Everything is ranked: R@100 of fewer than 100 passages is known too.
    document = score_run(
        read_run(home / "run.trec"), load_task(str(home / "tiny-miracl.toml")), "yo", home / "corpus", "me/bm25"
    )
    ours = read_result(home / RESULT).document.per_language["yo"]["monolingual"]
    for name, estimate in document.headline["monolingual"].items():
        assert estimate.value == pytest.approx(ours[name], abs=1e-9), name
    assert document.model == "me/bm25"


def test_a_query_that_the_run_lacks_counts_as_nothing(home):
    full_run(home, "yo", 20, skip=("12#0",))
    ran = clir(home, "score", "--run", "run.trec", "--task", "tiny-miracl.toml", "--language", "yo", "--data", "corpus")
    assert "1 of 2 queries are not in the run: they count as 0" in ran.stdout
    full_run(home, "yo", 20)
    both = score_run(read_run(home / "run.trec"), load_task(str(home / "tiny-miracl.toml")), "yo", home / "corpus")
    document = RunDocument.model_validate_json((home / "results/trec__bm25/tiny-miracl+yo.run.json").read_bytes())
    assert document.headline["monolingual"]["R@10"].value <= both.headline["monolingual"]["R@10"].value
    # The scores of the shorter run stay: this is another run of the same name.
    again = clir(
        home, "score", "--run", "run.trec", "--task", "tiny-miracl.toml", "--language", "yo", "--data", "corpus"
    )
    assert "holds the scores of another run: give this one a --name" in again.stderr


def test_our_own_run_scores_as_our_own_result(home):
    """--save-top writes what --run reads."""
    assert clir(home, *RUN, "--save-top", "100").returncode == 0
    ours = read_result(home / RESULT).document.per_language
    for language in ("sw", "te", "yo"):
        run = home / "results" / "test__slow" / f"tiny-miracl.{language}.trec"
        document = score_run(read_run(run), load_task(str(home / "tiny-miracl.toml")), language, home / "corpus")
        for name in ("nDCG@10", "R@10"):
            assert document.headline["monolingual"][name].value == pytest.approx(
                ours[language]["monolingual"][name], abs=1e-9
            )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no line of a run"),
        ("1 Q0 p 1\n", "run.trec:1: not 'query Q0 passage rank score tag'"),
        ("1#0 Q0 p 1 x t\n", "run.trec:1: not 'query Q0"),
        ("1#0 Q0 p 1 nan t\n", "the score is nan"),
        ("1#0 Q0 p 1 2 t\n1#0 Q0 p 2 1 t\n", "run.trec:2: passage 'p' stands twice"),
        ("99 Q0 p 1 2 t\n", "1 queries that tiny-miracl does not have in yo (first: '99')"),
        ("1#0 Q0 10#0 1 2 t\n12#0 Q0 6#1 1 2 t\n", "every passage of the run is a judged one"),
    ],
)
def test_a_wrong_run_is_one_line(home, content, message):
    (home / "run.trec").write_text(content)
    ran = clir(home, "score", "--run", "run.trec", "--task", "tiny-miracl.toml", "--language", "yo", "--data", "corpus")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert message in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_mistakes_of_score(home):
    (home / "run.trec").write_text("1 Q0 p 1 2 t\n")
    assert "nothing to score" in clir(home, "score").stderr
    assert "--run needs --language" in clir(home, "score", "--run", "run.trec").stderr
    assert "give one of them" in clir(home, "score", "x.json", "--run", "run.trec", "--language", "sw").stderr
    assert (
        "have no identifiers" in clir(home, "score", "--run", "run.trec", "--task", "demo", "--language", "en").stderr
    )
    assert "cannot be read" in clir(home, "score", "--run", "none.trec", "--language", "sw").stderr
    other = clir(
        home, "score", "--run", "run.trec", "--task", "tiny-miracl.toml", "--language", "en", "--data", "corpus"
    )
    assert "has no language 'en'" in other.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell the peak of a process")
def test_memory_does_not_grow_with_the_corpus(tmp_path):
    """The peak of a run is that of a shard: five times the passages, the same peak (benchmarks/streaming.py measures it)."""
    peaks = []
    for name, distractors in (("small", 4_000), ("large", 20_000)):
        home = tmp_path / name
        home.mkdir()
        (home / "mine.py").write_text(ENCODER.replace("for t in texts])", "for t in texts]).repeat(20, axis=1)"))
        build(home, invented, ["sw"], distractors=distractors, per_file=2_000)
        ran = clir(home, *RUN[:-1], "1000", "--settings", "monolingual")
        assert ran.returncode == 0, ran.stderr
        found = next((home / "results" / "test__slow").glob("*.json"))
        document = read_result(found).document
        assert document.counts.candidates["sw"] > distractors
        peaks.append(document.cost.peak_memory)
    # All of the large corpus as vectors would be 38 MB more.
    assert peaks[1] - peaks[0] < 15e6


def test_texts_of_is_what_is_read(home):
    """The helper that the other tests compare with reads titles as the reader does."""
    topics = [("1", "q", {"a#0": 1})]
    rows = [("a#0", "", "text"), ("b#0", "title", "text"), ("c#0", "title", "")]
    write_original(home / "other", "sw", topics, rows)
    task = load_task(str(write_task(home, {"sw": (topics, rows)}, "other")))
    from clirbench.tasks.corpora.judged import open_candidates

    read = open_candidates(task, home / "other").block("sw", 0, 0, 9).texts
    assert read == [text for _, text in texts_of({"sw": (topics, rows)})["sw"]]
