"""Hostile encoders and scorers: the ranks of the vectors that they mean, or one line; never other ranks in silence."""

import os
import re
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from attacks.encoders import ATTACKS, DECLARED, Encoder, honest
from command_line import clir
from conftest import tiny_collection

import clirbench
from clirbench.encoders import encode as encode_module
from clirbench.encoders.load import as_loaded
from clirbench.ranking.counters import encode
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError, ModelError

TESTS = Path(__file__).resolve().parent


@pytest.fixture(autouse=True)
def _restored(monkeypatch, tmp_path):
    """Batches of five texts, and everything as it was before that an attack may change."""
    monkeypatch.setattr(encode_module, "TEXTS_PER_SHARD", 5)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIRBENCH_CACHE", str(tmp_path / "cache"))
    errors, digits, threads, grad = np.geterr(), np.get_printoptions(), torch.get_num_threads(), torch.is_grad_enabled()
    yield
    np.seterr(**errors)
    np.set_printoptions(**digits)
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(threads)
    torch.set_grad_enabled(grad)


def counted(model, allow_zero=True):
    """How many candidates outrank each gold pair, by the languages of the candidates."""
    context = RunContext(allow_zero=allow_zero)
    return encode(model, tiny_collection(), context).count(["multilingual"], context).outranked.wrong.tolist()


@pytest.mark.parametrize("name", ATTACKS)
def test_an_odd_model_has_the_ranks_that_it_means_or_is_refused_in_one_line(name):
    attack = ATTACKS[name]
    if not attack.line:
        assert counted(as_loaded(attack.make())) == counted(as_loaded(Encoder(attack.like)))
        return
    # An odd word of the model about itself is refused before anything is encoded.
    model = attack.make() if attack.early else as_loaded(attack.make())
    with pytest.raises(ClirbenchError) as error:
        as_loaded(model) if attack.early else counted(model, allow_zero="all-zero" not in attack.line)
    line = str(error.value)
    assert re.search(attack.line, line)
    assert line.isprintable()
    assert len(line) < 700
    assert "pydantic" not in line
    assert isinstance(error.value, ModelError) == attack.cause
    if attack.cause:
        # Its traceback ends in the model's code.
        files = [
            Path(frame.filename).parent.name for frame in traceback.extract_tb(error.value.__cause__.__traceback__)
        ]
        # A call with the wrong number of arguments never enters it.
        assert files[-1:] in (["attacks"], [])


@pytest.mark.parametrize("name", [name for name, attack in DECLARED.items() if not attack.line])
def test_what_is_taken_is_what_a_result_can_record(name, tmp_path):
    result = clirbench.evaluate(DECLARED[name].make(), "demo", languages=["en", "de"])
    assert result.save(tmp_path / "results").is_file()
    assert result.document.model.name in ("me/x", "me/b", "own/Encoder")


PROCESSES = {
    "sys.exit": 2,
    "recursion without end": 2,
    "CSR with a negative column": 2,
    "a similarity that fails": 2,
    "a revision of 5,000 digits": 2,
    "writes to the error stream": 0,
}


@pytest.mark.parametrize("name", PROCESSES)
def test_the_real_command_ends_with_one_line(name, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import os\nfrom attacks.encoders import ATTACKS\ndef make():\n    return ATTACKS[os.environ['ATTACK']].make()\n"
    )
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    command = ("run", "--model", "mine:make", "--tasks", "demo", "--languages", "en,de")
    ended = clir(tmp_path, *command, ATTACK=name, PYTHONPATH=path)
    assert ended.returncode == PROCESSES[name]
    if not ended.returncode:
        assert len(list(tmp_path.rglob("*.ranks.parquet"))) == 1
        return
    attack = ATTACKS[name]
    *above, last = ended.stderr.splitlines()
    assert re.search(attack.line, last)
    assert last.startswith("clirbench: ")
    assert any(line.startswith("Traceback") for line in above) == attack.cause
    assert "clirbench/cli" not in ended.stderr
    assert not list(tmp_path.rglob("*.ranks.parquet"))


def test_ctrl_c_in_an_encoder_is_an_interrupt():
    def give(texts):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        counted(as_loaded(Encoder(give)))


def test_the_attacks_are_many_and_differ():
    assert len(ATTACKS) >= 130
    assert sum(not attack.line for attack in ATTACKS.values()) >= 60
    assert len({attack.line for attack in ATTACKS.values()}) > 60
    # The honest vectors are distinct enough that other vectors would be other ranks.
    ranks = counted(as_loaded(Encoder()))
    assert ranks != counted(as_loaded(Encoder(lambda texts: honest(texts) ** 2)))
    assert sys.getrecursionlimit() >= 1000
