"""Streamed evaluation against sorting everything, against the kernel for memory, and against trec_eval."""

import hashlib
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import pytrec_eval
from conftest import REAL_DATA
from miracl_corpus import build, invented, real, write_original, write_task
from test_ranking_shards import unit_rows

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.lengths import TokenCounts
from clirbench.encoders.load import as_loaded
from clirbench.evaluation.evaluate import evaluate_loaded
from clirbench.evaluation.streaming import count_shard, options, streamed_task
from clirbench.evaluation.streaming.options import Streaming
from clirbench.evaluation.streaming.streamed_task import StreamedTask
from clirbench.ranking.near_ties import exact_products
from clirbench.ranking.shards import Best, Cells, GoldScores
from clirbench.results.rescore import rescore
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.selection import select
from clirbench.tasks.task_file import load_task


class Hashed:
    """Small whole numbers that depend on the text alone: products are exact, and many tie."""

    name, revision, similarity = "test/hashed", "1", "dot"

    def __init__(self, values=3, dimensions=4):
        self.values, self.dimensions, self.calls = values, dimensions, 0

    def encode_queries(self, texts):
        self.calls += len(texts)
        return np.array([self.vector(text) for text in texts])

    encode_candidates = encode_queries

    def vector(self, text):
        rng = np.random.default_rng(list(hashlib.sha256(text.encode()).digest()))
        return rng.integers(-self.values, self.values + 1, self.dimensions) + np.eye(self.dimensions)[0] * 0.5


class Continuous(Hashed):
    """No ties."""

    name, similarity = "test/continuous", "cosine"

    def vector(self, text):
        rng = np.random.default_rng(list(hashlib.sha256(text.encode()).digest()))
        return rng.standard_normal(24)


def run(encoder, corpus, task, tmp_path, folder="counts", chosen=None, wanted=None, force=False, **streaming):
    """The streamed task and its result."""
    model = as_loaded(encoder, streaming.pop("options", None))
    counts = None if folder is None else tmp_path / folder
    streamed = StreamedTask(select(load_task(str(task)), chosen, wanted), Streaming(data=corpus, **streaming), counts)
    return streamed, evaluate_loaded(model, streamed, RunContext(inventories=tmp_path / "inventories", force=force))


def texts_of(data):
    """By language, (id, text) of each passage in the order of the files."""
    return {x: [(id_, f"{title} {text}".strip()) for id_, title, text in rows] for x, (_, rows) in data.items()}


def sorted_ranks(encoder, data):
    """{(topic, gold id): (own rank, pool rank)}, by sorting every pool as the tie rule is worded."""
    texts = texts_of(data)
    found = {}

    def vector(text):
        raw = np.asarray(encoder.vector(text), dtype=np.float64)
        return raw / np.linalg.norm(raw) if encoder.similarity == "cosine" else raw

    for language, (topics, _) in data.items():
        for query, text, judged in topics:
            golds = {id_ for id_, relevance in judged.items() if relevance >= 1}
            q = vector(text)
            pool = []
            for place, other in enumerate(data):
                for row, (id_, passage) in enumerate(texts[other]):
                    gold = other == language and id_ in golds
                    score = float(q @ vector(passage))
                    pool.append((-score, gold, place, row, other, id_))
            pool.sort()
            ranks = {"own": 0, "pool": 0}
            for _, gold, _, _, other, id_ in pool:
                ranks["pool"] += 1
                ranks["own"] += other == language
                if gold:
                    found[f"{language}:{query}", id_] = ranks["own"], ranks["pool"]
    return found


def rows_of(result):
    """(topic, own rank, pool rank) of every row of a ranks file."""
    ranks = result.ranks
    pool = ranks.pool_rank if ranks.pool_rank is not None else ranks.own_rank
    return sorted((ranks.topics[t], int(o), int(p)) for t, o, p in zip(ranks.topic, ranks.own_rank, pool, strict=True))


