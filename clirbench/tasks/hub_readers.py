"""Readers of parallel data sets on the hub. A reader turns one language of a data set into queries, candidates and gold pairs.

A reader is named after a layout, not after a task: several tasks share one. Parallel means that all languages have the same
identifiers: of queries, of passages, and of which passage is gold for which query.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clirbench.support.errors import ClirbenchError, quoted
from clirbench.tasks.corpora.base import gains_of, id_of, text_of
from clirbench.tasks.corpora.configurations import Configurations, configuration_names, value_of
from clirbench.tasks.corpora.mteb_layout import PARTS, MtebLayout
from clirbench.tasks.hub_copy import local_copy
from clirbench.tasks.ids_and_grades import first_twins
from clirbench.tasks.readers import LanguageTexts
from clirbench.tasks.task import HubCorpus

_BELEBELE = ("link", "question_number", "flores_passage", "question")


@dataclass(frozen=True)
class ParallelTexts:
    """One language of a parallel data set: its texts, and the identifier of each candidate."""

    texts: LanguageTexts
    passages: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """SHA-256 over queries, passages, golds and grades, in order. The format of the files does not change it."""
        digest = hashlib.sha256()
        passages = zip(self.passages, self.texts.candidates, strict=True)
        golds = self.texts.graded if self.texts.grades else self.texts.golds
        parts: tuple[Iterable[tuple[str | int, ...]], ...] = (self.texts.queries, passages, golds)
        for rows in parts:
            for row in rows:
                digest.update(f"{json.dumps(row)}\n".encode())
            digest.update(b"\n")
        return digest.hexdigest()


@dataclass(frozen=True)
class HubReader:
    """A layout of data sets: the configurations of a language, and the function that reads them from a local folder."""

    configurations: Callable[[str], tuple[str, ...]]
    read: Callable[[HubCorpus, Path, str], ParallelTexts]


def read_parallel_mteb(corpus: HubCorpus, folder: Path, language: str) -> ParallelTexts:
    """Read one language in mteb's retrieval layout. The topic is the query's identifier.

    A passage is gold from the grade 1 on, and its grade is its gain. Queries without a gold passage are left out, because they
    cannot be scored: the declared count shows if one is missing by mistake. Queries are sorted by identifier; passages have the
    order of the files.

    Raises:
        ClirbenchError: A file cannot be read, an identifier stands twice, a pair has two grades, a gold's grade is no gain,
            or a gold passage is missing.
    """
    layout = MtebLayout(corpus, folder)
    topics, passages = layout.topics(language), list(layout.passages(language))
    golds = gains_of(layout.judgements(language), str(folder), language)
    return _assembled(folder, language, topics, [(passage.id, passage.text) for passage in passages], golds)


def read_belebele(corpus: HubCorpus, folder: Path, language: str) -> ParallelTexts:
    """Read one language of Belebele (Bandarkar et al. 2024, arXiv 2308.16884): a row for each question, with its passage.

    A passage is known by its ``link``; a topic is the link and the number of the question there. Two topics of one language may
    have the same question: 898 to 900 of the 900 texts are distinct, and mteb makes one query of those that are not.

    Raises:
        ClirbenchError: A file cannot be read, a row lacks a field, a question stands twice, or rows of one link have different
            passages.
    """
    topics: list[tuple[str, str]] = []
    passages: dict[str, str] = {}
    golds: dict[tuple[str, str], int] = {}
    for place, row in Configurations(corpus, _BELEBELE, folder).rows(language):
        link, number = (id_of(value_of(row, place, name), place) for name in ("link", "question_number"))
        topic = f"{link}#{number}"
        topics.append((topic, text_of(row.get("question"), "question", place)))
        passage = text_of(row.get("flores_passage"), "flores_passage", place)
        if passages.setdefault(link, passage) != passage:
            raise ClirbenchError(f"{place}: {quoted(link)} has another passage than in a row before: download it again")
        golds[topic, link] = 1
    return _assembled(folder, language, topics, list(passages.items()), golds)


# The names are part of a task's hash, so they must not change.
HUB_READERS = {
    "parallel-mteb": HubReader(lambda language: tuple(f"{language}-{part}" for part in PARTS), read_parallel_mteb),
    "belebele": HubReader(lambda language: (language,), read_belebele),
}


def read_languages(
    name: str, reader: str, hub: HubCorpus, languages: Sequence[str]
) -> Iterator[tuple[str, ParallelTexts]]:
    """Find or download a data set, and read its languages one by one. ``name`` is the name of its folder in the mirror.

    Raises:
        ClirbenchError: The data cannot be had or read.
    """
    layout = HUB_READERS[reader]
    folder = local_copy(name, hub, configurations_of(reader, languages))
    for language in languages:
        yield language, layout.read(hub, folder, language)


def configurations_of(reader: str, languages: Iterable[str]) -> list[str]:
    """The configurations that a reader needs for some languages."""
    return [one for language in languages for one in HUB_READERS[reader].configurations(language)]


def languages_of(folder: Path) -> list[str]:
    """The languages that a data set in mteb's layout has with all three of their configurations."""
    names = set(configuration_names(folder))
    ends = [f"-{part}" for part in PARTS]
    stems = sorted(name.removesuffix(ends[0]) for name in names if name.endswith(ends[0]))
    return [stem for stem in stems if all(f"{stem}{end}" in names for end in ends)]


