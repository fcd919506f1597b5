"""The history of a board: dated copies stay, their pages say so and lead on, and what changed is what the numbers say."""

import json
import os
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urljoin, urlparse

import html5lib
import pytest
import yaml
from small_board import answers
from test_board_site import FEW, SUBMISSIONS, some
from test_board_site_browser import AXE, CHROMIUM, chromium, needs_axe, opened, page_at
from typer.testing import CliRunner

import clirbench
from clirbench.board.site.build import About, build_site
from clirbench.board.site.history import Release, changes, releases
from clirbench.cli import app
from clirbench.submissions.model_toml import parse_model_file
from clirbench.submissions.submit import submit
from clirbench.support.errors import ClirbenchError

DAY, HOME = "2026-10-01", "https://board.example/"
needs_chromium = pytest.mark.skipif(not CHROMIUM.is_file(), reason="CHROMIUM NOT FOUND: apt-get install chromium")
__all__ = ["chromium", "opened", "page_at"]


@pytest.fixture(scope="module")
def site(tmp_path_factory, _checked_shipped):
    """A board of one model that is kept, and then one of two without the first."""
    folder = tmp_path_factory.mktemp("history")
    about = About.checked("", HOME, "")
    build_site(some(folder / "before", FEW[:1]), folder / "out", about=about, snapshot=DAY)
    first = {
        path.relative_to(folder / "out"): path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()
    }
    build_site(some(folder / "after", FEW[2:4]), folder / "out", about=about)
    return folder / "out", first


