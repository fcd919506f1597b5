"""What a board takes: the submissions that check accepts. What it leaves out is named, and nothing of it is shown."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import call

import clirbench
from clirbench.board.entries import results_of
from clirbench.board.folders import accept
from clirbench.board.kept_entries import kept_entries
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import Silent

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"
HONEST = "clirbench__bm25"
pytestmark = pytest.mark.usefixtures("checked_shipped")


@pytest.fixture
def board(tmp_path, monkeypatch):
    """A board of one honest submission in ``submissions`` of the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(SUBMISSIONS / HONEST, Path("submissions") / HONEST)
    return Path("submissions")


class Notes(Silent):
    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


def read(board):
    """The labels of the rows, and the lines about what is left out."""
    notes = Notes()
    entries = kept_entries(accept([board], notes))
    return [entry.label for entry in entries], notes.lines


def forge(folder, score=0.99):
    """The hybrid model's submission with another headline."""
    shutil.copytree(SUBMISSIONS / "clirbench__hybrid", folder)
    path = folder / "xquad-r.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["headline"]["multilingual"]["mAP"].update(value=score, low=score, high=score)
    path.write_text(json.dumps(document), encoding="utf-8")


def nested(board):
    forge(board / "group" / "me__model")


def link(board):
    forge(board.parent / "elsewhere" / "clirbench__hybrid")
    (board / "clirbench__hybrid").symlink_to(board.parent.resolve() / "elsewhere" / "clirbench__hybrid")


def link_to_the_honest(board):
    (board / "me__bm25").symlink_to(HONEST)


def look_alike(board):
    shutil.copytree(SUBMISSIONS / "pyserini__bm25", board / "pyserini__bm25")
    shutil.copytree(SUBMISSIONS / "pyserini__bm25", board / "pyserini__bm2s")
    for path in (board / "pyserini__bm2s").iterdir():
        path.write_text(path.read_text("utf-8").replace("pyserini/bm25", "pyserini/bm2s"), encoding="utf-8")


