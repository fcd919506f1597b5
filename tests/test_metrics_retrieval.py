"""Metrics against pytrec_eval, and hand-worked tables."""

import numpy as np
import pytest
import pytrec_eval

from clirbench.metrics.retrieval import METRICS, RankedLists

TREC = {
    "mAP": "map",
    "R@1": "recall_1",
    "R@10": "recall_10",
    "R@100": "recall_100",
    "nDCG@10": "ndcg_cut_10",
    "nDCG@20": "ndcg_cut_20",
}


def lists(*rankings):
    ranking = np.repeat(np.arange(len(rankings)), [len(r) for r in rankings])
    return RankedLists.of(ranking, np.concatenate(rankings).astype(np.int32))


def compute(name, *rankings):
    return METRICS[name].compute(lists(*rankings)).tolist()


def test_equal_pytrec_eval_on_random_rankings():
    rng = np.random.default_rng(0)
    rankings, qrels, runs = [], {}, {}
    for q in range(60):
        pool = int(rng.integers(5, 400))
        golds = rng.choice(pool, size=int(rng.integers(1, min(pool, 20) + 1)), replace=False)
        rankings.append(rng.permutation(golds) + 1)
        qrels[str(q)] = {f"d{g}": 1 for g in golds}
        runs[str(q)] = {f"d{i}": float(pool - i) for i in range(pool)}
    measures = {"map", "recall.1,10,100", "ndcg_cut.10,20", "recip_rank"}
    truth = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(runs)
    for ours, theirs in TREC.items():
        expected = [truth[str(q)][theirs] for q in range(60)]
        assert compute(ours, *rankings) == pytest.approx(expected, abs=1e-9), ours
    reciprocal = [truth[str(q)]["recip_rank"] for q in range(60)]
    assert compute("MRR@10", *rankings) == pytest.approx([r if r >= 0.1 else 0 for r in reciprocal], abs=1e-9)


def graded(rankings, grades):
    """Ranked lists whose golds have grades: for each ranking the ranks, and in their order the grades."""
    ranking = np.repeat(np.arange(len(rankings)), [len(ranks) for ranks in rankings])
    return RankedLists.of(ranking, np.concatenate(rankings).astype(np.int32), np.concatenate(grades).astype(np.int8))


def test_gains_by_grade_equal_pytrec_eval_on_random_rankings():
    """Also with candidates that are judged and not relevant, which neither gain nor cost anything."""
    rng = np.random.default_rng(1)
    rankings, grades, qrels, runs = [], [], {}, {}
    for q in range(80):
        pool = int(rng.integers(5, 200))
        judged = rng.permutation(pool)[: int(rng.integers(1, min(pool, 40) + 1))]
        grade = rng.choice([-1, 0, 1, 2, 3, 4, 100, 127], size=len(judged))
        grade[0] = max(grade[0], 1)
        rankings.append(judged[grade > 0] + 1)
        grades.append(grade[grade > 0])
        qrels[str(q)] = {f"d{c}": int(g) for c, g in zip(judged, grade, strict=True)}
        runs[str(q)] = {f"d{i}": float(pool - i) for i in range(pool)}
    truth = pytrec_eval.RelevanceEvaluator(qrels, set(TREC.values())).evaluate(runs)
    of_grades = graded(rankings, grades)
    for ours, theirs in TREC.items():
        expected = [truth[str(q)][theirs] for q in range(80)]
        assert METRICS[ours].compute(of_grades).tolist() == pytest.approx(expected, abs=1e-9), ours
    # The grades are read: without them other numbers come out.
    without = METRICS["nDCG@10"].compute(lists(*rankings))
    assert np.abs(without - METRICS["nDCG@10"].compute(of_grades)).max() > 0.1


def test_hand_worked_gains():
    # Grade 1 at rank 1, grade 3 at rank 3: (1 / 1 + 3 / 2) / (3 / 1 + 1 / log2(3)), in whichever order the rows come.
    expected = 2.5 / (3 + 1 / np.log2(3))
    for ranks, grades in (([1, 3], [1, 3]), ([3, 1], [3, 1])):
        assert METRICS["nDCG@10"].compute(graded([ranks], [grades])).tolist() == pytest.approx([expected])
    # Beyond the cut-off a gold gains nothing, and the ideal ranking still has it.
    assert METRICS["nDCG@10"].compute(graded([[1, 11]], [[1, 3]])).tolist() == pytest.approx([1 / (3 + 1 / np.log2(3))])
    # The ideal ranking of the first 10 of 11 golds has the 10 best.
    best = sum(2 / np.log2(place + 1) for place in range(1, 11))
    golds = graded([range(1, 12)], [[1] + [2] * 10])
    assert METRICS["nDCG@10"].compute(golds).tolist() == pytest.approx([(best - 1) / best])
    # One grade for all golds is none.
    assert METRICS["nDCG@10"].compute(graded([[2, 5]], [[3, 3]])).tolist() == pytest.approx(compute("nDCG@10", [2, 5]))


def test_hand_worked_average_precision():
    # Golds at 1, 3 and 30: (1/1 + 2/3 + 3/30) / 3; cut at 20, the third adds nothing.
    assert compute("mAP", [30, 1, 3])[0] == pytest.approx((1 + 2 / 3 + 0.1) / 3)
    assert compute("mAP@20", [30, 1, 3])[0] == pytest.approx((1 + 2 / 3) / 3)


def test_map_at_20_divides_by_at_most_20():
    assert compute("mAP@20", np.arange(1, 26)) == [1.0]
    assert compute("R@10", np.arange(1, 26)) == [10 / 25]


def test_hand_worked_ndcg_and_recall():
    ideal = 1 + 1 / np.log2(3)
    assert compute("nDCG@10", [2, 11])[0] == pytest.approx((1 / np.log2(3)) / ideal)
    assert compute("R@1", [2, 11], [1, 5]) == [0, 0.5]
    assert compute("MRR@10", [11], [10]) == [0, 0.1]


@pytest.mark.parametrize("name", METRICS)
def test_a_perfect_ranking_scores_1_and_a_lost_one_nearly_0(name):
    assert compute(name, [1])[0] == 1
    assert compute(name, [1_000_000])[0] < 1e-5


def test_every_metric_says_what_it_is():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.description
        assert metric.source
