"""The docs as they are built: every link leads somewhere, nothing is loaded from another host, every page is in the menu."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote, urljoin, urlparse

import html5lib
import pytest
import yaml

import clirbench
from clirbench.support.paths import VARIABLES

# In one process: the docs are built once.
pytestmark = pytest.mark.xdist_group("docs")
ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
AXE = Path(os.environ.get("CLIRBENCH_AXE", ROOT / "tests" / "browser" / "node_modules" / "axe-core" / "axe.min.js"))
CHROMIUM = Path(os.environ.get("CLIRBENCH_CHROMIUM", "/usr/bin/chromium"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The docs at _site/docs of a site whose front page stands in for the board."""
    site = tmp_path_factory.mktemp("docs") / "_site"
    site.mkdir()
    (site / "index.html").write_text("<!doctype html><title>the board</title>")
    ran = subprocess.run(
        [sys.executable, DOCS / "build.py", "--output", site / "docs"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    # Of docstrings that cannot be read as parameters, attributes and errors.
    assert "Failed" not in ran.stderr
    assert "warning" not in (ran.stdout + ran.stderr).lower()
    return site / "docs"


@pytest.fixture(scope="module")
def trees(built):
    # What the builder adds for hosts that serve it is no page of the docs.
    pages = [path for path in sorted(built.rglob("*.html")) if path.name != "404.html"]
    return {path: html5lib.parse(path.read_text(encoding="utf-8"), namespaceHTMLElements=False) for path in pages}


def anchors(tree):
    return {value for node in tree.iter() for key in ("id", "name") if (value := node.get(key))}


def test_every_link_leads_to_a_page_and_an_anchor_that_are_there(trees):
    dead = []
    for page, tree in trees.items():
        for node in tree.iter():
            for key in ("href", "src"):
                address = node.get(key)
                if address is None or urlparse(address).scheme in ("http", "https", "data", "mailto"):
                    continue
                target = urlparse(urljoin(page.as_uri(), address))
                path = Path(unquote(target.path))
                if not path.is_file():
                    dead.append(f"{page.name}: {address}")
                elif target.fragment and path in trees and unquote(target.fragment) not in anchors(trees[path]):
                    dead.append(f"{page.name}: {address} (no such anchor)")
    assert dead == []


def test_nothing_is_loaded_from_another_host(trees, built):
    loads = []
    for page, tree in trees.items():
        for node in tree.iter():
            if node.tag in ("link", "script", "img", "iframe", "source", "video", "audio", "object", "embed", "use"):
                loads += [
                    f"{page.name}: {node.tag} {address}"
                    for key in ("href", "src", "srcset", "data")
                    if re.match(r"(https?:)?//", address := node.get(key) or "")
                ]
        text = page.read_text(encoding="utf-8")
        assert "fonts.googleapis" not in text
        assert "fonts.gstatic" not in text
        # The theme's script fetches these from elsewhere where a page asks for them.
        assert not re.search(r'class="[^"]*\b(mermaid|glightbox|pyodide)\b', text), page.name
    assert loads == []
    for sheet in built.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name


def test_every_page_stands_in_the_menu():
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))

    def named(items):
        for item in items:
            value = next(iter(item.values())) if isinstance(item, dict) else item
            yield from named(value) if isinstance(value, list) else [value]

    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    generated = {f"reference/{name}" for name in reference().pages()}
    assert set(named(settings["nav"])) == written | generated | {"../index.html"}


def reference():
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_docs_and_board_lead_to_each_other(trees, built):
    for page, tree in trees.items():
        links = {urljoin(page.as_uri(), node.get("href")) for node in tree.iter("a") if node.get("href")}
        assert (built.parent / "index.html").as_uri() in links, page.name


def test_a_broken_link_stops_the_build(tmp_path):
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    page = tmp_path / "docs" / "index.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n[nowhere](start/install.md#nowhere)\n", encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, tmp_path / "docs" / "build.py", "--output", tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode != 0
    assert "anchor does not exist" in ran.stdout + ran.stderr
    assert not (tmp_path / "out").exists()


