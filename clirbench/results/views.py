"""What a notebook shows of a result: HTML, pandas DataFrames, and a matplotlib figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from clirbench.metrics.bias import shown_as
from clirbench.metrics.retrieval import Values
from clirbench.metrics.scores import headline_tables
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.results.schema import Document, EstimatePart
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task import SETTINGS

# The numbers of more languages than this are not written into the fields of a figure, which are too small.
_WRITTEN = 32
COLUMNS = ("task", "setting", "metric", "query_language", "candidate_language", "value", "low", "high", "queries")


def as_html(document: Document) -> str:
    """The headline and the heat map of language pairs as HTML without script or style sheet; every text is escaped."""
    metric = document.main_metric
    settings = [setting for setting in SETTINGS if setting in document.headline]
    rows = [
        (name, *(_cell(_shown(document.headline[s].get(name), 100)) for s in settings))
        for name in document.task.metrics
    ]
    parts = [
        Markup("<p><strong>{}</strong> on <strong>{}</strong>{}</p>").format(
            document.model.name, document.task.id, "" if document.task.complete else " (restricted run)"
        ),
        _table(("x100", *settings), rows),
    ]
    bias = document.headline.get("bias", {})
    if bias:
        units = {name: shown_as(name) for name in bias}
        rows = [(name, _cell(_shown(bias[name], *scale)), _cell(unit)) for name, (*scale, unit) in units.items()]
        parts.append(_table(("bias", "value", "unit"), rows))
    if document.has_pairs:
        languages = document.task.languages
        values = pair_matrix(document, metric)
        rows = [(query, *map(_heat, row)) for query, row in zip(languages, values, strict=True)]
        parts.append(
            Markup("<p>{} x100: query language down, candidate language across</p>").format(metric)
            + _table(("", *languages), rows)
        )
    return str(Markup("<div>{}</div>").format(Markup("").join(parts)))


def as_pandas(document: Document) -> Any:
    """A DataFrame with one row per score.

    Its columns are task, setting, metric, query_language, candidate_language, value, low, high and queries. Shares are from 0
    to 1. A headline number has "all" in both language columns, and an interval. A mean over the pools of a query language has
    "all" as candidate language. Undefined values are NaN.
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
    if document.compact is not None:
        metric, languages = document.compact.metric, document.task.languages
        pairs += [
            ("cross-lingual", query, candidate, {metric: value})
            for query, row in zip(languages, document.compact.pairs, strict=False)
            for candidate, value in zip(languages, row, strict=True)
            if query != candidate
        ]
    for setting, query, candidate, values in means + pairs:
        queries = values.get("queries")
        rows += [(setting, k, query, candidate, v, None, None, queries) for k, v in values.items() if k != "queries"]
    frame = pd.DataFrame([(document.task.id, *row) for row in rows], columns=list(COLUMNS))
    return frame.astype({"value": "float64", "low": "float64", "high": "float64", "queries": "Int64"})


