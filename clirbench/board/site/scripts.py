"""Values that pages load as scripts. A page opened from disk may load scripts, and no other data."""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from clirbench.board.entries import Entry
from clirbench.board.site import content
from clirbench.metrics.bias import shown_as
from clirbench.metrics.per_topic import TopicTable
from clirbench.metrics.scores import headline_tables
from clirbench.results.result import Result
from clirbench.results.schema import Document, Reported
from clirbench.support.errors import printable
from clirbench.support.languages import CHOICES, choices_of, language_name
from clirbench.tasks.task import SETTINGS
from clirbench.tasks.task_file import board_columns

# The AP 1 as a share.
_FULL = 65534
# How the values of a setting are written: reciprocals of a rank, shares of 65,534, or ranks.
_RECIPROCALS, _SHARES, _RANKS = "reciprocals", "shares", "ranks"


def topics_file(task: str) -> str:
    """The name of a task's script of values by topic, behind that of the submission."""
    return f"{task}.js"


def topics_script(result: Result, folder: str, tables: Mapping[tuple[str, str], TopicTable] | None = None) -> str:
    """Per-topic AP and rank distance of one model and task, for the compare page: a script that registers them.

    ``tables`` are those of :func:`clirbench.metrics.scores.headline_tables`, if they were computed before. The record has the
    languages and a block for each setting: its columns are the query languages, and pairs of them in the cross-lingual setting,
    by query language, then candidate language. Values are unsigned numbers of as many bytes as the block says, and the largest
    such number if a topic has no such query, or the value reads ranks below the depth of a second stage. They are written column
    by column, all lowest bytes before all second bytes, and so on, and compressed with zlib. A block's kind says what they are:

    - "reciprocals": the AP is 1 / value, as it is everywhere if no query has two golds;
    - "shares": the AP is value / 65,534;
    - "ranks": the value is the rank distance.
    """
    document = result.document
    if tables is None:
        sizes, depth = document.counts.candidates, document.encoder.depth
        tables = headline_tables(result.ranks, sizes, ["mAP"], ["rank_distance"], depth=depth)
    blocks, packed = [], []
    for setting, metric in (*((one, "mAP") for one in SETTINGS), ("bias", "rank_distance")):
        if (setting, metric) not in tables:
            continue
        table = tables[setting, metric]
        present = (table.counts > 0) & ~np.isnan(table.sums)
        kind, values, size = _written(np.where(present, table.sums / np.maximum(table.counts, 1), np.nan), setting)
        blocks.append([setting, kind, size])
        packed += [(values.T >> 8 * i & 255).astype(np.uint8).tobytes() for i in range(size)]
    # Such numbers repeat in runs alone: looking for other repetitions takes ten times as long, and saves nothing.
    press = zlib.compressobj(1, strategy=zlib.Z_RLE)
    data = base64.b64encode(press.compress(b"".join(packed)) + press.flush()).decode()
    record = {
        "languages": list(document.task.languages),
        "blocks": blocks,
        "topics": len(result.ranks.topics),
        "data": data,
    }
    return f"clirTopics({script_json([folder, document.task.id])}, {json.dumps(record)});\n"


def _written(values: NDArray[np.float64], setting: str) -> tuple[str, NDArray[np.int64], int]:
    """The kind of a block, its values as that kind, int64 (topics, columns), and the bytes of each. NaN is a missing value."""
    known = ~np.isnan(values)
    kind, scaled = _RANKS, values
    if setting != "bias":
        with np.errstate(divide="ignore"):
            ranks = 1 / values
        near = np.rint(ranks[known])
        # A mean of several reciprocals is none, and an AP of 0 has none.
        alone = bool(np.isfinite(near).all() and (np.abs(1 / near - values[known]) < 1e-12).all())
        kind, scaled = (_RECIPROCALS, ranks) if alone else (_SHARES, values * _FULL)
    size = 2 if np.rint(scaled[known]).max(initial=0) <= _FULL else 3
    # Without a query, nothing is counted.
    return kind, np.where(known, np.rint(np.where(known, scaled, 0)), 256**size - 1).astype(np.int64), size


