"""What encoders return: copied before the next call, right in any form that holds numbers, and else refused in one line."""

import hashlib
import io
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import sparse

from clirbench.encoders import encode as encode_module
from clirbench.encoders.arrays import NoNumbersError, as_float32, looks_packed
from clirbench.encoders.encode import encode_collection
from clirbench.encoders.load import as_loaded
from clirbench.encoders.vectors import Clock, VectorCheck
from clirbench.evaluation.streaming.first_pass import encode_distinct
from clirbench.ranking.counters import encode
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError

DIMENSIONS = 6


def honest(texts):
    """A vector for each text, which depends on the text alone: quarters, which every float type holds."""
    seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in texts]
    return np.array([np.random.default_rng(seed).integers(-16, 17, DIMENSIONS) / 4 for seed in seeds], dtype=np.float32)


def encoder(give):
    """An encoder whose methods return ``give(texts)``."""

    class Mine:
        similarity = "dot"

        def encode_queries(self, texts):
            return give(texts)

        encode_candidates = encode_queries

    return Mine()


@pytest.fixture
def encoded(tiny, monkeypatch):
    """A function that encodes a small collection in batches of five texts, and returns the vectors of both roles."""
    monkeypatch.setattr(encode_module, "TEXTS_PER_SHARD", 5)

    def run(give):
        collection = tiny()
        both = encode_collection(as_loaded(encoder(give)), collection, RunContext(allow_zero=True))
        dense = [x if isinstance(x, np.ndarray) else x.toarray() for x in (both.queries, both.candidates)]
        return *dense, honest(collection.queries), honest(collection.candidates)

    return run


class OneBuffer:
    """Writes every batch into the same memory."""

    def __init__(self, make, fill):
        self.memory, self.fill = make, fill

    def __call__(self, texts):
        return self.fill(self.memory, honest(texts))


def into_numpy(memory, rows):
    memory[: len(rows)] = rows
    return memory[: len(rows)]


def into_torch(memory, rows):
    memory[: len(rows)] = torch.from_numpy(rows)
    return memory[: len(rows)]


def into_csr(memory, rows):
    memory.data[: rows.size] = rows.ravel()
    starts = np.arange(len(rows) + 1) * DIMENSIONS
    return sparse.csr_array((memory.data, memory.indices, starts), shape=rows.shape)


def full_csr(rows):
    return sparse.csr_array(
        (np.ones(rows * DIMENSIONS, np.float32), np.tile(np.arange(DIMENSIONS), rows), np.arange(rows + 1) * 6)
    )


def edits(change):
    def give(texts):
        rows = honest(texts)
        change(texts)
        return rows

    return give


def keeps_and_edits():
    kept = []

    def give(texts):
        rows = honest(texts)
        for earlier in kept:
            earlier[:] = ["edited"] * len(earlier)
        kept.append(texts)
        return rows

    return give


def quietly(make):
    """``make``, without warnings that what it makes is in beta or old."""

    def give(texts):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(texts)

    return give


def sparse_tensor(layout):
    blocks = (1, 2) if layout in (torch.sparse_bsr, torch.sparse_bsc) else None
    return quietly(lambda texts: torch.from_numpy(honest(texts)).to_sparse(layout=layout, blocksize=blocks))


def quantised_tensor(texts):
    return torch.quantize_per_tensor(torch.from_numpy(honest(texts)), 0.25, 0, torch.qint8)


def twice(rows):
    """Each value as two entries of half of it."""
    coo = sparse.coo_array(rows)
    both = [np.concatenate([part, part]) for part in coo.coords]
    return sparse.coo_array((np.concatenate([coo.data, coo.data]) / 2, tuple(both)), shape=rows.shape)


def unsummed(rows):
    """A CSR array with two entries for each value."""
    indices = np.tile(np.repeat(np.arange(DIMENSIONS), 2), len(rows))
    return sparse.csr_array(
        (np.repeat(rows.ravel() / 2, 2), indices, np.arange(len(rows) + 1) * 2 * DIMENSIONS), shape=rows.shape
    )


