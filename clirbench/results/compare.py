"""Compare two models on one task: differences with intervals and paired tests over topics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clirbench.metrics.bias import BIAS
from clirbench.metrics.per_topic import TopicTable, mean_of_present, shares_of_macro
from clirbench.metrics.retrieval import METRICS, Values, ranks_read
from clirbench.metrics.scores import headline_tables
from clirbench.metrics.significance import Bootstrap, holm, intervals, permutation_p
from clirbench.ranking.gold_ranks import gold_digest
from clirbench.results.result import Result
from clirbench.support.blas import one_blas_thread
from clirbench.support.errors import ClirbenchError

BIAS_NAME = "rank_distance"
LEVEL = 0.05
# A difference below this share of the larger number is called small: a paired test over thousands of queries shows differences
# that nobody notices. The threshold is a convention of clirbench: no test gives it.
SMALL = 0.05


@dataclass(frozen=True)
class Contrast:
    """One number of two models, and whether they differ in it.

    Attributes:
        setting: A setting, or "bias".
        family: The numbers that are tested together: "overall" (all settings and rank distance), "language" (the query
            languages of one setting), or "pair" (all language pairs).
        query_language: None in the family "overall".
        candidate_language: None except in the family "pair".
        topics: Number of topics that have a value.
        difference: The value of the first model minus that of the second.
        low: Lower end of the 95 % paired bootstrap interval of the difference; None where it is undefined.
        high: Upper end of that interval.
        p_raw: Two-sided p-value of the paired randomisation test over topics.
        p: ``p_raw``, corrected by Holm's method over the family.
        better: 1 where the first model is significantly better (p < 0.05), -1 where the second is, 0 where neither is.
    """

    setting: str
    metric: str
    family: str
    query_language: str | None
    candidate_language: str | None
    topics: int
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    p_raw: float
    p: float
    better: int

    @property
    def small(self) -> bool:
        """Whether the difference is shown, and below ``SMALL`` of the larger number."""
        return self.better != 0 and is_small(self.first, self.second)


def is_small(first: float, second: float) -> bool:
    """Whether two numbers differ by less than ``SMALL`` of the larger one."""
    return abs(first - second) < SMALL * max(abs(first), abs(second))


@dataclass(frozen=True)
class Comparison:
    """All contrasts of two results on one task; ``first`` and ``second`` are the names of the models."""

    task: str
    first: str
    second: str
    contrasts: tuple[Contrast, ...]

    def of(self, family: str, setting: str | None = None) -> list[Contrast]:
        """The contrasts of one family, in the order of the task; ``setting`` chooses one setting, None means all."""
        return [c for c in self.contrasts if c.family == family and setting in (None, c.setting)]


@dataclass(frozen=True)
class _Cell:
    """One mean to compare: the mean over ``columns`` of the per-topic table of a setting."""

    setting: str
    family: str
    columns: NDArray[np.intp]
    query_language: str | None = None
    candidate_language: str | None = None


class _Row(NamedTuple):
    """A cell, the metric that is compared in it, and the tables of both models."""

    cell: _Cell
    metric: str
    first: TopicTable
    second: TopicTable


# Its products are small: see one_blas_thread.
@one_blas_thread()
def compare(first: Result, second: Result, names: tuple[str, str], metric: str | None = None) -> Comparison:
    """Compare two results on the same task, languages and settings: in one metric, and in rank distance if the task has it.

    Args:
        first: A result.
        second: Another result.
        names: Names of the two models.
        metric: A name in ``METRICS``; None for the first metric of the task.

    Returns:
        One contrast per setting, per query language, and per language pair.

    Raises:
        ClirbenchError: The two are not on the same task, languages and settings, the metric is unknown, or it reads ranks below
            the depth of a second stage.
    """
    metric = metric or first.document.task.metrics[0]
    if metric not in METRICS:
        raise ClirbenchError(f"--metric is '{metric}': use {', '.join(METRICS)}")
    _same_task(first, second)
    bias = [BIAS_NAME] if BIAS_NAME in first.document.task.bias else []
    tables = [
        headline_tables(
            r.ranks, r.document.counts.candidates, [metric], bias, r.document.task.settings, r.document.encoder.depth
        )
        for r in (first, second)
    ]
    bootstrap = Bootstrap(len(first.ranks.topics))
    rows = [
        _Row(cell, name, table, tables[1][setting, name])
        for (setting, name), table in tables[0].items()
        for cell in _cells(setting, first.ranks.languages, table)
        if not np.isnan(table.sums + tables[1][setting, name].sums).any()
    ]
    if not rows:
        depth = min(r.document.encoder.depth for r in (first, second) if r.document.encoder.depth)
        others = [name for name in first.document.task.metrics if ranks_read(name) <= depth]
        raise ClirbenchError(
            f"{metric} reads ranks below the depth of a second stage, {depth}: "
            f"pass --metric, one of {', '.join(others) or 'none'}"
        )
    # All families draw the same signs and the same topics, so these are drawn once.
    differences = {
        id(row.first): TopicTable.counted_as(row.first.sums - row.second.sums, row.first.counted) for row in rows
    }
    shares = [shares_of_macro(differences[id(row.first)], row.cell.columns) for row in rows]
    raw = dict(zip(map(id, rows), permutation_p(np.stack(shares, axis=1)).tolist(), strict=True))
    samples = dict(zip(differences, bootstrap.means(list(differences.values())), strict=True))
    contrasts: list[Contrast] = []
    # Holm's correction is for one family: all settings, the languages of one setting, or all pairs.
    for family in ("overall", "language", "pair"):
        members = [row for row in rows if row.cell.family == family]
        settings = dict.fromkeys(row.cell.setting for row in members) if family == "language" else [None]
        for setting in settings:
            family_rows = [row for row in members if setting in (None, row.cell.setting)]
            contrasts += _contrasts(family_rows, [raw[id(row)] for row in family_rows], samples)
    return Comparison(first.document.task.id, *names, tuple(contrasts))


def sentence(comparison: Comparison, setting: str) -> str:
    """A sentence that says in how many query languages of a setting each model is better."""
    rows = comparison.of("language", setting)
    parts = []
    for sign, name in ((1, comparison.first), (-1, comparison.second)):
        won = [str(row.query_language) for row in rows if row.better == sign]
        if won:
            which = "all" if len(won) == len(rows) else ", ".join(won)
            parts.append(f"{name} is better in {len(won)} of {len(rows)} languages ({which})")
    tied = [str(row.query_language) for row in rows if row.better == 0]
    if len(tied) == len(rows):
        return f"no difference shown in any of {len(rows)} languages"
    if tied:
        parts.append(f"no difference shown in {', '.join(tied)}")
    return "; ".join(parts)


def _same_task(first: Result, second: Result) -> None:
    """Fail if the topics of two results cannot be paired."""
    a, b = first.document.task, second.document.task
    for key in ("id", "languages", "settings"):
        if getattr(a, key) != getattr(b, key):
            raise ClirbenchError(
                f"the two results differ in 'task.{key}' ({getattr(a, key)!a}, {getattr(b, key)!a}): compare like with like"
            )
    if a.hash != b.hash:
        what = "texts or grades" if a.sources != b.sources else "languages, settings or counts"
        raise ClirbenchError(f"the two results differ in the {what} of {a.id}: compare like with like")
    if first.ranks.rounding != second.ranks.rounding:
        exact = first if first.ranks.rounding is None else second
        formats = f"{first.document.format}, {second.document.format}"
        raise ClirbenchError(
            f"the two results of {a.id} differ in 'format' ({formats}): format 3 has rounded ranks, so a difference may be "
            f"rounding: run {exact.document.model.name} again with clirbench run --force"
        )
    same = first.ranks.topics == second.ranks.topics and len(first.ranks) == len(second.ranks)
    if (
        not same
        or any(
            not np.array_equal(getattr(first.ranks, name), getattr(second.ranks, name))
            for name in ("topic", "query_language", "gold_language")
        )
        or _grades(first) != _grades(second)
    ):
        raise ClirbenchError("the two ranks files do not hold the same gold pairs: run clirbench check on both")


def _grades(result: Result) -> str:
    """A checksum of the gold pairs with their grades, which stand in the order of ranks; "" in a task without grades."""
    return "" if result.ranks.grade is None else gold_digest(result.ranks)


def _cells(setting: str, languages: Sequence[str], table: TopicTable) -> list[_Cell]:
    """The means of a setting's table: over all columns, by language, and by pair.

    A table has one column per query language. In the cross-lingual setting it has one column per pair: first all pairs of the
    first query language, then all pairs of the second, and so on.
    """
    columns = np.arange(table.sums.shape[1])
    cells = [_Cell(setting, "overall", columns)]
    for language, own in zip(languages, columns.reshape(len(languages), -1), strict=True):
        cells.append(_Cell(setting, "language", own, language))
        if setting == "cross-lingual":
            others = [other for other in languages if other != language]
            cells += [_Cell(setting, "pair", own[[i]], language, other) for i, other in enumerate(others)]
    return [cell for cell in cells if (table.queries[cell.columns] > 0).any()]


def _contrasts(rows: Sequence[_Row], raw: Sequence[float], samples: Mapping[int, Values]) -> list[Contrast]:
    """The contrasts of one family, from p-values without correction and the bootstrap means of each row's table, by its id."""
    corrected = holm(np.array(raw))
    bounds = intervals([mean_of_present(samples[id(row.first)][:, row.cell.columns]) for row in rows])
    contrasts = []
    for i, (cell, metric, a, b) in enumerate(rows):
        low, high = bounds[i] or (None, None)
        one, other = (float(mean_of_present(table.means[None, cell.columns])[0]) for table in (a, b))
        higher = BIAS[metric].higher_is_better if cell.setting == "bias" else METRICS[metric].higher_is_better
        sign = int(np.sign(one - other)) * (1 if higher else -1)
        contrasts.append(
            Contrast(
                setting=cell.setting,
                metric=metric,
                family=cell.family,
                query_language=cell.query_language,
                candidate_language=cell.candidate_language,
                topics=int((a.counts[:, cell.columns].sum(axis=1) > 0).sum()),
                first=one,
                second=other,
                difference=one - other,
                low=low,
                high=high,
                p_raw=raw[i],
                p=float(corrected[i]),
                better=sign if corrected[i] < LEVEL else 0,
            )
        )
    return contrasts
