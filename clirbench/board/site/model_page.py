"""What a model's page shows of each of its results."""

import math
import shlex
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clirbench.board.site.charts import Bar, bars, histogram
from clirbench.board.site.content import Cell, estimate_cell, heat, number, shown_cell
from clirbench.metrics.bias import BIAS, OVERALL_BIAS, PoolLists, rank_distance, shown_as
from clirbench.metrics.retrieval import RankedLists
from clirbench.metrics.scores import headline_tables
from clirbench.metrics.significance import Bootstrap, interval
from clirbench.results.result import Result
from clirbench.results.schema import Document, EstimatePart, MtebDocument, Reported
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task import SETTINGS


def command(document: Document) -> str:
    """The command that makes a result again. FOLDER and SAMPLE.jsonl stand for files that only its owner has."""
    model, encoder = document.model, document.encoder
    name = f"mteb:{model.name}" if model.kind == "mteb" else model.name
    local = model.revision_kind == "folder-sha256" and model.kind != "bundled"
    words = ["clirbench", "run", "--model", "FOLDER" if local else name, "--tasks", document.task.id]
    if local:
        words += ["--name", model.name]
    if model.revision_kind == "hub-commit" and model.revision:
        words += ["--revision", model.revision]
    if model.kind == "sentence-transformers":
        for option, value in (
            ("--query-prompt", encoder.query_prompt),
            ("--candidate-prompt", encoder.candidate_prompt),
        ):
            words += [option, value] if value else []
        if encoder.max_length is not None:
            words += ["--max-length", str(encoder.max_length)]
        if encoder.dtype != "float32":
            words += ["--dtype", encoder.dtype]
    if encoder.transform:
        words += ["--transform", encoder.transform]
        if encoder.transform_sample not in (None, "pool"):
            words += ["--transform-sample", "SAMPLE.jsonl"]
    if document.environment.trust_remote_code:
        words.append("--trust-remote-code")
    return " ".join(word if word in ("FOLDER", "SAMPLE.jsonl") else shlex.quote(word) for word in words)


def measured_task(result: Result, key: str) -> dict[str, Any]:
    """Everything that a model's page shows of one task."""
    document = result.document
    languages, bias = document.task.languages, document.task.bias
    return {
        "document": document,
        "headline": _headline(document),
        "settings": [setting for setting in SETTINGS if setting in document.task.settings],
        "bias": _bias(document),
        "pairs": _pairs(document) if document.per_pair else None,
        "jumps": _jumps(document),
        "per_language": _per_language(result, key),
        "removal": _removal(document, key) if "own_gold_removal" in bias else None,
        "distances": _distances(result, key) if "rank_distance" in bias else None,
        "command": command(document),
        "languages": languages,
    }


def reported_task(document: Reported) -> dict[str, Any]:
    """What a model's page shows of reported figures."""
    columns = [(s, m) for s, numbers in document.headline.items() for m in numbers]
    return {
        "document": document,
        "columns": [f"{'rank distance' if s == 'bias' else f'{s} {m}'}" for s, m in columns],
        "headline": [estimate_cell(document.headline[s][m], s) for s, m in columns],
        "rows": [
            (
                language,
                [
                    Cell(number(value, *((1, 0) if s == "bias" else (100, 1))), value)
                    for s, m in columns
                    for value in [row.get(s, {}).get(m)]
                ],
            )
            for language, row in document.per_language.items()
        ],
    }


def mteb_task(document: MtebDocument) -> dict[str, Any]:
    """What a model's page shows of one of mteb's own tasks: the main score by subset."""
    return {
        "document": document,
        "mean": Cell(number(document.mean, 100, 1), document.mean),
        "rows": [(name, Cell(number(value, 100, 1), value)) for name, value in document.main_scores.items()],
    }


def _headline(document: Document) -> list[tuple[str, list[Cell]]]:
    return [
        (
            name,
            [
                estimate_cell(document.headline.get(setting, {}).get(name), setting)
                for setting in SETTINGS
                if setting in document.task.settings
            ],
        )
        for name in document.task.metrics
    ]


def _bias(document: Document) -> list[tuple[str, Cell, str, str]]:
    rows = []
    for name, estimate in document.headline.get("bias", {}).items():
        scale, digits, unit = shown_as(name)
        shown = shown_cell(estimate, scale, 0 if unit == "ranks" else digits)
        description = BIAS[name].description if name in BIAS else OVERALL_BIAS[name].description
        rows.append((name, shown, unit, description))
    return rows


def _pairs(document: Document) -> list[tuple[str, list[Cell]]]:
    """Mean average precision by query and candidate language; the diagonal is monolingual."""

    def cell(query: str, candidate: str) -> Cell:
        value = document.pair_value(query, candidate, "mAP")
        return Cell(number(value), value, mark="own" if query == candidate else "", heat=heat(value))

    return _matrix(document.task.languages, cell)


