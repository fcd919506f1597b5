"""Write a result in the format of trec_eval."""

from collections.abc import Iterator, Sequence
from urllib.parse import quote

import numpy as np

from clirbench.metrics.retrieval import METRICS, RankedLists
from clirbench.results.result import Result
from clirbench.support.errors import ClirbenchError

TREC_NAMES = {
    "mAP": "map",
    "mAP@20": "map_cut_20_min",
    "R@1": "recall_1",
    "R@10": "recall_10",
    "R@100": "recall_100",
    "MRR@10": "recip_rank_10",
    "MRR": "recip_rank",
    "nDCG@10": "ndcg_cut_10",
    "nDCG@20": "ndcg_cut_20",
}


def trec_field(name: str) -> str:
    """An identifier as one field of a TREC file. White space and what cannot be printed is percent-encoded: "a b" is "a%20b"."""
    return "".join(c if c.isprintable() and not c.isspace() else quote(c) for c in name)


def trec_lines(
    result: Result, settings: Sequence[str] | None = None, metrics: Sequence[str] | None = None
) -> Iterator[str]:
    """Per-query metrics in the form of ``trec_eval -q``: metric, query and value, separated by tabs.

    A query is named ``<setting>/<query language>-<candidate language, or all>/<topic>``, with the topic as :func:`trec_field` has
    it. Each metric of a setting ends with its average over queries, named ``<setting>/all``. trec_eval has no ``map_cut_20_min``
    and no ``recip_rank_10``: the first divides by min(golds, 20), the second is 0 where the first gold is beyond rank 10.

    ``settings`` and ``metrics``, by clirbench's names, are None for all of the result.

    Yields:
        Lines without a line end.

    Raises:
        ClirbenchError: The result does not hold a setting or a metric.
    """
    task = result.document.task
    for name, chosen, held in (("setting", settings, task.settings), ("metric", metrics, task.metrics)):
        for value in chosen or ():
            if value not in held:
                raise ClirbenchError(f"the result holds no {name} '{value}': choose from {','.join(held)}")
    for setting in settings or task.settings:
        yield from _setting_lines(result, setting, metrics or task.metrics)


def _setting_lines(result: Result, setting: str, metrics: Sequence[str]) -> Iterator[str]:
    ranks = result.ranks
    languages = np.array(ranks.languages)
    if setting == "multilingual":
        rows, group, rank = np.arange(len(ranks)), ranks.query, ranks.pool_rank
        pool = np.full(len(ranks), "all", dtype=object)
    else:
        own = ranks.query_language == ranks.gold_language
        rows = np.flatnonzero(own if setting == "monolingual" else ~own)
        group, rank = ranks.query * len(languages) + ranks.gold_language, ranks.own_rank
        pool = languages[ranks.gold_language].astype(object)
    assert rank is not None  # noqa: S101
    _, first, number = np.unique(group[rows], return_index=True, return_inverse=True)
    lists = RankedLists.of(number.astype(np.intp), rank[rows], ranks.grade_of(rows))
    topics = [trec_field(topic) for topic in ranks.topics]
    names = [
        f"{setting}/{languages[ranks.query_language[row]]}-{pool[row]}/{topics[ranks.topic[row]]}"
        for row in rows[first]
    ]
    for metric in metrics:
        values = METRICS[metric].compute(lists)
        yield from (f"{TREC_NAMES[metric]}\t{name}\t{value:.6f}" for name, value in zip(names, values, strict=True))
        yield f"{TREC_NAMES[metric]}\t{setting}/all\t{values.mean() if len(values) else 0:.6f}"
