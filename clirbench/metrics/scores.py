"""Compute every number of a result from the ranks of golds: by language, by pair, macro and micro, with intervals.

Macro averages weigh every language (or pair of languages) alike, micro averages every query.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clirbench.metrics.bias import BIAS, OVERALL_BIAS, PoolLists, QueueJump
from clirbench.metrics.per_topic import Counted, TopicTable, mean_of_present
from clirbench.metrics.retrieval import METRICS, RankedLists, Rankings, Values, beyond
from clirbench.metrics.significance import Bootstrap, interval, intervals
from clirbench.ranking.gold_ranks import Arrangement, GoldRanks
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task import SETTINGS, Task

Number = float | None
Numbers = dict[str, Number]
# Gold pairs whose metrics are computed at a time; this bounds memory.
_PAIRS = 2**21
# Arrays of counts that are kept beside the one of all rankings. Each follows from which rankings a measure applies to.
_KEPT_COUNTS = 4
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
    languages, and "bias" holds the measures of bias. ``merge`` is that of :class:`Bootstrap`, for numbers that are only compared.
    """

    def __init__(
        self,
        ranks: GoldRanks,
        pool_sizes: Mapping[str, int],
        settings: Sequence[str],
        metrics: Sequence[str],
        bias: Sequence[str],
        depth: int | None,
        merge: bool = False,
    ) -> None:
        self.ranks, self.metrics, self.bias, self.depth = ranks, metrics, bias, depth
        self.pool, self.largest = sum(pool_sizes.values()), max(pool_sizes.values(), default=0)
        self.settings = [setting for setting in SETTINGS if setting in settings]
        self.languages = ranks.languages
        self.n = len(ranks.languages)
        self.bootstrap = Bootstrap(len(ranks.topics), merge=merge)
        # Tables of kind "own" have a column per pair of languages. Without the cross-lingual setting a column per language is
        # enough: on MIRACL 18 instead of 324.
        self.paired = "cross-lingual" in self.settings
        self.diagonal = np.arange(self.n) * (self.n + 1 if self.paired else 1)
        # The columns of pairs of two languages, by query language.
        self.across = np.flatnonzero(~np.eye(self.n, dtype=bool))
        self.tables: dict[tuple[str, str], TopicTable] = {}
        if {"monolingual", "cross-lingual"} & set(settings):
            self._own_block_tables()
        if "multilingual" in settings and ranks.pool_rank is not None:
            self._pool_tables()

    def _own_block_tables(self) -> None:
        self._add("own", [self._own_values(part) for part in self._topic_parts()])

    def _own_values(self, ranks: GoldRanks) -> "_OfRankings":
        ranked = ranks.arranged.made(("own", self.paired), lambda: _Ranked.in_own_blocks(ranks.arranged, self.paired))
        lists = ranked.lists(ranks.own_rank[ranked.rows], ranks.grade_of(ranked.rows))
        return _OfRankings({name: METRICS[name].compute(lists) for name in self.metrics}, ranked)

    def _pool_tables(self) -> None:
        metrics, bias = zip(*(self._pool_values(part) for part in self._topic_parts()), strict=True)
        self._add("pool", metrics)
        self._add("bias", bias)

    def _pool_values(self, ranks: GoldRanks) -> tuple["_OfRankings", "_OfRankings"]:
        """The metrics in the pool of all languages, and the measures of bias."""
        pool_rank, order = ranks.pool_rank, ranks.pool_order
        assert pool_rank is not None  # noqa: S101
        ranked = ranks.arranged.made("pool", lambda: _Ranked.in_pool(ranks.arranged))
        lists = ranked.lists(pool_rank[order], ranks.grade_of(order))
        values = {name: METRICS[name].compute(lists) for name in self.metrics}
        pool = PoolLists(lists, ranks.arranged.own[order], ranks.gold_language[order], self.pool)
        of_bias = {name: BIAS[name].compute(pool) for name in self.bias if name in BIAS}
        return _OfRankings(values, ranked), _OfRankings(of_bias, ranked)

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

    def _add(self, kind: str, parts: Sequence["_OfRankings"]) -> None:
        """Make a table for each metric, from the values of each part of the topics."""
        shape = (len(self.ranks.topics), self.n**2 if kind == "own" and self.paired else self.n)

        def compute() -> _Cells:
            return _Cells(np.concatenate([part.ranked.cell(shape[1]) for part in parts]), shape)

        kept = ("cells", kind == "own", shape)
        cells = self.ranks.arranged.made(kept, compute) if len(parts) == 1 else compute()
        for name in list(parts[0].values):
            # The values of a metric are dropped as soon as its table has them.
            of_parts = [part.values.pop(name) for part in parts]
            of_rankings = of_parts[0] if len(parts) == 1 else np.concatenate(of_parts)
            sums, counted = cells.added(of_rankings)
            if self._beyond(name, kind):
                sums = np.full_like(sums, np.nan)
            self.tables[kind, name] = TopicTable.counted_as(sums, counted)

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
        return "own", self.across

    def headline(self) -> dict[tuple[str, str], TopicTable]:
        """The tables of the headline numbers, by setting (or "bias") and metric, with only the columns that are averaged."""
        parts = {}
        for setting in self.settings:
            kind, columns = self.columns(setting)
            counted: dict[int, Counted] = {}
            for name in self.metrics:
                table = self.tables[kind, name]
                # Tables that share their counts still share them here: the bootstrap resamples them once.
                key = id(table.counted)
                if key not in counted:
                    counted[key] = table.counted.of(columns)
                parts[setting, name] = TopicTable.counted_as(table.sums[:, columns], counted[key])
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
        tables = [self.tables[kind, name] for name in self.metrics]
        if not tables:
            return
        averaged = [parts[setting, name] for name in self.metrics]
        macros = mean_of_present(np.stack([part.means for part in averaged])).tolist()
        for name, part, macro in zip(self.metrics, averaged, macros, strict=True):
            scores.headline[setting][name] = _headline(macro, bounds[setting, name])
            scores.micro[setting][name] = _number(part.micro)
        means = np.stack([table.means for table in tables])
        queries = tables[0].queries.astype(np.int64).tolist()
        pairs = setting == "cross-lingual"
        by_language = np.stack([self._means_of_pairs(one) for one in means]) if pairs else means[:, columns]
        for i, (language, values) in enumerate(zip(self.languages, _numbers(by_language.T), strict=True)):
            entry = scores.per_language.setdefault(language, {}).setdefault(setting, {})
            if not pairs:
                entry.setdefault("queries", queries[columns[i]])
            entry |= dict(zip(self.metrics, values, strict=True))
        if pairs:
            self._pairs(_numbers(means.T), queries, scores)

    def _means_of_pairs(self, means: Values) -> Values:
        """Average the means of the pairs of each query language with every other candidate language: float64 (languages,)."""
        return mean_of_present(means[self.across].reshape(self.n, self.n - 1))

    def _pairs(self, values: Sequence[Sequence[Number]], queries: Sequence[int], scores: Scores) -> None:
        """Add the numbers of each pair of languages; ``values`` has them by pair, then by metric."""
        for i, language in enumerate(self.languages):
            row = scores.per_pair.setdefault(language, {})
            for j, other in enumerate(self.languages):
                if i != j:
                    column = i * self.n + j
                    row[other] = {"queries": queries[column], **dict(zip(self.metrics, values[column], strict=True))}

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
        across = self._means_of_pairs(means)
        with np.errstate(divide="ignore", invalid="ignore"):
            overall = np.divide(_mean(means[self.across]), _mean(own))
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
            for language, value in zip(self.languages, _numbers(by_language), strict=True):
                scores.per_language.setdefault(language, {}).setdefault("bias", {})[name] = value


