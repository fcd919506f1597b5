"""mteb's layout, on the hub or in a local folder: ``{language}-corpus``, ``{language}-queries`` and ``{language}-qrels``.

A local folder is a snapshot of the data set (its README.md declares the configurations), or holds folders of these names with
Parquet or JSON Lines files. The hub's files are streamed by ``datasets``; none is loaded as a whole.
"""

import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from clirbench.support.errors import ClirbenchError, first_line, quoted, shortened
from clirbench.support.text_files import object_of_line, refuse_pipe, text_lines
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
from clirbench.tasks.corpora.original import local_file
from clirbench.tasks.ids_and_grades import grade
from clirbench.tasks.task import HubCorpus

_ENDINGS = (".parquet", ".jsonl", ".jsonl.gz", ".json.gz")
_COLUMNS = ("_id", "id", "title", "text", "query-id", "corpus-id", "score")
_ROWS = 1000


class MtebLayout(PassageFiles):
    """A data set in mteb's retrieval layout: on the hub, or in a local folder with a copy of it."""

    layout = "mteb"

    def __init__(self, corpus: HubCorpus, folder: Path | None = None) -> None:
        super().__init__()
        self._corpus, self._folder = corpus, folder
        self.source = f"folder {folder.name}" if folder else f"{corpus.hub}@{corpus.revision}"
        self._streams: dict[str, Any] = {}

    @staticmethod
    def fits(folder: Path) -> bool:
        """Whether a local folder has this layout."""
        if any(True for pattern in ("*-queries/*", "*-corpus/*") for _ in folder.glob(pattern)):
            return True
        return any(str(config.get("config_name", "")).endswith(("-corpus", "-queries")) for config in _declared(folder))

    def files(self, language: str) -> Sequence[CorpusFile]:
        """As :class:`clirbench.tasks.corpora.base.Candidates` has it."""
        config = f"{language}-corpus"
        if self._folder is not None:
            files = [local_file(path) for path in self._paths(config)]
            refuse_empty(files, language, str(self._folder), f"{config}/*.parquet")
            return files
        number = self._stream(config).num_shards
        return [CorpusFile(f"{config} {i}", f"{self.source} {config} {i} of {number}") for i in range(number)]

    def topics(self, language: str) -> list[tuple[str, str]]:
        """As :class:`clirbench.tasks.corpora.base.Judgements` has it."""
        return [
            (_id(row, place), text_of(row.get("text"), "text", place))
            for place, row in self._rows(f"{language}-queries")
        ]

    def judgements(self, language: str) -> list[Judgement]:
        """As :class:`clirbench.tasks.corpora.base.Judgements` has it."""
        return [
            Judgement(_id(row, place, "query-id"), _id(row, place, "corpus-id"), _relevance(row, place))
            for place, row in self._rows(f"{language}-qrels")
        ]

    def _passages(self, language: str, file: int, start: int) -> Iterator[Passage]:
        for place, row in islice(self._rows(f"{language}-corpus", file), start, None):
            yield Passage(_id(row, place), passage_text(row.get("title"), row.get("text"), place))

    def _rows(self, config: str, file: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """The rows of a configuration, or of one of its files, each with its place for messages."""
        if self._folder is not None:
            paths = self._paths(config)
            if not paths:
                raise ClirbenchError(f"{self._folder}: has no {config} (Parquet or JSON Lines): add it")
            for path in paths if file is None else [paths[file]]:
                yield from _rows_of(path)
            return
        stream = self._stream(config)
        if file is not None:
            stream = stream.shard(num_shards=stream.num_shards, index=file)
        try:
            batches = stream.with_format("arrow").iter(batch_size=_ROWS)
            for number, row in enumerate((row for batch in batches for row in batch.to_pylist()), 1):
                yield f"{config} of {self.source}, row {number:,}", row
        except Exception as error:
            raise self._unreadable(config, error) from error

    def _stream(self, config: str) -> Any:
        if config not in self._streams:
            import datasets

            datasets.disable_progress_bars()
            corpus = self._corpus
            try:
                self._streams[config] = datasets.load_dataset(
                    corpus.hub, config, split=corpus.split, revision=corpus.revision, streaming=True
                )
            # The hub's client, fsspec and datasets raise dozens of types of errors when the data cannot be reached.
            except Exception as error:
                raise self._unreadable(config, error) from error
        return self._streams[config]

    def _paths(self, config: str) -> list[Path]:
        """The local files of a configuration: declared by the snapshot's README.md, or in the folder of its name."""
        assert self._folder is not None  # noqa: S101
        patterns = self._patterns(config) or [
            f"{name}/*{ending}" for name in (config, config.replace("-", "/", 1)) for ending in _ENDINGS
        ]
        try:
            paths = sorted({path for pattern in patterns for path in self._folder.glob(pattern)})
        except (ValueError, NotImplementedError) as error:
            raise ClirbenchError(
                f"{self._folder / 'README.md'}: names the files of {config} by {quoted(str(patterns[0]))}, which is no pattern "
                f"({first_line(error)}): correct it"
            ) from error
        split = [path for path in paths if path.name.startswith(self._corpus.split)]
        return split or paths

    def _patterns(self, config: str) -> list[str]:
        assert self._folder is not None  # noqa: S101
        for declared in _declared(self._folder):
            if declared.get("config_name") == config:
                files, split = declared.get("data_files") or [], self._corpus.split
                entries = [
                    one if isinstance(one, dict) else {"path": one}
                    for one in (files if isinstance(files, list) else [files])
                ]
                chosen = [entry.get("path") for entry in entries if entry.get("split", split) == split]
                paths: list[str] = []
                for path in [
                    one for several in chosen for one in (several if isinstance(several, list) else [several])
                ]:
                    if not isinstance(path, str) or not path or path.startswith("/") or ".." in Path(path).parts:
                        raise ClirbenchError(
                            f"{self._folder / 'README.md'}: names the files of {config} by {shortened(f'{path!a}', 40)}, which "
                            "is no path in its folder: correct it"
                        )
                    paths.append(path)
                return paths
        return []

    def _unreadable(self, config: str, error: Exception) -> ClirbenchError:
        return ClirbenchError(
            f"cannot read {config} of {self.source} ({first_line(error)}): check the network, or pass --data FOLDER with a copy"
        )


def _rows_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a local file of Parquet or JSON Lines, each with its place for messages."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    refuse_pipe(path)
    if not path.name.endswith(_ENDINGS):
        raise ClirbenchError(f"{path}: is neither Parquet nor JSON Lines: convert it")
    try:
        if path.name.endswith(".parquet"):
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                known = [name for name in file.schema_arrow.names if name in _COLUMNS]
                if len(set(known)) < len(known):
                    raise ClirbenchError(f"{path}: a column stands twice ({', '.join(known)}): remove one of the two")
                rows = (row for batch in file.iter_batches(_ROWS, columns=known) for row in batch.to_pylist())
                for number, row in enumerate(rows, 1):
                    yield f"{path}, row {number:,}", row
            return
        for number, line in text_lines(path):
            if line.strip():
                yield f"{path}:{number}", object_of_line(line, f"{path}:{number}")
    except (OSError, EOFError, ValueError, zlib.error, pa.ArrowException) as error:
        raise ClirbenchError(f"{path}: cannot be read ({first_line(error)}): download it again") from error


def _declared(folder: Path) -> list[dict[str, Any]]:
    """The configurations that a snapshot's README.md declares; none if there is no README.md."""
    from huggingface_hub import metadata_load

    readme = folder / "README.md"
    try:
        metadata: Any = metadata_load(readme) if readme.is_file() else None
    # The parser raises ValueError, and errors of the YAML library too.
    except Exception as error:
        raise ClirbenchError(
            f"{readme}: its metadata cannot be read ({first_line(error)}): download it again"
        ) from error
    configs = metadata.get("configs") if isinstance(metadata, dict) else None
    if not isinstance(configs, list):
        return []
    return [config for config in configs if isinstance(config, dict)]


def _id(row: dict[str, Any], place: str, *names: str) -> str:
    return id_of(_of(row, place, *(names or ("_id", "id"))), place)


def _relevance(row: dict[str, Any], place: str) -> float:
    score = _of(row, place, "score")
    relevance = grade(score)
    if relevance is None:
        raise ClirbenchError(f"{place}: score {shortened(f'{score!a}', 40)} is no number: correct it")
    return relevance


def _of(row: dict[str, Any], place: str, *names: str) -> Any:
    for name in names:
        if row.get(name) is not None:
            return row[name]
    raise ClirbenchError(f"{place}: a row has no {' or '.join(names)}: it is not in mteb's layout")
