"""Show what outranked the golds of one language's queries: texts, languages and scores."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.api_cost import api_cost
from clirbench.encoders.base import require_encoder
from clirbench.encoders.encode import distinct_texts, encode_collection, work_to_encode
from clirbench.ranking.kernel import best_first
from clirbench.ranking.near_ties import exact_scores
from clirbench.results.reload_model import ModelAt, refuse_another_model, reload_model
from clirbench.results.result import Result
from clirbench.results.schema import Document
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import ENCODE, Reporter, Silent, follow_download
from clirbench.support.terminal import cell
from clirbench.tasks.collection import Collection, load_collection, with_queries
from clirbench.tasks.task_file import stated_task

_SHOWN = 5


@dataclass(frozen=True)
class Text:
    """A candidate for display: its language, its text, its score, its rank in the pool, and whether it is a gold."""

    language: str
    text: str
    score: float
    rank: int
    gold: bool


@dataclass(frozen=True)
class Topic:
    """A question in one language, its golds by rank, and the best of the wrong candidates that outrank its last gold."""

    topic: str
    question: str
    best_rank: int
    golds: tuple[Text, ...]
    before: tuple[Text, ...]


@dataclass(frozen=True)
class Inspection:
    """The worst topics of one query language, and what outranked their golds.

    Attributes:
        query_language: The language that the topics are asked in.
        pool: "multilingual", or "monolingual" if the run has no multilingual setting.
        topics: The worst topics, worst first.
        confusion: By candidate language, over all topics: the language's share of the wrong candidates that outrank a gold, and
            this share divided by its share of the pool. Empty without the multilingual setting.
        first: By language, the number of worst topics whose best wrong candidate is in this language. If no wrong candidate
            outranks a gold, the topic counts for the language of its best gold.
        differing: Number of ranks that differ from the result. If it is above 0, the model or a package has changed.
    """

    model: str
    task: str
    query_language: str
    pool: str
    topics: tuple[Topic, ...]
    confusion: Mapping[str, tuple[float, float | None]]
    first: Mapping[str, int]
    differing: int


def inspect_result(
    result: Result,
    query_language: str | None,
    worst: int = 10,
    *,
    task: str | None = None,
    model: ModelAt | None = None,
    cache: Path | None = None,
    reporter: Reporter | None = None,
) -> Inspection:
    """Rank the worst topics of one language again, and show what outranks their golds.

    The worst topic is the one whose best gold has the largest rank in the result. Vectors come from the cache; texts that are not
    in it are encoded.

    ``task`` is the TOML file of a task of your own, None for a shipped one. ``model`` says where the model is now, None for
    its name in the result. ``cache`` is the folder of the vector cache, None to encode all texts.

    Raises:
        ClirbenchError: The result does not hold the language, its task is streamed, or its model is not here.
    """
    document, ranks = result.document, result.ranks
    reporter = reporter or Silent()
    # Not after loading: the name of a fusion or of two stages is no model's name.
    if document.model.dimensions is None:
        raise ClirbenchError(
            f"{document.model.name} gives scores in the place of vectors, and inspect takes encoders only: "
            "inspect another model"
        )
    if query_language is None:
        raise ClirbenchError(
            f"inspect looks at one language's queries: pass --query-language, one of {_by_score(document)}"
        )
    if query_language not in ranks.languages:
        raise ClirbenchError(
            f"the result holds no language '{query_language}': choose from {','.join(ranks.languages)}"
        )
    if worst < 1:
        raise ClirbenchError(f"--worst is {worst}: use 1 or more")
    if document.corpus is not None:
        raise ClirbenchError(
            f"{document.task.id} is read shard by shard, and its passages are not kept: inspect another task"
        )
    pooled = ranks.pool_rank is not None
    rank = ranks.pool_rank if ranks.pool_rank is not None else ranks.own_rank
    # The gold pairs that are ranked in the inspected pool.
    rows = np.flatnonzero(
        (ranks.query_language == ranks.languages.index(query_language))
        & (pooled | (ranks.gold_language == ranks.query_language))
    )
    if not len(rows):
        raise ClirbenchError("the result ranks these queries in pools of one other language only: run another setting")
    best = np.full(len(ranks.topics), np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(best, ranks.topic[rows], rank[rows])
    asked_topics = np.unique(ranks.topic[rows])
    # A stable sort: among topics whose best golds have the same rank, the first topics are chosen.
    chosen = asked_topics[np.argsort(-best[asked_topics], kind="stable")[:worst]].tolist()
    source = stated_task(document.task.id, document.task.hash, task)
    loaded = require_encoder(reload_model(document, model or ModelAt()))
    refuse_another_model(loaded, document)
    # All languages of the run are loaded, because a model that is fitted on the candidates must see the same candidates.
    collection = load_collection(source, ranks.languages, follow_download(reporter))
    asked = collection.query_language == collection.languages.index(query_language)
    wanted = [collection.topics.index(ranks.topics[topic]) for topic in chosen]
    part = with_queries(collection, asked & np.isin(collection.query_topic, wanted))
    if loaded.api:
        reporter.note(api_cost(loaded, [part], cache).line(loaded.info.name, None))
    reporter.start(ENCODE, distinct_texts(part), work=work_to_encode(loaded, part))
    encoded = encode_collection(loaded, part, RunContext(cache, reporter=reporter, allow_zero=True))
    scores = exact_scores(encoded.queries, encoded.candidates)
    own_block = slice(*part.candidate_starts[ranks.languages.index(query_language) :][:2].tolist())
    pool = slice(0, len(part.candidates)) if pooled else own_block
    topics = [_topic(part, row, scores[row], pool) for row in range(len(part.queries))]
    topics.sort(key=lambda topic: -topic.best_rank)
    differing = 0
    for topic in topics:
        # Another machine or package may round differently, so the differing ranks are counted and shown.
        stated = np.sort(rank[rows[ranks.topic[rows] == ranks.topics.index(topic.topic)]])
        here = np.array([gold.rank for gold in topic.golds])
        if ranks.rounding is not None:
            here = ranks.rounding.rounded(here, pool.stop - pool.start)
        differing += int((stated != here).sum())
    leaders = Counter((topic.before or topic.golds)[0].language for topic in topics)
    return Inspection(
        model=document.model.name,
        task=document.task.id,
        query_language=query_language,
        pool="multilingual" if pooled else "monolingual",
        topics=tuple(topics),
        confusion=_confusion(document, query_language),
        first=dict(leaders.most_common()),
        differing=differing,
    )


def _by_score(document: Document) -> str:
    """The query languages with their scores in the widest setting, lowest first: where there is most to look at."""
    setting, metric = document.task.settings[-1], document.task.metrics[0]
    scores = {language: values.get(setting, {}).get(metric) for language, values in document.per_language.items()}
    ordered = sorted(scores, key=lambda language: (scores[language] is None, scores[language]))
    listed = ", ".join(f"{language} ({cell(scores[language], 100)})" for language in ordered)
    return f"{listed}; in brackets {setting} {metric} x100"


def _topic(collection: Collection, row: int, scores: NDArray[np.float32], pool: slice) -> Topic:
    pairs = collection.gold_query == row
    golds = collection.gold_candidate[pairs]
    grade = np.zeros(len(scores), dtype=np.int8)
    grade[golds] = 1 if collection.gold_grade is None else collection.gold_grade[pairs]
    golds = golds[(golds >= pool.start) & (golds < pool.stop)]
    order = pool.start + best_first(scores[pool], grade[pool])
    place = np.zeros(len(scores), dtype=np.int64)
    place[order] = np.arange(1, len(order) + 1)

    def text(candidate: int) -> Text:
        language = collection.languages[int(collection.candidate_language[candidate])]
        numbers = float(scores[candidate]), int(place[candidate])
        return Text(language, collection.candidates[candidate], *numbers, bool(grade[candidate]))

    by_rank = sorted(golds.tolist(), key=lambda gold: place[gold])
    wrong = [int(c) for c in order[: place[by_rank[-1]]] if not grade[c]][:_SHOWN]
    return Topic(
        topic=collection.topics[int(collection.query_topic[row])],
        question=collection.queries[row],
        best_rank=int(place[by_rank[0]]),
        golds=tuple(text(gold) for gold in by_rank),
        before=tuple(text(candidate) for candidate in wrong),
    )


def _confusion(document: Document, language: str) -> dict[str, tuple[float, float | None]]:
    """The value of :attr:`Inspection.confusion`."""
    totals = Counter(document.jumps_of(language))
    everything = sum(totals.values())
    ratio = document.queue_jump_ratio.get(language, {})
    return {other: (count / everything, ratio.get(other)) for other, count in totals.most_common() if everything}
