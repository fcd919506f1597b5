"""What a model raises: one line where a remedy is known, else its own traceback and the texts that it was given."""

import traceback

import numpy as np
import pytest
from command_line import clir

from clirbench.encoders import encode as encode_module
from clirbench.encoders.base import ModelInfo
from clirbench.encoders.calls import ask, is_out_of_memory
from clirbench.encoders.load import as_loaded
from clirbench.ranking.counters import encode
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError, ModelError

LIBRARY = ModelInfo("org/model", "sentence-transformers", "1", "hub-commit")
OWN = ModelInfo("me/model", "own", "1", "declared")


def failing(error):
    def method(texts):
        raise error

    return method


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((10**6, 10**6), np.dtype("float32")),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB, max allowed: 9.07 GB)."),
        RuntimeError("XPU out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9663676416 bytes."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("Failed to allocate memory for requested buffer of size 9663676416"),
        RuntimeError("std::bad_alloc"),
        OSError(12, "Cannot allocate memory"),
    ],
    ids=lambda error: str(error)[:30] or "MemoryError",
)  # fmt: skip
def test_out_of_memory_by_any_name_is_one_line(error):
    assert is_out_of_memory(error)
    for model, remedy in (
        (LIBRARY, r"lower --batch-size or --max-length$"),
        (OWN, "fewer texts at a time in your own code"),
    ):
        with pytest.raises(ClirbenchError, match=rf"out of memory .*{remedy}") as caught:
            ask(model, "query", ["a"], failing(error), ["a"])
        assert not isinstance(caught.value, ModelError)


@pytest.mark.parametrize(
    "text", ["shapes (2,3) and (4,5) not aligned", "memory format is channels_last", "no allocator"]
)
def test_other_errors_are_not_about_memory(text):
    assert not is_out_of_memory(RuntimeError(text))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("Unsupported task 'query': use retrieval.query or retrieval.passage"),
        ValueError(
            "Task must be specified before encoding data. You can set it either during loading or as an argument"
        ),
        TypeError("encode() missing 1 required keyword-only argument: 'task'"),
        KeyError("no task given"),
    ],
)
def test_a_model_that_wants_a_task(error):
    with pytest.raises(ClirbenchError, match=r"org/model wants a task .*: pass --encode-task"):
        ask(LIBRARY, "query", ["a"], failing(error), ["a"])
    with pytest.raises(ModelError):
        ask(OWN, "query", ["a"], failing(error), ["a"])


def test_a_message_for_the_user_passes(tiny):
    with pytest.raises(ClirbenchError, match=r"^the API failed 5 times$"):
        ask(LIBRARY, "query", ["a"], failing(ClirbenchError("the API failed 5 times")), ["a"])


class Fails:
    revision = "1"

    def __init__(self, fails):
        self.fails, self.encoded = fails, []

    def encode_queries(self, texts):
        if self.fails and "de gold 1" in texts:
            return {}["a key of mine"]
        self.encoded += texts
        return np.random.default_rng(0).standard_normal((len(texts), 4)) + 9

    encode_candidates = encode_queries


def test_what_was_encoded_before_is_kept_and_the_traceback_begins_in_the_user_s_code(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(encode_module, "TEXTS_PER_SHARD", 5)
    context = RunContext(vectors=tmp_path)
    first, second = Fails(True), Fails(False)
    with pytest.raises(
        ModelError, match=r"own/Fails raised KeyError .* 5 texts \(each a candidate, the first '.. wrong"
    ) as caught:
        encode_module.encode_collection(as_loaded(first), tiny(), context)
    frames = traceback.extract_tb(caught.value.__cause__.__traceback__)
    assert [frame.name for frame in frames] == ["encode_queries"]
    again = encode_module.encode_collection(as_loaded(second), tiny(), context)
    assert first.encoded
    # One text of each role is encoded again, to see that the cache still holds the encoder's vectors.
    assert len(set(first.encoded) & set(second.encoded)) <= 2
    assert again.texts - again.encoded == len(first.encoded)


@pytest.mark.parametrize("method", ["prepare_candidates", "score"])
def test_a_scorer_that_fails(tiny, method):
    class Scorer:
        def prepare_candidates(self, texts, languages):
            self.count = len(texts)

        def score(self, texts, languages):
            return np.zeros((len(texts), self.count))

    setattr(Scorer, method, lambda self, texts, languages: 1 / 0)
    with pytest.raises(ModelError, match="own/Scorer raised ZeroDivisionError"):
        encode(as_loaded(Scorer()), tiny(), RunContext()).count(["multilingual"], RunContext())


def test_the_command_line_shows_the_traceback_of_an_encoder_and_one_line(tmp_path):
    (tmp_path / "mine.py").write_text(
        "class Mine:\n"
        "    def encode_queries(self, texts):\n"
        "        return self.lookup(texts)\n"
        "    encode_candidates = encode_queries\n"
        "    def lookup(self, texts):\n"
        "        raise ValueError('my reason')\n"
        "def make():\n"
        "    return Mine()\n"
        "def broken():\n"
        "    raise ValueError('cannot be made')\n"
    )
    ended = clir(tmp_path, "run", "--model", "mine:make", "--tasks", "demo", "--languages", "en,de")
    assert ended.returncode == 2
    assert "in lookup" in ended.stderr
    assert "ValueError: my reason" in ended.stderr
    assert "clirbench/cli" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(
        "clirbench: own/mine.make raised ValueError (my reason) when it was given"
    )
    ended = clir(tmp_path, "run", "--model", "mine:broken", "--tasks", "demo")
    assert ended.returncode == 2
    assert "in broken" in ended.stderr
    assert (
        ended.stderr.splitlines()[-1]
        == "clirbench: mine:broken() raised ValueError (cannot be made): mend it and run again"
    )
