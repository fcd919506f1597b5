"""The arrangement of gold pairs: what follows from it, by loops, and that it is found again for the very same gold pairs only."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from clirbench.metrics.bias import BIAS
from clirbench.metrics.retrieval import METRICS
from clirbench.metrics.scores import _Cells, compute_scores
from clirbench.ranking import gold_ranks
from clirbench.ranking.gold_ranks import GoldRanks, arrangement_of, gold_digest
from clirbench.tasks.task import SETTINGS

LANGUAGES = ("a", "b", "c")
SIZES = {"a": 40, "b": 50, "c": 60}
BIASES = [*BIAS, "transfer_ratio"]


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch):
    monkeypatch.setattr(gold_ranks, "_arrangements", [])


def drawn(seed, parallel=False, golds=3):
    """Ranks of gold pairs of seven topics: in parallel data, each query has one gold in each language."""
    rng = np.random.default_rng(seed)
    rows = []
    for topic in range(7):
        for query in range(3):
            if not parallel and (topic + query) % 4 == 3:
                continue
            pool = iter(rng.permutation(np.arange(1, 151)).tolist())
            for gold in range(3):
                number = 1 if parallel else (topic + gold) % golds
                own = np.sort(rng.choice(np.arange(1, SIZES[LANGUAGES[gold]] + 1), number, replace=False))
                rows += [(topic, query, gold, rank, next(pool), 0) for rank in own.tolist()]
    return GoldRanks(tuple(f"t{i}" for i in range(7)), LANGUAGES, *np.array(rows, dtype=np.int32).T)


def columns(ranks):
    return [ranks.topic.copy(), ranks.query_language.copy(), ranks.gold_language.copy()]


@pytest.mark.parametrize("parallel", [True, False])
def test_what_follows_is_what_loops_find(parallel):
    ranks = drawn(1, parallel)
    arranged = ranks.arranged
    rows = list(zip(*(column.tolist() for column in columns(ranks)), strict=True))
    queries = list(dict.fromkeys((topic, query) for topic, query, _ in rows))
    numbers = [queries.index(row[:2]) for row in rows]
    assert arranged.query.tolist() == ranks.query.tolist() == numbers
    assert arranged.first.tolist() == [numbers.index(query) for query in range(len(queries))]
    assert arranged.golds.tolist() == [numbers.count(query) for query in range(len(queries))]
    assert arranged.asked.tolist() == [language for _, language in queries]
    assert arranged.place.tolist() == [numbers[:i].count(number) for i, number in enumerate(numbers)]
    assert arranged.nth.tolist() == [rows[:i].count(row) for i, row in enumerate(rows)]
    assert arranged.neighbours.tolist() == [one == other for one, other in pairwise(rows)]
    assert arranged.pair.tolist() == [3 * query + gold for _, query, gold in rows]
    assert arranged.own.tolist() == [query == gold for _, query, gold in rows]
    assert arranged.ordered
    order = sorted(range(len(rows)), key=lambda row: (numbers[row], ranks.pool_rank[row]))
    assert ranks.pool_order.tolist() == order
    for name in ("query", "first", "golds", "asked", "place", "nth", "neighbours", "pair", "own", "block"):
        assert not getattr(arranged, name).flags.writeable, name


@pytest.mark.parametrize("parallel", [True, False])
def test_rounded_ranks_that_are_equal_keep_the_query_language_last(parallel):
    ranks = drawn(2, parallel)
    ranks = replace(ranks, pool_rank=(ranks.pool_rank // 40 + 1).astype(np.int32))
    own = ranks.query_language == ranks.gold_language
    rows = range(len(ranks))
    assert ranks.pool_order.tolist() == sorted(rows, key=lambda i: (ranks.query[i], ranks.pool_rank[i], own[i], i))


def test_rows_out_of_order_are_seen():
    topic, query, gold = columns(drawn(1))
    for column in (topic, query, gold):
        column[[3, -2]] = column[[-2, 3]]
    assert not arrangement_of(7, 3, topic, query, gold).ordered


def test_an_arrangement_is_another_one_where_any_value_differs():
    """What is kept of one submission is never used for another one with other gold pairs."""
    ranks = drawn(1)
    first = ranks.arranged
    assert drawn(99).arranged is first
    assert arrangement_of(7, 3, *columns(ranks)) is first
    for numbers in ((8, 3), (7, 4), (3, 7)):
        assert arrangement_of(*numbers, *columns(ranks)) is not first
    for column in range(3):
        for row in range(len(ranks)):
            changed = columns(ranks)
            changed[column][row] += 1
            other = arrangement_of(7, 3, *changed)
            assert other is not first
            assert not first.is_of(7, 3, *changed)
            assert other.is_of(7, 3, *changed)
    assert not first.is_of(7, 3, *(column[:-1] for column in columns(ranks)))


def test_whoever_made_an_arrangement_cannot_change_it_for_others():
    mine = columns(drawn(1))
    first = arrangement_of(7, 3, *mine)
    query = first.query.copy()
    for column in mine:
        column[:] = 0
    assert arrangement_of(7, 3, *columns(drawn(1))) is first
    assert first.query.tolist() == query.tolist()
    assert first.pair.tolist() == drawn(1).arranged.pair.tolist()


def test_few_arrangements_are_kept_and_no_large_one(monkeypatch):
    first = drawn(1).arranged
    for topics in range(20, 40):
        arrangement_of(topics, 3, *columns(drawn(1)))
    assert len(gold_ranks._arrangements) == gold_ranks._KEPT
    assert drawn(1).arranged is not first
    monkeypatch.setattr(gold_ranks, "_KEPT_ROWS", 10)
    large = drawn(1).arranged
    assert drawn(1).arranged is not large
    assert large.nth is not large.nth


def test_a_digest_of_gold_pairs_is_of_names_and_grades_as_well():
    ranks = drawn(1)
    grades = np.ones(len(ranks), dtype=np.int8)
    others = [
        ranks,
        replace(ranks, topics=("t9", *ranks.topics[1:])),
        replace(ranks, languages=("a", "b", "d")),
        replace(ranks, grade=grades),
        replace(ranks, grade=grades * 2),
        drawn(1, parallel=True),
    ]
    digests = [gold_digest(one) for one in others]
    assert len(set(digests)) == len(others)
    gold_ranks._arrangements.clear()
    assert [gold_digest(replace(one)) for one in reversed(others)] == digests[::-1]


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("settings", [SETTINGS, ("monolingual",), ("multilingual",)])
def test_numbers_do_not_depend_on_what_was_computed_before(parallel, settings):
    def scores(ranks):
        return compute_scores(ranks, SIZES, settings, list(METRICS), BIASES)

    wanted = drawn(5, parallel)
    alone = scores(wanted)
    for seed in (6, 7):
        scores(drawn(seed, parallel))
        scores(drawn(seed, not parallel))
        scores(drawn(seed, golds=2))
    again = scores(drawn(5, parallel))
    assert gold_ranks._arrangements
    assert again == alone


def test_counts_are_shared_only_where_all_are_equal():
    cells = _Cells(np.arange(6), (3, 2))
    values = np.arange(6.0)
    sums, whole = cells.added(values)
    assert (sums.tolist(), whole.counts.tolist()) == ([[0, 1], [2, 3], [4, 5]], [[1, 1]] * 3)
    for missing in range(6):
        given = np.where(np.arange(6) == missing, np.nan, values)
        sums, counted = cells.added(given)
        assert counted is not whole
        assert counted.counts.ravel().tolist() == [float(i != missing) for i in range(6)]
        assert sums.ravel().tolist() == [0 if i == missing else i for i in range(6)]
        assert cells.added(given)[1] is counted
    assert len(cells.counted) <= 6
    assert cells.added(values)[1] is whole
