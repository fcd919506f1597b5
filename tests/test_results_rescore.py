"""Queue-jump totals that the ranks contradict, and how many values are compared: against loops."""

import numpy as np
import pytest

from clirbench.results.rescore import Difference, ExpectedJumps, _compare_jumps, _leaves


def by_loops(languages, totals, expected):
    found = []
    for q, query in enumerate(languages):
        for g, gold in enumerate(languages):
            stated = totals[q][g].tolist()
            if sum(stated) != expected.sums[q][g] or min(stated) < 0:
                found.append(Difference(f"queue_jump.{query}.{gold}", sum(stated), int(expected.sums[q][g])))
            for c, given in enumerate(expected.totals[q][g].tolist()):
                if given >= 0 and given != stated[c]:
                    found.append(Difference(f"queue_jump.{query}.{gold}.{languages[c]}", stated[c], given))
    return found


@pytest.mark.parametrize("changes", [0, 1, 5, 40])
def test_totals_that_differ_are_those_that_loops_find(changes):
    rng = np.random.default_rng(changes)
    languages = ("a", "b", "c", "d")
    truth = rng.integers(0, 50, (4, 4, 4))
    expected = ExpectedJumps(truth.sum(axis=2), np.where(rng.random(truth.shape) < 0.4, truth, -1))
    totals = truth.copy()
    totals.ravel()[rng.integers(0, 64, changes)] -= rng.integers(-30, 90, changes)
    differences = _compare_jumps(languages, totals, expected)
    assert differences == by_loops(languages, totals, expected)
    assert bool(differences) == bool(changes)


@pytest.mark.parametrize(
    ("value", "leaves"),
    [(None, 1), ({}, 1), ([], 1), ({"a": 1, "b": None}, 2), ({"a": {}, "b": [], "c": {"d": [1, {"e": 2}, [3, 4]]}}, 6)],
)
def test_values_are_counted(value, leaves):
    assert _leaves(value) == leaves