RIGHT = {
    "one NumPy buffer": lambda: OneBuffer(np.empty((64, DIMENSIONS), np.float32), into_numpy),
    "one float64 buffer": lambda: OneBuffer(np.empty((64, DIMENSIONS)), into_numpy),
    "one torch buffer": lambda: OneBuffer(torch.empty(64, DIMENSIONS), into_torch),
    "one CSR buffer": lambda: OneBuffer(full_csr(64), into_csr),
    "empties the list": lambda: edits(list.clear),
    "sorts the list": lambda: edits(list.sort),
    "puts a prompt before the texts": lambda: edits(lambda texts: texts.__setitem__(slice(None), ["query: "] * len(texts))),
    "keeps and edits the list": keeps_and_edits,
    "a list of lists": lambda: lambda texts: honest(texts).tolist(),
    "a tuple of arrays": lambda: lambda texts: tuple(honest(texts)),
    "a list of tensors": lambda: lambda texts: list(torch.from_numpy(honest(texts))),
    "tensors with gradients": lambda: lambda texts: list(torch.from_numpy(honest(texts)).requires_grad_()),
    "bfloat16": lambda: lambda texts: torch.from_numpy(honest(texts)).bfloat16(),
    "a negated view": lambda: lambda texts: torch.from_numpy(-honest(texts))._neg_view(),
    "a parameter": lambda: lambda texts: torch.nn.Parameter(torch.from_numpy(honest(texts))),
    "a quantised tensor": lambda: quietly(quantised_tensor),
    "sparse COO": lambda: sparse_tensor(torch.sparse_coo),
    "sparse CSR": lambda: sparse_tensor(torch.sparse_csr),
    "sparse CSC": lambda: sparse_tensor(torch.sparse_csc),
    "sparse BSR": lambda: sparse_tensor(torch.sparse_bsr),
    "sparse BSC": lambda: sparse_tensor(torch.sparse_bsc),
    "SciPy COO with entries twice": lambda: lambda texts: twice(honest(texts)),
    "SciPy CSR with entries twice": lambda: lambda texts: unsummed(honest(texts)),
    "SciPy LIL matrix": lambda: lambda texts: sparse.lil_matrix(honest(texts)),
    "np.matrix in columns": lambda: quietly(lambda texts: np.asmatrix(np.asfortranarray(honest(texts)))),
    "a pandas frame": lambda: lambda texts: pd.DataFrame(honest(texts), index=texts[::-1]),
    "a polars frame": lambda: lambda texts: pl.DataFrame(honest(texts)),
    "a pyarrow table": lambda: lambda texts: pa.table({str(i): column for i, column in enumerate(honest(texts).T)}),
    "masked, nothing masked": lambda: lambda texts: np.ma.masked_array(honest(texts)),
    "long doubles": lambda: lambda texts: honest(texts).astype(np.longdouble),
    "a read-only memory view": lambda: lambda texts: memoryview(honest(texts)),
}  # fmt: skip


@pytest.mark.parametrize("form", RIGHT)
def test_forms_that_hold_numbers_are_read_right(encoded, form):
    queries, candidates, right_queries, right_candidates = encoded(RIGHT[form]())
    assert np.array_equal(queries, right_queries)
    assert np.array_equal(candidates, right_candidates)


async def later(texts):
    return honest(texts)


def structured(texts):
    return honest(texts).view([("x", np.float32), ("y", np.float32)])


def masked(texts):
    rows = np.ma.masked_array(honest(texts))
    rows[0, 1] = np.ma.masked
    return rows


def alternating():
    calls = []

    def give(texts):
        calls.append(texts)
        return honest(texts) if len(calls) % 2 else sparse.csr_array(honest(texts))

    return give


def unequal_tensors(texts):
    return [torch.ones(1 + i) for i in range(len(texts))]


def nested(texts):
    return torch.nested.nested_tensor(unequal_tensors(texts), layout=torch.jagged)


def cubes(texts):
    return torch.eye(3).expand(len(texts), 3, 3).to_sparse()


