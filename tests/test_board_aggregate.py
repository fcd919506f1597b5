"""The aggregate of a board, on boards that were invented and worked out by hand."""

import csv
import io
import json
import math
import random
import re
import shutil
import typing
from fractions import Fraction
from pathlib import Path

import html5lib
import numpy as np
import pandas as pd
import pytest
from command_line import call
from small_board import tasks_in, write_board, write_tasks

import clirbench
from clirbench.board import aggregate
from clirbench.board.aggregate import (
    coverage,
    domain_mean,
    measured_numbers,
    places,
    rank_moves,
    what_it_covers,
    what_moved,
)
from clirbench.board.site.build import build_site
from clirbench.board.site.content import over_tasks
from clirbench.board.text import moves_text, shown_moves
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task import BoardColumns
from clirbench.tasks.task_file import Domain, averaged_tasks, board_tasks

ROOT = Path(__file__).resolve().parent.parent
DOMAINS = {"wiki": "encyclopaedic", "atlas": "encyclopaedic", "law": "legal", "press": "news"}
NAN = math.nan
# Five models and four tasks of three domains. E was not run on one of them.
NUMBERS = pd.DataFrame(
    {
        "wiki": [80.0, 60.0, 90.0, 40.0, 50.0],
        "atlas": [60.0, 60.0, 90.0, 20.0, 40.0],
        "law": [50.0, 70.0, 20.0, 50.0, 90.0],
        "press": [30.0, 50.0, 10.0, 70.0, NAN],
    },
    index=list("ABCDE"),
)
# A: (70 + 50 + 30) / 3, and so on. Over the four tasks alone A would have 55, and stand before D with 45.
MEANS = {"A": 50.0, "B": 60.0, "C": 40.0, "D": 50.0}
# On wiki C 3, A 2, B 1, D 0; on atlas C 3, A and B 1.5, D 0; on law B 3, A and D 1.5, C 0; on press D 3, B 2, A 1, C 0.
POINTS = {"A": 6.0, "B": 7.5, "C": 6.0, "D": 4.5}


def numbers_of(row):
    return {task: value for task, value in NUMBERS.loc[row].items() if not math.isnan(value)}


def board(numbers=NUMBERS, evidence=None):
    """The board of ``clirbench.leaderboard`` as far as the aggregate reads it."""
    frame = pd.DataFrame({"model": list(numbers.index), "origin": "measured", "evidence": evidence or "measured"})
    for task in numbers:
        frame[f"{task} multilingual mAP"] = numbers[task].to_numpy() / 100
        frame[f"{task} rank low"] = pd.Series(np.where(numbers[task].isna(), None, 1)).astype("Int64")
    return frame


@pytest.fixture
def invented(monkeypatch):
    """The invented tasks stand where those of the task files are asked for."""
    columns = BoardColumns(1, (("multilingual", "mAP"),), ("multilingual", "mAP"), True)
    monkeypatch.setattr(aggregate, "averaged_tasks", lambda: DOMAINS)
    monkeypatch.setattr(aggregate, "board_columns", lambda task: columns)


def test_the_mean_is_over_domains_then_over_their_tasks():
    assert {row: domain_mean(numbers_of(row), DOMAINS) for row in MEANS} == MEANS
    # The task of a domain that has no other weighs as much as both of the encyclopaedic ones.
    more = {**numbers_of("A"), "press": 60.0}
    assert domain_mean(more, DOMAINS) == 60.0
    assert domain_mean({**more, "wiki": 110.0}, DOMAINS) == 65.0


def test_there_is_no_mean_where_a_task_was_not_run():
    assert domain_mean(numbers_of("E"), DOMAINS) is None
    assert domain_mean({}, DOMAINS) is None
    assert domain_mean(numbers_of("A"), {}) is None
    # Nothing is filled in: a number of a task that is not in the mean does not count either.
    assert domain_mean({**numbers_of("E"), "other": 1.0}, DOMAINS) is None


def test_coverage_counts_tasks_and_whole_domains():
    assert coverage(numbers_of("A"), DOMAINS) == ("4/4", "3/3")
    assert coverage(numbers_of("E"), DOMAINS) == ("3/4", "2/3")
    # Half of a domain is none.
    assert coverage(["wiki", "law", "other"], DOMAINS) == ("2/4", "1/3")
    assert coverage([], {}) == ("0/0", "0/0")


