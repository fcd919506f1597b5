"""Recompute the numbers of a result from its ranks, and list those that differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.metrics.bias import BIAS, QueueJump, wrong_shares
from clirbench.metrics.scores import Scores, ScoreTables
from clirbench.metrics.significance import CONFIDENCE, REPLICATES, SEED
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.results.result import Result
from clirbench.results.scored import headline_of, numbers_of
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.selection import task_with
from clirbench.tasks.task_file import list_tasks, load_task

TOLERANCE = 1e-9
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """A number of the JSON that the ranks or the task contradict.

    Attributes:
        key: Dotted path of the number in the JSON.
        stated: The value in the JSON.
        expected: The value that the ranks or the task give; if they give none, the rule that is broken.
    """

    key: str
    stated: object
    expected: object


@dataclass(frozen=True)
class Rescore:
    """The outcome of recomputing a result.

    Attributes:
        compared: Number of numbers that were recomputed from the ranks.
        exact: Number of queue-jump totals that the ranks give.
        checked: Number of queue-jump totals of which the ranks give only the sums.
        differences: The numbers that differ from the stated ones by more than 1e-9.
    """

    compared: int
    exact: int
    checked: int
    differences: list[Difference]


def rescore(result: Result) -> Rescore:
    """Recompute a result from its ranks.

    The ranks give the headline, micro, per-language and per-pair numbers. Of the queue-jump totals, they give those of two
    candidate languages: the query's language, if the ranks file has the column query_language_above, and the gold's language,
    unless the model's scores depend on the pool. The totals of the other languages are compared as a sum: over all candidate
    languages, the totals must equal the number of wrong candidates above the golds in the pool. The own-language preference
    needs this sum and the totals of the query's language. So with the column the ranks give it. Without the column it is
    recomputed from the stated totals.

    In the compact form, ranks are rounded, and the totals are those of exact ranks. So totals are only compared as a sum by query
    language, which the ranks give but for the rounding, and ``exact`` is 0.
    """
    document, ranks = result.document, result.ranks
    differences: list[Difference] = []
    exact = checked = 0
    totals = None
    if "multilingual" in document.task.settings:
        expected, totals = expected_jumps(ranks, document.model.scores_by_pool), _totals(result)
        if totals is None or expected is None:
            key, per = ("queue_jump", "triple") if ranks.rounding is None else ("compact.queue_jump", "pair")
            differences.append(Difference(key, "incomplete", f"one total per language {per}"))
            totals = None
        elif ranks.rounding is not None:
            checked = totals.size
            differences += _compare_sums(ranks, totals[:, 0], expected)
        else:
            exact = int((expected.totals >= 0).sum())
            checked = totals.size - exact
            differences += _compare_jumps(ranks.languages, totals, expected)
    scores = _scores(result, document.task.metrics, document.task.bias, totals, merge=True)
    parts = {*_PARTS, *([] if document.compact is None else ["compact"])}
    again = document.model_copy(update=numbers_of(scores, ranks, document.task.metrics[0]))
    stated, computed = (one.model_dump(include=parts) for one in (document, again))
    differences += _different(stated, computed)
    stated_bootstrap = (document.bootstrap.replicates, document.bootstrap.seed, document.bootstrap.confidence)
    if stated_bootstrap != (REPLICATES, SEED, CONFIDENCE):
        differences.append(Difference("bootstrap", stated_bootstrap, (REPLICATES, SEED, CONFIDENCE)))
    return Rescore(_leaves(stated), exact, checked, differences + _counts(result) + _against_task(result))


def with_measures(result: Result, metrics: Sequence[str], bias: Sequence[str]) -> Result:
    """The same result with other metrics and measures of bias, computed from its ranks. Ranks and texts stay as they are.

    Raises:
        ClirbenchError: The result lacks a queue-jump total, which no rank gives.
    """
    document = result.document
    totals = _totals(result) if "multilingual" in document.task.settings else None
    if totals is None and "multilingual" in document.task.settings:
        raise ClirbenchError(
            f"the result of {document.model.name} on {document.task.id} lacks totals of 'queue_jump', so it cannot be "
            "recomputed: run the model again with --force"
        )
    scores = _scores(result, metrics, bias, totals)
    task = document.task.model_copy(update={"metrics": list(metrics), "bias": list(bias)})
    update = {**numbers_of(scores, result.ranks, metrics[0]), "task": task}
    return Result(document.model_copy(update=update), result.ranks, result.ranks_file)


def missing_bias(result: Result) -> tuple[list[str], str]:
    """The measures in ``BIAS`` that a result lacks and its ranks give; if there are none, an empty list and the reason."""
    ranks, task = result.ranks, result.document.task
    if ranks.pool_rank is None:
        return [], "its ranks are not of the pool of all languages"
    # Rows are sorted by query, then by the gold's language.
    if not ((np.diff(ranks.query) == 0) & (np.diff(ranks.gold_language) != 0)).any():
        return [], "every query has its golds in one language"
    missing = [name for name in BIAS if name not in task.bias]
    return missing, "" if missing else "it has every measure of bias already"


def with_more_bias(result: Result, names: Sequence[str]) -> Result:
    """The same result with further measures in ``BIAS``, computed from its ranks. Every number that it has stays as it is."""
    document = result.document
    scores = _scores(result, [], names, None)
    per_language = {
        language: numbers | {"bias": numbers.get("bias", {}) | scores.per_language[language]["bias"]}
        for language, numbers in document.per_language.items()
    }
    update = {
        "headline": document.headline | {"bias": document.headline.get("bias", {}) | headline_of(scores)["bias"]},
        "per_language": per_language,
        "task": document.task.model_copy(update={"bias": [*document.task.bias, *names]}),
    }
    return Result(document.model_copy(update=update), result.ranks, result.ranks_file)


def _scores(
    result: Result, metrics: Sequence[str], bias: Sequence[str], totals: Counts | None, merge: bool = False
) -> Scores:
    """Compute every number from the ranks, and from the stated queue-jump totals where there are any.

    ``merge`` is for numbers that are only compared (:class:`clirbench.metrics.significance.Bootstrap`).
    """
    document, ranks = result.document, result.ranks
    jumps = None
    if totals is not None:
        sizes = np.array([document.counts.candidates.get(x, 0) for x in ranks.languages], dtype=np.int64)
        jumps = QueueJump(totals, wrong_shares(ranks, sizes))
    pools, settings = document.counts.candidates, document.task.settings
    return ScoreTables(ranks, pools, settings, metrics, bias, document.encoder.depth, merge).scores(jumps)


_PARTS = ("headline", "micro", "per_language", "per_pair", "queue_jump_ratio")
# Numbers of the compact form have six decimals, so two of them may differ by one in the last.
_PAIRS, _PAIR = "compact.pairs.", 1.5e-6


def _different(stated: dict[str, Any], computed: dict[str, Any]) -> list[Difference]:
    """The values of two nested dicts that differ by more than the tolerance."""
    said, given = (_flat(one) if one else {} for one in _without_equal(stated, computed))
    return [
        Difference(key, said.get(key, "missing"), given.get(key, "missing"))
        for key in sorted(said.keys() | given.keys())
        if not _same(said.get(key, "missing"), given.get(key, "missing"), _PAIR if key.startswith(_PAIRS) else 0)
    ]


def _without_equal(one: dict[str, Any], other: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two nested dicts without the parts that are equal in both, which are most."""
    left = {key: value for key, value in one.items() if key not in other}
    right = {key: value for key, value in other.items() if key not in one}
    for key in one.keys() & other.keys():
        mine, theirs = one[key], other[key]
        if mine == theirs:
            continue
        if isinstance(mine, dict) and isinstance(theirs, dict) and mine and theirs:
            mine, theirs = _without_equal(mine, theirs)
            left |= {key: mine} if mine else {}
            right |= {key: theirs} if theirs else {}
        else:
            left[key], right[key] = mine, theirs
    return left, right