def refuse_unparallel(where: str, read: Mapping[str, ParallelTexts]) -> None:
    """Refuse languages that do not have the same queries, the same passages and the same golds. ``where`` begins the message.

    Raises:
        ClirbenchError: Identifiers differ. The message names two languages, what differs, how much, and the first on each side.
    """
    kinds: dict[str, Callable[[ParallelTexts], set[str]]] = {
        "queries": lambda one: {topic for topic, _ in one.texts.queries},
        "passages": lambda one: set(one.passages),
        "golds": lambda one: {
            f"{topic} {one.passages[index]}{f' (grade {grade})' if grade != 1 else ''}"
            for topic, index, grade in one.texts.graded
        },
    }
    first, *others = read
    for what, identifiers in kinds.items():
        expected = identifiers(read[first])
        for language in others:
            there = identifiers(read[language])
            if there != expected:
                sides = " and ".join(
                    f"{len(lost):,} only in {x} (first: {quoted(min(lost))})"
                    for x, lost in ((first, expected - there), (language, there - expected))
                    if lost
                )
                raise ClirbenchError(
                    f"{where}: {what} are not parallel in {first} and {language}: {sides}: download the data again, "
                    "or leave one of the two languages out"
                )


def _assembled(
    folder: Path,
    language: str,
    topics: Sequence[tuple[str, str]],
    passages: Sequence[tuple[str, str]],
    golds: Mapping[tuple[str, str], int],
) -> ParallelTexts:
    """Queries, passages and golds, which have a grade by topic and passage, checked."""
    for what, names in (("query", [id_ for id_, _ in topics]), ("passage", [id_ for id_, _ in passages])):
        for id_, times in Counter(names).most_common(1):
            if times > 1:
                raise ClirbenchError(f"{folder}: {what} {quoted(id_)} stands twice in {language}: download it again")
        if twins := first_twins(names):
            raise ClirbenchError(f"{folder}: {what} {twins} ({language}): write both alike")
    number = {id_: i for i, (id_, _) in enumerate(passages)}
    asked = dict(topics)
    kept = sorted((topic, passage) for topic, passage in golds if topic in asked)
    lost = [passage for _, passage in kept if passage not in number]
    if lost:
        raise ClirbenchError(
            f"{folder}: {len(lost):,} gold passages of {language} are not in its corpus (first: {quoted(lost[0])}): "
            "the corpus is not whole, download it again"
        )
    answered = list(dict.fromkeys(topic for topic, _ in kept))
    empty = next((topic for topic in answered if not asked[topic].strip()), None)
    if empty is not None:
        raise ClirbenchError(f"{folder}: query {quoted(empty)} has no text ({language}): download it again")
    return ParallelTexts(
        LanguageTexts(
            tuple((topic, asked[topic]) for topic in answered),
            tuple(text for _, text in passages),
            tuple((topic, number[passage]) for topic, passage in kept),
            tuple(golds[pair] for pair in kept) if max(golds.values(), default=1) > 1 else (),
        ),
        tuple(id_ for id_, _ in passages),
    )
