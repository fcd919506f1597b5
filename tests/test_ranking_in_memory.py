"""The kernel against a double loop, hand-worked tables and properties."""

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from threadpoolctl import threadpool_info

from clirbench.ranking.in_memory import count_outranked
from clirbench.ranking.kernel import best_first
from clirbench.ranking.near_ties import largest_error
from clirbench.support.errors import ClirbenchError


def brute_force(queries, candidates, gold_query, gold_candidate, starts):
    """The tie rule as it is worded, one comparison at a time, in exact integers."""
    scores = queries.astype(np.int64) @ candidates.astype(np.int64).T
    golds = {}
    for q, c in zip(gold_query, gold_candidate, strict=True):
        golds.setdefault(q, set()).add(c)
    counts = np.zeros((len(gold_query), len(starts) - 1), dtype=int)
    for g, (q, c) in enumerate(zip(gold_query, gold_candidate, strict=True)):
        for b in range(len(starts) - 1):
            for other in range(starts[b], starts[b + 1]):
                if scores[q, other] > scores[q, c]:
                    counts[g, b] += 1
                elif scores[q, other] == scores[q, c] and other != c:
                    counts[g, b] += other not in golds[q] or other < c
    return counts


def random_case(seed, values=2, dimensions=3):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 30, size=rng.integers(1, 5))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    n_queries = int(rng.integers(1, 12))
    queries = rng.integers(-values, values + 1, (n_queries, dimensions)).astype(np.float32)
    candidates = rng.integers(-values, values + 1, (starts[-1], dimensions)).astype(np.float32)
    pairs = [
        (q, c)
        for q in range(n_queries)
        for c in sorted(rng.choice(starts[-1], size=rng.integers(1, min(6, starts[-1]) + 1), replace=False))
    ]
    gold = np.array(pairs, dtype=np.int32)
    return queries, candidates, gold[:, 0].copy(), gold[:, 1].copy(), starts


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=150)
def test_equals_a_double_loop_with_ties(seed):
    case = random_case(seed)
    assert (count_outranked(*case).all == brute_force(*case)).all()


@pytest.mark.parametrize("seed", range(20))
def test_a_reader_sees_the_order_that_was_counted(seed):
    queries, candidates, gold_query, gold_candidate, starts = random_case(seed)
    rank = 1 + count_outranked(queries, candidates, gold_query, gold_candidate, starts).all.sum(axis=1)
    is_gold = np.zeros((len(queries), len(candidates)), dtype=bool)
    is_gold[gold_query, gold_candidate] = True
    order = best_first(queries @ candidates.T, is_gold)
    assert (order[gold_query, rank - 1] == gold_candidate).all()


@pytest.mark.parametrize("seed", range(20))
def test_sparse_equals_dense(seed):
    queries, candidates, *rest = random_case(seed)
    dense = count_outranked(queries, candidates, *rest)
    other = count_outranked(sparse.csr_array(queries), sparse.csr_array(candidates), *rest)
    assert (dense.all == other.all).all()
    assert (dense.wrong == other.wrong).all()


def test_wide_blocks_and_many_queries():
    # More candidates than one byte can count, more queries than one product holds.
    rng = np.random.default_rng(5)
    starts = np.array([0, 5000, 5001, 7100])
    queries = rng.integers(-2, 3, (300, 4)).astype(np.float32)
    candidates = rng.integers(-2, 3, (7100, 4)).astype(np.float32)
    gold_query = np.repeat(np.arange(300, dtype=np.int32), 2)
    gold_candidate = np.sort(rng.integers(0, 3550, (300, 2)) * 2 + [0, 1], axis=1).ravel().astype(np.int32)
    found = count_outranked(queries, candidates, gold_query, gold_candidate, starts)
    scores = queries @ candidates.T
    for g in range(0, 600, 37):
        q, c = gold_query[g], gold_candidate[g]
        golds = gold_candidate[gold_query == q]
        for b in range(3):
            block = np.arange(starts[b], starts[b + 1])
            wrong = block[~np.isin(block, golds)]
            assert found.wrong[g, b] == (scores[q, wrong] >= scores[q, c]).sum()


def test_hand_worked_ties():
    # Scores: a 2, b 1, c 1 (gold), d 1 (gold), e 0. Wrong b goes first among the ones, then c, then d.
    candidates = np.array([[2], [1], [1], [1], [0]], dtype=np.float32)
    found = count_outranked(
        np.ones((1, 1), dtype=np.float32),
        candidates,
        np.array([0, 0], dtype=np.int32),
        np.array([2, 3], dtype=np.int32),
        np.array([0, 2, 5]),
    )
    assert found.all.tolist() == [[2, 0], [2, 1]]
    assert found.wrong.tolist() == [[2, 0], [2, 0]]
    assert found.gold.tolist() == [[0, 0], [0, 1]]


