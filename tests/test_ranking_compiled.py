"""The comparison compiled by Numba counts what NumPy counts, and what exact inner products say."""

import numpy as np
import pytest

pytest.importorskip("numba")

from clirbench.ranking import near_ties
from clirbench.ranking.in_memory import count_outranked
from clirbench.ranking.kernel import MANY_NEAR


@pytest.fixture
def by_numba(monkeypatch):
    """A function that lets Numba count, and says how many tiles it counted."""
    tiles = []
    count = near_ties.TileComparison._count_compiled

    def counted(self, *arguments):
        tiles.append(len(self.tile))
        return count(self, *arguments)

    monkeypatch.setattr(near_ties.TileComparison, "_count_compiled", counted)

    def switch(on):
        monkeypatch.setattr(near_ties._Made, "comparisons", 0)
        monkeypatch.setattr(near_ties, "_BEFORE_NUMBA", -1 if on else 2**60)
        return tiles

    return switch


def both(by_numba, *case):
    """The counts of NumPy and those of Numba."""
    by_numba(on=False)
    by_numpy = count_outranked(*case)
    tiles = by_numba(on=True)
    before = len(tiles)
    compiled = count_outranked(*case)
    assert len(tiles) > before
    return by_numpy, compiled


def some_case(seed, kind):
    """Queries, candidates, gold pairs and blocks, where scores tie, nearly tie, are all large, or collapse."""
    rng = np.random.default_rng(seed)
    dimensions = int(rng.choice([1, 3, 16, 100]))
    starts = np.cumsum([0, *rng.integers(1, [40, 400, 3000][seed % 3], rng.integers(1, 4))])
    rows, width = int(rng.integers(1, 300)), int(starts[-1])
    queries, candidates = (rng.standard_normal((n, dimensions)).astype(np.float32) for n in (rows, width))
    if kind == "whole numbers":
        queries, candidates = np.rint(queries), np.rint(candidates)
    elif kind == "last bits":
        candidates = candidates[rng.integers(0, max(1, width // 20), width)]
        candidates += rng.standard_normal(candidates.shape).astype(np.float32) * np.float32(3e-8)
    elif kind == "large scores":
        queries, candidates = queries + 3, candidates + 3
    elif kind == "two vectors":
        candidates = candidates[rng.integers(0, min(2, width), width)]
    golds = [rng.choice(width, min(int(rng.integers(0, 6)), width), replace=False) for _ in range(rows)]
    golds[0] = np.array([0])
    pairs = np.array([(q, c) for q, some in enumerate(golds) for c in sorted(some)], dtype=np.int32)
    return queries, candidates, pairs[:, 0].copy(), pairs[:, 1].copy(), starts


@pytest.mark.parametrize("kind", ["whole numbers", "last bits", "large scores", "two vectors"])
@pytest.mark.parametrize("seed", range(9))
def test_numba_counts_what_numpy_counts(by_numba, seed, kind):
    by_numpy, compiled = both(by_numba, *some_case(seed, kind))
    assert (by_numpy.wrong == compiled.wrong).all()
    assert (by_numpy.gold == compiled.gold).all()


@pytest.mark.parametrize("golds", [1, 11])
def test_near_ties_are_decided_as_in_float64(by_numba, golds):
    """Candidates one step of float32 beside a gold in one value, and exact copies of golds."""
    rng = np.random.default_rng(golds)
    queries, candidates = (rng.standard_normal((n, 96)).astype(np.float32) for n in (40, 3000))
    gold = np.stack([rng.choice(1000, golds, replace=False) for _ in range(40)])
    for i, g in enumerate(gold.ravel()):
        candidates[1000 + i] = candidates[g]
        candidates[2000 + i] = candidates[g]
        candidates[2000 + i, i % 96] = np.nextafter(candidates[g, i % 96], np.float32(9))
    pairs = np.repeat(np.arange(40, dtype=np.int32), golds), np.sort(gold, axis=1).ravel().astype(np.int32)
    _, compiled = both(by_numba, queries, candidates, *pairs, np.array([0, 3000]))
    for pair in range(0, 40 * golds, 7):
        query, mine = pairs[0][pair], pairs[1][pair]
        scores = (queries[query].astype(np.float64) * candidates).sum(axis=1)
        wrong = np.setdiff1d(np.arange(3000), pairs[1][pairs[0] == query])
        assert compiled.wrong[pair, 0] == (scores[wrong] >= scores[mine]).sum()


@pytest.mark.parametrize("golds", [2, 3, 11])
@pytest.mark.parametrize("wrong", [0, 1, 20, 120])
def test_few_candidates_that_reach_the_last_gold_are_found_wherever_they_stand(by_numba, golds, wrong):
    """No product of these rounds. The golds score 10 and more, ``wrong`` others 11, the last one among them, the rest 0."""
    width = 4001
    rng = np.random.default_rng(wrong)
    candidates = np.zeros((width, 2), dtype=np.float32)
    candidates[:golds, 0] = 10 + np.arange(golds)
    candidates[rng.permutation(np.arange(golds, width - 1))[: max(0, wrong - 1)], 0] = 11
    candidates[-1, 0] = 11 if wrong else 0
    queries = np.tile(np.float32([[1, 0]]), (30, 1))
    pairs = np.repeat(np.arange(30, dtype=np.int32), golds), np.tile(np.arange(golds, dtype=np.int32), 30)
    by_numpy, compiled = both(by_numba, queries, candidates, *pairs, np.array([0, width]))
    expected = np.tile(np.where(10 + np.arange(golds) <= 11, wrong, 0), 30)
    assert (compiled.wrong[:, 0] == expected).all()
    assert (by_numpy.wrong == compiled.wrong).all()


def test_more_ties_than_the_list_holds(by_numba, monkeypatch):
    """The list of undecided candidates is emptied as often as it is full."""
    monkeypatch.setattr(near_ties, "_UNDECIDED", 1)
    candidates = np.tile(np.float32([[0.1, 0.7], [0.3, 0.2]]), (MANY_NEAR // 2, 1))
    queries = np.tile(np.float32([[0.3, 0.9]]), (50, 1))
    gold = np.zeros(50, dtype=np.int32)
    by_numpy, compiled = both(by_numba, queries, candidates, np.arange(50, dtype=np.int32), gold, np.array([0, 256]))
    assert (compiled.wrong == MANY_NEAR // 2 - 1).all()
    assert (by_numpy.wrong == compiled.wrong).all()


def test_few_comparisons_are_left_to_numpy(monkeypatch):
    monkeypatch.setattr(near_ties._Made, "comparisons", 0)
    assert near_ties.compiled(1000) is None
    assert near_ties.compiled(near_ties._BEFORE_NUMBA) is near_ties.load_compiled()
