"""A task of one's own with the name of a task of the board: refused where it begins, and named wherever its result turns up."""

import json
import re
import shutil
from pathlib import Path

import pytest
from command_line import call
from own_task import write_task

import clirbench
from clirbench.results.result import read_result
from clirbench.submissions.check_one import examine
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.new_task import init_task
from clirbench.tasks.task_file import list_tasks, load_task

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"


def refused(*arguments):
    """The one line with which a command refuses."""
    error = call(*arguments).exception
    assert isinstance(error, ClirbenchError), error
    assert "\n" not in str(error)
    return str(error)


@pytest.mark.parametrize("name", [*list_tasks(), "XQuAD-R"])
def test_the_name_of_a_shipped_task_is_refused(tmp_path, name):
    told = f"'{name}' is a task of clirbench: give yours another name"
    with pytest.raises(ClirbenchError, match=re.escape(f"init-task: {told}")):
        init_task(name, tmp_path / "new", ["en", "de"])
    assert not (tmp_path / "new").exists()
    path = write_task(tmp_path, name)
    with pytest.raises(ClirbenchError, match=re.escape(f"{name}.toml: 'id': {told}")):
        clirbench.load_task(str(path))
    assert told in refused("run", "--model", "clirbench/char-ngram", "--tasks", path)
    assert told in refused("plan", "--model", "clirbench/char-ngram", "--tasks", path)


def test_a_folder_of_tasks_may_hold_ones_own(tmp_path, monkeypatch):
    path = write_task(tmp_path)
    monkeypatch.setenv("CLIRBENCH_TASKS", str(tmp_path))
    assert list_tasks() == ["mine"]
    assert load_task("mine").hash == load_task(str(path)).hash


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder with a result on a task of one's own whose name was changed to that of a task of the board."""
    folder = tmp_path_factory.mktemp("renamed")
    result = clirbench.evaluate("clirbench/char-ngram", str(write_task(folder)))
    path = result.save(folder / "r")
    document = json.loads(path.read_text(encoding="utf-8"))
    document["task"]["id"], document["ranks"]["file"] = "xquad-r", "xquad-r.ranks.parquet"
    (path.parent / "xquad-r.ranks.parquet").write_bytes((path.parent / "mine.ranks.parquet").read_bytes())
    path.with_name("xquad-r.json").write_text(json.dumps(document), encoding="utf-8")
    for name in ("mine.json", "mine.ranks.parquet"):
        path.with_name(name).unlink()
    assert read_result(path.with_name("xquad-r.json")).document.task.complete
    return path.parent


TOLD = "xquad-r.json is of another task that is called xquad-r, or of an earlier version of it: remove it, or run the model"


def test_its_result_is_not_submitted(results, tmp_path):
    assert TOLD in refused("submit", results, "--org", "me", "--submissions", tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_its_result_is_given_to_no_card_and_not_to_mteb(results, tmp_path):
    path = results / "xquad-r.json"
    told = "is of another task that is called xquad-r, or of an earlier version of it"
    assert told in refused("card", path)
    assert told in refused("export", path, "--format", "mteb", "--output", tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_its_result_is_named_by_check_and_left_out_of_board_and_site(results, tmp_path):
    folder = tmp_path / "s"
    shutil.copytree(SUBMISSIONS / "clirbench__char-ngram", folder / "clirbench__char-ngram")
    for path in results.iterdir():
        shutil.copy(path, folder / "clirbench__char-ngram")
    none = f"{folder}: no submission in it is accepted: see clirbench check {folder}"
    assert refused("leaderboard", "--submissions", folder, "--task", "xquad-r") == none
    assert refused("site", "build", "--submissions", folder, "--output", tmp_path / "site") == none
    shutil.copytree(SUBMISSIONS / "clirbench__bm25", folder / "clirbench__bm25")
    assert clirbench.leaderboard(folder, "xquad-r")["model"].tolist() == ["clirbench/bm25"]
    examined = examine(folder / "clirbench__char-ngram")
    (finding,) = (one for one in examined.findings if one.level == "error" and one.file.endswith("xquad-r.json"))
    assert (finding.key, finding.message) == (
        "task.hash",
        "is not that of xquad-r: this is another task of that name, or an earlier version: run the model again",
    )
