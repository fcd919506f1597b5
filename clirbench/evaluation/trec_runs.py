"""Score TREC runs that another system made, such as BM25 or a re-ranker, with pytrec_eval.

The passages are ranked here, and pytrec_eval is given the ranks: it reads scores as float32, and orders equal ones by identifier.
"""

import hashlib
import math
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clirbench.metrics.per_topic import TopicTable
from clirbench.metrics.retrieval import Values, beyond
from clirbench.metrics.significance import CONFIDENCE, REPLICATES, SEED, Bootstrap, interval
from clirbench.results.build import task_part
from clirbench.results.schema import BootstrapPart, EstimatePart, RunDocument, RunPart
from clirbench.results.trec_export import TREC_NAMES, trec_field
from clirbench.support.errors import ClirbenchError, printable, quoted
from clirbench.support.files import reading
from clirbench.support.names import check_name
from clirbench.support.text_files import decode
from clirbench.support.version import __version__
from clirbench.tasks.corpora.judged import Judged, load_judged, open_judgements
from clirbench.tasks.ids_and_grades import look, twin
from clirbench.tasks.selection import Selection
from clirbench.tasks.task import Task

Ranking = dict[str, float]
# As C's atof reads it, which trec_eval uses. Python's float() also reads 1_000 and the digits of other scripts.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(inf(inity)?|nan)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class TrecRun:
    """A TREC run as read: scores by query, then passage.

    Attributes:
        rankings: The scores, in the order of the file.
        depth: Number of passages of the query with the most.
        tag: The name of the run in the file.
        sha256: SHA-256 of the file's bytes.
        contradicted: The queries whose ranks in the file give another order than their scores.
    """

    rankings: Mapping[str, Ranking]
    depth: int
    tag: str
    sha256: str
    contradicted: tuple[str, ...] = ()

    @property
    def tied(self) -> int:
        """Number of queries that have two passages with one score."""
        return sum(len(set(ranking.values())) < len(ranking) for ranking in self.rankings.values())


def read_run(path: Path) -> TrecRun:
    """Read a TREC run: lines of query, Q0, passage, rank, score and tag, separated by spaces or tabs.

    Raises:
        ClirbenchError: The file cannot be read, a line has another form, or a query has a passage twice.
    """
    with reading(path, "correct --run"):
        content = path.read_bytes()
    rankings: dict[str, Ranking] = {}
    ranks: dict[str, array[float]] = {}
    tag = ""
    for number, line in enumerate(decode(content, path).split("\n"), 1):
        # Not split(): it would cut an identifier at a no-break space.
        fields = re.findall(r"[^ \t\r]+", line)
        if not fields:
            continue
        try:
            query, _, passage, rank, score, name = fields
            value = float(score if _NUMBER.fullmatch(score) else "no number")
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
            raise ClirbenchError(
                f"{path}:{number}: passage {quoted(passage)} stands twice for query {quoted(query)}: keep one"
            )
        ranking[passage] = value
        ranks.setdefault(query, array("d")).append(int(rank) if re.fullmatch(r"\d{1,15}", rank) else math.nan)
        tag = tag or name
    if not rankings:
        raise ClirbenchError(f"{path}: holds no line of a run: correct --run")
    contradicted = tuple(query for query, ranking in rankings.items() if _contradict(ranks[query], ranking))
    depth = max(map(len, rankings.values()))
    return TrecRun(rankings, depth, tag, hashlib.sha256(content).hexdigest(), contradicted)


def _contradict(ranks: Sequence[float], ranking: Ranking) -> bool:
    """Whether the ranks of a query put a passage before one that has a higher score. A rank that is no number is NaN."""
    scores, places = np.array(list(ranking.values())), np.asarray(ranks)
    if np.isnan(places).any():
        return False
    # Equal ranks say nothing about the order of their passages.
    in_order = scores[np.lexsort((-scores, places))]
    return bool((np.diff(in_order) > 0).any())


def score_run(
    run: TrecRun,
    task: Task,
    language: str,
    data: Path | None,
    name: str | None = None,
    note: Callable[[str], None] | None = None,
) -> RunDocument:
    """Score a run of one language in the monolingual setting, as ``trec_eval -c`` does, but for ties.

    Passages are ordered by score as the file has it, in float64. Among equal scores gold passages come last, as everywhere in
    clirbench. The ranks in the file are not read.

    A judged query that the run lacks counts as 0. A metric that reads more passages than the run has is null: the ranks of gold
    passages beyond the run's end are unknown.

    Args:
        run: The run.
        task: A streamed task: only these have passages with identifiers.
        language: The language of the queries and of the corpus.
        data: Folder of topics and judgements; None for the task's own.
        name: Name of the system, as ORG/NAME; None for ``trec/<tag>``.
        note: Called with a line for the user, for each thing about the run that may not be meant.

    Returns:
        The mean of each metric, with its bootstrap interval over queries.

    Raises:
        ClirbenchError: The run has queries that the task lacks, ranks nothing but judged passages, or has an identifier that only
            looks like a judged one.
    """
    if not task.streamed:
        raise ClirbenchError(f"candidates of {task.id} have no identifiers that a run could name: use a streamed task")
    if language not in task.languages:
        raise ClirbenchError(f"{task.id} has no language '{language[:40]}': choose from {','.join(task.languages)}")
    judgements = open_judgements(task, data)
    judged = _as_fields(load_judged(task, [language], judgements))
    _check(run, judged, language)
    if note is not None:
        for line in _notes(run, judged.judged_ids[language]):
            note(line)
    label = name or f"trec/{re.sub(r'[^A-Za-z0-9._-]+', '-', run.tag)[:80].strip('-._') or 'run'}"
    check_name(label)
    pool = task.counts["candidates"][language]
    metrics = [metric for metric in task.metrics if not beyond(metric, pool, run.depth)]
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
            tag=printable(run.tag)[:300],
            queries=len(judged.queries),
            missing=sum(query not in run.rankings for query in judged.ids),
        ),
        scorer=f"pytrec_eval, clirbench {__version__}",
        headline={"monolingual": headline},
        bootstrap=BootstrapPart(replicates=REPLICATES, seed=SEED, confidence=CONFIDENCE),
    )


