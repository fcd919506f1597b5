"""The recipes of docs/contributing, carried out in a copy of the checkout: files are made and changed, commands are run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / "docs" / "contributing").glob("add-*.md"))
BLOCK = re.compile(r"^```(\w+)(?: title=\"(.*?)\")?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    for name in ("clirbench", "tasks", "tests", "site"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    for name in ("pyproject.toml", "CHANGELOG.md", "README.md"):
        shutil.copy(ROOT / name, folder)
    return folder


def run(line, checkout):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "CLIRBENCH"))}
    environment |= {"PYTHONPATH": str(checkout), "CLIRBENCH_CACHE": str(checkout / "cache"), "COLUMNS": "200"}
    words = shlex.split(line)
    command = words[1:] if words[0] == "python" else ["-m", *words]
    ran = subprocess.run(
        [sys.executable, *command], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"{line}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def change(path, diff):
    lines = diff.splitlines(keepends=True)
    assert all(line[0] in " +-\n" for line in lines), diff
    before = "".join(line[1:] or "\n" for line in lines if line[0] != "+")
    after = "".join(line[1:] or "\n" for line in lines if line[0] != "-")
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{path.name} does not hold once:\n{before}"
    path.write_text(text.replace(before, after), encoding="utf-8")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_changes_of_a_recipe_fit_the_code_of_today(recipe, tmp_path):
    for kind, title, text in BLOCK.findall(recipe.read_text(encoding="utf-8")):
        if kind == "diff":
            copy = tmp_path / title
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.exists():
                shutil.copy(ROOT / title, copy)
            change(copy, text)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_does_what_it_says(recipe, checkout):
    said = ""
    kinds = set()
    for kind, title, text in BLOCK.findall(recipe.read_text(encoding="utf-8")):
        kinds.add(kind)
        if kind == "diff":
            change(checkout / title, text)
        elif kind == "bash":
            said = "".join(run(line, checkout) for line in text.splitlines())
        elif kind == "text":
            assert [line for line in text.splitlines() if line not in said] == [], said
        else:
            path = checkout / title
            assert title, f"{recipe.name}: a {kind} block without a title"
            assert not path.exists()
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    assert kinds >= {"diff", "bash", "text"}


def test_there_are_four_recipes():
    assert [path.stem for path in RECIPES] == ["add-a-metric", "add-a-task", "add-a-transform", "add-an-encoder"]
