"""Run a sample of a submission again, and compare its ranks with the submitted ranks."""

import datetime
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import EncoderSettings, LoadedModel, ModelInfo
from clirbench.encoders.bundled import BUNDLED
from clirbench.encoders.from_mteb import LEFT_TO_SENTENCE_TRANSFORMERS
from clirbench.encoders.hub import hub_cache, resolve_commit, snapshot_place
from clirbench.encoders.revision import brings_code, commit_of, snapshot_revision, whole_revision
from clirbench.encoders.safe_copy import fetch_files_to_read, safe_copy, trusted_copy
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.results.reload_model import ModelAt, other_settings, refuse_unknown_sample, reload_model
from clirbench.results.result import Result, read_result
from clirbench.results.schema import Document, EncoderPart, ModelPart
from clirbench.submissions.check_many import check_submissions
from clirbench.submissions.rerun_in_process import COLUMNS, GRADED_COLUMNS, run_sample
from clirbench.submissions.verification import FILE, SAMPLE_LANGUAGES, Verification, verdict
from clirbench.submissions.wall import Wall, behind_wall
from clirbench.support.commands import command
from clirbench.support.errors import ClirbenchError, first_line
from clirbench.support.files import write_atomically
from clirbench.support.paths import CACHE, MIRROR, TASKS, cache_dir, mirror_dir, tasks_dir
from clirbench.support.progress import Reporter, Silent, follow_download
from clirbench.support.version import __version__
from clirbench.tasks.fetch import fetch
from clirbench.tasks.hub_copy import local_copy
from clirbench.tasks.hub_readers import configurations_of
from clirbench.tasks.task import SETTINGS
from clirbench.tasks.task_file import board_tasks, first_on_board, list_tasks, load_task

_PACKAGES = ("torch", "sentence-transformers", "transformers", "numpy")
_REMEDY = "ask the submitters for a folder without it, or read it and name the model with --trust-remote-code"
# Weights of other libraries.
_NOT_LOADED = ("*.onnx", "*.onnx_data", "openvino/*", "*.h5", "*.msgpack", "*.ot", "*.gguf", "*.tflite")


@dataclass(frozen=True)
class Sample:
    """The part of a submission that is run again: a number of query languages of one task, drawn with a seed.

    If ``task`` is None, it is the first task of the board that is not streamed.
    """

    task: str | None = None
    languages: int = SAMPLE_LANGUAGES
    seed: int = 1


@dataclass(frozen=True)
class Loading:
    """Where the model of a submission is, and how it is loaded.

    Attributes:
        model: A folder with a copy of the model at the submission's revision; None downloads the model.
        trust_remote_code: The full name of the model, which allows its own code to run, and its pickles to be read.
        device: Where to encode; None for the model's own choice.
        wall: What the process of the model may do.
    """

    model: str | None = None
    trust_remote_code: str | None = None
    device: str | None = None
    wall: Wall = field(default_factory=Wall)


def verify(
    folder: Path,
    by: str,
    sample: Sample | None = None,
    loading: Loading | None = None,
    reporter: Reporter | None = None,
) -> Verification:
    """Run the queries of a sample of languages again, compare the ranks, and write ``verification.json``.

    The queries are ranked against all candidates of the task, so the ranks in the multilingual pool are compared too. A model
    that clirbench does not bring is loaded in a process of its own, behind a wall.

    Raises:
        ClirbenchError: The submission has errors or lacks the result, the model cannot be loaded safely, or its revision differs.
    """
    if not by.strip() or len(by.strip()) > 200:
        raise ClirbenchError("--by is empty or longer than 200 characters: say who verifies")
    sample = sample or Sample()
    result = _submitted(folder, sample)
    document = result.document
    languages = draw_languages(document, sample.languages, sample.seed)
    differences: list[str] = []
    progress = reporter or Silent()

    def compare_settings(loaded: LoadedModel) -> None:
        differences.extend(other_settings(loaded, document))
        trusted = document.environment.trust_remote_code
        if trusted != loaded.trust_remote_code:
            differences.append(f"trust remote code {loaded.trust_remote_code} here, but {trusted} in the result")
        for difference in differences:
            progress.note(f"{document.model.name} has {difference}")

    again_document, again_ranks = _run_again(document, languages, loading or Loading(), compare_settings, progress)
    equal, close, pairs = compare_ranks(result.ranks, again_ranks, languages)
    largest = largest_difference(document, again_document, languages)
    packages = {name: metadata.version(name) for name in _PACKAGES}
    stated = document.environment.packages
    differences += [
        f"{name} {version} here, but {stated[name]} in the result"
        for name, version in packages.items()
        if name in stated and stated[name] != version
    ]
    verification = Verification(
        format=1,
        by=by.strip(),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        task=document.task.id,
        languages=languages,
        seed=sample.seed,
        ranks_sha256=document.ranks.sha256,
        revision=document.model.revision,
        pairs=pairs,
        equal=equal,
        close=close,
        largest_difference=largest,
        verdict=verdict(equal, close, largest),
        differences=differences if equal < 1 else [],
        packages={"clirbench": __version__, "python": platform.python_version(), **packages},
    )
    write_atomically(folder / FILE, (verification.model_dump_json(indent=1) + "\n").encode())
    return verification


