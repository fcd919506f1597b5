"""gate: verdicts and texts against what the results say."""

import numpy as np
import pytest
from command_line import call

import clirbench
from clirbench.results.gate import gate
from clirbench.support.errors import ClirbenchError


def test_gate_fails_a_shown_loss_beyond_its_limit(hybrid, lexical):
    checks = {(c.setting, c.metric): c for c in gate(lexical, hybrid, 0.5, "5%")}
    assert set(checks) == {
        ("monolingual", "mAP"), ("cross-lingual", "mAP"), ("multilingual", "mAP"), ("bias", "rank_distance")
    }  # fmt: skip
    across = checks["cross-lingual", "mAP"]
    assert across.verdict == "fail"
    assert across.lost == pytest.approx(
        100 * (hybrid.score("cross-lingual", "mAP") - lexical.score("cross-lingual", "mAP"))
    )
    distance = checks["bias", "rank_distance"]
    before, after = (r.score("bias", "rank_distance") for r in (hybrid, lexical))
    assert distance.lost == pytest.approx(100 * (after - before) / before)
    assert distance.verdict == "fail"


def test_gate_passes_the_better_model_and_the_same(hybrid, lexical):
    assert {c.verdict for c in gate(hybrid, hybrid, 0, "0%")} == {"pass"}
    assert {c.verdict for c in gate(hybrid, lexical, 0.5, "5%") if c.setting != "monolingual"} == {"pass"}
    # So wide a limit that no loss passes it.
    assert {c.verdict for c in gate(lexical, hybrid, 100)} == {"pass"}
    assert len(gate(lexical, hybrid, 100)) == 3


def test_gate_calls_a_loss_that_may_be_chance_unclear(hybrid):
    ranks = hybrid.ranks
    worse = ranks.own_rank.copy()
    # One gold of one topic falls to the end: a loss, and nothing that a test could tell from chance.
    row = int(np.flatnonzero((ranks.own_rank == 1) & (ranks.query_language == ranks.gold_language))[0])
    worse[row] = 100
    from dataclasses import replace

    changed = clirbench.Result(hybrid.document, replace(ranks, own_rank=worse), b"")
    found = {c.setting: c for c in gate(changed, hybrid, 0.1)}
    assert found["monolingual"].lost > 0.1
    assert found["monolingual"].verdict == "unclear"


def test_gate_on_the_command_line(saved_pair):
    hybrid, lexical = saved_pair
    ran = call("gate", lexical, "--baseline", hybrid)
    assert ran.exit_code == 1
    assert "FAIL" in ran.stdout
    assert call("gate", hybrid, "--baseline", hybrid, "--max-distance-increase", "5%").exit_code == 0
    assert isinstance(call("gate", hybrid, "--baseline", hybrid, "--max-drop", "-1").exception, ClirbenchError)
    wrong = call("gate", hybrid, "--baseline", hybrid, "--max-distance-increase", "5").exception
    assert "give per cent of the baseline, such as 5%" in str(wrong)