@pytest.fixture
def corpus(tmp_path):
    return build(tmp_path, invented, ["sw", "yo", "te"], distractors=40, per_file=17)


@pytest.mark.parametrize("layout", ["original", "mteb"])
@pytest.mark.parametrize("shard", [1, 7, 1000])
def test_equals_sorting_every_pool(tmp_path, layout, shard):
    folder, task, data = build(tmp_path, invented, ["sw", "yo", "te"], distractors=40, per_file=17, layout=layout)
    encoder = Hashed()
    result = run(encoder, folder, task, tmp_path, shard=shard)[1]
    expected = sorted(
        (topic, own, pool)
        for (topic, _), (own, pool) in sorted_ranks(encoder, {x: data[x] for x in ("sw", "te", "yo")}).items()
    )
    assert rows_of(result) == expected
    assert not rescore(result).differences
    assert result.document.corpus.layout == layout


def test_the_lengths_of_texts_are_those_of_all_queries_and_of_the_first_passages(tmp_path, monkeypatch):
    monkeypatch.setattr(streamed_task, "_COUNTED", 5)
    folder, task, data = build(tmp_path, invented, ["sw", "yo"], distractors=40, per_file=17)
    encoder = Hashed()
    encoder.token_counts = lambda role, texts: TokenCounts([len(text) for text in texts], [0] * len(texts))
    encoder.max_length = 30
    result = run(encoder, folder, task, tmp_path, shard=20)[1]
    for language in ("sw", "yo"):
        asked = list(dict.fromkeys(text for _, text, _ in invented(language)))
        read = list(dict.fromkeys(text for _, text in texts_of(data)[language][:5]))
        for role, texts in (("query", asked), ("candidate", read)):
            part = result.document.lengths[role][language]
            assert part.texts == len(texts)
            assert part.mean_tokens == pytest.approx(sum(map(len, texts)) / len(texts))
            assert part.cut == pytest.approx(sum(len(text) > 30 for text in texts) / len(texts))


class Noisy(Continuous):
    """Rounds differently every time, as a GPU does that batches texts differently."""

    name = "test/noisy"

    def encode_candidates(self, texts):
        self.calls += 1
        noise = np.random.default_rng(self.calls).standard_normal((len(texts), 24)) * 1e-6
        return np.array([self.vector(text) for text in texts]) + noise

    encode_queries = Continuous.encode_queries


def test_noise_between_passes_moves_no_gold_and_no_copy_of_one(tmp_path):
    """A gold is not compared with itself; a passage with its text ties with it, and the tie is lost."""
    topics = invented("yo")
    folder, task, data = build(tmp_path, invented, ["yo"], distractors=30)
    golds = {id_ for _, _, judged in topics for id_, relevance in judged.items() if relevance >= 1}
    rows = data["yo"][1]
    copied = [(f"8{i}#0", title, text) for i, (id_, title, text) in enumerate(rows) if id_ in golds]
    assert len(copied) == 4
    twice = {"yo": (topics, [copied[0], copied[1], *rows, copied[2], copied[3]])}
    write_original(folder, "yo", *twice["yo"])
    task = write_task(tmp_path, twice)
    encoder = Noisy()
    found = [rows_of(run(encoder, folder, task, tmp_path, folder=None, shard=size)[1]) for size in (1, 5, 1000)]
    # The same as without any noise: every gold has its copy before it.
    plain = sorted((topic, own, pool) for (topic, _), (own, pool) in sorted_ranks(Continuous(), twice).items())
    assert found == [plain, plain, plain]


class Bag(Hashed):
    """Different texts with one vector: the words, whatever their order."""

    name, similarity = "test/bag", "cosine"

    def vector(self, text):
        return sum(Continuous.vector(self, word) for word in sorted(text.split()))


