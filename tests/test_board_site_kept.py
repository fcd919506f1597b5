"""What a build keeps: an unchanged submission is not read again, a changed one is, and no damage reaches a page."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup

import clirbench
from clirbench.board import kept_entries, kept_files
from clirbench.board.entries import read_entry
from clirbench.board.kept_entries import StoredResult
from clirbench.board.site import kept, render
from clirbench.board.site.build import About, build_site
from clirbench.board.site.content import Cell
from clirbench.board.site.kept import Store, packed, unpacked
from clirbench.board.table import board_ranks
from clirbench.metrics.per_topic import shares_of_macro
from clirbench.metrics.scores import headline_tables
from clirbench.submissions import accepted
from clirbench.submissions.accepted import CheckRecord
from clirbench.support.errors import ClirbenchError
from clirbench.support.paths import data_dir

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"
FEW = ("clirbench__hybrid", "clirbench__mono", "arxiv-2408.10536__xlm-r-hybrid")

pytestmark = pytest.mark.usefixtures("checked_shipped")


@pytest.fixture
def board(tmp_path):
    for name in FEW:
        shutil.copytree(SUBMISSIONS / name, tmp_path / "submissions" / name)
    return tmp_path / "submissions"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def key_of(folder):
    return CheckRecord().key(folder)


def recalled(store, folder):
    return store.recall(folder, key_of(folder))


def content(site):
    return {path.relative_to(site): path.read_bytes() for path in sorted(site.rglob("*")) if path.is_file()}


def test_a_second_build_reads_no_submission_and_gives_the_same_bytes(board, tmp_path, monkeypatch):
    build_site(board, tmp_path / "first")

    def never(*_, **__):
        raise AssertionError("a submission was read again")

    monkeypatch.setattr(kept, "_made", never)
    build_site(board, tmp_path / "second")
    assert content(tmp_path / "second") == content(tmp_path / "first")


def test_a_changed_submission_alone_is_read_again(board, tmp_path, monkeypatch):
    build_site(board, tmp_path / "first")
    toml = board / FEW[0] / "model.toml"
    toml.write_text(
        toml.read_text(encoding="utf-8").replace('organisation = "clirbench"', 'organisation = "Us"'), "utf-8"
    )
    made, read = kept._made, []
    monkeypatch.setattr(kept, "_made", lambda folder: (read.append(folder.name), made(folder))[1])
    build_site(board, tmp_path / "second")
    assert read == [FEW[0]]
    assert ", by Us" in (tmp_path / "second" / "models" / f"{FEW[0]}.html").read_text(encoding="utf-8")


def test_a_cold_build_gives_the_bytes_of_one_that_kept_everything_else(board, tmp_path):
    build_site(board, tmp_path / "first")
    results = board / FEW[0] / "mlqa-r.json", board / FEW[0] / "mlqa-r.ranks.parquet"
    for path in results:
        path.unlink()
    (board / FEW[0] / "verification.json").unlink()
    build_site(board, tmp_path / "warm")
    for folder in ("entries", "site"):
        shutil.rmtree(kept_files.kept_root() / folder)
    build_site(board, tmp_path / "cold")
    assert content(tmp_path / "warm") == content(tmp_path / "cold") != content(tmp_path / "first")


@pytest.fixture
def another(monkeypatch):
    """Another version of the code or of the templates, by what changes."""

    def changed(what):
        module, name = (accepted, "_code") if what == "code" else (kept, "templates_digest")
        monkeypatch.setattr(module, name, lambda: what)

    return changed


@pytest.mark.parametrize("what", ["code", "template"])
def test_nothing_is_kept_for_another_version_of_the_code_or_of_a_template(board, store, another, what):
    store.prepare(board / FEW[2], key_of(board / FEW[2]))
    assert recalled(store, board / FEW[2]) is not None
    another(what)
    assert recalled(store, board / FEW[2]) is None


@pytest.mark.parametrize("change", ["text", "name", "new"])
def test_the_hash_of_the_templates_is_of_all_their_names_and_bytes(tmp_path, monkeypatch, change):
    shutil.copytree(data_dir("site") / "templates", tmp_path / "templates")
    monkeypatch.setattr(render, "data_dir", lambda name: tmp_path)
    before = render.templates_digest.__wrapped__()
    assert before == render.templates_digest.__wrapped__()
    path = tmp_path / "templates" / "macros.html"
    if change == "text":
        path.write_text(path.read_text(encoding="utf-8").replace("<td", "<td ", 1), encoding="utf-8")
    elif change == "name":
        path.rename(path.with_name("macro.html"))
    else:
        path.with_name("new.html").write_text("", encoding="utf-8")
    assert render.templates_digest.__wrapped__() != before


def test_the_page_that_is_kept_is_the_one_that_is_made_new(board, store):
    """What is kept of a page is markup, and no text of a submission in it is."""
    toml = board / FEW[0] / "model.toml"
    hostile = toml.read_text(encoding="utf-8").replace('organisation = "clirbench"', 'organisation = "<b>Us</b>"')
    toml.write_text(hostile, encoding="utf-8")
    store.prepare(board / FEW[0], key_of(board / FEW[0]))
    page = store.model(recalled(store, board / FEW[0]))
    kinds = {task: kind for task, kind, _ in page.tasks}
    assert kinds == {"xquad-r": "measured", "mlqa-r": "measured"}
    for task, _, values in page.tasks:
        assert f'<h3 id="bias-{task}">' in values["html"].__html__()
        assert "<b>Us" not in values["html"]
    assert {name for name, _, _ in page.files} == {path.name for path in (board / FEW[0]).iterdir()}


def test_what_is_damaged_is_made_again(board, tmp_path):
    build_site(board, tmp_path / "first")
    files = [path for path in kept_files.kept_root().rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"entry.json", "shares.npz", "rows.json", "page.json", "xquad-r.js"}
    for path in files:
        path.write_bytes(path.read_bytes()[:-40] + b"<script>alert(1)</script>" + path.read_bytes()[-15:])
    build_site(board, tmp_path / "second")
    assert content(tmp_path / "second") == content(tmp_path / "first")


def test_a_cache_that_cannot_be_written_is_no_error(board, tmp_path, monkeypatch):
    build_site(board, tmp_path / "first")
    blocked = tmp_path / "blocked"
    blocked.write_text("a file", encoding="utf-8")
    monkeypatch.setattr(kept_files, "kept_root", lambda: blocked / "cache")
    build_site(board, tmp_path / "second")
    assert content(tmp_path / "second") == content(tmp_path / "first")


def test_an_entry_that_is_kept_is_the_one_that_is_read(board, store):
    for name in FEW:
        store.prepare(board / name, key_of(board / name))
        one, read = recalled(store, board / name).entry, read_entry(board / name)
        assert (one.label, one.origin, one.model, one.verification) == (
            read.label, read.origin, read.model, read.verification,
        )  # fmt: skip
        for task, result in read.results.items():
            assert one.on(task).headline == read.on(task).headline
            if read.origin == "measured":
                assert isinstance(one.results[task], StoredResult)
                assert np.array_equal(one.results[task].ranks.pool_rank, result.ranks.pool_rank)
                assert one.results[task].ranks_file == result.ranks_file


def test_shares_that_are_kept_are_those_of_the_ranks(board, store):
    store.prepare(board / FEW[0], key_of(board / FEW[0]))
    one, read = recalled(store, board / FEW[0]).entry, read_entry(board / FEW[0])
    result = read.results["xquad-r"]
    tables = headline_tables(result.ranks, result.document.counts.candidates, ["mAP"], [], ["multilingual"])
    expected = shares_of_macro(tables["multilingual", "mAP"], slice(None))
    assert np.array_equal(one.shares("xquad-r", "multilingual", "mAP"), expected)
    assert np.array_equal(read.shares("xquad-r", "multilingual", "mAP"), expected)
    distance = one.shares("xquad-r", "bias", "rank_distance")
    assert distance.sum() == pytest.approx(result.document.headline["bias"]["rank_distance"].value)
    assert one.shares("xquad-r", "multilingual", "no such metric") is None
    assert read_entry(board / FEW[2]).shares("xquad-r", "multilingual", "mAP") is None
    assert board_ranks([one], "xquad-r") == board_ranks([read], "xquad-r") == {board / FEW[0]: (1, 1)}


def test_a_submission_that_changes_while_it_is_read_is_not_kept(board, store, monkeypatch):
    made = kept._made

    def changed(folder):
        files = made(folder)
        (folder / "model.toml").write_text((folder / "model.toml").read_text(encoding="utf-8") + "\n", encoding="utf-8")
        return files

    monkeypatch.setattr(kept, "_made", changed)
    with pytest.raises(ClirbenchError, match="was changed while it was read: run it again"):
        store.prepare(board / FEW[0], key_of(board / FEW[0]))
    assert recalled(store, board / FEW[0]) is None


def test_what_was_used_longest_ago_goes_first(board, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "KEPT", 1)
    monkeypatch.setattr(kept_entries, "KEPT", 1)
    store = Store(tmp_path / "store")
    for name in FEW[:2]:
        store.prepare(board / name, key_of(board / name))
    recalled(store, board / FEW[0])
    # A board of two keeps both.
    store.trim(2)
    assert recalled(store, board / FEW[1]) is not None
    recalled(store, board / FEW[0])
    store.trim(1)
    assert recalled(store, board / FEW[0]) is not None
    assert recalled(store, board / FEW[1]) is None


def test_the_leaderboard_takes_what_a_build_has_kept(board, tmp_path, monkeypatch):
    build_site(board, tmp_path / "site")

    def never(*_, **__):
        raise AssertionError("a submission was read again")

    monkeypatch.setattr(kept_entries, "_prepare", never)
    assert len(clirbench.leaderboard(board)) == len(FEW)


def test_text_that_looks_like_markup_comes_back_as_text():
    values = {
        "chart": Markup("<svg/>"),
        "rows": [("a", Cell("1.0", 1.0, ends=(0.5, 1.5))), {"html": "<script>", "markup": [["rows", 0]]}],
        "number": np.float64(0.5),
    }
    back = unpacked(json.loads(json.dumps(packed(values))))
    assert isinstance(back["chart"], Markup)
    assert back["rows"][1] == {"html": "<script>", "markup": [["rows", 0]]}
    assert not isinstance(back["rows"][1]["html"], Markup)
    assert back["rows"][0][1] == {"text": "1.0", "value": 1.0, "margin": "", "mark": "", "heat": "", "ends": [0.5, 1.5]}
    assert back["number"] == 0.5


def test_a_site_can_leave_the_submitted_files_where_they_lie(board, tmp_path):
    address = "https://example.org/board/submissions/"
    build_site(board, tmp_path / "site", about=About.checked("", "", "", address))
    page = (tmp_path / "site" / "models" / f"{FEW[0]}.html").read_text(encoding="utf-8")
    assert f'href="https://example.org/board/submissions/{FEW[0]}/xquad-r.ranks.parquet"' in page
    assert not (tmp_path / "site" / "files").exists()
    with pytest.raises(ClirbenchError, match=r"--files is not an https:// address"):
        About.checked("", "", "", "files")