REFUSED = {
    "complex": (lambda texts: honest(texts) * 1j, r"gave a ndarray .*\(complex numbers\)"),
    "complex tensor": (lambda texts: torch.from_numpy(honest(texts)) * 1j, r"gave a Tensor .*\(complex numbers\)"),
    "complex CSR": (lambda texts: sparse.csr_array(honest(texts) * 1j), r"gave a csr_array .*\(complex numbers\)"),
    "objects": (lambda texts: honest(texts).astype(object), r"\(objects\)"),
    "rows of None": (lambda texts: [[None, 1.0]] * len(texts), r"gave a list .*\(objects\)"),
    "a series of arrays": (lambda texts: pd.Series(list(honest(texts))), r"gave a Series .*\(objects\)"),
    "a polars column of lists": (lambda texts: pl.Series(honest(texts).tolist()), r"gave a Series .*\(objects\)"),
    "text": (lambda texts: [["0.1", "0.2"]] * len(texts), r"\(text\)"),
    "JSON": (lambda texts: "[[0.1, 0.2]]", r"gave a str .*\(text\)"),
    "dates": (lambda texts: np.zeros((len(texts), 2), dtype="datetime64[s]"), r"\(dates\)"),
    "structured": (structured, r"\(a structured array\)"),
    "masked": (masked, r"gave a MaskedArray .*\(masked values\)"),
    "meta tensor": (lambda texts: torch.empty(len(texts), 4, device="meta"), r"\(a meta tensor, which has no values\)"),
    "nested tensor": (nested, r"\(a nested tensor"),
    "unequal tensors": (unequal_tensors, "gave a list"),
    "a sparse tensor of three axes": (cubes, r"\(sparse, with 3 axes\)"),
    "token vectors": (lambda texts: torch.zeros(len(texts), 3, 4), "shape 5x3x4"),
    "a generator": (lambda texts: (row for row in honest(texts)), r"gave a generator .*\(objects\)"),
    "a map": (lambda texts: map(np.asarray, honest(texts)), "gave a map"),
    "by text": (lambda texts: dict(zip(texts, honest(texts), strict=True)), "gave a dict"),
    "a set": (lambda texts: {1.0, 2.0}, "gave a set"),
    "nothing": (lambda texts: None, "gave a NoneType"),
    "a number": (lambda texts: 0.5, "shape  for 5 texts"),
    "one vector": (lambda texts: honest(texts)[0], "shape 6 for 5 texts"),
    "columns for rows": (lambda texts: honest(texts).T, "shape 6x5 for 5 texts"),
    "a file": (lambda texts: io.BytesIO(b"vectors"), "gave a BytesIO"),
    "a class": (lambda texts: np.ndarray, "gave a type"),
    "a coroutine": (later, r"gave a coroutine .*without async"),
    "dense and sparse by turns": (alternating(), "gave sparse vectors after dense ones"),
    "NaN in a frame": (lambda texts: pd.DataFrame(honest(texts)).where(lambda x: x > 0), "gave NaN"),
    "too large": (lambda texts: honest(texts).astype(np.float64) * 1e300, "infinite values"),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSED)
def test_everything_else_is_refused_in_one_line(encoded, form):
    give, message = REFUSED[form]
    with pytest.raises(ClirbenchError, match=message) as caught:
        encoded(give)
    assert "\n" not in str(caught.value)
    assert "own/Mine" in str(caught.value)


def test_a_streamed_corpus_is_encoded_in_copies_too(tiny, monkeypatch):
    monkeypatch.setattr("clirbench.evaluation.streaming.first_pass._TEXTS", 5)
    texts = list(tiny().candidates)
    mine = encoder(OneBuffer(np.empty((64, DIMENSIONS), np.float32), into_numpy))
    check = VectorCheck(as_loaded(mine), "candidate", None, refuse_zero=False)
    assert np.array_equal(encode_distinct(mine.encode_candidates, texts, check, Clock()), honest(texts))


def test_scores_in_one_buffer_and_edited_lists(tiny):
    class Own:
        def __init__(self, careless):
            self.careless, self.scores = careless, np.empty((64, 64), np.float32)

        def prepare_candidates(self, texts, languages):
            self.vectors = honest(texts)
            if self.careless:
                texts.clear(), languages.clear()

        def score(self, texts, languages):
            scores = honest(texts) @ self.vectors.T
            if not self.careless:
                return scores
            texts.clear(), languages.clear()
            self.scores[: len(scores), : scores.shape[1]] = scores
            return self.scores[: len(scores), : scores.shape[1]]

    counts = []
    for careless in (True, False):
        counter = encode(as_loaded(Own(careless)), tiny(), RunContext())
        counts.append(counter.count(["multilingual"], RunContext()))
    assert np.array_equal(counts[0].outranked.wrong, counts[1].outranked.wrong)