def _leaves(value: object) -> int:
    """How many values nested dicts and lists have."""
    if not isinstance(value, dict | list) or not value:
        return 1
    inner = [one for one in (value.values() if isinstance(value, dict) else value) if type(one) in (dict, list)]
    return len(value) - len(inner) + sum(map(_leaves, inner))


def _flat(value: object) -> dict[str, object]:
    """The values of nested dicts and lists, by dotted path."""
    flat: dict[str, object] = {}

    def add(inner: object, path: str) -> None:
        if isinstance(inner, list):
            inner = {str(place): one for place, one in enumerate(inner)}
        if isinstance(inner, dict) and inner:
            start = f"{path}." if path else ""
            for key, one in inner.items():
                add(one, f"{start}{key}")
        else:
            flat[path] = inner

    add(value, "")
    return flat


def _same(stated: object, expected: object, tolerance: float = 0) -> bool:
    if isinstance(stated, int | float) and isinstance(expected, int | float):
        return math.isclose(stated, expected, rel_tol=TOLERANCE, abs_tol=max(TOLERANCE, tolerance))
    return stated == expected


@dataclass(frozen=True)
class ExpectedJumps:
    """What the ranks give of the queue-jump totals.

    Attributes:
        sums: int64 (query languages, gold languages), the totals added up over all candidate languages.
        totals: int64 (query languages, gold languages, candidate languages), the totals; -1 where the ranks give none.
    """

    sums: Counts
    totals: Counts


