"""Corpora larger than memory: counting against the bare product, memory and time against size, mteb, Ray, kill -9, trec_eval."""

import argparse
import gzip
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import blocks
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
DIMENSIONS, QUERIES, GOLDS = 384, 2000, 3
PER_FILE = 100_000
SHARD = 20_000


def write_vectors(folder, passages):
    """Unit float16 vectors in files of 100,000, queries with three golds each, and the task file."""
    from miracl_corpus import write_task

    rng = np.random.default_rng(0)
    place = folder / "vectors" / "sw"
    place.mkdir(parents=True)
    golds = np.random.default_rng(1).choice(passages, (QUERIES, GOLDS), replace=False)
    for start in range(0, passages, PER_FILE):
        vectors = rng.standard_normal((PER_FILE, DIMENSIONS), dtype=np.float32)
        vectors /= np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
        np.save(place / f"passages-{start // PER_FILE}.npy", vectors.astype(np.float16))
        ids = "".join(f"{start + i}#0\n" for i in range(PER_FILE))
        (place / f"passages-{start // PER_FILE}.ids.txt").write_text(ids)
    # Near their golds, so that ranks are of every size.
    opened = [np.load(place / f"passages-{i}.npy", mmap_mode="r") for i in range(passages // PER_FILE)]
    rows = np.array([[opened[g // PER_FILE][g % PER_FILE] for g in row] for row in golds], dtype=np.float32)
    queries = rows.mean(axis=1) + rng.standard_normal((QUERIES, DIMENSIONS), dtype=np.float32) * 0.1
    np.save(place / "queries-0.npy", (queries / np.linalg.norm(queries, axis=1)[:, None]).astype(np.float16))
    (place / "queries-0.ids.txt").write_text("".join(f"q{i:04d}\n" for i in range(QUERIES)))
    topics = [(f"q{i:04d}", f"query {i}", {f"{g}#0": 1 for g in row}) for i, row in enumerate(golds)]
    write_topics(folder / "topics", topics)
    return write_task(folder, {"sw": (topics, range(passages))}, "synthetic")


def write_topics(folder, topics):
    from miracl_corpus import write_original

    write_original(folder, "sw", topics, [("0", "", "")])


def count_vectors(folder, beside=False):
    """Seconds to count, the peak of this process, and the seconds of bare products of the same shards, each beside its count."""
    from clirbench.encoders.base import EncoderOptions
    from clirbench.encoders.precomputed import load_vectors
    from clirbench.evaluation.evaluate import evaluate_loaded
    from clirbench.evaluation.streaming.count_shard import ShardCounter
    from clirbench.evaluation.streaming.options import Streaming, candidates_of
    from clirbench.evaluation.streaming.streamed_task import StreamedTask
    from clirbench.support.context import RunContext
    from clirbench.tasks.selection import select
    from clirbench.tasks.task_file import load_task

    task = load_task(str(folder / "synthetic.toml"))
    options = EncoderOptions(name="synthetic/vectors", similarity="dot")
    loaded = load_vectors(folder / "vectors", ["sw"], options)
    place = folder / "vectors" / "sw"
    queries = np.load(place / "queries-0.npy").astype(np.float32)
    out = np.empty((QUERIES, SHARD), dtype=np.float32)
    spent = {"ours": 0.0, "bare": 0.0}

    def bare(shard):
        """The same rows of the same file through a product with the same queries; nothing is kept."""
        begin = time.perf_counter()
        vectors = np.load(place / f"passages-{shard.file}.npy", mmap_mode="r")
        part = vectors[shard.start : shard.start + shard.size].astype(np.float32)
        np.matmul(queries, part.T, out=out[:, : len(part)])
        spent["bare"] += time.perf_counter() - begin

    def engine(work, shards):
        counter = ShardCounter(loaded, work, candidates_of(work.selection.task, work.streaming))
        for shard in shards:
            if beside:
                bare(shard)
            begin = time.perf_counter()
            counts = counter.count(shard, counter.read(shard))
            spent["ours"] += time.perf_counter() - begin
            yield shard, counts

    selection = select(task, ["sw"], ["monolingual"])
    streaming = Streaming(data=folder / "topics", vectors=folder / "vectors", shard=SHARD)
    streamed = StreamedTask(selection, streaming, folder / "counts", engine)
    document = evaluate_loaded(loaded, streamed, RunContext(inventories=folder / "inventories")).document
    shutil.rmtree(folder / "counts")
    return spent["ours"], document.cost.peak_memory, spent["bare"]


def floor(work):
    """Counting against the bare product; memory and time of four times as many vectors."""
    folders = {millions: work / f"{millions}m" for millions in (1, 4)}
    for millions, folder in folders.items():
        folder.mkdir()
        write_vectors(folder, millions * 1_000_000)
        # Takes the inventory, which is no part of any time, and reads the files once.
        child("count", folder)
    # Shard by shard, one after the other: both sides see the same weather. Three times, for it changes.
    both = [child("beside", folders[1]) for _ in range(3)]
    # Likewise the small corpus before and after the large one.
    runs = [child("count", folders[millions]) for millions in (1, 4, 1)]
    for folder in folders.values():
        shutil.rmtree(folder)
    ratios = sorted(run["seconds"] / run["bare"] for run in both)
    found = {
        "ours": statistics.median(run["seconds"] for run in both),
        "bare": statistics.median(run["bare"] for run in both),
    }
    found["seconds 1"], found["seconds 4"] = (runs[0]["seconds"] + runs[2]["seconds"]) / 2, runs[1]["seconds"]
    found["memory 1"], found["memory 4"] = max(runs[0]["memory"], runs[2]["memory"]), runs[1]["memory"]
    return [
        f"| 1,000,000 x {DIMENSIONS} float16 on disk, {QUERIES:,} queries with {GOLDS} golds: counting, against the bare "
        f"streamed matrix product | {found['ours']:.1f} s against {found['bare']:.1f} s "
        f"| {ratios[1]:.2f} x (least {ratios[0]:.2f}) |",
        f"| peak memory of 4,000,000 vectors against 1,000,000 | {found['memory 4'] / 2**20:,.0f} MiB against "
        f"{found['memory 1'] / 2**20:,.0f} MiB | {found['memory 4'] / found['memory 1']:.3f} x |",
        f"| time of 4,000,000 vectors against 1,000,000 | {found['seconds 4']:.1f} s against {found['seconds 1']:.1f} s "
        f"| {found['seconds 4'] / found['seconds 1']:.2f} x |",
    ]


def text_corpus(folder, passages, queries, words=40):
    """A corpus in the original layout whose texts a static encoder can tell apart; returns (topics, rows)."""
    from miracl_corpus import write_original, write_task

    rng = random.Random(1)
    vocabulary = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(20_000)]
    rows = [(f"{i}#0", vocabulary[i % 20_000], " ".join(rng.choices(vocabulary, k=words))) for i in range(passages)]
    topics = []
    for i in range(queries):
        golds = rng.sample(range(passages), 2)
        text = " ".join(word for g in golds for word in rng.sample(rows[g][2].split(), 6))
        topics.append((f"{i}", text, {f"{g}#0": 1 for g in golds}))
    write_original(folder / "corpus", "sw", topics, rows, per_file=50_000)
    write_task(folder, {"sw": (topics, rows)}, "synthetic")
    return topics, rows


def read_corpus(folder):
    """(topics, rows) of a corpus that :func:`text_corpus` wrote."""
    from clirbench.tasks.corpora.judged import open_judgements
    from clirbench.tasks.task_file import load_task

    judgements = open_judgements(load_task(str(folder / "synthetic.toml")), folder / "corpus")
    rows = []
    paths = (folder / "corpus" / "miracl-corpus-v1.0-sw").glob("*.gz")
    for path in sorted(paths, key=lambda path: int(re.search(r"\d+", path.name)[0])):
        with gzip.open(path, "rt") as file:
            rows += [json.loads(line) for line in file]
    return judgements.topics("sw"), judgements.judgements("sw"), rows


def build_words(folder, rows):
    """A static encoder that knows the corpus's words: 256 random dimensions each."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = sorted({word for _, title, text in rows for word in [title, *text.split()]})
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0} | {word: i + 1 for i, word in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    weights = np.random.default_rng(0).standard_normal((len(words) + 1, 256)).astype(np.float32)
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)]).save(str(folder))


def run_ours(folder):
    from against_mteb import load_counting

    from clirbench.encoders.load import as_loaded
    from clirbench.evaluation.evaluate import evaluate_loaded
    from clirbench.evaluation.streaming.count_shard import ShardCounter
    from clirbench.evaluation.streaming.options import Streaming, candidates_of
    from clirbench.evaluation.streaming.streamed_task import StreamedTask
    from clirbench.support.context import RunContext
    from clirbench.tasks.selection import select
    from clirbench.tasks.task_file import load_task

    model, _ = load_counting(folder / "model")
    waited = 0.0

    def engine(work, shards):
        nonlocal waited
        candidates = candidates_of(work.selection.task, work.streaming)
        counter = ShardCounter(as_loaded(model), work, candidates)
        for shard in shards:
            begin = time.perf_counter()
            block = counter.read(shard)
            waited += time.perf_counter() - begin
            yield shard, counter.count(shard, block)

    selection = select(load_task(str(folder / "synthetic.toml")), ["sw"], ["monolingual"])
    streamed = StreamedTask(selection, Streaming(data=folder / "corpus", shard=SHARD), None, engine)
    document = evaluate_loaded(as_loaded(model), streamed, RunContext()).document
    seconds = document.cost.seconds
    return {
        # As with mteb's, without reading the corpus: what waits for the next shard is not search.
        "seconds": seconds["rank"] + seconds["score"] - waited,
        "reading": seconds["load"] + waited,
        "ndcg": document.headline["monolingual"]["nDCG@10"].value,
    }


def run_mteb(folder):
    import mteb
    from against_mteb import load_counting
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata
    from sentence_transformers import SentenceTransformer

    topics, judgements, rows = read_corpus(folder)
    spent = {"encode": 0.0, "load": 0.0}

    class Synthetic(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="Synthetic",
            description="The corpus of benchmarks/streaming.py.",
            dataset={"path": "local/synthetic", "revision": "1"},
            type="Retrieval",
            category="t2t",
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
            bibtex_citation="",
        )

        def load_data(self, num_proc=None, **kwargs):
            begin = time.perf_counter()
            relevant = {}
            for row in judgements:
                relevant.setdefault(row.query, {})[row.passage] = row.relevance
            corpus = {
                "id": [row["docid"] for row in rows],
                "text": [f"{row['title']} {row['text']}".strip() for row in rows],
            }
            queries = {"id": [id_ for id_, _ in topics], "text": [text for _, text in topics]}
            self.dataset = {
                "default": {
                    "test": {
                        "corpus": Dataset.from_dict(corpus),
                        "queries": Dataset.from_dict(queries),
                        "relevant_docs": relevant,
                        "top_ranked": None,
                    }
                }
            }
            self.data_loaded = True
            spent["load"] += time.perf_counter() - begin

    model, _ = load_counting(folder / "model")
    counting = SentenceTransformer.encode

    def timed(self, *args, **kwargs):
        begin = time.perf_counter()
        try:
            return counting(self, *args, **kwargs)
        finally:
            spent["encode"] += time.perf_counter() - begin

    SentenceTransformer.encode = timed
    begin = time.perf_counter()
    result = mteb.evaluate(model, Synthetic(), cache=None, show_progress_bar=False)
    seconds = time.perf_counter() - begin - spent["encode"] - spent["load"]
    return {"seconds": seconds, "ndcg": result.task_results[0].scores["test"][0]["ndcg_at_10"]}


def against_mteb(work):
    """The same corpus with the same static encoder: everything but encoding, reading and loading."""
    folder = work / "mteb"
    _, rows = text_corpus(folder, 200_000, 1_000)
    build_words(folder / "model", rows)
    ours, theirs = child("ours", folder), child("mteb", folder)
    shutil.rmtree(folder)
    return [
        f"| 200,000 passages, 1,000 queries, the same static encoder: after encoding, against mteb | {ours['seconds']:.1f} s "
        f"(and {ours['reading']:.1f} s to read the corpus twice) against {theirs['seconds']:.1f} s "
        f"| {theirs['seconds'] / ours['seconds']:.0f} x faster |",
        f"| nDCG@10 of the two | {ours['ndcg']:.6f}, {theirs['ndcg']:.6f} | {abs(ours['ndcg'] - theirs['ndcg']):.1e} apart |",
    ]


def engine_seconds(folder, workers):
    """Seconds per shard from the first finished one on: start-up is apart."""
    from clirbench.encoders.base import EncoderOptions
    from clirbench.encoders.load import load_encoder
    from clirbench.evaluation.evaluate import evaluate_loaded
    from clirbench.evaluation.streaming.options import Streaming, candidates_of
    from clirbench.evaluation.streaming.streamed_task import StreamedTask, local_engine
    from clirbench.support.context import RunContext
    from clirbench.support.progress import Silent
    from clirbench.tasks.selection import select
    from clirbench.tasks.task_file import load_task

    loaded = load_encoder("clirbench/hybrid")
    streaming = Streaming(data=folder / "corpus", shard=5_000)
    engine = None
    if workers:
        from dataclasses import replace

        from clirbench.evaluation.streaming.ray_engine import connect, ray_engine

        streaming = connect(replace(streaming, engine="ray", workers=workers))
        engine = ray_engine("clirbench/hybrid", EncoderOptions(), loaded.info, Silent())
    times = []

    def timed(work, shards):
        chosen = engine or local_engine(loaded, candidates_of(work.selection.task, work.streaming))
        for item in chosen(work, shards):
            times.append(time.perf_counter())
            yield item

    selection = select(load_task(str(folder / "synthetic.toml")), ["sw"], ["monolingual"])
    streamed = StreamedTask(selection, streaming, None, timed)
    document = evaluate_loaded(loaded, streamed, RunContext(inventories=folder / "inventories")).document
    # Workers finish their first shards together: those tell nothing of the pace.
    skipped = max(1, workers)
    pace = (times[-1] - times[skipped - 1]) / (len(times) - skipped)
    return {"seconds": pace * len(times), "digest": document.ranks.sha256}


def ray(work):
    """Two workers on two cores against this process, on the same shards."""
    folder = work / "ray"
    text_corpus(folder, 300_000, 1_000)
    child("engine", folder, "0")
    local, spread = child("engine", folder, "0"), child("engine", folder, "2")
    shutil.rmtree(folder)
    same = "identical" if local["digest"] == spread["digest"] else "NOT identical"
    return [
        f"| 300,000 passages encoded and counted by two Ray workers on two cores, start-up apart, against the local "
        f"engine | {spread['seconds']:.1f} s against {local['seconds']:.1f} s, ranks {same} "
        f"| {spread['seconds'] / local['seconds']:.2f} x |"
    ]


def kill(work):
    """Ten runs killed at random moments with signal 9, each resumed: the ranks of a run that was let be."""
    folder = work / "kill"
    text_corpus(folder, 40_000, 200)
    rng = random.Random(20240810)
    command = [
        sys.executable, "-m", "clirbench", "run", "--model", "clirbench/hybrid", "--tasks", "synthetic.toml",
        "--data", "corpus", "--shard-size", "500", "--settings", "monolingual",
    ]  # fmt: skip
    environment = {**os.environ, "CLIRBENCH_CACHE": str(folder / "cache"), "PYTHONWARNINGS": "ignore"}

    def start(output):
        return subprocess.Popen(
            [*command, "-o", output],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ranks(output):
        return next((folder / output).rglob("*.ranks.parquet")).read_bytes()

    begin = time.perf_counter()
    start("whole").communicate()
    seconds = time.perf_counter() - begin
    same, kept = 0, []
    for i in range(10):
        process = start(f"killed{i}")
        time.sleep(rng.uniform(0.3, 0.85) * seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        _, errors = start(f"killed{i}").communicate()
        told = re.search(r"^([\d,]+) of ([\d,]+) shards are there", errors, re.M)
        kept.append(int(told[1].replace(",", "")) if told else 0)
        same += ranks(f"killed{i}") == ranks("whole")
    shards = 40_000 // 500
    shutil.rmtree(folder)
    return [
        f"| kill -9 at ten random moments, resumed | {min(kept)} to {max(kept)} of {shards} shards kept "
        f"| identical ranks {same} of 10 times |"
    ]


def trec(work):
    """The largest difference to pytrec_eval on full rankings, real topics and judgements of all 18 languages."""
    mirror = Path(os.environ.get("CLIRBENCH_MIRROR") or ROOT.parent / "shared" / "data")
    if not (mirror / "miracl" / "topics").is_dir():
        return []
    from functools import partial

    from miracl_corpus import build, real
    from test_streaming import Continuous, run, trec_scores

    from clirbench.tasks.task_file import load_task

    languages = load_task("miracl").languages
    folder, task, data = build(work, partial(real, mirror), languages, 40, 200, 200)
    names = {"nDCG@10": "ndcg_cut_10", "R@100": "recall_100", "MRR": "recip_rank", "mAP": "map", "R@10": "recall_10"}
    document = run(Continuous(), folder, task, work, shard=100).result.document
    largest = 0.0
    for language in languages:
        by_query = trec_scores(Continuous(), data, language, set(names.values()))
        for name, other in names.items():
            mean = float(np.mean([values[other] for values in by_query.values()]))
            largest = max(largest, abs(mean - document.per_language[language]["monolingual"][name]))
    return [
        f"| full rankings of {sum(document.counts.candidates.values()):,} passages, {document.counts.queries:,} real queries "
        f"of 18 languages, five metrics: largest difference to pytrec_eval | | {largest:.1e} |"
    ]


PARTS = {"floor": floor, "mteb": against_mteb, "ray": ray, "kill": kill, "trec": trec}


def child(what, *arguments):
    """Run one contender in a process of its own."""
    environment = {
        **os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "RAY_AUTH_MODE": "disabled", "PYTHONWARNINGS": "ignore"
    }  # fmt: skip
    command = [sys.executable, __file__, "--child", what, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    lines = [line for line in ran.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        sys.exit(ran.stderr)
    return json.loads(lines[0].removeprefix("RESULT "))


def run_child(what, *arguments):
    folder = Path(arguments[0])
    if what in ("count", "beside"):
        seconds, memory, bare = count_vectors(folder, what == "beside")
        found = {"seconds": seconds, "memory": memory, "bare": bare}
    elif what == "engine":
        found = engine_seconds(folder, int(arguments[1]))
    else:
        found = {"ours": run_ours, "mteb": run_mteb}[what](folder)
    print("RESULT " + json.dumps(found))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all of them where none is named")
    parser.add_argument("--write", action="store_true", help="write the table into the docs")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        run_child(*arguments.child)
        return
    rows = ["| what | measured | ratio |", "|---|---|---|"]
    for name in arguments.parts or PARTS:
        with tempfile.TemporaryDirectory() as work:
            rows += PARTS[name](Path(work))
    table = "\n".join(rows)
    print(table)
    if arguments.write:
        # What was not run now stays as it was; a row is known by what it measures.
        old = {row.split(" | ")[0]: row for row in blocks.read("streaming-benchmarks").splitlines()}
        new = {row.split(" | ")[0]: row for row in rows}
        blocks.write("streaming-benchmarks", "\n".join({**old, **new}.values()))


if __name__ == "__main__":
    main()
