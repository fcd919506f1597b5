"""Encoding: each text once, every language, bad vectors stopped, and a cache that survives being killed."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

import clirbench
from clirbench.encoders import encode as vectors_module
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.encode import encode_collection
from clirbench.encoders.load import as_loaded
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError


class Recording:
    """Deterministic vectors; remembers what it was asked for."""

    revision = "1"

    def __init__(self, dimensions=8):
        self.dimensions = dimensions
        self.seen = Counter()

    def _encode(self, role, texts):
        self.seen.update((role, text) for text in texts)
        rows = [np.random.default_rng(abs(hash_of(role + text))).standard_normal(self.dimensions) for text in texts]
        return np.array(rows, dtype=np.float32)

    def encode_queries(self, texts):
        return self._encode("q", texts)

    def encode_candidates(self, texts):
        return self._encode("c", texts)


def hash_of(text):
    return int.from_bytes(text.encode()[-8:], "big") + len(text)


def test_each_distinct_text_once_per_role_in_every_language():
    encoder = Recording()
    task = clirbench.load_task("demo")
    clirbench.evaluate(encoder, task)
    assert set(encoder.seen.values()) == {1}
    collection = clirbench.tasks.collection.load_collection(task)
    expected = {("q", text) for text in collection.queries} | {("c", text) for text in collection.candidates}
    assert set(encoder.seen) == expected
    for language in task.languages:
        lines = (task.file.parent / "demo" / f"{language}.jsonl").read_text(encoding="utf-8").splitlines()
        for line in lines:
            row = json.loads(line)
            assert ("q", row["question"]) in encoder.seen
            assert all(("c", text) in encoder.seen for text in (row["answer"], *row["distractors"]))


def test_rows_belong_to_their_texts(tiny):
    collection = tiny()
    encoder = Recording()
    found = encode_collection(as_loaded(encoder), collection)
    for i, text in enumerate(collection.candidates):
        raw = encoder._encode("c", [text])[0]
        assert found.candidates[i] == pytest.approx(raw / np.linalg.norm(raw), abs=1e-6)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("as_sparse", [False, True])
def test_inner_products_order_as_the_similarity_does(tiny, similarity, as_sparse):
    collection = tiny(topics=6)
    rng = np.random.default_rng(0)
    raw = {text: rng.standard_normal(5) * rng.uniform(0.5, 3) for text in {*collection.queries, *collection.candidates}}

    class Own(Recording):
        def _encode(self, role, texts):
            rows = np.array([raw[text] for text in texts], dtype=np.float32)
            return sparse.csr_matrix(rows) if as_sparse else rows

    own = Own()
    own.similarity = similarity
    found = encode_collection(as_loaded(own), collection)
    scores = found.queries @ found.candidates.T
    scores = scores.toarray() if as_sparse else scores
    for q in range(0, len(collection.queries), 5):
        query = raw[collection.queries[q]]
        others = np.array([raw[text] for text in collection.candidates])
        truth = {
            "dot": others @ query,
            "cosine": others @ query / np.linalg.norm(others, axis=1) / np.linalg.norm(query),
            "euclidean": -np.linalg.norm(others - query, axis=1),
        }[similarity]
        assert np.argsort(-scores[q]).tolist() == np.argsort(-truth).tolist()


def broken(change):
    class Broken(Recording):
        def _encode(self, role, texts):
            return change(super()._encode(role, texts), texts)

    return Broken()


def poison(value):
    def change(rows, texts):
        for i, text in enumerate(texts):
            if text in ("de wrong 2 1", "de question 2"):
                rows[i] = value
        return rows

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (poison(np.nan), "gave NaN for the query 'de question 2'"),
        (poison(np.inf), "gave infinite values for the query 'de question 2'"),
        (poison(0), r"empty \(all-zero\) vector for the query 'de question 2'"),
        (lambda rows, texts: rows[:0], "shape 0x8 for 12 texts for the query"),
        (lambda rows, texts: rows[:, :0], "shape 12x0"),
        (lambda rows, texts: rows[:-1], "shape 11x8 for 12 texts"),
        (lambda rows, texts: rows.ravel(), "shape 96 for 12 texts"),
        (lambda rows, texts: None, "gave a NoneType for the query"),
        (lambda rows, texts: [[1.0], [1.0, 2.0]], "gave a list for the query .*not numbers in one shape"),
        (lambda rows, texts: rows * 1j, "not numbers in one shape"),
        (lambda rows, texts: rows if "question" in texts[0] else sparse.csr_array(rows), "dense vectors for one role"),
        (lambda rows, texts: rows if "question" in texts[0] else rows[:, :5], "gave 5 dimensions after 8"),
        (lambda rows, texts: rows.astype(np.float64) * 1e300, "infinite values"),
    ],
)
def test_bad_vectors_stop_with_the_first_offending_text(tiny, change, message):
    with pytest.raises(ClirbenchError, match=message):
        encode_collection(as_loaded(broken(change)), tiny())


def test_out_of_memory_says_what_to_do(tiny):
    import torch

    def full(rows, texts):
        raise torch.OutOfMemoryError("CUDA out of memory.\nMore lines")

    with pytest.raises(ClirbenchError, match=r"out of memory .*lower --batch-size"):
        encode_collection(as_loaded(broken(full)), tiny())


def test_torch_tensors_dense_or_sparse(tiny):
    import torch

    plain = encode_collection(as_loaded(Recording()), tiny())
    for convert in (
        torch.tensor,
        lambda rows: torch.tensor(rows).to_sparse(),
        lambda rows: torch.tensor(rows).double(),
    ):
        found = encode_collection(as_loaded(broken(lambda rows, texts, c=convert: c(rows))), tiny()).candidates
        # Sparse ones stay sparse: terms of a vocabulary would not fit otherwise.
        found = found if isinstance(found, np.ndarray) else found.toarray()
        assert found == pytest.approx(plain.candidates, abs=1e-6)


def test_tiny_vectors_keep_their_direction(tiny):
    plain = encode_collection(as_loaded(Recording()), tiny())
    small = encode_collection(as_loaded(broken(lambda rows, texts: (rows * 1e-38).astype(np.float32))), tiny())
    assert np.isfinite(small.queries).all()
    assert small.candidates == pytest.approx(plain.candidates, abs=1e-3)


@pytest.mark.parametrize("similarity", ["dot", "euclidean"])
@pytest.mark.parametrize("size", [1e-20, 1e-30, 1e-42])
def test_vectors_whose_products_vanish_are_refused(tiny, similarity, size):
    faint = broken(lambda rows, texts: (rows * size).astype(np.float32))
    with pytest.raises(ClirbenchError, match=r"so short that scores vanish in float32 .*: use --similarity cosine"):
        encode_collection(as_loaded(faint, EncoderOptions(similarity=similarity)), tiny())


def test_distances_do_not_depend_on_the_origin(tiny):
    collection = tiny(topics=8)
    found = {}
    for offset in (0.0, 64.0):

        class Far(Recording):
            similarity = "euclidean"

            def _encode(self, role, texts, offset=offset):
                # Multiples of 1/64 stay exact beside the offset.
                return np.round(super()._encode(role, texts) * 64) / 64 + offset

        encoded = encode_collection(as_loaded(Far()), collection)
        scores = encoded.queries.astype(np.float64) @ encoded.candidates.astype(np.float64).T
        found[offset] = scores - scores.mean(axis=1, keepdims=True)
    assert found[64.0] == pytest.approx(found[0.0], abs=1e-4)


def test_zero_vectors_may_be_scored_as_lost(tiny):
    found = encode_collection(as_loaded(broken(poison(0))), tiny(), RunContext(allow_zero=True))
    assert found.zero == 2
    assert not found.candidates[tiny().candidates.index("de wrong 2 1")].any()


def test_a_long_offending_text_is_cut():
    task = clirbench.load_task("demo")
    nan = broken(lambda rows, texts: rows * np.nan)
    with pytest.raises(ClirbenchError) as error:
        clirbench.evaluate(nan, task)
    assert len(str(error.value)) < 250
    assert "\n" not in str(error.value)


def compared(collection):
    """What is asked of an encoder whose vectors are cached: the longest text of each role, to compare."""
    longest = [min(texts, key=lambda text: (-len(text), text)) for texts in (collection.queries, collection.candidates)]
    return Counter(zip("qc", longest, strict=True))


def test_a_second_run_encodes_nothing_and_gives_the_same(tiny, tmp_path):
    first = encode_collection(as_loaded(Recording()), tiny(), RunContext(vectors=tmp_path))
    again = Recording()
    second = encode_collection(as_loaded(again), tiny(), RunContext(vectors=tmp_path))
    assert again.seen == compared(tiny())
    assert (first.encoded, second.encoded) == (first.texts, 0)
    assert first.candidates.tobytes() == second.candidates.tobytes()


def test_the_dtype_that_the_model_gave_is_known_from_the_cache_too(tiny, tmp_path):
    class Half(Recording):
        def _encode(self, role, texts):
            return super()._encode(role, texts).astype(np.float16)

    dtypes = [encode_collection(as_loaded(Half()), tiny(), RunContext(vectors=tmp_path)).output_dtype for _ in range(2)]
    assert dtypes == ["float16", "float16"]
    result = clirbench.evaluate(Half(), "demo", languages=["en", "de"])
    assert result.document.provenance.output_dtype == "float16"


def test_killed_in_the_middle_it_loses_one_shard(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(vectors_module, "TEXTS_PER_SHARD", 10)
    collection = tiny(topics=10)
    whole = encode_collection(as_loaded(Recording()), collection, RunContext(vectors=tmp_path / "other"))

    class Killed(BaseException):
        pass

    class Dies(Recording):
        def encode_candidates(self, texts):
            if len(self.seen) > 70:
                raise Killed
            return super().encode_candidates(texts)

    dying = Dies()
    with pytest.raises(Killed):
        encode_collection(as_loaded(dying), collection, RunContext(vectors=tmp_path / "cache"))
    survivor = Recording()
    resumed = encode_collection(
        as_loaded(replace_name(survivor, dying)), collection, RunContext(vectors=tmp_path / "cache")
    )
    assert len(survivor.seen) == whole.texts - len(dying.seen) + 2
    assert resumed.candidates.tobytes() == whole.candidates.tobytes()


def replace_name(encoder, other):
    encoder.name = f"own/{type(other).__name__}"
    return encoder


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", None])
def test_a_damaged_shard_is_encoded_again(tiny, tmp_path, damage):
    first = encode_collection(as_loaded(Recording()), tiny(), RunContext(vectors=tmp_path))
    shard = sorted(tmp_path.rglob("000000.npy"))[0]
    content = shard.read_bytes()
    # The last one is a changed number in a file of the right form: only the manifest's checksum can tell.
    shard.write_bytes(content[:-4] + b"\0\0\0\0" if damage is None else damage)
    again = Recording()
    second = encode_collection(as_loaded(again), tiny(), RunContext(vectors=tmp_path))
    assert again.seen
    assert first.queries.tobytes() == second.queries.tobytes()
    third = Recording()
    encode_collection(as_loaded(third), tiny(), RunContext(vectors=tmp_path))
    assert third.seen == compared(tiny())


def test_models_revisions_and_settings_never_share_an_entry(tiny, tmp_path):
    loaded = as_loaded(Recording())
    encode_collection(loaded, tiny(), RunContext(vectors=tmp_path))
    for other in (
        replace(loaded, info=replace(loaded.info, revision="2")),
        replace(loaded, info=replace(loaded.info, name="own/other")),
        replace(loaded, settings=replace(loaded.settings, query_prompt="q: ", candidate_prompt="c: ")),
        replace(loaded, settings=replace(loaded.settings, candidate_max_length=12)),
    ):
        assert encode_collection(other, tiny(), RunContext(vectors=tmp_path)).encoded == 3 * (4 + 16)


def test_without_a_revision_nothing_is_cached(tiny, tmp_path):
    encoder = Recording()
    encoder.revision = None
    encode_collection(as_loaded(encoder), tiny(), RunContext(vectors=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written(tiny, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ClirbenchError, match=r"cannot write the vector cache .*--no-cache"):
        encode_collection(as_loaded(Recording()), tiny(), RunContext(vectors=tmp_path / "file"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