def test_places_are_those_worked_out_by_hand():
    placed = places(NUMBERS, DOMAINS)
    assert placed["mean"].to_dict() == MEANS
    assert placed["borda points"].to_dict() == POINTS
    # Equal rows share the best of their places, and the next place is left out.
    assert placed["mean rank"].to_dict() == {"A": 2, "B": 1, "C": 4, "D": 2}
    assert placed["borda rank"].to_dict() == {"A": 2, "B": 1, "C": 2, "D": 4}
    # The mean of equal weights would say something else of A and D.
    assert NUMBERS.loc["A"].mean() > NUMBERS.loc["D"].mean()


def test_the_docs_have_the_same_board():
    text = (ROOT / "docs" / "explanation" / "what-the-board-does-not-say.md").read_text(encoding="utf-8")
    assert f"| model | {' | '.join(DOMAINS)} | mean (rank) | points (rank) |" in text
    placed = places(NUMBERS, DOMAINS)
    for row, numbers in NUMBERS.iterrows():
        shown = ["-" if math.isnan(number) else f"{number:.0f}" for number in numbers]
        if row in placed.index:
            mean, mean_rank, points, borda_rank = placed.loc[row]
            shown += [f"{mean:.0f} ({mean_rank:.0f})", f"{points:.1f} ({borda_rank:.0f})"]
        else:
            shown += ["-"] * 2
        assert f"| {row} | {' | '.join(shown)} |" in text


def test_bordas_points_agree_with_counting_pairs():
    rng = np.random.default_rng(7)
    numbers = pd.DataFrame(rng.integers(0, 6, (9, 4)).astype(float), columns=list(DOMAINS))
    points = places(numbers, DOMAINS)["borda points"]
    for i in numbers.index:
        beaten = [
            Fraction(1) if mine > theirs else Fraction(1, 2)
            for j in numbers.index
            for mine, theirs in zip(numbers.loc[i], numbers.loc[j], strict=True)
            if i != j and mine >= theirs
        ]
        assert points[i] == sum(beaten)
    assert points.sum() == 4 * 9 * 8 / 2


def test_bordas_ranks_are_mtebs_where_nothing_is_missing():
    polars = pytest.importorskip("polars")
    from mteb.benchmarks._create_table import _get_borda_rank

    whole = NUMBERS.dropna()
    theirs = polars.DataFrame(whole.to_dict("list")).select(_get_borda_rank(list(DOMAINS))).to_series().to_list()
    assert places(NUMBERS, DOMAINS)["borda rank"].tolist() == theirs


def test_permuting_models_or_tasks_changes_nothing():
    draw = random.Random(3)
    rng = np.random.default_rng(11)
    # Numbers whose sums would be rounded in another way in another order.
    numbers = pd.DataFrame(rng.random((40, 4)) / 3, columns=list(DOMAINS), index=[f"m{i}" for i in range(40)])
    numbers.iloc[7, 2] = NAN
    expected = places(numbers, DOMAINS)
    assert len(expected) == 39
    for _ in range(20):
        models, tasks = list(numbers.index), list(DOMAINS)
        draw.shuffle(models)
        draw.shuffle(tasks)
        shuffled = places(numbers.loc[models, tasks], {task: DOMAINS[task] for task in tasks})
        pd.testing.assert_frame_equal(shuffled.loc[expected.index], expected, check_exact=True)


def test_a_board_without_whole_rows_has_no_places():
    for numbers in (NUMBERS.loc[["E"]], NUMBERS.iloc[:0], NUMBERS.drop(columns="law"), pd.DataFrame(index=["A"])):
        assert places(numbers, DOMAINS).empty
    assert places(NUMBERS, {}).empty
    alone = places(NUMBERS.loc[["A"]], DOMAINS).loc["A"]
    assert alone.tolist() == [50.0, 1, 0.0, 1]


def test_a_row_that_lacks_a_task_changes_nobodys_place():
    assert places(NUMBERS, DOMAINS).equals(places(NUMBERS.drop(index="E"), DOMAINS))


