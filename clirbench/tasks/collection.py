"""Read the files of a task into a collection in memory: queries, candidates and gold pairs, each with a language."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import Advance
from clirbench.tasks.fetch import fetch
from clirbench.tasks.hub_readers import HUB_READERS, ParallelTexts, read_languages, refuse_unparallel
from clirbench.tasks.own_data import read_own_files
from clirbench.tasks.readers import READERS, LanguageTexts
from clirbench.tasks.selection import choose_languages
from clirbench.tasks.task import Task


@dataclass(frozen=True)
class GoldPairs:
    """The gold pairs of a run with their topics and languages, before anything is ranked.

    ``sizes``, int64 (languages,), counts the candidates of each language. The next three fields are int32 (gold pairs,), indices
    into ``topics`` and ``languages``. ``grade`` is int8 (gold pairs,), from 1; None where every grade is 1.
    """

    topics: tuple[str, ...]
    languages: tuple[str, ...]
    sizes: NDArray[np.int64]
    topic: NDArray[np.int32]
    query_language: NDArray[np.int32]
    gold_language: NDArray[np.int32]
    grade: NDArray[np.int8] | None = None

    def part(self, start: int, stop: int) -> "GoldPairs":
        """The gold pairs ``start`` to ``stop`` - 1."""
        rows = slice(start, stop)
        columns = {name: getattr(self, name)[rows] for name in ("topic", "query_language", "gold_language")}
        return replace(self, **columns, grade=None if self.grade is None else self.grade[rows])


@dataclass(frozen=True)
class Collection:
    """A loaded task: queries, candidates and gold pairs.

    Candidates stand in blocks, one per language in the order of ``languages``: block ``b`` is
    ``candidate_starts[b]:candidate_starts[b + 1]``; likewise the queries. Gold pairs are sorted by query, then by grade, then by
    candidate: in this order, golds with equal scores stand in a ranking.

    Attributes:
        languages: The languages that are loaded: all of the task, or some if the run is restricted.
        candidates: Texts, not de-duplicated.
        query_topic: int32 (queries,), index into ``topics``.
        query_starts: int64 (languages + 1,), like ``candidate_starts``.
        gold_query: int32 (gold pairs,), index into ``queries``.
        gold_candidate: int32 (gold pairs,), index into ``candidates``.
        gold_grade: int8 (gold pairs,), from 1; None where every grade is 1.
    """

    task: Task
    languages: tuple[str, ...]
    topics: tuple[str, ...]
    queries: tuple[str, ...]
    candidates: tuple[str, ...]
    query_topic: NDArray[np.int32]
    query_starts: NDArray[np.int64]
    candidate_starts: NDArray[np.int64]
    gold_query: NDArray[np.int32]
    gold_candidate: NDArray[np.int32]
    gold_grade: NDArray[np.int8] | None = None

    @property
    def query_language(self) -> NDArray[np.int32]:
        """int32 (queries,), index into ``languages``."""
        return np.repeat(np.arange(len(self.languages), dtype=np.int32), np.diff(self.query_starts))

    @property
    def candidate_language(self) -> NDArray[np.int32]:
        """int32 (candidates,), index into ``languages``."""
        return np.repeat(np.arange(len(self.languages), dtype=np.int32), np.diff(self.candidate_starts))

    @property
    def gold_pairs(self) -> GoldPairs:
        """The gold pairs with their topics and languages, in the order of ``gold_query``."""
        return GoldPairs(
            topics=self.topics,
            languages=self.languages,
            sizes=np.diff(self.candidate_starts),
            topic=self.query_topic[self.gold_query],
            query_language=self.query_language[self.gold_query],
            gold_language=self.candidate_language[self.gold_candidate],
            grade=self.gold_grade,
        )

    @property
    def pool_sizes(self) -> dict[str, int]:
        """Number of candidates by language."""
        return dict(zip(self.languages, np.diff(self.candidate_starts).tolist(), strict=True))


def load_collection(
    task: Task, languages: Sequence[str] | None = None, advance: Callable[[str], Advance] | None = None
) -> Collection:
    """Fetch a task's data, read them and check every declared count. ``languages`` chooses languages; None for all.

    ``advance`` is given a file's name, and returns the callback that follows its download.

    Raises:
        ClirbenchError: The task lacks a language, the data cannot be fetched or read, a count differs, or the languages of a data
            set of the hub are not parallel.
    """
    chosen = choose_languages(task, languages)
    if task.own is not None:
        texts_of = read_own_files(task.own, task.languages)
        return assemble(task, chosen, [texts_of[language] for language in chosen])
    known = tuple(READERS if task.hub is None else HUB_READERS)
    if task.reader not in known:
        raise ClirbenchError(f"{task.file}: 'reader' is '{task.reader}': use {', '.join(known)}")
    texts = []
    for language, one in _from_hub(task, chosen) if task.hub else _from_files(task, chosen, advance):
        _check(task, f"queries in {language}", len(one.queries), task.counts["queries"][language])
        _check(task, f"candidates in {language}", len(one.candidates), task.counts["candidates"][language])
        texts.append(one)
    collection = assemble(task, chosen, texts)
    if chosen == task.languages:
        _check(task, "topics", len(collection.topics), task.counts["topics"])
        _check(task, "gold pairs", len(collection.gold_query), task.counts["gold_pairs"])
    return collection


def _from_files(
    task: Task, languages: Sequence[str], advance: Callable[[str], Advance] | None
) -> Iterator[tuple[str, LanguageTexts]]:
    for language in languages:
        source = task.sources[language]
        path = fetch(source, advance(source.name) if advance else None)
        try:
            yield language, READERS[task.reader](path)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ClirbenchError(f"{path}: not a {task.reader} file ({error}): replace it with the original") from error


def _from_hub(task: Task, languages: Sequence[str]) -> Iterator[tuple[str, LanguageTexts]]:
    """The languages of a data set of the hub. After the last one, unparallel languages and wrong checksums are refused."""
    assert task.hub is not None  # noqa: S101
    read: dict[str, ParallelTexts] = {}
    for language, one in read_languages(task.id, task.reader, task.hub, languages):
        read[language] = one
        yield language, one.texts
    # Only now, because a count says more than a checksum.
    refuse_unparallel(task.id, read)
    for language, sha256 in task.checksums(languages).items():
        if read[language].sha256 != sha256:
            raise ClirbenchError(
                f"{task.id}: the texts of {language} are not those that {task.file.name} pins: download them again"
            )


def assemble(task: Task, languages: tuple[str, ...], texts: Sequence[LanguageTexts]) -> Collection:
    """Join the texts of a parallel task's languages. A candidate is gold for every query of its topic, in every language.

    Topics are in order of first appearance.

    Raises:
        ClirbenchError: A topic has two queries in one language, a query has no gold candidate in its own language, or a reader
            gives one gold two grades.
    """
    if task.own is not None:
        texts = _joined(texts)
    for language, one in zip(languages, texts, strict=True):
        _check_topics(task, language, languages, one)
    topics = dict.fromkeys(topic for one in texts for topic, _ in (*one.queries, *one.golds))
    number = {topic: i for i, topic in enumerate(topics)}
    starts = np.cumsum([0, *(len(one.candidates) for one in texts)], dtype=np.int64)
    # The grade of each gold by its candidate: a reader may name a gold twice.
    golds_of: dict[str, dict[int, int]] = {topic: {} for topic in topics}
    for language, start, one in zip(languages, starts.tolist(), texts, strict=False):
        for topic, index, grade in one.graded:
            if golds_of[topic].setdefault(start + index, grade) != grade:
                raise ClirbenchError(
                    f"{task.id}: a gold of topic '{topic}' has two grades in {language}: correct the source"
                )
    queries = [query for one in texts for query in one.queries]
    # The lower grade first: a tie among golds gains nothing.
    ordered = {
        topic: np.array(sorted((grade, c) for c, grade in golds.items()), dtype=np.int32).reshape(-1, 2)
        for topic, golds in golds_of.items()
    }
    of_query = [ordered[topic] for topic, _ in queries]
    lengths = np.array([len(golds) for golds in of_query], dtype=np.intp)
    gold = np.concatenate([np.empty((0, 2), dtype=np.int32), *of_query])
    return Collection(
        task=task,
        languages=languages,
        topics=tuple(topics),
        queries=tuple(text for _, text in queries),
        candidates=tuple(text for one in texts for text in one.candidates),
        query_topic=np.array([number[topic] for topic, _ in queries], dtype=np.int32),
        query_starts=np.cumsum([0, *(len(one.queries) for one in texts)], dtype=np.int64),
        candidate_starts=starts,
        gold_query=np.repeat(np.arange(len(queries), dtype=np.int32), lengths),
        gold_candidate=np.ascontiguousarray(gold[:, 1]),
        gold_grade=grades_or_none(gold[:, 0]),
    )


def grades_or_none(grade: NDArray[np.int32]) -> NDArray[np.int8] | None:
    """Grades as int8, or None where every grade is 1: such golds are ranked and scored as without grades.

    >>> grades_or_none(np.int32([1, 3])).tolist(), grades_or_none(np.int32([1, 1]))
    ([1, 3], None)
    """
    return grade.astype(np.int8) if (grade != 1).any() else None


def _joined(texts: Sequence[LanguageTexts]) -> list[LanguageTexts]:
    # If languages are left out, a question may have no answer left, and an answer no question. Both are left out too.
    both = {topic for one in texts for topic, _ in one.golds} & {topic for one in texts for topic, _ in one.queries}
    kept = [[gold for gold in one.graded if gold[0] in both] for one in texts]
    return [
        LanguageTexts(
            tuple((topic, text) for topic, text in one.queries if topic in both),
            one.candidates,
            tuple((topic, index) for topic, index, _ in golds),
            tuple(grade for _, _, grade in golds),
        )
        for one, golds in zip(texts, kept, strict=True)
    ]


def _check_topics(task: Task, language: str, languages: Sequence[str], texts: LanguageTexts) -> None:
    answered = {topic for topic, _ in texts.golds}
    seen = set()
    for topic, _ in texts.queries:
        # In a user's own task, a question may have answers in other languages only.
        if topic in seen or (task.own is None and topic not in answered):
            fault = "asked twice" if topic in seen else "without a gold candidate"
            raise ClirbenchError(f"{task.id}: topic '{topic}' is {fault} in {language}: correct the source")
        seen.add(topic)
    if not seen:
        raise ClirbenchError(
            f"{task.id}: no question in {language} is answered in {', '.join(languages)}: add a language to --languages"
        )


def _check(task: Task, what: str, number: int, declared: int) -> None:
    if number != declared:
        raise ClirbenchError(
            f"{task.id}: {number} {what}, but {task.file.name} declares {declared}: the source or the task file is wrong"
        )


def with_queries(collection: Collection, kept: NDArray[np.bool_]) -> Collection:
    """The collection with only some queries and their gold pairs, and all candidates. ``kept`` is bool (queries,)."""
    place = np.cumsum(kept) - 1
    golds = kept[collection.gold_query]
    sizes = np.bincount(collection.query_language[kept], minlength=len(collection.languages))
    return replace(
        collection,
        queries=tuple(query for query, keep in zip(collection.queries, kept, strict=True) if keep),
        query_topic=collection.query_topic[kept],
        query_starts=np.cumsum([0, *sizes], dtype=np.int64),
        gold_query=place[collection.gold_query[golds]].astype(np.int32),
        gold_candidate=collection.gold_candidate[golds],
        gold_grade=None if collection.gold_grade is None else collection.gold_grade[golds],
    )
