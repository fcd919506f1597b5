"""Every table on a narrow terminal: no number is cut, and what is left out is named."""

import io
import itertools
import re
from collections import Counter

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console, Group

from clirbench.board.printed import board_parts
from clirbench.board.table import leaderboard
from clirbench.cli import lists
from clirbench.cli.display.board import board_tables, comparison_tables, gate_table
from clirbench.cli.display.inspection import inspection_tables
from clirbench.cli.display.plan import plan_tables
from clirbench.cli.display.results import headline_tables, mteb_table, pair_table, print_summary, trec_run_table
from clirbench.evaluation.streaming.forecast import Forecast, LanguageForecast
from clirbench.results.compare import compare
from clirbench.results.gate import gate
from clirbench.results.inspect import inspect_result
from clirbench.results.schema import MtebDocument, RunDocument
from clirbench.support.terminal import PlainTable, cell, plain_table
from clirbench.tasks.task_file import load_task

NUMBER = re.compile(r"(?<![\w.,-])[+-]?\d[\d,]*(?:\.\d+)?(?![\w])")
LONG = "somebody/" + "a-very-long-name-of-a-model-" * 4
WIDTHS = (40, 44, 50, 60, 72, 80, 100, 120)


def screen(width, terminal=True):
    return Console(
        file=io.StringIO(), width=width, force_terminal=terminal, no_color=True, highlight=False, legacy_windows=False
    )


def shown(renderable, width, terminal=True):
    console = screen(width, terminal)
    console.print(renderable)
    return re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())


def tables_in(renderable):
    if isinstance(renderable, PlainTable):
        return [renderable]
    return [one for part in getattr(renderable, "renderables", []) for one in tables_in(part)]


def renamed(result, name):
    model = result.document.model.model_copy(update={"name": name})
    return result.document.model_copy(update={"model": model})


class Recorder:
    """Stands in for a console: keeps what is printed."""

    is_terminal = True

    def __init__(self):
        self.printed = []

    def print(self, renderable, **_):
        self.printed.append(renderable)


def many_languages(document, number):
    """The document as if it had been run on so many languages."""
    names = [f"l{i}" for i in range(number)]
    rng = np.random.default_rng(1)
    pairs = {q: {c: {"mAP": float(rng.random()), "queries": 5} for c in names if c != q} for q in names}
    alone = {q: {"monolingual": {"mAP": float(rng.random())}} for q in names}
    task = document.task.model_copy(update={"languages": names})
    return document.model_copy(update={"task": task, "per_pair": pairs, "per_language": alone})


def forecast():
    row = LanguageForecast("en", 12_345, 106_332_152, 256, 1.2e10, 1_234.0, 3600.0, 86_400.0 * 3, 7200.0)
    return Forecast(load_task("miracl"), "cpu", (row, row), 10**10, 10**11, 5317)


def mteb_result(document):
    scores = {f"eng-Latn-{i}": {"main_score": i / 12} for i in range(11)}
    facts = dict.fromkeys(("task_type", "source", "dataset_revision", "mteb_version"), "1.0")
    return MtebDocument.model_construct(
        task="MLQARetrieval", main_score="ndcg_at_10", model=document.model, encoder=document.encoder,
        scores={"test": scores}, **facts,
    )  # fmt: skip


def trec_run(document):
    run = type("Run", (), {"missing": 3, "queries": 10})
    return RunDocument.model_construct(
        task=document.task, model=LONG, depth=100, run=run, headline={"monolingual": document.headline["monolingual"]}
    )


@pytest.fixture(scope="module")
def inspection(hybrid):
    return inspect_result(hybrid, "de", 2)


@pytest.fixture(scope="module")
def board(_checked_shipped):
    frame = leaderboard()
    frame.loc[0, "model"] = LONG
    return frame


@pytest.fixture
def every_table(hybrid, lexical, inspection, board, monkeypatch):
    """Every table that a command prints, by a name."""
    console = screen(80)
    named = Recorder()
    monkeypatch.setattr(lists, "stdout", lambda: named)
    for command in (lists.tasks, lists.models, lists.metrics):
        command()
    summary = Recorder()
    print_summary([renamed(hybrid, LONG)], summary)
    comparison = compare(hybrid, lexical, (LONG, LONG + "b"))
    drawn = {
        "board": board_tables(board_parts(board), console),
        "summary": Group(*summary.printed),
        "show": headline_tables(hybrid.document, console),
        "compare": comparison_tables(comparison, console, pairs=True),
        "gate": gate_table(gate(lexical, hybrid, 0.5, "5%"), console),
        "plan": plan_tables(forecast(), LONG, 16, console),
        "inspect": inspection_tables(inspection, console),
        "mteb": mteb_table([mteb_result(renamed(hybrid, LONG))], console),
        "trec": trec_run_table(trec_run(hybrid.document), console),
        "pairs of 11": pair_table(many_languages(hybrid.document, 11), "mAP", console),
        "pairs of 18": pair_table(many_languages(hybrid.document, 18), "mAP", console),
        "tasks, models, metrics": Group(*named.printed),
    }
    return [(name, table) for name, group in drawn.items() for table in tables_in(group)]


