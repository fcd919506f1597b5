"""Models that are not one vector per text, each against an oracle of its own; sorting everything stands in for the kernel."""

import numpy as np
import pytest
from conftest import Table, tiny_collection
from tiny_models import multi_vector_model, sparse_model, static_model

import clirbench
from clirbench.encoders.base import EncoderOptions, LoadedFusion, require_encoder
from clirbench.encoders.load import as_loaded, load_encoder
from clirbench.evaluation.evaluate import evaluate_loaded
from clirbench.evaluation.loaded_task import InMemoryTask
from clirbench.ranking.counters import encode, texts_to_encode
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import load_collection
from clirbench.tasks.task import SETTINGS


class Products:
    """A scorer whose scores are those of a table encoder, with chosen whole numbers: float32 holds them exactly."""

    revision = "1"

    def __init__(self, table):
        self.table = table

    def prepare_candidates(self, texts, languages):
        assert len(texts) == len(languages) == len(set(zip(languages, texts, strict=True)))
        self.candidates = self.table.encode_candidates(texts)

    def score(self, texts, languages):
        return self.table.encode_queries(texts).astype(np.float64) @ self.candidates.T.astype(np.float64)


def table_of(collection, seed=0, dimensions=3):
    """Small whole numbers, so that many scores tie; no vector is zero."""
    rng = np.random.default_rng(seed)
    queries = {text: rng.integers(1, 5, dimensions) for text in collection.queries}
    return Table(queries, {text: rng.integers(1, 5, dimensions) for text in collection.candidates})


def run(loaded, collection, settings=("monolingual", "cross-lingual", "multilingual")):
    return evaluate_loaded(loaded, InMemoryTask(collection, settings), RunContext())


def ranks_by_sorting(scores, collection, within):
    """Rank of each gold pair, in the order of the collection, by the tie rule."""
    found = []
    for query, candidate in zip(collection.gold_query, collection.gold_candidate, strict=True):
        golds = set(collection.gold_candidate[collection.gold_query == query].tolist())
        pool = range(len(collection.candidates))
        if within:
            language = collection.candidate_language[candidate]
            pool = [c for c in pool if collection.candidate_language[c] == language]
        order = sorted(pool, key=lambda c: (-scores[query, c], c in golds, c))
        found.append(order.index(candidate) + 1)
    return np.array(found)


def test_a_scorer_has_the_ranks_of_the_encoder_whose_products_it_gives():
    collection = tiny_collection(topics=70, missing={(3, "de"), (5, "zh")})
    table = table_of(collection)
    dense, scored = run(as_loaded(table), collection), run(as_loaded(Products(table)), collection)
    assert scored.ranks_file == dense.ranks_file
    assert scored.document.headline == dense.document.headline
    assert scored.document.queue_jump == dense.document.queue_jump
    assert scored.document.model.dimensions is None
    assert scored.document.encoder.similarity == "own"
    assert scored.document.cost.texts == texts_to_encode(as_loaded(Products(table)), collection)[0]


def test_a_scorer_is_given_every_language(tiny):
    collection, seen = tiny(), []

    class Spy(Products):
        def score(self, texts, languages):
            seen.extend(zip(languages, texts, strict=True))
            return super().score(texts, languages)

    run(as_loaded(Spy(table_of(collection))), collection)
    assert set(seen) == {
        (collection.languages[code], text)
        for code, text in zip(collection.query_language, collection.queries, strict=True)
    }


