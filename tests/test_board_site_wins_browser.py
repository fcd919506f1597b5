"""The page of the win matrix in a real browser."""

import csv
import json

import pytest
from test_board_site import SUBMISSIONS, some
from test_board_site_browser import AXE, CHROMIUM, chromium, needs_axe, opened
from test_board_site_browser import page_at as visit

from clirbench.board.site.build import build_site

pytestmark = pytest.mark.skipif(not CHROMIUM.is_file(), reason="CHROMIUM NOT FOUND: apt-get install chromium")
MODELS = ("clirbench__hybrid", "clirbench__hybrid+lir-1", "clirbench__mono", "clirbench__bm25")
# The fixtures of the other module are this module's too.
__all__ = ["chromium", "opened", "visit"]


@pytest.fixture(scope="module")
def site(tmp_path_factory, _checked_shipped):
    folder = tmp_path_factory.mktemp("wins")
    build_site(some(folder / "submissions", MODELS), folder / "out")
    return folder / "out"


def signs(page):
    """The signs of the shown table by row, and the folders of its rows."""
    script = """() => [...document.querySelectorAll('.wins:not([hidden]) tbody tr:not([hidden])')].map(
        row => [row.dataset.m, [...row.cells].slice(3).filter(cell => !cell.hidden).map(cell => cell.textContent)])"""
    return page.evaluate(script)


def test_the_page_shows_the_matrix_of_the_file(visit, site):
    page = visit("wins.html")
    for task in ("xquad-r", "mlqa-r"):
        page.locator("#w-task").select_option(task)
        for label, number in (
            ("All languages in one pool, mAP", "multilingual.mAP"),
            ("Same language, mAP", "monolingual.mAP"),
            ("Rank distance", "bias.rank_distance"),
        ):
            page.locator("#w-number").select_option(label)
            with (site / "data" / "wins" / f"{task}.{number}.csv").open(encoding="utf-8", newline="") as file:
                head, *lines = csv.reader(file)
            shown = signs(page)
            assert [name for name, _ in shown] == head[2:] == [line[0] for line in lines]
            for i, (line, (_, cells)) in enumerate(zip(lines, shown, strict=True)):
                wanted = [{"1": "+", "-1": "\u2212", "0": "\u00b7"}[cell] for cell in line[2:]]
                wanted[i] = ""
                assert cells == wanted
    assert sorted(head[2:]) == sorted(MODELS)


def test_a_cell_says_what_it_shows_and_leads_to_compare(visit):
    page = visit("wins.html")
    said = page.locator("#said")
    # One tab stop, and arrow keys from there.
    assert page.locator(".wins:not([hidden]) td[tabindex='0']").count() == 1
    rows = [name for name, _ in signs(page)]
    page.locator(f".wins:not([hidden]) tr[data-m='{rows[0]}'] td").nth(2).focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    stated = [
        json.loads((SUBMISSIONS / name / "xquad-r.json").read_text())["headline"]["multilingual"]["mAP"]["value"]
        for name in (rows[0], "clirbench__bm25")
    ]
    assert "clirbench hybrid" in said.inner_text()
    better = f"is shown to be better than BM25 ({100 * stated[0]:.1f} against {100 * stated[1]:.1f})."
    assert better in said.inner_text()
    for key in ["ArrowDown"] * 3 + ["ArrowLeft"] * 3:
        page.keyboard.press(key)
    assert " is shown to be worse than " in said.inner_text()
    said.get_by_role("link").click()
    assert page.url.endswith(
        "compare.html#task=xquad-r&models=" + "%2C".join(name.replace("+", "%2B") for name in (rows[3], rows[0]))
    )


def test_the_choice_is_in_the_address(visit):
    page = visit("wins.html")
    page.locator("#w-task").select_option("mlqa-r")
    page.locator("#w-number").select_option("Across languages, mAP")
    page.get_by_label("Without transforms").check()
    assert "clirbench__hybrid+lir-1" not in [name for name, _ in signs(page)]
    assert all(len(cells) == 3 for _, cells in signs(page))
    again = visit(page.url.rsplit("/", 1)[1])
    assert again.locator("h2:visible").inner_text() == "MLQA-R: Across languages, mAP"
    assert signs(again) == signs(page)


def test_without_javascript_all_matrices_stand_below_one_another(visit):
    page = visit("wins.html", java_script_enabled=False)
    assert page.locator("section.wins:visible").count() == 8
    assert not page.locator("#choose").is_visible()


@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(visit, scheme):
    page = visit("wins.html", color_scheme=scheme, bypass_csp=True)
    page.locator(".wins:not([hidden]) tbody tr td").nth(3).click()
    page.add_script_tag(path=str(AXE))
    violations = page.evaluate("axe.run({preload: false}).then(r => r.violations.map(v => [v.id, v.nodes[0].html]))")
    assert violations == []


@pytest.mark.parametrize("width", [1440, 768, 390])
def test_the_page_does_not_scroll_sideways(visit, width):
    page = visit("wins.html")
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
