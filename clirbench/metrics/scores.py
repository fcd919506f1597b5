"""From gold ranks to every number of a result: per language, per pair, macro, micro, with intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clirbench.metrics.bias import BIAS, OVERALL_BIAS, PoolLists
from clirbench.metrics.per_topic import Table, mean_of_present
from clirbench.metrics.queue_jump import QueueJump, wrong_candidates, wrong_shares
from clirbench.metrics.retrieval import METRICS, RankedLists, Values
from clirbench.metrics.significance import Bootstrap, interval
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.ranking.in_memory import Outranked
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.gold_pairs import GoldPairs
from clirbench.tasks.task import SETTINGS, Task

Number = float | None
Numbers = dict[str, Number]
_KNOWN: dict[str, list[str]] = {"metrics": list(METRICS), "bias": [*BIAS, *OVERALL_BIAS]}


@dataclass(frozen=True)
class Estimate:
    """A headline number with its 95 % bootstrap interval; None where it is undefined."""

    value: Number
    low: Number = None
    high: Number = None


@dataclass(frozen=True)
class Scores:
    """Every number of a result. Shares are in 0 to 1, ranks count from 1, None means undefined.

    Attributes:
        headline: By setting, and "bias": macro averages over languages (over pairs for the cross-lingual setting).
        micro: By setting: averages over queries.
        per_language: By query language, then setting or "bias"; the cross-lingual numbers are means over its pairs.
        per_pair: Cross-lingual numbers by query language and candidate language, with the number of queries.
        queue_jump: By query language, gold language and candidate language, wrong candidates of the last that
            outrank a gold of the second; empty without the multilingual setting.
        queue_jump_ratio: By query language and candidate language, the latter's share of those wrong candidates over its share of
            the pool: 1 is chance.
    """

    headline: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    micro: dict[str, Numbers] = field(default_factory=dict)
    per_language: dict[str, dict[str, Numbers]] = field(default_factory=dict)
    per_pair: dict[str, dict[str, Numbers]] = field(default_factory=dict)
    queue_jump: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    queue_jump_ratio: dict[str, Numbers] = field(default_factory=dict)


def check_names(task: Task) -> None:
    """Fail early on a metric that clirbench does not know.

    Raises:
        ClirbenchError: ``metrics`` or ``bias`` of the task names something unknown.
    """
    for key, name in unknown_names(task.metrics, task.bias):
        raise ClirbenchError(f"{task.file}: '{key}' has '{name}': use {', '.join(_KNOWN[key])}")


def unknown_names(metrics: Sequence[str], bias: Sequence[str]) -> list[tuple[str, str]]:
    """Names that clirbench does not know, each with "metrics" or "bias"."""
    return [
        (key, name)
        for key, names in (("metrics", metrics), ("bias", bias))
        for name in names
        if name not in _KNOWN[key]
    ]


def count_jumps(pairs: GoldPairs, outranked: Outranked, ranks: GoldRanks) -> QueueJump:
    """Sum the wrong candidates that outrank golds, by language."""
    n = len(pairs.languages)
    keys = pairs.query_language.astype(np.intp) * n + pairs.gold_language
    counts = wrong_candidates(outranked, keys, n * n).reshape(n, n, n)
    return QueueJump(counts, wrong_shares(ranks, pairs.sizes))


def compute_scores(
    ranks: GoldRanks,
    pool_sizes: Mapping[str, int],
    settings: Sequence[str],
    metrics: Sequence[str],
    bias: Sequence[str],
    jumps: QueueJump | None = None,
) -> Scores:
    """Compute every number of a result.

    Args:
        ranks: Gold ranks.
        pool_sizes: Number of candidates by language.
        settings: Which settings to score.
        metrics: Names from ``METRICS``.
        bias: Names from ``BIAS`` and ``OVERALL_BIAS``; they need the multilingual setting (the transfer ratio: the other two).
        jumps: Queue-jump counts; None where the multilingual setting was left out.

    Returns:
        The scores.
    """
    scorer = Scorer(ranks, sum(pool_sizes.values()), settings, metrics, bias, jumps)
    return scorer.scores()


class Scorer:
    """All tables of one model on one task: a value per topic and language, or language pair."""

    def __init__(
        self,
        ranks: GoldRanks,
        pool: int,
        settings: Sequence[str],
        metrics: Sequence[str],
        bias: Sequence[str],
        jumps: QueueJump | None,
    ) -> None:
        self.ranks, self.pool, self.metrics, self.bias, self.jumps = ranks, pool, metrics, bias, jumps
        self.settings = [setting for setting in SETTINGS if setting in settings]
        self.languages = ranks.languages
        self.n = len(ranks.languages)
        self.bootstrap = Bootstrap(len(ranks.topics))
        # Without language pairs a table has a column per language, which are 18 rather than 324 on MIRACL.
        self.paired = "cross-lingual" in self.settings
        self.diagonal = np.arange(self.n) * (self.n + 1 if self.paired else 1)
        self.tables: dict[tuple[str, str], Table] = {}
        if {"monolingual", "cross-lingual"} & set(settings):
            self._own_block_tables()
        if "multilingual" in settings and ranks.pool_rank is not None:
            self._pool_tables(ranks.pool_rank)

    def _own_block_tables(self) -> None:
        ranks = self.ranks
        rows = np.flatnonzero(self.paired | (ranks.query_language == ranks.gold_language))
        pair, groups = ranks.query_language[rows].astype(np.intp), self.n
        if self.paired:
            pair, groups = pair * self.n + ranks.gold_language, self.n * self.n
        topic = ranks.topic[rows]
        new = np.concatenate([[True], (np.diff(topic) != 0) | (np.diff(pair) != 0)])
        lists = RankedLists.of(np.cumsum(new) - 1, ranks.own_rank[rows])
        self._add("own", METRICS, self.metrics, lists, topic[new], pair[new], groups)

    def _pool_tables(self, pool_rank: NDArray[np.int32]) -> None:
        ranks = self.ranks
        query = ranks.query
        order = np.argsort(query.astype(np.int64) << 32 | pool_rank)
        lists = RankedLists.of(query[order], pool_rank[order])
        new = np.concatenate([[True], np.diff(query) != 0])
        topic, language = ranks.topic[new], ranks.query_language[new].astype(np.intp)
        self._add("pool", METRICS, self.metrics, lists, topic, language, self.n)
        own = (ranks.query_language == ranks.gold_language)[order]
        per_query = [name for name in self.bias if name in BIAS]
        self._add("bias", BIAS, per_query, PoolLists(lists, own, self.pool), topic, language, self.n)

    def _add(  # type: ignore[no-untyped-def]
        self, kind, registry, names, lists, topic: NDArray[np.int32], group: NDArray[np.intp], groups: int
    ) -> None:
        shape = (len(self.ranks.topics), groups)
        first: Table | None = None
        for name in names:
            table = Table.of(topic, group, registry[name].compute(lists), shape)
            if first is None:
                first = table
            elif np.array_equal(first.counts, table.counts):
                table = Table(table.sums, first.counts)
            self.tables[kind, name] = table

    def scores(self) -> Scores:
        """Every number, with its interval."""
        parts = self._parts()
        samples = dict(zip(parts, self.bootstrap.macros(list(parts.values())), strict=True))
        scores = Scores()
        for setting in self.settings:
            self._setting(setting, parts, samples, scores)
        overall = self._overall(samples)
        if "multilingual" in self.settings or overall:
            self._bias(samples, overall, scores)
        if self.jumps is not None:
            scores.queue_jump.update(self._queue_jump(self.jumps))
            for query, row in zip(self.languages, self.jumps.matrix, strict=True):
                ratios = [_number(value) for value in row]
                scores.queue_jump_ratio[query] = dict(zip(self.languages, ratios, strict=True))
        return scores

    def columns(self, setting: str) -> tuple[str, NDArray[np.intp]]:
        """Kind of table and the columns of a setting: the diagonal, the rest, or every language."""
        if setting == "multilingual":
            return "pool", np.arange(self.n)
        if setting == "monolingual":
            return "own", self.diagonal
        return "own", np.setdiff1d(np.arange(self.n * self.n), self.diagonal)

    def _parts(self) -> dict[tuple[str, str], Table]:
        """The tables of the headline numbers, by setting (or "bias") and metric: those columns that the number averages over."""
        parts = {key: table for key, table in self.tables.items() if key[0] == "bias"}
        for setting in self.settings:
            kind, columns = self.columns(setting)
            counts: dict[int, Values] = {}
            for name in self.metrics:
                table = self.tables[kind, name]
                # Shared where the whole tables share theirs: they are resampled once.
                shared = counts.setdefault(id(table.counts), table.counts[:, columns])
                parts[setting, name] = Table(table.sums[:, columns], shared)
        return parts

    def _setting(
        self,
        setting: str,
        parts: dict[tuple[str, str], Table],
        samples: dict[tuple[str, str], Values],
        scores: Scores,
    ) -> None:
        kind, columns = self.columns(setting)
        scores.headline[setting] = {}
        scores.micro[setting] = {}
        for name in self.metrics:
            table = self.tables[kind, name]
            part = parts[setting, name]
            means = table.means
            scores.headline[setting][name] = _estimate(part.macro, samples[setting, name])
            scores.micro[setting][name] = _number(part.micro)
            for i, language in enumerate(self.languages):
                entry = scores.per_language.setdefault(language, {}).setdefault(setting, {})
                if setting == "cross-lingual":
                    entry[name] = _number(float(mean_of_present(self._pairs_of(means, i)[None])[0]))
                    self._pairs(name, table, i, scores)
                else:
                    column = columns[i]
                    entry.setdefault("queries", int(table.queries[column]))
                    entry[name] = _number(means[column])

    def _pairs_of(self, means: Values, language: int) -> Values:
        row = means[language * self.n : (language + 1) * self.n]
        return np.delete(row, language)

    def _pairs(self, name: str, table: Table, language: int, scores: Scores) -> None:
        row = scores.per_pair.setdefault(self.languages[language], {})
        means, counts = table.means, table.queries
        for other, candidate_language in enumerate(self.languages):
            if other != language:
                column = language * self.n + other
                entry = row.setdefault(candidate_language, {"queries": int(counts[column])})
                entry[name] = _number(means[column])

    def _overall(self, samples: dict[tuple[str, str], Values]) -> dict[str, tuple[Estimate, Values]]:
        """The measures that are no mean over queries: headline, and float64 (languages,)."""
        found: dict[str, tuple[Estimate, Values]] = {}
        both = {"monolingual", "cross-lingual"} <= set(self.settings) and self.n > 1
        if "transfer_ratio" in self.bias and both and ("own", "mAP") in self.tables:
            ratio, by_language = self._transfer(self.tables["own", "mAP"].means)
            with np.errstate(divide="ignore", invalid="ignore"):
                sampled = samples["cross-lingual", "mAP"] / samples["monolingual", "mAP"]
            found["transfer_ratio"] = _estimate(ratio, sampled), by_language
        if "own_language_preference" in self.bias and self.jumps is not None:
            found["own_language_preference"] = self._preference(self.jumps)
        return found

    def _transfer(self, means: Values) -> tuple[float, Values]:
        """Transfer ratio overall, and by query language, float64 (languages,)."""
        own = means[self.diagonal]
        across = np.array([mean_of_present(self._pairs_of(means, i)[None])[0] for i in range(self.n)])
        pairs = np.delete(means, self.diagonal)
        with np.errstate(divide="ignore", invalid="ignore"):
            overall = mean_of_present(pairs[None])[0] / mean_of_present(own[None])[0]
            return float(overall), np.asarray(across / own)

    def _preference(self, jumps: QueueJump) -> tuple[Estimate, Values]:
        # Without an interval: it would need the totals by topic, and nobody could recompute it from the ranks.
        by_language = jumps.own_language_preference
        return Estimate(_number(float(mean_of_present(by_language[None])[0]))), by_language

    def _bias(
        self,
        samples: dict[tuple[str, str], Values],
        overall: dict[str, tuple[Estimate, Values]],
        scores: Scores,
    ) -> None:
        headline = scores.headline.setdefault("bias", {})
        for name in self.bias:
            if name in overall:
                estimate, by_language = overall[name]
            elif ("bias", name) in self.tables:
                table = self.tables["bias", name]
                by_language = table.means
                estimate = _estimate(table.macro, samples["bias", name])
            else:
                continue
            headline[name] = estimate
            for language, value in zip(self.languages, by_language, strict=True):
                scores.per_language.setdefault(language, {}).setdefault("bias", {})[name] = _number(value)

    def _queue_jump(self, queue_jump: QueueJump) -> dict[str, dict[str, dict[str, int]]]:
        counts = queue_jump.counts.tolist()
        return {
            query: {gold: dict(zip(self.languages, counts[q][g], strict=True)) for g, gold in enumerate(self.languages)}
            for q, query in enumerate(self.languages)
        }


def _number(value: float) -> Number:
    return float(value) if math.isfinite(value) else None


def _estimate(value: float, samples: Values) -> Estimate:
    if not math.isfinite(value):
        return Estimate(None)
    bounds = interval(samples)
    return Estimate(float(value), *bounds) if bounds else Estimate(float(value))
