"""`clirbench init-task --from-hub`: the task file of any parallel data set in mteb's layout."""

import re
import tomllib

import pytest
from command_line import call
from parallel_sets import HUB, parallel_set, write_belebele, write_parallel

from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task_file import load_task

GIVEN = ("--from-hub", HUB.hub, "--revision", HUB.revision)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    write_parallel(folder / "village-law", parallel_set(("el", "en", "th")))
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_file_that_is_written_runs(mirror, tmp_path):
    readme = mirror / "village-law" / "README.md"
    readme.write_text(
        readme.read_text(encoding="utf-8").replace("---\n", "---\nlicense: eupl-1.2\n", 1), encoding="utf-8"
    )
    made = call("init-task", "village-law", *GIVEN)
    assert made.exit_code == 0, made.exception
    assert "clirbench run --model ORG/NAME --tasks village-law/village-law.toml" in made.stdout
    path = tmp_path / "village-law" / "village-law.toml"
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    written = tomllib.loads(path.read_text(encoding="utf-8"))
    assert written["licence"] == "eupl-1.2"
    assert written["counts"]["candidates"] == {"el": 50, "en": 50, "th": 50}
    assert written["counts"]["gold_pairs"] == 30 * 9
    ran = call("run", "--model", "clirbench/char-ngram", "--tasks", path, "--output", "results")
    assert ran.exit_code == 0, ran.exception
    assert "village-law" in ran.stdout
    again = call("init-task", "village-law", *GIVEN)
    with pytest.raises(ClirbenchError, match="is there already: choose another name or --output"):
        raise again.exception


def test_some_languages_may_be_chosen(mirror, tmp_path):
    assert call("init-task", "village-law", *GIVEN, "--languages", "th,en", "-o", "two").exit_code == 0
    assert load_task(str(tmp_path / "two" / "village-law.toml")).languages == ("th", "en")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--from-hub", HUB.hub), "--from-hub org/village-law needs --revision COMMIT"),
        (("--from-hub", HUB.hub, "--revision", "main"), "--revision is 'main': give the commit, 40 hexadecimal digits"),
        (("--revision", HUB.revision), "--revision and --split are of a data set on the hub"),
        (("--split", "dev"), "--revision and --split are of a data set on the hub"),
        ((*GIVEN, "--languages", "en,fr"), "has no language 'fr': use el, en, th"),
        ((*GIVEN, "--languages", "en"), "--languages is 'en': a parallel task needs two of el, en, th"),
        ((*GIVEN, "--split", "dev"), "el-qrels has no split 'dev', only 'test': correct the split"),
        (
            ("--from-hub", "law", *GIVEN[2:]),
            "--from-hub is 'law': give the name of the data set on the hub, as ORG/NAME",
        ),
        (("--from-hub", "https://huggingface.co/datasets/org/law", *GIVEN[2:]), "as ORG/NAME"),
    ],
)
def test_a_wrong_option_is_one_line(mirror, arguments, told):
    with pytest.raises(ClirbenchError, match=re.escape(told)) as error:
        raise call("init-task", "village-law", *arguments).exception
    assert "\n" not in str(error.value)


def test_another_layout_and_other_names_are_refused(mirror):
    write_belebele(mirror / "questions", ["hi_Deva", "hi_Latn"])
    with pytest.raises(ClirbenchError, match="it is no parallel data set in mteb's layout: correct --from-hub"):
        raise call("init-task", "questions", *GIVEN).exception
    with pytest.raises(ClirbenchError, match="init-task: 'mupler' is a task of clirbench"):
        raise call("init-task", "mupler", *GIVEN).exception


def test_languages_that_are_not_parallel_are_refused(mirror):
    subsets = parallel_set(("en", "th"))
    passages, queries, pairs = subsets["th"]
    subsets["th"] = (
        passages,
        {f"th-{query}": text for query, text in queries.items()},
        [(f"th-{q}", p) for q, p in pairs],
    )
    write_parallel(mirror / "other", subsets)
    told = (
        r"org/village-law@\w+: queries are not parallel in en and th: 30 only in en \(first: 'q0'\) and 30 only in th"
    )
    with pytest.raises(ClirbenchError, match=told):
        raise call("init-task", "other", *GIVEN).exception