def expected_jumps(ranks: GoldRanks, by_pool: bool = False) -> ExpectedJumps | None:
    """Add up the wrong candidates that the ranks put above the golds; None without ranks in the multilingual pool.

    ``by_pool`` says that own ranks and pool ranks come from two rankings, so own ranks give no total.
    """
    if ranks.pool_rank is None:
        return None
    n = len(ranks.languages)
    arranged = ranks.arranged
    # The golds of a query that come before a gold outrank it.
    golds_above = np.empty(len(ranks), dtype=np.int64)
    golds_above[ranks.pool_order] = arranged.place
    pair = arranged.pair
    languages = np.arange(n)

    def added(above: NDArray[np.integer[Any]]) -> Counts:
        return np.bincount(pair, weights=above, minlength=n * n).reshape(n, n).astype(np.int64)

    totals = np.full((n, n, n), -1, dtype=np.int64)
    # given_totals says the same of places.
    if not by_pool:
        # In a ranks file, the rows of one query and gold language are neighbours, sorted by own rank.
        totals[:, languages, languages] = added(ranks.own_rank - 1 - arranged.nth)
    if ranks.query_language_above is not None:
        totals[languages, :, languages] = added(ranks.query_language_above)
    return ExpectedJumps(added(ranks.pool_rank - 1 - golds_above), totals)


def given_totals(ranks: GoldRanks, by_pool: bool = False) -> NDArray[np.bool_]:
    """Which totals :func:`expected_jumps` gives: bool (query languages, gold languages, candidate languages)."""
    n = len(ranks.languages)
    languages, given = np.arange(n), np.zeros((n, n, n), dtype=bool)
    given[:, languages, languages] = not by_pool
    if ranks.query_language_above is not None:
        given[languages, :, languages] = True
    return given


def _totals(result: Result) -> Counts | None:
    """The stated queue-jump totals, int64 (query, gold, candidate languages); None unless there is one per language triple.

    In the compact form, they are added up over gold languages: int64 (query languages, 1, candidate languages).
    """
    languages, jumps = result.ranks.languages, result.document.queue_jump
    if result.document.compact is not None:
        sums = result.document.compact.queue_jump
        return np.array(sums, dtype=np.int64)[:, None] if sums else None
    stated = [set(jumps), *(set(by_gold) for by_gold in jumps.values())]
    stated += [set(row) for by_gold in jumps.values() for row in by_gold.values()]
    if any(names != set(languages) for names in stated):
        return None
    try:
        return np.array([[[jumps[q][g][c] for c in languages] for g in languages] for q in languages], dtype=np.int64)
    except OverflowError:
        return None


