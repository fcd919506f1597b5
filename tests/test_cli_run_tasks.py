"""`clirbench run`: what it says to do next can be pasted, and no two runs save to one place at once."""

import contextlib
import errno
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from command_line import call, clir

from clirbench.support.commands import command
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import only_writer, write_atomically


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with a space in its name."""
    folder = tmp_path / "my folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def done(*arguments):
    ran = call(*arguments)
    assert ran.exit_code == 0, ran.exception
    return ran.stdout


def printed_commands(text):
    """The commands of clirbench in an output, as a shell splits them."""
    parts = [part for line in text.splitlines() for part in line.split("  ") if part.startswith("clirbench ")]
    return [shlex.split(part)[1:] for part in parts]


# ---------------------------------------------------------------------------------------------------------- the next step


@pytest.mark.parametrize("place", ["with space", "it's", "plain", "$HOME", "a;b"])
def test_a_path_in_a_command_comes_back_from_a_shell_as_it_was(place):
    assert shlex.split(command("score", place, "--org", "NAME")) == ["clirbench", "score", place, "--org", "NAME"]


def test_the_tutorial_of_ones_own_data_can_be_pasted_from_what_is_printed(here):
    said = done("init-task", "my-faq", "--languages", "en,de", "-o", "my faq")
    (run,) = printed_commands(said)
    assert run == ["run", "--model", "ORG/NAME", "--tasks", "my faq/my-faq.toml"]
    run[run.index("ORG/NAME")] = "clirbench/hybrid"
    said = done(*run, "-o", "my results")
    (score,) = printed_commands(said)
    assert score == ["score", "my results/clirbench__hybrid/my-faq.json"]
    assert "agree" in done(*score)
    assert "submit" not in said


def test_what_cannot_go_to_the_board_is_refused_with_the_reason(here):
    done("run", "--model", "clirbench/hybrid", "--tasks", "demo")
    with pytest.raises(
        ClirbenchError, match=r"holds results on demo only; own tasks and the demo are not for the board"
    ):
        raise call("submit", "results/clirbench__hybrid", "--org", "me").exception


@pytest.mark.real
def test_a_task_of_the_board_is_offered_for_it_even_beside_ones_own(here, mirror):
    done("init-task", "my-faq", "--languages", "en,de")
    said = done("run", "--model", "clirbench/hybrid", "--tasks", "my-faq/my-faq.toml,mlqa-r", "-o", "my results")
    submit = next(words for words in printed_commands(said) if words[0] == "submit")
    assert submit == ["submit", "my results/clirbench__hybrid", "--org", "NAME"]
    with (
        only_writer(here / "my board" / "NAME__hybrid", "wait"),
        pytest.raises(ClirbenchError, match="NAME__hybrid: another run is writing it"),
    ):
        raise call(*submit, "--submissions", "my board").exception
    said = done(*submit, "--submissions", "my board")
    check = next(words for words in printed_commands(said.replace("next: ", "next:  ")) if words[0] == "check")
    assert "1 of 1 submissions accepted" in done(*check)
    assert "git add 'my board/NAME__hybrid'" in said


def test_a_misspelt_task_file_is_a_file(here):
    done("init-task", "my-faq")
    for given, meant in (("my-faq/my-fqa.toml", "my-faq/my-faq.toml"), ("my-faq.toml", "my-faq/my-faq.toml")):
        with pytest.raises(ClirbenchError, match=rf"no file '{given}' here: did you mean {meant}\?"):
            raise call("run", "--tasks", given).exception
    with pytest.raises(ClirbenchError, match=r"no file 'other\.toml' here: correct the path"):
        raise call("run", "--tasks", "other.toml").exception


# ------------------------------------------------------------------------------------------------- two runs at one place


def test_a_second_run_to_one_place_is_refused_and_the_first_one_saves(here):
    place = here / "results" / "clirbench__hybrid" / "demo.json"
    with only_writer(place, "wait"):
        ran = clir(here, "run")
        assert ran.returncode == 2
        who = f"process {os.getpid()} on {socket.gethostname()}, since 20"
        assert f"results/clirbench__hybrid/demo.json: another run is writing it ({who}" in ran.stderr
        assert "): wait until it has ended, or choose another folder with --output" in ran.stderr
        assert "Traceback" not in ran.stderr
        assert not place.exists()
    assert clir(here, "run").returncode == 0
    with only_writer(place, "wait"):
        # A result that is kept is only read.
        ran = clir(here, "run")
        assert (ran.returncode, "kept results/clirbench__hybrid/demo.json" in ran.stderr) == (0, True)
        assert place.with_name(".demo.json.lock").exists()
    # A run that was killed after it had saved its result leaves its lock.
    for ending in ("lock", "writer"):
        place.with_name(f".demo.json.{ending}").touch()
    assert clir(here, "run").returncode == 0
    assert sorted(path.name for path in place.parent.iterdir()) == ["demo.json", "demo.ranks.parquet"]


@pytest.mark.parametrize("refusal", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock")])
def test_on_a_disk_without_locks_the_run_goes_on_and_says_so(tmp_path, monkeypatch, refusal):
    def refuse(*_, **__):
        raise refusal

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    said = []
    with only_writer(tmp_path / "demo.json", "wait", said.append):
        (tmp_path / "demo.json").write_text("done")
    assert said == [
        f"{tmp_path / 'demo.json'}: its disk has no locks, so nothing stops a second run of the same: start only one"
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["demo.json"]


def test_what_a_killed_run_left_half_written_is_removed_once_nobody_can_be_writing_it(tmp_path):
    place, now = tmp_path / "me__model", time.time()
    place.mkdir()
    for name, age in ((".old.json.0123.part", 90_000), (".new.json.0123.part", 60), ("mine.part", 90_000)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (now - age, now - age))
    (place / ".model.toml.0123.part").touch()
    with only_writer(place, "wait"):
        # The lock is on the folder itself, so nobody else writes there.
        assert list(place.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new.json.0123.part", "me__model", "mine.part"]


def test_a_folder_that_disappears_while_a_run_works_is_made_again(tmp_path):
    place = tmp_path / "out" / "demo.json"
    with only_writer(place, "wait"):
        shutil.rmtree(place.parent)
        write_atomically(place, b"done")
    assert [path.name for path in place.parent.iterdir()] == ["demo.json"]


def test_a_run_that_failed_leaves_no_empty_folder(here):
    (here / "mine").mkdir()
    for folder in ("mine", "results/new"):
        with contextlib.suppress(KeyboardInterrupt), only_writer(here / folder / "demo.json", "wait"):
            raise KeyboardInterrupt
    assert sorted(path.name for path in here.rglob("*")) == ["mine", "results"]
    assert clir(here, "run", "--tasks", "demo", "--languages", "en,de", "--truncate-dim", "9999").returncode == 2
    assert list((here / "results").iterdir()) == []


def test_a_run_that_was_killed_leaves_no_lock(tmp_path):
    place = tmp_path / "result.json"
    script = (
        "import sys\nfrom pathlib import Path\nfrom clirbench.support.files import only_writer\n"
        "with only_writer(Path(sys.argv[1]), 'wait'):\n    print('held', flush=True)\n    sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with contextlib.closing(process.stdin), contextlib.closing(process.stdout):
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ClirbenchError, match="another run is writing it"), only_writer(place, "wait"):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    with only_writer(place, "wait"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_second_training_to_one_place_is_refused(here):
    with (
        only_writer(here / "trained", "wait"),
        pytest.raises(ClirbenchError, match="trained: another run is writing it"),
    ):
        raise call("train", "static.toml", "--data", here, "--output", "trained").exception