def test_another_text_with_a_golds_vector_ties_with_it(tmp_path):
    topics = [("1", "where", {"1#0": 1})]
    rows = [("2#0", "", "b a c"), ("1#0", "", "a b c"), ("3#0", "", "c b a"), ("4#0", "", "where")]
    data = {"sw": (topics, rows)}
    write_original(tmp_path / "corpus", "sw", topics, rows)
    result = run(Bag(), tmp_path / "corpus", write_task(tmp_path, data), tmp_path, shard=1)[1]
    # "where" stands before it, and so do both copies.
    assert rows_of(result) == [("sw:1", 4, 4)]


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_similarities(tmp_path, corpus, similarity):
    folder, task, data = corpus
    encoder = Continuous()
    result = run(encoder, folder, task, tmp_path, shard=9, options=EncoderOptions(similarity=similarity))[1]
    texts, distance = texts_of(data), {}
    for language, (topics, _) in data.items():
        for query, text, judged in topics:
            q = encoder.vector(text)
            vectors = np.array([encoder.vector(passage) for _, passage in texts[language]])
            score = {
                "dot": vectors @ q,
                "cosine": vectors @ q / np.linalg.norm(vectors, axis=1),
                "euclidean": -np.linalg.norm(vectors - q, axis=1),
            }[similarity]
            order = [texts[language][i][0] for i in np.argsort(-score)]
            golds = [id_ for id_, relevance in judged.items() if relevance >= 1]
            distance[f"{language}:{query}"] = sorted(order.index(id_) + 1 for id_ in golds)
    got = {}
    for topic, own, _ in rows_of(result):
        got.setdefault(topic, []).append(own)
    assert got == distance


def test_monolingual_alone_gives_the_same_ranks_within_the_language(tmp_path, corpus):
    folder, task, _ = corpus
    both = run(Hashed(), folder, task, tmp_path, shard=9)[1]
    alone = run(Hashed(), folder, task, tmp_path, folder="other", shard=9, wanted=("monolingual",))[1]
    assert [row[:2] for row in rows_of(alone)] == [row[:2] for row in rows_of(both)]
    assert alone.ranks.pool_rank is None
    one = run(Hashed(), folder, task, tmp_path, folder="third", shard=9, chosen=("yo",), wanted=("monolingual",))[1]
    assert rows_of(one) == [row for row in rows_of(alone) if row[0].startswith("yo:")]


def test_the_queue_jump_matrix_counts_who_stands_before_a_gold(tmp_path, corpus):
    folder, task, data = corpus
    encoder = Hashed()
    document = run(encoder, folder, task, tmp_path, shard=9)[1].document
    data = {x: data[x] for x in ("sw", "te", "yo")}
    ranks = sorted_ranks(encoder, data)
    for language in data:
        jumps = document.queue_jump[language][language]
        golds = [key for key in ranks if key[0].startswith(f"{language}:")]
        others = sum(ranks[key][1] - ranks[key][0] for key in golds)
        assert sum(jumps[x] for x in data if x != language) == others
        assert document.headline["bias"]["own_language_preference"].value is not None
    assert set(document.headline) == {"monolingual", "multilingual", "bias"}
    assert "rank_distance" not in document.headline["bias"]


def test_a_folder_of_counts_is_resumed_and_only_by_the_same_run(tmp_path, corpus):
    folder, task, _ = corpus
    encoder = Hashed()
    whole = rows_of(run(encoder, folder, task, tmp_path, shard=9)[1])
    counts = tmp_path / "counts"
    files = sorted(counts.glob("*.counts"))
    calls = encoder.calls
    assert rows_of(run(encoder, folder, task, tmp_path, shard=9)[1]) == whole
    assert encoder.calls == calls
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-3])
    files[2].write_bytes(files[3].read_bytes())
    assert rows_of(run(encoder, folder, task, tmp_path, shard=9)[1]) == whole
    assert 0 < encoder.calls - calls <= 27
    for change, message in (
        ({"shard": 8}, "another shard size"),
        (
            {"options": EncoderOptions(similarity="cosine")},
            r"another encoder settings \({\"similarity\": \"dot\"} there",
        ),
        ({"top": 3}, "another save top"),
        ({"wanted": ("monolingual",)}, "another settings"),
    ):
        with pytest.raises(ClirbenchError, match=message):
            run(encoder, folder, task, tmp_path, **{"shard": 9, **change})
    other = Hashed()
    other.revision = "2"
    with pytest.raises(ClirbenchError, match="another model revision"):
        run(other, folder, task, tmp_path, shard=9)
    assert sorted(counts.glob("*.counts")) == files
    assert rows_of(run(other, folder, task, tmp_path, shard=9, force=True)[1]) == whole


