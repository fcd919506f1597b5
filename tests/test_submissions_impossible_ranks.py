"""Impossible ranks: every ranking of tiny pools, against everything that a ranks file could say of them."""

import itertools
import time
from dataclasses import replace

import numpy as np
import pytest

import clirbench
from clirbench.ranking.gold_ranks import GoldRanks, gold_ranks
from clirbench.ranking.in_memory import Outranked
from clirbench.submissions import impossible_ranks
from clirbench.submissions.impossible_ranks import impossible, impossible_jumps
from clirbench.tasks.collection import GoldPairs

# By name: for each language, in its order, whether a candidate is a gold. The query is in the first language.
POOLS = {
    "one gold a language": ((True, False, False), (True, False), (True,)),
    "two golds of the query's language": ((True, True, False), (True, False), (False,)),
    "two golds of another language": ((True, False), (True, True, False), (False,)),
    "no gold in the query's language": ((False, False), (True, True, False), (True,)),
    "only the query's language has golds": ((True, True, False, False), (False, False)),
    "three golds of another language": ((False,), (True, True, True, False, False)),
}


def told_of(golds, order):
    """What a ranks file says of one order of all candidates: rows of gold language, own rank, pool rank and the column."""
    candidates = [(language, gold) for language, flags in enumerate(golds) for gold in flags]
    rows = []
    for rank, c in enumerate(order):
        language, gold = candidates[c]
        if gold:
            above = [candidates[other] for other in order[:rank]]
            own = 1 + sum(other == language for other, _ in above)
            rows.append((language, own, rank + 1, above.count((0, False))))
    return tuple(sorted(rows))


def as_ranks(rows, languages=3, column=True):
    language, own, pool, above = np.array(rows, dtype=np.int32).T
    zeros = np.zeros(len(rows), dtype=np.int32)
    names = tuple("abc"[:languages])
    return GoldRanks(("t",), names, zeros, zeros, language, own, pool, above if column else None)


@pytest.mark.parametrize("name", POOLS)
def test_exactly_the_possible_rows_break_no_rule(name):
    golds = POOLS[name]
    sizes = dict(zip("abc", map(len, golds), strict=False))
    total, wrong_ones = sum(sizes.values()), golds[0].count(False)
    can_be = {told_of(golds, order) for order in itertools.permutations(range(total))}
    without = {tuple(row[:3] for row in rows) for rows in can_be}
    languages = [row[0] for row in next(iter(can_be))]
    own_ranks = itertools.product(*(range(1, len(golds[language]) + 1) for language in languages))
    told = 0
    for own in own_ranks:
        for pool in itertools.permutations(range(1, total + 1), len(own)):
            rows = tuple(zip(languages, own, pool, strict=True))
            if tuple(sorted(rows)) != rows:
                continue
            full = [(*row, 0) for row in rows]
            broken = impossible(as_ranks(full, len(golds), column=False), sizes)
            assert bool(broken) == (rows not in without), (rows, broken)
            if broken:
                continue
            for above in itertools.product(range(wrong_ones + 1), repeat=len(own)):
                full = tuple((*row, count) for row, count in zip(rows, above, strict=True))
                broken = impossible(as_ranks(full, len(golds)), sizes)
                assert bool(broken) == (full not in can_be), (full, broken)
                assert all("query_language_above" in line for line in broken)
                told += not broken
    assert told == len(can_be)


def test_of_a_fusion_only_the_pool_says_what_the_column_can_be():
    """Own ranks come from other rankings, so exactly the pairs of pool ranks and column that some order gives are possible."""
    golds = ((True, False, False), (True, False))
    sizes = {"a": 3, "b": 2}
    can_be = {tuple((row[2], row[3]) for row in told_of(golds, order)) for order in itertools.permutations(range(5))}
    told = 0
    for pool in itertools.permutations(range(1, 6), 2):
        for above in itertools.product(range(4), repeat=2):
            pairs = tuple(zip(pool, above, strict=True))
            for own in itertools.product((1, 2, 3), (1, 2)):
                rows = [(i, own[i], *pairs[i]) for i in range(2)]
                assert bool(impossible(as_ranks(rows, 2), sizes, by_pool=True)) == (pairs not in can_be), rows
            told += pairs in can_be
    assert told == len(can_be)


