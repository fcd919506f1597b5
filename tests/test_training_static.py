"""The static model's parts, each against numbers that can be worked out by hand."""

from collections import Counter

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from clirbench.support.errors import ClirbenchError
from clirbench.training.corpus import Corpus, SourceTexts
from clirbench.training.recipe import StaticPart, TrainingSource
from clirbench.training.static.bag import BagCollator, TrainingBag
from clirbench.training.static.lexicon import commonness, english_counts, with_lists
from clirbench.training.static.vectors import (
    damp_spectrum,
    flatten_norms,
    initial_vectors,
    inverse_frequencies,
    taught_vectors,
)
from clirbench.training.teacher import Targets
from clirbench.training.tokens import TokenStore, without_special_tokens

WORDS = ("cat", "dog", "Katze", "Hund", "the", "die")
TEXTS = ["the cat", "die Katze", "the dog", "die Hund", "cat", "Katze", "dog", "Hund"]
PART = StaticPart(vocabulary=7, dimensions=256, damping_texts=256, graph_own=0.3, graph_rounds=2)


def source(view, rows, **weights):
    table = np.array(rows, dtype=np.int32)
    return SourceTexts(TrainingSource(name=view, files=("x",), view=view, **weights), table, table)


@pytest.fixture
def corpus():
    sources = (source("text", [[0, 1], [2, 3]]), source("entries", [[4, 5], [6, 7]], cross_lingual=1.0, lists=50))
    return Corpus(("en", "de"), list(TEXTS), sources, {}, {}, [], {})


@pytest.fixture
def tokenizer():
    found = Tokenizer(models.WordLevel({"[UNK]": 0, **{w: i for i, w in enumerate(WORDS, 1)}}, unk_token="[UNK]"))
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    return found


def test_tokens_are_kept_flat_and_cut(tokenizer):
    store = TokenStore.encode(without_special_tokens(tokenizer), ["the cat", "", "the cat the dog"], max_length=3)
    ids, begins = store.gather(np.array([2, 1, 0, 2]))
    assert ids.tolist() == [5, 1, 5, 5, 1, 5, 1, 5]
    assert begins.tolist() == [0, 3, 3, 5]


def test_inverse_frequency_by_language(corpus, tokenizer):
    store = TokenStore.encode(without_special_tokens(tokenizer), corpus.texts, 9)
    idf = inverse_frequencies(corpus, store, 7)
    # Two running texts in each language: "the" is in both, "cat" in one; the unknown piece in none is as rare as the rarest.
    assert idf[5] == pytest.approx(np.log(3 / 3))
    assert idf[1] == pytest.approx(np.log(3 / 2))
    assert idf[0] == pytest.approx(np.log(3 / 2))


def test_the_lexicon_pulls_translations_together(corpus, tokenizer):
    store = TokenStore.encode(without_special_tokens(tokenizer), corpus.texts, 9)
    vectors = initial_vectors(corpus, store, PART, 7, seed=1)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    cosine = unit @ unit.T
    assert cosine[1, 3] > 0.8
    assert cosine[2, 4] > 0.8
    assert abs(cosine[1, 4]) < 0.3
    alone = initial_vectors(corpus, store, PART.model_copy(update={"graph_rounds": 0}), 7, seed=1)
    alone /= np.maximum(np.linalg.norm(alone, axis=1, keepdims=True), 1e-9)
    assert abs((alone @ alone.T)[1, 3]) < 0.3


@pytest.fixture
def targets():
    """A teacher's vectors of the four running texts: the last one is a query, and the third is query and candidate."""
    vectors = np.random.default_rng(3).standard_normal((len(TEXTS), 5)).astype(np.float16)
    queries, candidates = vectors.copy(), vectors.copy()
    queries[[0, 1, 4, 5, 6, 7]] = 0
    candidates[3:] = 0
    return Targets({"query": queries, "candidate": candidates}, by_row=False)


def test_first_vectors_of_a_teacher_are_a_ridge_regression(corpus, tokenizer, targets):
    store = TokenStore.encode(without_special_tokens(tokenizer), corpus.texts, 9)
    idf = np.arange(1, 8, dtype=np.float32)
    texts = np.zeros((4, 7))
    for number, text in enumerate(TEXTS[:4]):
        for word in text.split():
            piece = WORDS.index(word) + 1
            texts[number, piece] = idf[piece]
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    wanted = np.concatenate([targets.vectors["candidate"][:3], targets.vectors["query"][3:4]]).astype(float)
    # The closed form of the regression.
    expected = np.linalg.solve(texts.T @ texts + 0.3 * np.eye(7), texts.T @ wanted)
    assert taught_vectors(targets, store, idf, 0.3) == pytest.approx(expected, abs=0.05)


