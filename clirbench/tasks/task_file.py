"""Task files: their keys, and the lists of tasks (all, on the board, by default)."""

import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError

from clirbench.support.errors import ClirbenchError, printable, wrong_value
from clirbench.support.paths import tasks_dir
from clirbench.support.text_files import read_text
from clirbench.tasks.ids_and_grades import RELEVANT_FROM
from clirbench.tasks.own_data import METRICS, READER, read_facts
from clirbench.tasks.selection import task_with
from clirbench.tasks.task import FORMAT, BoardColumns, HubCorpus, OwnFiles, SourceFile, Task


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("must list distinct names")
    return names


Text = Annotated[str, Field(min_length=1)]
# A TOML array becomes a tuple, because a task is frozen. Nothing else is converted.
Names = Annotated[tuple[Text, ...], Strict(False), Field(min_length=1), AfterValidator(_distinct)]
Count = Annotated[int, Field(ge=0)]
Grade = Annotated[float, Field(allow_inf_nan=False)]
Setting = Literal["monolingual", "cross-lingual", "multilingual"]
# What texts are about, in mteb's terms and in lower case, so that a misspelt one does not make a domain of its own in the mean.
# mteb's "written" and "spoken" are left out: they say how a text comes, and nearly every task would have the same.
Domain = Literal[
    "academic", "blog", "chemistry", "constructed", "e-commerce", "encyclopaedic", "engineering", "entertainment",
    "fiction", "financial", "government", "legal", "medical", "news", "non-fiction", "poetry", "programming",
    "religious", "reviews", "social", "sport", "subtitles", "web",
]  # fmt: skip
Settings = Annotated[tuple[Setting, ...], Strict(False), Field(min_length=1), AfterValidator(_distinct)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class _Board(_Table):
    order: Annotated[int, Field(ge=1)]
    headline: Names
    main: Text
    mean: bool = False


class _Counts(_Table):
    topics: Count
    gold_pairs: Count
    queries: dict[str, Count]
    candidates: dict[str, Count]


class _Source(_Table):
    """Files beside the task file (``path``) or on the web (``url``, with ``mirror``, their path below a mirror)."""

    path: Text | None = None
    url: Text | None = None
    mirror: Text | None = None
    sha256: dict[str, Text]


class _Judged(_Table):
    topics: _Source
    qrels: _Source


class _Hub(_Table):
    hub: Text
    revision: Text
    split: Text


class _HubSource(_Hub):
    """A parallel data set on the hub, at the commit ``revision``."""

    revision: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
    sha256: Annotated[dict[str, Text], Field(description="By language, over the texts as they are read.")] = {}


class _File(_Table):
    format: int
    id: Text
    name: Text
    description: Text
    licence: Text
    reader: Text
    languages: Names


class _OwnFile(_File):
    queries: Text
    candidates: Text
    relevant_from: Grade = RELEVANT_FROM
    homepage: Text = ""
    citation: Text = ""
    # Not Settings: the settings that the data allow are known only once the data are read.
    settings: Names | None = None
    metrics: Names = METRICS
    bias: Names | None = None


class _ShippedFile(_File):
    homepage: Text
    citation: Text
    settings: Settings
    metrics: Names
    bias: Names
    counts: _Counts
    absent: dict[str, Text] = {}
    remarks: dict[str, Text] = {}
    standard: bool = False
    default: bool = False
    board: _Board | None = None
    training_names: Names = ()
    questions_of: Text = ""
    domain: Domain | None = None
    mteb: Text = ""


class _ParallelFile(_ShippedFile):
    candidate_text: Literal["sentence"]
    gold_sha256: Text
    source: _Source


class _ParallelHubFile(_ShippedFile):
    candidate_text: Literal["passage"]
    # The commit pins what is read, so the checksums are optional.
    gold_sha256: Text = ""
    source: _HubSource
    all_languages: Names = ()


class _StreamedFile(_ShippedFile):
    reader: Literal["miracl"]
    candidate_text: Literal["passage"]
    corpus: _Hub
    # The corpus pins what a streamed task reads, so these keys are optional.
    gold_sha256: Text = ""
    source: _Judged | None = None
    judgements: dict[str, Text] = {}
    relevant_from: Grade = RELEVANT_FROM


def list_tasks() -> list[str]:
    """Identifiers of the shipped tasks (or those in ``CLIRBENCH_TASKS``), sorted."""
    return sorted(path.stem for path in tasks_dir().glob("*.toml"))


def load_task(name: str) -> Task:
    """Read a shipped task by its identifier, or any task by the path of its TOML file.

    Raises:
        ClirbenchError: There is no such task, or its file has an unknown, missing or wrong key.
    """
    path = Path(name) if name.endswith(".toml") else tasks_dir() / f"{name}.toml"
    try:
        status = path.stat()
    except (OSError, ValueError):
        status = None
    known = status is not None and stat.S_ISREG(status.st_mode)
    if not known and name.endswith(".toml"):
        raise ClirbenchError(f"no file '{printable(name[:200])}' here: {_meant(path)}")
    if status is None or not known:
        raise ClirbenchError(f"no task '{name[:80]}': the tasks are {', '.join(list_tasks())}")
    loaded = _loaded(path, (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino))
    # The texts of a user's task may change while its file stays.
    return _own_task(loaded, path) if isinstance(loaded, _OwnFile) else loaded


# Cached, because a check asks for its tasks again and again. A changed file is read again.
@lru_cache(maxsize=32)
def _loaded(path: Path, _state: tuple[int, ...]) -> Task | _OwnFile:
    try:
        raw = tomllib.loads(read_text(path, "check its permissions"))
    except tomllib.TOMLDecodeError as error:
        raise ClirbenchError(f"{path}: not valid TOML ({error}): correct the file") from error
    try:
        file = _kind(raw).model_validate(raw)
    except ValidationError as error:
        raise _refusal(path, error) from error
    if file.format != FORMAT:
        raise ClirbenchError(f"{path}: format {file.format} is not {FORMAT}: upgrade clirbench or the file")
    if file.id != path.stem:
        raise ClirbenchError(f"{path}: 'id' is '{file.id}' but the file is named '{path.stem}': make them equal")
    for key, names in (("languages", file.languages), ("id", [file.id])):
        for one in names:
            # Result files have these names in theirs.
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}", one):
                raise ClirbenchError(f"{path}: '{key}' has {one!a}: use letters, digits, '.', '-' and '_'")
    return file if isinstance(file, _OwnFile) else _shipped_task(file, path)


