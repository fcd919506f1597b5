"""Tasks with grades from end to end, against pytrec_eval: in memory, streamed, and as a TREC run."""

import hashlib
import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import pytrec_eval
from miracl_corpus import write_mteb, write_original, write_task
from rich.console import Console

import clirbench
from clirbench.cli.display.results import print_summary
from clirbench.encoders.load import as_loaded
from clirbench.evaluation.evaluate import evaluate_loaded
from clirbench.evaluation.streaming.options import Streaming
from clirbench.evaluation.streaming.streamed_task import StreamedTask
from clirbench.evaluation.trec_runs import read_run, score_run
from clirbench.ranking.kernel import best_first
from clirbench.results.compare import compare
from clirbench.results.rescore import rescore
from clirbench.results.trec_export import TREC_NAMES, trec_lines
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.corpora.judged import load_judged, open_judgements
from clirbench.tasks.selection import select
from clirbench.tasks.task_file import load_task

LANGUAGES = ("en", "de", "th")
METRICS = ("nDCG@10", "nDCG@20", "mAP", "R@10", "R@100")
GRADES = [-1, 0, 1, 2, 3, 7]
TOPICS = 24


class Whole:
    """Small whole numbers that depend on the text alone: products are exact, and many tie."""

    name, revision, similarity = "test/whole", "1", "dot"

    def encode_queries(self, texts):
        return np.array([vector(text) for text in texts])

    encode_candidates = encode_queries


def vector(text):
    rng = np.random.default_rng(list(hashlib.sha256(text.encode()).digest()))
    return rng.integers(-1, 2, 4) + np.eye(4)[0] * 0.5


class Constant(Whole):
    """The same vector for every text."""

    name = "test/constant"

    def encode_queries(self, texts):
        return np.ones((len(texts), 4))

    encode_candidates = encode_queries


def own_rows(seed=0):
    """Queries and candidates in three languages, by language. A candidate is judged for two topics, and for some is no gold."""
    rng = np.random.default_rng(seed)
    queries, candidates = [], []
    for language in LANGUAGES:
        queries += [{"topic": f"t{i}", "language": language, "text": f"{language} {i}?"} for i in range(TOPICS)]
        for i in range(3 * TOPICS):
            others = [i % TOPICS, int(rng.integers(TOPICS))]
            judged = {f"t{topic}": int(rng.choice(GRADES)) for topic in others}
            row = {"language": language, "text": f"{language} {i}."}
            candidates.append(row if i % 5 == 0 else {**row, "answers": judged})
    # Every topic has a gold.
    for i in range(TOPICS):
        candidates[i].setdefault("answers", {})[f"t{i}"] = 1 + i % 3
    return queries, candidates


