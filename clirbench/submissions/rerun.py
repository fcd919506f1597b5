"""Run a sample of a submission again, and compare its ranks with the submitted ranks."""

import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np

from clirbench.encoders.base import LoadedModel
from clirbench.encoders.bundled import BUNDLED
from clirbench.encoders.revision import commit_of, snapshot_revision
from clirbench.evaluation.evaluate import evaluate_loaded
from clirbench.evaluation.loaded_task import InMemoryTask, announce
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.results.file_names import model_folder
from clirbench.results.reload_model import ModelAt, other_settings, refuse_unknown_sample, reload_model
from clirbench.results.result import Result, read_result
from clirbench.results.schema import Document
from clirbench.submissions.check_many import check_submissions
from clirbench.submissions.safe_model import DATA_FILES, JSON_FILES, WEIGHTS, refuse_unsafe
from clirbench.submissions.verification import FILE, SAMPLE_LANGUAGES, Verification, verdict
from clirbench.support.commands import command
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError, first_line
from clirbench.support.files import write_atomically
from clirbench.support.paths import cache_dir
from clirbench.support.progress import Reporter, Silent, follow_download
from clirbench.support.version import __version__
from clirbench.tasks.collection import load_collection, with_queries
from clirbench.tasks.task import SETTINGS
from clirbench.tasks.task_file import board_tasks, first_on_board, list_tasks, load_task

_PACKAGES = ("torch", "sentence-transformers", "transformers", "numpy")
# Classes of mteb that leave loading to sentence-transformers.
_MTEB_LOADERS = (
    "sentence_transformers_loader",
    "SentenceTransformerEncoderWrapper",
    "InstructSentenceTransformerModel",
    "SparseEncoderWrapper",
)
# Code and pickles are never downloaded.
SAFE_FILES = (
    f"*{WEIGHTS}",
    *(pattern for name in (*JSON_FILES, *DATA_FILES, "adapter_config.json") for pattern in (name, f"*/{name}")),
    "*.md",
)


@dataclass(frozen=True)
class Sample:
    """The part of a submission that is run again: a number of query languages of one task, drawn with a seed.

    If ``task`` is None, it is the first task of the board that is not streamed.
    """

    task: str | None = None
    languages: int = SAMPLE_LANGUAGES
    seed: int = 1


def verify(
    folder: Path,
    by: str,
    sample: Sample | None = None,
    *,
    model: str | None = None,
    trust_remote_code: str | None = None,
    device: str | None = None,
    reporter: Reporter | None = None,
) -> Verification:
    """Run the queries of a sample of languages again, compare the ranks, and write ``verification.json``.

    The queries are ranked against all candidates of the task, so the ranks in the multilingual pool are compared too.

    ``model`` is a folder with a copy of the model at the submission's revision; None downloads the model. ``trust_remote_code``
    is the full name of the model, which allows its own code to run.

    Raises:
        ClirbenchError: The submission has errors or lacks the result, the model cannot be loaded safely, or its revision differs.
    """
    if not by.strip() or len(by.strip()) > 200:
        raise ClirbenchError("--by is empty or longer than 200 characters: say who verifies")
    sample = sample or Sample()
    result = _submitted(folder, sample)
    document = result.document
    languages = draw_languages(document, sample.languages, sample.seed)
    loaded = _load(document, model, trust_remote_code, device)
    # Other weights give other ranks, which say nothing about the submission.
    if loaded.info.revision != document.model.revision:
        raise ClirbenchError(
            f"the model is revision {loaded.info.revision}, but the submission was made with {document.model.revision}: "
            "give that revision"
        )
    reporter = reporter or Silent()
    differences = other_settings(loaded, document)
    trusted = document.environment.trust_remote_code
    if trusted != loaded.trust_remote_code:
        differences.append(f"trust remote code {loaded.trust_remote_code} here, but {trusted} in the result")
    for difference in differences:
        reporter.note(f"{loaded.info.name} has {difference}")
    again = _run(loaded, document.task.id, languages, reporter)
    equal, close, pairs = compare_ranks(result.ranks, again.ranks, languages)
    largest = largest_difference(document, again.document, languages)
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
    if [row[:3] for row in old] != [row[:3] for row in new]:
        raise ClirbenchError("the submission does not hold the task's gold pairs: run clirbench check on it")
    a, b = (np.array([row[3:] for row in rows], dtype=np.float64) for rows in (old, new))
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


