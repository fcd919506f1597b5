"""From a cell of the pair matrix to its hardest questions: ids and ranks, and which languages stood before the golds.

Texts of an evaluation set never stand on a page. Only those of the demo set do, which is CC0 and made to be read.
"""

import base64
import json
import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from clirbench.board.site.scripts import script_json
from clirbench.results.before_golds import BeforeGolds, before_golds, worst_golds
from clirbench.results.result import Result
from clirbench.support.paths import data_dir
from clirbench.tasks.task_file import board_tasks, list_tasks, load_task

WORST = 20


@dataclass(frozen=True)
class Question:
    """One gold of one query, and what stands before it.

    Attributes:
        topic: The id of the question.
        text: Its words in the query's language; "" except for the demo set.
        query_language: The language that it is asked in.
        gold_language: The language of the gold.
        pool_rank: The gold's rank among the candidates of all languages.
        own_rank: Its rank among those of its language.
        golds: Other golds of the query that stand before it.
        before: By language, the fewest and the most wrong candidates before it, those of most candidates first; no language that
            has none.
    """

    topic: str
    text: str
    query_language: str
    gold_language: str
    pool_rank: int
    own_rank: int
    golds: int
    before: tuple[tuple[str, int, int], ...]


def has_questions(result: Result) -> bool:
    """Whether the ranks of a result say what stands before a gold: exact ranks in a pool of several languages."""
    ranks = result.ranks
    return ranks.pool_rank is not None and ranks.rounding is None and ranks.across_languages


def hardest_questions(result: Result) -> list[Question]:
    """The golds with the worst rank in the pool, over all pairs of languages."""
    ranks = result.ranks
    assert ranks.pool_rank is not None  # noqa: S101
    # Only those at least as bad as the last one are sorted.
    last = max(len(ranks) - WORST, 0)
    bad = np.flatnonzero(ranks.pool_rank >= np.partition(ranks.pool_rank, last)[last])
    rows = bad[np.argsort(-ranks.pool_rank[bad].astype(np.int64), kind="stable")][:WORST]
    held = before_golds(result, rows)
    texts = demo_texts(result.document.task.id)
    return [_question(result, held, i, texts) for i in range(len(rows))]


def _question(result: Result, held: BeforeGolds, i: int, texts: dict[str, dict[str, str]]) -> Question:
    ranks, row = result.ranks, int(held.rows[i])
    assert ranks.pool_rank is not None  # noqa: S101
    topic, asked = ranks.topics[ranks.topic[row]], ranks.languages[ranks.query_language[row]]
    bounds = zip(ranks.languages, held.low[i].tolist(), held.high[i].tolist(), strict=True)
    return Question(
        topic=topic,
        text=texts.get(asked, {}).get(topic, ""),
        query_language=asked,
        gold_language=ranks.languages[ranks.gold_language[row]],
        pool_rank=int(ranks.pool_rank[row]),
        own_rank=int(ranks.own_rank[row]),
        golds=int(held.golds[i]),
        before=tuple(sorted((one for one in bounds if one[2]), key=lambda one: (-one[1] - one[2], one[0]))),
    )


def questions_script(result: Result, folder: str) -> str:
    """The hardest questions of every pair of languages: a script that registers them.

    ``data`` is zlib and base64 of unsigned little-endian integers of ``width`` bytes, one column after the other: topic, rank in
    the pool, own rank, other golds before it; then by language the fewest wrong candidates before it, and by language how many
    more there can be. ``counts`` has the rows of each pair, query languages one after the other.
    """
    ranks = result.ranks
    rows = worst_golds(ranks, WORST)
    held = before_golds(result, rows)
    assert ranks.pool_rank is not None  # noqa: S101
    columns = np.column_stack([ranks.topic[rows], ranks.pool_rank[rows], ranks.own_rank[rows], held.golds])
    table: NDArray[np.int64] = np.hstack([columns, held.low, held.high - held.low])
    width = 2 if table.max(initial=0) < 1 << 16 else 4
    record = {
        "languages": list(ranks.languages),
        "counts": _counts(result, rows),
        "width": width,
        "data": base64.b64encode(zlib.compress(table.T.astype(f"<u{width}").tobytes())).decode(),
    }
    return f"clirQuestions({script_json([folder, result.document.task.id])}, {json.dumps(record)});\n"


def questions_file(task: str) -> str:
    """The name of a file that keeps :func:`questions_script`."""
    return f"questions.{task}.js"


def _counts(result: Result, rows: NDArray[np.intp]) -> list[int]:
    n = len(result.ranks.languages)
    pair = result.ranks.query_language[rows].astype(np.int64) * n + result.ranks.gold_language[rows]
    return [int(count) for count in np.bincount(pair, minlength=n * n)]


def topics_of_task_script(result: Result) -> str:
    """The ids of a task's questions, which are the same for all models, and the texts of the demo set by language."""
    topics, task = result.ranks.topics, result.document.task.id
    texts = {language: [of.get(topic, "") for topic in topics] for language, of in demo_texts(task).items()}
    return f"clirTopicIds({script_json([task, list(topics), texts])});\n"


def demo_texts(name: str) -> dict[str, dict[str, str]]:
    """The questions of the demo set that a task asks, by language and id; none for any other task."""
    task = board_tasks().get(name) or (load_task(name) if name in list_tasks() else None)
    if task is None or task.reader != "demo" or task.licence != "CC0-1.0":
        return {}
    return {language: of for language in task.languages if (of := _shipped(language))}


@cache
def _shipped(language: str) -> dict[str, str]:
    # The shipped demo set and no other file, so that no text of a board's own task can be shown.
    path = data_dir("tasks") / "demo" / f"{language}.jsonl"
    if not path.is_file():
        return {}
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {line["topic"]: line["question"] for line in lines}