def own_task(folder, candidates, more=""):
    for name, rows in (("q", own_rows()[0]), ("c", candidates)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    head = 'format = 1\nid = "mine"\nname = "Mine"\ndescription = "d"\nlicence = "x"\nreader = "jsonl"\n'
    lists = f"languages = {json.dumps(LANGUAGES)}\nmetrics = {json.dumps(METRICS)}\n"
    files = 'queries = "q.jsonl"\ncandidates = "c.jsonl"\n'
    (folder / "mine.toml").write_text(head + lists + files + more, encoding="utf-8")
    return str(folder / "mine.toml")


def places(scores, grades, pool):
    """The run of one query, as scores: the places from the end, by the tie rule as it is worded."""
    order = sorted(pool, key=lambda c: (-scores[c], max(grades.get(c, 0), 0), c))
    return {str(c): float(len(order) - place) for place, c in enumerate(order)}


def oracle(queries, candidates, lowest=1):
    """By (query language, pool), the mean of each metric of pytrec_eval. All judgements are given to it, negative ones too."""
    vectors = np.array([vector(row["text"]) for row in candidates])
    pools = {x: [c for c, row in enumerate(candidates) if row["language"] == x] for x in LANGUAGES}
    pools["all"] = list(range(len(candidates)))
    qrels, runs = {}, {}
    for query in queries:
        scores = vectors @ vector(query["text"])
        judged = {c: row["answers"][query["topic"]] for c, row in enumerate(candidates)
                  if query["topic"] in row.get("answers", ())}  # fmt: skip
        grades = {c: grade if grade >= lowest else min(grade, 0) for c, grade in judged.items()}
        for name, pool in pools.items():
            inside = {c: grade for c, grade in grades.items() if c in set(pool)}
            if any(grade > 0 for grade in inside.values()):
                key = f"{query['language']} {name} {query['topic']}"
                qrels[key] = {str(c): grade for c, grade in inside.items()}
                runs[key] = places(scores, grades, pool)
    measures = {TREC_NAMES[metric] for metric in METRICS}
    by_query = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(runs)
    means = {}
    for key in {key.rsplit(" ", 1)[0] for key in by_query}:
        rows = [values for name, values in by_query.items() if name.rsplit(" ", 1)[0] == key]
        of_metric = {m: math.fsum(row[TREC_NAMES[m]] for row in rows) / len(rows) for m in METRICS}
        means[tuple(key.split(" "))] = of_metric | {"queries": len(rows)}
    return means


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The rows of a task with grades, its path, and the result of an encoder whose scores tie."""
    queries, candidates = own_rows()
    path = own_task(tmp_path_factory.mktemp("graded"), candidates)
    return queries, candidates, path, clirbench.evaluate(Whole(), path)


def stated(result, query, pool):
    """The numbers of a result for a query language and a pool."""
    document = result.document
    if pool in (query, "all"):
        return document.per_language[query]["monolingual" if pool == query else "multilingual"]
    return document.per_pair[query][pool]


def test_every_setting_equals_pytrec_eval(graded):
    queries, candidates, _, result = graded
    expected = oracle(queries, candidates)
    assert len(expected) == len(LANGUAGES) * (len(LANGUAGES) + 1)
    for (query, pool), numbers in expected.items():
        assert stated(result, query, pool) == pytest.approx(numbers, abs=1e-9), (query, pool)


def test_a_higher_limit_takes_lower_grades_out(graded, tmp_path):
    queries, candidates, _, result = graded
    kept = [row for row in queries if any(c.get("answers", {}).get(row["topic"], 0) >= 2 for c in candidates)]
    assert len(kept) == len(queries)
    high = clirbench.evaluate(Whole(), own_task(tmp_path, candidates, "relevant_from = 2\n"))
    assert high.ranks.grade.min() == 2
    assert len(high.ranks) < len(result.ranks)
    for (query, pool), numbers in oracle(queries, candidates, 2).items():
        assert stated(high, query, pool) == pytest.approx(numbers, abs=1e-9), (query, pool)


def test_the_result_is_of_format_2_and_follows_from_its_ranks(graded, tmp_path):
    result = graded[3]
    assert result.document.format == 2
    there = clirbench.read_result(result.save(tmp_path))
    assert there.ranks.grade.tolist() == result.ranks.grade.tolist()
    assert set(there.ranks.grade.tolist()) == {1, 2, 3, 7}
    assert rescore(there).differences == []
    # Other grades give another nDCG, and no other number.
    ones = replace(there, ranks=replace(there.ranks, grade=np.ones_like(there.ranks.grade)))
    changed = {difference.key.rsplit(".", 1)[-1] for difference in rescore(ones).differences}
    assert {key for key in changed if key not in ("value", "low", "high")} == {"nDCG@10", "nDCG@20"}
    lines = [line.split("\t") for line in trec_lines(there, ["multilingual"], ["nDCG@20"])]
    assert float(lines[-1][2]) == pytest.approx(there.document.micro["multilingual"]["nDCG@20"], abs=1e-6)


def test_the_summary_says_that_grades_count(graded):
    said = []
    for format_ in (2, 1):
        console = Console(file=io.StringIO(), width=200)
        print_summary([graded[3].document.model_copy(update={"format": format_})], console)
        said.append("mine has grades: nDCG counts them as gains" in console.file.getvalue())
    assert said == [True, False]


def test_results_with_other_grades_are_not_compared(graded):
    result = graded[3]
    assert compare(result, result, ("a", "b"), "nDCG@10").of("overall")
    other = replace(result, ranks=replace(result.ranks, grade=result.ranks.grade[::-1].copy()))
    for one in (other, replace(result, ranks=replace(result.ranks, grade=None))):
        with pytest.raises(ClirbenchError, match="do not hold the same gold pairs"):
            compare(result, one, ("a", "b"), "nDCG@10")


def test_a_task_without_grades_writes_format_1(graded, tmp_path):
    candidates = [
        {**row, "answers": [topic for topic, grade in row.get("answers", {}).items() if grade > 0]} for row in graded[1]
    ]
    result = clirbench.evaluate(Whole(), own_task(tmp_path, candidates))
    assert result.document.format == 1
    assert result.ranks.grade is None
    # The same candidates are gold, so everything that reads no grade is as before, but for ties among golds.
    assert len(result.ranks) == len(graded[3].ranks)
    assert result.document.counts == graded[3].document.counts


def test_a_constant_encoder_gains_nothing_from_grades(tmp_path):
    """Of two golds, the data list the better one first. With equal scores it comes last all the same."""
    candidates = [{"language": "en", "text": f"{grade}.", "answers": {"t0": grade}} for grade in (3, 0, 1)]
    rest = [{"language": x, "text": f"{x} {i}.", "answers": {f"t{i}": 1}} for x in LANGUAGES for i in range(TOPICS)]
    result = clirbench.evaluate(Constant(), own_task(tmp_path, [*candidates, *rest]))
    ranks, pool = result.ranks, result.document.counts.candidates["en"]
    rows = (ranks.topic == ranks.topics.index("t0")) & (ranks.query_language == 0) & (ranks.gold_language == 0)
    assert sorted(zip(ranks.own_rank[rows].tolist(), ranks.grade[rows].tolist(), strict=True)) == [
        (pool - 2, 1), (pool - 1, 1), (pool, 3)
    ]  # fmt: skip
    order = best_first(np.ones((2, 4)), np.array([[3, 0, 1, 0], [0, 1, 1, 2]], dtype=np.int8))
    assert order.tolist() == [[1, 3, 2, 0], [0, 1, 2, 3]]


def corpus_data(seed=0):
    """Topics with graded judgements and passages of two languages."""
    rng = np.random.default_rng(seed)
    data = {}
    for language in ("sw", "yo"):
        rows = [(f"{number}#0", "", f"{language} passage {number}") for number in rng.permutation(60).tolist()]
        topics = []
        for query in range(8):
            judged = rng.choice(60, size=12, replace=False).tolist()
            grades = [3, *rng.choice([-1, 0, 1, 2, 3], size=11).tolist()]
            topics.append(
                (
                    str(query),
                    f"{language} query {query}",
                    {f"{p}#0": int(g) for p, g in zip(judged, grades, strict=True)},
                )
            )
        data[language] = topics, rows
    return data


def streamed_result(folder, task, tmp_path, shard):
    streamed = StreamedTask(select(load_task(str(task))), Streaming(data=folder, shard=shard), None)
    return evaluate_loaded(as_loaded(Whole(), None), streamed, RunContext(inventories=tmp_path / "inventories"))


@pytest.mark.parametrize(("layout", "shard"), [("original", 7), ("mteb", 1000)])
def test_a_streamed_corpus_equals_pytrec_eval(tmp_path, layout, shard):
    data = corpus_data()
    for language, (topics, rows) in data.items():
        (write_original if layout == "original" else write_mteb)(tmp_path / "corpus", language, topics, rows)
    result = streamed_result(tmp_path / "corpus", write_task(tmp_path, data), tmp_path, shard)
    assert result.document.format == 2
    assert rescore(result).differences == []
    pool = [(language, id_, text) for language in ("sw", "yo") for id_, _, text in data[language][1]]
    vectors = np.array([vector(text) for _, _, text in pool])
    qrels, runs = {}, {}
    for language, (topics, _) in data.items():
        for query, text, judged in topics:
            scores = vectors @ vector(text)
            grades = {c: judged[id_] for c, (other, id_, _) in enumerate(pool) if other == language and id_ in judged}
            own = [c for c, (other, _, _) in enumerate(pool) if other == language]
            for setting, chosen in (("monolingual", own), ("multilingual", list(range(len(pool))))):
                key = f"{language} {setting} {query}"
                qrels[key] = {str(c): grade for c, grade in grades.items()}
                runs[key] = places(scores, grades, chosen)
    by_query = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_10", "map"}).evaluate(runs)
    for language in data:
        for setting in ("monolingual", "multilingual"):
            rows = [values for key, values in by_query.items() if key.startswith(f"{language} {setting} ")]
            numbers = result.document.per_language[language][setting]
            for metric in ("nDCG@10", "mAP"):
                mean = math.fsum(row[TREC_NAMES[metric]] for row in rows) / len(rows)
                assert numbers[metric] == pytest.approx(mean, abs=1e-9), (language, setting, metric)


def test_judgements_are_pinned_with_their_grades(tmp_path):
    data = corpus_data()
    task = load_task(str(write_task(tmp_path, data)))
    topics, rows = data["sw"]
    gold = next(passage for passage, grade in topics[0][2].items() if grade == 3)
    for grade in (3, 2):
        topics[0][2][gold] = grade
        write_original(tmp_path / str(grade), "sw", topics, rows)
    judged = load_judged(task, ["sw"], open_judgements(task, tmp_path / "3"))
    within = np.diff(judged.gold_query) == 0
    assert (np.diff(judged.gold_grade)[within] >= 0).all()
    with pytest.raises(ClirbenchError, match=r"the gold pairs of sw are not those that tiny-miracl\.toml pins"):
        load_judged(task, ["sw"], open_judgements(task, tmp_path / "2"))


def test_a_streamed_task_may_state_its_lowest_grade(tmp_path):
    data = corpus_data()
    topics, rows = data["sw"]
    write_original(tmp_path / "corpus", "sw", topics, rows)
    golds = [(query, text, {p: grade for p, grade in judged.items() if grade >= 2}) for query, text, judged in topics]
    path = write_task(tmp_path, {"sw": (golds, rows)})
    plain = load_task(str(path)).hash
    path.write_text(path.read_text(encoding="utf-8").replace("languages =", "relevant_from = 2\nlanguages =", 1))
    task = load_task(str(path))
    assert task.hash != plain
    judged = load_judged(task, ["sw"], open_judgements(task, tmp_path / "corpus"))
    assert set(judged.gold_grade.tolist()) == {2, 3}
    # A passage that is judged and no gold is still known as judged.
    assert len(judged.judged_ids["sw"]) > len(set(judged.gold_ids))


def test_the_grade_of_a_gold_passage_is_a_gain(tmp_path):
    topics = [("1", "ask", {"a": 1.5, "z": 1})]
    rows = [(name, "", name) for name in ("a", "z", "w")]
    write_mteb(tmp_path / "corpus", "te", topics, rows)
    task = load_task(str(write_task(tmp_path, {"te": ([("1", "ask", {"a": 1, "z": 1})], rows)})))
    told = "query '1' has the grade 1.5 for passage 'a' .te., and a gold has a whole grade from 1 to 127: correct the"
    with pytest.raises(ClirbenchError, match=told):
        load_judged(task, ["te"], open_judgements(task, tmp_path / "corpus"))


def test_a_run_gains_by_grade_and_loses_ties_among_golds(tmp_path):
    topics = [("1", "ask", {"a": 3, "z": 1, "m": 2, "w0": 0, "w1": -2})]
    rows = [(name, "", name) for name in ("a", "z", "m", "w0", "w1", "w2", "of nobody")]
    write_original(tmp_path / "corpus", "te", topics, rows)
    task = load_task(str(write_task(tmp_path, {"te": (topics, rows)})))
    lines = [("m", 3), ("a", 2), ("z", 2), ("w2", 2), ("w0", 1), ("w1", 1), ("of%20nobody", 0)]
    (tmp_path / "run.trec").write_text("".join(f"1 Q0 {name} 1 {score} t\n" for name, score in lines))
    document = score_run(read_run(tmp_path / "run.trec"), task, "te", tmp_path / "corpus")
    # In the order m, w2, z, a.
    ideal = 3 + 2 / math.log2(3) + 1 / 2
    values = document.headline["monolingual"]
    assert values["nDCG@10"].value == pytest.approx((2 + 1 / 2 + 3 / math.log2(5)) / ideal, abs=1e-9)
    assert values["mAP"].value == pytest.approx((1 + 2 / 3 + 3 / 4) / 3, abs=1e-9)


def test_mteb_is_given_the_grades(graded):
    from clirbench.integrations.mteb import _subsets
    from clirbench.tasks.collection import load_collection

    subsets = _subsets(load_collection(load_task(graded[2])), "monolingual")
    candidates = [row for row in graded[1] if row["language"] == "en"]
    expected = {}
    for number, row in enumerate(candidates):
        for topic, grade in row.get("answers", {}).items():
            if grade > 0:
                expected.setdefault(topic, {})[f"en-{number}"] = grade
    assert subsets["en"]["relevant_docs"] == expected
