"""The page of promises is the one that its command writes, and every module of attacks states its promise."""

import subprocess
import sys

import pytest
from attacks.promises import HERE, PAGE, ROOT, promises, with_code


def test_the_page_is_what_the_command_writes(tmp_path):
    ran = subprocess.run(
        [sys.executable, HERE / "promises.py", tmp_path / "page.md"],
        capture_output=True, text=True, cwd=ROOT, check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    written = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == written, "run python tests/attacks/promises.py"


def test_every_test_file_of_attacks_stands_on_it():
    stated = {promise.test for promise in promises()}
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").glob("test_attacks_*.py")}
    assert there - {"tests/test_attacks_promises.py"} == stated
    assert all(promise.attacks > 0 for promise in promises())


@pytest.mark.parametrize("promise", promises(), ids=lambda promise: promise.test)
def test_a_promise_is_one_line_that_names_a_module(promise):
    assert promise.what.endswith(".")
    assert not {"\n", "|"} & set(promise.what + promise.stops)
    assert ".py`" in with_code(promise.stops)
