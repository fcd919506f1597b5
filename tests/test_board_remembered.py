"""A board that has not changed is remembered; whatever decides it makes it anew."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import clirbench
from clirbench.board import remembered, table
from clirbench.submissions import accepted

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("lareqa__mbert-x-x", "pyserini__bm25", "clirbench__bm25")


@pytest.fixture
def board(tmp_path):
    for name in NAMES:
        shutil.copytree(ROOT / "submissions" / name, tmp_path / "board" / name)
    return tmp_path / "board"


@pytest.fixture
def read(monkeypatch):
    """The names of the submissions that were read since the list was last cleared."""
    names, real = [], table.read_entry

    def reading(path):
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(table, "read_entry", reading)
    return names


def test_an_unchanged_board_is_not_read_again(board, read):
    first = clirbench.leaderboard(board)
    assert sorted(read) == sorted(NAMES)
    read.clear()
    again = clirbench.leaderboard(board)
    assert read == []
    assert_frame_equal(first, again)
    # Wherever it lies.
    shutil.copytree(board, board.parent / "elsewhere")
    assert_frame_equal(first, clirbench.leaderboard(board.parent / "elsewhere"))
    assert read == []
    # A board of one task is another one.
    assert len(clirbench.leaderboard(board, "mlqa-r").columns) < len(first.columns)
    assert read != []


def change_a_byte(board, monkeypatch):
    toml = board / NAMES[0] / "model.toml"
    toml.write_bytes(toml.read_bytes() + b"\n")


def add_a_submission(board, monkeypatch):
    shutil.copytree(ROOT / "submissions" / "arxiv-2409.15700__mdpr", board / "arxiv-2409.15700__mdpr")


def take_one_away(board, monkeypatch):
    shutil.rmtree(board / NAMES[1])


def change_a_task(board, monkeypatch):
    shutil.copytree(ROOT / "tasks", board.parent / "tasks")
    with (board.parent / "tasks" / "xquad-r.toml").open("ab") as file:
        file.write(b"\n# Another byte.\n")
    monkeypatch.setenv("CLIRBENCH_TASKS", str(board.parent / "tasks"))


def change_the_code(board, monkeypatch):
    monkeypatch.setattr(accepted, "_code", lambda: "another version")


def damage_the_cache(board, monkeypatch):
    for path in remembered.boards_dir().iterdir():
        path.write_bytes(path.read_bytes().replace(b"reported", b"measured"))


@pytest.mark.parametrize(
    "change", [change_a_byte, add_a_submission, take_one_away, change_a_task, change_the_code, damage_the_cache]
)
def test_what_decides_a_board_makes_it_anew(board, read, monkeypatch, change):
    first = clirbench.leaderboard(board)
    read.clear()
    change(board, monkeypatch)
    now = clirbench.leaderboard(board)
    assert sorted(read) == sorted(path.name for path in board.iterdir())
    assert (now["model"].tolist() == first["model"].tolist()) == (change not in (add_a_submission, take_one_away))


def test_a_board_that_changes_while_it_is_read_is_not_remembered(board, monkeypatch):
    real = table.read_entry

    def reading(path):
        entry = real(path)
        change_a_byte(board, monkeypatch)
        return entry

    monkeypatch.setattr(table, "read_entry", reading)
    clirbench.leaderboard(board)
    assert not remembered.boards_dir().exists()


def test_only_some_boards_are_kept(board, monkeypatch):
    monkeypatch.setattr(remembered, "KEPT", 2)
    for task in (None, "xquad-r", "mlqa-r"):
        clirbench.leaderboard(board, task)
    assert len(list(remembered.boards_dir().iterdir())) == 2


def test_a_frame_comes_back_from_plain_columns():
    frame = pd.DataFrame({"text": ["a", ""], "share": [0.1, float("nan")]})
    frame["count"] = pd.Series([1, None], dtype="Int64")
    assert remembered.frame_of_columns(remembered.columns_of(frame)).equals(frame)
