"""A result as HTML, as a pandas DataFrame, and as a matplotlib figure."""

from typing import Any

import numpy as np
from markupsafe import Markup, escape

from clirbench.metrics.bias import shown_as
from clirbench.metrics.retrieval import Values
from clirbench.results.schema import Document, EstimatePart
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task import SETTINGS

COLUMNS = ("task", "setting", "metric", "query_language", "candidate_language", "value", "low", "high", "queries")


def as_html(document: Document) -> str:
    """The headline and the heat map of language pairs as HTML without script or style sheet; every text is escaped."""
    metric = document.task.metrics[0]
    settings = [setting for setting in SETTINGS if setting in document.headline]
    head = Markup("").join(_cell("th", text) for text in ("x100", *settings))
    rows = [
        _cell("th", name) + Markup("").join(_cell("td", _shown(document.headline[s].get(name), 100)) for s in settings)
        for name in document.task.metrics
    ]
    parts = [
        Markup("<p><strong>{}</strong> on <strong>{}</strong>{}</p>").format(
            document.model.name, document.task.id, "" if document.task.complete else " (restricted run)"
        ),
        _table(head, rows),
    ]
    bias = document.headline.get("bias", {})
    if bias:
        lines = []
        for name, estimate in bias.items():
            scale, digits, unit = shown_as(name)
            lines.append(_cell("th", name) + _cell("td", _shown(estimate, scale, digits)) + _cell("td", unit))
        parts.append(_table(Markup("").join(_cell("th", text) for text in ("bias", "value", "unit")), lines))
    if document.per_pair:
        languages = document.task.languages
        values = pair_matrix(document, metric)
        heat = [
            _cell("th", query) + Markup("").join(_heat(value) for value in row)
            for query, row in zip(languages, values, strict=True)
        ]
        parts.append(
            Markup("<p>{} x100: query language down, candidate language across</p>").format(metric)
            + _table(Markup("").join(_cell("th", text) for text in ("", *languages)), heat)
        )
    return str(Markup("<div>{}</div>").format(Markup("").join(parts)))


def as_pandas(document: Document) -> Any:
    """A DataFrame with one row per score.

    Its columns are task, setting, metric, query_language, candidate_language, value, low, high and queries. Shares are from 0
    to 1. A headline number has "all" in both language columns, and an interval. A mean over the pools that a query language was
    ranked in has "all" as candidate language. What is undefined is NaN.
    """
    import pandas as pd

    rows: list[tuple[Any, ...]] = []
    for setting, numbers in document.headline.items():
        rows += [(setting, name, "all", "all", e.value, e.low, e.high, None) for name, e in numbers.items()]
    means = [
        (setting, query, query if setting == "monolingual" else "all", values)
        for query, by_setting in document.per_language.items()
        for setting, values in by_setting.items()
    ]
    pairs = [
        ("cross-lingual", query, candidate, values)
        for query, by_candidate in document.per_pair.items()
        for candidate, values in by_candidate.items()
    ]
    for setting, query, candidate, values in means + pairs:
        queries = values.get("queries")
        rows += [(setting, k, query, candidate, v, None, None, queries) for k, v in values.items() if k != "queries"]
    frame = pd.DataFrame([(document.task.id, *row) for row in rows], columns=list(COLUMNS))
    return frame.astype({"value": "float64", "low": "float64", "high": "float64", "queries": "Int64"})


def as_figure(document: Document, metric: str | None = None) -> Any:
    """A matplotlib figure: the heat map of language pairs, or where a task has no pairs, bars by query language.

    Args:
        document: The result.
        metric: A metric of the result; None for the first one of the task.

    Raises:
        ClirbenchError: matplotlib is not installed, or the result does not hold the metric.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ClirbenchError("matplotlib is not installed: pip install 'clirbench[plot]'") from error
    metric = metric or document.task.metrics[0]
    if metric not in document.task.metrics:
        raise ClirbenchError(f"the result holds no metric '{metric}': choose from {','.join(document.task.metrics)}")
    languages = document.task.languages
    # Not pyplot's figure, which pyplot would keep alive after the notebook has dropped it.
    figure = Figure(figsize=(2.5 + 0.5 * len(languages), 2 + 0.42 * len(languages)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(f"{document.model.name} on {document.task.id}: {metric} x100")
    if not document.per_pair:
        settings = [setting for setting in SETTINGS if setting in document.headline]
        width = 0.8 / len(settings)
        for i, setting in enumerate(settings):
            shares = [document.per_language[x].get(setting, {}).get(metric) for x in languages]
            heights = [np.nan if share is None else 100 * share for share in shares]
            axes.bar(np.arange(len(languages)) + i * width, heights, width, label=setting)
        axes.set_xticks(np.arange(len(languages)) + 0.4 - width / 2, languages)
        axes.set_xlabel("query language")
        axes.legend()
        return figure
    values = 100 * pair_matrix(document, metric)
    image = axes.imshow(values, vmin=0, vmax=100, cmap="viridis")
    axes.set_xticks(range(len(languages)), languages)
    axes.set_yticks(range(len(languages)), languages)
    axes.set_xlabel("candidate language")
    axes.set_ylabel("query language")
    for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
        value = values[row, column]
        # Light text on the dark half of the scale.
        axes.text(
            column, row, f"{value:.0f}", ha="center", va="center", color="black" if value > 60 else "white", fontsize=8
        )
    figure.colorbar(image, ax=axes)
    return figure


def pair_matrix(document: Document, metric: str) -> Values:
    """float64 (query languages, candidate languages) of :meth:`Document.pair_value`; NaN where there is none."""
    languages = document.task.languages
    # None becomes NaN.
    return np.array([[document.pair_value(q, c, metric) for c in languages] for q in languages], dtype=np.float64)


def _table(head: Markup, rows: list[Markup]) -> Markup:
    body = Markup("").join(Markup("<tr>{}</tr>").format(row) for row in rows)
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(head, body)


def _cell(tag: str, text: str) -> Markup:
    return Markup(f"<{tag}>{escape(text)}</{tag}>")  # noqa: S704 - escaped here


def _heat(value: float) -> Markup:
    if not np.isfinite(value):
        return _cell("td", "-")
    # Partly transparent, so that the text is readable on a light and on a dark page.
    share = min(max(float(value), 0), 1)
    style = f"background: rgba(32, 144, 140, {0.75 * share:.2f})"
    return Markup('<td style="{}">{}</td>').format(style, f"{100 * value:.1f}")


def _shown(estimate: EstimatePart | None, scale: float, digits: int = 1) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    text = f"{estimate.value * scale:,.{digits}f}"
    return text if estimate.margin is None else f"{text} ±{estimate.margin * scale:,.{digits}f}"
