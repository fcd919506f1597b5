"""Vectors that differ by rounding are one vector: against all distances, and under an encoder that rounds by batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.csgraph import connected_components

import clirbench
from clirbench.encoders.same_vectors import ROUNDING, Originals, first_alike, shares_alike


def all_distances(vectors, within=ROUNDING):
    """The same answer from the whole table of distances."""
    exact = vectors.astype(np.float64)
    norms = np.linalg.norm(exact, axis=1)
    distance = np.linalg.norm(exact[:, None] - exact[None], axis=2)
    near = distance <= within * np.maximum(norms[:, None], norms[None])
    _, group = connected_components(sparse.csr_array(near), directed=False)
    _, head = np.unique(group, return_index=True)
    return head[group]


def noisy_rows(seed, noise, rows=60, distinct=20, dimensions=16):
    rng = np.random.default_rng(seed)
    base = rng.standard_normal((distinct, dimensions)) * rng.uniform(0.5, 2, (distinct, 1))
    return (base[rng.integers(0, distinct, rows)] + rng.standard_normal((rows, dimensions)) * noise).astype(np.float32)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-8, 1e-6, 3e-6, 1e-5, 1e-3]))
@settings(max_examples=80, deadline=None)
def test_equals_the_table_of_all_distances(seed, noise):
    vectors = noisy_rows(seed, noise)
    assert (first_alike(vectors) == all_distances(vectors)).all()


def test_being_the_same_is_passed_on():
    # Each vector is within rounding of the next one, and the first is not within rounding of the last.
    chain = np.float32([[1, step * 1e-5] for step in range(5)])
    assert np.linalg.norm(chain[0] - chain[4]) > ROUNDING
    assert first_alike(chain).tolist() == [0] * 5


def test_a_crowd_takes_no_time_that_grows_with_all_pairs(monkeypatch):
    compared = []
    from clirbench.encoders import same_vectors

    original = same_vectors._distances

    def counted(left, left_row, *rest):
        compared.append(len(left_row))
        return original(left, left_row, *rest)

    monkeypatch.setattr(same_vectors, "_distances", counted)
    rng = np.random.default_rng(0)
    crowd = (rng.standard_normal(64) + rng.standard_normal((4000, 64)) * 2e-6).astype(np.float32)
    first = first_alike(crowd)
    assert sum(compared) < 100 * len(crowd)
    assert (first[first] == first).all()


def test_sparse_vectors_are_the_same_if_they_are_equal():
    rows = sparse.csr_array(np.float32([[1, 0, 2], [0, 1, 0], [1, 0, 2], [1, 0, 2.0000002]]))
    assert first_alike(rows).tolist() == [0, 1, 0, 3]


def test_zero_vectors_are_the_same():
    assert first_alike(np.zeros((3, 4), dtype=np.float32)).tolist() == [0, 0, 0]


def test_a_passage_gets_the_vector_of_the_nearest_gold():
    rng = np.random.default_rng(3)
    golds = rng.standard_normal((50, 32)).astype(np.float32)
    passages = rng.standard_normal((200, 32)).astype(np.float32)
    passages[::10] = golds[:20] + (rng.standard_normal((20, 32)) * 1e-7).astype(np.float32)
    before = passages.copy()
    after = Originals(golds).replace(passages)
    assert (passages == before).all()
    assert (after[::10] == golds[:20]).all()
    others = np.arange(200) % 10 > 0
    assert (after[others] == before[others]).all()


def test_shares_count_distinct_texts():
    # Texts 0 and 1 share a vector; English has text 0 twice and text 2, German has text 1.
    shares = shares_alike(np.array([0, 0, 2]), np.array([0, 0, 2, 1]), np.array([0, 0, 0, 1]), ["en", "de"])
    assert shares == {"en": 0.5, "de": 1.0}


class Batches:
    """An encoder whose vectors change in their last bits with the batch, as a transformer's do; it does not know all texts."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def encode_queries(self, texts):
        known = [text if text.isascii() else "unknown" for text in texts]
        vectors = np.stack([np.random.default_rng(list(text.encode())).standard_normal(48) for text in known])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors + self.rng.standard_normal(vectors.shape) * 3e-8).astype(np.float32)

    encode_candidates = encode_queries


def test_the_batch_of_a_text_moves_no_rank():
    results = [clirbench.evaluate(Batches(seed), "demo") for seed in range(4)]
    first = results[0]
    for other in results[1:]:
        assert other.ranks_file == first.ranks_file
    assert first.document.headline == results[1].document.headline
    shares = first.document.indistinguishable
    assert shares["candidate"]["th"] == 1
    assert shares["candidate"]["en"] < 1


def test_without_one_vector_for_them_the_batch_moves_ranks(monkeypatch):
    monkeypatch.setattr("clirbench.encoders.encode.first_alike", lambda vectors: np.arange(vectors.shape[0]))
    files = {clirbench.evaluate(Batches(seed), "demo").ranks_file for seed in range(4)}
    assert len(files) > 1


@pytest.mark.parametrize("seed", range(3))
def test_near_scores_are_those_of_float64(seed):
    from clirbench.ranking.in_memory import count_outranked

    rng = np.random.default_rng(seed)
    base = rng.standard_normal((30, 64)).astype(np.float32)
    # Candidates that differ by one or two float32 steps in one place: float32 products cannot tell their scores apart.
    candidates = base[rng.integers(0, 30, 400)]
    for row in range(400):
        for _ in range(row % 3):
            column = rng.integers(0, 64)
            candidates[row, column] = np.nextafter(candidates[row, column], np.float32(np.inf))
    queries = rng.standard_normal((40, 64)).astype(np.float32)
    gold_query = np.repeat(np.arange(40, dtype=np.int32), 3)
    gold = np.sort(np.stack([rng.choice(400, 3, replace=False) for _ in range(40)]), axis=1).ravel().astype(np.int32)
    counts = count_outranked(queries, candidates, gold_query, gold, np.array([0, 150, 400]))
    # float64 holds the products of float32 numbers exactly, and longdouble their sums far more closely than they differ.
    scores = (queries[:, None].astype(np.longdouble) * candidates[None].astype(np.longdouble)).sum(axis=2)
    for pair, (query, column) in enumerate(zip(gold_query, gold, strict=True)):
        golds = gold[gold_query == query]
        above = (scores[query] > scores[query, column]) | (
            (scores[query] == scores[query, column])
            & (~np.isin(np.arange(400), golds) | (np.arange(400) < column))
            & (np.arange(400) != column)
        )
        assert counts.all[pair].tolist() == [int(above[:150].sum()), int(above[150:].sum())]