@pytest.mark.usefixtures("invented")
def test_a_task_that_is_left_out_moves_the_ranks_that_it_made():
    moved = rank_moves(board(), "press").set_index("model")
    assert sorted(moved.index) == list("ABCD")
    assert moved["mean rank"].to_dict() == {"A": 2, "B": 1, "C": 4, "D": 2}
    # Without the news: A (70 + 50) / 2, B 65, C 55, D 40. Borda: A 5, B 5.5, C 6, D 1.5.
    assert (100 * moved["mean without"]).round(9).to_dict() == {"A": 60.0, "B": 65.0, "C": 55.0, "D": 40.0}
    assert moved["mean rank without"].to_dict() == {"A": 2, "B": 1, "C": 3, "D": 4}
    assert moved["borda points without"].to_dict() == {"A": 5.0, "B": 5.5, "C": 6.0, "D": 1.5}
    assert moved["borda rank without"].to_dict() == {"A": 3, "B": 2, "C": 1, "D": 4}
    # C and D change their order by the mean; B and C by Borda's count. Pairs that share a place before do not.
    assert what_moved(rank_moves(board(), "press"), "Press") == (
        "Without Press, 1 of 6 pairs of rows change their order by the mean, and 1 by Borda's count."
    )
    # A domain with another task stays in the mean: (60 + 50 + 30) / 3 for A.
    moved = rank_moves(board(), "wiki").set_index("model")
    assert 100 * moved.loc["A", "mean without"] == pytest.approx(140 / 3)


@pytest.mark.usefixtures("invented")
def test_rows_that_move_stand_by_their_rank_and_last_what_differs():
    evidence = ["measured", "measured", "verified", "differs", "verified"]
    assert rank_moves(board(evidence=evidence), "press")["model"].tolist() == ["B", "A", "C", "D"]


@pytest.mark.usefixtures("invented")
def test_only_measured_numbers_are_ranked():
    frame = board()
    # A publication gives A's number on the law.
    frame.loc[0, "law rank low"] = pd.NA
    assert measured_numbers(frame)["law"].isna().tolist() == [True, False, False, False, False]
    assert set(rank_moves(frame, "press")["model"]) == set("BCD")


@pytest.mark.usefixtures("invented")
def test_words_and_formats_of_the_moves():
    moved = rank_moves(board(), "press")
    shown = shown_moves(moved).set_index("model")
    assert shown.loc["D"].tolist() == ["50.0", "40.0", "2", "4 (down 2)", "4", "4", "measured"]
    assert shown.loc["C", "rank by Borda without"] == "1 (up 1)"
    assert [line["model"] for line in csv.DictReader(io.StringIO(moves_text(moved, "csv")))] == moved["model"].tolist()
    assert json.loads(moves_text(moved, "json"))[0]["borda points"] == 7.5
    assert "| 4 (down 2) |" in moves_text(moved, "markdown")
    assert "down 2" in moves_text(moved, "latex")
    told = what_it_covers(board())
    assert told[0] == ("The mean is over 3 domains and 4 tasks (encyclopaedic: wiki, atlas; legal: law; news: press).")
    assert told[1:] == [
        "4 of 5 measured rows were run on all of its tasks, and are ranked here.",
        "The others lack press (1).",
    ]


def test_what_a_mean_of_one_domain_or_one_task_does_not_say(monkeypatch, invented):
    monkeypatch.setattr(aggregate, "averaged_tasks", lambda: {"wiki": "encyclopaedic", "atlas": "encyclopaedic"})
    assert "All of it is encyclopaedic text: it says nothing about any other domain." in what_it_covers(board())
    monkeypatch.setattr(aggregate, "averaged_tasks", lambda: {"wiki": "encyclopaedic"})
    assert any("no task can be left out" in line for line in what_it_covers(board()))
    with pytest.raises(ClirbenchError, match="--leave-out is 'wiki', the only task of the mean"):
        rank_moves(board(), "wiki")
    with pytest.raises(ClirbenchError, match="--leave-out is 'law', which is not in the mean: use wiki"):
        rank_moves(board(), "law")
    monkeypatch.setattr(aggregate, "averaged_tasks", dict)
    assert what_it_covers(board()) == ["No task of this board is in the mean, so there is none."]
    with pytest.raises(ClirbenchError, match=r"no task says 'board.mean = true'"):
        rank_moves(board(), "wiki")


# ------------------------------------------------------------------------------------------------------------ real boards


def test_every_shipped_task_of_the_board_names_its_domain():
    assert {task.id: task.domain for task in board_tasks().values()} == dict.fromkeys(board_tasks(), "encyclopaedic")
    assert averaged_tasks() == {"xquad-r": "encyclopaedic", "mlqa-r": "encyclopaedic"}