ATTACKS = {
    "forged-headline": (
        lambda board: forge(board / "clirbench__hybrid"),
        ["submissions/clirbench__hybrid: left out, 3 errors: see clirbench check submissions/clirbench__hybrid"],
    ),
    "the-name-of-the-readme": (
        lambda board: forge(board / "README.md"),
        ["submissions/README.md: left out, 5 errors: see clirbench check submissions/README.md"],
    ),
    "hidden-folder": (
        lambda board: forge(board / ".me__model"),
        ["submissions/.me__model: left out, 5 errors: see clirbench check submissions/.me__model"],
    ),
    "nested": (nested, ["submissions/group: left out: holds no result: add "]),
    "link": (link, ["submissions/clirbench__hybrid: left out: is a link: put the files themselves there"]),
    "link-to-an-honest-one": (
        link_to_the_honest,
        ["submissions/me__bm25: left out: is a link: put the files themselves there"],
    ),
    "link-with-the-name-of-the-readme": (
        lambda board: (board / "README.md").symlink_to(HONEST),
        ["submissions/README.md: left out: is a link: put the files themselves there"],
    ),
    "file": (
        lambda board: (board / "me__model").write_text("a file", encoding="utf-8"),
        ["submissions/me__model: left out: is not a folder: give the folder of a submission"],
    ),
    "empty-folder": (
        lambda board: (board / "me__model").mkdir(),
        ["submissions/me__model: left out: holds no result: add"],
    ),
    "look-alike": (
        look_alike,
        [
            "submissions/pyserini__bm25: left out: looks like 'pyserini__bm2s'",
            "submissions/pyserini__bm2s: left out: looks like 'pyserini__bm25'",
        ],
    ),
    "name-with-a-line-end": (
        lambda board: forge(board / "me__\nmodel"),
        [r"submissions/me__\nmodel: left out, 5 errors: see clirbench check"],
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_check_refuses_is_left_out_by_name(board, attack):
    spoil, told = ATTACKS[attack]
    spoil(board)
    labels, lines = read(board)
    assert labels == ["clirbench/bm25"]
    assert len(lines) == len(told)
    for line, start in zip(lines, told, strict=True):
        assert line.startswith(start)
        assert line.isprintable()
    assert call("check", "submissions").exit_code == 1
    # The second time, it is on record, and nothing else is said.
    assert read(board) == (labels, lines)


def test_a_readme_and_hidden_files_are_no_submissions(board):
    for name in ("README.md", ".DS_Store", ".me__model.lock"):
        (board / name).write_text("a file", encoding="utf-8")
    assert read(board) == (["clirbench/bm25"], [])


def test_every_command_names_what_it_leaves_out(board, tmp_path):
    forge(board / "clirbench__hybrid")
    line = "submissions/clirbench__hybrid: left out, 3 errors: see clirbench check submissions/clirbench__hybrid\n"
    for arguments in (["leaderboard", "--submissions", board], ["site", "build", "--submissions", board]):
        ran = call(*arguments)
        assert (ran.exit_code, ran.stderr.count(line)) == (0, 1), ran.stderr
    # Commands on the page name a model that anybody can run: the row is told by its link.
    front = Path("_site", "index.html").read_text(encoding="utf-8")
    assert 'href="models/clirbench__bm25.html' in front
    assert "models/clirbench__hybrid" not in front
    assert not Path("_site", "models", "clirbench__hybrid.html").exists()
    shutil.copytree(SUBMISSIONS / "clirbench__char-ngram", board / "clirbench__char-ngram")
    ran = call("compare", "clirbench/bm25", "clirbench/char-ngram", "--submissions", board)
    assert (ran.exit_code, ran.stderr) == (0, line)
    for name in ("clirbench/hybrid", "clirbench__hybrid"):
        with pytest.raises(ClirbenchError) as error:
            results_of([name], board)
        assert f"{error.value}\n" == line
    # A path is read as it is, and needs no board.
    (results,) = results_of([str(board / "clirbench__hybrid" / "mlqa-r.json")], tmp_path / "none")
    assert list(results) == ["mlqa-r"]


def test_in_python_the_frame_says_what_was_left_out(board):
    (board / "me__model").mkdir()
    frame = clirbench.leaderboard(board)
    assert frame["model"].tolist() == ["clirbench/bm25"]
    assert list(frame.attrs["left_out"]) == [str(board / "me__model")]
    assert frame.attrs["left_out"][str(board / "me__model")].startswith("left out: holds no result")


def test_a_submission_of_ones_own_that_is_not_complete_leaves_the_board_as_it_is(board):
    mine = board / "me__model"
    mine.mkdir()
    shutil.copy(SUBMISSIONS / "clirbench__hybrid" / "model.toml", mine)
    shutil.rmtree(board / HONEST)
    frame = clirbench.leaderboard(task="mlqa-r")
    assert {"clirbench/hybrid", "clirbench/bm25"} <= set(frame["model"])
    assert list(frame.attrs["left_out"]) == [str(mine)]


def test_many_of_one_kind_have_one_line(board):
    for i in range(8):
        (board / f"me__model-{i}").mkdir()
    labels, (line,) = read(board)
    assert labels == ["clirbench/bm25"]
    assert line.startswith("submissions: me__model-0, me__model-1, ")
    assert ", me__model-4 and 3 more: left out: holds no result" in line


def test_a_board_of_nothing_acceptable_is_one_line(board):
    forge(board / "clirbench__hybrid")
    (board / HONEST / "model.toml").unlink()
    for arguments in (["leaderboard"], ["site", "build"], ["compare", "clirbench/bm25", "clirbench/hybrid"]):
        ran = subprocess.run(
            [sys.executable, "-m", "clirbench", *arguments, "--submissions", "submissions"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        said = [line for line in ran.stderr.splitlines() if not line.startswith("check (submissions): ")]
        assert ran.returncode == 2
        assert said == ["clirbench: submissions: no submission in it is accepted: see clirbench check submissions"]
    with pytest.raises(ClirbenchError, match="is one submission: pass the folder that holds it as --submissions"):
        accept([SUBMISSIONS / HONEST])


def test_an_unchanged_board_starts_no_process(board, monkeypatch):
    def refuse(*_):
        raise AssertionError("a submission was examined again")

    monkeypatch.setattr("clirbench.submissions.check_many._isolated", refuse)
    assert read(board) == (["clirbench/bm25"], [])
    (board / HONEST / "model.toml").write_text("", encoding="utf-8")
    with pytest.raises(AssertionError, match="examined again"):
        read(board)
