"""A task is added by adding its TOML file: commands, board, site and questions find it, and no code names it."""

import json
import shutil
import tomllib

import pytest
from command_line import call
from typer.testing import CliRunner

import clirbench
from clirbench.cli import app
from clirbench.support.errors import ClirbenchError
from clirbench.support.paths import data_dir
from clirbench.tasks.new_task import init_task
from clirbench.tasks.task_file import averaged_tasks, board_tasks, default_task, load_task, standard_suite

FACTS = """\
standard = true
training_names = ["village-talk"]
mteb = "Village"
"""
BOARD = """\
[board]
order = 7
headline = ["monolingual.R@1", "multilingual.mAP", "multilingual.R@1", "bias.rank_distance"]
main = "multilingual.R@1"

[source]
"""


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """A folder with the demo, and with a task of its kind that ranks models."""
    folder = tmp_path / "tasks"
    shutil.copytree(data_dir("tasks") / "demo", folder / "demo")
    text = (data_dir("tasks") / "demo.toml").read_text(encoding="utf-8")
    (folder / "demo.toml").write_text(text, encoding="utf-8")
    text = text.replace('id = "demo"', 'id = "village"').replace('name = "Demo"', 'name = "The village"')
    text = text.replace("default = true\n", FACTS).replace('mteb = "ClirbenchDemo"\n', "").replace("[source]\n", BOARD)
    (folder / "village.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("CLIRBENCH_TASKS", str(folder))
    return folder


def say(*arguments):
    made = CliRunner().invoke(app, list(arguments))
    assert made.exit_code == 0, made.output
    return made.stdout


def test_a_new_file_is_enough(tasks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "village" in say("tasks")
    # No task is named: it is in the standard suite.
    say("run", "--model", "clirbench/char-ngram", "--output", "results")
    folder = tmp_path / "results" / "clirbench__char-ngram"
    assert [path.name for path in sorted(folder.iterdir())] == ["village.json", "village.ranks.parquet"]
    result = clirbench.read_result(folder / "village.json")

    say(
        "submit",
        str(folder),
        "--org",
        "acme",
        "--set",
        "trained_on.village=no",
        "--set",
        "training_data=x/Village-Talk",
    )
    submission = tmp_path / "submissions" / "acme__char-ngram"
    model = tomllib.loads((submission / "model.toml").read_text(encoding="utf-8"))
    assert model["trained_on"] == {"village": "no"}
    refused = CliRunner().invoke(app, ["check", "submissions"])
    assert "training_data has 'x/Village-Talk'" in refused.stdout
    say("submit", str(folder), "--org", "acme", "--set", "training_data=x/other")
    say("check", "submissions")

    frame = clirbench.leaderboard("submissions")
    assert frame["village multilingual R@1"][0] == result.score("multilingual", "R@1")
    assert frame["village zero-shot"][0] == "yes"
    assert "village" in say("leaderboard")
    assert "| acme/char-ngram |" in say("leaderboard", "--format", "markdown")

    say("site", "build", "--output", "site")
    front = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert 'data-task="village" data-name="The village"' in front
    # A column says its setting and its metric.
    for key, setting in (("monolingual", "Same language"), ("multilingual", "All languages in one pool")):
        head = front.partition(f'data-key="village.{key}.R@1"')[2].partition("</th>")[0]
        assert f">{setting}</span><small>Recall@1 ×100" in head
    page = (tmp_path / "site" / "tasks" / "village.html").read_text(encoding="utf-8")
    assert "The village: Recall@1 and mAP x100 and rank distance" in page
    assert '<option value="village">The village</option>' in (tmp_path / "site" / "compare.html").read_text("utf-8")
    pairs = (tmp_path / "site" / "data" / "pairs.js").read_text(encoding="utf-8")
    values = json.loads(pairs.removeprefix("clirPairs(").removesuffix(");\n"))["village"]["acme__char-ngram"]
    assert values["monolingual.R@1"][0] == round(result.document.per_language["ar"]["monolingual"]["R@1"], 5)
    assert (tmp_path / "site" / "data" / "topics" / "acme__char-ngram.village.js").is_file()


def test_a_task_of_ones_own_in_the_folder_ranks_no_models(tasks):
    init_task("faq", tasks, ["en", "de"])
    assert "faq" in say("tasks")
    assert list(board_tasks()) == ["village"]
    assert load_task("faq").hash == load_task(str(tasks / "faq.toml")).hash


def test_a_submission_from_before_a_task_stays_valid(tasks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    say("run", "--model", "clirbench/char-ngram", "--output", "results")
    say("submit", "results", "--org", "acme")
    text = (tasks / "village.toml").read_text(encoding="utf-8")
    text = text.replace('id = "village"', 'id = "town"').replace("order = 7", "order = 2")
    (tasks / "town.toml").write_text(text, encoding="utf-8")
    assert list(board_tasks()) == ["town", "village"]
    say("check", "submissions")
    assert clirbench.leaderboard("submissions")["coverage"][0] == "1/2"
    # The first submission with results on it must answer.
    say("run", "--model", "clirbench/char-ngram", "--output", "results")
    for path in (tmp_path / "results" / "clirbench__char-ngram").glob("town*"):
        shutil.copy(path, tmp_path / "submissions" / "acme__char-ngram")
    assert "must answer for town" in CliRunner().invoke(app, ["check", "submissions"]).stdout


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"bias.rank_distance"]', '"bias.transfer_ratio"]', "'board.headline' has 'bias.transfer_ratio': use"),
        ("order = 7", "order = 0", "'board.order' is wrong"),
        ("order = 7", 'order = "first"', "'board.order' is wrong"),
        ('"multilingual.mAP", ', '"bilingual.mAP", ', "'board.headline' has 'bilingual.mAP': use monolingual.mAP"),
        ('main = "multilingual.R@1"', 'main = "bias.rank_distance"', "'board.main' has 'bias.rank_distance': use"),
        ('main = "multilingual.R@1"\n', "", "missing key 'board.main': add it"),
        ('main = "multilingual.R@1"', 'main = "multilingual.R@1"\nmeans = true', "unknown key 'board.means'"),
        ("standard = true", "standard = 1", "'standard' is wrong"),
        ("standard = true", 'standard = true\ndomain = "encylopaedic"', "'domain' has 'encylopaedic': use "),
        ("standard = true", 'standard = true\nquestions_of = "village"', "name another task of the board"),
        ('path = "demo/{language}.jsonl"', 'mirror = "demo/{language}.jsonl"', "'source' must say either path, or url"),
    ],
)
def test_a_wrong_fact_is_named(tasks, old, new, message):
    path = tasks / "village.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ClirbenchError) as error:
        board_tasks()
    assert message in str(error.value)
    assert "village.toml" in str(error.value)


