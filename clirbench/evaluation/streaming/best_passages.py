"""The best passages of each query, merged from those of every shard, and the TREC run that holds them."""

import numpy as np
from numpy.typing import NDArray

from clirbench.evaluation.streaming.counts_folder import CountsFolder
from clirbench.evaluation.streaming.job import Work
from clirbench.support.errors import ClirbenchError


def best_passages(work: Work, store: CountsFolder) -> dict[str, dict[str, list[tuple[str, float]]]]:
    """By language, then query, the best passages of its language, best first; among equal scores in candidate order."""
    found: dict[str, dict[str, list[tuple[str, float]]]] = {}
    for i, language in enumerate(work.languages):
        ids: NDArray[np.str_] | None = None
        scores: NDArray[np.float32] | None = None
        for shard in work.inventory.shards:
            if shard.language != language:
                continue
            counts = store.get(shard)
            if counts is None:
                raise ClirbenchError(
                    f"the counts of shard {shard.name} are gone: is the same command running twice? Run it again"
                )
            if ids is None or scores is None:
                ids, scores = counts.top_ids, counts.top_scores
                continue
            ids = np.concatenate([ids, counts.top_ids], axis=1)
            scores = np.concatenate([scores, counts.top_scores], axis=1)
            order = np.argsort(-scores, axis=1, kind="stable")[:, : work.streaming.top]
            ids, scores = np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)
        if ids is not None and scores is not None:
            queries = work.judged.ids[work.judged.starts[i] : work.judged.starts[i + 1]]
            found[language] = {
                query: list(zip(map(str, row), map(float, values), strict=True))
                for query, row, values in zip(queries, ids, scores, strict=True)
            }
    return found


def trec_run(best: dict[str, list[tuple[str, float]]], tag: str) -> str:
    """A TREC run of one language: query, Q0, passage, rank, score, tag.

    Scores have the nine digits that tell any two float32 apart; tools that read the file break ties by their own rule.
    """
    name = "".join(c if c.isprintable() and not c.isspace() else "_" for c in tag) or "clirbench"
    return "".join(
        f"{query} Q0 {passage} {rank} {score:.9g} {name}\n"
        for query, passages in best.items()
        for rank, (passage, score) in enumerate(passages, 1)
    )