def test_another_folder_is_not_replaced(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    ran = subprocess.run(
        [sys.executable, DOCS / "build.py", "--output", tmp_path], capture_output=True, text=True, check=False
    )
    assert ran.returncode != 0
    assert "was not made by docs/build.py" in ran.stderr
    assert (tmp_path / "mine.txt").is_file()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.mark.skipif(not CHROMIUM.is_file(), reason="CHROMIUM NOT FOUND: apt-get install chromium")
@pytest.mark.skipif(not AXE.is_file(), reason="AXE-CORE NOT FOUND: npm install --prefix tests/browser")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_shuts_a_reader_out(built, browser, scheme):
    page = browser.new_context(color_scheme=scheme).new_page()
    for name in (
        "index",
        "start/troubleshooting",
        "explanation/rank-distance",
        "reference/files",
        "contributing/add-a-metric",
    ):
        page.goto((built / f"{name}.html").as_uri())
        page.add_script_tag(path=str(AXE))
        rules = "{preload: false, runOnly: ['wcag2a', 'wcag2aa']}"
        done = page.evaluate(
            f"axe.run({rules}).then(r => [r.passes.length, r.violations.map(v => v.id + v.nodes[0].html)])"
        )
        assert done[0] > 10
        assert done[1] == [], name
    page.context.close()


@pytest.mark.skipif(not CHROMIUM.is_file(), reason="CHROMIUM NOT FOUND: apt-get install chromium")
def test_pages_fit_a_phone_and_a_desk(built, browser):
    page = browser.new_page()
    wide = []
    for path in sorted(built.rglob("*.html")):
        page.goto(path.as_uri(), wait_until="domcontentloaded")
        for width in (390, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                wide.append(f"{path.relative_to(built).as_posix()} at {width}")
    page.close()
    assert wide == []


@pytest.mark.skipif(not CHROMIUM.is_file(), reason="CHROMIUM NOT FOUND: apt-get install chromium")
def test_the_search_works_from_disk_and_asks_no_host(built, browser):
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((built / "index.html").as_uri())
    page.keyboard.press("Control+k")
    box = page.get_by_placeholder("Search")
    # Key by key, as a reader types: what was typed stays, and all of it is searched.
    box.press_sequentially("rank_distance_normalised", delay=20)
    assert box.input_value() == "rank_distance_normalised"
    page.wait_for_selector("a[role='option'][href*='explanation/rank-distance.html']", timeout=10_000)
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.mark.skipif(not CHROMIUM.is_file(), reason="CHROMIUM NOT FOUND: apt-get install chromium")
def test_the_picture_and_the_tables_of_written_pages_are_not_cut_on_a_desk(built, browser):
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    cut = []
    written = [path.relative_to(DOCS).with_suffix(".html") for path in sorted(DOCS.rglob("*.md"))]
    for path in written:
        page.goto((built / path).as_uri())
        parts = ".md-typeset p, .md-typeset__scrollwrap, .md-typeset__table"
        wide = f"[...document.querySelectorAll('{parts}')].filter(one => one.scrollWidth > one.clientWidth + 1).length"
        cut += [path.as_posix()] * bool(page.evaluate(wide))
    page.close()
    assert cut == []


def test_troubleshooting_quotes_messages_that_there_are():
    text = (DOCS / "start" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| `(.*?)` \|", text, re.M)
    assert len(quoted) > 40
    said = [message for _, message in reference().messages()]
    assert [quote for quote in quoted if not any(quote in message for message in said)] == []


def test_every_room_that_has_messages_has_a_heading_for_them():
    module = reference()
    assert {room for room, _ in module.messages()} <= set(module.ROOMS)


def test_the_page_on_installing_names_every_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    text = (DOCS / "start" / "install.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.M)) == set(extras)


def test_the_tree_of_the_house_is_the_folder():
    text = (DOCS / "contributing" / "house.md").read_text(encoding="utf-8")
    drawn, above = set(), []
    for line in re.search(r"```text\n(clirbench/.*?)```", text, re.DOTALL)[1].splitlines():
        indent, name, words = re.match(r"( *)(\S+)/ +(\S.*)", line).groups()
        above = [*above[: len(indent) // 2], name]
        drawn.add("/".join(above))
        assert len(words.split()) > 1, line
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split(
        "\n"
    )
    folders = {parent.as_posix() for name in listed for parent in Path(name).parents} - {"."}
    # Of what others bring, of a page's parts and of a model's parts, only the folder itself is a room.
    whole = ("submissions/", "docs/", "tests/", "clirbench/encoders/models/hybrid-e5/", ".")
    assert drawn == {folder for folder in folders if not folder.startswith(whole)}


def test_the_files_that_the_house_points_at_are_there():
    text = (DOCS / "contributing" / "house.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:clirbench|site|docs|tests)/[\w./]+)`", text)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_version_stands_in_three_places_alike():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    heading = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)[1]
    assert project["version"] == clirbench.__version__ == heading


def test_every_variable_that_the_code_reads_is_in_the_table_of_the_reference():
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "clirbench").rglob("*.py"))
    pages = "".join(path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md"))
    own = {name for name in VARIABLES if name.startswith("CLIRBENCH_")}
    assert set(re.findall(r"CLIRBENCH_[A-Z_]+\b", code)) == own
    assert set(re.findall(r"CLIRBENCH_[A-Z_]+\b", pages)) <= own
