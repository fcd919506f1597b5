"""Compare two models on one task: differences with intervals and paired tests over topics."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clirbench.metrics.bias import BIAS
from clirbench.metrics.per_topic import TopicTable, mean_of_present, shares_of_macro
from clirbench.metrics.retrieval import METRICS, Values
from clirbench.metrics.scores import headline_tables
from clirbench.metrics.significance import Bootstrap, holm, interval, permutation_p
from clirbench.results.result import Result
from clirbench.support.errors import ClirbenchError

BIAS_NAME = "rank_distance"
LEVEL = 0.05


@dataclass(frozen=True)
class Contrast:
    """One number of two models, and whether they differ in it.

    Attributes:
        setting: A setting, or "bias".
        metric: Name of the metric.
        family: The numbers that are tested together: "overall" (all settings and rank distance), "language" (the query
            languages of one setting), or "pair" (all language pairs).
        query_language: None in the family "overall".
        candidate_language: None except in the family "pair".
        topics: How many topics have a value.
        first: Value of the first model.
        second: Value of the second model.
        difference: First minus second.
        low: Lower end of the 95 % paired bootstrap interval of the difference; None where it is undefined.
        high: Upper end of it.
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


@dataclass(frozen=True)
class Comparison:
    """All contrasts of two results on one task; ``first`` and ``second`` are the names of the models."""

    task: str
    first: str
    second: str
    contrasts: tuple[Contrast, ...]

    def of(self, family: str, setting: str | None = None) -> list[Contrast]:
        """The contrasts of one family, of one setting or of all, in the order of the task."""
        return [c for c in self.contrasts if c.family == family and setting in (None, c.setting)]


@dataclass(frozen=True)
class _Cell:
    """One mean to compare: it is taken over ``columns`` of the per-topic table of a setting."""

    setting: str
    family: str
    columns: NDArray[np.intp]
    query_language: str | None = None
    candidate_language: str | None = None


def compare(first: Result, second: Result, names: tuple[str, str], metric: str | None = None) -> Comparison:
    """Compare two results of one task.

    Args:
        first: A result.
        second: Another result, on the same task, languages and settings.
        names: What to call the two models.
        metric: A name in ``METRICS``; None for the first metric of the task. Rank distance is compared as well, where the task
            has it.

    Returns:
        One contrast per setting, per query language, and per language pair.

    Raises:
        ClirbenchError: The two are not on the same task, languages and settings, or the metric is unknown.
    """
    metric = metric or first.document.task.metrics[0]
    if metric not in METRICS:
        raise ClirbenchError(f"--metric is '{metric}': use {', '.join(METRICS)}")
    _same_task(first, second)
    bias = [BIAS_NAME] if BIAS_NAME in first.document.task.bias else []
    tables = [
        headline_tables(r.ranks, r.document.counts.candidates, [metric], bias, r.document.task.settings)
        for r in (first, second)
    ]
    contrasts: dict[str, list[Contrast]] = {"overall": [], "language": [], "pair": []}
    bootstrap = Bootstrap(len(first.ranks.topics))
    languages = first.ranks.languages
    raw: list[tuple[_Cell, str, TopicTable, TopicTable]] = []
    for (setting, name), table in tables[0].items():
        other = tables[1][setting, name]
        raw += [(cell, name, table, other) for cell in _cells(setting, languages, table)]
    for family in (("overall",), *(("language", s) for s in (*_settings(raw),)), ("pair",)):
        chosen = [row for row in raw if (row[0].family, row[0].setting)[: len(family)] == family]
        if chosen:
            contrasts[family[0]] += _contrasts(chosen, bootstrap)
    return Comparison(
        task=first.document.task.id,
        first=names[0],
        second=names[1],
        contrasts=(*contrasts["overall"], *contrasts["language"], *contrasts["pair"]),
    )


def sentence(comparison: Comparison, setting: str) -> str:
    """In how many query languages of a setting each model is better, as a sentence."""
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


def _settings(raw: Sequence[tuple[_Cell, str, TopicTable, TopicTable]]) -> list[str]:
    return list(dict.fromkeys(cell.setting for cell, *_ in raw))


def _same_task(first: Result, second: Result) -> None:
    """Fail where the topics of two results cannot be paired."""
    a, b = first.document.task, second.document.task
    for key in ("id", "hash", "languages", "settings"):
        if getattr(a, key) != getattr(b, key):
            raise ClirbenchError(
                f"the two results differ in 'task.{key}' ({getattr(a, key)!a}, {getattr(b, key)!a}): compare like with like"
            )
    same = first.ranks.topics == second.ranks.topics and len(first.ranks) == len(second.ranks)
    if not same or any(
        not np.array_equal(getattr(first.ranks, name), getattr(second.ranks, name))
        for name in ("topic", "query_language", "gold_language")
    ):
        raise ClirbenchError("the two ranks files do not hold the same gold pairs: run clirbench check on both")


def _cells(setting: str, languages: Sequence[str], table: TopicTable) -> list[_Cell]:
    """The means of a setting's table: over all of it, and by language and pair.

    A table has one column per query language, in the cross-lingual setting one per pair: first all pairs of the first query
    language, then those of the second.
    """
    n = len(languages)
    width = table.sums.shape[1]
    cells = [_Cell(setting, "overall", np.arange(width))]
    if setting != "cross-lingual":
        cells += [_Cell(setting, "language", np.array([i]), languages[i]) for i in range(n)]
    by_language = np.arange(width).reshape(n, -1)
    for i, language in enumerate(languages if setting == "cross-lingual" else ()):
        others = [other for j, other in enumerate(languages) if j != i]
        cells.append(_Cell(setting, "language", by_language[i], language))
        cells += [
            _Cell(setting, "pair", np.array([c]), language, other)
            for c, other in zip(by_language[i], others, strict=True)
        ]
    return [cell for cell in cells if (table.queries[cell.columns] > 0).any()]


def _contrasts(rows: Sequence[tuple[_Cell, str, TopicTable, TopicTable]], bootstrap: Bootstrap) -> list[Contrast]:
    differences = [TopicTable(a.sums - b.sums, a.counts) for _, _, a, b in rows]
    shares = np.stack(
        [shares_of_macro(table, cell.columns) for table, (cell, *_) in zip(differences, rows, strict=True)], axis=1
    )
    raw = permutation_p(shares)
    corrected = holm(raw)
    # Many cells share one table: its bootstrap means are drawn once.
    samples: dict[int, Values] = {}
    contrasts = []
    for i, (cell, metric, a, b) in enumerate(rows):
        if id(a) not in samples:
            samples[id(a)] = bootstrap.means([differences[i]])[0]
        bounds = interval(mean_of_present(samples[id(a)][:, cell.columns]))
        values = [float(mean_of_present(table.means[None, cell.columns])[0]) for table in (a, b)]
        difference = values[0] - values[1]
        higher = BIAS[metric].higher_is_better if cell.setting == "bias" else METRICS[metric].higher_is_better
        sign = int(np.sign(difference)) * (1 if higher else -1)
        contrasts.append(
            Contrast(
                setting=cell.setting,
                metric=metric,
                family=cell.family,
                query_language=cell.query_language,
                candidate_language=cell.candidate_language,
                topics=int((a.counts[:, cell.columns].sum(axis=1) > 0).sum()),
                first=values[0],
                second=values[1],
                difference=difference,
                low=bounds[0] if bounds else None,
                high=bounds[1] if bounds else None,
                p_raw=float(raw[i]),
                p=float(corrected[i]),
                better=sign if corrected[i] < LEVEL else 0,
            )
        )
    return contrasts