def test_a_constant_encoder_gains_nothing():
    vector = np.random.default_rng(0).standard_normal(384).astype(np.float32)
    candidates = np.tile(vector, (1001, 1))
    found = count_outranked(
        vector[None],
        candidates,
        np.zeros(2, dtype=np.int32),
        np.array([0, 500], dtype=np.int32),
        np.array([0, 700, 1001]),
    )
    assert (1 + found.all.sum(axis=1)).tolist() == [1000, 1001]


@pytest.mark.parametrize(("value", "dimensions"), [(0.6232917, 288), (0.9215811, 300), (0.9413697, 320)])
def test_an_encoder_of_one_value_gains_nothing(value, dimensions):
    # Equal values: each addition of a float32 product may round the same way, so the errors add up.
    vectors = np.full((90, dimensions), value, dtype=np.float32)
    gold = np.arange(40, dtype=np.int32)
    found = count_outranked(vectors[:40], vectors, gold, gold, np.array([0, 90]))
    assert (found.wrong == 89).all()


def test_no_order_of_additions_is_off_by_more_than_is_looked_at_again():
    rng = np.random.default_rng(4)
    for dimensions in (3, 16, 257, 1024, 4096):
        for value in rng.uniform(0.5, 1, 20).astype(np.float32):
            one_by_one, exact = np.float32(0), dimensions * float(value) ** 2
            for _ in range(dimensions):
                one_by_one += value * value
            assert abs(float(one_by_one) - exact) <= largest_error(dimensions) * exact


def test_copies_tie_wherever_they_stand():
    # A BLAS may round a product differently at the edge of a matrix: copies must tie all the same.
    rng = np.random.default_rng(1)
    gold = rng.standard_normal(333).astype(np.float32)
    for width in range(1, 70):
        candidates = rng.standard_normal((width + 1, 333)).astype(np.float32) * 1e-3
        candidates[0] = gold
        candidates[width] = gold
        query = gold[None] + rng.standard_normal((1, 333)).astype(np.float32) * 1e-3
        for own, copy in ((0, width), (width, 0)):
            found = count_outranked(
                query,
                candidates,
                np.zeros(1, dtype=np.int32),
                np.array([own], dtype=np.int32),
                np.array([0, width + 1]),
            )
            assert found.wrong.tolist() == [[1]], (own, copy)


@pytest.mark.parametrize("seed", range(30))
def test_permuting_wrong_candidates_changes_nothing(seed):
    queries, candidates, gold_query, gold_candidate, starts = random_case(seed)
    rng = np.random.default_rng(seed)
    order = np.arange(len(candidates))
    golds = np.unique(gold_candidate)
    for a, b in itertools.pairwise(starts):
        free = np.setdiff1d(np.arange(a, b), golds)
        order[free] = rng.permutation(free)
    before = count_outranked(queries, candidates, gold_query, gold_candidate, starts)
    after = count_outranked(queries, candidates[order], gold_query, gold_candidate, starts)
    assert (before.all == after.all).all()


def test_blocks_add_up():
    queries, candidates, gold_query, gold_candidate, starts = random_case(11)
    parts = count_outranked(queries, candidates, gold_query, gold_candidate, starts)
    whole = count_outranked(queries, candidates, gold_query, gold_candidate, np.array([0, len(candidates)]))
    assert (parts.all.sum(axis=1) == whole.all[:, 0]).all()


def test_progress_adds_up_to_the_queries():
    case = random_case(3)
    told = []
    count_outranked(*case, told.append)
    assert sum(told) == len(case[0])


def test_overlapping_counts_leave_the_blas_as_it_was():
    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = threads()
    case = random_case(3)
    first, second = threading.Event(), threading.Event()
    runs = [threading.Thread(target=count_outranked, args=(*case, lambda _, e=e: e.wait())) for e in (first, second)]
    for run in runs:
        run.start()
    first.set()
    runs[0].join()
    second.set()
    runs[1].join()
    assert threads() == before


def test_overflow_is_named():
    big = np.full((1, 2), 3e38, dtype=np.float32)
    with pytest.raises(ClirbenchError, match="overflow"):
        count_outranked(big, big, np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.int32), np.array([0, 1]))
