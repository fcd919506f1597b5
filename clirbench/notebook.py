"""A result in a notebook: as HTML, as a table of pandas, as a picture, and the topics where a language fails."""

from typing import Any

import numpy as np
from markupsafe import Markup, escape

from clirbench.bias import shown_as
from clirbench.collections import load_collection
from clirbench.errors import ClirbenchError
from clirbench.metrics import Values
from clirbench.paired import headline_tables
from clirbench.provenance import task_of
from clirbench.results import Result
from clirbench.schema import EstimatePart
from clirbench.statistics import Table
from clirbench.tasks import SETTINGS

COLUMNS = ("task", "setting", "metric", "query_language", "candidate_language", "value", "low", "high", "queries")


def as_html(result: Result) -> str:
    """The headline and the heat map of language pairs, self-contained: no script, no style sheet, every text escaped."""
    document = result.document
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
        values = pair_matrix(result, metric)
        heat = [
            _cell("th", query) + Markup("").join(_heat(value) for value in row)
            for query, row in zip(languages, values, strict=True)
        ]
        parts.append(
            Markup("<p>{} x100: query language down, candidate language across</p>").format(metric)
            + _table(Markup("").join(_cell("th", text) for text in ("", *languages)), heat)
        )
    return str(Markup("<div>{}</div>").format(Markup("").join(parts)))


def as_pandas(result: Result) -> Any:
    """Every score as one row: columns task, setting, metric, query_language, candidate_language, value, low, high, queries.

    Shares are in 0 to 1. A mean over all languages has "all" for both languages (and an interval); a mean over the pools of a
    query language has "all" for the candidate language. What is undefined is NaN.
    """
    import pandas as pd  # noqa: PLC0415

    document = result.document
    rows: list[dict[str, Any]] = []

    def add(setting: str, name: str, languages: tuple[str, str], value: Any, **more: Any) -> None:
        rows.append(
            {
                "task": document.task.id,
                "setting": setting,
                "metric": name,
                "query_language": languages[0],
                "candidate_language": languages[1],
                "value": value,
                **more,
            }
        )

    for setting, numbers in document.headline.items():
        for name, estimate in numbers.items():
            add(setting, name, ("all", "all"), estimate.value, low=estimate.low, high=estimate.high)
    for query, by_setting in document.per_language.items():
        for setting, values in by_setting.items():
            own = query if setting == "monolingual" else "all"
            for name, value in values.items():
                if name != "queries":
                    add(setting, name, (query, own), value, queries=values.get("queries"))
    for query, by_candidate in document.per_pair.items():
        for candidate, values in by_candidate.items():
            for name, value in values.items():
                if name != "queries":
                    add("cross-lingual", name, (query, candidate), value, queries=values.get("queries"))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    for name in ("value", "low", "high", "queries"):
        frame[name] = frame[name].astype("float64" if name != "queries" else "Int64")
    return frame


