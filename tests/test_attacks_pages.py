"""The site of a board whose every field holds hostile text, where no check stands before it: it is all text."""

import csv
import io
import json
from pathlib import Path

import html5lib
import pytest
import tomli_w
from attacks.forging import signed
from attacks.mutations import leaves, within
from attacks.pages import ATTACKS
from attacks.submissions import mteb, reported
from small_board import tasks_in, write_board, write_tasks
from test_board_site_browser import CHROMIUM, Visit, chromium  # noqa: F401

import clirbench
from clirbench.board.site.build import build_site
from clirbench.board.text import board_text, shown_board
from clirbench.results.read import parse_mteb_result, parse_submitted
from clirbench.submissions.findings import Examined
from clirbench.submissions.model_toml import parse_model_file
from clirbench.support.errors import ClirbenchError

# The longest that a line of a submission may be.
LINE = 300
# What the pages have themselves.
OURS = {"script": "src", "link": "href", "base": "", "meta": "", "form": ""}


def hostile(content, parse, dump, text):
    """A file in which every text that its schema lets through is this one, and the number of those texts."""
    document, number = content, 0
    for path in list(leaves(document)):
        # Without its task and the name of its ranks file, a result is on no page.
        if not path or path[0] in ("task", "ranks") or not isinstance(within(document, path), str):
            continue
        holder, before = within(document, path[:-1]), within(document, path)
        holder[path[-1]] = text
        try:
            parse(dump(document).encode(), Path("x"))
            number += 1
        except ClirbenchError:
            holder[path[-1]] = before
    return dump(document), number


def spoil(folder, text):
    """Put a text into every field of every file of a submission; the number of fields."""
    fields = 0
    for path in sorted(folder.glob("*.json")):
        parse = parse_mteb_result if path.name.startswith("mteb.") else parse_submitted
        document = json.loads(path.read_text(encoding="utf-8"))
        if "environment" in document:
            document["environment"]["packages"] = {text: text}
        spoilt, number = hostile(document, parse, json.dumps, text)
        path.write_text(spoilt, encoding="utf-8")
        fields += number
        if (folder / f"{path.stem}.ranks.parquet").exists():
            signed(folder, path.stem)
    toml = folder / "model.toml"
    values = parse_model_file(toml.read_bytes(), toml).model_dump(exclude_none=True)
    values["training_data"] = ["x"]
    spoilt, number = hostile(values, parse_model_file, tomli_w.dumps, text)
    toml.write_text(spoilt, encoding="utf-8")
    return fields + number


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A board and its site. Each submission holds some of the texts; together they hold all of them."""
    folder = tmp_path_factory.mktemp("hostile")
    texts = [""]
    for text in ATTACKS.values():
        # As many in one field as there is room for.
        if len(texts[-1]) + len(text) > LINE:
            texts.append("")
        texts[-1] += text
    with tasks_in(write_tasks(folder / "tasks")), pytest.MonkeyPatch.context() as patch:
        honest = write_board(folder, ("hybrid",))
        board, fields = folder / "board", 0
        for number, text in enumerate(texts):
            one = board / f"acme__hybrid{number}"
            one.mkdir(parents=True)
            for path in (honest / "acme__hybrid").iterdir():
                (one / path.name).write_bytes(path.read_bytes())
            mteb()(one)
            if number == 1:
                (one / "mteb.XNLI.json").unlink()
                reported()(one)
            fields += spoil(one, text)
        # No check stands before these pages.
        patch.setattr(
            "clirbench.board.folders.check_submissions", lambda folders, **options: [Examined(path) for path in folders]
        )
        build_site(board, folder / "site")
        frame = clirbench.leaderboard(board)
        assert fields > 25 * len(texts)
        yield folder / "site", frame, texts


def test_no_element_comes_of_a_text(built):
    site, _, texts = built
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(texts)
    shown = set()
    for path in pages:
        raw = path.read_text(encoding="utf-8")
        tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(raw)
        for element in tree.iter():
            if not isinstance(element.tag, str):
                continue
            assert element.tag not in ("iframe", "object", "embed", "base", "img", "style", "foreignObject"), path
            assert not any(name.startswith("on") for name in element.keys()), (path, element.attrib)  # noqa: SIM118
            for name in ("src", "href", "action", "srcdoc", "data"):
                value = element.get(name) or ""
                assert not value.strip().lower().startswith(("javascript:", "data:text")), (path, value)
                assert "evil.example" not in value, (path, value)
            if element.tag == "script":
                assert element.get("src")
                assert not (element.text or "").strip()
            if element.tag == "meta":
                assert element.get("http-equiv") in (None, "Content-Security-Policy")
        text = "".join(tree.itertext())
        shown |= {number for number, one in enumerate(texts) if one in text}
        # A template is text, too. No table holds its product.
        assert str(7919 * 7907) not in raw, path
    # Every text stands on some page, letter for letter.
    assert shown == set(range(len(texts)))


def test_no_script_of_the_site_ends_in_a_text(built):
    for path in (built[0] / "data").rglob("*.js"):
        assert "</script" not in path.read_text(encoding="utf-8").lower(), path
        assert "<!--" not in path.read_text(encoding="utf-8"), path


@pytest.mark.skipif(not CHROMIUM.is_file(), reason="CHROMIUM NOT FOUND: apt-get install chromium")
def test_nothing_runs_and_nothing_is_loaded(built, chromium):  # noqa: F811
    site = built[0]
    visit = Visit(chromium, site)
    try:
        for path in sorted(site.rglob("*.html")):
            page = visit.open(path.relative_to(site).as_posix())
            page.wait_for_load_state("load")
            assert page.evaluate("window.owned === undefined"), path
            # Every element that can be pointed at, or that can have the focus.
            page.evaluate(
                "document.querySelectorAll('*').forEach(e => {"
                "e.dispatchEvent(new MouseEvent('mouseover', {bubbles: true})); if (e.focus) e.focus(); })"
            )
            assert page.evaluate("window.owned === undefined"), path
            assert page.url.startswith("file://")
        assert visit.problems == []
    finally:
        visit.context.close()


def test_tables_of_other_programs_stay_tables(built):
    _, frame, texts = built
    rows = list(csv.reader(io.StringIO(board_text(frame, "csv"))))
    assert len(rows) == 1 + len(texts)
    assert {len(row) for row in rows} == {len(rows[0])}
    assert not any(cell.lstrip().startswith(("=", "+", "@")) for row in rows for cell in row)
    assert len(json.loads(board_text(frame, "json"))) == len(texts)
    lines = board_text(frame, "markdown").splitlines()
    assert len(lines) == 2 + len(texts)
    assert "<script" not in board_text(frame, "markdown").replace("\\<", "")
    assert "\\input{" not in board_text(frame, "latex")
    assert all(cell.isprintable() for cell in shown_board(frame).to_numpy().ravel())