def test_facts_of_two_files_must_agree(tasks):
    text = (tasks / "village.toml").read_text(encoding="utf-8").replace('id = "village"', 'id = "town"')
    (tasks / "town.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ClirbenchError, match=r"village.toml: 'board.order' is 7, which town has: choose another"):
        board_tasks()
    averaged = text.replace("order = 7", "order = 2\nmean = true")
    (tasks / "town.toml").write_text(averaged, encoding="utf-8")
    with pytest.raises(ClirbenchError, match=r"town.toml: missing key 'domain': add it, because 'board.mean' is over"):
        board_tasks()
    (tasks / "town.toml").write_text(averaged.replace("\n[board]\n", '\ndomain = "web"\n[board]\n'), encoding="utf-8")
    assert averaged_tasks() == {"town": "web"}
    village = (tasks / "village.toml").read_text(encoding="utf-8")
    other = village.replace('main = "multilingual.R@1"', 'main = "multilingual.mAP"\nmean = true')
    other = other.replace("\n[board]\n", '\ndomain = "web"\n[board]\n')
    (tasks / "village.toml").write_text(other, encoding="utf-8")
    with pytest.raises(ClirbenchError, match=r"village.toml: 'board.main' is not that of town"):
        board_tasks()


def test_one_wrong_task_file_stops_only_what_needs_it(tasks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tasks / "broken.toml").write_text('format = 1\nid = "broken"\n')
    shown = call("run", "-o", "results")
    assert shown.exit_code == 0, shown.exception
    result = "results/clirbench__hybrid/demo.json"
    for arguments in (["show", result], ["score", result], ["compare", result, result], ["models"], ["tasks"]):
        ran = call(*arguments)
        assert ran.exit_code == 0, (arguments, ran.exception)
    assert "cannot be used" in ran.stdout
    assert "village" in ran.stdout
    for arguments in (["run", "--tasks", "broken"], ["leaderboard"], ["check", data_dir("submissions")]):
        with pytest.raises(ClirbenchError, match=r"broken\.toml: missing key 'name': add it"):
            raise call(*arguments).exception


def test_a_folder_may_lack_defaults(tasks, monkeypatch):
    assert (default_task(), standard_suite()) == ("demo", ["village"])
    (tasks / "demo.toml").unlink()
    with pytest.raises(ClirbenchError, match="no task says 'default = true'"):
        default_task()
    shutil.copy(data_dir("tasks") / "demo.toml", tasks)
    (tasks / "village.toml").unlink()
    with pytest.raises(ClirbenchError, match="no task says 'standard = true'"):
        standard_suite()
    monkeypatch.setenv("CLIRBENCH_TASKS", str(tasks / "none"))
    with pytest.raises(ClirbenchError, match=r"CLIRBENCH_TASKS names .*none', which is not a folder"):
        load_task("demo")
