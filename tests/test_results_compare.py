"""Paired tests against scipy and hand-worked tables; simulations of their error rates; comparisons end to end."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import clirbench
from clirbench.cli import app
from clirbench.metrics.per_topic import TopicTable, shares_of_macro
from clirbench.metrics.significance import Bootstrap, holm, interval, pairwise_p, permutation_p, rank_intervals
from clirbench.results.compare import compare, sentence
from clirbench.support.errors import ClirbenchError

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"


def result(model, task="mlqa-r"):
    return clirbench.read_result(SUBMISSIONS / f"clirbench__{model}" / f"{task}.json")


@pytest.fixture(scope="module")
def compared():
    return compare(result("hybrid"), result("cross"), ("hybrid", "cross"))


def test_holm_by_hand():
    # Sorted: .01 x 4, .02 x 3, .03 x 2 = .06, .04 x 1 -> .06 (never smaller than the one before).
    assert holm(np.array([0.04, 0.01, 0.03, 0.02])) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm(np.array([0.9, 0.6])).tolist() == [1.0, 1.0]


def test_permutation_p_agrees_with_scipy():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((40, 3)) + np.array([0.0, 0.3, 0.5])
    found = permutation_p(values)
    for column in range(3):
        truth = stats.permutation_test(
            (values[:, column], np.zeros(40)),
            lambda a, b, axis: (a - b).mean(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=19999,
            rng=np.random.default_rng(1),
        ).pvalue
        assert found[column] == pytest.approx(truth, abs=0.012)


def test_permutation_p_is_exact_on_few_topics():
    # Five equal differences: only the two sign vectors that are all alike reach their sum, 2 of 32.
    assert permutation_p(np.ones((5, 1)))[0] == pytest.approx(2 / 32, abs=0.01)
    assert permutation_p(np.zeros((5, 1)))[0] == 1.0


def test_shares_sum_to_the_macro_average():
    rng = np.random.default_rng(2)
    present = rng.random((30, 4)) < 0.7
    present[:, 3] = False
    table = TopicTable(np.where(present, rng.random((30, 4)), 0.0), present.astype(float))
    assert shares_of_macro(table, slice(None)).sum() == pytest.approx(table.macro)
    assert shares_of_macro(table, np.array([1])).sum() == pytest.approx(table.means[1])


def correlated(rng, topics, languages, simulations, effect=0.0):
    """Differences of two models: a topic's languages move together, and each has noise of its own."""
    shared = rng.standard_normal((topics, 1, simulations))
    own = rng.standard_normal((topics, languages, simulations))
    return (effect + 0.7 * shared + 0.7 * own) ** 3


def test_simulated_intervals_cover_and_tests_do_not_cry_wolf():
    """2,000 simulated comparisons, 200 topics in 11 languages, a skewed distribution of differences."""
    rng = np.random.default_rng(20240810)
    simulations = 2000
    truth = correlated(rng, 40_000, 1, 1, 0.2).mean()
    values = correlated(rng, 200, 11, simulations, 0.2).mean(axis=1)
    samples = Bootstrap(200).means([TopicTable(values, np.ones_like(values))])[0]
    bounds = np.array([interval(samples[:, i]) for i in range(simulations)])
    covered = ((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])).mean()
    assert 0.93 <= covered <= 0.97

    null = correlated(rng, 200, 11, simulations).mean(axis=1)
    positives = int((permutation_p(null, 1999) < 0.05).sum())
    # At or below 5 %: a rate above it would have to hide behind chance.
    assert stats.binomtest(positives, simulations, 0.05, "greater").pvalue > 0.05

    # A test on rows would take eleven languages for eleven times the evidence.
    rows = correlated(rng, 50, 11, 200)
    naive = np.mean([stats.ttest_1samp(rows[:, :, i].ravel(), 0).pvalue < 0.05 for i in range(200)])
    assert naive > 0.15


def test_equal_models_are_rarely_told_apart():
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(200):
        shares = rng.standard_normal((80, 1)) + 0.5 * rng.standard_normal((80, 5))
        wrong += (pairwise_p(shares, 499) < 0.05).any()
    assert stats.binomtest(int(wrong), 200, 0.05, "greater").pvalue > 0.05


def test_rank_intervals_by_hand():
    # The first beats all others on every topic; the next two cannot be told apart; the last loses to all.
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((60, 4)) * 0.01
    shares = np.array([1.0, 0.5, 0.5, 0.1]) + noise
    assert rank_intervals(shares, True).tolist() == [[1, 1], [2, 3], [2, 3], [4, 4]]
    assert rank_intervals(shares, False).tolist() == [[4, 4], [2, 3], [2, 3], [1, 1]]
    assert rank_intervals(shares[:, :1], True).tolist() == [[1, 1]]
    # The same ranks twice are one tie, whatever the others do.
    assert rank_intervals(shares[:, [0, 0, 3]], True).tolist() == [[1, 2], [1, 2], [3, 3]]


