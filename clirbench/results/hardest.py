"""The topics where one language fails and others succeed."""

from typing import Any

import numpy as np

from clirbench.metrics.scores import headline_tables
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.results.schema import Document
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import load_collection
from clirbench.tasks.task_file import stated_task


def hardest(
    document: Document, ranks: GoldRanks, n: int = 10, language: str | None = None, task: str | None = None
) -> Any:
    """The topics where one language fails and others succeed, with their texts.

    The success of a query is its average precision in the multilingual pool; where the run has no multilingual setting, in the
    pool of its own language. The gap of a topic in a language is the mean success of its other languages minus the success
    of this language.

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

    languages = document.task.languages
    if language is not None and language not in languages:
        raise ClirbenchError(f"the result holds no language '{language}': choose from {','.join(languages)}")
    if document.corpus is not None or len(languages) < 2:
        raise ClirbenchError("hardest compares the languages of one topic: give a result of a parallel task")
    setting = next((s for s in ("multilingual", "monolingual") if s in document.task.settings), None)
    if setting is None:
        raise ClirbenchError("hardest reads the multilingual or the monolingual setting: run one of them")
    source = stated_task(document.task.id, document.task.hash, task)
    table = headline_tables(ranks, document.counts.candidates, ["mAP"], [], [setting])[setting, "mAP"]
    # Both float64 (topics, languages). A topic has no success in a language that it was not asked in.
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