def test_what_is_returned_is_never_the_model_s_memory():
    rows = honest(["a", "b"])
    for raw in (rows, torch.from_numpy(rows), list(rows)):
        assert not np.shares_memory(as_float32(raw), rows)
    matrix = sparse.csr_array(rows)
    copy = as_float32(matrix)
    assert not np.shares_memory(copy.data, matrix.data)
    assert not np.shares_memory(copy.indices, matrix.indices)


@pytest.mark.parametrize(("dtype", "name"), [(">f4", "float32"), (np.int16, "int16"), (bool, "bool")])
def test_the_dtype_on_record_is_that_of_the_numbers_not_of_their_bytes(tiny, dtype, name):
    mine = encoder(lambda texts: (honest(texts) + 20).astype(dtype))
    assert encode_collection(as_loaded(mine), tiny()).output_dtype == name


def test_one_reason_without_a_model():
    with pytest.raises(NoNumbersError, match=r"not numbers in one shape \(text\): return an array"):
        as_float32(["a"])


def rounded(vectors, precision, **more):
    from sentence_transformers.util.quantization import quantize_embeddings

    return quantize_embeddings(vectors, precision, **more)


@pytest.fixture(scope="module")
def real():
    """Vectors of the bundled trained model of the texts of the demo task."""
    from clirbench.tasks.collection import load_collection
    from clirbench.tasks.task_file import load_task

    collection = load_collection(load_task("demo"))
    texts = sorted({*collection.queries, *collection.candidates})
    return np.asarray(as_loaded("clirbench/hybrid").encoder.encode_queries(texts))


@pytest.mark.parametrize("rows", [16, 60, 500, None])
def test_packed_bits_are_told_from_numbers_of_8_bits(real, rows):
    rng = np.random.default_rng(3)
    tilted = rng.standard_normal((2000, 512)).astype(np.float32) + rng.normal(0, 0.5, 512).astype(np.float32)
    for vectors in (real, rng.standard_normal((2000, 256)).astype(np.float32), tilted):
        some = vectors[rng.permutation(len(vectors))[:rows]]
        assert looks_packed(rounded(some, "binary"))
        assert looks_packed(rounded(some, "ubinary"))
        ranges = np.stack([vectors.min(axis=0), vectors.max(axis=0)])
        for precision in ("int8", "uint8"):
            assert not looks_packed(rounded(some, precision, ranges=ranges))
            # Ranges of these vectors alone, as sentence-transformers takes them by default.
            assert not looks_packed(rounded(some, precision, calibration_embeddings=some))


def test_counts_signs_and_single_bits_are_numbers():
    rng = np.random.default_rng(4)
    for numbers in (
        rng.integers(0, 2, (100, 64), dtype=np.uint8),
        rng.choice(np.array([-1, 1], dtype=np.int8), (100, 64)),
        rng.poisson(3, (100, 64)).astype(np.uint8),
        np.clip(rng.standard_normal((100, 64)) * 40, -128, 127).astype(np.int8),
        np.full((100, 64), 7, dtype=np.int8),
        rng.integers(0, 256, (100, 64)).astype(np.int16),
        rng.integers(0, 256, (4, 64), dtype=np.uint8),
    ):
        assert not looks_packed(numbers)


@pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy, list])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_packed_bits_are_refused_with_the_remedy(tiny, wrap, dtype):
    def give(texts):
        wide = np.random.default_rng(len(texts)).standard_normal((len(texts), 1024))
        return wrap(np.packbits(wide > 0, axis=1).view(dtype))

    with pytest.raises(
        ClirbenchError, match=rf"own/Mine gave {dtype.__name__} vectors that look like packed bits.*np\.unpackbits"
    ):
        encode_collection(as_loaded(encoder(give)), tiny())
