"""README's sections on other people's tools: their commands and code, run as a reader would type them."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import clirbench

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title):
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def commands(title):
    """The clirbench commands of a section's bash blocks."""
    blocks = re.findall(r"```bash\n(.*?)```", section(title), re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("clirbench ")]


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(line, code=0):
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", *shlex.split(line)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"},
        )
        assert ran.returncode == code, ran.stderr
        return ran

    return run


def as_demo(line, **changes):
    """A command of README on what is here: the demo set in the place of the large tasks."""
    for old, new in {"xquad-r": "demo", "me__model": "clirbench__hybrid", **changes}.items():
        line = line.replace(old, new)
    return line


def test_the_tutorial_from_ten_questions_to_a_result(shell, tmp_path):
    init, run = commands("Your own data")
    shell(init)
    shell(run)
    code = re.search(r"<!-- tutorial -->\n```python\n(.*?)```", README, re.DOTALL)[1]
    exec(compile(code, "README.md", "exec"), {})  # the block as it stands
    told = shell(run.replace("run ", "run --output results-2 "))
    result = clirbench.read_result(tmp_path / "results-2" / "clirbench__hybrid" / "my-faq.json")
    assert result.document.counts.topics == 10
    assert result.document.task.languages == ["en", "de", "es"]
    assert result.document.counts.candidates == {"en": 10, "de": 10, "es": 10}
    assert result.score("bias", "rank_distance") is not None
    assert "my-faq" in told.stdout


def test_models_that_are_not_one_vector_per_text(shell):
    for line in commands("Models that are not one vector per text"):
        if "clirbench/bm25" in line:
            tasks = "" if "--tasks" in line else "--tasks demo"
            shell(f"{line} {tasks} --languages en,de")
    code = re.search(r"```python\n(class MyScorer.*?)```", README, re.DOTALL)[1]
    names = {}
    exec(code, names)
    from clirbench.encoders.base import LoadedScorer
    from clirbench.encoders.load import as_loaded

    assert isinstance(as_loaded(names["MyScorer"]()), LoadedScorer)


def test_gate_card_inspect_export_doctor(shell, tmp_path):
    for folder in ("new", "old", "results"):
        shell(f"clirbench run --output {folder}")
    (gate,) = commands("A gate for continuous integration")
    assert "pass" in shell(as_demo(gate)).stdout
    (inspect,) = commands("What outranked the answer")
    assert "gold" in shell(as_demo(inspect).replace("--worst 20", "--worst 3")).stdout
    show, update = commands("In a training with sentence-transformers")
    assert "model-index:" in shell(as_demo(show)).stdout
    shell(as_demo(update, **{"path/to/model/README.md": "README.md", "path/to/README.md": "README.md"}))
    assert "clirbench/demo" in (tmp_path / "README.md").read_text(encoding="utf-8")
    export, _ = commands("With mteb")
    assert "ClirbenchDemoMultilingual.json" in shell(as_demo(export)).stdout
    shell("clirbench doctor --offline")


def test_the_notebook_block(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", section("In a notebook"), re.DOTALL)[1]
    names = {"clirbench": clirbench}
    exec(code, names)
    assert len(names["result"].hardest(10)) == 10


def test_python_blocks_of_the_integrations_name_what_there_is():
    for title in ("With mteb", "In a training with sentence-transformers"):
        blocks = re.findall(r"```python\n(.*?)```", section(title), re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines() if line.startswith("from clirbench")]
        assert lines
        for line in lines:
            exec(line, {})
