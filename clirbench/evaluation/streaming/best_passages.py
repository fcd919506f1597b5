"""Merge the best passages of each query over the shards, and write them as a TREC run."""

from pathlib import Path

from clirbench.evaluation.streaming.counts_folder import CountsFolder
from clirbench.evaluation.streaming.job import Work
from clirbench.evaluation.trec_runs import read_run
from clirbench.ranking.shards import Best
from clirbench.results.schema import Document
from clirbench.results.trec_export import trec_field
from clirbench.support.errors import ClirbenchError


def best_passages(work: Work, store: CountsFolder) -> dict[str, dict[str, list[tuple[str, float]]]]:
    """Merge the best passages of all shards.

    Returns:
        By language, then query: the best passages of the query's language as (identifier, score), best first. Equal scores are in
        candidate order.

    Raises:
        ClirbenchError: The counts of a shard are gone.
    """
    passages: dict[str, dict[str, list[tuple[str, float]]]] = {}
    for i, language in enumerate(work.selection.languages):
        best: Best | None = None
        for shard in work.inventory.shards:
            if shard.language != language:
                continue
            counts = store.get(shard)
            if counts is None:
                raise ClirbenchError(
                    f"the counts of shard {shard.name} are gone: is the same command running twice? Run it again"
                )
            of_shard = Best(counts.top_ids, counts.top_scores)
            best = of_shard if best is None else Best.merged([best, of_shard], work.streaming.top)
        if best is not None:
            queries = work.judged.ids[work.judged.starts[i] : work.judged.starts[i + 1]]
            passages[language] = {
                query: list(zip(map(str, row), map(float, values), strict=True))
                for query, row, values in zip(queries, best.candidate, best.score, strict=True)
            }
    return passages


def trec_run(best: dict[str, list[tuple[str, float]]], tag: str) -> str:
    """Format the run of one language in TREC's format: lines of query, Q0, passage, rank, score and tag.

    Scores have nine digits, so that different float32 scores stay different. Other tools order equal scores by their own rules.
    Identifiers are written by :func:`clirbench.results.trec_export.trec_field`.
    """
    name = "".join(c if c.isprintable() and not c.isspace() else "_" for c in tag) or "clirbench"
    return "".join(
        f"{trec_field(query)} Q0 {trec_field(passage)} {rank} {score:.9g} {name}\n"
        for query, passages in best.items()
        for rank, (passage, score) in enumerate(passages, 1)
    )


def run_path(path: Path, language: str) -> Path:
    """Name the TREC run of a language, beside the result at ``path``."""
    return path.with_name(f"{path.stem}.{language}.trec")


def check_runs(path: Path, document: Document, top: int) -> None:
    """Check that the TREC runs that the user asks for lie beside an existing result.

    Raises:
        ClirbenchError: A run is missing, or has fewer passages per query than ``top``.
    """
    for language in document.task.languages:
        run = run_path(path, language)
        wanted = min(top, document.counts.candidates[language])
        if not run.is_file() or read_run(run).depth < wanted:
            raise ClirbenchError(
                f"{path} is there, but without a run of {language} that is {wanted} passages deep: --force runs it again"
            )