def _run(model: LoadedModel, task: str, languages: Sequence[str], reporter: Reporter) -> Result:
    """Run the queries of some languages again, against all candidates."""
    shipped, context = load_task(task), RunContext(reporter=reporter, allow_zero=True)
    whole = load_collection(shipped, None, follow_download(reporter))
    drawn = [whole.languages.index(language) for language in languages]
    sample = InMemoryTask(with_queries(whole, np.isin(whole.query_language, drawn)), shipped.settings)
    announce([sample], model, context)
    return evaluate_loaded(model, sample, context)


def _chosen(ranks: GoldRanks, languages: Sequence[str], above: bool) -> list[tuple[str | int, ...]]:
    """The rows of these query languages, sorted: topic, query language, gold language, own rank, pool rank.

    Sorted by name, since two ranks files may number topics and languages differently. ``above`` adds query_language_above.
    """
    if ranks.pool_rank is None:
        raise ClirbenchError("the submission holds no ranks in the multilingual pool: run clirbench check on it")
    rows = np.isin(ranks.query_language, [ranks.languages.index(language) for language in languages])
    numbers = [ranks.own_rank, ranks.pool_rank]
    if above and ranks.query_language_above is not None:
        numbers.append(ranks.query_language_above)
    columns = (ranks.topic, ranks.query_language, ranks.gold_language, *numbers)
    return sorted(
        (ranks.topics[t], ranks.languages[q], ranks.languages[g], *values)
        for t, q, g, *values in zip(*(column[rows].tolist() for column in columns), strict=True)
    )


def _load(document: Document, model: str | None, trust: str | None, device: str | None) -> LoadedModel:
    """Load the submitted model: bundled, from a copy, or from the hub.

    Unless the user trusts the model, its files are checked before they are loaded: none of them may run code.
    """
    stated = document.model
    if trust is not None and trust != stated.name:
        raise ClirbenchError(
            f"--trust-remote-code is '{trust}': spell out the model's name, {stated.name}, to let it run code"
        )
    refuse_unknown_sample(document)
    at = ModelAt(None, device, trust is not None, trust is None)
    if stated.kind == "bundled":
        # The submission only says that its model is bundled. A name that is not bundled would be searched on the hub.
        if stated.name not in BUNDLED:
            raise ClirbenchError(f"{stated.name} is said to be bundled, and is not: ask its submitters what it is")
        return reload_model(document, at)
    if stated.kind not in ("sentence-transformers", "packed", "mteb"):
        others = {
            "endpoint": "is behind a server",
            "rerank": "has two stages, which its result does not name apart",
            "fusion": "is a fusion, and its result does not name its parts apart",
        }
        whose = others.get(stated.kind, "is code of its submitters' own")
        raise ClirbenchError(f"{stated.name} {whose}: it cannot be verified by running it")
    in_registry = stated.kind == "mteb" and model is None
    if in_registry and trust is not None:
        return reload_model(document, at)
    folder = Path(model) if model else _download(stated.name, commit_of(stated.revision))
    if not folder.is_dir():
        raise ClirbenchError(f"--model is '{folder}', which is not a folder: correct it")
    if trust is None:
        refuse_unsafe(folder)
    if in_registry:
        # mteb loads the model by name. The download above shows that it has safe weights, and which are read first.
        _refuse_loader(stated.name)
        return reload_model(document, at)
    loaded = reload_model(document, replace(at, name=str(folder)))
    if model is None and stated.kind == "sentence-transformers":
        # The folder is a snapshot of the hub at exactly that commit.
        revision = snapshot_revision(str(commit_of(stated.revision)), folder, trust is not None)
        loaded = replace(loaded, info=replace(loaded.info, revision=revision.text, revision_kind="hub-commit"))
    return loaded


def _refuse_loader(name: str) -> None:
    """Refuse a model that mteb loads with code of its own, which may read any file of the repository."""
    import mteb

    loader = getattr(mteb.get_model_meta(name).loader, "__name__", None)
    if loader not in _MTEB_LOADERS:
        raise ClirbenchError(
            f"mteb loads {name} with {loader}, which may read other files than safetensors: pass --model FOLDER, "
            "or read it and name the model with --trust-remote-code"
        )


def _download(name: str, revision: str | None) -> Path:
    """Download the safe files of a model from the hub, and return their folder."""
    from huggingface_hub import snapshot_download

    try:
        # Not the hub's cache, which may hold other files of this commit.
        folder = cache_dir() / "verify" / model_folder(name) / str(revision)
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(SAFE_FILES), local_dir=folder))
    except Exception as error:
        raise ClirbenchError(
            f"cannot download {name} at {revision} ({first_line(error)}): check the network, or pass --model FOLDER"
        ) from error