@dataclass(frozen=True)
class _Ranked:
    """Which golds are ranked together, and the topic and the group of each ranking. It follows from the gold pairs alone.

    ``rows`` are the rows of the golds, a slice where it is all of them. ``topic`` and ``group`` are int32 and intp (rankings,).
    """

    rows: NDArray[np.intp] | slice
    rankings: Rankings
    topic: NDArray[np.int32]
    group: NDArray[np.intp]

    @classmethod
    def in_own_blocks(cls, arranged: Arrangement, paired: bool) -> "_Ranked":
        """The rankings of one language's candidates: for each pair of languages if ``paired``, else for each query's language."""
        if paired:
            topic, group = arranged.topic, arranged.pair
            # Rows are sorted by topic and pair of languages: each new pair begins a ranking.
            new = np.concatenate([[True], (np.diff(topic) != 0) | (np.diff(group) != 0)])
            return cls(slice(None), Rankings(np.cumsum(new) - 1), topic[new], group[new])
        rows = np.flatnonzero(arranged.own)
        topic, group = arranged.topic[rows], arranged.query_language[rows].astype(np.intp)
        new = np.concatenate([[True], (np.diff(topic) != 0) | (np.diff(group) != 0)])
        return cls(rows, Rankings(np.cumsum(new) - 1), topic[new], group[new])

    @classmethod
    def in_pool(cls, arranged: Arrangement) -> "_Ranked":
        """The rankings of all candidates."""
        topic, asked = arranged.topic[arranged.first], arranged.asked.astype(np.intp)
        return cls(slice(None), Rankings(arranged.query), topic, asked)

    def lists(self, rank: NDArray[np.int32], grade: NDArray[np.int8] | None) -> RankedLists:
        """The lists of these ranks, which should be sorted within each ranking; others are sorted."""
        sorted_already = self.rankings.width == 1 or not (self.rankings.inside & (rank[1:] < rank[:-1])).any()
        return (
            RankedLists.in_order(self.rankings, rank, grade)
            if sorted_already
            else RankedLists.of(self.rankings.ranking, rank, grade)
        )

    def cell(self, groups: int) -> NDArray[np.intp]:
        """The place of each ranking in a table of topics and groups, as one number: intp (rankings,)."""
        return self.topic.astype(np.intp) * groups + self.group


