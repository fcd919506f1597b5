"""Memory: the line at the end of a run, and vectors that are held once."""

import tracemalloc

import numpy as np
import pytest
from command_line import call
from scipy import sparse

import clirbench
from clirbench.encoders import encode, same_vectors, transforms, vectors
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import as_loaded
from clirbench.support import memory as module
from clirbench.support.context import RunContext
from clirbench.support.memory import MemoryOfRun


@pytest.fixture
def sizes(monkeypatch):
    """Sets what the process says of itself."""

    def say(resident, peak):
        monkeypatch.setattr(module, "resident_memory", lambda: resident)
        monkeypatch.setattr(module, "peak_memory", lambda: peak)

    return say


def test_the_peak_is_split_into_model_vectors_and_the_rest(sizes):
    memory = MemoryOfRun()
    sizes(500_000_000, 600_000_000)
    memory.loaded()
    memory.holds(np.zeros((10, 5), dtype=np.float32), np.zeros((20, 5), dtype=np.float32))
    memory.holds(np.zeros((100_000, 500), dtype=np.float32), np.zeros((50_000, 500), dtype=np.float32))
    sizes(0, 1_200_000_000)
    said = "peak memory 1.2 GB: program and model 500 MB, vectors 300 MB, the rest 400 MB"
    assert memory.line() == said
    # A smaller task after the largest one changes nothing.
    memory.holds(np.zeros((10, 5), dtype=np.float32))
    assert memory.line() == said


def test_a_peak_before_the_run_is_said_to_be_that(sizes):
    memory = MemoryOfRun()
    sizes(500_000_000, 900_000_000)
    memory.loaded()
    assert memory.line() == "peak memory 900 MB, while the model was loaded"


def test_what_the_system_does_not_say_is_not_said(sizes):
    memory = MemoryOfRun()
    sizes(None, 900_000_000)
    memory.loaded()
    assert memory.line() == "peak memory 900 MB"
    sizes(None, None)
    assert memory.line() is None


def test_sparse_vectors_are_their_three_arrays():
    memory, array = MemoryOfRun(), sparse.csr_array(np.eye(4, dtype=np.float32))
    memory.holds(array)
    assert memory.vectors == array.data.nbytes + array.indices.nbytes + array.indptr.nbytes


def test_a_run_ends_with_its_memory(tmp_path):
    ran = call("run", "--tasks", "demo", "--languages", "en,de", "--output", tmp_path)
    assert ran.exit_code == 0
    assert "peak memory " in ran.stderr
    again = call("run", "--tasks", "demo", "--languages", "en,de", "--output", tmp_path)
    # Nothing was computed.
    assert "peak memory " not in again.stderr


class Wide:
    def encode_queries(self, texts):
        rows = [np.random.default_rng(len(text) * 31 + ord(text[-1])).standard_normal(2048) for text in texts]
        return np.float32(rows)

    encode_candidates = encode_queries


@pytest.mark.parametrize("transform", [None, "center", "lir:2", "lsar:2"])
def test_no_step_holds_the_vectors_twice(monkeypatch, transform):
    for part in (vectors, same_vectors, transforms):
        monkeypatch.setattr(part, "_AT_A_TIME", 32)
    monkeypatch.setattr(encode, "TEXTS_PER_SHARD", 32)
    # Products of texts are taken out: they have their own size, (dimensions, dimensions), whatever the number of texts.
    monkeypatch.setattr(transforms, "_principal", lambda sample, rank: np.eye(2048, rank, dtype=np.float32))
    collection = clirbench.tasks.collection.load_collection(clirbench.load_task("demo"))
    model = as_loaded(Wide(), EncoderOptions(transform=transform))
    tracemalloc.start()
    encoded = encode.encode_collection(model, collection, RunContext())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    held = encoded.queries.nbytes + encoded.candidates.nbytes
    larger = max(encoded.queries.nbytes, encoded.candidates.nbytes)
    # Both roles, and one of them again while its texts are put in order. A second copy of all would be twice as much.
    assert peak < held + larger + 4e6 < 2 * held


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scaling_in_place_gives_the_same_numbers(dtype):
    rows = np.random.default_rng(0).standard_normal((3000, 7)).astype(np.float32)
    rows[5] = 0
    expected = rows / np.maximum(np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1)), 1e-300)[:, None]
    copy = vectors.normalised(rows.astype(dtype))
    assert copy.dtype == np.float32
    assert np.allclose(copy, expected, atol=1e-7)
    own = rows.copy()
    assert vectors.normalised(own, in_place=True) is own
    assert np.array_equal(own, vectors.normalised(rows))
