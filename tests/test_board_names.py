"""Rows as people name them: display names, variants in words, rows of one model, and figures that do not compare."""

import shutil
from pathlib import Path

import pytest

from clirbench.board.entries import read_entry
from clirbench.board.folders import accept
from clirbench.board.kept_entries import kept_entries
from clirbench.board.names import families, in_words, row_name
from clirbench.board.table import leaderboard
from clirbench.results.compare import is_small
from clirbench.submissions.check_one import examine
from clirbench.submissions.model_toml import parse_model_file
from clirbench.support.errors import ClirbenchError

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"
E5 = "pypi__multilingual-e5-small-4bit"


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ("", ""),
        ("center", "one mean per language subtracted"),
        ("lir:1", "1 direction per language removed"),
        ("64 dimensions, lsar:5, int8", "64 dimensions, 5 directions of languages removed, int8"),
    ],
)
def test_variants_in_words(variant, words):
    assert in_words(variant) == words


def test_a_row_has_the_name_that_people_use():
    assert row_name(read_entry(SUBMISSIONS / E5)) == "multilingual-e5-small (4 bits)"
    centred = read_entry(SUBMISSIONS / f"{E5}+center")
    assert row_name(centred) == "multilingual-e5-small (4 bits) with one mean per language subtracted"
    unnamed = centred.model.model_copy(update={"display_name": None})
    assert row_name(type(centred)(centred.folder, centred.label, unnamed, centred.results, None)).startswith("pypi/")


def test_variants_and_second_sources_fold_under_their_model():
    names = (E5, f"{E5}+center", "pyserini__mdpr-pft-ms-marco", "arxiv-2409.15700__mdpr", "clirbench__mono+center")
    entries = [read_entry(SUBMISSIONS / name) for name in names]
    folded = [(head.folder.name, [one.folder.name for one in rows]) for head, rows in families(entries)]
    # The model of the last row is not there as it comes.
    assert folded == [(names[0], [names[1]]), (names[2], [names[3]]), (names[4], [])]


def with_lines(tmp_path, name, lines, table=""):
    folder = tmp_path / name
    shutil.copytree(SUBMISSIONS / name, folder)
    path = folder / "model.toml"
    text = path.read_text(encoding="utf-8").replace("\nlink = ", f"\n{lines}\nlink = ", 1)
    path.write_text(text + table, encoding="utf-8")
    return folder


@pytest.mark.parametrize("released", ["24", "2024-13", "2024-02-40", "2024-2", "soon", "2024\\n"])
def test_a_release_is_a_year_a_month_or_a_day(tmp_path, released):
    text = (SUBMISSIONS / E5 / "model.toml").read_text(encoding="utf-8").replace("2024-02-08", released)
    with pytest.raises(ClirbenchError, match="released"):
        parse_model_file(text.encode(), Path("model.toml"))


def test_what_does_not_compare_is_published_and_on_a_task_of_the_board(tmp_path):
    table = '\n[not_comparable]\ndemo = "other"\n'
    text = (SUBMISSIONS / E5 / "model.toml").read_text(encoding="utf-8")
    with pytest.raises(ClirbenchError, match=r"'not_comparable\.demo' is not a task of the board"):
        parse_model_file((text + table).encode(), Path("model.toml"))
    folder = with_lines(tmp_path, "clirbench__bm25", "", table.replace("demo", "xquad-r"))
    errors = [(one.key, one.message) for one in examine(folder).findings if one.level == "error"]
    assert [key for key, _ in errors] == ["not_comparable.xquad-r"]
    assert "has ranks, which compare" in errors[0][1]


@pytest.mark.usefixtures("checked_shipped")
def test_figures_that_do_not_compare_stand_below_all_others():
    entries = {entry.folder.name: entry for entry in kept_entries(accept([SUBMISSIONS]))}
    assert entries["lareqa__mbert-x-y"].not_comparable("xquad-r") == "candidates are encoded with their paragraph"
    assert entries["arxiv-2408.10536__labse-hybrid"].not_comparable("miracl") == "mean over 15 of 18 languages"
    assert entries["arxiv-2408.10536__labse-hybrid"].not_comparable("xquad-r") == ""
    # It is found in the figures too.
    silent = entries["arxiv-2408.10536__labse-hybrid"]
    model = silent.model.model_copy(update={"not_comparable": None})
    assert type(silent)(silent.folder, "", model, silent.results, None).not_comparable("miracl") == (
        "mean over 15 of 18 languages"
    )
    for task in ("xquad-r", "miracl"):
        frame = leaderboard(SUBMISSIONS, task)
        aside = (frame[f"{task} not comparable"] != "").tolist()
        assert aside == sorted(aside)
        assert 0 < sum(aside) < len(aside)


def test_a_small_difference_is_below_a_twentieth():
    assert is_small(0.252, 0.242)
    assert not is_small(0.492, 0.461)
    assert is_small(3282, 3200)
    assert not is_small(0.0, 0.0)
