"""Results of mteb's own tasks beside a submission: taken along, held to its model, shown apart, hostile ones refused."""

import json
import shutil
from pathlib import Path

import html5lib
import pytest

from clirbench.board.site.build import build_site
from clirbench.results.schema import MtebDocument
from clirbench.submissions.check_one import examine
from clirbench.submissions.submit import submit
from clirbench.support.errors import ClirbenchError

ROOT = Path(__file__).resolve().parent.parent
NAME = "clirbench__hybrid"
FILES = ("mlqa-r.json", "mlqa-r.ranks.parquet", "model.toml")


def foreign(**changes):
    stated = json.loads((ROOT / "submissions" / NAME / "mlqa-r.json").read_text(encoding="utf-8"))
    document = {
        "format": 1,
        "origin": "mteb",
        "task": "XNLI",
        "task_type": "PairClassification",
        "main_score": "max_ap",
        "source": "mteb/xnli",
        "dataset_revision": "abc",
        "mteb_version": "2.26.24",
        "model": {**stated["model"], "dimensions": None},
        "encoder": stated["encoder"],
        "scores": {"test": {"en": {"main_score": 0.75, "max_ap": 0.75}, "de": {"main_score": 0.25, "max_ap": 0.25}}},
    }
    return {**document, **changes}


@pytest.fixture
def folder(tmp_path):
    target = tmp_path / "submissions" / NAME
    target.mkdir(parents=True)
    for file in FILES:
        shutil.copy(ROOT / "submissions" / NAME / file, target)
    return target


def put(folder, document, name="mteb.XNLI.json"):
    (folder / name).write_text(json.dumps(document), encoding="utf-8")


def errors(folder):
    return [f"{f.key} {f.message}" for f in examine(folder).findings if f.level == "error"]


def test_one_is_accepted_and_its_mean_is_over_subsets(folder):
    put(folder, foreign())
    assert errors(folder) == []
    assert MtebDocument.model_validate(foreign()).mean == 0.5


@pytest.mark.parametrize(
    ("name", "document", "told"),
    [
        ("mteb.XNLI.json", foreign(model={**foreign()["model"], "revision": "other"}), "model.revision is not that of"),
        ("mteb.XNLI.json", foreign(model={**foreign()["model"], "name": "x/y"}), "model.name is not that of"),
        ("mteb.XNLI.json", foreign(encoder={**foreign()["encoder"], "query_prompt": "q"}), "encoder is not that of"),
        ("mteb.XNLI.json", foreign(scores={}), "scores is wrong"),
        ("mteb.XNLI.json", foreign(scores={"test": {}}), "scores.test is wrong"),
        ("mteb.XNLI.json", foreign(scores={"test": {"en": {"main_score": 1.5}}}), "within -1 and 1"),
        ("mteb.XNLI.json", foreign(scores={"test": {"en": {"max_ap": 0.5}}}), "within -1 and 1"),
        ("mteb.XNLI.json", foreign(task="../x"), "task is wrong"),
        ("mteb.Other.json", foreign(), "name the file mteb.XNLI.json"),
        ("mteb.XNLI.json", foreign(extra=1), "extra is wrong"),
        ("mteb.XNLI+en.json", foreign(), "does not belong into a submission"),
        ("mteb.XNLI.json", foreign(source="a\u202eb"), "source"),
    ],
)
def test_hostile_or_wrong_ones_are_refused(folder, name, document, told):
    put(folder, document, name)
    assert any(told in error for error in errors(folder)), errors(folder)


def test_too_large_or_no_json(folder):
    put(folder, foreign(source="x" * 250_000))
    assert any("at most" in error for error in errors(folder))
    (folder / "mteb.XNLI.json").write_text("{")
    assert any("not valid JSON" in error for error in errors(folder))


def test_one_beside_reported_figures_is_refused(tmp_path):
    target = tmp_path / "submissions" / "arxiv-2408.10536__xlm-r-hybrid"
    shutil.copytree(ROOT / "submissions" / target.name, target)
    put(target, foreign())
    assert any("stands beside no measured result" in error for error in errors(target))


def test_submit_takes_it_along_under_the_new_name(folder, tmp_path):
    results = tmp_path / "results" / NAME
    shutil.copytree(folder, results)
    (results / "model.toml").unlink()
    put(results, foreign())
    put(results, foreign(), "mteb.XNLI+en.json")
    made = submit(results, "me", tmp_path / "mine")
    document = json.loads((made.folder / "mteb.XNLI.json").read_text())
    assert document["model"]["name"] == "me/hybrid"
    assert not (made.folder / "mteb.XNLI+en.json").exists()
    assert errors(made.folder) == []
    put(results, foreign(scores={"test": {"en": {"main_score": 0.5}}}))
    with pytest.raises(ClirbenchError, match="holds another run"):
        submit(results, "me", tmp_path / "mine")
    put(results, foreign(model={**foreign()["model"], "revision": "other"}))
    with pytest.raises(ClirbenchError, match="is of another model"):
        submit(results, "new", tmp_path / "others")
    # Nothing is left half-written.
    assert not (tmp_path / "others").exists()


@pytest.mark.usefixtures("nothing_refused")
def test_the_model_page_shows_it_apart(folder, tmp_path):
    put(folder, foreign(source="<b>bold</b>"))
    build_site(folder.parent, tmp_path / "_site")
    page = (tmp_path / "_site" / "models" / f"{NAME}.html").read_text(encoding="utf-8")
    html5lib.HTMLParser(strict=True).parse(page)
    section = page.split('aria-labelledby="h-mteb"', 1)[1].split("</section>", 1)[0]
    assert "no part of the board" in section
    assert "XNLI" in section
    assert ">50.0<" in section
    assert "&lt;b&gt;bold&lt;/b&gt;" in section
    front = (tmp_path / "_site" / "index.html").read_text(encoding="utf-8")
    assert "XNLI" not in front