def _compare_jumps(languages: tuple[str, ...], totals: Counts, expected: ExpectedJumps) -> list[Difference]:
    differences = []
    sums, given = totals.sum(axis=2), expected.totals
    wrong_sum = (sums != expected.sums) | (totals < 0).any(axis=2)
    wrong = (given >= 0) & (given != totals)
    for q, g in np.argwhere(wrong_sum | wrong.any(axis=2)).tolist():
        key = f"queue_jump.{languages[q]}.{languages[g]}"
        if wrong_sum[q, g]:
            differences.append(Difference(key, int(sums[q, g]), int(expected.sums[q, g])))
        differences += [
            Difference(f"{key}.{languages[c]}", int(totals[q, g, c]), int(given[q, g, c]))
            for c in np.flatnonzero(wrong[q, g])
        ]
    return differences


def _compare_sums(ranks: GoldRanks, totals: Counts, expected: ExpectedJumps) -> list[Difference]:
    """Compare totals by query and candidate language with rounded ranks, which give their sums but for the rounding."""
    assert ranks.rounding is not None  # noqa: S101
    assert ranks.pool_rank is not None  # noqa: S101
    n, error = len(ranks.languages), ranks.rounding.largest_error
    moved = np.where(ranks.pool_rank > ranks.rounding.exact, ranks.pool_rank, 0)
    # A rank r that was rounded came from one between r / (1 + error) and r / (1 - error).
    room = np.bincount(ranks.query_language, weights=moved, minlength=n) * error / (1 - error) + 1
    differences = []
    for query, stated, added_up, most in zip(
        ranks.languages, totals, expected.sums.sum(axis=1).tolist(), room.tolist(), strict=True
    ):
        if abs(int(stated.sum()) - added_up) > most:
            differences.append(Difference(f"compact.queue_jump.{query}", int(stated.sum()), f"about {added_up}"))
    return differences


def _against_task(result: Result) -> list[Difference]:
    """Compare the task in a result with the shipped task, so that nobody can present a restricted run as a whole one."""
    stated, candidates = result.document.task, result.document.counts.candidates
    if stated.id not in list_tasks():
        return []
    task = task_with(load_task(stated.id), stated.hash)
    languages = [language for language in task.languages if language in stated.languages]
    complete = stated.languages == list(task.languages) and stated.settings == list(task.settings)
    pairs: dict[str, tuple[object, object]] = {
        "task.hash": (stated.hash, task.hash),
        "task.languages": (stated.languages, languages),
        "task.complete": (stated.complete, complete),
        "task.sources": (stated.sources, task.checksums(languages)),
        "counts.candidates": (candidates, {language: task.counts["candidates"][language] for language in languages}),
    }
    if complete:
        pairs["counts.topics"] = (result.document.counts.topics, task.counts["topics"])
        pairs["counts.gold_pairs"] = (result.document.counts.gold_pairs, task.counts["gold_pairs"])
    return [Difference(key, said, known) for key, (said, known) in pairs.items() if said != known]


def _counts(result: Result) -> list[Difference]:
    """Compare the stated counts with the ranks: no rank is larger than its pool, and every gold pair has a rank."""
    document, ranks = result.document, result.ranks
    differences = []
    largest = ranks.pool_rank.max(initial=0) if ranks.pool_rank is not None else 0
    pool = sum(document.counts.candidates.values())
    if largest > pool:
        differences.append(Difference("counts.candidates", pool, f"at least {largest}, the largest rank"))
    sizes = np.array([document.counts.candidates.get(x, 0) for x in ranks.languages])
    if (ranks.own_rank > sizes[ranks.gold_language]).any() or ranks.own_rank.min(initial=1) < 1:
        differences.append(Difference("counts.candidates", "block sizes", "a rank lies outside its block"))
    for key, stated, counted in (
        ("topics", document.counts.topics, len(ranks.topics)),
        ("queries", document.counts.queries, int(ranks.query[-1]) + 1 if len(ranks) else 0),
        ("gold_pairs", document.counts.gold_pairs, len(ranks)),
    ):
        # A cross-lingual run has no row for a query whose only gold is in its own language.
        exact = key == "gold_pairs" or set(document.task.settings) & {"monolingual", "multilingual"}
        if counted > stated or (exact and counted != stated):
            differences.append(Difference(f"counts.{key}", stated, counted))
    return differences