def _kind(raw: Mapping[str, Any]) -> type[_OwnFile | _ParallelFile | _ParallelHubFile | _StreamedFile]:
    if raw.get("reader") == READER:
        return _OwnFile
    if "corpus" in raw:
        return _StreamedFile
    source = raw.get("source")
    return _ParallelHubFile if isinstance(source, Mapping) and "hub" in source else _ParallelFile


def _meant(path: Path) -> str:
    """What to do where a task file is not there: its name is misspelt, or its folder is left out."""
    try:
        beside = sorted(path.parent.glob("*.toml")) + sorted(path.parent.glob("*/*.toml"))
    except (OSError, ValueError):
        beside = []
    names = {one.name: one for one in reversed(beside)}
    near = get_close_matches(path.name, names, n=1)
    return f"did you mean {printable(str(names[near[0]]))}?" if near else "correct the path of the TOML file in --tasks"


def stated_task(task_id: str, task_hash: str, path: str | None = None) -> Task:
    """The task that a result states; ``path`` is the TOML file of a user's own task, or None.

    Raises:
        ClirbenchError: The task does not exist, or has changed since.
    """
    if path is None and task_id not in list_tasks():
        raise ClirbenchError(
            f"'{task_id}' is a task of your own, whose texts are not in the result: pass its TOML file as --task"
        )
    task = task_with(load_task(path or task_id), task_hash)
    if (task.id, task.hash) != (task_id, task_hash):
        raise ClirbenchError(
            f"{task.file}: is not the task that the result is of, or its data have changed: run it again"
        )
    return task


def board_tasks() -> dict[str, Task]:
    """The tasks of the board, by identifier, in the board's order.

    Raises:
        ClirbenchError: A task file is wrong, two tasks claim one place, or main numbers of two kinds would be averaged.
    """
    return {task.id: task for task in _tasks() if task.board}


def is_on_board(name: str) -> bool:
    """Whether a task is one of the board's; other task files are not read, so that a wrong one among them does no harm here."""
    return name in list_tasks() and load_task(name).board is not None


def board_columns(name: str) -> BoardColumns:
    """The columns of a task on the board. A task that is not on the board is a :class:`ClirbenchError`."""
    task = board_tasks().get(name)
    if task is None or task.board is None:
        raise ClirbenchError(f"'{name[:40]}' is not on the board: use {', '.join(board_tasks())}")
    return task.board


def averaged_tasks() -> dict[str, str]:
    """The domain of each task whose main number enters the mean, by task, in the board's order."""
    return {task.id: task.domain for task in _tasks() if task.board and task.board.mean and task.domain}


def default_task() -> str:
    """The task to run when neither a model nor a task is named: the only one with ``default = true``."""
    names = []
    for name in list_tasks():
        # A wrong file among the others does no harm here.
        with suppress(ClirbenchError):
            names += [name] if load_task(name).default else []
    if len(names) != 1:
        raise ClirbenchError(
            f"{tasks_dir()}: {', '.join(names) or 'no task'} says 'default = true': one must, or name a task"
        )
    return names[0]


