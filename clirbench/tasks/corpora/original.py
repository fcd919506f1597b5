"""MIRACL's original layout: passages as gzipped JSON Lines, topics and judgements as TSV (Zhang et al. 2023).

The files lie in the folder, or in its folders ``miracl-corpus/`` and ``miracl/`` (the names of the data sets on the hub):

    miracl-corpus-v1.0-{language}/docs-{n}.jsonl.gz                                  docid, title, text
    miracl-v1.0-{language}/topics/topics.miracl-v1.0-{language}-dev.tsv              query id, query
    miracl-v1.0-{language}/qrels/qrels.miracl-v1.0-{language}-dev.tsv                query id, Q0, docid, relevance
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from clirbench.support.errors import ClirbenchError
from clirbench.support.files import reading
from clirbench.support.text_files import object_of_line, read_text, refuse_pipe, text_lines
from clirbench.tasks.corpora.base import CorpusFile, Judgement, Passage, PassageFiles, id_of, passage_text, refuse_empty
from clirbench.tasks.ids_and_grades import grade_of_text

# How messages name a file of passages.
PASSAGES = "miracl-corpus-v1.0-LANGUAGE/docs-N.jsonl.gz"


class OriginalFolder(PassageFiles):
    """A local folder in the original layout. ``split`` is the split of topics and judgements, such as "dev"."""

    layout = "original"

    def __init__(self, folder: Path, split: str) -> None:
        super().__init__()
        self.source = f"folder {folder.name}"
        self._folder, self._split = folder, split

    @staticmethod
    def fits(folder: Path) -> bool:
        """Whether a folder has this layout, for passages or for judgements."""
        patterns = "miracl-corpus-v1.0-*", "miracl-v1.0-*"
        return any(path for place in _places(folder) for pattern in patterns for path in place.glob(pattern))

    def paths(self, language: str) -> list[Path]:
        """The files of a language's corpus, by number. A missing file is a :class:`ClirbenchError`."""
        name = f"miracl-corpus-v1.0-{language}"
        numbered = {
            int(match[1]): path
            for place in _places(self._folder)
            for path in (place / name).glob("docs-*.jsonl.gz")
            if (match := re.fullmatch(r"docs-(0|[1-9][0-9]{0,8})\.jsonl\.gz", path.name))
        }
        missing = set(range(len(numbered))) - set(numbered)
        if missing:
            raise ClirbenchError(f"{self._folder}: {name}/docs-{min(missing)}.jsonl.gz is missing: download it again")
        return [numbered[number] for number in sorted(numbered)]

    def files(self, language: str) -> Sequence[CorpusFile]:
        """As :class:`clirbench.tasks.corpora.base.Candidates` has it."""
        files = [local_file(path) for path in self.paths(language)]
        refuse_empty(files, language, str(self._folder), f"miracl-corpus-v1.0-{language}/docs-0.jsonl.gz")
        return files

    def _passages(self, language: str, file: int, start: int) -> Iterator[Passage]:
        path = self.paths(language)[file]
        number = start
        try:
            for number, line in text_lines(path, start):
                place = f"{path}:{number}"
                row = object_of_line(line, place)
                yield Passage(id_of(row["docid"], place), passage_text(row["title"], row["text"], place))
        except KeyError as error:
            raise ClirbenchError(
                f"{path}:{number}: not a passage with docid, title and text (no {error}): download it again"
            ) from error
        except (OSError, EOFError, zlib.error) as error:
            raise ClirbenchError(f"{path}: cannot be read ({error}): download it again") from error

    def has_judgements(self, language: str) -> bool:
        """Whether the folder has topics and judgements of a language."""
        return all(self._tsv(language, part) is not None for part in ("topics", "qrels"))

    def topics(self, language: str) -> list[tuple[str, str]]:
        """As :class:`clirbench.tasks.corpora.base.Judgements` has it."""
        return read_topics(self._needed(language, "topics"))

    def judgements(self, language: str) -> list[Judgement]:
        """As :class:`clirbench.tasks.corpora.base.Judgements` has it."""
        return read_qrels(self._needed(language, "qrels"))

    def _needed(self, language: str, part: str) -> Path:
        path = self._tsv(language, part)
        if path is None:
            raise ClirbenchError(f"{self._folder}: has no {_tsv_name(language, part, self._split)}: add it")
        return path

    def _tsv(self, language: str, part: str) -> Path | None:
        paths = [place / _tsv_name(language, part, self._split) for place in _places(self._folder)]
        return next((path for path in paths if path.is_file()), None)


def read_topics(path: Path) -> list[tuple[str, str]]:
    """Read topics from TSV: query id, query. Any other line is a :class:`ClirbenchError`."""
    topics = []
    for number, fields in _fields(path):
        if len(fields) != 2 or not fields[0]:
            raise ClirbenchError(f"{path}:{number}: not a query id, a tab and a query: replace it with the original")
        topics.append((id_of(fields[0], f"{path}:{number}"), fields[1]))
    return topics


def read_qrels(path: Path) -> list[Judgement]:
    """Read judgements in TREC's format: query id, iteration, passage id and relevance, separated by tabs or spaces.

    Any other line is a :class:`ClirbenchError`.
    """
    judgements = []
    for number, fields in _fields(path):
        four = fields if len(fields) == 4 else " ".join(fields).split()
        relevance = grade_of_text(four[3]) if len(four) == 4 else None
        if relevance is None:
            raise ClirbenchError(
                f"{path}:{number}: not a query id, Q0, a passage id and a relevance: replace it with the original"
            )
        place = f"{path}:{number}"
        judgements.append(Judgement(id_of(four[0], place), id_of(four[2], place), relevance))
    return judgements


def _fields(path: Path) -> Iterator[tuple[int, list[str]]]:
    # Not splitlines(): Python ends a line at characters that may be part of a query in TSV.
    for number, line in enumerate(read_text(path, "replace it with the original").split("\n"), 1):
        if line:
            yield number, line.split("\t")


def local_file(path: Path) -> CorpusFile:
    """A local file. Its key holds size and times, so the key of a changed file differs.

    The second time, that of the last change of the file's record, moves even where a program sets the first one back.
    """
    refuse_pipe(path)
    with reading(path, "correct --data"):
        state = path.stat()
    return CorpusFile(path.name, f"{path.resolve()} {state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}")


def _places(folder: Path) -> tuple[Path, ...]:
    return folder, folder / "miracl-corpus", folder / "miracl"


def _tsv_name(language: str, part: str, split: str) -> str:
    return f"miracl-v1.0-{language}/{part}/{part}.miracl-v1.0-{language}-{split}.tsv"
