"""Values that pages load as scripts. A page opened from disk may load scripts, and no other data."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from clirbench.board.entries import Entry
from clirbench.board.site import content
from clirbench.metrics.bias import shown_as
from clirbench.metrics.scores import headline_tables
from clirbench.results.result import Result
from clirbench.results.schema import Document, Reported
from clirbench.support.errors import printable
from clirbench.tasks.task_file import board_columns

MISSING = 65535


def topics_script(result: Result, folder: str) -> str:
    """Per-topic AP and rank distance of one model and task, for the compare page: a script that registers them.

    Values are unsigned 16-bit, little-endian, one column after the other: AP x 65,534 rounded, rank distance unchanged (below
    65,535), and 65,535 if a topic has no such query, or the value reads ranks below the depth of a second stage.
    """
    document = result.document
    sizes, depth = document.counts.candidates, document.encoder.depth
    tables = headline_tables(result.ranks, sizes, ["mAP"], ["rank_distance"], depth=depth)
    columns: list[list[str]] = []
    blocks = []
    languages = document.task.languages
    for (setting, metric), table in tables.items():
        present = (table.counts > 0) & ~np.isnan(table.sums)
        scale = 1.0 if metric == "rank_distance" else 65534.0
        values = np.where(present, np.rint(table.sums / np.maximum(table.counts, 1) * scale), MISSING)
        blocks.append(np.minimum(values, MISSING).astype("<u2").T)
        if setting == "cross-lingual":
            columns += [[setting, q, c] for q in languages for c in languages if c != q]
        else:
            columns += [[setting, q, q if setting == "monolingual" else "all"] for q in languages]
    data = base64.b64encode(np.concatenate(blocks).tobytes()).decode()
    record = {"columns": columns, "topics": len(result.ranks.topics), "data": data}
    return f"clirTopics({script_json([folder, document.task.id])}, {json.dumps(record)});\n"


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


def rows_script(entries: Sequence[Entry], task: str) -> str:
    """What an opened row of a task's table shows, by submission: a script that registers it.

    ``metrics`` and ``bias`` are the headline numbers in the unit of the page, ``languages`` the main number by query language,
    and ``facts`` what submitters and publications say.
    """
    return f"clirRows({script_json([task, {entry.folder.name: _opened(entry, task) for entry in entries}])});\n"


def _opened(entry: Entry, task: str) -> dict[str, Any]:
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