def script_json(value: object) -> Markup:
    """JSON that is safe inside a script: nothing in it can end the script or start markup."""
    text = json.dumps(value, ensure_ascii=True)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def pair_values(entry: Entry, task: str) -> dict[str, Any] | None:
    """Values behind the means of the language filter: by column of the task, by language or by pair, with five decimals.

    None if the submission has no values by language on the task.
    """
    document = entry.on(task)
    languages = document.task.languages if document else ()
    if document is None or not languages:
        return None

    def column(setting: str, metric: str) -> list[Any] | None:
        if setting != "cross-lingual":
            return [_rounded(document.per_language.get(x, {}).get(setting, {}).get(metric)) for x in languages]
        if isinstance(document, Reported):
            return None
        return [[None if q == c else _rounded(document.pair_value(q, c, metric)) for c in languages] for q in languages]

    headline = board_columns(task).headline
    return {"languages": list(languages)} | {f"{s}.{m}": column(s, m) for s, m in headline}


def languages_script(codes: Iterable[str]) -> str:
    """The names of languages and the choices of several at once, for controls and tables: a script that registers them."""
    listed = sorted(codes)
    names = {code: language_name(code) for code in listed}
    choices = [[key, CHOICES[key], languages] for key, languages in choices_of(listed).items()]
    return f"clirLanguages({script_json([names, choices])});\n"


def rows_script(rows: Mapping[str, Mapping[str, Any]], task: str) -> str:
    """What an opened row of a task's table shows (:func:`opened`), by submission: a script that registers it."""
    return f"clirRows({script_json([task, rows])});\n"


def opened(entry: Entry, task: str) -> dict[str, Any]:
    """What an opened row shows.

    ``metrics`` and ``bias`` are the headline numbers in the unit of the page, ``languages`` the main number by query language,
    and ``facts`` what submitters and publications say.
    """
    document, model = entry.on(task), entry.model
    if document is None:
        return {}
    setting, metric = board_columns(task).main
    settings = [one for one in document.headline if one != "bias"]
    names = list(dict.fromkeys(name for one in settings for name in document.headline[one]))

    def shown(one: str, name: str) -> str:
        estimate = document.headline[one].get(name)
        return content.estimate_cell(estimate, one).text

    bias = []
    for name, estimate in document.headline.get("bias", {}).items():
        scale, digits, unit = shown_as(name)
        value = content.shown_cell(estimate, scale, 0 if unit == "ranks" else digits).text
        bias.append([plain(name), value if unit == "x100" or value == "–" else f"{value} {unit}"])
    by_language = [
        [language, _rounded(document.per_language.get(language, {}).get(setting, {}).get(metric))]
        for language in document.task.languages
    ]
    speed = document.cost.texts_per_second if isinstance(document, Document) else None
    facts = {
        "Zero-shot\u2020": model.zero_shot(task),
        "Licence\u2020": printable(model.licence) or "unknown",
        "Released\u2020": model.released,
        "Base model\u2020": printable(model.base_model),
        "Texts a second\u2020": None if speed is None else content.number(speed, 1, 0),
        "Read in": f"{document.source.publication}, {document.source.place}"
        if isinstance(document, Reported)
        else None,
        "Caveats": "; ".join(document.source.caveats) if isinstance(document, Reported) else None,
    }
    return {
        "settings": settings,
        "metrics": [[plain(name), *(shown(one, name) for one in settings)] for name in names],
        "bias": bias,
        "languages": [f"{setting} {metric}", [one for one in by_language if one[1] is not None]],
        "facts": [[name, text] for name, text in facts.items() if text],
    }


def plain(name: str) -> str:
    """A metric's name for people: "own-language preference" for "own_language_preference", "Recall@10" for "R@10"."""
    words = name.replace("own_language", "own-language").replace("own_gold", "own-gold").replace("_", " ")
    return f"Recall@{words[2:]}" if words.startswith("R@") else words


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 5)
