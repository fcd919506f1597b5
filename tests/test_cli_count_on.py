"""`clirbench run --count-on`: where ranks are counted changes no rank, and a result says where."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from command_line import call
from test_cli_streaming import RUN, home, write_vectors  # noqa: F401

from clirbench.encoders.load import as_loaded
from clirbench.evaluation.evaluate import evaluate
from clirbench.ranking import device as device_module
from clirbench.ranking.device import Device
from clirbench.results.result import read_result
from clirbench.support.errors import ClirbenchError


class Opened:
    """Opens the processor by way of torch in the place of every GPU, and notes what was asked for and computed."""

    def __init__(self):
        self.asked, self.products = [], 0

    def __call__(self, name):
        self.asked.append(name)
        there = Device("cpu")
        product = there.product

        def counted(queries, candidates):
            self.products += 1
            return product(queries, candidates)

        there.product, there.name = counted, name
        return there


@pytest.fixture
def opened(monkeypatch):
    made = Opened()
    monkeypatch.setattr(device_module, "Device", made)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU of {device}")
    return made


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_vectors_in_files_are_counted_on_the_first_gpu(home, opened, monkeypatch, dtype):  # noqa: F811
    monkeypatch.chdir(home)
    write_vectors(home, "npy", dtype)
    vectors = ("run", "--vectors", "vectors", *RUN[3:], "--name", "test/slow")
    for place in ("auto", "cpu", "device"):
        ran = call(*vectors, "-o", place, "--count-on", place)
        assert ran.exit_code == 0, ran.exception
        assert bool(opened.products) == (place == "device")
    results = {
        place: read_result(home / place / "test__slow" / "tiny-miracl.json") for place in ("auto", "cpu", "device")
    }
    assert results["device"].document.environment.counted_on == "cuda:0 (GPU of cuda:0)"
    assert results["auto"].document.environment.counted_on is None
    ranks = [(home / place / "test__slow" / "tiny-miracl.ranks.parquet").read_bytes() for place in results]
    assert ranks[0] == ranks[1] == ranks[2]
    # A file of best passages is found in memory, wherever the ranks are counted.
    tops = []
    for place in ("cpu", "device"):
        assert call(*vectors, "-o", f"top-{place}", "--count-on", place, "--save-top", "3").exit_code == 0
        tops.append((home / f"top-{place}" / "test__slow" / "tiny-miracl.sw.trec").read_bytes())
    assert tops[0] == tops[1]
    assert tops[0]


class Continuous:
    """A vector for each text, without a model."""

    name, revision = "test/continuous", "1"

    def encode_queries(self, texts):
        rows = [np.random.default_rng(list(text.encode())).standard_normal(12) for text in texts]
        return np.array(rows, dtype=np.float32)

    encode_candidates = encode_queries


@pytest.mark.parametrize("settings", [None, ["monolingual"]])
def test_a_task_in_memory_is_counted_on_the_gpu_of_the_encoder(opened, settings):
    model = replace(as_loaded(Continuous()), device="cuda:1")
    there = evaluate(model, "demo", settings=settings)
    assert (opened.asked, opened.products > 0) == (["cuda:1"], True)
    assert there.document.environment.counted_on == "cuda:1 (GPU of cuda:1)"
    opened.asked.clear()
    here = evaluate(model, "demo", settings=settings, count_on="cpu")
    assert opened.asked == []
    assert here.document.environment.counted_on is None
    for column in ("own_rank", "pool_rank", "query_language_above"):
        assert np.array_equal(getattr(there.ranks, column), getattr(here.ranks, column))
    assert there.document.headline == here.document.headline
    assert there.document.queue_jump == here.document.queue_jump


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--count-on", "gpu"), "--count-on is 'gpu': use auto, cpu, device"),
        (("--count-on", "device"), "--count-on device needs an encoder on a GPU, and clirbench/hybrid is on cpu"),
        (
            ("--count-on", "device", "--model", "clirbench/bm25"),
            "compares vectors, and clirbench/bm25 has none: leave it out",
        ),
    ],
)
def test_a_mistake_is_one_line(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    ran = call("run", "--tasks", "demo", *arguments)
    assert isinstance(ran.exception, ClirbenchError)
    assert message in str(ran.exception)
    assert not (tmp_path / "results").exists()
