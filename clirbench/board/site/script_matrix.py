"""The matrix of language pairs where there are many languages: means by pair of scripts, and two scripts' languages on demand."""

import base64
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.board.site.content import Cell, number
from clirbench.board.site.scripts import script_json
from clirbench.metrics.bias import QueueJump, wrong_shares
from clirbench.metrics.retrieval import Values
from clirbench.results.result import Result
from clirbench.results.schema import Document
from clirbench.results.scripts import by_script

# A matrix of so many languages fits half of a desk.
MANY = 24
MISSING = 65_535
# Shares have four decimals in a script of a page, and ratios three.
_STEPS = {"pairs": 10_000, "jumps": 1_000}


@dataclass(frozen=True)
class ScriptMatrix:
    """Means by pair of scripts, those of most languages first.

    Attributes:
        scripts: By script, its languages.
        rows: By script of the query language: the mean of each language against itself, then the mean against the languages of
            each script. In these no language stands against itself.
    """

    scripts: Mapping[str, Sequence[str]]
    rows: Sequence[tuple[str, Sequence[Cell]]]


def scripts_of(document: Document) -> dict[str, tuple[str, ...]]:
    """The languages of a result by script, if a matrix is shown by script: they are many, and of several scripts."""
    if len(document.task.languages) <= MANY:
        return {}
    return {one.script: one.languages for one in by_script(document, document.main_metric)}


def pair_table(document: Document, metric: str) -> Values:
    """A metric by query and candidate language: float64 (languages, languages), NaN where it was not run."""
    languages = document.task.languages
    values = [[document.pair_value(q, c, metric) for c in languages] for q in languages]
    return np.array([[np.nan if one is None else one for one in row] for row in values], dtype=np.float64)


def queue_jumps(result: Result) -> QueueJump | None:
    """The queue jumps of a result, added up over gold languages; None if they were not counted."""
    document, languages = result.document, result.document.task.languages
    jumps = map(document.jumps_of, languages)
    counts = np.array([[of_query.get(c, 0) for c in languages] for of_query in jumps], dtype=np.int64)
    if not counts.any():
        return None
    sizes = np.array([document.counts.candidates.get(x, 0) for x in languages], dtype=np.int64)
    return QueueJump(counts[:, None], wrong_shares(result.ranks, sizes))


def pairs_by_script(document: Document, metric: str, shade: Callable[[float], str]) -> ScriptMatrix:
    """The means of a metric over the pairs of languages of two scripts, x100. ``shade`` gives the class of a value's colour."""
    scripts, table = scripts_of(document), pair_table(document, metric)
    places = _places(document, scripts)
    means = [
        [_mean(np.diagonal(table)[own]), *(_mean(table[np.ix_(own, of)][own[:, None] != of]) for of in places)]
        for own in places
    ]
    return _matrix(scripts, means, shade, 100, 1)


def jumps_by_script(result: Result, jumps: QueueJump, shade: Callable[[float], str]) -> ScriptMatrix:
    """How often the languages of a script jump the queue over their share of the pool: means over the languages of a script.

    The query's own language is counted apart.
    """
    document = result.document
    scripts, counts = scripts_of(document), jumps.counts.sum(axis=1)
    places, means = _places(document, scripts), []
    for own in places:
        row = [_mean(jumps.own_language_preference[own])]
        for of in places:
            other = [of[of != query] for query in own]
            ratios = [
                counts[query, some].sum() / counts[query].sum() / jumps.shares[query, some].sum()
                if len(some) and counts[query].any()
                else np.nan
                for query, some in zip(own, other, strict=True)
            ]
            row.append(_mean(np.array(ratios)))
        means.append(row)
    return _matrix(scripts, means, shade, 1, 2)


def _places(document: Document, scripts: Mapping[str, Sequence[str]]) -> list[NDArray[np.intp]]:
    return [np.array([document.task.languages.index(x) for x in of], dtype=np.intp) for of in scripts.values()]


def _mean(values: Values) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _matrix(
    scripts: Mapping[str, Sequence[str]],
    means: Sequence[Sequence[float]],
    shade: Callable[[float], str],
    scale: float,
    digits: int,
) -> ScriptMatrix:
    def cell(value: float, own: bool) -> Cell:
        if np.isnan(value):
            return Cell("\u2013", None)
        return Cell(number(value, scale, digits), value, mark="own" if own else "", heat=shade(value))

    rows = [
        (script, [cell(value, place == 1 + i) for place, value in enumerate(row)])
        for i, (script, row) in enumerate(zip(scripts, means, strict=True))
    ]
    return ScriptMatrix(scripts, rows)


def script_matrix_script(result: Result, folder: str) -> str:
    """The values of all pairs of languages, for the languages of two scripts: a script that registers them.

    Each of ``pairs`` and ``jumps`` is zlib and base64 of unsigned 16-bit integers, little-endian, query languages one after the
    other: a share x 10,000, or a ratio x 1,000, rounded; 65,535 where there is none.
    """
    document = result.document
    jumps = queue_jumps(result)
    tables = {"pairs": pair_table(document, document.task.metrics[0]) if document.has_pairs else None}
    tables["jumps"] = None if jumps is None else jumps.matrix
    record: dict[str, Any] = {"languages": document.task.languages, "scripts": scripts_of(document)}
    for name, table in tables.items():
        if table is not None:
            values = np.where(np.isnan(table), MISSING, np.minimum(np.rint(table * _STEPS[name]), MISSING - 1))
            record[name] = base64.b64encode(zlib.compress(values.astype("<u2").tobytes())).decode()
    return f"clirScripts({script_json([folder, document.task.id])}, {json.dumps(record)});\n"