def test_a_changed_corpus_is_refused(tmp_path, corpus):
    folder, task, data = corpus
    run(Hashed(), folder, task, tmp_path, shard=9)
    topics, rows = data["sw"]
    changed = [(id_, title, text + "!") if i == 3 else (id_, title, text) for i, (id_, title, text) in enumerate(rows)]
    write_original(folder, "sw", topics, changed, per_file=17)
    with pytest.raises(ClirbenchError, match="another corpus"):
        run(Hashed(), folder, task, tmp_path, shard=9)


def test_other_queries_are_another_run(tmp_path, corpus):
    folder, task, data = corpus
    run(Hashed(), folder, task, tmp_path, shard=9)
    topics = [(query, text + "?", judged) for query, text, judged in data["sw"][0]]
    write_original(folder, "sw", topics, data["sw"][1], per_file=17)
    with pytest.raises(ClirbenchError, match="another queries and judgements"):
        run(Hashed(), folder, task, tmp_path, shard=9)


def test_nothing_is_removed_that_was_not_written_here(tmp_path, corpus):
    folder, task, _ = corpus
    counts = tmp_path / "counts"
    counts.mkdir()
    (counts / "mine.txt").write_text("precious")
    run(Hashed(), folder, task, tmp_path, shard=9)
    run(Hashed(), folder, task, tmp_path, shard=8, force=True)
    (counts / "manifest.json").write_text("{")
    found, _ = run(Hashed(), folder, task, tmp_path, shard=9)
    found.forget()
    assert [path.name for path in counts.iterdir()] == ["mine.txt"]
    # What cannot be read is not what is not there.
    (counts / "manifest.json").mkdir()
    with pytest.raises(ClirbenchError, match=r"manifest\.json: cannot be read .*nothing was removed"):
        run(Hashed(), folder, task, tmp_path, shard=9)


