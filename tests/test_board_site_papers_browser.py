"""Figures and tables for papers in a real browser: what is saved is read back, and compared with the results."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from test_board_site import SUBMISSIONS, some
from test_board_site_browser import AXE, CHROMIUM, chromium, needs_axe, opened
from test_board_site_browser import page_at as visit
from test_board_site_cite import entries

from clirbench.board.site.build import About, build_site

pytestmark = pytest.mark.skipif(not CHROMIUM.is_file(), reason="CHROMIUM NOT FOUND: apt-get install chromium")
MODELS = (
    "clirbench__hybrid", "clirbench__hybrid+lir-1", "clirbench__mono", "pypi__multilingual-e5-small-4bit",
    "arxiv-2408.10536__xlm-r-hybrid", "arxiv-2408.10536__labse-hybrid",
)  # fmt: skip
MODEL = "models/pypi__multilingual-e5-small-4bit.html"
SVG = "{http://www.w3.org/2000/svg}"
__all__ = ["chromium", "opened", "visit"]


@pytest.fixture(scope="module")
def site(tmp_path_factory, _checked_shipped):
    folder = tmp_path_factory.mktemp("papers")
    about = About.checked("", "https://board.example", "2026-11-27")
    build_site(some(folder / "submissions", MODELS), folder / "out", about=about)
    return folder / "out"


def saved(page, button, kind):
    """What the dialog of a button saves, and the name of the file."""
    button.click()
    page.locator("#paper .row").first.get_by_role("button", name=kind, exact=True).click()
    with page.expect_download() as download:
        page.locator("#paper").get_by_role("button", name="Save").click()
    page.locator("#paper").get_by_role("button", name="Close").click()
    return Path(download.value.path()).read_text(encoding="utf-8"), download.value.suggested_filename


def figures(page):
    return page.locator("button:visible", has_text="Figure for papers")


def table(page, region):
    return page.get_by_role("button", name=f"Table for papers: {region}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", ["figures.html", "index.html", MODEL])
def test_a_figure_needs_nothing_else_and_prints(visit, address, scheme):
    page = visit(address, color_scheme=scheme)
    count = figures(page).count()
    assert count > 0
    for i in range(count):
        for inches in (3.3, 7):
            text, name = saved(page, figures(page).nth(i), f"{inches} in")
            assert name.endswith(f"-{inches}in.svg")
            root = ET.fromstring(text)
            left, _, wide, tall = map(float, root.get("viewBox").split())
            assert root.get("width") == f"{inches}in"
            assert float(root.get("height").removesuffix("in")) == pytest.approx(inches * tall / wide, abs=0.01)
            for element in root.iter():
                assert not {"style", "class", "href", "onclick", "id"} & set(element.attrib)
                assert element.tag.removeprefix(SVG) in {
                    "svg",
                    "g",
                    "title",
                    "desc",
                    "rect",
                    "circle",
                    "path",
                    "line",
                    "text",
                }
                for kind in ("fill", "stroke"):
                    assert re.fullmatch(r"none|#[0-9a-f]{6}", element.get(kind, "none"))
            # White behind all of it, and text that is at least 7 points high on paper.
            back = root.find(f"{SVG}rect")
            assert (back.get("fill"), float(back.get("x")), float(back.get("width"))) == ("#ffffff", left, wide)
            assert float(root.get("font-size")) * 72 * inches / wide >= 7
            assert "Source: clirbench, board of 2026-11-27, https://board.example/" in root.find(f"{SVG}desc").text
            # Dark text on white, whatever the theme.
            assert {text.get("fill") for text in root.iter(f"{SVG}text")} <= {"#1b1f24", "#57606a"}
            shown = page.context.new_page()
            shown.set_content(text.partition("?>")[2])
            laid = shown.evaluate("""() => [...document.querySelectorAll('text')].map(t => t.getBoundingClientRect())
                .map(b => [b.x, b.y, b.right, b.bottom, b.height])""")
            whole = shown.evaluate(
                "(b => [b.x, b.y, b.right, b.bottom])(document.querySelector('svg').getBoundingClientRect())"
            )
            shown.close()
            for j, (x, y, right, bottom, high) in enumerate(laid):
                assert whole[0] - 1 <= x < right <= whole[2] + 1
                for u, v, end, base, _ in laid[j + 1 :]:
                    assert right <= u + 1 or end <= x + 1 or bottom <= v + 0.35 * high or base <= y + 0.35 * high, (
                        address,
                        i,
                        inches,
                    )


def test_bars_keep_the_numbers(visit):
    page = visit(MODEL)
    document = json.loads((SUBMISSIONS / "pypi__multilingual-e5-small-4bit" / "xquad-r.json").read_text())
    text, _ = saved(page, figures(page).first, "3.3 in")
    bars = [one for one in ET.fromstring(text).iter(f"{SVG}rect") if one.get("fill") == "#0b66b5"]
    # One is the legend's.
    drawn = [bar for bar in bars if float(bar.get("width")) > 1.5 * float(bar.get("height"))]
    widths = sorted(float(bar.get("width")) for bar in drawn)
    values = sorted(row["monolingual"]["mAP"] for row in document["per_language"].values())
    assert len(values) == 11
    for width, value in zip(widths, values, strict=True):
        assert width / widths[-1] == pytest.approx(value / values[-1], abs=0.01)


def test_latex_and_csv_have_the_rows_of_the_view(visit):
    page = visit("index.html")
    page.fill("#q", "hybrid")
    shown = page.eval_on_selector_all(
        ".panel.on tbody tr[data-m]:not([hidden])", "rows => rows.map(row => row.dataset.m)"
    )
    assert 1 < len(shown) < len(MODELS)
    button = table(page, "XQuAD-R: mAP x100 and rank distance")
    text, name = saved(page, button, "LaTeX")
    assert name == "xquad-r-map-x100-and-rank-distance.tex"
    inside = re.search(r"\\midrule\n(.*)\\bottomrule", text, re.DOTALL)[1].strip().splitlines()
    columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1]
    # Published figures stand under a title of their own.
    titles = [line for line in inside if line.startswith(r"\multicolumn")]
    assert titles == [
        rf"\multicolumn{{{len(columns)}}}{{l}}{{Published figures: not run here, neither recomputed nor tested}} \\"
    ]
    inside = [line for line in inside if line not in titles]
    assert len(inside) == len(shown)
    assert all(line.endswith(r"\\") and line.count(" & ") == len(columns) - 1 for line in inside)
    document = json.loads((SUBMISSIONS / "clirbench__hybrid" / "xquad-r.json").read_text())["headline"]
    line = next(line for line in inside if " clirbench hybrid &" in line)
    for setting in ("monolingual", "cross-lingual", "multilingual"):
        one = document[setting]["mAP"]
        assert f"{100 * one['value']:.1f} $\\pm$" in line
    head = text.partition("\\toprule\n")[2].partition(" \\\\")[0]
    assert head.startswith("Rank range & Model & All languages in one pool mAP $\\times$100 &")
    text, _ = saved(page, button, "CSV")
    rows = list(csv.reader(io.StringIO(text)))
    assert [len(row) for row in rows] == [len(columns)] * (len(shown) + 1)
    assert rows[0][1] == "Model"


def test_latex_escapes_what_names_hold(visit):
    page = visit("index.html")
    page.evaluate(
        """document.querySelector('.panel.on tbody .model a').textContent = '\\\\input{x} a_b & 5 % $y ~ ^ # <i>';"""
    )
    text, _ = saved(page, table(page, "XQuAD-R: mAP x100 and rank distance"), "LaTeX")
    assert r"\textbackslash{}input\{x\} a\_b \& 5 \% \$y \textasciitilde{} \textasciicircum{} \# $<$i$>$" in text


def test_bibtex_is_of_the_view(visit):
    page = visit("index.html")
    page.fill("#q", "labse")
    text, name = saved(page, table(page, "XQuAD-R: mAP x100 and rank distance"), "BibTeX")
    assert name.endswith(".bib")
    keys = [key for _, key, _ in entries(text)]
    assert keys == ["clirbench", "roy-etal-2020-lareqa", "artetxe-etal-2020-cross", "arXiv-2408.10536"]
    page = visit(MODEL)
    page.eval_on_selector_all("details", "all => all.forEach((one) => { one.open = true; })")
    text, _ = saved(page, table(page, "multilingual-e5-small (4 bits). Headline numbers on MLQA-R. ×100"), "BibTeX")
    keys = [key for _, key, _ in entries(text)]
    assert keys[-1] == "wang2024multilingual"
    assert "lewis-etal-2020-mlqa" in keys


def test_every_table_and_every_chart_has_its_button(visit):
    for address in ("index.html", "wins.html", "aggregate.html", "method.html", "tasks/xquad-r.html", MODEL):
        page = visit(address)
        tables, charts = page.locator("main table").count(), page.locator("main svg.chart").count()
        assert page.locator("button", has_text="Table for papers").count() == tables > 0
        # Bars in a table are a chart for each of their scales.
        scales = page.eval_on_selector_all(
            ".bars", "all => all.flatMap((one) => [...one.querySelectorAll('tbody tr:first-child td .s0')]).length"
        )
        assert scales > 0 or address != MODEL
        assert page.locator("button", has_text="Figure for papers").count() == charts + scales


def test_the_axes_are_chosen_and_kept_in_the_address(visit):
    page = visit("figures.html")
    assert page.locator("section.against:visible").count() == 1
    page.locator("#p-task").select_option("mlqa-r")
    page.locator("#p-axis").select_option("own-language preference")
    again = visit(page.url.rsplit("/", 1)[1])
    assert again.locator("h2:visible").first.inner_text() == "MLQA-R: against own-language preference"
    plain = visit("figures.html", java_script_enabled=False)
    assert plain.locator("section.against:visible").count() == 10


def test_names_in_a_plot_cover_no_other_name_and_no_mark(visit):
    page = visit("figures.html")
    clashes = page.evaluate("""() => {
        const box = (one) => one.getBoundingClientRect();
        const over = (a, b) => a.x < b.right && b.x < a.right && a.y + 3 < b.bottom && b.y + 3 < a.bottom;
        const names = [...document.querySelectorAll('.against:not([hidden]) .name')].map(box);
        const marks = [...document.querySelectorAll('.against:not([hidden]) a .mark')].map(box);
        const covers = (a, i) => names.some((b, j) => j > i && over(a, b)) || marks.some((b) => over(a, b));
        return [names.length, names.filter(covers).length];
    }""")
    assert clashes[0] > 3
    assert clashes[1] == 0


@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(visit, scheme):
    page = visit("figures.html", color_scheme=scheme, bypass_csp=True)
    page.add_script_tag(path=str(AXE))
    scan = "axe.run({preload: false}).then(r => r.violations.map(v => [v.id, v.nodes[0].html]))"
    assert page.evaluate(scan) == []
    figures(page).first.click()
    assert page.evaluate(scan) == []


@pytest.mark.parametrize("width", [1440, 768, 390])
def test_the_page_does_not_scroll_sideways(visit, width):
    page = visit("figures.html")
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    figures(page).first.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
