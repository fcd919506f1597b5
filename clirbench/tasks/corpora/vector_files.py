"""Pre-computed vectors in files, instead of texts and an encoder.

    {language}/queries*     vectors of the queries
    {language}/passages*    vectors of the candidates, in as many files as you like, in the order of their names

Each file is a ``.npy`` array (vectors, dimensions) of any float dtype, with one identifier per line in ``<same name>.ids.txt``;
or a ``.parquet`` file with a column ``id`` (or ``_id``, ``docid``) of text and a column ``vector`` (or ``embedding``, ``emb``) of
lists.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.support.errors import ClirbenchError, first_line, quoted
from clirbench.support.files import reading, sha256_of
from clirbench.support.text_files import read_text, refuse_pipe
from clirbench.tasks.corpora.base import Block, CorpusFile, id_of, refuse_empty
from clirbench.tasks.corpora.original import local_file
from clirbench.tasks.ids_and_grades import plain_identifiers

_IDS, _VECTORS = ("id", "_id", "docid"), ("vector", "embedding", "emb")


class VectorFolder:
    """A folder of vectors as :class:`clirbench.tasks.corpora.base.Candidates`."""

    layout = "vectors"

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ClirbenchError(f"--vectors is '{folder}', which is not a folder: correct it")
        self.source = f"folder {folder.name}"
        self._folder = folder
        self._opened: tuple[Path, Any, list[str]] | None = None

    def files(self, language: str) -> Sequence[CorpusFile]:
        """As :class:`clirbench.tasks.corpora.base.Candidates` has it."""
        files = [_file(path) for path in self._paths(language, "passages")]
        refuse_empty(files, language, str(self._folder), f"{language}/passages*.npy or .parquet")
        return files

    def blocks(self, language: str, file: int, size: int) -> Iterator[Block]:
        """As :class:`clirbench.tasks.corpora.base.Candidates` has it."""
        start = 0
        while (block := self.block(language, file, start, size)).ids:
            yield block
            start += len(block.ids)

    def block(self, language: str, file: int, start: int, size: int) -> Block:
        """As :class:`clirbench.tasks.corpora.base.Candidates` has it."""
        path = self._paths(language, "passages")[file]
        array, ids = self._open(path)
        stop = min(start + size, len(ids))
        vectors = np.asarray(array[start:stop]) if stop > start else np.zeros((0, 1), dtype=np.float32)
        return Block(ids[start:stop], vectors=vectors)

    def rows(self, language: str, file: int, rows: Sequence[int]) -> NDArray[np.generic]:
        """Vectors of single candidates of a file, (rows, dimensions)."""
        return np.asarray(self._open(self._paths(language, "passages")[file])[0][list(rows)])

    def queries(self, language: str) -> tuple[list[str], NDArray[np.generic]]:
        """Identifiers and vectors (queries, dimensions) of a language's queries."""
        paths = self._paths(language, "queries")
        if not paths:
            raise ClirbenchError(f"{self._folder}: has no {language}/queries*.npy or .parquet: add it")
        opened = [self._open(path) for path in paths]
        ids = [id_ for _, some in opened for id_ in some]
        twice = next((id_ for id_, number in Counter(ids).items() if number > 1), None)
        if twice is not None:
            raise ClirbenchError(f"{self._folder}: {language}/queries has query {quoted(twice)} twice: keep one vector")
        if len({array.shape[1] for array, _ in opened}) > 1:
            raise ClirbenchError(
                f"{self._folder}: the files of {language}/queries differ in dimensions: all must have the same"
            )
        return ids, np.concatenate([np.asarray(array) for array, _ in opened])

    def checksums(self, languages: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Name and SHA-256 of every file of these languages."""
        for language in languages:
            for part in ("queries", "passages"):
                for path in self._paths(language, part):
                    names = path.with_suffix(".ids.txt")
                    for file in (path, names) if path.suffix == ".npy" and names.is_file() else (path,):
                        refuse_pipe(file)
                        with reading(file, "put a file in its place"):
                            digest = sha256_of(file)
                        yield f"{language}/{file.name}", digest

    def _paths(self, language: str, part: str) -> list[Path]:
        folder = self._folder / language
        files = [path for ending in (".npy", ".parquet") for path in folder.glob(f"{part}*{ending}")]
        # Sorted by number, so that file 10 comes after file 9.
        return sorted(files, key=lambda path: [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", path.name)])

    def _open(self, path: Path) -> tuple[Any, list[str]]:
        if self._opened is None or self._opened[0] != path:
            refuse_pipe(path)
            try:
                array, ids = _npy(path) if path.suffix == ".npy" else _parquet(path)
            except (OSError, ValueError, KeyError, TypeError, EOFError, AttributeError, SyntaxError) as error:
                raise ClirbenchError(
                    f"{path}: cannot be read as vectors ({first_line(error)}): correct or remove it"
                ) from error
            if array.ndim != 2 or array.dtype.kind != "f" or len(array) != len(ids) or (ids and not array.shape[1]):
                shape = "x".join(map(str, array.shape))
                raise ClirbenchError(
                    f"{path}: holds {array.dtype} of shape {shape} for {len(ids)} identifiers: one row of floats for each"
                )
            self._opened = path, array, ids
        return self._opened[1], self._opened[2]


def _file(path: Path) -> CorpusFile:
    """A file of vectors, with the identifiers beside it."""
    file, names = local_file(path), path.with_suffix(".ids.txt")
    return CorpusFile(file.name, f"{file.key} {local_file(names).key}") if names.is_file() else file


def _npy(path: Path) -> tuple[Any, list[str]]:
    names = path.with_suffix(".ids.txt")
    if not names.is_file():
        raise ClirbenchError(f"{path}: has no {names.name} beside it: write the identifiers there, one a line")
    lines = read_text(names, "correct or remove it").rstrip("\n").split("\n")
    # The file is mapped into memory, so only the shard that is counted is read.
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError("it is an archive of several arrays")
    if plain_identifiers(lines):
        return array, lines
    return array, [id_of(line, f"{names}:{number}") for number, line in enumerate(lines, 1)]


def _parquet(path: Path) -> tuple[Any, list[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        known = pq.read_schema(path).names
        names = [next((n for n in choices if n in known), None) for choices in (_IDS, _VECTORS)]
        if None in names:
            raise ClirbenchError(f"{path}: has columns {', '.join(known)[:200]}, but needs id and vector")
        table = pq.read_table(path, columns=names, page_checksum_verification=True)
        ids = [id_of(value, f"{path}, row {row:,}") for row, value in enumerate(table.column(names[0]).to_pylist(), 1)]
        column = table.column(names[1]).combine_chunks()
        lengths = set(column.value_lengths().to_pylist()) if hasattr(column, "value_lengths") else {0}
        if pa.types.is_fixed_size_list(column.type):
            lengths = {column.type.list_size} if not column.null_count else {None}
        if ids and (len(lengths) != 1 or lengths & {None, 0}):
            raise ValueError("its lists differ in length, or are missing")
        flat = column.flatten().to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    return flat.reshape(len(ids), -1) if ids else flat.reshape(0, 1), ids