def _submitted(folder: Path, sample: Sample) -> Result:
    """The result to run again. Everything that could refuse it is checked before the model is loaded."""
    task = sample.task or first_on_board(streamed=False)
    if not 0 <= sample.seed < 2**63:
        raise ClirbenchError(f"--seed is {sample.seed}: use 0 or more")
    held = [name for name in list_tasks() if (folder / f"{name}.json").is_file()]
    if task not in held:
        raise ClirbenchError(
            f"{folder}: holds no result on '{task[:40]}': pass --task, one of {', '.join(held) or 'none'}"
        )
    if load_task(task).streamed:
        others = " or ".join(name for name, other in board_tasks().items() if not other.streamed)
        raise ClirbenchError(
            f"{task} is read shard by shard, and no sample of it is small: pass --task {others}, or run it again with "
            f"clirbench run --tasks {task} and compare"
        )
    if not os.access(folder, os.W_OK):
        raise ClirbenchError(f"{folder}: cannot be written: verification.json belongs there, change its permissions")
    # The check reads a stranger's files in a process with limits. This process reads them only after they have passed.
    if check_submissions([folder])[0].errors:
        raise ClirbenchError(f"{folder}: has errors: see {command('check', folder)}")
    return read_result(folder / f"{task}.json")


def draw_languages(document: Document, number: int, seed: int) -> list[str]:
    """Draw ``number`` languages of a result; they keep the order of the result.

    Raises:
        ClirbenchError: ``number`` is below 2, or the result has fewer languages.
    """
    known = document.task.languages
    if not 2 <= number <= len(known):
        raise ClirbenchError(f"--languages is {number}: use 2 to {len(known)}")
    chosen = np.random.default_rng(seed).choice(len(known), size=number, replace=False)
    return [known[i] for i in sorted(chosen)]


def compare_ranks(stated: GoldRanks, again: GoldRanks, languages: Sequence[str]) -> tuple[float, float, int]:
    """Compare the submitted ranks of some query languages with those of a re-run.

    Two numbers are close if they differ by at most 1, or by at most 2 % of the larger one. A gold pair is equal (or close) if all
    of its numbers are equal (or close): the own rank, the pool rank and, where both files have it, query_language_above.

    Returns:
        The share of equal gold pairs, the share of close gold pairs, and the number of compared gold pairs.

    Raises:
        ClirbenchError: The two do not hold the same gold pairs.
    """
    # Ranks files of older versions lack the last column.
    above = stated.query_language_above is not None and again.query_language_above is not None
    old, new = _chosen(stated, languages, above), _chosen(again, languages, above)
    if [row[:4] for row in old] != [row[:4] for row in new]:
        raise ClirbenchError("the submission does not hold the task's gold pairs: run clirbench check on it")
    a, b = (np.array([row[4:] for row in rows], dtype=np.float64) for rows in (old, new))
    gap = np.abs(a - b)
    close = gap <= np.maximum(1, 0.02 * np.maximum(a, b))
    return float((gap == 0).all(axis=1).mean()), float(close.all(axis=1).mean()), len(a)


def largest_difference(stated: Document, again: Document, languages: Sequence[str]) -> float:
    """The largest difference of mAP between a result and its re-run, over query languages, settings and language pairs."""
    pairs = []
    for query in languages:
        means, means_again = stated.per_language[query], again.per_language[query]
        pairs += [(means[setting], means_again[setting]) for setting in SETTINGS]
        cells, cells_again = stated.per_pair[query], again.per_pair[query]
        pairs += [(cells[candidate], cells_again[candidate]) for candidate in cells_again]
    values = [(a.get("mAP"), b.get("mAP")) for a, b in pairs]
    # A mean that only one of the two has is left out.
    return max((abs(a - b) for a, b in values if a is not None and b is not None), default=0.0)