def test_pairwise_p_with_two_models_is_the_paired_test():
    shares = np.random.default_rng(8).standard_normal((50, 2)) + np.array([0.3, 0.0])
    difference = (shares[:, 0] - shares[:, 1])[:, None]
    assert pairwise_p(shares)[0, 1] == pytest.approx(permutation_p(difference)[0])


def test_differences_are_those_of_the_documents(compared):
    first, second = result("hybrid").document, result("cross").document
    for contrast in compared.of("overall"):
        stated = [d.headline[contrast.setting][contrast.metric].value for d in (first, second)]
        assert [contrast.first, contrast.second] == pytest.approx(stated, abs=1e-12)
        assert contrast.difference == pytest.approx(stated[0] - stated[1], abs=1e-12)
        assert contrast.low <= contrast.difference <= contrast.high
    assert len(compared.of("pair")) == 42
    for contrast in compared.of("pair"):
        cell = first.per_pair[contrast.query_language][contrast.candidate_language]
        assert contrast.first == pytest.approx(cell["mAP"], abs=1e-12)
        assert contrast.topics == cell["queries"]
    for setting in ("monolingual", "cross-lingual", "multilingual", "bias"):
        rows = compared.of("language", setting)
        assert [row.query_language for row in rows] == first.task.languages
        assert [row.p for row in rows] == pytest.approx(holm(np.array([row.p_raw for row in rows])))


def test_one_language_has_no_distance_to_compare():
    models = [clirbench.evaluate(f"clirbench/{name}", "demo", languages=["en"]) for name in ("hybrid", "char-ngram")]
    found = compare(*models, ("a", "b"))
    assert {contrast.setting for contrast in found.contrasts} == {"monolingual", "multilingual"}


def test_which_way_is_better(compared):
    by_setting = {contrast.setting: contrast for contrast in compared.of("overall")}
    # Hybrid finds more in the pool, and its golds stand nearer to each other: rank distance is better when low.
    assert by_setting["multilingual"].better == 1
    assert by_setting["bias"].difference < 0
    assert by_setting["bias"].better == 1


def test_plain_words(compared):
    text = sentence(compared, "cross-lingual")
    rows = compared.of("language", "cross-lingual")
    won = [row.query_language for row in rows if row.better == 1]
    tied = [row.query_language for row in rows if row.better == 0]
    assert won
    assert tied
    assert (
        text
        == f"hybrid is better in {len(won)} of 7 languages ({', '.join(won)}); no difference shown in {', '.join(tied)}"
    )
    same = compare(result("hybrid"), result("hybrid"), ("a", "b"))
    assert sentence(same, "monolingual") == "no difference shown in any of 7 languages"
    assert all(contrast.p == 1 and contrast.difference == 0 for contrast in same.contrasts)


def test_only_like_is_compared_with_like():
    with pytest.raises(ClirbenchError, match=r"differ in 'task.id'"):
        compare(result("hybrid"), result("hybrid", "xquad-r"), ("a", "b"))
    with pytest.raises(ClirbenchError, match="--metric is 'map'"):
        compare(result("hybrid"), result("cross"), ("a", "b"), "map")


def run(*arguments):
    from typer.testing import CliRunner

    return CliRunner().invoke(app, list(arguments), catch_exceptions=True)


def test_compare_on_the_command_line(monkeypatch, tmp_path):
    monkeypatch.chdir(SUBMISSIONS.parent)
    shown = run("compare", "clirbench/hybrid", "submissions/clirbench__mono", "--task", "mlqa-r", "--pairs")
    assert shown.exit_code == 0, shown.output
    assert "multilingual: clirbench/hybrid is better in 7 of 7 languages (all)." in shown.output
    assert re.search(r"^en > zh ", shown.output, re.M)
    path = "submissions/clirbench__hybrid/mlqa-r.json"
    machine = json.loads(run("compare", path, "clirbench/cross", "--format", "json", "--metric", "R@10").output)
    assert [one["task"] for one in machine] == ["mlqa-r"]
    assert {c["metric"] for c in machine[0]["contrasts"]} == {"R@10", "rank_distance"}
    restricted = clirbench.evaluate("clirbench/char-ngram", "demo", languages=["en", "de"]).save(tmp_path / "r").parent
    # What mteb itself found stands beside a result, and is none of ours.
    (restricted / "mteb.MLQARetrieval.json").write_text("{}")
    for arguments, message in (
        (("clirbench/hybird", "clirbench/cross"), "no file, folder or submitted model 'clirbench/hybird'"),
        (("clirbench/hybrid", "lareqa/mbert-x-x"), "reported figures only"),
        (("clirbench/hybrid", path, "--task", "xquad-r"), "do not share task 'xquad-r'"),
        (("clirbench/hybrid", str(tmp_path)), "holds no result"),
        (("clirbench/hybrid", str(restricted)), "holds restricted results only"),
        (("clirbench/hybrid", path, "--format", "yaml"), "--format is 'yaml'"),
    ):
        failed = run("compare", *arguments)
        assert isinstance(failed.exception, ClirbenchError)
        assert message in str(failed.exception)
