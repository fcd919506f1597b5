"""Intervals against scipy's bootstrap, and the unit that is resampled."""

import numpy as np
import pytest
from scipy import stats

from clirbench.metrics.per_topic import TopicTable, mean_of_present
from clirbench.metrics.significance import Bootstrap, interval, intervals, permutation_p, sign_flips


def table(values):
    values = np.asarray(values, dtype=float)
    topic, group = np.nonzero(~np.isnan(values))
    return TopicTable.of(topic.astype(np.int32), group, values[topic, group], values.shape)


def test_bootstrap_weights_are_one_draw_however_it_is_cut():
    for topics in (1, 7, 1190, 13495):
        drawn = np.random.default_rng(5).integers(0, topics, size=(250, topics))
        expected = np.stack([np.bincount(row, minlength=topics) for row in drawn])
        assert (Bootstrap(topics, 250, 5).weights == expected).all()


def test_interval_agrees_with_scipy():
    values = np.random.default_rng(0).beta(1, 3, 200)
    samples = mean_of_present(Bootstrap(200, 4000).means([table(values[:, None])])[0])
    truth = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert interval(samples) == pytest.approx((truth.low, truth.high), abs=0.004)


def test_intervals_of_several_are_those_of_each():
    samples = list(np.random.default_rng(5).normal(size=(4, 101)))
    samples[2][7] = np.nan
    expected = [tuple(np.percentile(one, [2.5, 97.5])) for one in samples]
    given = intervals(samples)
    assert given[2] is None
    assert np.array([given[i] for i in (0, 1, 3)]) == pytest.approx(np.array(expected)[[0, 1, 3]], rel=1e-12)
    assert intervals([]) == []


def test_parallel_queries_move_together():
    # Eleven copies of one value per topic are no more evidence than one.
    values = np.random.default_rng(0).random(100)
    boot = Bootstrap(100)
    one = mean_of_present(boot.means([table(values[:, None])])[0])
    eleven = mean_of_present(boot.means([table(np.tile(values[:, None], 11))])[0])
    assert interval(eleven) == pytest.approx(interval(one), abs=1e-12)


@pytest.mark.parametrize("missing", [False, True])
def test_groups_with_equal_counts_are_added_up_first_where_rounding_does_not_matter(missing):
    rng = np.random.default_rng(8)
    present = rng.random((40, 3)) < 0.6
    # Six groups with three kinds of counts, and one group that some samples lack.
    present = present[:, [0, 1, 2, 1, 0, 1]]
    if missing:
        present[:, 5] = False
        present[3, 5] = True
    counts = present * 2.0
    tables = [TopicTable(rng.random((40, 6)) * counts - shift, counts) for shift in (0, 1)]
    tables.append(TopicTable(np.full((40, 6), np.nan), counts))
    boot = Bootstrap(40, 60, merge=True)
    given = boot.macros(tables)
    for table_, samples in zip(tables, given, strict=True):
        for sample, weights in enumerate(boot.weights):
            drawn = np.repeat(np.arange(40), weights.astype(int))
            means = [table_.sums[drawn, g].sum() / n for g in range(6) if (n := counts[drawn, g].sum())]
            wanted = [mean for mean in means if not np.isnan(mean)]
            assert samples[sample] == pytest.approx(np.mean(wanted) if wanted else np.nan, rel=1e-12, nan_ok=True)
    order, starts, distinct = tables[0].counted.alike
    assert sorted(order.tolist()) == list(range(6))
    assert (len(starts), distinct.counts.shape[1]) == ((4, 4) if missing else (3, 3))


def test_a_sample_equals_the_loop_it_stands_for():
    rng = np.random.default_rng(4)
    values = np.where(rng.random((30, 5)) < 0.6, rng.random((30, 5)), np.nan)
    boot = Bootstrap(30, 50)
    found = boot.means([table(values)])[0]
    for sample in range(50):
        drawn = np.repeat(np.arange(30), boot.weights[sample].astype(int))
        assert len(drawn) == 30
        with np.errstate(invalid="ignore"):
            expected = np.nanmean(values[drawn], axis=0)
        assert found[sample] == pytest.approx(expected, nan_ok=True)


def test_macro_and_micro():
    t = table([[1, 0], [1, np.nan], [1, np.nan]])
    assert t.macro == 0.5
    assert t.micro == 0.75


def test_coverage():
    # 95 % intervals of the mean of 120 topics should hold the true mean about 19 times in 20.
    rng = np.random.default_rng(9)
    boot = Bootstrap(120)
    hits = 0
    for _ in range(300):
        low, high = interval(mean_of_present(boot.means([table(rng.random((120, 1)))])[0]))
        hits += low <= 0.5 <= high
    assert 0.90 <= hits / 300 <= 0.985


def test_undefined_stays_undefined():
    assert interval(np.array([0.1, np.nan])) is None


def test_signs_are_one_draw_however_it_is_cut():
    values = np.random.default_rng(2).normal(size=(37, 3))
    drawn = np.random.default_rng(9).integers(0, 2, size=(2300, 37), dtype=np.int8)
    # One product at a time, with the pieces kept: no piece may be overwritten by the next one.
    pieces = list(sign_flips(values, 2300, 9))
    assert [len(piece) for piece in pieces] == [1000, 1000, 300]
    expected = [sum(value if sign else -value for sign, value in zip(row, values, strict=True)) for row in drawn]
    assert np.concatenate(pieces) == pytest.approx(np.array(expected), rel=1e-12, abs=1e-12)
    hits = (np.abs(np.array(expected)) >= np.abs(values.sum(axis=0))).sum(axis=0)
    assert permutation_p(values, 2300, 9).tolist() == ((1 + hits) / 2301).tolist()