def _chosen(ranks: GoldRanks, languages: Sequence[str], above: bool) -> list[tuple[str | int, ...]]:
    """The rows of these query languages, sorted: topic, query language, gold language, grade, own rank, pool rank.

    The grade is 1 in a task without grades. Sorted by name, since two ranks files may number topics and languages differently.
    ``above`` adds query_language_above.
    """
    if ranks.pool_rank is None:
        raise ClirbenchError("the submission holds no ranks in the multilingual pool: run clirbench check on it")
    rows = np.isin(ranks.query_language, [ranks.languages.index(language) for language in languages])
    numbers = [ranks.own_rank, ranks.pool_rank]
    if above and ranks.query_language_above is not None:
        numbers.append(ranks.query_language_above)
    grade = np.ones(len(ranks), dtype=np.int8) if ranks.grade is None else ranks.grade
    columns: tuple[NDArray[Any], ...] = (ranks.topic, ranks.query_language, ranks.gold_language, grade, *numbers)
    return sorted(
        (ranks.topics[t], ranks.languages[q], ranks.languages[g], *values)
        for t, q, g, *values in zip(*(column[rows].tolist() for column in columns), strict=True)
    )


def _run_again(
    document: Document,
    languages: Sequence[str],
    loading: Loading,
    compare_settings: Callable[[LoadedModel], None],
    reporter: Reporter,
) -> tuple[Document, GoldRanks]:
    """Load the model and run the sample: here if the model is bundled, else behind a wall."""
    stated, trust = document.model, loading.trust_remote_code
    if trust is not None and trust != stated.name:
        raise ClirbenchError(
            f"--trust-remote-code is '{trust}': spell out the model's name, {stated.name}, to let it run code"
        )
    refuse_unknown_sample(document)
    if stated.kind == "bundled":
        # The submission only says that its model is bundled. A name that is not bundled would be searched on the hub.
        if stated.name not in BUNDLED:
            raise ClirbenchError(f"{stated.name} is said to be bundled, and is not: ask its submitters what it is")
        loaded = reload_model(document, ModelAt(None, loading.device))
        _refuse_revision(loaded.info.revision, document)
        compare_settings(loaded)
        result = run_sample(loaded, document.task.id, languages, reporter)
        return result.document, result.ranks
    if stated.kind not in ("sentence-transformers", "packed", "mteb"):
        others = {
            "endpoint": "is behind a server",
            "rerank": "has two stages, which its result does not name apart",
            "fusion": "is a fusion, and its result does not name its parts apart",
        }
        whose = others.get(stated.kind, "is code of its submitters' own")
        raise ClirbenchError(f"{stated.name} {whose}: it cannot be verified by running it")
    with _prepared(stated, loading) as prepared:
        _refuse_revision(prepared.revision, document)

        def told(settings: Any) -> None:
            part = EncoderPart.model_validate(settings)
            info = ModelInfo(stated.name, stated.kind, prepared.revision, stated.revision_kind)
            compare_settings(
                LoadedModel(
                    info=info, settings=EncoderSettings(**part.model_dump()), trust_remote_code=prepared.brings_code
                )
            )

        argument = {
            "document": document.model_dump(mode="json"),
            "folder": prepared.folder,
            "trust": trust is not None,
            "device": loading.device,
            "languages": list(languages),
        }
        data, variables = _data(document.task.id, reporter)
        wall = replace(
            loading.wall,
            readable=(*loading.wall.readable, *prepared.readable, *data),
            environment={**loading.wall.environment, **variables, **prepared.environment},
        )
        try:
            return _received(
                behind_wall("clirbench.submissions.rerun_in_process:rerun", argument, wall, reporter, told)
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ClirbenchError(
                f"the process of {stated.name} sends what is no result ({first_line(error)}): look at the model"
            ) from error


def _refuse_revision(here: str | None, document: Document) -> None:
    """Refuse another revision: other weights give other ranks, which say nothing about the submission."""
    if here != document.model.revision:
        raise ClirbenchError(
            f"the model is revision {here}, but the submission was made with {document.model.revision}: give that revision"
        )


@dataclass(frozen=True)
class _Prepared:
    """A model that may be loaded: its folder (None if mteb loads it by its name), its revision, and what its process needs."""

    folder: str | None
    revision: str | None
    readable: tuple[Path, ...]
    environment: dict[str, str]
    brings_code: bool = False


@contextmanager
def _prepared(stated: ModelPart, loading: Loading) -> Iterator[_Prepared]:
    """Find or download the submitted model. Unless the user trusts it, all of its files are checked, in a private copy."""
    trust, of_hub = loading.trust_remote_code is not None, loading.model is None
    by_name = of_hub and stated.kind == "mteb"
    folder, commit = Path(loading.model or ""), ""
    if of_hub:
        commit = commit_of(stated.revision) or resolve_commit(stated.name, None)
        folder = _download(stated.name, commit) if trust else fetch_files_to_read(stated.name, commit, _REMEDY)
    elif not folder.is_dir():
        raise ClirbenchError(f"--model is '{folder}', which is not a folder: correct it")
    if by_name and not trust:
        _refuse_loader(stated.name)
    # mteb finds a model by its name, in a cache of the hub.
    place = snapshot_place(stated.name, commit) if by_name else None
    copied = (
        trusted_copy(folder, place) if trust else safe_copy(folder, _REMEDY, stated.name if of_hub else None, place)
    )
    with copied as copy:
        # What else a trusted model uses is told by its own folder.
        told_by = folder if trust else copy
        revision = snapshot_revision(commit, told_by, trust) if of_hub else whole_revision(told_by, trust)
        cache = {"HF_HUB_CACHE": str(copy.parents[2])} if by_name else {}
        yield _Prepared(None if by_name else str(copy), revision.text, (copy,), cache, trust and brings_code(folder))


def _data(task: str, reporter: Reporter) -> tuple[list[Path], dict[str, str]]:
    """Fetch the files of a task, and say with which variables another process finds them."""
    follow, loaded = follow_download(reporter), load_task(task)
    files = [fetch(source, follow(source.name)) for source in loaded.sources.values()]
    if loaded.hub is not None:
        files.append(local_copy(task, loaded.hub, configurations_of(loaded.reader, loaded.languages)))
    places = {MIRROR: mirror_dir(), TASKS: tasks_dir() if os.environ.get(TASKS) else None, CACHE: cache_dir()}
    return [*files, *filter(None, [places[TASKS]])], {name: str(path) for name, path in places.items() if path}


def _received(answer: Any) -> tuple[Document, GoldRanks]:
    """Check the result and the ranks that a process sends: the model's process may send anything."""
    document = Document.model_validate(answer["document"])
    columns = np.array(answer["rows"])
    if columns.dtype != np.int64 or columns.ndim != 2 or len(columns) not in (len(COLUMNS), len(GRADED_COLUMNS)):
        raise ValueError("ranks of another form")
    topics, languages = (tuple(map(str, answer[key])) for key in ("topics", "languages"))
    bounds = [len(topics), len(languages), len(languages), 2**31, 2**31, 2**31, 2**7][: len(columns)]
    if (columns < 0).any() or (columns >= np.array(bounds)[:, None]).any():
        raise ValueError("ranks out of bounds")
    ranks = dict(zip(COLUMNS, columns.astype(np.int32), strict=False))
    grade = columns[-1].astype(np.int8) if len(columns) == len(GRADED_COLUMNS) else None
    return document, GoldRanks(topics=topics, languages=languages, **ranks, grade=grade)


def _refuse_loader(name: str) -> None:
    """Refuse a model that mteb loads with code of its own, which may read any file of the repository."""
    import mteb

    loader = getattr(mteb.get_model_meta(name).loader, "__name__", None)
    if loader not in LEFT_TO_SENTENCE_TRANSFORMERS:
        raise ClirbenchError(
            f"mteb loads {name} with {loader}, which may read other files than safetensors: pass --model FOLDER, "
            "or read it and name the model with --trust-remote-code"
        )


def _download(name: str, commit: str) -> Path:
    """Download a model that is trusted from the hub, and return its snapshot in the local cache."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=commit, ignore_patterns=list(_NOT_LOADED), cache_dir=hub_cache()))
    except Exception as error:
        raise ClirbenchError(
            f"cannot download {name} at {commit} ({first_line(error)}): check the network, or pass --model FOLDER"
        ) from error
