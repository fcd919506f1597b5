"""The sources of a streamed task: topics, judgements, and candidates in files that are read from front to back."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from clirbench.support.errors import ClirbenchError, printable, quoted, shortened
from clirbench.tasks.ids_and_grades import GAIN, RELEVANT_FROM, gain, identifier


class Passage(NamedTuple):
    """A candidate with its identifier in its language's corpus. ``text`` is title, space, and text of the passage."""

    id: str
    text: str


class Judgement(NamedTuple):
    """One relevance judgement. Its passage is gold from ``relevant_from`` of the task on."""

    query: str
    passage: str
    relevance: float


@dataclass(frozen=True)
class CorpusFile:
    """One file of a corpus. ``key`` changes when its bytes change: it holds size and time of a local file, or a hub commit."""

    name: str
    key: str


@dataclass(frozen=True)
class Block:
    """Consecutive candidates of one file: their texts, or pre-computed vectors (candidates, dimensions) of any float dtype."""

    ids: list[str]
    texts: list[str] | None = None
    vectors: NDArray[np.generic] | None = None

    def digest(self) -> str:
        """SHA-256 over identifiers and texts, or identifiers and vectors, in order. The file format does not change it."""
        digest = hashlib.sha256()
        if self.texts is not None:
            for id_, text in zip(self.ids, self.texts, strict=True):
                digest.update(f"{id_}\0{text}\n".encode("utf-8", "surrogatepass"))
        else:
            digest.update("\n".join(self.ids).encode())
            digest.update(np.ascontiguousarray(self.vectors).data.cast("B") if self.ids else b"")
        return digest.hexdigest()


class Judgements(Protocol):
    """Where topics and judgements come from."""

    def topics(self, language: str) -> list[tuple[str, str]]:
        """The queries of a language as (identifier, text)."""

    def judgements(self, language: str) -> list[Judgement]:
        """All judgements of a language, positive and negative."""


class Candidates(Protocol):
    """Where candidates come from. A result states its ``layout`` and ``source``."""

    layout: str
    source: str

    def files(self, language: str) -> Sequence[CorpusFile]:
        """The files of a language, in their order."""

    def blocks(self, language: str, file: int, size: int) -> Iterator[Block]:
        """A whole file in blocks of ``size`` candidates, the last one smaller."""

    def block(self, language: str, file: int, start: int, size: int) -> Block:
        """Return ``size`` candidates of a file from number ``start`` on, or all that are left."""


class PassageFiles:
    """Blocks of texts from files that can be read only from the front.

    For the block after the last one that was read, only its own lines are read. For any other block, all lines before it are read
    too.
    """

    def __init__(self) -> None:
        self._at: tuple[str, int, int] | None = None
        self._iterator: Iterator[Passage] = iter(())

    @abstractmethod
    def _passages(self, language: str, file: int, start: int) -> Iterator[Passage]:
        """The passages of a file from number ``start`` on."""

    def blocks(self, language: str, file: int, size: int) -> Iterator[Block]:
        """A whole file in blocks: see :class:`Candidates`."""
        start = 0
        while (block := self.block(language, file, start, size)).ids:
            yield block
            start += len(block.ids)
            if len(block.ids) < size:
                return

    def block(self, language: str, file: int, start: int, size: int) -> Block:
        """Some candidates of a file: see :class:`Candidates`."""
        if self._at != (language, file, start):
            self._iterator = self._passages(language, file, start)
        passages = list(islice(self._iterator, size))
        self._at = (language, file, start + len(passages))
        return Block([passage.id for passage in passages], [passage.text for passage in passages])


def id_of(value: object, place: str) -> str:
    """The identifier of a query or a passage, by the rule of :mod:`clirbench.tasks.ids_and_grades`.

    Raises:
        ClirbenchError: The value is no identifier. The message begins with ``place``.
    """
    name = identifier(value)
    if name is None:
        shown = printable(f"{value!a}"[:40])
        raise ClirbenchError(
            f"{place}: {shown} is no identifier: write text that is not empty (at most 2,000 characters), or a whole number"
        )
    return name


def text_of(value: object, field: str, place: str) -> str:
    """The text of a query or a passage, which may be empty.

    Raises:
        ClirbenchError: The value is no text. The message begins with ``place``, and names the field.
    """
    if not isinstance(value, str):
        raise ClirbenchError(f"{place}: field '{field}' must be text, and is {shortened(f'{value!a}', 40)}: correct it")
    return value


def passage_text(title: object, text: object, place: str) -> str:
    """The text of a passage as every published MIRACL run has it: title, a space, text. A title may be None.

    Raises:
        ClirbenchError: One of them is no text. The message begins with ``place``.
    """
    return f"{'' if title is None else text_of(title, 'title', place)} {text_of(text, 'text', place)}".strip()


def refuse_empty(files: Sequence[CorpusFile], language: str, where: str, wanted: str) -> None:
    """Raise a :class:`ClirbenchError` if a language has no file."""
    if not files:
        raise ClirbenchError(f"{where}: has no corpus for {language} ({wanted}): add it, or leave {language} out")


def gains_of(
    judgements: Iterable[Judgement], where: str, language: str, relevant_from: float = RELEVANT_FROM
) -> dict[tuple[str, str], int]:
    """The gains of the gold pairs (query, passage) of one language, in the order of the judgements.

    A passage is gold if its grade is at least ``relevant_from``. Its grade is its gain.

    Raises:
        ClirbenchError: A pair has two grades, or the grade of a gold is no gain. The message begins with ``where``.
    """
    grades: dict[tuple[str, str], float] = {}
    gains: dict[tuple[str, str], int] = {}
    for query, passage, relevance in judgements:
        grade = grades.setdefault((query, passage), relevance)
        if grade != relevance:
            raise ClirbenchError(
                f"{where}: query {quoted(query)} has the grades {grade:g} and {relevance:g} for passage "
                f"{quoted(passage)} ({language}): keep one of them"
            )
        if relevance >= relevant_from:
            counted = gain(relevance)
            if counted is None:
                raise ClirbenchError(
                    f"{where}: query {quoted(query)} has the grade {relevance:g} for passage "
                    f"{quoted(passage)} ({language}), and {GAIN}: correct the judgements, or 'relevant_from'"
                )
            gains[query, passage] = counted
    return gains


def judgement_digest(pairs: Sequence[tuple[str, str]], grades: Sequence[int] = ()) -> str:
    """SHA-256 over the gold pairs (query, passage) of one language and their grades. The order of the pairs does not change it.

    ``grades`` is empty if all are 1.
    """
    rows = sorted(zip(pairs, grades or [1] * len(pairs), strict=True))
    # A grade of 1 is not written, so judgements without grades keep their checksum.
    lines = ["\t".join([*pair, *([str(grade)] if grade != 1 else [])]) for pair, grade in rows]
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
