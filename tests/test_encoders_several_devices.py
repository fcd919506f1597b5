"""`--device cpu,cpu`: a process for each device, with the order, the cache and the ranks of one device."""

import os

import numpy as np
import pytest
from command_line import call
from tiny_models import sparse_model, unigram_model

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import load_encoder
from clirbench.encoders.several_devices import DevicePool
from clirbench.results.result import read_result
from clirbench.support.errors import ClirbenchError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A transformer in a folder."""
    place = tmp_path_factory.mktemp("model")
    unigram_model(place / "parts").save(str(place / "tiny"))
    return place / "tiny"


@pytest.mark.slow
def test_two_processes_give_the_vectors_the_cache_and_the_ranks_of_one(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIRBENCH_CACHE", str(tmp_path / "cache"))
    run = ("run", "--model", folder, "--tasks", "demo", "--name", "test/tiny")

    def result(place, *options):
        ran = call(*run, "-o", place, *options)
        assert ran.exit_code == 0, ran.exception
        return read_result(tmp_path / place / "test__tiny" / "demo.json")

    one, two = result("one", "--device", "cpu", "--no-cache"), result("two", "--device", "cpu,cpu")
    assert (one.document.environment.device, two.document.environment.device) == ("cpu", "cpu, cpu")
    assert two.document.cost.texts_encoded == one.document.cost.texts_encoded > 0
    for column in ("own_rank", "pool_rank"):
        assert np.array_equal(getattr(one.ranks, column), getattr(two.ranks, column))
    # One device finds what several have kept, so texts, order and model are those of the same entry.
    assert result("kept", "--device", "cpu").document.cost.texts_encoded == 0


@pytest.mark.slow
def test_vectors_come_back_in_the_order_of_the_texts(folder):
    texts = [f"{'abc ' * (i % 7)}word {i}" for i in range(75)]
    one, two = (
        load_encoder(str(folder), EncoderOptions(device=device, batch_size=8)).encoder for device in ("cpu", "cpu,cpu")
    )
    for encode in ("encode_queries", "encode_candidates"):
        vectors = [np.asarray(getattr(encoder, encode)(texts)) for encoder in (one, two)]
        assert np.allclose(*vectors, atol=1e-6)
        assert not np.allclose(vectors[0][:-1], vectors[0][1:], atol=1e-3)
    assert np.asarray(two.encode_queries([])).shape[0] == 0


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cpu,nowhere", "there is no device 'nowhere' here: correct --device cpu,nowhere, or leave it out"),
        ("cpu,cuda:99", "there is no device 'cuda:99' here"),
        ("cpu,", "--device is 'cpu,': give names of devices separated by commas"),
        ("nowhere", "there is no device 'nowhere' here"),
    ],
)
def test_a_device_that_is_not_there_is_one_line(folder, device, message):
    with pytest.raises(ClirbenchError, match=message.replace("(", r"\(")) as raised:
        load_encoder(str(folder), EncoderOptions(device=device))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "name",
    [
        "clirbench/hybrid",
        "mteb:intfloat/multilingual-e5-small",
        "rrf:clirbench/bm25+clirbench/hybrid",
        "rerank:a/b+c/d",
    ],
)
def test_models_that_encode_on_one_device_say_so(name):
    with pytest.raises(ClirbenchError, match=r"--device names 2 devices, and a .* encodes on one: name one"):
        load_encoder(name, EncoderOptions(device="cpu,cpu"))


def test_a_sparse_model_encodes_on_one_device(tmp_path):
    with pytest.raises(ClirbenchError, match="--device names 2 devices, and a sparse model encodes on one"):
        load_encoder(str(sparse_model(tmp_path)), EncoderOptions(device="cpu,cpu"))


def test_ray_workers_take_one_device_each(tmp_path):
    ran = call("run", "--model", "a/b", "--tasks", "miracl", "--engine", "ray", "--device", "cuda:0,cuda:1")
    assert "--device names 2 devices, and each Ray worker encodes on one" in str(ran.exception)


class Model:
    """Notes what a pool asks of a model."""

    def __init__(self, error=None):
        self.error, self.started, self.stopped, self.threads = error, [], [], None

    def start_multi_process_pool(self, devices):
        self.started.append(devices)
        self.threads = os.environ.get("OMP_NUM_THREADS")
        return "a pool"

    def stop_multi_process_pool(self, pool):
        self.stopped.append(pool)

    def encode(self, texts, **arguments):
        if self.error:
            raise self.error
        return texts, arguments


def test_a_pool_starts_once_and_ends_with_its_encoder(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    model = Model()
    pool = DevicePool(model, ["cuda:0", "cuda:1", "cuda:2"])
    assert model.started == []
    assert pool.encode(model.encode, ["a"] * 50, 32)[1] == {"batch_size": 32, "pool": "a pool", "chunk_size": 17}
    assert pool.encode(model.encode, ["a"] * 500, 32)[1]["chunk_size"] == 32
    assert (model.started, model.stopped) == ([["cuda:0", "cuda:1", "cuda:2"]], [])
    del pool
    assert model.stopped == ["a pool"]
    assert model.threads == "7"


def test_processes_share_the_cores_of_the_processor(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    for devices, threads in ((["cpu", "cpu"], "3"), (["cpu"] * 9, "1"), (["cuda:0", "cuda:1"], None)):
        model = Model()
        DevicePool(model, devices).encode(model.encode, ["a"], 32)
        assert model.threads == threads
        assert "OMP_NUM_THREADS" not in os.environ


def test_a_process_that_dies_is_one_line():
    model = Model(RuntimeError("1 multi-process pool worker(s) died unexpectedly: pid 7 (exit code -9)."))
    with pytest.raises(
        ClirbenchError, match=r"a process of --device cpu,cpu has died \(1 multi.*lower --batch-size, or name"
    ):
        DevicePool(model, ["cpu", "cpu"]).encode(model.encode, ["a"], 32)
    model = Model(RuntimeError("something of the model"))
    with pytest.raises(RuntimeError, match="something of the model"):
        DevicePool(model, ["cpu", "cpu"]).encode(model.encode, ["a"], 32)