def test_domains_are_mtebs_terms():
    from mteb.abstasks.task_metadata import TaskDomain

    assert set(typing.get_args(Domain)) <= {term.lower() for term in typing.get_args(TaskDomain)}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    with tasks_in(write_tasks(folder / "tasks")):
        for path in (write_board(folder) / "acme__bm25").glob("duo.*"):
            path.unlink()
    return folder


@pytest.fixture
def small(written, tmp_path, monkeypatch):
    """A board of two tasks and three models, one of which was run on one task only."""
    monkeypatch.setenv("CLIRBENCH_TASKS", str(written / "tasks"))
    return Path(shutil.copytree(written / "submissions", tmp_path / "submissions"))


def test_columns_of_the_board(small):
    frame = clirbench.leaderboard(small).set_index("model")
    mains = frame[["trio multilingual mAP", "duo multilingual mAP"]]
    whole = ["acme/hybrid", "acme/char-ngram"]
    assert frame.loc[whole, "mean"].tolist() == pytest.approx(mains.loc[whole].mean(axis=1).tolist())
    assert frame.loc["acme/bm25", ["mean tasks", "mean domains"]].tolist() == ["1/2", "0/1"]
    assert frame.loc[whole, "mean tasks"].tolist() == ["2/2", "2/2"]
    assert frame.loc["acme/bm25", ["mean", "mean rank", "borda points", "borda rank"]].isna().all()
    assert sorted(frame.loc[whole, "mean rank"]) == [1, 2]
    assert frame["borda points"].sum() == 2
    # One task alone is not the mean.
    alone = clirbench.leaderboard(small, "trio")
    assert alone[["mean", "mean rank", "borda rank"]].isna().all(axis=None)
    assert set(alone["mean tasks"]) == {"1/2"}


def test_on_the_command_line(small):
    shown = call("leaderboard", "--submissions", small, "--leave-out", "duo")
    assert shown.exit_code == 0, shown.output
    assert re.search(r"^Without duo, \d of 1 pairs of rows change their order", shown.stdout, re.M)
    assert "2 of 3 measured rows were run on all of its tasks" in shown.stdout
    assert "acme/bm25" not in shown.stdout
    read = call("leaderboard", "--submissions", small, "--leave-out", "duo", "--format", "csv").stdout
    assert {line["model"] for line in csv.DictReader(io.StringIO(read))} == {"acme/hybrid", "acme/char-ngram"}
    for arguments, message in (
        (["--leave-out", "demo"], "--leave-out is 'demo', which is not in the mean: use trio, duo"),
        (["--leave-out", "duo", "--task", "trio"], "--leave-out compares all tasks with all but one"),
    ):
        failed = call("leaderboard", "--submissions", small, *arguments)
        assert isinstance(failed.exception, ClirbenchError), failed.output
        assert message in str(failed.exception)


def test_the_page_of_the_site(small, tmp_path):
    build_site(small, tmp_path / "site")
    text = (tmp_path / "site" / "aggregate.html").read_text(encoding="utf-8")
    html5lib.HTMLParser(strict=True).parse(text)
    page = html5lib.parse(text, namespaceHTMLElements=False)
    heads, *rows = [["".join(cell.itertext()) for cell in row] for row in page.findall(".//table//tr")][1:]
    assert heads == ["Model", "mean multi", "by mean", "by Borda", *["by mean", "by Borda"] * 2]
    frame = clirbench.leaderboard(small).set_index("model")
    assert len(rows) == 2
    for label, mean, by_mean, by_borda, *_ in rows:
        line = frame.loc[label.split()[0]]
        assert (mean, by_mean, by_borda) == (
            f"{100 * line['mean']:.1f}", str(line["mean rank"]), str(line["borda rank"]),
        )  # fmt: skip
    assert 'href="aggregate.html"' in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "The others lack duo (1)." in text


def test_the_page_of_a_board_that_cannot_be_ranked(small, tmp_path):
    for path in small.glob("*/duo.*"):
        path.unlink()
    build_site(small, tmp_path / "site")
    text = (tmp_path / "site" / "aggregate.html").read_text(encoding="utf-8")
    assert "no rank can move" in text
    assert "0 of 3 measured rows were run on all of its tasks" in text
    assert over_tasks(clirbench.leaderboard(small), {})["rows"] == []