def as_figure(document: Document, metric: str | None = None) -> Any:
    """A matplotlib figure of one metric of the result; None means the task's first metric.

    The figure is the heat map of language pairs or, for a task without pairs, bars by query language.

    Raises:
        ClirbenchError: matplotlib is not installed, or the result does not hold the metric.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ClirbenchError("matplotlib is not installed: pip install 'clirbench[plot]'") from error
    metric = metric or document.main_metric
    if metric not in document.task.metrics:
        raise ClirbenchError(f"the result holds no metric '{metric}': choose from {','.join(document.task.metrics)}")
    languages = document.task.languages
    # Not pyplot's figure: pyplot would keep it in memory after the notebook has dropped it.
    figure = Figure(figsize=(2.5 + 0.5 * len(languages), 2 + 0.42 * len(languages)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(f"{document.model.name} on {document.task.id}: {metric} x100")
    if not document.has_pairs:
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
    written = np.isfinite(values) & (len(languages) <= _WRITTEN)
    for row, column in zip(*np.nonzero(written), strict=True):
        value = values[row, column]
        # Light text on the dark half of the scale.
        axes.text(
            column, row, f"{value:.0f}", ha="center", va="center", color="black" if value > 60 else "white", fontsize=8
        )
    figure.colorbar(image, ax=axes)
    return figure


def hardest(
    document: Document, ranks: GoldRanks, n: int = 10, language: str | None = None, task: str | None = None
) -> Any:
    """The topics where one language fails and others succeed, with their texts.

    The success of a query is its average precision in the multilingual pool or, if the run has no multilingual setting, in the
    pool of its own language. The gap of a topic in a language is the mean success of its other languages minus the success of
    this language.

    Args:
        document: The result of a parallel task.
        ranks: The ranks of that result.
        n: How many rows to return.
        language: Look at this language only; None for all of them.
        task: The TOML file of a task of your own; None for a shipped one.

    Returns:
        A DataFrame, largest gap first. Its columns are topic, language, gap, success, others (their mean success), best_rank
        (of the best gold), question, and gold (the text of a gold in the query's language, or else of the first gold). The texts
        are read from the task's files.

    Raises:
        ClirbenchError: The task is not parallel, its files cannot be read, or the result does not hold the language.
    """
    import pandas as pd

    from clirbench.tasks.collection import load_collection
    from clirbench.tasks.task_file import stated_task

    languages = document.task.languages
    if language is not None and language not in languages:
        raise ClirbenchError(f"the result holds no language '{language}': choose from {','.join(languages)}")
    if document.corpus is not None or len(languages) < 2:
        raise ClirbenchError("hardest compares the languages of one topic: give a result of a parallel task")
    setting = next((s for s in ("multilingual", "monolingual") if s in document.task.settings), None)
    if setting is None:
        raise ClirbenchError("hardest reads the multilingual or the monolingual setting: run one of them")
    if document.encoder.depth is not None:
        raise ClirbenchError(
            "hardest reads ranks below the depth of a second stage: give the result of its first stage"
        )
    source = stated_task(document.task.id, document.task.hash, task)
    table = headline_tables(ranks, document.counts.candidates, ["mAP"], [], [setting])[setting, "mAP"]
    # Both are float64 (topics, languages). A topic has no success in a language without a query.
    with np.errstate(invalid="ignore", divide="ignore"):
        success = np.where(table.counts > 0, table.sums / table.counts, np.nan)
    present = np.isfinite(success)
    asked_in = present.sum(axis=1, keepdims=True)
    others = (np.nansum(success, axis=1, keepdims=True) - np.nan_to_num(success)) / np.maximum(asked_in - 1, 1)
    gap = np.where(present & (asked_in > 1), others - success, -np.inf)
    if language is not None:
        gap[:, [i for i, x in enumerate(languages) if x != language]] = -np.inf
    order = np.argsort(-gap, axis=None, kind="stable")[:n]
    collection = load_collection(source, languages)
    topic_number = {topic: i for i, topic in enumerate(collection.topics)}
    rank = ranks.pool_rank if ranks.pool_rank is not None else ranks.own_rank
    rows = []
    for place in zip(*np.unravel_index(order, gap.shape), strict=True):
        topic, which = place
        if not np.isfinite(gap[place]):
            break
        asked = (collection.query_topic == topic_number[ranks.topics[topic]]) & (collection.query_language == which)
        query = np.flatnonzero(asked)[0]
        golds = collection.gold_candidate[collection.gold_query == query]
        own = [g for g in golds if collection.candidate_language[g] == which] or list(golds)
        best_rank = int(rank[(ranks.topic == topic) & (ranks.query_language == which)].min())
        numbers = gap[place], success[place], others[place], best_rank
        texts = collection.queries[query], collection.candidates[own[0]]
        rows.append((ranks.topics[topic], languages[which], *numbers, *texts))
    names = ["topic", "language", "gap", "success", "others", "best_rank", "question", "gold"]
    return pd.DataFrame(rows, columns=names)


def pair_matrix(document: Document, metric: str) -> Values:
    """float64 (query languages, candidate languages) of :meth:`Document.pair_value`; NaN where there is none."""
    languages = document.task.languages
    # None becomes NaN.
    return np.array([[document.pair_value(q, c, metric) for c in languages] for q in languages], dtype=np.float64)


def _table(headings: Sequence[str], rows: Sequence[tuple[str | Markup, ...]]) -> Markup:
    """An HTML table; each row is a tuple of its heading and its cells."""
    head = Markup("").join(_cell(text, "th") for text in headings)
    body = Markup("").join(
        Markup("<tr>{}{}</tr>").format(_cell(row[0], "th"), Markup("").join(row[1:])) for row in rows
    )
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(head, body)


def _cell(text: str, tag: str = "td") -> Markup:
    return Markup(f"<{tag}>{escape(text)}</{tag}>")  # noqa: S704 - escaped here


def _heat(value: float) -> Markup:
    if not np.isfinite(value):
        return _cell("-")
    # Partly transparent, so that the text is readable on a light and on a dark page.
    share = min(max(float(value), 0), 1)
    style = f"background: rgba(32, 144, 140, {0.75 * share:.2f})"
    return Markup('<td style="{}">{}</td>').format(style, f"{100 * value:.1f}")


def _shown(estimate: EstimatePart | None, scale: float, digits: int = 1) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    text = f"{estimate.value * scale:,.{digits}f}"
    return text if estimate.margin is None else f"{text} ±{estimate.margin * scale:,.{digits}f}"
