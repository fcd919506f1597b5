"""Values that pages load as scripts. A page opened from disk may load scripts, and no other data."""

import base64
import json
from typing import Any

import numpy as np
from markupsafe import Markup

from clirbench.board.entries import Entry
from clirbench.metrics.scores import headline_tables
from clirbench.results.result import Result
from clirbench.results.schema import Reported
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


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 5)
