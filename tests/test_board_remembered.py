"""A board that has not changed is remembered; whatever decides it makes it anew."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import clirbench
from clirbench.board import kept_entries, kept_files, remembered, table
from clirbench.board.kept_entries import KeptEntries
from clirbench.submissions import accepted
from clirbench.support.errors import ClirbenchError

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
    names, real = [], KeptEntries.keep

    def keep(self, key, entry, shares):
        names.append(entry.folder.name)
        real(self, key, entry, shares)

    monkeypatch.setattr(KeptEntries, "keep", keep)
    return names


@pytest.fixture
def computed(monkeypatch):
    """A board for each time that one was computed: the names of its submissions."""
    boards, real = [], table.frame_of

    def computing(entries, *rest):
        boards.append([entry.folder.name for entry in entries])
        return real(entries, *rest)

    monkeypatch.setattr(table, "frame_of", computing)
    return boards


def test_an_unchanged_board_is_not_read_again(board, read, computed):
    first = clirbench.leaderboard(board)
    assert sorted(read) == sorted(NAMES)
    assert len(computed) == 1
    read.clear()
    again = clirbench.leaderboard(board)
    assert len(computed) == 1
    assert_frame_equal(first, again)
    # Wherever it lies.
    shutil.copytree(board, board.parent / "elsewhere")
    assert_frame_equal(first, clirbench.leaderboard(board.parent / "elsewhere"))
    assert len(computed) == 1
    # A board of one task is another one, of the same submissions.
    assert len(clirbench.leaderboard(board, "mlqa-r").columns) < len(first.columns)
    assert len(computed) == 2
    assert read == []


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


def damage_a_submission_of_the_cache(board, monkeypatch):
    shutil.rmtree(remembered.boards_dir())
    for path in kept_files.kept_root().glob("entries/*/entry.json"):
        path.write_bytes(path.read_bytes() + b" ")


EVERY = "every submission"


@pytest.mark.parametrize(
    ("change", "of"),
    [
        (change_a_byte, NAMES[0]),
        (add_a_submission, "arxiv-2409.15700__mdpr"),
        (take_one_away, None),
        (change_a_task, EVERY),
        (change_the_code, EVERY),
        (damage_the_cache, None),
        (damage_a_submission_of_the_cache, EVERY),
    ],
)
def test_what_decides_a_board_makes_it_anew(board, read, computed, monkeypatch, change, of):
    """The board is computed again, and of its submissions those alone are read that the change touches."""
    first = clirbench.leaderboard(board)
    read.clear()
    change(board, monkeypatch)
    now = clirbench.leaderboard(board)
    names = sorted(path.name for path in board.iterdir())
    assert sorted(computed[-1]) == names
    assert len(computed) == 2
    assert sorted(read) == (names if of == EVERY else [of] if of else [])
    assert (now["model"].tolist() == first["model"].tolist()) == (change not in (add_a_submission, take_one_away))


def test_a_board_that_changes_while_it_is_read_is_not_remembered(board, monkeypatch):
    real = table.frame_of

    def computing(*given):
        change_a_byte(board, monkeypatch)
        return real(*given)

    monkeypatch.setattr(table, "frame_of", computing)
    clirbench.leaderboard(board)
    assert not remembered.boards_dir().exists()


def test_a_submission_that_changes_while_it_is_read_is_refused(board, monkeypatch):
    real = kept_entries.read_entry

    def reading(path, **options):
        entry = real(path, **options)
        change_a_byte(board, monkeypatch)
        return entry

    monkeypatch.setattr(kept_entries, "read_entry", reading)
    with pytest.raises(ClirbenchError, match=f"{NAMES[0]}: was changed while it was read: run it again"):
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
