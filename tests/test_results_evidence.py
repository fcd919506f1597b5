"""What the files of a result do not prove."""

from dataclasses import replace

import pytest
from conftest import ROOT

import clirbench
from clirbench.results.evidence import not_recomputable
from clirbench.results.read import parse_submitted

PREFERENCE = {"headline.bias.own_language_preference", "per_language.*.bias.own_language_preference"}
JUMPS = {"queue_jump", "queue_jump_ratio"}
ALWAYS = {
    "model",
    "encoder",
    "model.toml",
    "environment",
    "cost",
    "provenance",
    "lengths",
    "corpus",
    "indistinguishable",
}


@pytest.fixture(scope="module")
def results():
    """Results of the same model with three languages, with two, and without the multilingual setting."""
    model = "clirbench/char-ngram"
    return {
        "three": clirbench.evaluate(model, "demo", languages=["de", "en", "th"]),
        "two": clirbench.evaluate(model, "demo", languages=["de", "en"]),
        "alone": clirbench.evaluate(model, "demo", languages=["de", "en", "th"], settings=["monolingual"]),
    }


@pytest.mark.parametrize(
    ("name", "column", "expected"),
    [
        ("three", True, JUMPS),
        ("three", False, JUMPS | PREFERENCE),
        # With two languages, every total is the query's, the gold's, or what the sum leaves.
        ("two", True, set()),
        ("two", False, set()),
        ("alone", True, set()),
    ],
)
def test_what_is_named(results, name, column, expected):
    result = results[name]
    ranks = result.ranks if column else replace(result.ranks, query_language_above=None)
    named = not_recomputable(result.document, ranks)
    assert set(named) == ALWAYS | expected
    assert all(reason.startswith(("is ", "was ")) for reason in named.values())


def test_scores_that_depend_on_the_pool_leave_the_golds_language_to_belief(results):
    """Own ranks of a fusion come from another ranking, so only the column gives totals."""
    result = results["two"]
    fused = result.document.model_copy(update={"model": result.document.model.model_copy(update={"kind": "fusion"})})
    assert set(not_recomputable(fused, result.ranks)) == ALWAYS
    without = replace(result.ranks, query_language_above=None)
    assert set(not_recomputable(fused, without)) == ALWAYS | JUMPS | PREFERENCE


def test_published_figures_prove_nothing():
    path = ROOT / "submissions" / "lareqa__mbert-x-x" / "xquad-r.json"
    named = not_recomputable(parse_submitted(path.read_bytes(), path))
    assert {"headline", "per_language", "model", "model.toml"} <= set(named)
