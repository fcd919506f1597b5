"""Score TREC runs that another system made, such as BM25 or a re-ranker, with pytrec_eval."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clirbench.metrics.per_topic import TopicTable
from clirbench.metrics.retrieval import Values
from clirbench.metrics.significance import CONFIDENCE, REPLICATES, SEED, Bootstrap, interval
from clirbench.results.build import task_part
from clirbench.results.schema import BootstrapPart, EstimatePart, RunDocument, RunPart
from clirbench.results.trec_export import TREC_NAMES
from clirbench.support.errors import ClirbenchError, printable
from clirbench.support.files import reading
from clirbench.support.names import check_name
from clirbench.support.text_files import decode
from clirbench.support.version import __version__
from clirbench.tasks.corpora.judged import Judged, load_judged, open_judgements
from clirbench.tasks.selection import Selection
from clirbench.tasks.task import Task

# How many passages of a ranking each metric reads; None for all.
_DEPTH: dict[str, int | None] = {
    name: int(match[1]) if (match := re.search(r"@(\d+)$", name)) else None for name in TREC_NAMES
}
Ranking = dict[str, float]


@dataclass(frozen=True)
class TrecRun:
    """A TREC run as read: scores by query, then passage. ``depth`` is the number of passages of the query with the most."""

    rankings: Mapping[str, Ranking]
    depth: int
    tag: str
    sha256: str


def read_run(path: Path) -> TrecRun:
    """Read a TREC run: lines of query, Q0, passage, rank, score and tag, separated by spaces or tabs.

    Raises:
        ClirbenchError: The file cannot be read, a line has another form, or a query has a passage twice.
    """
    with reading(path, "correct --run"):
        content = path.read_bytes()
    rankings: dict[str, Ranking] = {}
    tag = ""
    for number, line in enumerate(decode(content, path).split("\n"), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            query, _, passage, _, score, name = fields
            value = float(score)
        except ValueError as error:
            raise ClirbenchError(
                f"{path}:{number}: not 'query Q0 passage rank score tag': {printable(line[:60])!r}, correct the line"
            ) from error
        if not math.isfinite(value):
            raise ClirbenchError(
                f"{path}:{number}: the score is {score}: trec_eval cannot order it, write a finite one"
            )
        ranking = rankings.setdefault(query, {})
        if passage in ranking:
            raise ClirbenchError(f"{path}:{number}: passage '{passage}' stands twice for query '{query}': keep one")
        ranking[passage] = value
        tag = tag or name
    if not rankings:
        raise ClirbenchError(f"{path}: holds no line of a run: correct --run")
    return TrecRun(rankings, max(map(len, rankings.values())), tag, hashlib.sha256(content).hexdigest())


def score_run(run: TrecRun, task: Task, language: str, data: Path | None, name: str | None = None) -> RunDocument:
    """Score a run of one language in the monolingual setting, as ``trec_eval -c`` does.

    A judged query that the run lacks counts as 0. A metric that reads more passages than the run has is null: the ranks of gold
    passages beyond the run's end are unknown.

    Args:
        run: The run.
        task: A streamed task: only these have passages with identifiers.
        language: The language of the queries and of the corpus.
        data: Folder of topics and judgements; None for the task's own.
        name: Name of the system, as ORG/NAME; None for ``trec/<tag>``.

    Returns:
        The mean of each metric, with its bootstrap interval over queries.

    Raises:
        ClirbenchError: The run has queries that the task lacks, or ranks nothing but judged passages.
    """
    if not task.streamed:
        raise ClirbenchError(f"candidates of {task.id} have no identifiers that a run could name: use a streamed task")
    if language not in task.languages:
        raise ClirbenchError(f"{task.id} has no language '{language[:40]}': choose from {','.join(task.languages)}")
    judgements = open_judgements(task, data)
    judged = load_judged(task, [language], judgements)
    _check(run, judged, language)
    label = name or f"trec/{re.sub(r'[^A-Za-z0-9._-]+', '-', run.tag).strip('-._') or 'run'}"
    check_name(label)
    pool = task.counts["candidates"][language]
    metrics = [metric for metric in task.metrics if min(_DEPTH[metric] or pool, pool) <= run.depth]
    values = _evaluate(run, judged, metrics)
    tables = {m: _table(v) for m, v in values.items()}
    bootstrap = Bootstrap(len(judged.queries))
    headline: dict[str, EstimatePart] = {}
    for metric in task.metrics:
        if metric not in tables:
            headline[metric] = EstimatePart(value=None, low=None, high=None)
            continue
        bounds = interval(bootstrap.means([tables[metric]])[0][:, 0])
        low, high = bounds or (None, None)
        headline[metric] = EstimatePart(value=tables[metric].macro, low=low, high=high)
    return RunDocument(
        format=1,
        origin="run",
        task=task_part(Selection(task, (language,), ("monolingual",))),
        model=label,
        depth=run.depth,
        run=RunPart(
            sha256=run.sha256,
            tag=run.tag[:300],
            queries=len(judged.queries),
            missing=sum(query not in run.rankings for query in judged.ids),
        ),
        scorer=f"pytrec_eval, clirbench {__version__}",
        headline={"monolingual": headline},
        bootstrap=BootstrapPart(replicates=REPLICATES, seed=SEED, confidence=CONFIDENCE),
    )


def _check(run: TrecRun, judged: Judged, language: str) -> None:
    unknown = sorted(set(run.rankings) - set(judged.ids))
    if unknown:
        raise ClirbenchError(
            f"the run has {len(unknown):,} queries that {judged.task.id} does not have in {language} (first: "
            f"'{printable(unknown[0][:40])}'): give the run of that language's dev queries"
        )
    known = judged.judged_ids[language]
    if all(passage in known for ranking in run.rankings.values() for passage in ranking):
        raise ClirbenchError(
            "every passage of the run is a judged one: ranking just those is no retrieval (what a system finds among the "
            "unjudged is the test), run it on the whole corpus"
        )


def _evaluate(
    run: TrecRun, judged: Judged, metrics: Sequence[str]
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Compute each metric for each query: float64 (queries,) by metric."""
    import pytrec_eval

    qrels: dict[str, dict[str, int]] = {}
    for query, passage in zip(judged.gold_query, judged.gold_ids, strict=True):
        qrels.setdefault(judged.ids[query], {})[passage] = 1
    names = {metric: TREC_NAMES[metric] for metric in metrics}
    by_query = pytrec_eval.RelevanceEvaluator(qrels, set(names.values())).evaluate(run.rankings)
    return {
        metric: np.array([by_query[query][name] if query in by_query else 0.0 for query in judged.ids])
        for metric, name in names.items()
    }


def _table(values: Values) -> TopicTable:
    return TopicTable(values[:, None], np.ones((len(values), 1)))
