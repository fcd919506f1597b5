"""Counting shard by shard: the kernel for memory, exact inner products and any partition give the same counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clirbench.ranking.in_memory import count_outranked
from clirbench.ranking.kernel import MANY_NEAR, unbuffered
from clirbench.ranking.near_ties import exact_products, largest_error
from clirbench.ranking.shards import Cells, GoldScores
from clirbench.support.errors import ClirbenchError


def test_a_shard_counts_what_the_kernel_for_memory_counts():
    rng = np.random.default_rng(5)
    for _ in range(30):
        n, width, golds = int(rng.integers(1, 700)), int(rng.integers(1, 9000)), int(rng.integers(1, 6))
        queries = rng.integers(-2, 3, (n, 3)).astype(np.float32)
        candidates = rng.integers(-2, 3, (width, 3)).astype(np.float32)
        pairs = np.array(
            [
                (q, c)
                for q in range(n)
                for c in sorted(rng.choice(width, min(width, int(rng.integers(1, golds + 1))), False))
            ]
        )
        gold_query, gold = pairs[:, 0].astype(np.int32), pairs[:, 1].astype(np.int32)
        scores = np.einsum("ij,ij->i", queries[gold_query], candidates[gold]).astype(np.float64)
        memory = count_outranked(queries, candidates, gold_query, gold, np.array([0, width]))
        counter = GoldScores(queries, gold_query, scores)
        nothing = Cells(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
        counts, _ = counter.count(candidates, Cells(np.arange(len(gold)), gold.astype(np.intp)), nothing)
        assert (counts == memory.wrong[:, 0]).all()
        assert (counter.golds_above() == memory.gold).all()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_counts_add_up_over_any_partition(seed):
    rng = np.random.default_rng(seed)
    n, width = int(rng.integers(1, 40)), int(rng.integers(2, 300))
    queries, candidates = (rng.integers(-1, 2, (k, 3)).astype(np.float32) for k in (n, width))
    gold_query, gold = np.arange(n, dtype=np.int32), rng.integers(0, width, n)
    counter = GoldScores(queries, gold_query, (queries * candidates[gold]).sum(1).astype(np.float64))
    nothing = Cells(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
    whole = counter.count(candidates, Cells(np.arange(n), gold.astype(np.intp)), nothing)[0]
    cut = int(rng.integers(1, width))
    parts = np.zeros_like(whole)
    for a, b in ((0, cut), (cut, width)):
        inside = np.flatnonzero((gold >= a) & (gold < b))
        parts += counter.count(candidates[a:b], Cells(inside, (gold[inside] - a).astype(np.intp)), nothing)[0]
    assert (parts == whole).all()


def unit_rows(rng, rows, dimensions, offset):
    """Unit float32 vectors, the nearer to each other the larger the offset, as those of many encoders are."""
    found = rng.standard_normal((rows, dimensions)) + offset
    return (found / np.linalg.norm(found, axis=1)[:, None]).astype(np.float32)


@pytest.mark.parametrize("dimensions", [3, 64, 384, 1024, 4096])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_a_float32_product_is_off_by_less_than_is_looked_at_again(dimensions, offset):
    rng = np.random.default_rng(3)
    queries, candidates = unit_rows(rng, 64, dimensions, offset), unit_rows(rng, 3000, dimensions, offset)
    exact = queries.astype(np.float64) @ candidates.T.astype(np.float64)
    off = np.abs(queries @ candidates.T - exact).max()
    assert 0 < off < largest_error(dimensions)


@pytest.mark.parametrize(("dimensions", "offset"), [(8, 0.0), (384, 0.0), (384, 3.0)])
def test_what_float32_cannot_tell_apart_is_decided_in_float64(dimensions, offset):
    """Candidates that differ from a gold in the last bits: the order is that of exact inner products."""
    rng = np.random.default_rng(4)
    n, width = 50, 5000
    queries, candidates = unit_rows(rng, n, dimensions, offset), unit_rows(rng, width, dimensions, offset)
    gold = rng.choice(width, n, replace=False)
    for g in gold:
        for i in rng.choice(width, 6, replace=False):
            if i not in gold:
                near = candidates[g] + rng.standard_normal(dimensions).astype(np.float32) * np.float32(3e-8)
                candidates[i] = near
    exact = queries.astype(np.float64) @ candidates.T.astype(np.float64)
    mine = exact[np.arange(n), gold]
    # Of those that float64 itself cannot tell apart nothing is asked.
    assert (np.abs(exact - mine[:, None]) > 1e-14).sum() == n * width - n
    scores = exact_products(queries, np.arange(n), candidates, gold)
    for threads in (1, 3):
        counter = GoldScores(queries, np.arange(n, dtype=np.int32), scores, threads)
        nothing = Cells(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
        counts, _ = counter.count(candidates, Cells(np.arange(n), gold.astype(np.intp)), nothing)
        assert (counts == (exact > mine[:, None]).sum(axis=1)).all()
    # Float32 alone would have it wrong, or the test would say nothing.
    alone = queries @ candidates.T
    assert ((alone >= alone[np.arange(n), gold][:, None]).sum(axis=1) - 1 != (exact > mine[:, None]).sum(axis=1)).any()


@pytest.mark.parametrize("vectors", ["constant", "two"])
def test_a_collapsed_encoder_gains_nothing(vectors):
    """Where more candidates are near a gold than can be looked at, they all stand before it."""
    rng = np.random.default_rng(6)
    n, width, dimensions = 300, 9000, 100
    one = unit_rows(rng, 2, dimensions, 0.0)
    candidates = one[np.zeros(width, dtype=int) if vectors == "constant" else rng.integers(0, 2, width)]
    queries = unit_rows(rng, n, dimensions, 0.0)
    gold = rng.integers(0, width, n)
    scores = exact_products(queries, np.arange(n), candidates, gold)
    counter = GoldScores(queries, np.arange(n, dtype=np.int32), scores)
    nothing = Cells(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
    counts, _ = counter.count(candidates, Cells(np.arange(n), gold.astype(np.intp)), nothing)
    exact = queries.astype(np.float64) @ candidates.T.astype(np.float64)
    assert (counts == (exact >= scores[:, None] - 1e-12).sum(axis=1) - 1).all()
    assert (counts > 3000).any()


@pytest.mark.parametrize("ties", [MANY_NEAR - 1, MANY_NEAR, MANY_NEAR + 1])
def test_candidates_near_several_golds_are_counted_for_each(ties):
    """Many candidates near one gold, few near another, and more than can be looked at near both together."""
    rng = np.random.default_rng(ties)
    n, width, golds = 70, 2000, 3
    queries, candidates = unit_rows(rng, n, 24, 0.0), unit_rows(rng, width, 24, 0.0)
    copied = rng.permutation(np.arange(golds, width))
    candidates[copied[: ties - 1]] = candidates[0]
    candidates[copied[ties : ties + 40]] = candidates[1]
    pairs = np.repeat(np.arange(n), golds), np.tile(np.arange(golds), n)
    scores = exact_products(queries, pairs[0], candidates, pairs[1])
    counter = GoldScores(queries, pairs[0].astype(np.int32), scores)
    nothing = Cells(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
    counts, _ = counter.count(candidates, Cells(np.arange(n * golds), pairs[1]), nothing)
    every = np.stack([exact_products(queries, np.full(width, q), candidates, np.arange(width)) for q in range(n)])
    every[:, :golds] = -np.inf
    assert (counts == (every[pairs[0]] >= scores[:, None]).sum(axis=1)).all()
    assert counts.reshape(n, golds)[:, 0].min() >= ties - 1


def test_shards_that_are_counted_together_are_counted_as_alone():
    """The shards have different sizes: no candidate more than a multiple of eight, one tile, and two tiles."""
    rng = np.random.default_rng(8)
    queries = rng.integers(-2, 3, (600, 5)).astype(np.float32)
    gold_query = np.repeat(np.arange(600, dtype=np.int32), rng.integers(0, 4, 600))
    shards = [rng.integers(-2, 3, (width, 5)).astype(np.float32) for width in (1, 8, 100, 9001)]
    counter = GoldScores(queries, gold_query, rng.integers(-5, 6, len(gold_query)).astype(np.float64))
    nothing = Cells(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
    together = list(counter.count_each((shard, nothing) for shard in shards))
    scores = [queries.astype(np.int64) @ shard.T.astype(np.int64) for shard in shards]
    for counts, of_shard in zip(together, scores, strict=True):
        assert (counts == (of_shard[gold_query] >= counter.scores[:, None]).sum(axis=1)).all()
    assert list(counter.count_each([])) == []


def test_a_shard_that_overflows_stops_the_count():
    counter = GoldScores(np.ones((3, 2), dtype=np.float32), np.arange(3, dtype=np.int32), np.ones(3))
    nothing = Cells(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
    shards = [(np.full((5, 2), value, dtype=np.float32), nothing) for value in (1, 1e30, 1)]
    counted = counter.count_each(shards)
    assert next(counted).tolist() == [5, 5, 5]
    with pytest.raises(ClirbenchError, match="overflow"):
        next(counted)


def test_the_buffer_of_numpy_is_what_it_was():
    before = np.getbufsize()
    with unbuffered():
        inside = np.getbufsize()
    assert inside < before == np.getbufsize()
