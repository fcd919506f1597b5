"""Fusions: names, weights, identities, and fused scores worked out by hand."""

import numpy as np
import pytest

import clirbench
from clirbench.encoders.base import EncoderOptions, require_encoder
from clirbench.encoders.fusion import fused
from clirbench.encoders.load import load_encoder
from clirbench.results.rescore import rescore
from clirbench.submissions.impossible_ranks import impossible
from clirbench.support.errors import ClirbenchError


def test_fused_scores_by_hand():
    scores = np.array([[[3, 1, 2, 2]], [[0, 0, 0, 9]]], dtype=np.float32)
    rrf = fused("rrf", (1, 1), scores)
    expected = [1 / 61 + 1 / 64, 1 / 64 + 1 / 64, 1 / 63 + 1 / 64, 1 / 63 + 1 / 61]
    assert rrf[0] == pytest.approx(expected, rel=1e-6)
    assert fused("sum", (2, 1), scores)[0] == pytest.approx([2, 0, 1, 2])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("rrf:clirbench/hybrid", "two or more"),
        ("rrf:clirbench/hybrid+", "two or more"),
        ("rrf:clirbench/hybrid+clirbench/hybrid", "two or more different"),
        ("rrf:2*clirbench/hybrid+clirbench/char-ngram", "takes no weights"),
        ("sum:0*clirbench/hybrid+clirbench/char-ngram", "a weight is 0"),
        ("sum:clirbench/hybrid+clirbench/none", "no bundled model"),
    ],
)
def test_bad_fusions(name, told):
    with pytest.raises(ClirbenchError, match=told) as error:
        load_encoder(name)
    assert "\n" not in str(error.value)


def test_a_fusion_has_an_identity_of_its_own():
    one = load_encoder("sum:0.7*clirbench/hybrid+0.3*clirbench/char-ngram")
    other = load_encoder("sum:0.6*clirbench/hybrid+0.4*clirbench/char-ngram")
    assert one.info.name == "fusion/sum-0.7-clirbench-hybrid-0.3-clirbench-char-ngram"
    assert one.info.revision != other.info.revision
    with pytest.raises(ClirbenchError, match="--query-prompt does not apply"):
        load_encoder("rrf:clirbench/hybrid+clirbench/char-ngram", EncoderOptions(query_prompt="q"))
    with pytest.raises(ClirbenchError, match="has no vectors"):
        require_encoder(one)


def test_a_fusion_on_the_demo_set_runs_and_resumes(tmp_path):
    name = "rrf:clirbench/bm25+clirbench/hybrid"
    result = clirbench.evaluate(name, "demo", languages=["en", "de"])
    parts = [
        clirbench.evaluate(part, "demo", languages=["en", "de"]) for part in ("clirbench/bm25", "clirbench/hybrid")
    ]
    values = [part.score("monolingual", "mAP") for part in parts]
    assert result.score("monolingual", "mAP") > min(values)
    assert result.document.model.kind == "fusion"
    assert clirbench.read_result(result.save(tmp_path)).ranks_file == result.ranks_file


def test_the_numbers_of_a_fusion_follow_from_its_ranks():
    """Its ranks in two pools come from two rankings, so no rule compares them."""
    result = clirbench.evaluate("rrf:clirbench/char-ngram+clirbench/hybrid", "demo", languages=["en", "de"])
    sizes = result.document.counts.candidates
    assert rescore(result).differences == []
    assert impossible(result.ranks, sizes, by_pool=True) == []
    assert any("pool_rank" in rule for rule in impossible(result.ranks, sizes))
