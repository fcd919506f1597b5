"""A task as its TOML file declares it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clirbench.tasks.ids_and_grades import RELEVANT_FROM

SETTINGS = ("monolingual", "cross-lingual", "multilingual")
FORMAT = 1


@dataclass(frozen=True)
class SourceFile:
    """One file that a task reads. It lies at ``path``, or comes from ``url``.

    Attributes:
        sha256: SHA-256 of its bytes, in lower-case hexadecimal.
        url: Address to download it from.
        mirror: Its path below the folder that ``CLIRBENCH_MIRROR`` names.
        path: Its place beside the task file.
    """

    sha256: str
    url: str | None = None
    mirror: str | None = None
    path: Path | None = None

    @property
    def name(self) -> str:
        """Name of the file in messages."""
        return self.mirror or (self.path.name if self.path else str(self.url))


@dataclass(frozen=True)
class HubCorpus:
    """Where the hub holds data: a data set, its exact commit, and its split."""

    hub: str
    revision: str
    split: str


@dataclass(frozen=True)
class OwnFiles:
    """The two files of a user's own task. A candidate is gold if its grade is ``relevant_from`` or more."""

    queries: Path
    candidates: Path
    relevant_from: float


@dataclass(frozen=True)
class BoardColumns:
    """The place of a task on the board, and its columns there.

    Attributes:
        order: Place among the tasks of the board, from 1.
        headline: Its columns as (setting, metric); rank distance has the setting "bias".
        main: The column that ranks the models.
        mean: Whether ``main`` enters the mean over domains and tasks. Such a task must have a ``domain``.
    """

    order: int
    headline: tuple[tuple[str, str], ...]
    main: tuple[str, str]
    mean: bool


@dataclass(frozen=True)
class Task:
    """A data set with its protocol, as declared in one TOML file.

    A parallel task has one file of texts per language, or a parallel data set on the hub. A streamed task has more candidates
    than memory: they are read shard by shard from its ``corpus``. A user's own task has its two files in ``own``.

    Attributes:
        id: Its name on the command line and in file names.
        name: Its name on pages and above columns.
        description: One or two sentences.
        licence: Of the data.
        homepage: Address.
        citation: BibTeX.
        reader: The format of the data: one of :data:`clirbench.tasks.readers.READERS` for a parallel task, or of
            :data:`clirbench.tasks.hub_readers.HUB_READERS` for one on the hub.
        candidate_text: What a candidate is: "sentence", "passage", or "text" in a user's own task.
        gold_sha256: Checksum of the gold pairs (:func:`clirbench.ranking.gold_ranks.gold_digest`); empty if nobody has published
            them.
        languages: In the order of every table.
        settings: The settings that the data allow.
        metrics: Names of the metrics; the first one is the main metric.
        bias: Names of the measures of language bias.
        sources: The file of each language; for a streamed task, files by "<language>/topics" and "<language>/qrels"; empty for a
            parallel task on the hub.
        counts: ``topics`` and ``gold_pairs`` of the whole task; ``queries`` and ``candidates`` by language.
        file: The TOML file.
        corpus: Place of the candidates; for a streamed task only.
        hub: Place of the texts; for a parallel task on the hub only.
        texts_sha256: By language, checksum of the texts of a parallel task on the hub
            (:attr:`clirbench.tasks.hub_readers.ParallelTexts.sha256`); empty if they are not pinned.
        all_languages: All languages of the data, where the task declares some of them; else empty.
        judgements: By language, checksum of the gold pairs of a streamed task
            (:func:`clirbench.tasks.corpora.base.judgement_digest`).
        relevant_from: The lowest grade of a gold in the judgements of a streamed task; all others are not relevant.
        absent: By setting or measure, why the task lacks it.
        remarks: By setting or measure, what a reader must know about it.
        own: The two files of a user's own task; None for other tasks.
        standard: Whether ``clirbench run --model X`` runs it when no task is named.
        default: Whether ``clirbench run`` runs it when neither a model nor a task is named.
        board: Its columns on the board; None for a task that ranks no models.
        training_names: Texts in lower case; a training set whose name contains one of them holds this task or its training part.
        questions_of: The task whose questions it uses; "" if it has its own.
        domain: What its texts are, in mteb's terms, such as "encyclopaedic"; None if its file does not say. The mean of the board
            is over domains.
        mteb: Its name in mteb; for a parallel task, without the setting.
    """

    id: str
    name: str
    description: str
    licence: str
    homepage: str
    citation: str
    reader: str
    candidate_text: str
    gold_sha256: str
    languages: tuple[str, ...]
    settings: tuple[str, ...]
    metrics: tuple[str, ...]
    bias: tuple[str, ...]
    sources: Mapping[str, SourceFile]
    counts: Mapping[str, Any]
    file: Path
    corpus: HubCorpus | None = None
    hub: HubCorpus | None = None
    texts_sha256: Mapping[str, str] = field(default_factory=dict)
    all_languages: tuple[str, ...] = ()
    judgements: Mapping[str, str] = field(default_factory=dict)
    relevant_from: float = RELEVANT_FROM
    absent: Mapping[str, str] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)
    own: OwnFiles | None = None
    standard: bool = False
    default: bool = False
    board: BoardColumns | None = None
    training_names: tuple[str, ...] = ()
    questions_of: str = ""
    domain: str | None = None
    mteb: str = ""

    @property
    def streamed(self) -> bool:
        """Whether its candidates are read shard by shard."""
        return self.corpus is not None

    @property
    def whole_data(self) -> bool:
        """Whether it has all languages of its data in the place of those that its file declares."""
        return bool(self.all_languages) and self.languages == self.all_languages

    @property
    def across_languages(self) -> bool:
        """Whether a query has gold candidates in several languages, which rank distance needs."""
        return "cross-lingual" in self.settings and "rank_distance" in self.bias

    def checksums(self, languages: Sequence[str]) -> dict[str, str]:
        """SHA-256 of each language's file, or of its texts on the hub, or of its gold pairs in a streamed task, where pinned."""
        if self.streamed or self.hub is not None:
            pinned = self.judgements if self.streamed else self.texts_sha256
            return {language: pinned[language] for language in languages if language in pinned}
        return {language: self.sources[language].sha256 for language in languages}

    @property
    def hash(self) -> str:
        """SHA-256 of everything that scores depend on: data and protocol, but not prose, metrics or facts of the board."""
        protocol: dict[str, Any] = {
            "format": FORMAT,
            "id": self.id,
            "reader": self.reader,
            "candidate_text": self.candidate_text,
            "languages": list(self.languages),
            "settings": list(self.settings),
            "sha256": self.checksums(self.languages),
            "counts": dict(self.counts),
        }
        if self.corpus is not None:
            protocol["corpus"] = asdict(self.corpus)
        if self.hub is not None:
            protocol["hub"] = asdict(self.hub)
        if self.relevant_from != RELEVANT_FROM:
            protocol["relevant_from"] = self.relevant_from
        return hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()