def standard_suite() -> list[str]:
    """The tasks to run when a model is named but no task: those with ``standard = true``, in the board's order; at least one."""
    names = [task.id for task in _tasks() if task.standard]
    if not names:
        raise ClirbenchError(f"{tasks_dir()}: no task says 'standard = true': say it of one, or name a task")
    return names


def first_on_board(*, streamed: bool) -> str:
    """The first task of the board that is (or is not) streamed. If there is none, a :class:`ClirbenchError`."""
    for name, task in board_tasks().items():
        if task.streamed is streamed:
            return name
    raise ClirbenchError(
        f"{tasks_dir()}: no {'streamed task' if streamed else 'task in memory'} has a [board]: name a task"
    )


def _tasks() -> list[Task]:
    """All tasks of the folder: those of the board in its order, then the others."""
    if (settled := _SETTLED.get()) is not None:
        return settled
    folder = tasks_dir()
    # A page asks thousands of times, and pathlib takes four times as long.
    with os.scandir(folder) as listed:
        files = sorted((one.path, one.stat().st_mtime_ns) for one in listed if one.name.endswith(".toml"))
    if not files:
        raise ClirbenchError(f"{folder}: holds no task file: put one there, or correct CLIRBENCH_TASKS")
    return _read_tasks(tuple(files))


_SETTLED: ContextVar[list[Task] | None] = ContextVar("settled", default=None)


@contextmanager
def settled_tasks() -> Iterator[None]:
    """Within it, the tasks are those of its beginning. A board asks for them so often that looking for changed files takes long.

    Raises:
        ClirbenchError: As :func:`board_tasks`.
    """
    token = _SETTLED.set(_tasks())
    try:
        yield
    finally:
        _SETTLED.reset(token)


# Cached, because a page asks thousands of times. A changed file is read again.
@lru_cache(maxsize=2)
def _read_tasks(files: tuple[tuple[str, int], ...]) -> list[Task]:
    tasks = [load_task(path) for path, _ in files]
    tasks.sort(key=lambda task: (task.board is None, task.board.order if task.board else 0, task.id))
    of_place: dict[int, Task] = {}
    averaged: list[tuple[BoardColumns, Task]] = []
    for task in tasks:
        if task.board is None:
            continue
        other = of_place.setdefault(task.board.order, task)
        if other is not task:
            raise ClirbenchError(
                f"{task.file}: 'board.order' is {task.board.order}, which {other.id} has: choose another"
            )
        if task.questions_of and not any(x.board and x.id == task.questions_of != task.id for x in tasks):
            raise ClirbenchError(
                f"{task.file}: 'questions_of' is '{task.questions_of}': name another task of the board"
            )
        averaged += [(task.board, task)] if task.board.mean else []
    for board, task in averaged:
        if board.main != averaged[0][0].main:
            raise ClirbenchError(
                f"{task.file}: 'board.main' is not that of {averaged[0][1].id}, so their mean says nothing: "
                "leave out 'board.mean'"
            )
    return tasks


def refuse_shipped_name(name: str, where: str) -> None:
    """Refuse the name of a shipped task for a user's own: their results would lie in one place. ``where`` begins the message."""
    if name.lower() in list_tasks():
        raise ClirbenchError(f"{where}: '{name}' is a task of clirbench: give yours another name")


def _own_task(file: _OwnFile, path: Path) -> Task:
    # A folder that CLIRBENCH_TASKS names may hold a task of this kind.
    if path.resolve().parent != tasks_dir().resolve():
        refuse_shipped_name(file.id, f"{path}: 'id'")
    files = OwnFiles(path.parent / file.queries, path.parent / file.candidates, file.relevant_from)
    facts = read_facts(files, file.languages)
    for key, stated, possible in (
        ("settings", file.settings, facts.settings),
        ("bias", file.bias, facts.possible_bias),
    ):
        for name in stated or ():
            if name not in possible:
                why = facts.absent.get(name, f"these data have {', '.join(possible)}")
                raise ClirbenchError(f"{path}: '{key}' has '{name}': {why}")
    return Task(
        **file.model_dump(exclude={"format", "queries", "candidates", "relevant_from", "settings", "bias"}),
        candidate_text="text",
        gold_sha256="",
        settings=file.settings or facts.settings,
        bias=file.bias or facts.bias,
        sources={x: SourceFile(sha256=facts.sha256, path=files.candidates) for x in file.languages},
        counts=facts.counts,
        file=path,
        absent=facts.absent,
        own=files,
    )


