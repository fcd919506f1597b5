"""Habits that a machine can watch: tests that can fail and do not sleep, pinned actions, bytes that no system changes."""

import ast
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

import clirbench

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FAILS = {"raises", "fail", "warns"}


@cache
def functions(path: Path) -> list[ast.FunctionDef]:
    """Every function and method of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def at_hand(path: Path) -> list[Path]:
    """A test file, conftest.py, and the files of the tests that these import, one from the other."""
    files = [path, *path.parent.glob("conftest.py")]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                other = file.parent / f"{node.module}.py"
                files += [other] if other.is_file() and other not in files else []
    return files


def called(node: ast.AST) -> set[str]:
    """Names of what is called in it: ``f`` of ``f(x)`` and of ``module.f(x)``, and of functions that are handed on."""
    names = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            for part in (inner.func, *inner.args):
                names |= {part.attr} if isinstance(part, ast.Attribute) else set()
                names |= {part.id} if isinstance(part, ast.Name) else set()
    return names


def that_assert_nothing(folder: Path) -> list[str]:
    """Tests without an assert, a pytest.raises or a call of a function of the tests that has one."""
    silent = []
    for path in sorted(folder.glob("test_*.py")):
        known = [function for file in at_hand(path) for function in functions(file)]
        fails = {f.name for f in known if any(isinstance(inner, ast.Assert) for inner in ast.walk(f))} | FAILS
        while more := {f.name for f in known if called(f) & fails} - fails:
            fails |= more
        tests = [function.name for function in functions(path) if function.name.startswith("test_")]
        silent += [f"{path.name}: {name}" for name in tests if name not in fails]
    return silent


def test_every_test_can_fail():
    assert that_assert_nothing(ROOT / "tests") == []


def test_a_test_that_asserts_nothing_is_seen(tmp_path):
    (tmp_path / "test_x.py").write_text(
        "def same(a, b):\n    assert a == b\n"
        "def test_with_a_helper():\n    same(1, 1)\n"
        "def test_without():\n    print(1)\n",
        encoding="utf-8",
    )
    assert that_assert_nothing(tmp_path) == ["test_x.py: test_without"]


def test_no_test_sleeps():
    # Encoders in strings may be slow: they are what is tested, not what waits.
    files = sorted((ROOT / "tests").glob("*.py"))
    assert [f"{path.name}: {f.name}" for path in files for f in functions(path) if "sleep" in called(f)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_hash_and_say_their_version(path):
    text = path.read_text(encoding="utf-8")
    uses = re.findall(r"uses: *(.*)", text)
    assert uses
    for line in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line
    # Nobody's token is left in the checkout, and no job may write what it need not.
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")
    assert yaml.safe_load(text)["permissions"]["contents"] == "read"


def test_git_changes_no_byte_that_a_checksum_covers():
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    covered = [
        "tasks/demo/en.jsonl",
        "tasks/demo.toml",
        "submissions/clirbench__hybrid/xquad-r.json",
        "submissions/clirbench__hybrid/xquad-r.ranks.parquet",
        "clirbench/training/recipes/static.toml",
        "clirbench/encoders/models/hybrid/tokenizer.json",
    ]
    assert all((ROOT / path).is_file() for path in covered)
    said = subprocess.run(
        ["git", "check-attr", "text", "--", *covered], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert said.splitlines() == [f"{path}: text: unset" for path in covered]


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == clirbench.__version__
    assert cited["license"] == "Apache-2.0"
