"""Compute every number of a result from the ranks of golds: by language, by pair, macro and micro, with intervals.

Macro averages weigh every language (or pair of languages) alike, micro averages every query.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.metrics.bias import BIAS, OVERALL_BIAS, PoolLists, QueueJump
from clirbench.metrics.per_topic import TopicTable, mean_of_present
from clirbench.metrics.retrieval import METRICS, RankedLists, Values, beyond
from clirbench.metrics.significance import Bootstrap, interval, intervals
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task import SETTINGS, Task

Number = float | None
Numbers = dict[str, Number]
# Gold pairs whose metrics are computed at a time; this bounds memory.
_PAIRS = 2**21
_KNOWN: dict[str, list[str]] = {"metrics": list(METRICS), "bias": [*BIAS, *OVERALL_BIAS]}


@dataclass(frozen=True)
class Headline:
    """A macro average with its 95 % bootstrap interval over topics. None means undefined."""

    value: Number
    low: Number = None
    high: Number = None


@dataclass(frozen=True)
class Scores:
    """Every number of a result. Shares run from 0 to 1, ranks count from 1, None means undefined.

    Attributes:
        headline: By setting (or "bias") and metric, macro averages over languages; over pairs of languages for the cross-lingual
            setting.
        micro: By setting and metric, averages over queries.
        per_language: By query language, setting (or "bias") and metric; cross-lingual numbers are means over pairs.
        per_pair: By query language, candidate language and metric, cross-lingual numbers, with the number of queries.
        queue_jump: By query, gold and candidate language, how many wrong candidates of the third language outrank a gold of the
            second; empty without the multilingual setting.
        queue_jump_ratio: By query and candidate language, share of the queue jumps divided by share of the wrong candidates in
            the pool; 1 is chance.
        queue_jump_sums: By query and candidate language, the queue jumps added up over gold languages, where only these sums were
            given; ``queue_jump`` is empty then.
    """

    headline: dict[str, dict[str, Headline]] = field(default_factory=dict)
    micro: dict[str, Numbers] = field(default_factory=dict)
    per_language: dict[str, dict[str, Numbers]] = field(default_factory=dict)
    per_pair: dict[str, dict[str, Numbers]] = field(default_factory=dict)
    queue_jump: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    queue_jump_ratio: dict[str, Numbers] = field(default_factory=dict)
    queue_jump_sums: list[list[int]] = field(default_factory=list)


def check_names(task: Task) -> None:
    """Refuse a task whose metrics clirbench does not know, before anything is computed.

    Raises:
        ClirbenchError: ``metrics`` or ``bias`` of the task names something unknown.
    """
    for key, name in unknown_names(task.metrics, task.bias):
        raise ClirbenchError(f"{task.file}: '{key}' has '{name}': use {', '.join(_KNOWN[key])}")


def unknown_names(metrics: Sequence[str], bias: Sequence[str]) -> list[tuple[str, str]]:
    """List the names that clirbench does not know, each with the key ("metrics" or "bias") under which it stands."""
    return [
        (key, name)
        for key, names in (("metrics", metrics), ("bias", bias))
        for name in names
        if name not in _KNOWN[key]
    ]


def compute_scores(
    ranks: GoldRanks,
    pool_sizes: Mapping[str, int],
    settings: Sequence[str],
    metrics: Sequence[str],
    bias: Sequence[str],
    jumps: QueueJump | None = None,
    depth: int | None = None,
) -> Scores:
    """Compute every number of a result; ``pool_sizes`` has the number of candidates by language.

    ``jumps`` is None where the multilingual setting was left out. Most measures of bias need that setting; the transfer ratio
    needs the other two. ``depth`` is that of a second stage: numbers that read ranks below it are None. In the monolingual and
    cross-lingual settings the largest pool decides for all.
    """
    tables = ScoreTables(ranks, pool_sizes, settings, metrics, bias, depth)
    return tables.scores(jumps)


def headline_tables(
    ranks: GoldRanks,
    pool_sizes: Mapping[str, int],
    metrics: Sequence[str],
    bias: Sequence[str],
    settings: Sequence[str] = SETTINGS,
    depth: int | None = None,
) -> dict[tuple[str, str], TopicTable]:
    """The values behind the headline numbers, by topic: one table per setting (or "bias") and metric.

    The columns are query languages. In the cross-lingual setting they are pairs of languages, by query language, then candidate
    language, in the order of ``ranks.languages``. Every model on one task has the same topics and counts, so two models can be
    compared. ``pool_sizes`` has the number of candidates by language. Measures of bias need the multilingual setting.
    The sums of a table that reads ranks below ``depth``, that of a second stage, are NaN.
    """
    return ScoreTables(ranks, pool_sizes, settings, metrics, bias, depth).headline()


class ScoreTables:
    """The values of every metric of one model on one task, by topic and language or pair of languages.

    ``tables`` has them by kind and metric. Kind "own" ranks golds in the pool of their language, "pool" in the pool of all
    languages, and "bias" holds the measures of bias.
    """

    def __init__(
        self,
        ranks: GoldRanks,
        pool_sizes: Mapping[str, int],
        settings: Sequence[str],
        metrics: Sequence[str],
        bias: Sequence[str],
        depth: int | None,
    ) -> None:
        self.ranks, self.metrics, self.bias, self.depth = ranks, metrics, bias, depth
        self.pool, self.largest = sum(pool_sizes.values()), max(pool_sizes.values(), default=0)
        self.settings = [setting for setting in SETTINGS if setting in settings]
        self.languages = ranks.languages
        self.n = len(ranks.languages)
        self.bootstrap = Bootstrap(len(ranks.topics))
        # Tables of kind "own" have a column per pair of languages. Without the cross-lingual setting a column per language is
        # enough: on MIRACL 18 instead of 324.
        self.paired = "cross-lingual" in self.settings
        self.diagonal = np.arange(self.n) * (self.n + 1 if self.paired else 1)
        self.tables: dict[tuple[str, str], TopicTable] = {}
        if {"monolingual", "cross-lingual"} & set(settings):
            self._own_block_tables()
        if "multilingual" in settings and ranks.pool_rank is not None:
            self._pool_tables()

    def _own_block_tables(self) -> None:
        self._add("own", *_joined([self._own_values(part) for part in self._topic_parts()]))

    def _own_values(self, ranks: GoldRanks) -> "_OfRankings":
        rows = np.flatnonzero(self.paired | (ranks.query_language == ranks.gold_language))
        group = ranks.query_language[rows].astype(np.intp)
        if self.paired:
            group = group * self.n + ranks.gold_language
        topic = ranks.topic[rows]
        # Rows are sorted by topic and pair of languages: each new pair begins a ranking.
        new = np.concatenate([[True], (np.diff(topic) != 0) | (np.diff(group) != 0)])
        lists = RankedLists.of(np.cumsum(new) - 1, ranks.own_rank[rows], ranks.grade_of(rows))
        return {name: METRICS[name].compute(lists) for name in self.metrics}, topic[new], group[new]

    def _pool_tables(self) -> None:
        metrics, bias = zip(*(self._pool_values(part) for part in self._topic_parts()), strict=True)
        self._add("pool", *_joined(metrics))
        self._add("bias", *_joined(bias))

    def _pool_values(self, ranks: GoldRanks) -> tuple["_OfRankings", "_OfRankings"]:
        """The metrics in the pool of all languages, and the measures of bias."""
        pool_rank, query, own = ranks.pool_rank, ranks.query, ranks.query_language == ranks.gold_language
        assert pool_rank is not None  # noqa: S101
        order = ranks.pool_order
        lists = RankedLists.of(query[order], pool_rank[order], ranks.grade_of(order))
        new = np.concatenate([[True], np.diff(query) != 0])
        topic, language = ranks.topic[new], ranks.query_language[new].astype(np.intp)
        values = {name: METRICS[name].compute(lists) for name in self.metrics}
        pool = PoolLists(lists, own[order], ranks.gold_language[order], self.pool)
        of_bias = {name: BIAS[name].compute(pool) for name in self.bias if name in BIAS}
        return (values, topic, language), (of_bias, topic, language)

    def _topic_parts(self) -> list[GoldRanks]:
        """The ranks, or for very many gold pairs the ranks of some topics after the other, which bounds memory."""
        ranks = self.ranks
        if len(ranks) <= _PAIRS:
            return [ranks]
        first = np.searchsorted(ranks.topic, np.arange(len(ranks.topics) + 1))
        bounds = [int(first[0])]
        for here, after in pairwise(first.tolist()):
            if after - bounds[-1] > _PAIRS and here > bounds[-1]:
                bounds.append(here)
        return [ranks.rows(slice(a, b)) for a, b in pairwise([*bounds, len(ranks)])]

    def _add(self, kind: str, values: dict[str, Values], topic: NDArray[np.int32], group: NDArray[np.intp]) -> None:
        """Make a table for each metric, from one value per ranking and the ranking's topic and group."""
        shape = (len(self.ranks.topics), self.n**2 if kind == "own" and self.paired else self.n)
        cell = topic.astype(np.intp) * shape[1] + group
        whole = _added(cell, None, shape)
        shared: Values | None = None
        for name in list(values):
            # The values of a metric are dropped as soon as its table has them.
            of_rankings = values.pop(name)
            if np.isnan(of_rankings).any():
                table = TopicTable.of(topic, group, of_rankings, shape)
            else:
                table = TopicTable(_added(cell, of_rankings, shape), whole)
            # Metrics with equal counts share one array of counts, so the bootstrap resamples it once.
            shared = table.counts if shared is None else shared
            same = shared is table.counts or np.array_equal(shared, table.counts)
            sums = np.full_like(table.sums, np.nan) if self._beyond(name, kind) else table.sums
            self.tables[kind, name] = TopicTable(sums, shared if same else table.counts)

    def _beyond(self, name: str, kind: str = "bias") -> bool:
        """Whether a number reads ranks below the depth of a second stage, which orders no candidate there."""
        return beyond(name, self.largest if kind == "own" else self.pool, self.depth)

    def scores(self, jumps: QueueJump | None) -> Scores:
        """Compute every number, with its interval."""
        parts = self.headline()
        samples = dict(zip(parts, self.bootstrap.macros(list(parts.values())), strict=True))
        bounds = dict(zip(parts, intervals(list(samples.values())), strict=True))
        scores = Scores()
        for setting in self.settings:
            self._setting(setting, parts, bounds, scores)
        overall = self._overall(samples, jumps)
        if "multilingual" in self.settings or overall:
            self._bias(bounds, overall, scores)
        if jumps is not None:
            whole = not self._beyond("own_language_preference")
            if jumps.only_sums:
                scores.queue_jump_sums.extend(jumps.counts[:, 0].tolist())
            for query, counts, ratios in zip(self.languages, jumps.counts, jumps.matrix, strict=True):
                if not jumps.only_sums:
                    scores.queue_jump[query] = self._named([self._named(row) for row in counts.tolist()])
                scores.queue_jump_ratio[query] = self._named(_number(ratio) if whole else None for ratio in ratios)
        return scores

    def _named(self, values: Iterable[Any]) -> dict[str, Any]:
        return dict(zip(self.languages, values, strict=True))

    def columns(self, setting: str) -> tuple[str, NDArray[np.intp]]:
        """The kind of table that a setting reads, and the columns that its headline numbers average over."""
        if setting == "multilingual":
            return "pool", np.arange(self.n)
        if setting == "monolingual":
            return "own", self.diagonal
        return "own", np.setdiff1d(np.arange(self.n * self.n), self.diagonal)

    def headline(self) -> dict[tuple[str, str], TopicTable]:
        """The tables of the headline numbers, by setting (or "bias") and metric, with only the columns that are averaged."""
        parts = {}
        for setting in self.settings:
            kind, columns = self.columns(setting)
            counts: dict[int, Values] = {}
            for name in self.metrics:
                table = self.tables[kind, name]
                # Tables that share their counts still share them here: the bootstrap resamples them once.
                shared = counts.setdefault(id(table.counts), table.counts[:, columns])
                parts[setting, name] = TopicTable(table.sums[:, columns], shared)
        return parts | {key: table for key, table in self.tables.items() if key[0] == "bias"}

    def _setting(
        self,
        setting: str,
        parts: dict[tuple[str, str], TopicTable],
        bounds: dict[tuple[str, str], tuple[float, float] | None],
        scores: Scores,
    ) -> None:
        kind, columns = self.columns(setting)
        scores.headline[setting] = {}
        scores.micro[setting] = {}
        for name in self.metrics:
            table, part = self.tables[kind, name], parts[setting, name]
            scores.headline[setting][name] = _headline(part.macro, bounds[setting, name])
            scores.micro[setting][name] = _number(part.micro)
            for i, language in enumerate(self.languages):
                entry = scores.per_language.setdefault(language, {}).setdefault(setting, {})
                if setting == "cross-lingual":
                    entry[name] = _number(self._mean_of_pairs(table.means, i))
                    self._pairs(name, table, i, scores)
                else:
                    entry.setdefault("queries", int(table.queries[columns[i]]))
                    entry[name] = _number(table.means[columns[i]])

    def _mean_of_pairs(self, means: Values, language: int) -> float:
        """Average the means of the pairs of a query language with every other candidate language."""
        row = means[language * self.n : (language + 1) * self.n]
        return _mean(np.delete(row, language))

    def _pairs(self, name: str, table: TopicTable, language: int, scores: Scores) -> None:
        row = scores.per_pair.setdefault(self.languages[language], {})
        for other, candidate_language in enumerate(self.languages):
            if other != language:
                column = language * self.n + other
                entry = row.setdefault(candidate_language, {"queries": int(table.queries[column])})
                entry[name] = _number(table.means[column])

    def _overall(
        self, samples: dict[tuple[str, str], Values], jumps: QueueJump | None
    ) -> dict[str, tuple[Headline, Values]]:
        """The measures of ``OVERALL_BIAS``: for each the headline number, and the values by query language."""
        overall: dict[str, tuple[Headline, Values]] = {}
        both = {"monolingual", "cross-lingual"} <= set(self.settings) and self.n > 1
        if "transfer_ratio" in self.bias and both and ("own", "mAP") in self.tables:
            ratio, by_language = self._transfer(self.tables["own", "mAP"].means)
            with np.errstate(divide="ignore", invalid="ignore"):
                sampled = samples["cross-lingual", "mAP"] / samples["monolingual", "mAP"]
            overall["transfer_ratio"] = _headline(ratio, interval(sampled)), by_language
        if "own_language_preference" in self.bias and jumps is not None:
            by_language = jumps.own_language_preference
            if self._beyond("own_language_preference"):
                by_language = np.full_like(by_language, np.nan)
            # There is no interval: it would need the queue jumps by topic, which the ranks do not give.
            overall["own_language_preference"] = Headline(_number(_mean(by_language))), by_language
        return overall

    def _transfer(self, means: Values) -> tuple[float, Values]:
        """The transfer ratio over all languages, and by query language, float64 (languages,)."""
        own = means[self.diagonal]
        across = np.array([self._mean_of_pairs(means, i) for i in range(self.n)])
        with np.errstate(divide="ignore", invalid="ignore"):
            overall = np.divide(_mean(np.delete(means, self.diagonal)), _mean(own))
            return float(overall), np.asarray(across / own)

    def _bias(
        self,
        bounds: dict[tuple[str, str], tuple[float, float] | None],
        overall: dict[str, tuple[Headline, Values]],
        scores: Scores,
    ) -> None:
        of_bias = scores.headline.setdefault("bias", {})
        for name in self.bias:
            if name in overall:
                headline, by_language = overall[name]
            elif ("bias", name) in self.tables:
                table = self.tables["bias", name]
                by_language = table.means
                headline = _headline(table.macro, bounds["bias", name])
            else:
                continue
            of_bias[name] = headline
            for language, value in zip(self.languages, by_language, strict=True):
                scores.per_language.setdefault(language, {}).setdefault("bias", {})[name] = _number(value)


# By metric one value per ranking; the topic of each ranking, and its language or pair of languages.
_OfRankings = tuple[dict[str, Values], NDArray[np.int32], NDArray[np.intp]]


def _added(cell: NDArray[np.intp], values: Values | None, shape: tuple[int, int]) -> Values:
    """Add up the values of each cell of a table, or count them without ``values``: float64 of ``shape``."""
    return (
        np.bincount(cell, weights=values, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64, copy=False)
    )


def _joined(parts: Sequence[_OfRankings]) -> _OfRankings:
    """The values of several parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    values = {name: np.concatenate([part[0].pop(name) for part in parts]) for name in list(parts[0][0])}
    return values, np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts])


def _mean(values: Values) -> float:
    """Mean of the values that are not NaN; NaN where all are."""
    return float(mean_of_present(values[None])[0])


def _number(value: float) -> Number:
    return float(value) if math.isfinite(value) else None


def _headline(value: float, bounds: tuple[float, float] | None) -> Headline:
    return Headline(_number(value), *((bounds if math.isfinite(value) else None) or ()))
