"""The win matrix: what it says of two models follows from the tests that `clirbench compare` makes of them."""

import csv
import io
import itertools
from pathlib import Path

import numpy as np
import pytest

import clirbench
from clirbench.board.entries import read_entry
from clirbench.board.site.win_page import matrices, wins_csv
from clirbench.board.table import board_ranks
from clirbench.board.wins import wins
from clirbench.metrics.significance import (
    RANK_PERMUTATIONS,
    _shown,
    holm,
    pairwise_p,
    ranks_of,
    shown_better,
    sign_flips,
)
from clirbench.results.compare import compare

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"
FOLDERS = ("clirbench__hybrid", "clirbench__hybrid+lir-1", "clirbench__mono", "clirbench__bm25", "pyserini__bm25")


@pytest.fixture(scope="module")
def entries():
    return [read_entry(SUBMISSIONS / name) for name in FOLDERS]


@pytest.fixture(scope="module")
def tested(entries):
    return wins(entries, "mlqa-r")


def test_what_is_shown_lies_between_one_test_and_holm_over_all_pairs(tested):
    """Step-down maxT rejects no pair that the single test does not, and all that Holm's method rejects (it is more powerful)."""
    names = [entry.folder.name for entry in tested[0].entries]
    read = {name: clirbench.read_result(SUBMISSIONS / name / "mlqa-r.json") for name in names}
    contrasts = {
        pair: compare(*(read[name] for name in pair), pair) for pair in itertools.combinations(sorted(names), 2)
    }
    shown = none = 0
    for one in tested:
        assert sorted(entry.folder.name for entry in one.entries) == sorted(FOLDERS[:4])
        here = {
            pair: next(c for c in made.of("overall", one.setting) if c.metric == one.metric)
            for pair, made in contrasts.items()
        }
        corrected = dict(zip(here, holm(np.array([contrast.p_raw for contrast in here.values()])), strict=True))
        place = {entry.folder.name: i for i, entry in enumerate(one.entries)}
        for (first, second), contrast in here.items():
            said = one.better[place[first], place[second]]
            assert one.better[place[second], place[first]] == -said
            better = np.sign(contrast.difference) * (-1 if one.setting == "bias" else 1)
            assert said in (0, better)
            assert one.values[place[first]] == pytest.approx(contrast.first)
            if said:
                assert contrast.p_raw < 0.05
            if corrected[first, second] < 0.05:
                assert said == better
            shown, none = shown + (said != 0), none + (said == 0)
    # The four models differ in places, and in places they do not.
    assert shown > 10
    assert none > 0


def test_the_ranges_of_the_board_follow_from_the_matrix(entries, tested):
    main = next(one for one in tested if (one.setting, one.metric) == ("multilingual", "mAP"))
    ranks = board_ranks(entries, "mlqa-r")
    assert main.ranks() == ranks
    for entry, row in zip(main.entries, main.better, strict=True):
        assert ranks[entry.folder] == (1 + (row == -1).sum(), len(row) - (row == 1).sum())


def test_the_best_stands_first_whichever_way_is_better(tested):
    for one in tested:
        values = one.values.tolist()
        assert values == sorted(values, reverse=one.setting != "bias")
    assert {(one.setting, one.metric) for one in tested} == {
        ("monolingual", "mAP"), ("cross-lingual", "mAP"), ("multilingual", "mAP"), ("bias", "rank_distance")
    }  # fmt: skip


def test_a_number_that_nobody_measured_has_no_matrix(entries):
    assert wins(entries, "miracl") == []
    assert wins(entries[4:], "mlqa-r") == []
    [alone] = wins(entries[:1], "mlqa-r", [("multilingual", "mAP")])
    assert alone.better.tolist() == [[0]]
    [page] = matrices({"mlqa-r": [alone]})
    assert page["matrices"][0]["says"] == "One model is measured: there is no pair to test."


def test_the_file_has_every_pair(tested):
    for one in tested:
        head, *lines = csv.reader(io.StringIO(wins_csv(one)))
        folders = [entry.folder.name for entry in one.entries]
        assert head == ["model", "value", *folders]
        assert [line[0] for line in lines] == folders
        assert [[int(cell) for cell in line[2:]] for line in lines] == one.better.tolist()


def test_a_page_counts_over_all_models_and_shows_some(tested, monkeypatch):
    monkeypatch.setattr("clirbench.board.site.win_page.MOST", 2)
    [part] = matrices({"mlqa-r": tested})
    assert part["matrices"][0]["name"] == "All languages in one pool, mAP"
    for shown in part["matrices"]:
        assert len(shown["rows"]) == 2
        assert [sum(row["counts"]) for row in shown["rows"]] == [3, 3]


def test_pairwise_p_by_the_definition():
    """Westfall and Young's step-down maxT, written out: for each pair, the largest statistic of it and all weaker pairs."""
    rng = np.random.default_rng(3)
    shares = rng.normal(size=(40, 5)) + np.array([0, 0, 0.1, 0.3, 0.6])
    pairs = list(itertools.combinations(range(5), 2))
    differences = np.stack([shares[:, a] - shares[:, b] for a, b in pairs], axis=1)
    scale = np.sqrt((differences**2).sum(axis=0))
    observed = np.abs(differences.sum(axis=0)) / scale
    drawn = np.concatenate([np.abs(signed) / scale for signed in sign_flips(differences, 1500)])
    order = np.argsort(-observed)
    p = np.array(
        [(1 + (drawn[:, order[k:]].max(axis=1) >= observed[pair] - 1e-12).sum()) / 1501 for k, pair in enumerate(order)]
    )
    p = np.maximum.accumulate(p)
    result = pairwise_p(shares, 1500)
    for k, pair in enumerate(order):
        assert result[pairs[pair]] == pytest.approx(p[k])


def test_a_matrix_of_three_by_hand():
    better = np.array([[0, 0, 1], [0, 0, 1], [-1, -1, 0]], dtype=np.int8)
    assert ranks_of(better).tolist() == [[1, 2], [1, 2], [3, 3]]
    shares = np.array([[6, 5, 3], [4, 5, 3]] * 5) / 10
    assert (shown_better(shares, False) == -shown_better(shares, True)).all()


def test_what_is_shown_is_what_the_p_values_show():
    """Both ways of testing all pairs agree, also with ties, models that are equal, nearly equal, and far apart."""
    rng = np.random.default_rng(11)
    shown = 0
    for case in range(40):
        topics, models = int(rng.integers(4, 40)), int(rng.integers(2, 12))
        shares = rng.integers(0, 4, (topics, models)) / 4 + rng.choice([0, 0.3, 0.7], models)
        if case % 3 == 1:
            shares[:, 0] = shares[:, -1] + 1e-5 * rng.random(topics)
        if case % 3 == 2:
            shares = shares * 0.01 + rng.random(topics)[:, None] * 100
        better = shown_better(shares, higher_is_better=True)
        assert ((better != 0) == (pairwise_p(shares, RANK_PERMUTATIONS) < 0.05)).all()
        shown += int((better != 0).sum())
    assert shown > 200


def test_nothing_is_shown_where_so_few_sign_vectors_cannot_show_it():
    shares = np.arange(60.0).reshape(20, 3)
    assert not _shown(shares, 0.05, permutations=10).any()
    assert not (pairwise_p(shares, 10) < 0.05).any()
