"""Merge the best passages of each query over the shards, and write them as a TREC run."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from clirbench.evaluation.streaming.counts_folder import CountsFolder
from clirbench.evaluation.streaming.job import Work
from clirbench.ranking.shards import Best
from clirbench.results.schema import Document
from clirbench.results.trec_export import trec_field
from clirbench.support.errors import ClirbenchError, quoted
from clirbench.support.text_files import text_lines


def best_passages(work: Work, store: CountsFolder, language: str) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """Merge the best passages of all shards of a language, some queries at a time.

    Yields:
        Each query of the language with its best passages as (identifier, score), best first. Equal scores are in candidate order.

    Raises:
        ClirbenchError: The counts of a shard are gone.
    """
    queries, top = work.judged.ids[work.judged.queries_of(language)], work.streaming
    shards = [shard for shard in work.inventory.shards if shard.language == language]
    for part, start in enumerate(range(0, len(queries), top.top_queries)):
        best: Best | None = None
        for shard in shards:
            counts = store.get(shard, [part])
            if counts is None:
                raise ClirbenchError(
                    f"the counts of shard {shard.name} are gone: is the same command running twice? Run it again"
                )
            of_shard = Best(counts.top_ids[counts.top[part].candidate], counts.top[part].score)
            best = of_shard if best is None else Best.merged([best, of_shard], top.top)
        if best is not None:
            rows = zip(queries[start : start + top.top_queries], best.candidate, best.score, strict=True)
            yield from ((query, list(zip(ids.tolist(), scores.tolist(), strict=True))) for query, ids, scores in rows)


def trec_run(
    best: Iterable[tuple[str, list[tuple[str, float]]]], tag: str, note: Callable[[str], None] | None = None
) -> Iterator[bytes]:
    """Format the run of one language in TREC's format: lines of query, Q0, passage, rank, score and tag.

    Scores have nine digits, so that different float32 scores stay different. Other tools order equal scores by their own rules.
    Identifiers are written by :func:`clirbench.results.trec_export.trec_field`. ``note`` is called with a line for the user if
    the run has a passage twice: identifiers of unjudged passages are not compared with each other when a corpus is read.

    Yields:
        The lines of each query.
    """
    name = "".join(c if c.isprintable() and not c.isspace() else "_" for c in tag) or "clirbench"
    twice: list[str] = []
    for query, passages in best:
        fields = [trec_field(passage) for passage, _ in passages]
        if len(set(fields)) < len(fields):
            twice.append(Counter(fields).most_common(1)[0][0])
        yield "".join(
            f"{trec_field(query)} Q0 {field} {rank} {score:.9g} {name}\n"
            for rank, (field, (_, score)) in enumerate(zip(fields, passages, strict=True), 1)
        ).encode()
    if twice and note:
        note(
            f"{len(twice):,} queries have a passage twice in the run (first: {quoted(twice[0])}): two passages of the corpus "
            "have this identifier, or are written alike, and other tools refuse such a run"
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
        if not run.is_file() or _depth(run) < wanted:
            raise ClirbenchError(
                f"{path} is there, but without a run of {language} that is {wanted} passages deep: --force runs it again"
            )


def _depth(run: Path) -> int:
    """The greatest number of lines of one query. The run may be larger than memory."""
    lines: Counter[str] = Counter(re.split(r"[ \t]", line, maxsplit=1)[0] for _, line in text_lines(run))
    return max(lines.values(), default=0)
