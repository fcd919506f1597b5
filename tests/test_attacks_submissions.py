"""Each hostile submission meets the outcome that is right, in one line; each honest one is accepted."""

import os
import shutil
from pathlib import Path

import pytest
from attacks.submissions import ACCEPTED, ATTACKS, ERROR, WARNING
from small_board import ORG, tasks_in, write_board, write_tasks

from clirbench.submissions.check_one import examine

NAME = f"{ORG}__hybrid"
has_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """Three honest submissions on a board of two small tasks, which the tests of this file take for the board."""
    folder = tmp_path_factory.mktemp("board")
    with tasks_in(write_tasks(folder / "tasks")):
        yield write_board(folder)


def attacked(board, tmp_path, attack):
    """The folder of a submission that was sound before the attack; the board lies beside it."""
    (tmp_path / "board").symlink_to(board)
    folder = tmp_path / "submissions" / NAME
    shutil.copytree(board / NAME, folder)
    changed = attack.change(folder)
    return changed if isinstance(changed, Path) else folder


def matching(findings, attack):
    return [
        finding
        for finding in findings
        if finding.key.startswith(attack.key) and attack.says in f"'{finding.key}' {finding.message}"
    ]


@has_pipes
@pytest.mark.parametrize("name", ATTACKS)
def test_each_meets_what_is_right(board, tmp_path, name):
    attack = ATTACKS[name]
    findings = examine(attacked(board, tmp_path, attack), attack.untrusted).findings
    levels = {finding.level for finding in findings}
    told = [f"{finding.level}: {finding.file} '{finding.key}' {finding.message}" for finding in findings]
    assert {ACCEPTED: set(), ERROR: {"error"}, WARNING: {"warning"}}.get(attack.outcome, levels) == levels - (
        {"warning"} if attack.outcome == ERROR else set()
    ), told
    if attack.outcome != ACCEPTED:
        assert matching(findings, attack), told
    for line in told:
        assert line.isprintable()
        assert len(line) < 1000
        assert "please report this" not in line
