"""A model's page in a real browser: from a cell of the pair matrix to its questions, by mouse and by keys."""

import numpy as np
import pytest
from test_board_site import SUBMISSIONS, some
from test_board_site_browser import AXE, CHROMIUM, chromium, needs_axe, opened
from test_board_site_browser import page_at as visit

from clirbench.board.site.build import build_site
from clirbench.results.before_golds import before_golds
from clirbench.results.result import read_result

pytestmark = pytest.mark.skipif(not CHROMIUM.is_file(), reason="CHROMIUM NOT FOUND: apt-get install chromium")
MODELS = (
    "clirbench__hybrid", "clirbench__hybrid+lir-1", "clirbench__mono", "pypi__multilingual-e5-small-4bit",
    "arxiv-2408.10536__xlm-r-hybrid", "pyserini__bm25",
)  # fmt: skip
PAGES = [f"models/{name.replace('+', '%2B')}.html" for name in MODELS]
# The fixtures of the other module are this module's too.
__all__ = ["chromium", "opened", "visit"]


@pytest.fixture(scope="module")
def site(tmp_path_factory, _checked_shipped):
    folder = tmp_path_factory.mktemp("model")
    build_site(some(folder / "submissions", MODELS), folder / "out")
    return folder / "out"


def questions(page, task):
    script = "box => [...box.querySelectorAll('tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    return page.locator(f"#questions-{task}").evaluate(script)


def cell(page, task, query, gold):
    return page.locator(f'table.matrix[data-task="{task}"] button[data-query="{query}"][data-gold="{gold}"]')


def expected(folder, task, query, gold):
    """The rows of a pair, straight from the ranks file."""
    result = read_result(SUBMISSIONS / folder / f"{task}.json")
    ranks = result.ranks
    q, g = ranks.languages.index(query), ranks.languages.index(gold)
    of_pair = np.flatnonzero((ranks.query_language == q) & (ranks.gold_language == g))
    rows = of_pair[np.argsort(-ranks.pool_rank[of_pair], kind="stable")][:20]
    held, shown = before_golds(result, rows), []
    for i, row in enumerate(rows):
        numbers = [f"{value:,}" for value in (ranks.pool_rank[row], ranks.own_rank[row], held.golds[i])]
        bounds = sorted(
            (-int(low) - int(high), name, int(low), int(high))
            for name, low, high in zip(ranks.languages, held.low[i], held.high[i], strict=True)
            if high
        )
        before = ", ".join(f"{name} {low:,}" + (f"–{high:,}" if high > low else "") for _, name, low, high in bounds)
        shown.append([ranks.topics[ranks.topic[row]], query, gold, *numbers, before])
    return shown


def plain(rows):
    return [[text.replace("\u00a0", " ").replace("\u2060", "") for text in row] for row in rows]


@pytest.mark.parametrize(
    ("folder", "task", "query", "gold"),
    [
        ("clirbench__hybrid", "xquad-r", "ar", "de"),
        ("clirbench__hybrid", "mlqa-r", "zh", "zh"),
        ("clirbench__hybrid+lir-1", "xquad-r", "zh", "vi"),
        ("clirbench__mono", "mlqa-r", "de", "ar"),
    ],
)
def test_a_cell_leads_to_its_questions(visit, folder, task, query, gold):
    page = visit(f"models/{folder.replace('+', '%2B')}.html")
    box = page.locator(f"#questions-{task}")
    assert not box.evaluate("box => box.open")
    cell(page, task, query, gold).click()
    page.locator(f"#questions-{task}[open]").wait_for()
    assert box.locator("summary").inner_text() == f"The 20 questions in {query} whose gold in {gold} has the worst rank"
    assert plain(questions(page, task)) == expected(folder, task, query, gold)
    # The address leads back to the same questions.
    address = page.evaluate("location.hash")
    again = visit(f"models/{folder.replace('+', '%2B')}.html{address}")
    again.locator(f"#questions-{task}[open]").wait_for()
    assert questions(again, task) == questions(page, task)


def test_a_matrix_is_one_tab_stop_with_arrow_keys(visit):
    page = visit("models/clirbench__hybrid.html")
    stops = "table => [...table.querySelectorAll('button')].filter(one => one.tabIndex === 0).length"
    for matrix in page.locator("table.matrix[data-task]").all():
        assert matrix.evaluate(stops) == 1
    cell(page, "xquad-r", "ar", "ar").focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowRight"):
        page.keyboard.press(key)
    # At the edge it stays.
    assert page.evaluate("[document.activeElement.dataset.query, document.activeElement.dataset.gold]") == ["ar", "de"]
    assert page.locator('table.matrix[data-task="xquad-r"]').evaluate(stops) == 1
    page.keyboard.press("Enter")
    page.locator("#questions-xquad-r[open]").wait_for()
    assert {(row[1], row[2]) for row in questions(page, "xquad-r")} == {("ar", "de")}
    assert page.evaluate("document.activeElement.closest('details').id") == "questions-xquad-r"


def test_without_a_script_the_page_has_the_questions_of_all_pairs(visit):
    page = visit("models/clirbench__hybrid.html", java_script_enabled=False)
    assert page.locator("table.matrix button").count() == 0
    assert page.locator(".choose").first.is_hidden()
    page.locator("#questions-xquad-r summary").click()
    assert page.locator("#questions-xquad-r tbody tr").count() == 20
    assert page.locator("#questions-xquad-r tbody tr").first.is_visible()
    assert page.locator(".strips").first.is_visible()


@pytest.mark.parametrize("address", PAGES)
@pytest.mark.parametrize("width", [1440, 768, 390])
def test_no_page_scrolls_sideways(visit, address, width):
    page = visit(address)
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_page_is_short_and_nothing_is_printed_over(visit):
    page = visit("models/clirbench__hybrid.html")
    # Two tasks in less than five screens.
    assert page.evaluate("document.documentElement.scrollHeight") < 4500
    page.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
    script = """() => [...document.querySelectorAll('svg.chart')].flatMap(chart => {
        const boxes = [...chart.querySelectorAll('text')].map(one => [one.textContent, one.getBoundingClientRect()]);
        return boxes.flatMap(([a, x], i) => boxes.slice(i + 1).filter(([, y]) =>
            x.left < y.right - 1 && y.left < x.right - 1 && x.top < y.bottom - 1 && y.top < x.bottom - 1).map(([b]) => [a, b]));
    })"""
    assert page.evaluate(script) == []


@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("folder", ["clirbench__hybrid", "pypi__multilingual-e5-small-4bit"])
def test_axe_finds_no_violation_where_all_is_open(visit, folder, scheme):
    page = visit(f"models/{folder}.html", color_scheme=scheme, bypass_csp=True)
    cell(page, "xquad-r", "en", "hi").click()
    page.locator("#questions-xquad-r[open]").wait_for()
    page.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
    page.add_script_tag(path=str(AXE))
    violations = page.evaluate(
        "axe.run({preload: false}).then(result => result.violations.map(v => [v.id, v.nodes[0].html, v.nodes[0].failureSummary]))"
    )
    assert violations == []
