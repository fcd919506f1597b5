"""Tasks: one TOML file each, read strictly."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clirbench.tasks.own_data import OwnFiles

SETTINGS = ("monolingual", "cross-lingual", "multilingual")
FORMAT = 1


@dataclass(frozen=True)
class SourceFile:
    """One file that a task reads, pinned by its SHA-256 (lower-case hexadecimal).

    It comes from ``url`` (with ``mirror``, its path below ``CLIRBENCH_MIRROR``), or lies at ``path`` in the package.
    """

    sha256: str
    url: str | None = None
    mirror: str | None = None
    path: Path | None = None

    @property
    def name(self) -> str:
        """The shortest name by which a person would know it."""
        return self.mirror or (self.path.name if self.path else str(self.url))


@dataclass(frozen=True)
class HubCorpus:
    """Where the hub holds a streamed task: a data set at an exact commit, and its split."""

    hub: str
    revision: str
    split: str


@dataclass(frozen=True)
class Task:
    """A data set with its protocol, as declared in one TOML file.

    ``gold_sha256`` pins the gold pairs of the whole task (:func:`clirbench.ranking.gold_ranks.gold_digest`); it is empty where
    nobody has published them. ``counts`` holds ``topics`` and ``gold_pairs`` (of the whole task) and, by language,
    ``queries`` and ``candidates``. ``sources`` maps a language to its file. ``absent`` says why the task lacks a setting or
    a measure that others have, ``remarks`` what a reader must know of one that it has.

    A streamed task (one with a ``corpus``) has more candidates than memory: they are read shard by shard. Its ``sources`` are
    keyed "<language>/topics" and "<language>/qrels", and ``judgements`` pins the gold pairs of a language
    (:func:`clirbench.tasks.corpora.judged.judgement_digest`). A task of one's own has its files in ``own``.
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
    judgements: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)
    own: OwnFiles | None = None

    def checksums(self, languages: Sequence[str]) -> dict[str, str]:
        """By language, the SHA-256 of its file, or of the gold pairs of a streamed task where they are pinned."""
        if self.corpus is not None:
            return {language: self.judgements[language] for language in languages if language in self.judgements}
        return {language: self.sources[language].sha256 for language in languages}

    @property
    def hash(self) -> str:
        """SHA-256 of what the scores depend on: protocol and data, not the prose and not the list of metrics."""
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
        return hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()
