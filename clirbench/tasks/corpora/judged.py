"""Streamed tasks: the places of their passages and judgements, and the judged queries."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clirbench.support.errors import ClirbenchError, quoted
from clirbench.support.paths import mirror_dir
from clirbench.tasks.collection import grades_or_none
from clirbench.tasks.corpora.base import Candidates, Judgement, Judgements, gains_of, judgement_digest
from clirbench.tasks.corpora.mteb_layout import MtebLayout
from clirbench.tasks.corpora.original import PASSAGES, OriginalFolder, read_qrels, read_topics
from clirbench.tasks.fetch import fetch
from clirbench.tasks.ids_and_grades import first_twins
from clirbench.tasks.task import HubCorpus, Task


@dataclass(frozen=True)
class Judged:
    """The queries of a streamed task and their gold passages, without any passage's text.

    Queries stand in blocks, one per language in the order of ``languages``, sorted by identifier; gold pairs are sorted by query,
    then by grade.

    Attributes:
        ids: Query identifiers as the source has them.
        starts: int64 (languages + 1,), first query of each language.
        gold_query: int32 (gold pairs,), index into ``queries``.
        gold_ids: Passage identifier of each gold pair, in the corpus of the query's language.
        judged_ids: By language, identifiers of all judged passages, negative ones included.
        gold_grade: int8 (gold pairs,), from 1; None where every grade is 1.
    """

    task: Task
    languages: tuple[str, ...]
    ids: tuple[str, ...]
    queries: tuple[str, ...]
    starts: NDArray[np.int64]
    gold_query: NDArray[np.int32]
    gold_ids: tuple[str, ...]
    judged_ids: dict[str, frozenset[str]]
    gold_grade: NDArray[np.int8] | None = None

    @property
    def query_language(self) -> NDArray[np.int32]:
        """int32 (queries,), index into ``languages``."""
        return np.repeat(np.arange(len(self.languages), dtype=np.int32), np.diff(self.starts))

    @property
    def topics(self) -> tuple[str, ...]:
        """Topic identifiers, "<language>:<query id>", because two languages may use the same query id."""
        codes = self.query_language
        return tuple(f"{self.languages[code]}:{id_}" for code, id_ in zip(codes, self.ids, strict=True))

    def queries_of(self, language: str) -> slice:
        """The queries of a language."""
        i = self.languages.index(language)
        return slice(*self.starts[i : i + 2].tolist())

    def pairs_of(self, language: str) -> slice:
        """The gold pairs of a language's queries."""
        i = self.languages.index(language)
        return slice(*np.searchsorted(self.gold_query, self.starts[i : i + 2]).tolist())


def open_candidates(task: Task, data: Path | None) -> Candidates:
    """Open the passages of a streamed task.

    ``data`` is a folder in one of the two layouts, or the parent of such a folder named after the task. None means the folder
    that ``CLIRBENCH_MIRROR`` names, or the hub if there is no mirror. A folder in neither layout is a ClirbenchError.
    """
    folder = _folder(task, data)
    if folder is not None:
        return folder
    mirror = mirror_dir()
    if mirror is not None:
        raise ClirbenchError(
            f"CLIRBENCH_MIRROR ({mirror}) holds no passages of {task.id}: put {PASSAGES} or a "
            f"snapshot of {_corpus(task).hub} into {task.id}/ there, or pass --data FOLDER (judgements alone rank nothing)"
        )
    return MtebLayout(_corpus(task))


def open_judgements(task: Task, data: Path | None) -> Judgements:
    """Open the topics and judgements of a streamed task: those of the folder of the passages, or the task's pinned files."""
    folder = _folder(task, data)
    if isinstance(folder, MtebLayout):
        return folder
    if task.sources:
        return _Pinned(task, folder)
    if folder is not None:
        return folder
    if mirror_dir() is not None:
        raise ClirbenchError(f"CLIRBENCH_MIRROR holds no topics of {task.id}: add them there, or pass --data FOLDER")
    return MtebLayout(_corpus(task))


