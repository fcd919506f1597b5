"""Results on the whole of MIRACL, simulated: what `check`, `score`, `compare` and the site make of 31,119 gold pairs."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from command_line import clir

from clirbench.encoders.base import EncoderSettings, LoadedEncoder, ModelInfo
from clirbench.metrics.bias import count_jumps
from clirbench.metrics.scores import compute_scores
from clirbench.ranking.counters import Cost
from clirbench.ranking.gold_ranks import gold_ranks
from clirbench.ranking.in_memory import Outranked
from clirbench.results.build import Run, build_result
from clirbench.results.schema import CorpusPart
from clirbench.submissions.model_toml import evaluation_sets
from clirbench.tasks.collection import GoldPairs
from clirbench.tasks.corpora.judged import load_judged, open_judgements
from clirbench.tasks.selection import select
from clirbench.tasks.task_file import load_task

pytestmark = pytest.mark.real

MODEL_TOML = """
format = 1
name = "NAME"
link = "https://example.org/model"
revision = "1"
licence = "MIT"
parameters = 1
embedding_size = 8
query_prefix = ""
candidate_prefix = ""
base_model = "none"
training_data = ["nothing"]
contact = "a@b.example"
citation = "none"
[trained_on]
"""


def simulated(name, seed, skill):
    """A result whose counts could be true: within a query, what stands before a gold stands before every later one."""
    task = load_task("miracl")
    judged = load_judged(task, task.languages, open_judgements(task, None))
    rng = np.random.default_rng(seed)
    language = judged.query_language[judged.gold_query]
    sizes = np.array([task.counts["candidates"][x] for x in task.languages], dtype=np.int64)
    n, pairs = len(task.languages), len(judged.gold_query)
    share = np.where(np.arange(n) == language[:, None], 1.0, 0.002) * sizes / sizes.sum()
    steps = rng.poisson(rng.lognormal(skill, 2.5, pairs)[:, None] * share * 3).astype(np.int64)
    first = np.concatenate([[True], np.diff(judged.gold_query) != 0])
    starts = np.flatnonzero(first)
    total = np.cumsum(steps, axis=0)
    before = np.repeat(total[starts] - steps[starts], np.diff(np.append(starts, pairs)), axis=0)
    wrong = np.minimum(total - before, sizes - 30).astype(np.int32)
    gold = np.zeros_like(wrong)
    gold[np.arange(pairs), language] = np.arange(pairs) - np.repeat(starts, np.diff(np.append(starts, pairs)))
    which = GoldPairs(judged.topics, task.languages, sizes, judged.gold_query, language, language)
    outranked = Outranked(wrong, gold)
    ranks = gold_ranks(which, outranked, task.settings)
    pools = dict(zip(task.languages, sizes.tolist(), strict=True))
    jumps = count_jumps(which, outranked, ranks)
    scores = compute_scores(ranks, pools, task.settings, task.metrics, task.bias, jumps)
    digest = dict.fromkeys(task.languages, "0" * 64)
    corpus = CorpusPart(source="folder x", layout="original", shard=20_000, shards=5_300, engine="local", sha256=digest)
    cost = Cost(8, 1, 1, 1.0, 0, seconds={"load": 1.0, "encode": 1.0, "rank": 1.0, "score": 1.0})
    run = Run(select(task), judged.topics, len(judged.queries), pools, cost, corpus)
    model = LoadedEncoder(encoder=None, info=ModelInfo(name, "own", "1", "declared", 1), settings=EncoderSettings())
    return build_result(model, run, ranks, scores)


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """Two simulated submissions and a reported one."""
    import os

    from conftest import REAL_DATA, ROOT

    folder = tmp_path_factory.mktemp("miracl")
    os.environ["CLIRBENCH_MIRROR"], before = str(REAL_DATA), os.environ.get("CLIRBENCH_MIRROR")
    try:
        for name, seed, skill in (("sim/good", 1, 1.0), ("sim/poor", 2, 2.5)):
            simulated(name, seed, skill).save(folder / "submissions")
            text = MODEL_TOML.replace("NAME", name) + "".join(f'"{task}" = "no"\n' for task in evaluation_sets())
            (folder / "submissions" / name.replace("/", "__") / "model.toml").write_text(text)
    finally:
        os.environ.pop("CLIRBENCH_MIRROR")
        if before is not None:
            os.environ["CLIRBENCH_MIRROR"] = before
    shutil.copytree(ROOT / "submissions" / "pyserini__bm25", folder / "submissions" / "pyserini__bm25")
    return folder


def test_check_takes_it_and_its_files_are_small(board):
    checked = clir(board, "check", "submissions")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    good = board / "submissions" / "sim__good"
    assert (good / "miracl.json").stat().st_size < 200_000
    assert (good / "miracl.ranks.parquet").stat().st_size < 600_000
    assert "agree" in clir(board, "score", "submissions/sim__good/miracl.json").stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["headline"]["monolingual"]["nDCG@10"].update(value=0.99), "headline.monolingual.nDCG@10"),
        (lambda d: d["counts"]["candidates"].update(sw=5), "own_language_preference"),
        (lambda d: d["queue_jump"]["sw"]["sw"].update(en=10**6), "queue_jump.sw.sw"),
        (lambda d: d["task"].update(bias=["rank_distance"]), "task.bias"),
    ],
)
def test_check_finds_what_was_changed(board, tmp_path, change, message):
    shutil.copytree(board / "submissions" / "sim__good", tmp_path / "sim__good")
    path = tmp_path / "sim__good" / "miracl.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    checked = clir(tmp_path, "check", "sim__good")
    assert checked.returncode == 1
    assert message in checked.stdout


def test_compare_reads_by_the_tasks_own_metric(board):
    ran = clir(board, "compare", "sim/good", "sim/poor")
    assert ran.returncode == 0, ran.stderr
    assert "monolingual nDCG@10" in ran.stdout
    assert "rank distance" not in ran.stdout
    assert "sim/good is better in 18 of 18 languages (all)" in ran.stdout


def test_the_board_ranks_them(board):
    shown = clir(board, "leaderboard", "--task", "miracl").stdout
    assert shown.index("sim/good") < shown.index("sim/poor") < shown.index("pyserini/bm25")


def test_the_site_has_their_pages(board):
    built = clir(board, "site", "build", "--output", "_site")
    assert built.returncode == 0, built.stderr
    page = (board / "_site" / "models" / "sim__good.html").read_text(encoding="utf-8")
    assert "counted by the local engine" in page
    assert '<h3 id="languages-miracl">By query language</h3>' in page
    assert '<th scope="col">nDCG@10, same language <small>' in page
    # Its queries have golds of one language.
    for absent in ("Language pairs", '<th scope="col">rank distance <small>', "AP lost with"):
        assert absent not in page
    task = (board / "_site" / "tasks" / "miracl.html").read_text(encoding="utf-8")
    assert "There is no rank distance: it is the distance between gold candidates in several languages" in task
    assert "clirbench&#39;s own: all languages&#39; passages in one pool" in task
    import html5lib

    for path in (board / "_site").rglob("*.html"):
        html5lib.HTMLParser(strict=True).parse(path.read_text(encoding="utf-8"))


def test_verify_says_why_it_does_not(board):
    ran = clir(board, "verify", "submissions/sim__good", "--by", "me", "--task", "miracl")
    assert ran.returncode == 2
    assert "is read shard by shard, and no sample of it is small" in ran.stderr


def test_hard_negatives_are_held_to_the_counts_that_are_known(board, tmp_path):
    """Nobody has published which questions were drawn: their number by language is what can be checked."""
    from clirbench.results.result import read_result
    from clirbench.submissions.check_one import _gold_pairs_of

    task = load_task("miracl-hard-negatives")
    ranks = read_result(board / "submissions" / "sim__good" / "miracl.json").ranks
    assert not _gold_pairs_of(task, ranks)
    # The first 1,000 queries of each language, as many gold pairs as the task declares: what it would look like.
    kept, query = np.zeros(len(ranks), dtype=bool), ranks.query
    for i, language in enumerate(task.languages):
        mine = np.unique(query[ranks.query_language == i])[: task.counts["queries"][language]]
        kept |= np.isin(query, mine)
    names, topic = np.unique(ranks.topic[kept], return_inverse=True)
    some = dataclasses.replace(
        ranks,
        topics=tuple(ranks.topics[t] for t in names),
        topic=topic.astype(np.int32),
        query_language=ranks.query_language[kept],
        gold_language=ranks.gold_language[kept],
        own_rank=ranks.own_rank[kept],
        pool_rank=ranks.pool_rank[kept],
    )
    counts = {**task.counts, "gold_pairs": int(kept.sum())}
    assert _gold_pairs_of(dataclasses.replace(task, counts=counts), some)
    assert not _gold_pairs_of(dataclasses.replace(task, counts={**counts, "gold_pairs": 1}), some)