def test_no_number_is_cut_at_any_width_and_what_is_left_out_is_named(every_table):
    assert {name for name, _ in every_table} >= {"board", "summary", "compare", "pairs of 18"}
    for (name, table), width in itertools.product(every_table, WIDTHS):
        text = shown(table, width)
        where = f"{name} at {width} columns:\n{text}"
        assert max(map(cell_len, text.splitlines())) <= width, where
        assert "…" not in text or "…" in shown(table, 0, terminal=False), where
        note = re.search(rf"notshownat{width}columns:(.*?);pipe", "".join(text.split()))
        left_out = note[1].split(",") if note else []
        kept = [column for column in table.columns if "".join(column.heading.split()) not in left_out]
        assert len(kept) == len(table.columns) - len(left_out), where
        numbers = Counter(NUMBER.findall(text))
        for column in kept:
            if not column.words:
                wanted = Counter(number for one in column.cells for number in NUMBER.findall(str(one)))
                assert not wanted - numbers, where


def test_a_table_says_something_at_40_columns(every_table):
    for name, table in every_table:
        text = shown(table, 40)
        assert sum(heading in text for heading in (c.heading.split("\n")[0][:4] for c in table.columns[1:])) >= 1, name


def test_a_pipe_shows_every_cell_on_one_line(every_table):
    for name, table in every_table:
        if name in ("inspect", "tasks, models, metrics"):
            continue
        lines = shown(table, 100_000, terminal=False).splitlines()
        for column in table.columns:
            for one in column.cells:
                assert any(str(one) in line for line in lines), name


def test_language_pairs_that_do_not_fit_stand_in_a_table_below(hybrid):
    table = pair_table(many_languages(hybrid.document, 18), "mAP", screen(60))
    text = shown(table, 60)
    assert "not shown" not in text
    for language in (f"l{i}" for i in range(18)):
        assert len(re.findall(rf"\b{language}\b", text)) >= 2


def test_a_long_name_folds_at_its_parts_and_leaves_the_numbers():
    table = plain_table(screen(60), ("model", "mono", "cross", "multi"), left=("model",))
    table.add_row(LONG, "67.8 ±1.7", "43.8 ±1.6", "33.6 ±1.6")
    text = shown(table, 60)
    assert all(number in text for number in ("67.8 ±1.7", "43.8 ±1.6", "33.6 ±1.6"))
    assert "".join(line[:30].strip() for line in text.splitlines()[2:]) == LONG
    assert all(line[:30].rstrip().endswith(("-", "/")) for line in text.splitlines()[2:])


def test_a_comparison_loses_nothing_on_a_narrow_terminal(hybrid, lexical):
    comparison = compare(hybrid, lexical, ("me/one", "me/two"))
    for width in (40, 50, 60, 80):
        text = shown(comparison_tables(comparison, screen(width), pairs=True), width)
        words = " ".join(text.split())
        assert "not shown" not in text
        for contrast in comparison.of("overall") + comparison.of("pair"):
            assert f"{contrast.p:.4f}" in text
        for heading in ("difference", "interval", "corrected", "verdict", "me/one is better"):
            assert heading in words, (heading, width)


def test_the_board_says_at_60_columns_which_rows_are_reported(board):
    text = shown(board_tables(board_parts(board), screen(60)), 60)
    assert "not shown at 60 columns" in text
    assert "measured" in text


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [(-0.00001, "", "0.0"), (-0.00001, "+", "0.0"), (0.0004, "+", "0.0"), (0.25, "+", "+25.0"), (-1.0, "+", "-100.0")],
)
def test_a_difference_that_rounds_to_nothing_has_no_sign(value, sign, text):
    assert cell(value, 100, sign=sign) == text


@pytest.mark.usefixtures("checked_shipped")
def test_the_first_screen_says_which_way_is_better(hybrid):
    console = Recorder()
    print_summary([hybrid.document], console)
    text = " ".join(shown(Group(*console.printed), 80).split())
    assert "higher is better; rank distance: lower is better own-lang. preference: best near x1.00" in text
    bias = tables_in(headline_tables(hybrid.document, screen(100)))[1]
    better = dict(zip(bias.columns[0].cells, bias.columns[3].cells, strict=True))
    assert (better["rank_distance"], better["Max@R_normalised"]) == ("lower", "higher")
    assert "rank dist.: lower is better" in " ".join(
        shown(board_tables(board_parts(leaderboard()), screen(80)), 80).split()
    )


def test_the_gate_prints_no_negative_nothing(hybrid):
    table = gate_table(gate(hybrid, hybrid, 0.5, "5%"), screen(100))
    assert "-0" not in shown(table, 100)
