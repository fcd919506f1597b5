"""Processes that work for a board."""

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import environment

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"
SCRIPT = f"""
import clirbench
from clirbench.board import crew

crew.os.cpu_count = lambda: 2
print(len(clirbench.leaderboard({str(SUBMISSIONS)!r})))
"""


@pytest.mark.usefixtures("checked_shipped")
def test_a_script_without_a_guard_can_ask_for_the_board(tmp_path):
    """A process that works for a board does not run the caller's script once more."""
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == (f"{len([one for one in SUBMISSIONS.iterdir() if one.is_dir()])}\n", "")
