"""mteb's layout, on the hub or in a local folder: ``{language}-corpus``, ``{language}-queries`` and ``{language}-qrels``.

A local folder is a snapshot of the data set (its README.md declares the configurations), or holds folders of these names with
Parquet or JSON Lines files. Both are streamed by ``datasets``, never loaded as a whole.
"""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from clirbench.support.errors import ClirbenchError, first_line
from clirbench.support.text_files import text_lines
from clirbench.tasks.corpora.base import CorpusFile, Judgement, Passage, PassageFiles, id_of, passage_text, refuse_empty
from clirbench.tasks.corpora.original import local_file
from clirbench.tasks.ids_and_grades import grade
from clirbench.tasks.task import HubCorpus

_ENDINGS = {".parquet": "parquet", ".jsonl": "json", ".jsonl.gz": "json", ".json.gz": "json"}
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
        config = f"{language}-queries"
        return [(_id(row, config), str(_of(row, config, "text"))) for row in self._rows(config)]

    def judgements(self, language: str) -> list[Judgement]:
        """As :class:`clirbench.tasks.corpora.base.Judgements` has it."""
        config = f"{language}-qrels"
        return [
            Judgement(_id(row, config, "query-id"), _id(row, config, "corpus-id"), _relevance(row, config))
            for row in self._rows(config)
        ]

    def _passages(self, language: str, file: int, start: int) -> Iterator[Passage]:
        config = f"{language}-corpus"
        for row in islice(self._rows(config, file), start, None):
            yield Passage(_id(row, config), passage_text(row.get("title"), _of(row, config, "text")))

    def _rows(self, config: str, file: int | None = None) -> Iterator[dict[str, Any]]:
        local = self._folder is not None and file is not None
        stream = self._local(config, file) if local else self._stream(config)
        if not local and file is not None:
            stream = stream.shard(num_shards=stream.num_shards, index=file)
        try:
            for batch in stream.with_format("arrow").iter(batch_size=_ROWS):
                yield from batch.to_pylist()
        except Exception as error:
            raise self._unreadable(config, error) from error

    def _stream(self, config: str) -> Any:
        if config not in self._streams:
            corpus = self._corpus
            self._streams[config] = (
                self._local(config, None)
                if self._folder is not None
                else self._load(config, corpus.hub, config, split=corpus.split, revision=corpus.revision)
            )
        return self._streams[config]

    def _load(self, config: str, *where: str, **options: Any) -> Any:
        import datasets

        datasets.disable_progress_bars()
        try:
            return datasets.load_dataset(*where, streaming=True, **options)
        # The hub's client, fsspec and datasets raise dozens of types of errors when the data cannot be reached.
        except Exception as error:
            raise self._unreadable(config, error) from error

    def _local(self, config: str, file: int | None) -> Any:
        paths = self._paths(config)
        if not paths:
            raise ClirbenchError(f"{self._folder}: has no {config} (Parquet or JSON Lines): add it")
        chosen = paths if file is None else [paths[file]]
        kind = next((kind for ending, kind in _ENDINGS.items() if chosen[0].name.endswith(ending)), None)
        if kind is None:
            raise ClirbenchError(f"{chosen[0]}: is neither Parquet nor JSON Lines: convert it")
        for path in chosen if kind == "json" else ():
            # The library reads marks and CRLF, but does not name an encoding that it cannot read. It does name damaged gzip.
            with suppress(OSError, EOFError, zlib.error):
                next(text_lines(path), None)
        return self._load(config, kind, data_files=list(map(str, chosen)), split="train")

    def _paths(self, config: str) -> list[Path]:
        """The local files of a configuration: declared by the snapshot's README.md, or in the folder of its name."""
        assert self._folder is not None  # noqa: S101
        patterns = self._patterns(config) or [
            f"{name}/*{ending}" for name in (config, config.replace("-", "/", 1)) for ending in _ENDINGS
        ]
        paths = sorted({path for pattern in patterns for path in self._folder.glob(pattern)})
        split = [path for path in paths if path.name.startswith(self._corpus.split)]
        return split or paths

    def _patterns(self, config: str) -> list[str]:
        assert self._folder is not None  # noqa: S101
        for declared in _declared(self._folder):
            if declared.get("config_name") == config:
                files = declared.get("data_files") or []
                files = [files] if isinstance(files, str | dict) else files
                split = self._corpus.split
                entries = [one if isinstance(one, dict) else {"split": split, "path": one} for one in files]
                chosen = [entry.get("path") for entry in entries if entry.get("split", split) == split]
                listed = [path for paths in chosen for path in (paths if isinstance(paths, list) else [paths])]
                return [path for path in listed if isinstance(path, str) and path and not path.startswith("/")]
        return []

    def _unreadable(self, config: str, error: Exception) -> ClirbenchError:
        line = first_line(error)
        if self._folder is not None:
            return ClirbenchError(f"{self._folder}: {config} cannot be read ({line}): download it again")
        return ClirbenchError(
            f"cannot read {config} of {self.source} ({line}): check the network, or pass --data FOLDER with a copy"
        )


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
    configs = (metadata.get("configs") if isinstance(metadata, dict) else None) or []
    return [config for config in configs if isinstance(config, dict)]


def _id(row: dict[str, Any], config: str, *names: str) -> str:
    return id_of(_of(row, config, *(names or ("_id", "id"))), config)


def _relevance(row: dict[str, Any], config: str) -> float:
    score = _of(row, config, "score")
    relevance = grade(score)
    if relevance is None:
        raise ClirbenchError(f"{config}: score {str(score)[:40]!r} is no number: correct it")
    return relevance


def _of(row: dict[str, Any], config: str, *names: str) -> Any:
    for name in names:
        if row.get(name) is not None:
            return row[name]
    raise ClirbenchError(f"{config}: a row has no {' or '.join(names)}: it is not in mteb's layout")