def load_judged(task: Task, languages: Sequence[str], judgements: Judgements) -> Judged:
    """Read topics and judgements of some languages, and check them against the task file.

    Raises:
        ClirbenchError: A query stands twice, the grade of a gold is no gain, or a declared count or checksum differs.
    """
    ids: list[str] = []
    queries: list[str] = []
    gold_query: list[int] = []
    gold_ids: list[str] = []
    gold_grade: list[int] = []
    judged: dict[str, frozenset[str]] = {}
    starts = [0]
    for language in languages:
        topics = judgements.topics(language)
        texts = dict(topics)
        if len(texts) < len(topics):
            query, _ = Counter(query for query, _ in topics).most_common(1)[0]
            raise ClirbenchError(f"{task.id}: query {quoted(query)} stands twice in {language}: correct the topics")
        golds: dict[str, dict[str, int]] = {}
        rows = judgements.judgements(language)
        for (query, passage), counted in gains_of(rows, task.id, language, task.relevant_from).items():
            golds.setdefault(query, {})[passage] = counted
        judged[language] = frozenset(row.passage for row in rows)
        for what, names in (
            ("query", [*texts, *(row.query for row in rows)]),
            ("passage", [row.passage for row in rows]),
        ):
            if twins := first_twins(names):
                raise ClirbenchError(f"{task.id}: {what} {twins} ({language}): write both alike")
        # Only judged queries can be scored. The declared count shows if a query is missing by mistake.
        kept = sorted(query for query in texts if query in golds)
        empty = next((query for query in kept if not texts[query].strip()), None)
        if empty is not None:
            raise ClirbenchError(
                f"{task.id}: query {quoted(empty)} has no text ({language}): add it, or remove the query"
            )
        _expect(task, f"judged queries in {language}", len(kept), task.counts["queries"][language])
        # The lower grade first, as in a collection in memory: a tie among golds gains nothing.
        rated = [(query, grade, passage) for query in kept for passage, grade in golds[query].items()]
        rated.sort()
        pairs, rates = [(query, passage) for query, _, passage in rated], [grade for _, grade, _ in rated]
        expected = task.judgements.get(language)
        if expected is not None and judgement_digest(pairs, rates) != expected:
            raise ClirbenchError(
                f"{task.id}: the gold pairs of {language} are not those that {task.file.name} pins: replace the judgements"
            )
        number = {query: len(ids) + i for i, query in enumerate(kept)}
        ids += kept
        queries += [texts[query] for query in kept]
        gold_query += [number[query] for query, _ in pairs]
        gold_ids += [passage for _, passage in pairs]
        gold_grade += rates
        starts.append(len(ids))
    if tuple(languages) == task.languages:
        _expect(task, "topics", len(ids), task.counts["topics"])
        _expect(task, "gold pairs", len(gold_ids), task.counts["gold_pairs"])
    return Judged(
        task=task,
        languages=tuple(languages),
        ids=tuple(ids),
        queries=tuple(queries),
        starts=np.array(starts, dtype=np.int64),
        gold_query=np.array(gold_query, dtype=np.int32),
        gold_ids=tuple(gold_ids),
        judged_ids=judged,
        gold_grade=grades_or_none(np.array(gold_grade, dtype=np.int32)),
    )


class _Pinned:
    """Topics and judgements from the task's pinned files, used if the folder of the passages has none."""

    def __init__(self, task: Task, folder: OriginalFolder | None) -> None:
        self._task, self._folder = task, folder

    def topics(self, language: str) -> list[tuple[str, str]]:
        if self._folder and self._folder.has_judgements(language):
            return self._folder.topics(language)
        return read_topics(fetch(self._task.sources[f"{language}/topics"]))

    def judgements(self, language: str) -> list[Judgement]:
        if self._folder and self._folder.has_judgements(language):
            return self._folder.judgements(language)
        return read_qrels(fetch(self._task.sources[f"{language}/qrels"]))


def _folder(task: Task, data: Path | None) -> OriginalFolder | MtebLayout | None:
    if data is not None and not data.is_dir():
        raise ClirbenchError(f"--data is '{data}', which is not a folder: correct it")
    mirror, corpus = mirror_dir(), _corpus(task)
    for place in [data, data / task.id] if data is not None else [mirror / task.id] if mirror is not None else []:
        if OriginalFolder.fits(place):
            return OriginalFolder(place, corpus.split)
        if MtebLayout.fits(place):
            return MtebLayout(corpus, place)
    if data is not None:
        raise ClirbenchError(f"--data {data}: holds neither {PASSAGES} nor a snapshot of {corpus.hub}: correct it")
    return None


def _corpus(task: Task) -> HubCorpus:
    if task.corpus is None:
        raise ClirbenchError(f"{task.id} is not read shard by shard: leave out --data")
    return task.corpus


def _expect(task: Task, what: str, number: int, declared: int) -> None:
    if number != declared:
        raise ClirbenchError(
            f"{task.id}: {number:,} {what}, but {task.file.name} declares {declared:,}: the source is not the whole task"
        )
