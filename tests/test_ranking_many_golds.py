"""Many golds a query: the search among their scores counts what the comparison with each of them counts."""

from dataclasses import replace

import numpy as np
import pytest

from clirbench.encoders.encode import Encoded
from clirbench.ranking import in_memory
from clirbench.ranking.counters import VectorCounter
from clirbench.ranking.gold_ranks import Above, gold_ranks
from clirbench.ranking.in_memory import count_outranked
from clirbench.ranking.many_golds import MANY_GOLDS, count_wrong
from clirbench.ranking.near_ties import exact_products
from clirbench.support.context import RunContext
from clirbench.tasks.collection import load_collection
from clirbench.tasks.task_file import load_task


def case(seed, whole_numbers, blocks=(60, 1, 90, 49)):
    """Queries with 33 to 40 golds of 200 candidates. Whole numbers tie often; copies of vectors tie exactly."""
    rng = np.random.default_rng(seed)
    candidates = rng.integers(-1, 2, (200, 4)) if whole_numbers else rng.standard_normal((200, 24))
    queries = rng.integers(-1, 2, (70, 4)) if whole_numbers else rng.standard_normal((70, 24))
    candidates[100:110] = candidates[:10]
    golds = [np.sort(rng.choice(200, rng.integers(33, 41), replace=False)) for _ in queries]
    gold_query = np.repeat(np.arange(70, dtype=np.int32), [len(some) for some in golds])
    vectors = queries.astype(np.float32), candidates.astype(np.float32)
    return *vectors, gold_query, np.concatenate(golds).astype(np.int32), np.cumsum([0, *blocks])


def brute_force(queries, candidates, gold_query, gold_candidate, starts):
    """The tie rule on exact scores, one gold pair at a time."""
    every = np.arange(len(candidates))
    exact = [exact_products(queries, np.full_like(every, row), candidates, every) for row in range(len(queries))]
    counts = []
    for query, gold in zip(gold_query, gold_candidate, strict=True):
        above = exact[query] >= exact[query][gold]
        above[gold_candidate[gold_query == query]] = False
        counts.append(np.add.reduceat(above.astype(int), starts[:-1]))
    return np.array(counts)


@pytest.mark.parametrize("whole_numbers", [True, False])
def test_the_search_counts_as_one_comparison_at_a_time(whole_numbers):
    pairs = case(3, whole_numbers)
    assert np.bincount(pairs[2]).min() > MANY_GOLDS
    assert np.array_equal(count_outranked(*pairs).wrong, brute_force(*pairs))


def test_both_ways_of_counting_agree(monkeypatch):
    pairs = case(4, whole_numbers=False)
    searched = count_outranked(*pairs)
    monkeypatch.setattr(in_memory, "MANY_GOLDS", 10**9)
    compared = count_outranked(*pairs)
    assert np.array_equal(searched.wrong, compared.wrong)
    assert np.array_equal(searched.gold, compared.gold)


def test_scores_that_float32_cannot_tell_apart_are_decided_in_float64():
    # The gold scores 1. One candidate scores a little less, too little for float32 to tell, and one scores the same.
    queries = np.float32([[1, 0]])
    candidates = np.float32([[1, 0], [1, 0], [1 - 2.0**-24, 0]])
    golds = np.int32([0]), np.int32([0])
    assert count_wrong(queries, candidates, golds, np.array([1.0]), np.array([0, 3])).tolist() == [[1]]


def test_a_collapsed_encoder_gains_nothing():
    vector = np.random.default_rng(0).standard_normal((1, 64)).astype(np.float32)
    gold = np.arange(40, dtype=np.int32)
    pairs = np.zeros(40, dtype=np.int32), gold, np.array([0, 400, 700])
    counts = count_outranked(vector, np.tile(vector, (700, 1)), *pairs)
    assert (counts.wrong == [360, 300]).all()


def test_counting_in_parts_changes_no_rank():
    task = load_task("demo")
    collection = load_collection(task, ["de", "en", "th"])
    rng = np.random.default_rng(1)
    queries, candidates = (
        rng.standard_normal((len(texts), 16)).astype(np.float32)
        for texts in (collection.queries, collection.candidates)
    )
    encoded = Encoded(
        queries=queries,
        candidates=candidates,
        dimensions=16,
        texts=0,
        encoded=0,
        seconds=0.0,
        zero=0,
        indistinguishable={},
    )
    whole = VectorCounter(encoded, collection)
    pairs = collection.gold_pairs
    expected = whole.count(task.settings, RunContext()).added(pairs)
    told = []

    class Reporter(type(RunContext().reporter)):
        def advance(self, phase, number):
            told.append(number)

    for cells in (1, 50, 999):
        parts = replace(whole, cells=cells).count(task.settings, RunContext(reporter=Reporter()))
        assert isinstance(parts.outranked, Above)
        above = parts.added(pairs)
        for name in ("own", "pool", "query_language", "jumps"):
            assert np.array_equal(getattr(above, name), getattr(expected, name)), name
        ranks, others = gold_ranks(pairs, above, task.settings), gold_ranks(pairs, expected, task.settings)
        assert np.array_equal(ranks.pool_rank, others.pool_rank)
        assert sum(told) == len(collection.queries)
        told.clear()
