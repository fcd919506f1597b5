"""Language bias: hand-worked tables, brute force, and what must hold for any encoder."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from peer_measure import kruskal
from scipy.stats import chi2
from scipy.stats import kruskal as kruskal_of_ranks

import clirbench
from clirbench.encoders.encode import Encoded
from clirbench.evaluation.evaluate import rank, score
from clirbench.evaluation.loaded_task import InMemoryTask
from clirbench.metrics.bias import (
    BIAS,
    PoolLists,
    QueueJump,
    equal_expected_rank,
    expected_rank_distance,
    gold_removal,
    target_recall,
)
from clirbench.metrics.retrieval import RankedLists
from clirbench.metrics.scores import compute_scores
from clirbench.ranking.counters import VectorCounter
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.support.context import RunContext
from clirbench.tasks.task import SETTINGS


def pool(*rankings, own=None, languages=None, size=100):
    """Rankings given best first; ``own`` says which position is the own-language gold of each.

    ``languages`` has for each ranking the language of each gold; by default every gold has a language of its own.
    """
    ranking = np.repeat(np.arange(len(rankings)), [len(r) for r in rankings])
    flags = np.zeros(len(ranking), dtype=bool)
    start = 0
    for q, golds in enumerate(rankings):
        flags[start + (own[q] if own else 0)] = True
        start += len(golds)
    language = np.concatenate(languages or [np.arange(len(golds)) for golds in rankings])
    return PoolLists(RankedLists.of(ranking, np.concatenate(rankings).astype(np.int32)), flags, language, size)


def value(name, *rankings, **kwargs):
    return BIAS[name].compute(pool(*rankings, **kwargs)).tolist()


def test_hand_worked_rank_distance():
    assert value("rank_distance", [1, 2, 3], [4, 10, 90]) == [2, 86]
    assert np.isnan(value("rank_distance", [7])).all()


def test_normalised_by_the_expectation_of_a_random_ranking():
    rng = np.random.default_rng(0)
    drawn = [np.sort(rng.permutation(200)[:5] + 1) for _ in range(20_000)]
    distances = np.array([golds[-1] - golds[0] for golds in drawn])
    assert expected_rank_distance(np.array([5.0]), 200)[0] == pytest.approx(distances.mean(), rel=0.01)
    assert np.mean(value("rank_distance_normalised", *drawn, size=200)) == pytest.approx(1, rel=0.01)


def test_the_normaliser_of_xquad_r_is_the_published_one():
    assert expected_rank_distance(np.array([11.0]), 13_014)[0] == pytest.approx(10_845.8, abs=0.05)


def test_hand_worked_max_rank():
    assert value("Max@R", [1, 2], [5, 64]) == [2, 64]
    assert value("Max@R_normalised", [1, 2], [5, 64], [1, 32], size=64) == pytest.approx([1, 0, 0.2])


def test_complete_only_where_it_can_be():
    assert value("Comp@10", [1, 10], [1, 11]) == [1, 0]
    assert np.isnan(value("Comp@10", np.arange(1, 12))[0])
    assert value("Comp@100", np.arange(1, 12)) == [1]


def brute_removal(golds, removed):
    def average_precision(ranks):
        return np.mean([(i + 1) / r for i, r in enumerate(sorted(ranks))])

    rest = [r - (r > removed) for r in golds if r != removed]
    return average_precision(golds) - average_precision(rest)


def test_gold_removal_equals_removing_them_one_by_one():
    rng = np.random.default_rng(3)
    rankings = [np.sort(rng.choice(300, size=int(rng.integers(2, 9)), replace=False) + 1) for _ in range(50)]
    own = [int(rng.integers(len(golds))) for golds in rankings]
    found_own, found_other = gold_removal(pool(*rankings, own=own))
    for q, golds in enumerate(rankings):
        falls = [brute_removal(list(golds), golds[i]) for i in range(len(golds))]
        assert found_own[q] == pytest.approx(falls[own[q]], abs=1e-12)
        assert found_other[q] == pytest.approx(np.mean(np.delete(falls, own[q])), abs=1e-12)


def drawn_rankings(count=60, size=120, languages=5):
    """Ranks of golds, best first, and their languages: some queries have several golds in one language, or golds in one only."""
    rng = np.random.default_rng(18)
    sizes = [1, 2, 2, *rng.integers(1, 14, size=count)]
    rankings = [np.sort(rng.choice(size, size=n, replace=False)) + 1 for n in sizes]
    return rankings, [rng.integers(0, languages, size=n) for n in sizes]


def ranks_by_language(ranks, languages):
    return [[rank for rank, x in zip(ranks, languages, strict=True) if x == one] for one in sorted(set(languages))]


@pytest.mark.parametrize("cutoff", [5, 20, 100, np.inf])
def test_peer_is_that_of_the_package(cutoff):
    rankings, languages = drawn_rankings()
    peer = equal_expected_rank(pool(*rankings, languages=languages), cutoff)
    assert len(set(peer.round(6))) > 10
    for value_here, golds, those in zip(peer, rankings, languages, strict=True):
        kept = [float(rank) if rank <= cutoff else np.nan for rank in golds]
        with np.errstate(invalid="ignore"):
            p = kruskal(*ranks_by_language(kept, those))[1]
        # Where the ranks of all golds are the same after the cut, the package divides zero by zero.
        assert value_here == pytest.approx(1.0 if np.isnan(p) else p, abs=1e-9)


def test_peer_of_golds_that_fill_the_first_ranks_is_the_test_of_kruskal_and_wallis():
    rng = np.random.default_rng(4)
    languages = [rng.permutation(np.repeat(np.arange(3), 4)) for _ in range(20)]
    rankings = [np.arange(1, 13)] * len(languages)
    peer = equal_expected_rank(pool(*rankings, languages=languages))
    expected = [kruskal_of_ranks(*ranks_by_language(range(1, 13), those)).pvalue for those in languages]
    assert peer == pytest.approx(expected, abs=1e-9)
    assert max(peer) - min(peer) > 0.3


def test_peer_takes_golds_of_all_grades_together():
    """The table of docs/explanation/bias.md."""
    language, rank, grade = np.int32([0, 0, 1, 1]), np.int32([1, 2, 3, 4]), np.int8([3, 1, 3, 1])
    none = np.zeros(4, dtype=np.int32)
    ranks = GoldRanks(("t",), ("de", "en"), none, none, language, np.int32([1, 2, 1, 2]), rank, grade=grade)
    for one in (ranks, replace(ranks, grade=None)):
        scores = compute_scores(one, {"de": 9, "en": 9}, ["multilingual"], ["nDCG@10"], ["PEER", "PEER@20"])
        for estimate in scores.headline["bias"].values():
            assert estimate.value == pytest.approx(chi2.sf(3 * 4 / 5, 1))
    by_grade = [kruskal([float(first)], [float(second)])[1] for first, second in ((1, 3), (2, 4))]
    assert by_grade == pytest.approx([chi2.sf(1, 1)] * 2)
    text = (ROOT / "docs" / "explanation" / "bias.md").read_text(encoding="utf-8")
    assert f"PEER is {chi2.sf(3 * 4 / 5, 1):.4f}".replace("0.", ".") in text
    assert f"Both have {by_grade[0]:.4f}".replace("0.", ".") in text


@pytest.mark.parametrize("golds", [2, 3, 4, 11])
def test_peer_is_a_constant_where_each_language_has_one_gold(golds):
    rng = np.random.default_rng(golds)
    rankings = [np.sort(rng.choice(13_014, size=golds, replace=False)) + 1 for _ in range(50)]
    rankings += [np.arange(1, golds + 1), np.arange(1, golds + 1) * 1_000]
    assert value("PEER", *rankings) == pytest.approx([chi2.sf(golds - 1, golds - 1)] * 52, abs=1e-12)
    # With a cut-off there are two values, and the system that finds nothing has the better one.
    assert value("PEER@20", np.arange(golds) + 20, np.arange(golds) + 21) == pytest.approx(
        [chi2.sf(golds - 1, golds - 1), 1]
    )


def test_the_names_of_languages_do_not_change_peer():
    rankings, languages = drawn_rankings()
    renamed = [4 - np.asarray(those) for those in languages]
    first, second = (equal_expected_rank(pool(*rankings, languages=x), 50) for x in (languages, renamed))
    assert first == pytest.approx(second, abs=1e-12)


@pytest.mark.parametrize("cutoff", [1, 20, 100])
def test_target_recall_is_the_recall_of_golds_in_other_languages(cutoff):
    rankings, _ = drawn_rankings()
    own = [i % len(golds) for i, golds in enumerate(rankings)]
    recalls = target_recall(pool(*rankings, own=own), cutoff)
    assert np.isnan(recalls[0])
    for recall, golds, i in zip(recalls, rankings, own, strict=True):
        others = np.delete(golds, i)
        assert np.isnan(recall) if not len(others) else recall == np.mean(others <= cutoff)


def test_hand_worked_queue_jump():
    # For queries of the first language, 6 of 8 wrong candidates that jump are its own, and it holds half of the pool.
    counts = np.array([[[6, 2]], [[0, 0]]]).repeat(1, axis=1)
    jump = QueueJump(counts, np.array([[0.5, 0.5], [0.5, 0.5]]))
    assert jump.matrix[0].tolist() == [1.5, 0.5]
    assert np.isnan(jump.matrix[1]).all()
    assert jump.own_language_preference[0] == 1.5


def scored(collection, queries, candidates):
    encoded = Encoded(queries.astype(np.float32), candidates.astype(np.float32), 0, 0, 0.0, queries.shape[1], 0, {})
    task = InMemoryTask(collection, SETTINGS)
    above = VectorCounter(encoded, collection).count(SETTINGS, RunContext()).added(task.gold_pairs)
    ranks = rank(task, above)
    return ranks, score(task, above, ranks)


def meaning_vectors(collection, language_weight, seed=0):
    """Vectors with a direction per topic and one per language, and noise for wrong candidates."""
    rng = np.random.default_rng(seed)
    topics, languages = len(collection.topics), len(collection.languages)
    queries = np.zeros((len(collection.queries), topics + languages))
    queries[np.arange(len(queries)), collection.query_topic] = 1
    queries[np.arange(len(queries)), topics + collection.query_language] = language_weight
    candidates = np.zeros((len(collection.candidates), topics + languages))
    candidates[:, :topics] = rng.uniform(0, 0.5, (len(candidates), topics))
    candidates[collection.gold_candidate, :topics] = 0
    candidates[collection.gold_candidate, collection.query_topic[collection.gold_query]] = 1
    candidates[np.arange(len(candidates)), topics + collection.candidate_language] = language_weight
    return queries, candidates


def test_a_perfect_encoder_scores_1_with_distance_golds_minus_1(tiny):
    collection = tiny(topics=12)
    _, scores = scored(collection, *meaning_vectors(collection, 0))
    for setting in SETTINGS:
        assert scores.headline[setting]["mAP"].value == 1
        assert (scores.headline[setting]["mAP"].low, scores.headline[setting]["mAP"].high) == (1, 1)
    assert scores.headline["bias"]["rank_distance"].value == 2
    assert scores.headline["bias"]["Max@R"].value == 3
    assert scores.headline["bias"]["own_language_preference"].value is None


def test_an_encoder_that_clusters_by_language_is_seen(tiny):
    collection = tiny(topics=30)
    _, fair = scored(collection, *meaning_vectors(collection, 0))
    _, biased = scored(collection, *meaning_vectors(collection, 3))
    assert biased.headline["monolingual"]["mAP"].value == 1
    assert biased.headline["cross-lingual"]["mAP"].value == 1
    assert biased.headline["multilingual"]["mAP"].value < 0.6
    assert biased.headline["bias"]["rank_distance"].value > 20 * fair.headline["bias"]["rank_distance"].value
    # Each of the 119 wrong candidates of the query's language stands before both other golds, and few others do.
    assert biased.headline["bias"]["own_language_preference"].value > 1.5
    assert biased.headline["bias"]["own_gold_removal"].value > 0.1


def test_a_constant_encoder_gains_nothing(tiny):
    collection = tiny(topics=10)
    ones = np.ones((len(collection.queries), 4)), np.ones((len(collection.candidates), 4))
    _, scores = scored(collection, *ones)
    assert scores.headline["monolingual"]["R@10"].value == 0
    assert scores.headline["multilingual"]["MRR@10"].value == 0
    # All golds are last, so they are close together: the distance alone would flatter, which Max@R shows.
    assert scores.headline["bias"]["rank_distance"].value == 2
    assert scores.headline["bias"]["Max@R_normalised"].value == 0


def test_the_order_of_languages_changes_nothing(tiny):
    names = ("en", "de", "zh")
    forward, backward = tiny(names, topics=20), tiny(names[::-1], topics=20)
    rng = np.random.default_rng(2)
    vectors = {text: rng.integers(-8, 9, 6) for text in sorted({*forward.queries, *forward.candidates})}
    found = []
    for collection in (forward, backward):
        queries = np.array([vectors[text] for text in collection.queries])
        candidates = np.array([vectors[text] for text in collection.candidates])
        found.append(scored(collection, queries + 1e-3, candidates)[1])
    for setting in (*SETTINGS, "bias"):
        for name, estimate in found[0].headline[setting].items():
            assert found[1].headline[setting][name].value == pytest.approx(estimate.value, abs=1e-12), name


def test_transfer_ratio_is_cross_over_mono():
    result = clirbench.evaluate("clirbench/char-ngram", "demo", languages=["en", "de"])
    document = result.document
    pairs = [document.per_pair["en"]["de"]["mAP"], document.per_pair["de"]["en"]["mAP"]]
    own = [document.per_language[x]["monolingual"]["mAP"] for x in ("en", "de")]
    assert result.score("bias", "transfer_ratio") == pytest.approx(np.mean(pairs) / np.mean(own))
    assert document.per_language["en"]["bias"]["transfer_ratio"] == pytest.approx(pairs[0] / own[0])