def test_ranks_do_not_depend_on_the_shard_size_where_scores_are_near(tmp_path):
    """Thousands of candidates within the rounding of float32, in shards of every size: always the order of float64."""
    rng = np.random.default_rng(8)
    n, width, dimensions = 20, 3000, 768
    queries = unit_rows(rng, n, dimensions, 3.0)
    one = unit_rows(rng, 1, dimensions, 3.0)
    noise = rng.standard_normal((width, dimensions)).astype(np.float32)
    candidates = np.where(
        rng.random((width, 1)) < 0.05, one + noise * np.float32(2e-7), unit_rows(rng, width, dimensions, 3.0)
    )
    candidates = candidates.astype(np.float32)
    gold = rng.integers(0, width, n)
    scores = exact_products(queries, np.arange(n), candidates, gold)
    exact = queries.astype(np.float64) @ candidates.T.astype(np.float64)
    counter = GoldScores(queries, np.arange(n, dtype=np.int32), scores)
    nothing = Cells(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
    for size in (7, 100, 3000):
        counts = np.zeros(n, dtype=int)
        for a in range(0, width, size):
            inside = np.flatnonzero((gold >= a) & (gold < a + size))
            own = Cells(inside, (gold[inside] - a).astype(np.intp))
            counts += counter.count(candidates[a : a + size], own, nothing)[0]
        assert (counts == (exact > scores[:, None] + 1e-14).sum(axis=1)).all(), size


class Long(Hashed):
    """One candidate whose products overflow float32."""

    name = "test/long"

    def vector(self, text):
        return super().vector(text) * (1e20 if text.endswith("!") else 1)


def test_products_that_could_overflow_are_refused(tmp_path, corpus):
    folder, _, data = corpus
    topics, rows = data["sw"]
    some = [
        (id_, title, text + "!") if i == 30 and id_[0] == "9" else (id_, title, text)
        for i, (id_, title, text) in enumerate(rows)
    ]
    assert some != rows
    write_original(folder, "sw", topics, some, per_file=17)
    task = write_task(tmp_path, {"sw": (topics, some)}, "long")
    with pytest.raises(ClirbenchError, match="scores could overflow float32"):
        run(Long(), folder, task, tmp_path, folder=None, shard=9)


def test_damaged_first_pass_begins_anew(tmp_path, corpus):
    folder, task, _ = corpus
    whole = rows_of(run(Hashed(), folder, task, tmp_path, shard=9)[1])
    (tmp_path / "counts" / "first.npz").write_bytes(b"x")
    assert rows_of(run(Hashed(), folder, task, tmp_path, shard=9)[1]) == whole


def test_without_a_revision_nothing_is_taken_for_the_same(tmp_path, corpus):
    folder, task, _ = corpus
    encoder = Hashed()
    encoder.revision = None
    whole = rows_of(run(encoder, folder, task, tmp_path, shard=9)[1])
    calls = encoder.calls
    assert rows_of(run(encoder, folder, task, tmp_path, shard=9)[1]) == whole
    assert encoder.calls == 2 * calls


def test_an_api_or_a_scorer_is_refused_before_it_is_asked(tmp_path, corpus):
    class Scores:
        def prepare_candidates(self, texts, languages):
            raise AssertionError

        score = prepare_candidates

    folder, task, _ = corpus
    encoder = Hashed()
    with pytest.raises(ClirbenchError, match="is an API, and vectors of tiny-miracl would be paid for and forgotten"):
        run(replace(as_loaded(encoder), api=True), folder, task, tmp_path)
    assert not encoder.calls
    with pytest.raises(ClirbenchError, match="has no vectors"):
        run(Scores(), folder, task, tmp_path)


def trec_scores(encoder, data, language, measures):
    """pytrec_eval on the full ranking of one language, unjudged passages included."""
    topics, _ = data[language]
    texts = texts_of(data)[language]
    vectors = np.array([encoder.vector(text) for _, text in texts])
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    run_, qrels = {}, {}
    for query, text, judged in topics:
        q = encoder.vector(text)
        scores = vectors @ (q / np.linalg.norm(q))
        run_[query] = dict(zip((id_ for id_, _ in texts), map(float, scores), strict=True))
        qrels[query] = judged
    return pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run_)


def assert_agrees_with_trec(document, encoder, data):
    names = {"nDCG@10": "ndcg_cut_10", "R@100": "recall_100", "MRR": "recip_rank", "mAP": "map", "R@10": "recall_10"}
    means = {name: [] for name in names}
    for language in data:
        by_query = trec_scores(encoder, data, language, set(names.values()))
        for name, trec in names.items():
            mean = float(np.mean([values[trec] for values in by_query.values()]))
            means[name].append(mean)
            assert document.per_language[language]["monolingual"][name] == pytest.approx(mean, abs=1e-9), (
                language,
                name,
            )
    for name, values in means.items():
        assert document.headline["monolingual"][name].value == pytest.approx(float(np.mean(values)), abs=1e-9)


def test_agrees_with_trec_eval(tmp_path, corpus):
    folder, task, data = corpus
    assert_agrees_with_trec(run(Continuous(), folder, task, tmp_path, shard=9)[1].document, Continuous(), data)


