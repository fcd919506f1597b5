"""`clirbench check --pull-request` on the command line; what a name may do to a log; the paths of `--untrusted`."""

import json
import os
import re
import shutil

import pytest
from attacks.pull_requests import NEW, ROW, Drop, Put, base_repository, clean, commit, files, git
from command_line import call

from clirbench.submissions.check_many import report, submissions_in
from clirbench.submissions.findings import Examined
from clirbench.submissions.git_objects import Repository
from clirbench.submissions.pull_request import Allowed, check_pull_request
from clirbench.support.errors import ClirbenchError

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not there")


@pytest.fixture
def repository(tmp_path):
    """A checkout of a pull request with a clean submission."""
    folder = tmp_path / "head"
    folder.mkdir()
    base_repository(folder)
    commit(folder, "head", "refs/heads/base", clean(), time=9)
    git(folder, "symbolic-ref", "HEAD", "refs/heads/head")
    return folder


def refused(*arguments):
    error = call("check", *arguments).exception
    assert isinstance(error, ClirbenchError), error
    assert "\n" not in str(error)
    return str(error)


@needs_git
def test_what_was_checked_is_kept_where_there_are_no_errors(repository, tmp_path):
    kept = tmp_path / "kept"
    done = call("check", "--pull-request", "base", "--repository", repository, "--keep", kept)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "1 of 1 submissions accepted")
    assert {path.name: path.read_bytes() for path in (kept / NEW).iterdir()} == files(NEW)
    assert "which is there already" in refused("--pull-request", "base", "--repository", repository, "--keep", kept)
    commit(repository, "head", "refs/heads/head", [Put(f"submissions/{NEW}/model.toml")], time=10)
    other = tmp_path / "other"
    failed = call("check", "--pull-request", "base", "--repository", repository, "--keep", other)
    assert (failed.exit_code, other.exists()) == (1, False)
    # Paths are those of the repository, not of the folder where the files were checked.
    assert f"  error: submissions/{NEW}/model.toml: " in failed.stdout


@needs_git
def test_nothing_is_accepted_where_something_is_refused(repository):
    commit(repository, "head", "refs/heads/head", [Drop(f"submissions/{ROW}")], time=10)
    done = call("check", "--pull-request", "base", "--repository", repository)
    assert done.exit_code == 1
    assert f"submissions: has 2 changes ({ROW}, {NEW})" in done.stdout
    assert ": accepted" not in done.stdout
    assert done.stdout.splitlines()[-1] == "0 of 2 submissions accepted"


@needs_git
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pull-request", "nowhere"), "has no commit 'nowhere'"),
        (("--pull-request", "--help"), "has no commit '--help'"),
        (("--pull-request", "base", "submissions"), "--pull-request takes no PATH"),
        (("--pull-request", "base", "--against", "."), "--pull-request takes no PATH"),
        (("--pull-request", "base", "--untrusted"), "--pull-request takes no PATH"),
        (("--allow-replace",), "need --pull-request"),
        (("--keep", "x"), "need --pull-request"),
        (("--pull-request", "base", "--repository", "nowhere"), "nowhere: is not a folder"),
        (("--pull-request", "base", "--repository", "submissions"), "not a git repository"),
    ],
)
def test_mistakes_on_the_command_line(repository, monkeypatch, arguments, message):
    monkeypatch.chdir(repository)
    (repository / "submissions").mkdir()
    assert message in refused(*arguments)


def test_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClirbenchError, match="git is not installed: install it"):
        Repository(tmp_path)


@needs_git
def test_variables_of_git_lead_nowhere_else(repository, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    base_repository(elsewhere)
    for name in ("GIT_DIR", "GIT_COMMON_DIR"):
        monkeypatch.setenv(name, str(elsewhere / ".git"))
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    assert set(Repository(repository).tree("refs/heads/head:submissions")) > {NEW}
    assert not (tmp_path / "trace").exists()


@needs_git
def test_a_board_that_is_not_sound_is_named(repository):
    commit(repository, "bad", "refs/heads/base", [Put(f"submissions/{ROW}/group/x")], time=3)
    commit(repository, "head", "refs/heads/bad", clean(), time=9)
    with pytest.raises(ClirbenchError, match=f"submissions/{re.escape(ROW)}: is no submission on the base branch"):
        check_pull_request("bad", repository, Allowed())


@pytest.mark.parametrize("style", ["text", "github", "json"])
def test_no_text_is_a_command_to_a_log(tmp_path, style):
    examined = Examined(tmp_path.__class__("::stop-commands::x"))
    for text in ("::error::x", "##[add-mask]x", "a\n::error::x", "a\r##[group]x", "a,b:c%0A", "\u202e\x1b[31m\udcff"):
        examined.error(examined.folder / text, text, text)
    text = report([examined], style)
    assert "##[" not in text
    lines = text.splitlines()
    assert len(lines) == len(report([examined], style).split("\n"))
    assert all(line.isprintable() for line in lines)
    commands = [line for line in lines if line.lstrip().startswith("::")]
    if style == "github":
        assert commands == lines
        assert all(re.fullmatch(r"::error file=[^:,]*::.*", line) for line in lines)
    else:
        assert commands == []
    if style == "json":
        assert json.loads(text)["findings"][1]["message"] == r"##\x5badd-mask]x"


def test_each_path_of_untrusted_is_one_submission(tmp_path):
    board = tmp_path / "submissions"
    (board / ROW).mkdir(parents=True)
    assert submissions_in([board / ROW], untrusted=True) == [board / ROW]
    with pytest.raises(
        ClirbenchError, match=f"holds the folder '{ROW}': with --untrusted, each path is one submission"
    ):
        submissions_in([board], untrusted=True)
    if os.name == "posix":
        (tmp_path / "me__model").symlink_to(board / ROW)
        with pytest.raises(ClirbenchError, match="is a link: with --untrusted"):
            submissions_in([tmp_path / "me__model"], untrusted=True)


def test_a_folder_that_takes_the_readmes_name_is_a_submission(tmp_path):
    (tmp_path / ROW).mkdir()
    (tmp_path / "README.md").write_text("words\n", encoding="utf-8")
    assert submissions_in([tmp_path]) == [tmp_path / ROW]
    (tmp_path / "README.md").unlink()
    (tmp_path / "README.md").mkdir()
    assert submissions_in([tmp_path]) == [tmp_path / "README.md", tmp_path / ROW]