class _OfRankings(NamedTuple):
    """By metric one value per ranking."""

    values: dict[str, Values]
    ranked: _Ranked


class _Cells:
    """The cells of a table of topics and groups to which rankings belong: intp (rankings,), and the table's shape."""

    def __init__(self, cell: NDArray[np.intp], shape: tuple[int, int]) -> None:
        self.cell, self.shape = cell, shape
        self.size = shape[0] * shape[1]
        # Whether each cell has one ranking, in their order.
        self.plain = len(cell) == self.size and bool((cell == np.arange(self.size)).all())
        self.counted = [Counted(self._added(cell, None))]

    def added(self, values: Values) -> tuple[Values, Counted]:
        """The sum of the values of each cell, NaN left out, float64 of ``shape``, and how many there are."""
        # A sum is NaN if a value is.
        if not math.isnan(values.sum()) or not (missing := np.isnan(values)).any():
            return self._added(self.cell, values), self.counted[0]
        cell = self.cell[~missing]
        return self._added(cell, values[~missing]), self._counted(self._added(cell, None))

    def _added(self, cell: NDArray[np.intp], values: Values | None) -> Values:
        if self.plain and values is not None and len(cell) == self.size:
            return values.reshape(self.shape)
        sums = np.bincount(cell, weights=values, minlength=self.size).reshape(self.shape)
        return sums.astype(np.float64, copy=False)

    def _counted(self, counts: Values) -> Counted:
        """The counts, as they were met before if they are the same. So what follows from them is computed once."""
        known = next((one for one in self.counted if np.array_equal(one.counts, counts)), None)
        if known is None:
            known = Counted(counts)
            # The first has the counts of all rankings.
            self.counted = [*self.counted[:_KEPT_COUNTS], known]
        return known


def _mean(values: Values) -> float:
    """Mean of the values that are not NaN; NaN where all are."""
    return float(mean_of_present(values[None])[0])


def _number(value: float) -> Number:
    return float(value) if math.isfinite(value) else None


def _numbers(values: Values) -> list[Any]:
    """The values as nested lists of numbers, None where one is not finite."""
    numbers = values.astype(object)
    numbers[~np.isfinite(values)] = None
    return list(numbers.tolist())


def _headline(value: float, bounds: tuple[float, float] | None) -> Headline:
    return Headline(_number(value), *((bounds if math.isfinite(value) else None) or ()))
