"""mteb's layout, on the hub or in a local folder: ``{language}-corpus``, ``{language}-queries`` and ``{language}-qrels``."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from clirbench.support.errors import ClirbenchError, shortened
from clirbench.tasks.corpora.base import (
    CorpusFile,
    Judgement,
    Passage,
    PassageFiles,
    id_of,
    passage_text,
    refuse_empty,
    text_of,
)
from clirbench.tasks.corpora.configurations import Configurations, declared_configurations, value_of
from clirbench.tasks.corpora.original import local_file
from clirbench.tasks.ids_and_grades import grade
from clirbench.tasks.task import HubCorpus

PARTS = ("corpus", "queries", "qrels")
_COLUMNS = ("_id", "id", "title", "text", "query-id", "corpus-id", "score")


class MtebLayout(PassageFiles):
    """A data set in mteb's retrieval layout: on the hub, or in a local folder with a copy of it."""

    layout = "mteb"

    def __init__(self, corpus: HubCorpus, folder: Path | None = None) -> None:
        super().__init__()
        self._data = Configurations(corpus, _COLUMNS, folder)
        self.source = self._data.source

    @staticmethod
    def fits(folder: Path) -> bool:
        """Whether a local folder has this layout."""
        if any(True for pattern in ("*-queries/*", "*-corpus/*") for _ in folder.glob(pattern)):
            return True
        declared = declared_configurations(folder)
        return any(str(config.get("config_name", "")).endswith(("-corpus", "-queries")) for config in declared)

    def files(self, language: str) -> Sequence[CorpusFile]:
        """As :class:`clirbench.tasks.corpora.base.Candidates` has it."""
        config = f"{language}-corpus"
        if self._data.folder is not None:
            files = [local_file(path) for path in self._data.paths(config)]
            refuse_empty(files, language, str(self._data.folder), f"{config}/*.parquet")
            return files
        number = self._data.number_of_files(config)
        return [CorpusFile(f"{config} {i}", f"{self.source} {config} {i} of {number}") for i in range(number)]

    def topics(self, language: str) -> list[tuple[str, str]]:
        """As :class:`clirbench.tasks.corpora.base.Judgements` has it."""
        return [
            (_id(row, place), text_of(row.get("text"), "text", place))
            for place, row in self._data.rows(f"{language}-queries")
        ]

    def judgements(self, language: str) -> list[Judgement]:
        """As :class:`clirbench.tasks.corpora.base.Judgements` has it."""
        return [
            Judgement(_id(row, place, "query-id"), _id(row, place, "corpus-id"), _relevance(row, place))
            for place, row in self._data.rows(f"{language}-qrels")
        ]

    def passages(self, language: str) -> Iterator[Passage]:
        """All passages of a language, file by file."""
        return self._passages(language, None, 0)

    def _passages(self, language: str, file: int | None, start: int) -> Iterator[Passage]:
        for place, row in islice(self._data.rows(f"{language}-corpus", file), start, None):
            yield Passage(_id(row, place), passage_text(row.get("title"), row.get("text"), place))


def _id(row: dict[str, Any], place: str, *names: str) -> str:
    return id_of(value_of(row, place, *(names or ("_id", "id"))), place)


def _relevance(row: dict[str, Any], place: str) -> float:
    score = value_of(row, place, "score")
    relevance = grade(score)
    if relevance is None:
        raise ClirbenchError(f"{place}: score {shortened(f'{score!a}', 40)} is no number: correct it")
    return relevance