def test_a_teacher_gives_the_first_vectors(corpus, tokenizer, targets):
    store = TokenStore.encode(without_special_tokens(tokenizer), corpus.texts, 9)
    part = PART.model_copy(update={"graph_rounds": 0, "teacher_start": 0.3})
    idf = inverse_frequencies(corpus, store, 7)
    taught = taught_vectors(targets, store, idf, 0.3)
    started = initial_vectors(corpus, store, part, 7, 1, targets)
    for piece in range(1, 7):
        if idf[piece] > 0 and np.linalg.norm(taught[piece]) > 0.3:
            own = started[piece, :5] / np.linalg.norm(started[piece])
            assert own @ taught[piece] / np.linalg.norm(taught[piece]) > 0.8
    random = initial_vectors(corpus, store, part, 7, 1)
    assert np.linalg.norm(random[1, :5]) < 0.5 * np.linalg.norm(random[1])
    small = part.model_copy(update={"dimensions": 4})
    with pytest.raises(ClirbenchError, match=r"5 dimensions, the model's 4: raise 'dimensions'"):
        initial_vectors(corpus, store, small, 7, 1, targets)


def test_damping_flattens_the_spectrum():
    rng = np.random.default_rng(0)
    sample = (rng.standard_normal((4000, 8)) * np.array([8, 4, 2, 1, 1, 0.5, 0.25, 0.1])).astype(np.float32)
    for power in (0.0, 0.5, 1.0):
        damped = damp_spectrum(sample, sample, power)
        singular = np.linalg.svd(damped, compute_uv=False)
        before = np.linalg.svd(sample, compute_uv=False)
        assert np.allclose(singular / singular[0], (before / before[0]) ** (1 - power), atol=1e-4)
    # A rotation leaves every product as it was.
    same = damp_spectrum(sample, sample, 0.0)
    assert np.allclose(same[:50] @ same[:50].T, sample[:50] @ sample[:50].T, atol=1e-3)


def test_norms_are_flattened():
    weights = np.array([[4.0, 0], [0, 1.0], [0, 0]], dtype=np.float32)
    lengths = np.linalg.norm(flatten_norms(weights, 0.5), axis=1)
    assert lengths[0] / lengths[1] == pytest.approx(2.0)
    assert lengths[2] == 0
    assert lengths.mean() == pytest.approx(1.0)


def test_lists_of_entries_stand_in_the_same_order_in_both_languages(corpus):
    listed = with_lists(corpus, 0.4, seed=3).sources[1].queries
    made = with_lists(corpus, 0.4, seed=3)
    assert np.array_equal(listed, made.sources[1].queries)
    assert not np.array_equal(listed, with_lists(corpus, 0.4, seed=4).sources[1].queries)
    translation = dict(zip(("cat", "dog"), ("Katze", "Hund"), strict=True))
    lengths = Counter()
    for en, de in listed.tolist():
        words = made.texts[en].split()
        assert [translation[word] for word in words] == made.texts[de].split()
        lengths[len(words)] += 1
    assert len(listed) == 4
    assert set(lengths) <= set(range(1, 7))


def test_common_entries_are_drawn_more_often(corpus):
    counts = english_counts(corpus)
    assert counts == {"the": 2, "cat": 1, "dog": 1}
    assert commonness(corpus.sources[1], corpus, Counter({"cat": 9})).tolist() == [10.0, 1.0]


def test_dropout_is_heavy_where_a_batch_pairs_texts_with_themselves(corpus, tokenizer):
    store = TokenStore.encode(without_special_tokens(tokenizer), corpus.texts, 9)
    collate = BagCollator(store, PART)
    same = collate([{"query": 0, "candidate": 0}, {"query": 2, "candidate": 2}])
    other = collate([{"query": 0, "candidate": 1}, {"query": 2, "candidate": 3}])
    assert [round(float(same[f"{side}_dropout"]), 2) for side in ("query", "candidate")] == [0.65, 0.35]
    assert [round(float(other[f"{side}_dropout"]), 2) for side in ("query", "candidate")] == [0.1, 0.1]


def test_the_training_bag_drops_the_share_that_it_is_told(tokenizer):
    weights = np.eye(7, dtype=np.float32)
    bag = TrainingBag(tokenizer, embedding_weights=weights)
    ids = torch.full((100_000,), 3)
    features = {"input_ids": ids, "offsets": torch.tensor([0]), "dropout": torch.tensor(0.35)}
    torch.manual_seed(0)
    bag.train()
    kept = float(bag(dict(features))["sentence_embedding"][0, 3].detach())
    assert kept / 100_000 == pytest.approx(0.65, abs=0.01)
    bag.eval()
    assert torch.equal(bag(dict(features))["sentence_embedding"], torch.eye(7)[[3]])


def test_its_gradient_is_that_of_a_dense_bag(tokenizer):
    weights = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
    ids, offsets = torch.tensor([1, 2, 2, 5, 1]), torch.tensor([0, 3])
    sparse, dense = (TrainingBag(tokenizer, embedding_weights=weights.copy()) for _ in range(2))
    target = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))
    sparse.train()
    features = {"input_ids": ids, "offsets": offsets, "dropout": torch.tensor(0.0)}
    (sparse(features)["sentence_embedding"] * target).sum().backward()
    summed = torch.nn.functional.embedding_bag(ids, dense.embedding.weight, offsets, mode="sum")
    (summed * target).sum().backward()
    assert sparse.embedding.weight.grad.is_sparse
    assert torch.allclose(sparse.embedding.weight.grad.to_dense(), dense.embedding.weight.grad)
