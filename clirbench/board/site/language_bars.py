"""The table of query languages on a model's page: each cell is a number and its bar, with a whisker for the 95 % interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clirbench.board.site.content import Cell, shown_cell
from clirbench.board.site.scales import round_up
from clirbench.metrics.per_topic import TopicTable
from clirbench.metrics.scores import headline_tables
from clirbench.metrics.significance import Bootstrap, intervals
from clirbench.results.result import Result
from clirbench.results.schema import EstimatePart

Tables = Mapping[tuple[str, str], TopicTable]
# Units of a bar from the left to the right end of its cell.
WIDTH = 600


@dataclass(frozen=True)
class Plotted:
    """A number with its bar: where the bar starts and how long it is, and both ends of its whisker, from 0 to ``WIDTH``."""

    cell: Cell
    bar: tuple[int, int] | None
    whisker: tuple[int, int] | None


@dataclass(frozen=True)
class BarColumn:
    """A column of bars on one scale. ``zero`` is where the bars begin; ``series`` numbers its colour."""

    name: str
    unit: str
    series: int
    zero: int
    cells: tuple[Plotted, ...]


def language_bars(result: Result, tables: Tables | None = None) -> list[BarColumn]:
    """The task's first metric, monolingual and multilingual, rank distance, and what AP loses with a gold: by query language.

    ``tables`` are those of :func:`clirbench.metrics.scores.headline_tables`, if they were computed before.
    """
    document, languages = result.document, result.ranks.languages
    metric, bias = document.main_metric, document.task.bias
    apart = ["rank_distance"] if "rank_distance" in bias else []
    sizes, settings, depth = document.counts.candidates, document.task.settings, document.encoder.depth
    tables = tables or headline_tables(result.ranks, sizes, [metric], apart, settings, depth)
    names = {("monolingual", metric): "same language", ("multilingual", metric): "all languages in one pool"}
    # The tables may hold more than the task measures.
    names |= {("bias", name): "rank distance" for name in apart}
    chosen = {key: tables[key] for key in names if key in tables}
    samples = Bootstrap(len(result.ranks.topics)).means(list(chosen.values()))
    estimates = {
        key: [_estimate(mean, ends) for mean, ends in zip(table.means, intervals(list(drawn.T)), strict=True)]
        for (key, table), drawn in zip(chosen.items(), samples, strict=True)
    }
    ranked = [key for key in estimates if key[0] != "bias"]
    columns = _alike([(f"{metric}, {names[key]}", estimates[key]) for key in ranked], "×100", 100, 1)
    columns += _alike([(names[key], estimates[key]) for key in estimates if key not in ranked], "ranks", 1, 0)
    removal = {
        "own_gold_removal": "AP lost with the own-language gold",
        "other_gold_removal": "AP lost with another gold",
    }
    stated = {language: document.per_language.get(language, {}).get("bias", {}) for language in languages}
    lost = [
        (words, [EstimatePart(value=stated[language].get(name), low=None, high=None) for language in languages])
        for name, words in removal.items()
        if name in bias
    ]
    return columns + _alike(lost, "×100", 100, 1)


def _estimate(mean: float, ends: tuple[float, float] | None) -> EstimatePart:
    low, high = ends or (None, None)
    return EstimatePart(value=None if math.isnan(mean) else float(mean), low=low, high=high)


def _alike(series: Sequence[tuple[str, Sequence[EstimatePart]]], unit: str, scale: int, digits: int) -> list[BarColumn]:
    """Columns that share one scale, which holds zero and every value."""
    values = [v for _, row in series for e in row for v in (e.value, e.low, e.high) if v is not None]
    most = round_up(max([*values, 1e-9]))
    least = -round_up(-min(values)) if values and min(values) < 0 else 0.0

    def at(value: float) -> int:
        return round(WIDTH * (value - least) / (most - least))

    def plotted(one: EstimatePart) -> Plotted:
        if one.value is None:
            return Plotted(shown_cell(one, scale, digits), None, None)
        start, stop = sorted((at(0.0), at(one.value)))
        whisker = None if one.low is None or one.high is None else (at(one.low), at(one.high))
        # A bar with value 0 must still be visible.
        return Plotted(shown_cell(one, scale, digits), (start, max(stop - start, 1)), whisker)

    return [
        BarColumn(name, unit, place, at(0.0), tuple(plotted(one) for one in row))
        for place, (name, row) in enumerate(series)
    ]