def drawn(seed):
    """Rankings of 40 queries in three languages, with any number of golds in each, as ranks and as true queue jumps."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(3, 9, 3)
    language = np.repeat(np.arange(3), sizes)
    queries, query, gold_language, wrong, gold = 40, [], [], [], []
    for number in range(queries):
        is_gold = np.zeros(len(language), dtype=bool)
        while not is_gold.any():
            is_gold = rng.random(len(language)) < 0.2
        order = rng.permutation(len(language))
        for rank, c in enumerate(order):
            if is_gold[c]:
                above = order[:rank]
                query.append(number)
                gold_language.append(language[c])
                wrong.append(np.bincount(language[above[~is_gold[above]]], minlength=3))
                gold.append(np.bincount(language[above[is_gold[above]]], minlength=3))
    query = np.array(query, dtype=np.int32)
    pairs = GoldPairs(
        tuple(f"t{i}" for i in range(queries)),
        ("a", "b", "c"),
        sizes,
        query,
        query % 3,
        np.array(gold_language, np.int32),
    )
    outranked = Outranked(np.array(wrong, dtype=np.int32), np.array(gold, dtype=np.int32))
    ranks = gold_ranks(pairs, outranked, ("monolingual", "cross-lingual", "multilingual"))
    return ranks, dict(zip("abc", sizes.tolist(), strict=True))


def test_a_fusion_breaks_no_rule_of_the_pool():
    result = clirbench.evaluate("rrf:clirbench/char-ngram+clirbench/bm25", "demo", languages=["de", "en", "th"])
    assert result.document.model.scores_by_pool
    assert result.ranks.query_language_above is not None
    assert impossible(result.ranks, result.document.counts.candidates, by_pool=True) == []


@pytest.mark.parametrize("seed", range(20))
def test_real_rankings_break_no_rule(seed):
    ranks, sizes = drawn(seed)
    assert impossible(ranks, sizes) == []
    assert impossible(ranks, sizes, by_pool=True) == []
    old = replace(ranks, query_language_above=None)
    assert impossible(old, sizes) == []


def others(ranks, changed):
    """The column, changed at golds of other languages than the query's."""
    own = ranks.gold_language == ranks.query_language
    return np.where(own, ranks.query_language_above, changed)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda r: r.query_language_above * 0, "contradicts own_rank at a gold of the query's language"),
        (lambda r: r.query_language_above + 1, "contradicts own_rank at a gold of the query's language"),
        (lambda r: others(r, -1), "falls on the way down the pool"),
        (lambda r: others(r, 100), "exceeds what there is"),
        # In numbers of 16 bits, these would be those of the ranks, or small ones.
        (lambda r: others(r, r.query_language_above + 2**16), "exceeds what there is"),
        (lambda r: others(r, r.query_language_above - 2**16), "falls on the way down the pool"),
        (lambda r: others(r, r.pool_rank - 1), "counts more wrong candidates than stand in its part of the pool"),
    ],
)
def test_each_forged_column_is_told_in_one_line(change, rule):
    ranks, sizes = drawn(1)
    lines = impossible(replace(ranks, query_language_above=change(ranks).astype(np.int32)), sizes)
    assert any(rule in line for line in lines), lines
    assert all("topic 't" in line and "\n" not in line for line in lines)


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_small_numbers_give_the_verdicts_of_large_ones(monkeypatch, kind):
    rng = np.random.default_rng(3)
    cases = []
    for seed in range(30):
        ranks, sizes = drawn(seed)
        # Each of the three columns, moved at one row in ten.
        name = ("own_rank", "pool_rank", "query_language_above")[seed % 3]
        moved = getattr(ranks, name) + (rng.random(len(ranks)) < 0.1)
        forged = replace(ranks, **{name: moved.astype(np.int32)})
        stated = {q: {g: {c: int(rng.integers(0, 20)) for c in "abc"} for g in "abc"} for q in "abc"}
        cases.append((forged, sizes, stated))
    small = [(impossible(r, n), impossible_jumps(r, n, stated)) for r, n, stated in cases]
    monkeypatch.setattr(impossible_ranks, "_sizes", lambda r, n: np.array([n[x] for x in r.languages], dtype=kind))
    assert [(impossible(r, n), impossible_jumps(r, n, stated)) for r, n, stated in cases] == small
    assert sum(bool(rules) for rules, _ in small) > 10


def test_rows_are_ordered_by_query_and_pool_rank():
    ranks, sizes = drawn(4)
    for one in (ranks, ranks.rounded(sizes), ranks.rows(slice(5, 60))):
        own = one.query_language == one.gold_language
        assert one.pool_order.tolist() == np.lexsort((own, one.pool_rank, one.query)).tolist()


def test_the_largest_counts_do_not_overflow():
    """Counts near the end of int32, over a pool of two thousand million."""
    top = 2**31 - 1
    ranks = as_ranks([(0, top - 1, top, top - 2)])
    sizes = {"a": top - 1, "b": top - 1}
    assert impossible(ranks, sizes) == []
    assert impossible(replace(ranks, query_language_above=np.array([-(2**31)], np.int32)), sizes) != []


def test_jumps_are_exact_for_the_query_and_bounded_for_others():
    """Of every order of 3, 2 and 2 candidates, one a gold each: the true totals are allowed, and no other own-language total."""
    sizes = {"a": 3, "b": 2, "c": 2}
    candidates = [("a", True), ("a", False), ("a", False), ("b", True), ("b", False), ("c", True), ("c", False)]
    golds = tuple(tuple(gold for name, gold in candidates if name == language) for language in "abc")
    orders = list(itertools.permutations(range(7)))
    for order in orders[:: len(orders) // 400]:
        rows = told_of(golds, order)
        for column in (True, False):
            ranks = as_ranks(rows, column=column)
            true = {
                "abc"[language]: {
                    name: sum(candidates[c] == (name, False) for c in order[: pool - 1]) for name in "abc"
                }
                for language, _, pool, _ in rows
            }
            assert impossible_jumps(ranks, sizes, {"a": true}) == []
            if column:
                for gold, row in true.items():
                    for by in (-1, 1):
                        forged = {**true, gold: {**row, "a": row["a"] + by}}
                        keys = [key for key, _ in impossible_jumps(ranks, sizes, {"a": forged})]
                        assert keys == [f"queue_jump.a.{gold}.a"]


def test_the_rules_take_a_second_on_the_largest_task():
    """The ranks of XQuAD-R: 143,990 pairs of 11 languages."""
    path = clirbench.support.paths.data_dir("submissions") / "clirbench__mono" / "xquad-r.json"
    result = clirbench.read_result(path)
    began = time.process_time()
    assert impossible(result.ranks, result.document.counts.candidates) == []
    assert time.process_time() - began < 5
