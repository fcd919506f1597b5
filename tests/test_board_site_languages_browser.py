"""Choices of languages in a real browser: presets, names, margins, and what the address keeps. Statistics of the worker too."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from test_board_site_browser import (  # noqa: F401
    CHROMIUM,
    ROWS,
    chromium,
    column,
    exported,
    models,
    opened,
    site,
    visit,
)  # fmt: skip

import clirbench
from clirbench.metrics.scores import headline_tables
from clirbench.metrics.significance import Bootstrap, interval
from clirbench.tasks.task_file import board_columns

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(not CHROMIUM.is_file(), reason="CHROMIUM NOT FOUND: apt-get install chromium")


def pressed(page):
    return page.eval_on_selector_all(".choices button[aria-pressed=true]", "all => all.map(one => one.textContent)")


def chosen(page):
    return page.eval_on_selector_all("[data-lang]:checked", "all => all.map(one => one.dataset.lang)")


def pick(page, name):
    if not page.locator(".choices").is_visible():
        page.locator("summary", has_text="Languages").click()
    page.locator(".choices").get_by_role("button", name=name, exact=True).click()


def test_a_preset_chooses_and_stays_in_the_address(visit):  # noqa: F811
    page = visit("index.html").page
    pick(page, "European")
    page.locator("#notice", has_text="recomputed").wait_for()
    assert page.url.endswith("#lang=european")
    assert {"de", "el", "en", "es", "ru"} <= set(chosen(page))
    assert not {"ar", "hi", "tr", "zh"} & set(chosen(page))
    assert pressed(page) == ["European"]
    again = visit("index.html#lang=european").page
    again.locator("#notice", has_text="recomputed").wait_for()
    assert chosen(again) == chosen(page)
    pick(page, "all")
    assert page.url.endswith("index.html")
    assert pressed(page) == ["all"]


def test_my_languages_are_kept_on_this_machine(visit):  # noqa: F811
    page = visit("index.html#lang=de,tr").page
    page.locator("#notice", has_text="recomputed").wait_for()
    page.locator("summary", has_text="Languages").click()
    assert page.get_by_role("button", name="mine", exact=True).is_hidden()
    page.get_by_role("button", name="Keep these as mine").click()
    pick(page, "all")
    pick(page, "mine")
    assert chosen(page) == ["de", "tr"]
    # Nobody else's "mine" is the same, so the address has the codes.
    assert page.url.endswith("#lang=de%2Ctr")


def test_languages_have_names(visit):  # noqa: F811
    page = visit("index.html").page
    page.locator("summary", has_text="Languages").click()
    assert page.locator("label", has=page.locator("[data-lang=el]")).inner_text().split() == ["Greek", "el"]
    page = visit("tasks/xquad-r.html").page
    assert "Arabic ar, German de" in page.locator("dl.facts").first.inner_text()
    assert page.locator("table.matrix th abbr[title=Turkish]").inner_text() == "tr"
    page = visit("models/clirbench__hybrid.html").page
    assert page.locator("table.matrix").first.locator("th", has_text="Greek").inner_text().split() == ["Greek", "el"]
    page = visit("compare.html#task=mlqa-r&models=clirbench__hybrid,clirbench__mono").page
    page.locator("#state", has_text="Done").wait_for(timeout=90_000)
    assert page.locator("#out th", has_text="Vietnamese (vi)").count() >= 3


def test_an_export_is_over_the_chosen_languages_in_every_column(visit):  # noqa: F811
    languages, ours, paper = ["de", "en", "zh"], "clirbench/hybrid", "arxiv-2408.10536/xlm-r-hybrid"
    page = visit(f"index.html#task=overview&unfold=yes&lang={','.join(languages)}").page
    page.locator("#notice", has_text="recomputed").wait_for()
    rows = {row["model"]: row for row in json.loads(exported(page, "JSON"))}
    whole = clirbench.leaderboard(ROOT / "submissions").set_index("model")
    for task in ("xquad-r", "mlqa-r"):
        document = clirbench.read_result(ROOT / "submissions" / "clirbench__hybrid" / f"{task}.json").document
        # The overview shows one of these numbers a task, and the export has all of them.
        for setting, metric in board_columns(task).headline:
            if setting == "cross-lingual":
                pairs = [(one, other) for one in languages for other in languages if one != other]
                values = [document.per_pair[one][other][metric] for one, other in pairs]
            else:
                values = [document.per_language[one][setting][metric] for one in languages]
            key = f"{task} {setting} {metric}"
            assert rows[ours][key] == pytest.approx(sum(values) / len(values), abs=1e-5)
            assert abs(rows[ours][key] - whole.at[ours, key]) > 1e-4
            if (setting, metric) != board_columns(task).main:
                assert [rows[ours][f"{key} {end}"] for end in ("low", "high")] == [None, None]
        assert [rows[ours][f"{task} rank {end}"] for end in ("low", "high")] == [None, None]
        assert rows[ours][f"{task} languages"] == len(languages)
        assert rows[ours][f"{task} zero-shot"] == whole.at[ours, f"{task} zero-shot"]
    assert rows[ours]["mean"] is None
    # A publication gives a mean over all pairs alone: nothing of it can be recomputed.
    assert rows[paper]["xquad-r cross-lingual mAP"] is None
    assert whole.at[paper, "xquad-r cross-lingual mAP"] > 0


@pytest.mark.parametrize("task", ["xquad-r", "mlqa-r"])
def test_margins_are_recomputed_as_python_does(visit, task):  # noqa: F811
    languages, name = ["de", "en", "zh"], "clirbench__hybrid"
    page = visit(f"index.html#task={task}&q=clirbench&lang={','.join(languages)}").page
    row = page.locator(f"{ROWS}[data-m={name}]")
    row.locator("small.drawn").nth(3).wait_for(timeout=120_000)
    result = clirbench.read_result(ROOT / "submissions" / name / f"{task}.json")
    tables = headline_tables(result.ranks, result.document.counts.candidates, ["mAP"], ["rank_distance"])
    every = result.document.task.languages
    single = [every.index(language) for language in languages]
    pairs = [(q, c) for q in every for c in every if c != q]
    both = [i for i, pair in enumerate(pairs) if set(pair) <= set(languages)]
    for setting, metric in tables:
        table = tables[setting, metric]
        samples = Bootstrap(len(result.ranks.topics)).means([table])[0][
            :, both if setting == "cross-lingual" else single
        ]
        low, high = interval(np.nanmean(samples, axis=1))
        shown = page.evaluate(
            """([name, key]) => {
                const heads = [...document.querySelectorAll('.panel.on thead th')];
                const i = heads.findIndex(head => head.dataset.key === key);
                const cell = document.querySelector(`.panel.on tr[data-m="${name}"]`).cells[i];
                return [Number(cell.dataset.low), Number(cell.dataset.high)];
            }""",
            [name, f"{task}.{setting}.{metric}"],
        )
        # Both draw a thousand samples, with generators of their own.
        assert shown == pytest.approx([low, high], abs=0.15 * (high - low))
    # A published row has no topics: its margins stay hidden.
    assert page.locator(f"{ROWS}.reported small.drawn").count() == 0
    lines = list(csv.DictReader(io.StringIO(exported(page, "CSV"))))
    line = next(one for one in lines if one["model"] == "clirbench/hybrid")
    assert float(line[f"{task} multilingual mAP low"]) < float(line[f"{task} multilingual mAP"])
    assert line[f"{task} rank low"] == ""
    page.get_by_role("button", name="Reset").click()
    assert page.locator("small.drawn").count() == 0


def test_the_worker_flips_all_signs(visit):  # noqa: F811
    """Tests of small tables by hand: 2 ** topics sign vectors, of which a known share is at least as far from 0."""
    page = visit("compare.html").page
    script = """([first, second, topics]) => {
        const columns = [["monolingual", "de", "de"]];
        const record = (values) => ({columns, languages: ["de"], topics, values: new Float64Array(values)});
        return new Statistics().ask("contrast", {first: record(first), second: record(second)});
    }"""
    # All of five differences are equal: the sum is extreme for 2 of 32 vectors of signs.
    (one, two) = page.evaluate(script, [[1.0] * 5, [0.5] * 5, 5])
    assert one["raw"] == pytest.approx(2 / 32, abs=0.012)
    assert (one["difference"], one["low"], one["high"]) == (0.5, 0.5, 0.5)
    # Twenty topics are three blocks of signs, the last of them not whole.
    rng = np.random.default_rng(3)
    difference = rng.normal(0.3, 1, 20)
    (one, two) = page.evaluate(script, [difference.tolist(), [0.0] * 20, 20])
    signs = 2 * rng.integers(0, 2, (200_000, 20)) - 1
    expected = (np.abs(signs @ difference) >= abs(difference.sum()) - 1e-12).mean()
    assert one["raw"] == pytest.approx(expected, abs=0.02)
    assert json.dumps(one["raw"]) == json.dumps(two["raw"])