@pytest.mark.parametrize("method", ["rrf", "sum"])
def test_a_fusion_ranks_within_each_pool_as_if_it_were_the_only_one(method):
    collection = tiny_collection(topics=30)
    tables = [table_of(collection, seed) for seed in (0, 1)]
    weights = (1.0, 1.0) if method == "rrf" else (0.7, 0.3)
    parts = (as_loaded(Products(tables[0])), as_loaded(Table(tables[1].queries, tables[1].candidates)))
    one = as_loaded(Products(tables[0]))
    fusion = LoadedFusion(info=one.info, settings=one.settings, method=method, weights=weights, parts=parts)
    scored = encode(fusion, collection, RunContext()).count(SETTINGS, RunContext())
    raw = [t.encode_queries(collection.queries) @ t.encode_candidates(collection.candidates).T for t in tables]

    def fuse(columns):
        total = np.zeros((len(collection.queries), len(columns)))
        for weight, scores in zip(weights, raw, strict=True):
            part = scores[:, columns]
            part = part.astype(np.float64)
            for row in range(len(part)):
                if method == "rrf":
                    # Equal scores share the last of their ranks.
                    total[row] += [1 / (60 + (part[row] >= value).sum()) for value in part[row]]
                else:
                    low, high = part[row].min(), part[row].max()
                    total[row] += weight * (part[row] - low) / ((high - low) or 1)
        return total.astype(np.float32)

    everything = fuse(np.arange(len(collection.candidates)))
    assert np.array_equal(1 + scored.outranked.all.sum(axis=1), ranks_by_sorting(everything, collection, within=False))
    blocks = [np.flatnonzero(collection.candidate_language == code) for code in range(3)]
    apart = np.concatenate([fuse(block) for block in blocks], axis=1)
    language = collection.candidate_language[collection.gold_candidate]
    own = 1 + scored.within.all[np.arange(len(language)), language]
    assert np.array_equal(own, ranks_by_sorting(apart, collection, within=True))
    # The two are no restriction of each other: that is why both are counted.
    assert not np.array_equal(own, ranks_by_sorting(everything, collection, within=True))


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (lambda shape: np.zeros((shape[0], shape[1] - 1)), "one row per query, one column per candidate"),
        (lambda shape: np.full(shape, np.nan), "not finite"),
        (lambda shape: np.full(shape, 1e300), "not finite"),
        (lambda shape: None, "gave a NoneType and not an array of numbers"),
        (lambda shape: [[1.0], [1.0, 2.0]], "not an array of numbers"),
    ],
)
def test_bad_scores(tiny, raw, told):
    collection = tiny()

    class Bad(Products):
        def score(self, texts, languages):
            return raw(super().score(texts, languages).shape)

    with pytest.raises(ClirbenchError, match=told):
        run(as_loaded(Bad(table_of(collection))), collection)


def test_what_needs_vectors_refuses_a_scorer_with_a_line():
    loaded = as_loaded(Products(Table({}, {})))
    with pytest.raises(ClirbenchError, match="scores pairs of texts and has no vectors"):
        require_encoder(loaded)


def test_a_sparse_encoder_of_sentence_transformers(tmp_path):
    from sentence_transformers import SparseEncoder

    folder = sparse_model(tmp_path)
    loaded = load_encoder(str(folder), EncoderOptions(device="cpu"))
    assert loaded.settings.similarity == "dot"
    collection = load_collection(clirbench.load_task("demo"), ["en", "de"])
    result = run(loaded, collection)
    model = SparseEncoder(str(folder), device="cpu")

    class Dense:
        similarity = "dot"

        def encode_queries(self, texts):
            return model.encode_query(texts, convert_to_sparse_tensor=False)

        def encode_candidates(self, texts):
            return model.encode_document(texts, convert_to_sparse_tensor=False)

    oracle = run(as_loaded(Dense()), collection)
    for setting in ("monolingual", "cross-lingual", "multilingual"):
        # Sums in another order round otherwise.
        assert result.score(setting, "mAP") == pytest.approx(oracle.score(setting, "mAP"), abs=2e-3)
    in_memory = run(as_loaded(model), collection)
    assert in_memory.ranks_file == result.ranks_file


def test_a_multi_vector_encoder_of_sentence_transformers(tmp_path):
    from sentence_transformers import MultiVectorEncoder

    folder = multi_vector_model(tmp_path)
    loaded = load_encoder(str(folder), EncoderOptions(device="cpu"))
    assert loaded.settings.similarity == "maxsim"
    collection = load_collection(clirbench.load_task("demo"), ["en", "de"])
    result = run(loaded, collection)
    model = MultiVectorEncoder(str(folder), device="cpu")
    texts = list(dict.fromkeys(collection.candidates))
    candidates = [np.asarray(vectors.cpu()) for vectors in model.encode_document(texts)]

    class MaxSim:
        def prepare_candidates(self, texts_, languages):
            self.chosen = [candidates[texts.index(text)] for text in texts_]

        def score(self, texts_, languages):
            queries = [np.asarray(vectors.cpu()) for vectors in model.encode_query(texts_)]
            return np.array([[(q @ c.T).max(axis=1).sum() for c in self.chosen] for q in queries])

    oracle = run(as_loaded(MaxSim()), collection)
    for setting in ("monolingual", "cross-lingual", "multilingual"):
        assert result.score(setting, "mAP") == pytest.approx(oracle.score(setting, "mAP"), abs=2e-3)
    assert run(as_loaded(model), collection).ranks_file == result.ranks_file
    for options in (EncoderOptions(similarity="dot"), EncoderOptions(transform="center")):
        with pytest.raises(ClirbenchError, match="does not apply to a multi-vector model"):
            load_encoder(str(folder), options)


def test_an_unknown_kind_of_model_is_named(tmp_path):
    folder = static_model(tmp_path)
    config = folder / "config_sentence_transformers.json"
    text = config.read_text().replace('"SentenceTransformer"', '"QuantumEncoder"')
    assert "QuantumEncoder" in text
    config.write_text(text)
    with pytest.raises(
        ClirbenchError, match=r"it is a QuantumEncoder, which is no encoder that sentence-transformers .* has"
    ):
        load_encoder(str(folder))
