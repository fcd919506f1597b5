"""What readers paste: every command that a page gives is a command, and those that need no network give the stated ranks."""

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import typer

from clirbench.board.entries import read_entry
from clirbench.board.site.model_page import command
from clirbench.cli import app
from clirbench.results.read import read_document
from clirbench.results.result import read_result

ROOT = Path(__file__).resolve().parent.parent
SUBMISSIONS = ROOT / "submissions"
MEASURED = sorted(
    (path.parent.name, path.name.removesuffix(".ranks.parquet")) for path in SUBMISSIONS.glob("*/*.ranks.parquet")
)
# A word in capitals stands for something else, as FOLDER and ORG/MODEL do.
PLACEHOLDER = re.compile(r"[A-Z]{3,}")
# Bundled models whose whole run takes seconds. A page of a transform pastes the same way.
QUICK = ("clirbench__hybrid", "clirbench__hybrid+center", "clirbench__char-ngram")


@cache
def pasted(name, task):
    """The lines that the page of a model gives for a task."""
    reproduce = read_entry(SUBMISSIONS / name).model.reproduce
    line = command(read_document(SUBMISSIONS / name / f"{task}.json"), reproduce.model if reproduce else None)
    return [*(reproduce.commands.strip().splitlines() if reproduce else []), line]


def parse(words):
    """Let clirbench's own parser read a command without running it; a word that it does not know is an error."""
    inner, rest = typer.main.get_command(app), list(words)
    while hasattr(inner, "commands"):
        inner, rest = inner.commands[rest[0]], rest[1:]
    return inner.make_context(words[0], rest).params


@pytest.mark.parametrize(("name", "task"), MEASURED)
def test_no_command_holds_a_word_for_something_else(name, task):
    for line in pasted(name, task):
        words = shlex.split(line, comments=True)
        assert not [word for word in words if PLACEHOLDER.fullmatch(word) or "ORG/" in word], line


@pytest.mark.parametrize(("name", "task"), MEASURED)
def test_every_clirbench_command_is_read_by_the_command_line(name, task):
    lines = [shlex.split(line, comments=True) for line in pasted(name, task)]
    ours = [words[1:] for words in lines if words and words[0] == "clirbench"]
    assert ours[-1][0] == "run"
    for words in ours:
        params = parse(words)
        assert params
    document = read_document(SUBMISSIONS / name / f"{task}.json")
    assert parse(ours[-1])["tasks"] == task
    assert parse(ours[-1])["transform"] == document.encoder.transform


def test_a_command_with_an_unknown_word_is_seen():
    with pytest.raises(Exception, match="no-such-option"):
        parse(["run", "--model", "clirbench/hybrid", "--no-such-option"])


@pytest.mark.parametrize(("name", "task"), MEASURED)
def test_the_lines_are_a_script_that_a_shell_reads(name, task):
    done = subprocess.run(
        ["bash", "-n"], input="\n".join(pasted(name, task)), text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_that_needs_a_folder_of_the_reader_says_which(tmp_path):
    (line,) = [line for line in pasted("clirbench__mono", "xquad-r") if "clirbench train" in line]
    environment = {key: value for key, value in os.environ.items() if key != "TRAIN"}
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode != 0
    assert "TRAIN: set it to the folder of the training data" in done.stderr


def front_page():
    """The lines under "Add your model"."""
    text = (ROOT / "site" / "templates" / "index.html").read_text(encoding="utf-8")
    return re.search(r'<pre id="run-lines"[^>]*>(.*?)</pre>', text, re.DOTALL)[1].splitlines()


def paste(lines, folder):
    """Give lines to a shell whose clirbench is the one that runs the tests."""
    shim = folder / "bin" / "clirbench"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m clirbench "$@"\n', encoding="utf-8")
    shim.chmod(0o755)
    environment = {**os.environ, "PATH": f"{shim.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-ec", "\n".join(lines)], stdin=subprocess.DEVNULL, text=True, capture_output=True, cwd=folder,
        env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-800:]


@pytest.mark.slow
@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize("name", QUICK)
def test_what_runs_without_a_network_runs_when_pasted(name, tmp_path):
    task = "mlqa-r"
    paste(pasted(name, task), tmp_path)
    (made,) = (tmp_path / "results").glob(f"*/{task}.json")
    stated = read_result(SUBMISSIONS / name / f"{task}.json").document.headline["multilingual"]
    made = read_result(made).document.headline["multilingual"]
    # Another order of a sum moves the last digit.
    assert {name: one.value for name, one in made.items()} == pytest.approx(
        {name: one.value for name, one in stated.items()}
    )


@pytest.mark.slow
@pytest.mark.usefixtures("mirror")
def test_the_lines_of_the_front_page_run_when_pasted(tmp_path):
    paste(front_page(), tmp_path)
    assert (tmp_path / "submissions" / "me__hybrid" / "mlqa-r.json").is_file()


def test_the_lines_of_the_front_page_are_commands():
    assert [parse(shlex.split(line)[1:]).get("model") for line in front_page()] == ["clirbench/hybrid", None, None]
    assert not any(PLACEHOLDER.search(line) for line in front_page())