def as_figure(result: Result, metric: str | None = None) -> Any:
    """A matplotlib figure: the heat map of language pairs, or bars by query language where there are no pairs.

    Raises:
        ClirbenchError: matplotlib is not installed, or the result does not hold the metric.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise ClirbenchError("matplotlib is not installed: pip install 'clirbench[plot]'") from error
    document = result.document
    metric = metric or document.task.metrics[0]
    if metric not in document.task.metrics:
        raise ClirbenchError(f"the result holds no metric '{metric}': choose from {','.join(document.task.metrics)}")
    languages = document.task.languages
    # A Figure of its own, not pyplot's: nothing is kept alive after the notebook drops it.
    figure = Figure(figsize=(2.5 + 0.5 * len(languages), 2 + 0.42 * len(languages)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(f"{document.model.name} on {document.task.id}: {metric} x100")
    if not document.per_pair:
        settings = [setting for setting in SETTINGS if setting in document.headline]
        width = 0.8 / len(settings)
        for i, setting in enumerate(settings):
            found = [document.per_language[x].get(setting, {}).get(metric) for x in languages]
            heights = [np.nan if value is None else 100 * value for value in found]
            axes.bar(np.arange(len(languages)) + i * width, heights, width, label=setting)
        axes.set_xticks(np.arange(len(languages)) + 0.4 - width / 2, languages)
        axes.set_xlabel("query language")
        axes.legend()
        return figure
    values = 100 * pair_matrix(result, metric)
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


def hardest(result: Result, n: int = 10, language: str | None = None, task: str | None = None) -> Any:
    """The topics where one language fails while others succeed, with their texts.

    A query's success is its average precision in the multilingual pool (in its own language's where the run has no
    multilingual setting). A topic's gap in a language is the mean success of its other languages minus that of this one.

    Args:
        result: Of a parallel task, with its ranks.
        n: How many.
        language: Only this language; None for whichever fails.
        task: The TOML file of a task of your own; None for a shipped one.

    Returns:
        A DataFrame, largest gap first: topic, language, gap, success, others, best_rank (of a gold), question, gold (in the
        query's language, or the first). The texts are read from the task's files.

    Raises:
        ClirbenchError: The task is not parallel, the texts cannot be had, or the result does not hold the language.
    """
    import pandas as pd  # noqa: PLC0415

    document, ranks = result.document, result.ranks
    languages = document.task.languages
    if language is not None and language not in languages:
        raise ClirbenchError(f"the result holds no language '{language}': choose from {','.join(languages)}")
    if document.corpus is not None or len(languages) < 2:
        raise ClirbenchError("hardest compares the languages of one topic: give a result of a parallel task")
    setting = next((s for s in ("multilingual", "monolingual") if s in document.task.settings), None)
    if setting is None:
        raise ClirbenchError("hardest reads the multilingual or the monolingual setting: run one of them")
    source = task_of(document, task)
    table = headline_tables(ranks, document.counts.candidates, ["mAP"], [], [setting])[setting, "mAP"]
    success = _by_topic(table)
    present = np.isfinite(success)
    others = (np.nansum(success, axis=1, keepdims=True) - np.nan_to_num(success)) / np.maximum(
        present.sum(axis=1, keepdims=True) - 1, 1
    )
    gap = np.where(present & (present.sum(axis=1, keepdims=True) > 1), others - success, -np.inf)
    if language is not None:
        gap[:, [i for i, x in enumerate(languages) if x != language]] = -np.inf
    order = np.argsort(-gap, axis=None, kind="stable")[:n]
    collection = load_collection(source, languages)
    topic_number = {topic: i for i, topic in enumerate(collection.topics)}
    rank = ranks.pool_rank if ranks.pool_rank is not None else ranks.own_rank
    rows = []
    for topic, which in zip(*np.unravel_index(order, gap.shape), strict=True):
        if not np.isfinite(gap[topic, which]):
            break
        query = np.flatnonzero(
            (collection.query_topic == topic_number[ranks.topics[topic]]) & (collection.query_language == which)
        )[0]
        golds = collection.gold_candidate[collection.gold_query == query]
        own = [g for g in golds if collection.candidate_language[g] == which] or list(golds)
        mine = (ranks.topic == topic) & (ranks.query_language == which)
        rows.append(
            {
                "topic": ranks.topics[topic],
                "language": languages[which],
                "gap": gap[topic, which],
                "success": success[topic, which],
                "others": others[topic, which],
                "best_rank": int(rank[mine].min()),
                "question": collection.queries[query],
                "gold": collection.candidates[own[0]],
            }
        )
    names = ["topic", "language", "gap", "success", "others", "best_rank", "question", "gold"]
    return pd.DataFrame(rows, columns=names)


def pair_matrix(result: Result, metric: str) -> Values:
    """float64 (languages, languages): a metric by query and candidate language, the diagonal monolingual, NaN for none."""
    document = result.document
    languages = document.task.languages
    values = np.full((len(languages), len(languages)), np.nan)
    for i, query in enumerate(languages):
        for j, candidate in enumerate(languages):
            if i == j:
                value = document.per_language.get(query, {}).get("monolingual", {}).get(metric)
            else:
                value = document.per_pair.get(query, {}).get(candidate, {}).get(metric)
            if value is not None:
                values[i, j] = value
    return values


def _by_topic(table: Table) -> Values:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(table.counts > 0, table.sums / table.counts, np.nan))


def _table(head: Markup, rows: list[Markup]) -> Markup:
    body = Markup("").join(Markup("<tr>{}</tr>").format(row) for row in rows)
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(head, body)


def _cell(tag: str, text: str) -> Markup:
    return Markup(f"<{tag}>{escape(text)}</{tag}>")  # noqa: S704 - escaped here


def _heat(value: float) -> Markup:
    if not np.isfinite(value):
        return _cell("td", "-")
    # Half transparent: it is readable on a light and on a dark page.
    share = min(max(float(value), 0), 1)
    style = f"background: rgba(32, 144, 140, {0.75 * share:.2f})"
    return Markup('<td style="{}">{}</td>').format(style, f"{100 * value:.1f}")


def _shown(estimate: EstimatePart | None, scale: float, digits: int = 1) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    text = f"{estimate.value * scale:,.{digits}f}"
    return text if estimate.margin is None else f"{text} ±{estimate.margin * scale:,.{digits}f}"