def _jumps(document: Document) -> list[tuple[str, list[Cell]]]:
    """Queue-jump ratios by query language and the language that jumps."""

    def cell(query: str, candidate: str) -> Cell:
        value = document.queue_jump_ratio[query][candidate]
        # A quarter of chance is white, chance is in the middle, four times chance is full.
        share = None if value is None else 0.5 + math.log2(max(value, 0.01)) / 4
        return Cell(number(value, 1, 2), value, mark="own" if query == candidate else "", heat=heat(share))

    return _matrix(document.task.languages, cell)


def _matrix(languages: Sequence[str], cell: Callable[[str, str], Cell]) -> list[tuple[str, list[Cell]]]:
    return [(query, [cell(query, candidate) for candidate in languages]) for query in languages]


def _per_language(result: Result, key: str) -> dict[str, Any]:
    """The task's first metric, monolingual and multilingual, and rank distance by language, with intervals over topics."""
    document = result.document
    metric = document.task.metrics[0]
    apart = ["rank_distance"] if "rank_distance" in document.task.bias else []
    settings = document.task.settings
    tables = headline_tables(result.ranks, document.counts.candidates, [metric], apart, settings)
    names = [f"{setting} {metric}" for setting in ("monolingual", "multilingual")]
    chosen = {
        name: tables[setting, metric] for name, setting in zip(names, ("monolingual", "multilingual"), strict=True)
    }
    if apart:
        chosen["rank distance"] = tables["bias", "rank_distance"]
    samples = Bootstrap(len(result.ranks.topics)).means(list(chosen.values()))
    series: dict[str, list[Bar]] = {}
    for (name, table), drawn in zip(chosen.items(), samples, strict=True):
        scale = 1 if name == "rank distance" else 100
        row = []
        for i, language in enumerate(result.ranks.languages):
            bounds = interval(drawn[:, i])
            value = None if math.isnan(table.means[i]) else scale * float(table.means[i])
            low, high = (scale * bounds[0], scale * bounds[1]) if bounds else (None, None)
            row.append(Bar(language, value, low, high))
        series[name] = row
    rows = [
        (language, [_bar_cell(series[name][i], 0 if name == "rank distance" else 1) for name in chosen])
        for i, language in enumerate(result.ranks.languages)
    ]
    task = document.task.id
    two = [(name, series[name]) for name in names]
    return {
        "columns": list(chosen),
        "rows": rows,
        "chart": bars(f"{key}-languages", f"{task}: {metric} by query language", two, "x100, with 95 % intervals"),
        "distance_chart": bars(
            f"{key}-distances",
            f"{task}: rank distance by query language",
            [("rank distance", series["rank distance"])],
            "ranks, with 95 % intervals",
        )
        if apart
        else None,
    }


def _bar_cell(bar: Bar, digits: int) -> Cell:
    return shown_cell(EstimatePart(value=bar.value, low=bar.low, high=bar.high), 1, digits)


def _removal(document: Document, key: str) -> dict[str, Any]:
    rows = []
    for language in document.task.languages:
        bias = document.per_language[language].get("bias", {})
        rows.append((language, [bias.get("own_gold_removal"), bias.get("other_gold_removal")]))
    groups = [
        (name, [Bar(language, None if values[i] is None else 100 * float(values[i] or 0)) for language, values in rows])
        for i, name in enumerate(("own-language gold", "another gold"))
    ]
    title = f"{document.task.id}: fall of AP when one gold leaves the pool"
    return {
        "rows": [(language, [Cell(number(v), v) for v in values]) for language, values in rows],
        "chart": bars(f"{key}-removal", title, groups, "AP x100"),
    }


def _distances(result: Result, key: str) -> dict[str, Any]:
    ranks = result.ranks
    if ranks.pool_rank is None:
        raise ClirbenchError(
            f"{result.document.model.name}: holds no ranks in the multilingual pool: run clirbench check"
        )
    lists = RankedLists.of(ranks.query, ranks.pool_rank)
    pool = sum(result.document.counts.candidates.values())
    values = rank_distance(PoolLists(lists, np.zeros(len(ranks), dtype=np.bool_), pool))
    values = values[~np.isnan(values)]
    edges = [0.0, *(float(10**i * f) for i in range(1, 5) for f in (1, 3) if 10**i * f < pool), float(pool)]
    counts, _ = np.histogram(values, edges)
    shares = (counts / max(len(values), 1)).tolist()
    title = f"{result.document.task.id}: rank distance of single queries"
    return {
        "rows": [
            (f"{a:,.0f} to {b:,.0f}", f"{100 * s:.1f} %") for a, b, s in zip(edges, edges[1:], shares, strict=False)
        ],
        "chart": histogram(f"{key}-spread", title, edges, shares, "ranks between first and last gold"),
    }