def _shipped_task(file: _ParallelFile | _ParallelHubFile | _StreamedFile, path: Path) -> Task:
    if file.board and file.board.mean and not file.domain:
        raise ClirbenchError(f"{path}: missing key 'domain': add it, because 'board.mean' is over domains")
    for key in ("queries", "candidates"):
        _same_languages(getattr(file.counts, key), file.languages, path, f"counts.{key}")
    sources: dict[str, SourceFile] = {}
    judgements: Mapping[str, str] = {}
    texts_sha256: Mapping[str, str] = {}
    corpus: HubCorpus | None = None
    hub: HubCorpus | None = None
    if isinstance(file, _ParallelFile):
        sources = _sources(file.source, file.languages, path, "source")
    elif isinstance(file, _ParallelHubFile):
        texts_sha256, hub = file.source.sha256, HubCorpus(**file.source.model_dump(exclude={"sha256"}))
        if file.board and not file.gold_sha256:
            # Otherwise nobody could tell the ranks of a submission from those of other golds.
            raise ClirbenchError(f"{path}: missing key 'gold_sha256': a parallel task of the board pins its gold pairs")
        if texts_sha256:
            _same_languages(texts_sha256, file.languages, path, "source.sha256")
        other = next((x for x in file.languages if file.all_languages and x not in file.all_languages), None)
        if other is not None:
            raise ClirbenchError(
                f"{path}: 'languages' has '{other}', which is not in 'all_languages': correct one of them"
            )
    else:
        judgements, corpus = file.judgements, HubCorpus(**file.corpus.model_dump())
        if judgements:
            _same_languages(judgements, file.languages, path, "judgements")
        for part in ("topics", "qrels") if file.source else ():
            files = _sources(getattr(file.source, part), file.languages, path, f"source.{part}")
            sources |= {f"{language}/{part}": source for language, source in files.items()}
    return Task(
        **file.model_dump(exclude={"format", "source", "corpus", "judgements", "board"}),
        sources=sources,
        file=path,
        corpus=corpus,
        hub=hub,
        texts_sha256=texts_sha256,
        judgements=judgements,
        board=_board(file, file.board, path) if file.board else None,
    )


def _board(file: _ShippedFile, board: _Board, path: Path) -> BoardColumns:
    columns = [f"{setting}.{metric}" for setting in file.settings for metric in file.metrics]
    # The board shows one measure of bias, rank distance: its pages show ranks, and lower is better.
    bias = [f"bias.{name}" for name in file.bias if name == "rank_distance"]
    # Models are ranked by a metric, where higher is better, and never by a measure of bias.
    ranking = [column for column in columns if column in board.headline]
    for key, names, known in (("headline", board.headline, [*columns, *bias]), ("main", (board.main,), ranking)):
        for name in names:
            if name not in known:
                raise ClirbenchError(f"{path}: 'board.{key}' has '{name}': use {', '.join(known)}")
    pairs = {column: (column.partition(".")[0], column.partition(".")[2]) for column in board.headline}
    return BoardColumns(board.order, tuple(pairs.values()), pairs[board.main], board.mean)


def _sources(source: _Source, languages: Sequence[str], path: Path, key: str) -> dict[str, SourceFile]:
    if sorted(source.model_dump(exclude={"sha256"}, exclude_none=True)) not in (["path"], ["mirror", "url"]):
        raise ClirbenchError(f"{path}: '{key}' must say either path, or url and mirror: correct it")
    _same_languages(source.sha256, languages, path, f"{key}.sha256")
    return {
        x: SourceFile(
            source.sha256[x],
            source.url and source.url.replace("{language}", x),
            source.mirror and source.mirror.replace("{language}", x),
            path.parent / source.path.replace("{language}", x) if source.path else None,
        )
        for x in languages
    }


def _same_languages(table: Mapping[str, Any], languages: Sequence[str], path: Path, key: str) -> None:
    for language in table:
        if language not in languages:
            raise ClirbenchError(
                f"{path}: unknown key '{key}.{printable(language)}': remove it, or correct 'languages'"
            )
    for language in languages:
        if language not in table:
            raise ClirbenchError(f"{path}: missing key '{key}.{printable(language)}': add it")


def _refusal(path: Path, error: ValidationError) -> ClirbenchError:
    """One line about a wrong file. A misspelt key is unknown, and the right key is missing: the line names the unknown one."""
    order = {"extra_forbidden": 0, "missing": 1}
    first = min(error.errors(include_url=False), key=lambda one: order.get(one["type"], 2))
    key = ".".join(part for part in first["loc"] if isinstance(part, str))
    return ClirbenchError(f"{path}: {wrong_value(first, key)}")
