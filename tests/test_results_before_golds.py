"""What stands before a gold, by language: bounds against a count of all candidates."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

import clirbench
from clirbench.results.before_golds import before_golds, worst_golds
from clirbench.results.result import Result
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import load_collection
from clirbench.tasks.task_file import load_task


class SmallNumbers:
    """Vectors of small whole numbers: scores are exact, and many are equal."""

    name, revision, similarity = "small-numbers", "1", "dot"

    def encode_queries(self, texts):
        seeds = (int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts)
        rows = [[1, *np.random.default_rng(seed).integers(-2, 3, 6)] for seed in seeds]
        return np.array(rows, dtype=np.float32)

    encode_candidates = encode_queries


@pytest.fixture(scope="module")
def result():
    return clirbench.evaluate(SmallNumbers(), "demo", languages=["ar", "de", "en", "zh"])


@pytest.fixture(scope="module")
def counted(result):
    """By topic, query language and gold language: wrong candidates before the gold by language, counted one by one."""
    ranks = result.ranks
    collection = load_collection(load_task("demo"), list(ranks.languages))
    encode = SmallNumbers().encode_queries
    scores = encode(collection.queries) @ encode(collection.candidates).T
    language = np.repeat(np.arange(4), np.diff(collection.candidate_starts))
    asked = np.repeat(np.arange(4), np.diff(collection.query_starts))
    topic = collection.query_topic
    counts = {}
    for query in range(len(collection.queries)):
        golds = collection.gold_candidate[collection.gold_query == query]
        wrong = np.setdiff1d(np.arange(len(language)), golds)
        for gold in golds:
            before = wrong[scores[query, wrong] >= scores[query, gold]]
            key = (collection.topics[topic[query]], int(asked[query]), int(language[gold]))
            counts[key] = np.bincount(language[before], minlength=4)
    return counts


def of_rows(result, rows, counted):
    ranks = result.ranks
    keys = zip(ranks.topic[rows], ranks.query_language[rows], ranks.gold_language[rows], strict=True)
    return np.array([counted[ranks.topics[t], int(q), int(g)] for t, q, g in keys])


@pytest.mark.parametrize("column", [True, False])
def test_bounds_hold_the_counted_numbers(result, counted, column):
    if not column:
        result = Result(result.document, replace(result.ranks, query_language_above=None), b"")
    ranks = result.ranks
    rows = np.arange(len(ranks))
    held, true = before_golds(result, rows), of_rows(result, rows, counted)
    assert (held.low <= true).all()
    assert (true <= held.high).all()
    assert (held.low >= 0).all()
    # Numbers that the ranks give, and their sum.
    assert (held.low == held.high)[rows, ranks.gold_language].all()
    assert (held.low == held.high)[rows, ranks.query_language].all() or not column
    assert (ranks.pool_rank - 1 - held.golds == true.sum(axis=1)).all()
    # They are bounds of something: narrower than the size of a language for most golds.
    third = (rows[:, None] >= 0) & (np.arange(4) != ranks.gold_language[:, None])
    assert np.median((held.high - held.low)[third]) < 48 * 3 / 2
    assert (held.low > 0)[third].mean() > 0.5


def test_a_sum_gives_the_last_unknown_number(result, counted):
    # In two languages the sum gives the number that neither column has.
    two = clirbench.evaluate(SmallNumbers(), "demo", languages=["de", "zh"])
    without = Result(two.document, replace(two.ranks, query_language_above=None), b"")
    held = before_golds(without, np.arange(len(two.ranks)))
    assert (held.low == held.high).all()


def test_two_rankings_leave_the_sum_alone(result, counted):
    model = result.document.model.model_copy(update={"kind": "fusion"})
    fused = Result(result.document.model_copy(update={"model": model}), result.ranks, b"")
    rows = np.arange(len(result.ranks))
    held, true = before_golds(fused, rows), of_rows(result, rows, counted)
    assert ((held.low <= true) & (true <= held.high)).all()
    assert (held.low == held.high)[rows, result.ranks.query_language].all()
    other = result.ranks.gold_language != result.ranks.query_language
    assert (held.low < held.high)[rows, result.ranks.gold_language][other].any()


def test_the_worst_golds_of_each_pair(result):
    ranks = result.ranks
    rows = worst_golds(ranks, 5)
    shown = [(int(ranks.query_language[r]), int(ranks.gold_language[r]), int(ranks.pool_rank[r])) for r in rows]
    expected = []
    for q in range(4):
        for g in range(4):
            of_pair = ranks.pool_rank[(ranks.query_language == q) & (ranks.gold_language == g)]
            expected += [(q, g, int(rank)) for rank in sorted(of_pair, reverse=True)[:5]]
    assert shown == expected


def test_rounded_ranks_bound_nothing(result):
    rounded = Result(result.document, result.ranks.rounded(result.document.counts.candidates), b"")
    with pytest.raises(ClirbenchError, match="the ranks are rounded"):
        before_golds(rounded, np.arange(3))
    alone = replace(result.ranks, pool_rank=None)
    with pytest.raises(ClirbenchError, match="run the multilingual setting"):
        worst_golds(alone)
