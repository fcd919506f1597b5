"""The verdict of a board: who is first, whether tests separate it from the next, and what publications say."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd

from clirbench.board.verdict import verdict
from clirbench.board.wins import Wins

TASK = "xquad-r"


def board(*rows):
    """A table of the board, from rows of model, evidence, multilingual mAP and the range of ranks."""
    columns = ["model", "evidence", f"{TASK} multilingual mAP", f"{TASK} rank low", f"{TASK} rank high"]
    frame = pd.DataFrame(rows, columns=columns).astype({columns[3]: "Int64", columns[4]: "Int64"})
    frame["name"] = frame["model"].str.replace("a/", "")
    frame["origin"] = frame["evidence"].map(lambda one: "reported" if one == "reported" else "measured")
    frame[f"{TASK} not comparable"] = ["other pool" if name == "a/aside" else "" for name in frame["model"]]
    return frame


def told(frame, *better):
    """The verdict, where tests show the first of each pair of models in ``better`` to be better than the second."""
    names = frame["model"].tolist()
    signs = np.zeros((len(names), len(names)), np.int8)
    for one, other in better:
        signs[names.index(one), names.index(other)], signs[names.index(other), names.index(one)] = 1, -1
    rows = tuple(SimpleNamespace(label=name) for name in names)
    return verdict(frame, TASK, Wins("multilingual", "mAP", rows, frame[f"{TASK} multilingual mAP"].to_numpy(), signs))


def test_a_first_that_tests_separate():
    frame = board(("a/one", "verified", 0.5, 1, 1), ("a/two", "verified", 0.3, 2, 2))
    assert told(frame, ("a/one", "a/two")) == [
        "Of 2 measured rows, one is first (mAP 50.0); tests separate it from the next model, two (30.0)."
    ]
    small = board(("a/one", "verified", 0.5, 1, 1), ("a/two", "verified", 0.49, 2, 2))
    assert told(small, ("a/one", "a/two"))[0].endswith("the next model, two (49.0), by a small difference.")


def test_a_first_that_tests_do_not_separate():
    frame = board(("a/one", "verified", 0.5, 1, 2), ("a/two", "verified", 0.49, 1, 2))
    assert told(frame)[0].endswith("; tests do not separate it from the next model, two (49.0).")


def test_ranges_that_overlap_are_no_verdict():
    """A third row that is not told from the first widens its range, and a test still tells the first from the second."""
    frame = board(
        ("a/one", "verified", 0.5, 1, 2), ("a/two", "verified", 0.49, 2, 3), ("a/three", "verified", 0.48, 1, 3)
    )
    assert "tests separate it from the next model, two" in told(frame, ("a/one", "a/two"))[0]
    assert "tests do not separate it from the next model, two" in told(frame, ("a/one", "a/three"))[0]


def test_its_own_transforms_are_no_next_model():
    frame = board(
        ("a/one + center", "measured", 0.5, 1, 1), ("a/one", "measured", 0.4, 2, 2), ("a/two", "verified", 0.3, 3, 3)
    )
    assert told(frame, ("a/one + center", "a/two")) == [
        "Of 3 measured rows, one + center is first (mAP 50.0); tests separate it from the next model, two (30.0).",
        "Nobody has run that row again; of those that somebody has, two (30.0) is first.",
    ]


def test_how_fair_the_first_row_is():
    frame = board(
        ("a/one", "verified", 0.5, 1, 1), ("a/two", "verified", 0.3, 2, 2), ("a/paper", "reported", 0.2, None, None)
    )
    frame[f"{TASK} bias rank_distance"] = [1234.4, 80.0, 3.0]
    fair = "With one, the answers to one question stand 1,234 ranks apart on average"
    assert told(frame)[1] == f"{fair}; the fairest measured row has 80 (two)."
    frame[f"{TASK} bias rank_distance"] = [1234.4, 1300.0, 3.0]
    assert told(frame)[1] == f"{fair}; no measured row is fairer."
    frame[f"{TASK} bias rank_distance"] = [math.nan, 1300.0, 3.0]
    assert not [line for line in told(frame) if "ranks apart" in line]


def test_published_figures_are_claims_and_those_that_do_not_compare_are_none():
    rows = [("a/one", "verified", 0.5, 1, 1), ("a/paper", "reported", 0.6, None, None)]
    rows += [("a/paper 2", "reported", 0.7, None, None), ("a/aside", "reported", 0.9, None, None)]
    assert told(board(*rows))[-1] == "Published figures say 60.0 to 70.0, and nobody has run those models here."
    assert verdict(board(*rows[1:2]), TASK, None)[0] == "No row is measured."
