"""README: one page, the two commands that every check takes from it, links that lead somewhere, figures that commands made."""

import re
import sys
from pathlib import Path

import pytest

import clirbench

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_is_one_page():
    assert len(README.splitlines()) <= 160
    assert len(README.encode()) <= 9_000


def test_the_first_two_commands_of_readme():
    assert re.findall(r"^pip install .*$", README, re.M) == [
        "pip install -c constraints.txt -e . && clirbench run",
        'pip install -c constraints.txt -e ".[dev]" && pytest',
    ]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "benchmarks/README.md"])
def test_links_lead_to_files_that_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith("https://")]
    assert [link for link in links if not ((ROOT / page).parent / link.split("#")[0]).exists()] == []


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield
    for name in ("blocks", "board_picture"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("checked_shipped")
def test_the_picture_of_the_board_is_that_of_the_submissions(benchmarks):
    import board_picture

    assert "docs/assets/board.svg" in README
    made = board_picture.picture(clirbench.leaderboard(ROOT / "submissions", board_picture.TASK))
    assert board_picture.FILE.read_text(encoding="utf-8") == made, "run python benchmarks/report.py --picture --write"


def test_every_table_that_a_benchmark_writes_has_its_place(benchmarks):
    import blocks

    written = set()
    for script in (ROOT / "benchmarks").glob("*.py"):
        text = script.read_text(encoding="utf-8")
        written |= set(
            re.findall(r"blocks\.write\(\"([\w-]+)\"", text)
            + re.findall(r"made\[\"([\w-]+)\"\]|made = {\"([\w-]+)\"", text)
        )
    names = {name for found in written for name in ([found] if isinstance(found, str) else found) if name}
    assert names == {
        "ablation", "ablation-transformer", "benchmarks", "board", "board-seconds", "claim", "encoding", "growth", "memory",
        "site-benchmark", "sizes", "startup", "streaming-benchmarks", "training", "transfer", "transfer-transformer",
    }  # fmt: skip
    for name in names:
        assert blocks.read(name).startswith("| "), name
