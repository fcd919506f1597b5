"""Workers of a command that was killed."""

import subprocess
import sys

import pytest

PARENT = """
import multiprocessing, sys, time
from concurrent.futures import ProcessPoolExecutor
from clirbench.support.processes import end_with_parent

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=end_with_parent)
    pool.submit(print, "ready", flush=True).result()
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no kill -9 here")
def test_a_worker_ends_with_a_parent_that_was_killed(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT, encoding="utf-8")
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout.readline() == "ready\n"
    parent.kill()
    parent.wait()
    # The worker has inherited the pipe: it ends when the worker does.
    assert parent.communicate(timeout=60)[0] == ""
