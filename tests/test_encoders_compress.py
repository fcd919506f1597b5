"""Fewer dimensions and fewer bits: against sentence-transformers, SciPy's Hamming distance, and sorting by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest
from command_line import call
from miracl_corpus import build, invented
from scipy import sparse
from scipy.spatial.distance import cdist
from sentence_transformers.util.quantization import quantize_embeddings
from test_evaluation_streaming import Continuous, rows_of, run, sorted_ranks

import clirbench
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.compress import codes_of_8_bits, rounded_to_8_bits, signs, truncated, value_ranges
from clirbench.encoders.describe import describe
from clirbench.encoders.encode import encode_collection
from clirbench.encoders.load import as_loaded
from clirbench.encoders.precomputed import load_vectors
from clirbench.evaluation.streaming.first_pass import require_streamable
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError


@pytest.fixture
def vectors():
    return np.random.default_rng(1).standard_normal((200, 40)).astype(np.float32)


def test_codes_are_those_of_sentence_transformers(vectors):
    vectors[:, 3] = 0.25
    ranges = value_ranges(vectors[:150])
    assert np.array_equal(codes_of_8_bits(vectors, ranges), quantize_embeddings(vectors, "uint8", ranges=ranges))
    assert not np.array_equal(codes_of_8_bits(vectors, value_ranges(vectors)), codes_of_8_bits(vectors, ranges))


def test_a_value_becomes_the_middle_of_its_step(vectors):
    low, high = ranges = value_ranges(vectors)
    inside = np.abs(rounded_to_8_bits(vectors, ranges) - vectors)
    assert (inside <= (high - low) / 255 / 2 * 1.001).all()
    assert inside.max() > 0.9 * ((high - low) / 255 / 2).max()
    outside = rounded_to_8_bits(vectors * 3, ranges)
    assert (outside <= high + (high - low) / 255).all()


def test_signs_order_as_the_hamming_distance_does_ties_included(vectors):
    left, right = vectors[:50], vectors[50:]
    products = signs(left) @ signs(right).T
    distances = cdist(left > 0, right > 0, "hamming") * vectors.shape[1]
    assert np.array_equal(products, vectors.shape[1] - 2 * np.rint(distances))


def test_an_all_zero_vector_stays_zero(vectors):
    ranges = value_ranges(vectors)
    vectors[7] = 0
    assert not signs(vectors)[7].any()
    assert not rounded_to_8_bits(vectors, ranges)[7].any()
    assert signs(vectors)[8].any()


def test_truncation():
    rows = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    assert truncated(rows, 2).tolist() == [[0, 1], [4, 5], [8, 9]]
    assert truncated(rows, None) is rows


class Own:
    name, revision = "me/own", "1"

    def __init__(self, similarity="cosine", dimensions=24):
        self.similarity, self.dimensions = similarity, dimensions

    def encode_queries(self, texts):
        return np.array([self.vector(text) for text in texts])

    encode_candidates = encode_queries

    def vector(self, text):
        return np.random.default_rng(list(text.encode())).standard_normal(self.dimensions).astype(np.float32) + 0.3


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def by_hand(own, collection, options):
    """Scores of all pairs, computed as the documentation words the steps."""
    both = (collection.queries, collection.candidates)
    sides = [np.array([own.vector(text) for text in texts])[:, : options.truncate_dim] for texts in both]
    if own.similarity == "cosine":
        sides = [unit(side) for side in sides]
    if options.transform == "center":
        languages = (collection.query_language, collection.candidate_language)
        means = [sides[1][languages[1] == i].mean(axis=0) for i in range(len(collection.languages))]
        sides = [unit(side - np.array(means)[language]) for side, language in zip(sides, languages, strict=True)]
    if options.quantise == "binary":
        return -cdist(sides[0] > 0, sides[1] > 0, "hamming")
    if options.quantise == "int8":
        low, high = ranges = np.stack([sides[1].min(axis=0), sides[1].max(axis=0)]).astype(np.float32)
        codes = [quantize_embeddings(side.astype(np.float32), "uint8", ranges=ranges) for side in sides]
        sides = [low + (code + 0.5) * (high - low) / 255 for code in codes]
    if own.similarity == "euclidean":
        return -cdist(*sides)
    return sides[0] @ sides[1].T if own.similarity == "dot" else 1 - cdist(*sides, "cosine")


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("truncate_dim", [None, 10])
@pytest.mark.parametrize("quantise", [None, "int8", "binary"])
@pytest.mark.parametrize("transform", [None, "center"])
def test_scores_in_memory_equal_those_by_hand(tiny, similarity, truncate_dim, quantise, transform):
    if transform and similarity != "cosine":
        pytest.skip("a transform needs cosine similarity")
    own, options = Own(similarity), EncoderOptions(truncate_dim=truncate_dim, quantise=quantise, transform=transform)
    collection = tiny(topics=6)
    model = as_loaded(own, options)
    found = encode_collection(model, collection)
    scores, wanted = found.queries @ found.candidates.T, by_hand(own, collection, options)
    assert found.dimensions == (truncate_dim or 24)
    if quantise == "binary":
        assert np.array_equal(scores, np.rint(found.dimensions * (1 + 2 * wanted)))
    else:
        # Euclidean scores differ by a constant of each query, so differences within a query are compared.
        assert np.argsort(scores).tolist() == np.argsort(wanted).tolist()


@pytest.fixture
def corpus(tmp_path):
    return build(tmp_path, invented, ["sw", "yo", "te"], distractors=40, per_file=17)


def as_declared(data):
    return {language: data[language] for language in ("sw", "te", "yo")}


def sample_file(folder, data):
    texts = [(language, f"sample {language} {i}") for language in data for i in range(30)]
    path = folder / "sample.jsonl"
    path.write_text("".join(json.dumps({"language": x, "text": t}) + "\n" for x, t in texts), encoding="utf-8")
    return path, [text for _, text in texts]


@pytest.mark.parametrize("shard", [7, 1000])
def test_bits_of_a_streamed_corpus_equal_sorting_every_pool(tmp_path, corpus, shard):
    folder, task, data = corpus

    class Bits(Continuous):
        similarity = "dot"

        def vector(self, text):
            return np.where(super().vector(text)[:10] > 0, 1.0, -1.0)

    options = EncoderOptions(truncate_dim=10, quantise="binary")
    result = run(Continuous(), folder, task, tmp_path, shard=shard, options=options)[1]
    expected = sorted((topic, own, pool) for (topic, _), (own, pool) in sorted_ranks(Bits(), as_declared(data)).items())
    assert rows_of(result) == expected
    assert result.document.model.dimensions == 10
    assert (result.document.encoder.quantise, result.document.encoder.quantise_sample) == ("binary", None)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_int8_of_a_streamed_corpus_is_fitted_on_a_file(tmp_path, corpus, similarity):
    folder, task, data = corpus
    path, texts = sample_file(tmp_path, data)
    plain = Continuous()
    plain.similarity = similarity
    sample = np.array([plain.vector(text) for text in texts], dtype=np.float32)
    low, high = ranges = value_ranges(unit(sample) if similarity == "cosine" else sample)

    class Rounded(Continuous):
        def vector(self, text):
            row = super().vector(text)[None].astype(np.float32)
            row = unit(row) if similarity == "cosine" else row
            return (low + (quantize_embeddings(row, "uint8", ranges=ranges) + 0.5) * (high - low) / 255)[0]

    Rounded.similarity = similarity
    options = EncoderOptions(quantise="int8", quantise_sample=str(path))
    result = run(plain, folder, task, tmp_path, shard=9, options=options)[1]
    expected = sorted(
        (topic, own, pool) for (topic, _), (own, pool) in sorted_ranks(Rounded(), as_declared(data)).items()
    )
    assert rows_of(result) == expected
    assert result.document.encoder.quantise_sample.startswith("sha256:")


def test_a_sample_in_memory_takes_the_place_of_the_candidates(tmp_path, tiny):
    path, texts = sample_file(tmp_path, ("en", "de", "zh"))
    own = Own("dot")
    found = encode_collection(as_loaded(own, EncoderOptions(quantise="int8", quantise_sample=str(path))), tiny())
    ranges = value_ranges(np.array([own.vector(text) for text in texts]))
    right = rounded_to_8_bits(np.array([own.vector(text) for text in tiny().queries]), ranges)
    assert np.array_equal(found.queries, right)


def test_all_variants_share_the_cached_vectors(tmp_path, tiny):
    own, context = Own(), RunContext(vectors=tmp_path)
    encode_collection(as_loaded(own), tiny(), context)
    for more in (
        {"truncate_dim": 8},
        {"quantise": "int8"},
        {"truncate_dim": 4, "quantise": "binary", "transform": "center"},
    ):
        assert encode_collection(as_loaded(own, EncoderOptions(**more)), tiny(), context).encoded == 0


class Scorer:
    def prepare_candidates(self, texts, languages): ...

    def score(self, texts, languages): ...


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"truncate_dim": 24}, "--truncate-dim is 24, but vectors of me/own have 24 dimensions: keep fewer"),
        ({"truncate_dim": 100}, "--truncate-dim is 100, but vectors of me/own have 24 dimensions"),
        ({"truncate_dim": 0}, "--truncate-dim is 0: use 1 or more"),
        ({"quantise": "int4"}, "--quantise is 'int4': use int8, binary"),
        ({"quantise_sample": "x.jsonl"}, "does nothing without --quantise int8"),
        ({"quantise": "binary", "quantise_sample": "x.jsonl"}, "does nothing without --quantise int8"),
        ({"quantise": "int8", "quantise_sample": "nowhere.jsonl"}, "nowhere.jsonl: cannot be read .*--quantise-sample"),
    ],
)
def test_mistakes(tiny, options, message):
    with pytest.raises(ClirbenchError, match=message):
        encode_collection(as_loaded(Own(), EncoderOptions(**options)), tiny())


@pytest.mark.parametrize("options", [{"truncate_dim": 2}, {"quantise": "binary"}])
def test_models_without_dense_vectors_of_their_own(tiny, options):
    name = next(iter(options)).replace("_", "-")

    class Sparse(Own):
        def encode_queries(self, texts):
            return sparse.csr_array(super().encode_queries(texts))

        encode_candidates = encode_queries

    with pytest.raises(ClirbenchError, match=f"me/own gives sparse vectors, which --{name} cannot take"):
        encode_collection(as_loaded(Sparse(), EncoderOptions(**options)), tiny())
    with pytest.raises(ClirbenchError, match=f"--{name} does not apply to the scorer own/Scorer"):
        as_loaded(Scorer(), EncoderOptions(**options))
    with pytest.raises(ClirbenchError, match=f"--{name} does not apply to a fusion"):
        as_loaded("rrf:clirbench/char-ngram+clirbench/hybrid", EncoderOptions(**options))


def test_int8_needs_a_sample_where_the_candidates_are_never_together(tmp_path):
    with pytest.raises(ClirbenchError, match="add --quantise-sample FILE"):
        require_streamable(as_loaded(Own(), EncoderOptions(quantise="int8")))
    with pytest.raises(ClirbenchError, match="add --transform-sample FILE"):
        require_streamable(as_loaded(Own(), EncoderOptions(transform="center")))
    with pytest.raises(ClirbenchError, match="--quantise int8 is fitted on texts, which --vectors does not have"):
        load_vectors(tmp_path, ["sw"], EncoderOptions(quantise="int8", name="me/vectors"))
    with pytest.raises(ClirbenchError, match="--depth does not apply to vectors that are there already"):
        load_vectors(tmp_path, ["sw"], EncoderOptions(depth=5, name="me/vectors"))


def test_a_variant_is_a_row_of_its_own_and_its_result_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIRBENCH_CACHE", str(tmp_path / "cache"))
    command = ["run", "--model", "clirbench/hybrid", "--tasks", "demo", "--languages", "en,de", "--truncate-dim", 64]
    for quantise in ("int8", "binary"):
        first = call(*command, "--quantise", quantise)
        assert first.exit_code == 0, first.output
        (path,) = (tmp_path / "results" / f"clirbench__hybrid+64-dimensions+{quantise}").glob("*.json")
        document = json.loads(path.read_text(encoding="utf-8"))
        assert document["model"]["dimensions"] == document["encoder"]["truncate_dim"] == 64
        assert document["encoder"]["quantise"] == quantise
        assert document["encoder"]["quantise_sample"] == ("pool" if quantise == "int8" else None)
        assert "kept" in call(*command, "--quantise", quantise).output


def test_a_result_is_run_again_with_what_it_states(tmp_path):
    from clirbench.results.reload_model import ModelAt, reload_model

    options = EncoderOptions(truncate_dim=64, quantise="int8")
    result = clirbench.evaluate("clirbench/hybrid", "demo", languages=["en", "de"], options=options)
    again = reload_model(result.document, ModelAt())
    assert again.settings == as_loaded("clirbench/hybrid", options).settings
    part = result.document.encoder.model_copy(update={"quantise_sample": "sha256:" + "0" * 64})
    with pytest.raises(ClirbenchError, match="--quantise of clirbench/hybrid was fitted on a file"):
        reload_model(result.document.model_copy(update={"encoder": part}), ModelAt())


def test_settings_of_a_quantised_model():
    model = as_loaded(Own(), EncoderOptions(quantise="int8", truncate_dim=3))
    assert model.settings == replace(as_loaded(Own()).settings, quantise="int8", quantise_sample="pool", truncate_dim=3)
    assert model.settings.variant == "3 dimensions, int8"


def test_the_first_line_of_a_run_says_that_bits_are_compared_by_hamming_distance():
    (line, *_) = describe(as_loaded(Own("dot"), EncoderOptions(quantise="binary", truncate_dim=3)))
    assert line.startswith("me/own + 3 dimensions, binary: ")
    assert "Hamming distance of the bits" in line
    assert "dot" not in line