def _as_fields(judged: Judged) -> Judged:
    """Write the identifiers as a run writes them.

    Raises:
        ClirbenchError: Two of them are written alike, such as "a b" and "a%20b".
    """
    for names in (judged.ids, *judged.judged_ids.values()):
        by_field: dict[str, str] = {}
        for name in sorted(names):
            other = by_field.setdefault(trec_field(name), name)
            if other != name:
                raise ClirbenchError(
                    f"{judged.task.id} has {quoted(other)} and {quoted(name)}, which a run writes alike: rename one of the two"
                )
    return replace(
        judged,
        ids=tuple(map(trec_field, judged.ids)),
        gold_ids=tuple(map(trec_field, judged.gold_ids)),
        judged_ids={language: frozenset(map(trec_field, ids)) for language, ids in judged.judged_ids.items()},
    )


def _notes(run: TrecRun, judged: frozenset[str]) -> Iterator[str]:
    """Lines about what may not be meant: equal scores, ranks of another order, identifiers that are not the corpus's."""
    queries = len(run.rankings)
    if run.tied:
        yield (
            f"{run.tied:,} of {queries:,} queries have passages with equal scores: gold passages come last among these "
            "(trec_eval orders them by identifier)"
        )
    if run.contradicted:
        yield (
            f"{len(run.contradicted):,} of {queries:,} queries have ranks of another order than their scores (first: "
            f"{run.contradicted[0][:40]!a}): the scores count"
        )
    passages = [passage for ranking in run.rankings.values() for passage in ranking]
    if judged.isdisjoint(passages):
        yield (
            f"no passage of the run is a judged one (it ranks {passages[0][:40]!a}, and {min(judged)[:40]!a} is judged): are "
            "its identifiers those of the corpus?"
        )


def _check(run: TrecRun, judged: Judged, language: str) -> None:
    unknown = sorted(set(run.rankings) - set(judged.ids))
    if unknown and (confused := twin(unknown[0], judged.ids)):
        raise ClirbenchError(f"the run has query {confused}: write it as the topics do")
    if unknown:
        raise ClirbenchError(
            f"the run has {len(unknown):,} queries that {judged.task.id} does not have in {language} (first: "
            f"{quoted(unknown[0])}): give the run of that language's dev queries"
        )
    known = judged.judged_ids[language]
    looks = {look(passage): passage for passage in known}
    for passage in {
        passage for ranking in run.rankings.values() for passage in ranking if not passage.isascii()
    } - known:
        if look(passage) in looks:
            raise ClirbenchError(
                f"the run has passage {twin(passage, [looks[look(passage)]])}: write it as the corpus does"
            )
    if all(passage in known for ranking in run.rankings.values() for passage in ranking):
        raise ClirbenchError(
            "every passage of the run is a judged one: ranking just those is no retrieval (what a system finds among the "
            "unjudged is the test), run it on the whole corpus"
        )


def _evaluate(
    run: TrecRun, judged: Judged, metrics: Sequence[str]
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Compute each metric for each query: float64 (queries,) by metric.

    pytrec_eval is given the places from the end as scores: whole numbers, which float32 holds exactly.
    """
    import pytrec_eval

    qrels: dict[str, dict[str, int]] = {}
    grades = [1] * len(judged.gold_ids) if judged.gold_grade is None else judged.gold_grade.tolist()
    for query, passage, grade in zip(judged.gold_query, judged.gold_ids, grades, strict=True):
        qrels.setdefault(judged.ids[query], {})[passage] = grade
    names = {metric: TREC_NAMES[metric] for metric in metrics}
    places = {query: _places(ranking, qrels.get(query, {})) for query, ranking in run.rankings.items()}
    by_query = pytrec_eval.RelevanceEvaluator(qrels, set(names.values())).evaluate(places)
    return {
        metric: np.array([by_query[query][name] if query in by_query else 0.0 for query in judged.ids])
        for metric, name in names.items()
    }


def _places(ranking: Ranking, golds: Mapping[str, int]) -> Ranking:
    """The place of each passage, counted from the last: by score, and gold passages last among equal scores, by grade."""
    order = sorted(ranking, key=lambda passage: (-ranking[passage], golds.get(passage, 0)))
    return {passage: float(len(order) - place) for place, passage in enumerate(order)}


def _table(values: Values) -> TopicTable:
    return TopicTable(values[:, None], np.ones((len(values), 1)))
