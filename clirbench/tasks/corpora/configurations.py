"""The rows of a data set's configurations, on the hub or in a local folder.

A local folder is a snapshot of the data set (its README.md declares the configurations), or holds folders of their names with
Parquet or JSON Lines files. The hub's files are streamed by ``datasets``; none is loaded as a whole.
"""

import re
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from clirbench.support.errors import ClirbenchError, first_line, quoted, shortened
from clirbench.support.text_files import object_of_line, refuse_pipe, text_lines
from clirbench.tasks.task import HubCorpus

_ENDINGS = (".parquet", ".jsonl", ".jsonl.gz", ".json.gz")
_ROWS = 1000
# How the name of a file begins that is of one split.
_SPLIT = re.compile(r"(train|test|dev|validation)[-_.]")
# Configurations that may have one split alone, whatever its name.
_ONE_SPLIT = ("-corpus", "-queries")


class Configurations:
    """The configurations of a data set: on the hub, or in a local folder with a copy of it.

    Attributes:
        source: The folder, or the data set with its commit, for results and messages.
        folder: The local folder; None for the hub.
    """

    def __init__(self, corpus: HubCorpus, columns: Collection[str], folder: Path | None = None) -> None:
        self.source = f"folder {folder.name}" if folder else hub_name(corpus)
        self.folder = folder
        self._corpus, self._columns = corpus, columns
        self._streams: dict[str, Any] = {}

    def rows(self, config: str, file: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """The rows of a configuration, or of one of its files, each with its place for messages.

        Raises:
            ClirbenchError: The configuration is not there, or cannot be read.
        """
        if self.folder is not None:
            paths = self.paths(config)
            if not paths:
                raise ClirbenchError(f"{self.folder}: has no {config} (Parquet or JSON Lines): add it")
            for path in paths if file is None else [paths[file]]:
                yield from _rows_of(path, self._columns)
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

    def number_of_files(self, config: str) -> int:
        """The number of files of a configuration."""
        return len(self.paths(config)) if self.folder is not None else int(self._stream(config).num_shards)

    def paths(self, config: str) -> list[Path]:
        """The local files of a configuration: declared by the snapshot's README.md, or in the folder of its name."""
        assert self.folder is not None  # noqa: S101
        patterns = self.patterns(config)
        try:
            paths = sorted({path for pattern in patterns for path in self.folder.glob(pattern)})
        except (ValueError, NotImplementedError) as error:
            raise ClirbenchError(
                f"{self.folder / 'README.md'}: names the files of {config} by {quoted(str(patterns[0]))}, which is no pattern "
                f"({first_line(error)}): correct it"
            ) from error
        split = [path for path in paths if path.name.startswith(self._corpus.split)]
        if not split:
            self._refuse_other(config, {found[1] for path in paths if (found := _SPLIT.match(path.name))}, self.folder)
        return split or paths

    def patterns(self, config: str) -> list[str]:
        """The patterns of a configuration's files, below the local folder: as declared, or by its name.

        Queries and passages may be in one split of another name, as in mteb. Judgements may not: they say what is tested.
        """
        return self._declared_patterns(config) or [
            f"{name}/*{ending}" for name in (config, config.replace("-", "/", 1)) for ending in _ENDINGS
        ]

    def _declared_patterns(self, config: str) -> list[str]:
        assert self.folder is not None  # noqa: S101
        for declared in declared_configurations(self.folder):
            if declared.get("config_name") == config:
                files, split = declared.get("data_files") or [], self._corpus.split
                entries = [
                    one if isinstance(one, dict) else {"path": one}
                    for one in (files if isinstance(files, list) else [files])
                ]
                splits = {str(entry.get("split", split)) for entry in entries}
                if split not in splits:
                    self._refuse_other(config, splits, self.folder / "README.md")
                    split = next(iter(splits), split)
                chosen = [entry.get("path") for entry in entries if entry.get("split", split) == split]
                paths: list[str] = []
                for path in [
                    one for several in chosen for one in (several if isinstance(several, list) else [several])
                ]:
                    if not isinstance(path, str) or not path or path.startswith("/") or ".." in Path(path).parts:
                        raise ClirbenchError(
                            f"{self.folder / 'README.md'}: names the files of {config} by {shortened(f'{path!a}', 40)}, which "
                            "is no path in its folder: correct it"
                        )
                    paths.append(path)
                return paths
        return []

    def _refuse_other(self, config: str, splits: Collection[str], place: Path) -> None:
        """Refuse a configuration whose files are of other splits than the task's."""
        if len(splits) > 1 or (splits and not config.endswith(_ONE_SPLIT)):
            raise ClirbenchError(
                f"{place}: {config} has no split {quoted(self._corpus.split)}, only {', '.join(map(quoted, sorted(splits)))}: "
                "correct the split, or add its files"
            )

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

    def _unreadable(self, config: str, error: Exception) -> ClirbenchError:
        return ClirbenchError(
            f"cannot read {config} of {self.source} ({first_line(error)}): check the network, or pass --data FOLDER with a copy"
        )


def value_of(row: dict[str, Any], place: str, *names: str) -> Any:
    """The first value of a row that is there under one of these names.

    Raises:
        ClirbenchError: There is none. The message begins with ``place``.
    """
    for name in names:
        if row.get(name) is not None:
            return row[name]
    raise ClirbenchError(f"{place}: a row has no {' or '.join(names)}: the data set has another layout")


def hub_name(corpus: HubCorpus) -> str:
    """A data set of the hub with its commit, for results and messages."""
    return f"{corpus.hub}@{corpus.revision}"


def configuration_names(folder: Path) -> list[str]:
    """The configurations that a local folder has: declared by its README.md, or else its folders. In the order of the names."""
    declared = [str(one.get("config_name", "")) for one in declared_configurations(folder)]
    return sorted(declared or [path.name for path in folder.iterdir() if path.is_dir()])


def declared_configurations(folder: Path) -> list[dict[str, Any]]:
    """The configurations that a snapshot's README.md declares; none if there is no README.md."""
    configs = readme_metadata(folder).get("configs")
    if not isinstance(configs, list):
        return []
    return [config for config in configs if isinstance(config, dict)]


def readme_metadata(folder: Path) -> dict[str, Any]:
    """What the head of a snapshot's README.md says, such as its licence; empty if there is no README.md.

    Raises:
        ClirbenchError: The head cannot be read.
    """
    from huggingface_hub import metadata_load

    readme = folder / "README.md"
    try:
        metadata: Any = metadata_load(readme) if readme.is_file() else None
    # The parser raises ValueError, and errors of the YAML library too.
    except Exception as error:
        raise ClirbenchError(
            f"{readme}: its metadata cannot be read ({first_line(error)}): download it again"
        ) from error
    return metadata if isinstance(metadata, dict) else {}


def _rows_of(path: Path, columns: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a local file of Parquet or JSON Lines, each with its place for messages. Parquet is read in some columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    refuse_pipe(path)
    if not path.name.endswith(_ENDINGS):
        raise ClirbenchError(f"{path}: is neither Parquet nor JSON Lines: convert it")
    try:
        if path.name.endswith(".parquet"):
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                known = [name for name in file.schema_arrow.names if name in columns]
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