def test_a_copy_stays_under_its_address(site):
    output, first = site
    copy = output / "snapshots" / DAY
    kept = {path.relative_to(output): path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert kept == {path: content for path, content in first.items() if path.is_relative_to(f"snapshots/{DAY}")}
    # It has all that the site had but the docs and the history, of which there is one.
    there = {str(path) for path in first if not path.is_relative_to("snapshots")}
    left = {str(path.relative_to(f"snapshots/{DAY}")) for path in kept}
    assert {path for path in there - left if not path.startswith(("docs/", "changes/"))} == {"history.html"}
    assert left <= there
    assert (copy / "models" / f"{FEW[0]}.html").is_file()
    assert not (output / "models" / f"{FEW[0]}.html").exists()
    for path in left:
        if not path.endswith(".html"):
            assert first[(copy / path).relative_to(output)] == first[(output / path).relative_to(output)]


def test_a_page_of_a_copy_says_so_and_names_its_address(site):
    output, _ = site
    for page in (output / "snapshots" / DAY).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        html5lib.HTMLParser(strict=True).parse(text)
        if page.parent.name == "embed":
            # A frame in a page of others has one line for the board: its date, and the way to the copy.
            assert '"../index.html#task=' in text
            assert f"clirbench, board of {DAY}</a>" in text
            continue
        assert f"The board as it was on {DAY}. It stays at {HOME}snapshots/{DAY}/." in text
        assert f'Board of <time datetime="{DAY}">' in text
        address = re.search(r'og:url" content="([^"]*)"', text)[1]
        assert address == f"{HOME}{page.relative_to(output)}"


def test_every_link_of_a_site_with_copies_resolves(site):
    output, _ = site
    for page in output.rglob("*.html"):
        for element in html5lib.parse(page.read_text(encoding="utf-8"), namespaceHTMLElements=False).iter():
            for attribute in ("href", "src"):
                target = urlparse(urljoin(page.as_uri(), element.get(attribute) or ""))
                if element.get(attribute) and target.scheme == "file":
                    assert (output / unquote(target.path)).is_file(), (page, element.get(attribute))


def test_a_line_of_releases_leads_to_each_board(site):
    output, _ = site
    assert [board.name for board in releases(output)] == [DAY, "now"]
    text = (output / "history.html").read_text(encoding="utf-8")
    assert f'<a href="snapshots/{DAY}/index.html">{DAY}</a> <span>1 row</span>' in text
    mean = clirbench.read_result(SUBMISSIONS / FEW[0] / "xquad-r.json").score("multilingual", "mAP")
    assert f"XQuAD-R: clirbench hybrid {100 * mean:.1f}" in text
    assert f'href="changes/{DAY}_now.html"' in text


def test_what_changed_is_told(site):
    output, _ = site
    text = (output / "changes" / f"{DAY}_now.html").read_text(encoding="utf-8")
    assert "2 rows came, 1 went, and 0 numbers of other rows changed." in text
    came = text.partition("Rows that came")[2].partition("Rows that went")[0]
    assert "clirbench/mono" in came
    assert "arxiv-2408.10536/xlm-r-hybrid" in came
    assert "clirbench/hybrid" in text.partition("Rows that went")[2]


def rows(**changed):
    base = {
        "model": "a/b", "name": "B", "evidence": "measured", "xquad-r multilingual mAP": 0.5, "xquad-r bias rank_distance": 100.0,
        "xquad-r rank low": 1, "xquad-r rank high": 2,
    }  # fmt: skip
    return [base | changed]


def test_changes_by_hand():
    before = Release("2026-01-01", rows())

    def told(**changed):
        return changes(before, Release("", rows(**changed)))

    same = told()
    assert (same["came"], same["went"], same["numbers"], same["evidence"], same["ranges"]) == ([], [], [], [], [])
    assert same["leads"] == [("XQuAD-R", "B 50.0", "B 50.0")]
    moved = told(**{"xquad-r multilingual mAP": 0.5123, "xquad-r bias rank_distance": 90.4, "xquad-r rank low": 2})
    assert moved["numbers"] == [
        ("B", "XQuAD-R multilingual mAP", "50.00", "51.23"),
        ("B", "XQuAD-R rank distance", "100", "90"),
    ]
    # Its own numbers changed: that its range moved is no news of others.
    assert moved["ranges"] == []
    assert told(**{"xquad-r rank high": 3})["ranges"] == [("B", "XQuAD-R", "1\u20132", "1\u20133")]
    assert told(evidence="verified")["evidence"] == [("B", "measured", "verified")]
    assert told(**{"xquad-r multilingual mAP": None})["numbers"][0] == (
        "B",
        "XQuAD-R multilingual mAP",
        "50.00",
        "\u2013",
    )
    # What no reader would see is no change.
    assert told(**{"xquad-r multilingual mAP": 0.50001, "xquad-r bias rank_distance": 100.2})["numbers"] == []
    other = told(model="c/d")
    assert [row["model"] for row in other["came"] + other["went"]] == ["c/d", "a/b"]
    assert other["came"][0]["says"] == "XQuAD-R 50.0"


@pytest.mark.usefixtures("checked_shipped")
def test_a_day_is_kept_once(site, tmp_path):
    output, _ = site
    shutil.copytree(output, tmp_path / "out")
    before = (tmp_path / "out" / "index.html").read_bytes()
    with pytest.raises(ClirbenchError, match=rf"--snapshot is '{DAY}'.*a copy stays as it is, so choose another day"):
        build_site(some(tmp_path / "submissions", FEW[:1]), tmp_path / "out", snapshot=DAY)
    assert (tmp_path / "out" / "index.html").read_bytes() == before


@pytest.mark.usefixtures("checked_shipped")
def test_copies_may_stand_alone_where_a_site_is_built(site, tmp_path):
    output, _ = site
    shutil.copytree(output / "snapshots", tmp_path / "out" / "snapshots")
    build_site(some(tmp_path / "submissions", FEW[:1]), tmp_path / "out", snapshot="2026-10-02")
    assert [board.name for board in releases(tmp_path / "out")] == [DAY, "2026-10-02", "now"]
    assert len(list((tmp_path / "out" / "changes").iterdir())) == 3
    again = (tmp_path / "out" / "changes" / "2026-10-02_now.html").read_text(encoding="utf-8")
    assert "Nothing else changed." in again
    # A copy without its data is named, and the site stays as it is.
    (tmp_path / "out" / "snapshots" / DAY / "data" / "board.json").unlink()
    with pytest.raises(ClirbenchError, match=r"board\.json: cannot be read"):
        build_site(tmp_path / "submissions", tmp_path / "out")
    assert (tmp_path / "out" / "changes" / "2026-10-02_now.html").is_file()


@pytest.mark.skipif(shutil.which("git") is None or os.name != "posix", reason="git and bash are not there")
def test_a_deploy_puts_back_the_copies_that_were_kept(site, tmp_path):
    root = Path(__file__).resolve().parent.parent
    who = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **who}

    def bash(line, folder):
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", line]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, timeout=60)

    clone, remote = tmp_path / "clone", (tmp_path / "origin").as_uri()
    for line in ("git init -q --bare -b main origin", f"git clone -q {remote} clone"):
        assert bash(line, tmp_path).returncode == 0
    assert bash("git commit -q --allow-empty -m first && git push -q origin HEAD:main", clone).returncode == 0
    steps = yaml.safe_load((root / ".github/workflows/pages.yml").read_text("utf-8"))["jobs"]["publish"]["steps"]
    names = [step.get("name") for step in steps]
    assert names.index("put the dated copies back") < names.index("build the board")
    step = steps[names.index("put the dated copies back")]["run"]
    # A board that keeps no release has no such branch.
    assert bash(step, clone).returncode == 0
    assert not (clone / "_site").exists()
    # What the docs say keeps a release.
    shutil.copytree(site[0], clone / "_site")
    page = (root / "docs" / "contributing" / "keep-a-board.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n((?:git clone|cp -R).*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        ran = bash(block, clone)
        assert ran.returncode == 0, ran.stderr
    # A deploy begins with a fresh clone of one commit.
    assert bash(f"git clone -q --depth 1 --branch main {remote} fresh", tmp_path).returncode == 0
    assert bash(step, tmp_path / "fresh").returncode == 0

    def files(folder):
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert files(tmp_path / "fresh" / "_site") == {
        Path("snapshots") / path: content for path, content in files(site[0] / "snapshots").items()
    }
    # A deploy that cannot see the branch would take the copies off the site: it fails.
    (tmp_path / "origin").rename(tmp_path / "elsewhere")
    assert bash(step, tmp_path / "fresh").returncode != 0


@pytest.mark.parametrize("day", ["2026-13-01", "20261001", "today", "../../x"])
def test_a_snapshot_is_a_day(tmp_path, day):
    some(tmp_path / "submissions", FEW[:1])
    arguments = ["site", "build", "--submissions", str(tmp_path / "submissions"), "--output", str(tmp_path / "out")]
    built = CliRunner().invoke(app, [*arguments, "--snapshot", day])
    # The command line prints it as one line, and exits with 2.
    assert isinstance(built.exception, ClirbenchError)
    assert str(built.exception) == f"--snapshot is '{day}': write a day as YYYY-MM-DD"
    assert not (tmp_path / "out").exists()


def test_a_submission_carries_its_day(tmp_path):
    (tmp_path / "results" / FEW[0]).mkdir(parents=True)
    for name in ("xquad-r.json", "xquad-r.ranks.parquet"):
        shutil.copyfile(SUBMISSIONS / FEW[0] / name, tmp_path / "results" / FEW[0] / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clirbench.submissions.submit.datetime", Noon)
        first = (
            submit(tmp_path / "results", "acme", tmp_path / "submissions", answers=answers_of_ours()).folder
            / "model.toml"
        )
        assert parse_model_file(first.read_bytes(), first).submitted == "2026-03-04"
        # Made again on another day, it keeps its own.
        Noon.day = "2027-01-01"
        again = (
            submit(tmp_path / "results", "acme", tmp_path / "submissions", answers=answers_of_ours()).folder
            / "model.toml"
        )
    assert parse_model_file(again.read_bytes(), again).submitted == "2026-03-04"


def answers_of_ours():
    return {key: value for key, value in answers().items() if not key.startswith("trained_on.")}


class Noon:
    day = "2026-03-04"

    @classmethod
    def now(cls, _zone):
        from datetime import datetime

        return datetime.fromisoformat(cls.day)


def test_every_row_of_the_board_has_its_day():
    days = [parse_model_file(path.read_bytes(), path).submitted for path in SUBMISSIONS.glob("*/model.toml")]
    assert len(days) == len(list(SUBMISSIONS.glob("*/model.toml")))
    assert all(day and re.fullmatch(r"2026-\d\d-\d\d", day) for day in days)


def test_the_csv_has_the_day(site):
    output, _ = site
    records = json.loads((output / "data" / "board.json").read_text(encoding="utf-8"))
    path = SUBMISSIONS / FEW[2] / "model.toml"
    assert {row["model"]: row["submitted"] for row in records}["clirbench/mono"] == parse_model_file(
        path.read_bytes(), path
    ).submitted


@pytest.fixture
def visit(page_at, site):
    return partial(page_at, folder=site[0])


PAGES = (
    "history.html",
    f"changes/{DAY}_now.html",
    f"snapshots/{DAY}/index.html",
    f"snapshots/{DAY}/models/{FEW[0]}.html",
)


@needs_chromium
@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", PAGES)
def test_axe_finds_no_violation(visit, address, scheme):
    page = visit(address, color_scheme=scheme, bypass_csp=True)
    page.add_script_tag(path=str(AXE))
    violations = page.evaluate("axe.run({preload: false}).then(r => r.violations.map(v => [v.id, v.nodes[0].html]))")
    assert violations == []


@needs_chromium
@pytest.mark.parametrize("address", PAGES)
def test_no_page_scrolls_sideways(visit, address):
    page = visit(address)
    for width in (1440, 768, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@needs_chromium
def test_a_copy_works_as_the_board_did_and_leads_to_the_newest(visit):
    page = visit(f"snapshots/{DAY}/index.html", java_script_enabled=False)
    assert page.locator(".panel tbody tr[data-m]").count() > 0
    page = visit(f"snapshots/{DAY}/index.html")
    page.fill("#q", "nothing like it")
    assert page.locator(".panel.on .empty").is_visible()
    page.get_by_role("link", name="History").first.click()
    assert page.url.endswith("/out/history.html")
    page.locator("ol.releases").get_by_role("link", name=DAY).click()
    assert page.url.endswith(f"/snapshots/{DAY}/index.html")