@pytest.mark.real
@pytest.mark.parametrize("layout", ["original", pytest.param("mteb", marks=pytest.mark.slow)])
def test_all_18_languages_agree_with_trec_eval(tmp_path, layout):
    """Real topics and judgements of every language, passages written here, full rankings."""
    languages = load_task("miracl").languages
    folder, task, data = build(tmp_path, partial(real, REAL_DATA), languages, 25, 150, 200, layout)
    assert len(data) == 18
    assert any("#" in query for query, _, _ in data["yo"][0])
    result = run(Continuous(), folder, task, tmp_path, shard=64)[1]
    assert_agrees_with_trec(result.document, Continuous(), data)
    assert not rescore(result).differences


def test_the_best_passages_are_those_of_a_sorted_pool(tmp_path, corpus):
    folder, task, data = corpus
    encoder = Continuous()
    for size, folder_name in ((1, "a"), (9, "b"), (1000, "c")):
        top = run(encoder, folder, task, tmp_path, folder=folder_name, shard=size, top=7)[0].best_passages()
        for language, (topics, _) in data.items():
            texts = texts_of(data)[language]
            for query, text, _ in topics:
                q = encoder.vector(text)
                scores = [
                    float(v @ q / np.linalg.norm(v) / np.linalg.norm(q)) for v in (encoder.vector(t) for _, t in texts)
                ]
                order = sorted(range(len(texts)), key=lambda i: -scores[i])[:7]
                assert [id_ for id_, _ in top[language][query]] == [texts[i][0] for i in order]
                assert [score for _, score in top[language][query]] == pytest.approx(
                    [scores[i] for i in order], abs=1e-6
                )


@pytest.mark.parametrize(("queries", "merged"), [(2, 14), (1, 1)])
def test_best_passages_come_in_parts_whose_size_changes_nothing(tmp_path, corpus, monkeypatch, queries, merged):
    folder, task, _ = corpus
    whole = run(Hashed(), folder, task, tmp_path, folder="whole", shard=13, top=7)[0].best_passages()
    monkeypatch.setattr(options, "_MERGED", merged)
    for module in (options, count_shard):
        monkeypatch.setattr(module, "TOP_QUERIES", queries)
    sizes = []
    merge = Best.merged
    monkeypatch.setattr(Best, "merged", lambda parts, k: sizes.append(parts[0].score.size) or merge(parts, k))
    streamed, _ = run(Hashed(), folder, task, tmp_path, folder="parts", shard=13, top=7)
    sizes.clear()
    assert streamed.best_passages() == whole
    assert max(sizes) <= max(7, merged)
    streamed.write_runs(tmp_path / "me.json", as_loaded(Hashed()), RunContext())
    lines = [line.split() for line in (tmp_path / "me.yo.trec").read_text().splitlines()]
    assert [(q, id_) for q, _, id_, *_ in lines] == [(q, id_) for q, best in whole["yo"].items() for id_, _ in best]


def test_the_result_says_what_was_read(tmp_path, corpus):
    folder, task, data = corpus
    result = run(Hashed(), folder, task, tmp_path, shard=9)[1]
    document = json.loads(json.dumps(result.to_dict()))
    assert document["corpus"]["source"] == "folder corpus"
    assert document["corpus"]["shards"] == sum(-(-part // 9) for x in data for part in _files(len(data[x][1]), 17))
    assert set(document["corpus"]["sha256"]) == {"sw", "te", "yo"}
    assert document["counts"]["candidates"] == {x: len(data[x][1]) for x in ("sw", "te", "yo")}
    assert document["task"]["complete"]


def _files(rows, per_file):
    return [min(per_file, rows - start) for start in range(0, rows, per_file)]


def test_both_layouts_are_the_same_corpus(tmp_path):
    digests = []
    for layout in ("original", "mteb"):
        (tmp_path / layout).mkdir()
        folder, task, _ = build(tmp_path / layout, invented, ["sw"], distractors=20, per_file=11, layout=layout)
        digests.append(run(Hashed(), folder, task, tmp_path / layout)[1].document.corpus.sha256)
    assert digests[0] == digests[1]
