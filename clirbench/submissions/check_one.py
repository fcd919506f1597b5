"""Check one submission: every file, every number, every rank."""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from clirbench.encoders.base import SIMILARITIES
from clirbench.metrics.scores import unknown_names
from clirbench.ranking.gold_ranks import GoldRanks, gold_digest
from clirbench.results.file_names import MTEB_FILE_START, RANKS_ENDING, mteb_result_files, run_folder
from clirbench.results.ranks_file import decode_ranks
from clirbench.results.read import MTEB_RESULT_LIMIT, parse_mteb_result, parse_submitted
from clirbench.results.rescore import TOLERANCE, rescore
from clirbench.results.result import Result
from clirbench.results.schema import Document, EstimatePart, Reported
from clirbench.submissions import model_toml
from clirbench.submissions.findings import Comparable, Examined
from clirbench.submissions.impossible_ranks import impossible, impossible_jumps
from clirbench.submissions.model_toml import ModelFile, evaluation_set, first_holding, parse_model_file
from clirbench.submissions.safe_read import JSON_LIMIT, RANKS_LIMIT, TOML_LIMIT, entries, read_hashed
from clirbench.submissions.shown_numbers import contradictions
from clirbench.submissions.verification import FILE as VERIFICATION
from clirbench.submissions.verification import check_verification
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task import SETTINGS, Task
from clirbench.tasks.task_file import board_columns, board_tasks, list_tasks, load_task

# '.', '_' and '-' stand only between letters or digits, and never two in a row: "a-b" and "a--b" look alike.
_PART = r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*"
NAME = re.compile(f"{_PART}/{_PART}")
_SHOWN = 10
_ANOTHER_MODEL = "is not that of {}.json: a submission is one model, run in one way"


def examine(folder: Path, untrusted: bool = False) -> Examined:
    """Check the folder of one submission. No link in it is followed, and no file is read beyond its limit.

    ``untrusted`` refuses what only maintainers may add: verifications, reported figures and commands for readers.
    """
    examined = Examined(folder)
    try:
        names = entries(folder)
    except ClirbenchError as error:
        examined.refused(folder, error)
        return examined
    tasks = sorted(board_tasks())
    _refuse_strays(names, tasks, examined)
    # model.toml is read first, because each result is compared with it.
    model = _model(names, untrusted, examined)
    results: dict[str, Document | Reported] = {}
    for task in tasks:
        document = _result(task, names, untrusted, examined)
        if document is not None:
            results[task] = document
            _names(task, document, model, examined)
            for key, message in _contradicting_settings(document):
                examined.error(folder / f"{task}.json", key, f"{message}: submit the file as it was written")
    # The names of files are enough here: a result that is not valid has its own error.
    if not any(f"{task}.json" in names for task in tasks):
        examined.error(folder, "", f"holds no result: add {' or '.join(f'{task}.json' for task in tasks)}")
    _one_model(results, examined)
    for name in mteb_result_files(names):
        _mteb_result(folder / name, results, examined)
    verified = VERIFICATION in names and check_verification(results, untrusted, examined)
    examined.comparables = [
        replace(one, verified=verified, zero_shot=model.zero_shot(one.task) if model else "unknown")
        for one in examined.comparables
    ]
    return examined


def _refuse_strays(names: list[str], tasks: list[str], examined: Examined) -> None:
    """Refuse every file that does not belong in a submission."""
    allowed = {model_toml.FILE, VERIFICATION, *mteb_result_files(names)}
    allowed |= {f"{task}{ending}" for task in tasks for ending in (".json", RANKS_ENDING)}
    for name in names:
        if name not in allowed:
            # A result on the demo is a likely mistake, so it gets its own message.
            task = name.partition(".")[0]
            off_board = task in list_tasks() and task not in tasks
            remedy = f"the {task} ranks no models" if off_board else "leave only results, ranks and model.toml"
            # A file's name may hold anything, even characters that move a terminal's cursor.
            path = examined.folder / ascii(name)[1:-1]
            examined.error(path, "", f"does not belong into a submission: remove it ({remedy})")


def _one_model(results: dict[str, Document | Reported], examined: Examined) -> None:
    """Check that all results have one model and the same settings, and are all measured or all reported."""
    measured = [document for document in results.values() if isinstance(document, Document)]
    if measured and len(measured) < len(results):
        examined.error(examined.folder, "", "holds measured and reported figures: submit them under names of their own")
    for document in measured[1:]:
        path = examined.folder / f"{document.task.id}.json"
        for part in ("model", "encoder"):
            if getattr(document, part) != getattr(measured[0], part):
                examined.error(path, part, _ANOTHER_MODEL.format(measured[0].task.id))


def _mteb_result(path: Path, results: dict[str, Document | Reported], examined: Examined) -> None:
    """Check a result on one of mteb's own tasks. It cannot be recomputed, but it must be of this model, with possible scores."""
    document = examined.read(path, MTEB_RESULT_LIMIT, parse_mteb_result)
    if document is None:
        return
    if path.name != f"{MTEB_FILE_START}{document.task}.json":
        examined.error(path, "task", f"is {document.task!a}: name the file {MTEB_FILE_START}{document.task}.json")
    measured = next((one for one in results.values() if isinstance(one, Document)), None)
    if measured is None:
        examined.error(path, "", "stands beside no measured result: add one, or remove this")
        return
    for key, theirs, ours in (
        ("model.name", document.model.name, measured.model.name),
        ("model.revision", document.model.revision, measured.model.revision),
        ("encoder", document.encoder, measured.encoder),
    ):
        if theirs != ours:
            examined.error(path, key, _ANOTHER_MODEL.format(measured.task.id))
    for split, subsets in document.scores.items():
        for subset, scores in subsets.items():
            key, main = f"scores.{split}.{subset}.main_score", scores.get("main_score", 2)
            if not -1 <= main <= 1:
                examined.error(path, key, "is missing, or not within -1 and 1")
            elif scores.get(document.main_score, main) != main:
                examined.error(path, key, f"is not the {document.main_score!a} beside it: run the task again")


def _model(names: list[str], untrusted: bool, examined: Examined) -> ModelFile | None:
    """Read and check ``model.toml``; None where it is missing or not valid."""
    path = examined.folder / model_toml.FILE
    if model_toml.FILE not in names:
        examined.error(path, "", "is missing: clirbench submit writes it")
        return None
    model = examined.read(path, TOML_LIMIT, parse_model_file)
    if model is None:
        return None
    for key in ("licence", "contact"):
        if not getattr(model, key).strip():
            examined.warning(path, key, "is empty: say it if you can")
    if untrusted and model.reproduce:
        message = "has commands for the shells of readers, which come from maintainers: say in the pull request how it is made"
        examined.error(path, "reproduce", message)
    for task, answer in model.trained_on.items():
        if answer == "no" and (training_set := first_holding(model.training_data, task)):
            message = f"is no, but training_data has {training_set[:60]!a}: correct one of them"
            examined.error(path, f"trained_on.{task}", message)
    held = {evaluation_set(task) for task in board_tasks() if f"{task}.json" in names}
    for task in sorted(held - set(model.trained_on)):
        message = f"must answer for {task}, on which there are results, with yes, no or unknown: add it"
        examined.error(path, f"trained_on.{task}", message)
    return model


def _result(task: str, names: list[str], untrusted: bool, examined: Examined) -> Document | Reported | None:
    """Read and check the result on one task, and its ranks file; None if there is no result, or its JSON is not valid."""
    path, ranks_path = (examined.folder / f"{task}{ending}" for ending in (".json", RANKS_ENDING))
    if path.name not in names:
        if ranks_path.name in names:
            examined.error(ranks_path, "", f"has no {path.name} beside it: add it, or remove this")
        return None
    document = examined.read(path, JSON_LIMIT, parse_submitted)
    if document is None:
        return None
    if document.task.id != task:
        examined.error(path, "task.id", f"is {document.task.id[:40]!a}, not {task}: name the file after its task")
    elif isinstance(document, Reported):
        if ranks_path.name in names:
            examined.error(ranks_path, "", "does not belong to reported figures: remove it")
        if untrusted:
            examined.error(path, "origin", "reported figures come from maintainers: open an issue with their source")
        _reported(path, document, examined)
    elif ranks_path.name not in names:
        examined.error(ranks_path, "", "is missing: put the ranks file beside its result")
    else:
        try:
            result = _with_ranks(path, ranks_path, document, examined)
        except ClirbenchError as error:
            examined.refused(ranks_path, error)
        else:
            if result:
                _measured(path, ranks_path, result, examined)
    return document


def _reported(path: Path, document: Reported, examined: Examined) -> None:
    """Check published figures. They have no ranks, so only their names, shares and means are checked."""
    setting, metric = board_columns(document.task.id).main
    if main := document.headline.get(setting, {}).get(metric):
        examined.comparables.append(Comparable(document.task.id, main.value))
    languages, rows = document.task.languages, document.per_language
    if len(set(languages)) != len(languages) or (rows and set(rows) != set(languages)):
        message = "are not the languages of per_language, each once: make them equal"
        examined.error(path, "task.languages", message)
    if document.task.id in list_tasks():
        unknown = set(languages) - set(load_task(document.task.id).languages)
        if unknown:
            message = f"has {sorted(unknown)[0][:20]!a}, which is not the task's: remove it"
            examined.error(path, "task.languages", message)
    # The board shows only the headline, so a figure by language needs a mean that covers it.
    for language, row in rows.items():
        for setting, numbers in row.items():
            if setting not in document.headline or set(numbers) - set(document.headline[setting]):
                key = f"per_language.{language[:20]}.{setting[:20]}"
                examined.error(path, key, "has numbers that the headline does not: add their means, or remove them")
    for setting, estimates in document.headline.items():
        if setting in (*SETTINGS, "bias"):
            _reported_setting(path, setting, estimates, rows, examined)
        else:
            examined.error(path, f"headline.{setting[:40]}", f"is no setting: use {', '.join(SETTINGS)} or bias")


def _reported_setting(
    path: Path,
    setting: str,
    estimates: Mapping[str, EstimatePart],
    rows: Mapping[str, Mapping[str, Mapping[str, float | None]]],
    examined: Examined,
) -> None:
    """Check the published means of one setting, or of "bias": the names of the metrics, and the numbers."""
    metrics, bias = ((), estimates) if setting == "bias" else (estimates, ())
    for _, name in unknown_names(list(metrics), list(bias)):
        examined.error(path, f"headline.{setting}.{name[:40]}", "is no metric of clirbench: see clirbench metrics")
    for name, estimate in estimates.items():
        # A publication may give a metric for some of its languages only. The mean is over these languages.
        values = [row[setting][name] for row in rows.values() if name in row.get(setting, {})]
        # Metrics are shares. Measures of bias may be ranks, and only absurd values are refused.
        problem = _mean_problem(estimate, values, 1e9 if setting == "bias" else 1.0)
        if problem:
            examined.error(path, f"headline.{setting}.{name}", problem)


def _mean_problem(estimate: EstimatePart, values: Sequence[float | None], limit: float) -> str | None:
    """The error in a published mean, given the values by language if there are any; None if there is no error."""
    if estimate.low is not None or estimate.high is not None:
        return "has an interval, which no published mean gives: leave it null"
    known = [value for value in (estimate.value, *values) if value is not None and 0 <= value <= limit]
    if len(known) != len(values) + 1 or estimate.value is None:
        return f"is not between 0 and {limit:g}: shares are not in percent"
    mean = math.fsum(known[1:]) / len(values) if values else estimate.value
    if not math.isclose(mean, estimate.value, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
        return f"is not the mean over its languages, {mean:.6f}: correct one of them"
    return None


def _gold_pairs_of(task: Task, ranks: GoldRanks) -> bool:
    """Whether the ranks are those of the task's gold pairs.

    If the task pins the checksum of its gold pairs, the checksums are compared; otherwise, the numbers of gold pairs by language.
    Grades are among what a checksum covers, so ranks with grades are refused where none is pinned.
    """
    if task.gold_sha256:
        return gold_digest(ranks) == task.gold_sha256
    first = np.concatenate([[True], np.diff(ranks.query) != 0])
    queries = np.bincount(ranks.query_language[first], minlength=len(task.languages)).tolist()
    named = all(topic.partition(":")[0] in task.languages for topic in ranks.topics)
    return (
        ranks.grade is None
        and named
        and bool((ranks.query_language == ranks.gold_language).all())
        and dict(zip(task.languages, queries, strict=True)) == task.counts["queries"]
        and len(ranks) == task.counts["gold_pairs"]
    )


def _with_ranks(path: Path, ranks_path: Path, document: Document, examined: Examined) -> Result | None:
    """Read the ranks file of a measured result; None if the run was not on the whole task of the board.

    Raises:
        ClirbenchError: The ranks file cannot be read.
    """
    content, digest = read_hashed(ranks_path, RANKS_LIMIT)
    if document.ranks.file != ranks_path.name:
        examined.error(path, "ranks.file", f"is not {ranks_path.name}: name the ranks file after its task")
    if digest != document.ranks.sha256:
        message = f"is not the SHA-256 of {ranks_path.name}: submit both as they were written"
        examined.error(path, "ranks.sha256", message)
    kept, size = document.encoder.truncate_dim, document.model.dimensions
    if kept not in (None, size):
        message = f"is {size}, not the {kept} of 'encoder.truncate_dim': submit the file as it was written"
        examined.error(path, "model.dimensions", message)
    if document.compact is not None:
        message = (
            "says that ranks are rounded, and the board compares exact ones: "
            "run the model again with clirbench run, without --languages"
        )
        examined.error(path, "compact", message)
        return None
    task, said = load_task(document.task.id), document.task
    if said.hash != task.hash:
        message = (
            f"is not that of {task.id}: this is another task of that name, or an earlier version: run the model again"
        )
        examined.error(path, "task.hash", message)
        return None
    whole = said.complete and said.languages == list(task.languages) and said.settings == list(task.settings)
    if not whole or document.ranks.rows != task.counts["gold_pairs"]:
        # A restricted run has ranks in other pools. Also, ranks.rows limits what is read below, so it must be the task's number.
        message = "is not a run on the whole task: leave out --languages and --settings"
        examined.error(path, "task.languages", message)
        return None
    return Result(document, decode_ranks(content, document, ranks_path), content)


def _asked_for(path: Path, task: Task, document: Document, examined: Examined) -> bool:
    """Whether the result has the metrics and the measures of bias that the task asks for. An error names the list that differs.

    Further measures of bias are allowed: ``clirbench score --update`` adds them, and they are recomputed like the others.
    """
    stated, wrong = document.task, f"is not what {task.id} asks for: "
    asked_for = True
    if stated.metrics != list(task.metrics):
        examined.error(path, "task.metrics", f"{wrong}run the model again with this clirbench")
        asked_for = False
    if [name for name in stated.bias if name in task.bias] != list(task.bias):
        examined.error(path, "task.bias", f"{wrong}add it with clirbench score --update, or run the model again")
        asked_for = False
    return asked_for


def _measured(path: Path, ranks_path: Path, result: Result, examined: Examined) -> None:
    """Check a measured result against its task and its ranks, and add its comparable part if there is no error."""
    document, ranks = result.document, result.ranks
    task = load_task(document.task.id)
    # Without the task's own metrics there is no main number, and nothing to compare.
    if not _asked_for(path, task, document, examined):
        return
    for key, message in contradictions(document, task):
        examined.error(path, key, message)
    if not _gold_pairs_of(task, ranks):
        examined.error(ranks_path, "", f"its rows are not the gold pairs of {task.id}: submit it as it was written")
        return
    by_pool = document.model.scores_by_pool
    rules = impossible(ranks, task.counts["candidates"], by_pool)
    for rule in rules:
        examined.error(ranks_path, "", f"{rule}: no ranking can give these ranks, run the model again")
    if rules:
        return
    # The bounds of the totals come from own ranks, which such a model has from other rankings.
    for key, message in [] if by_pool else impossible_jumps(ranks, task.counts["candidates"], document.queue_jump):
        examined.error(path, key, f"{message}: submit the file as it was written")
    # Counts of zero divide by zero. The numbers that come of it differ from every stated one.
    with np.errstate(divide="ignore", invalid="ignore"):
        differences = rescore(result).differences
    for difference in differences[:_SHOWN]:
        stated, expected = f"{difference.stated}"[:60], f"{difference.expected}"[:60]
        message = f"is {stated}, but the ranks and the task give {expected}: submit the file as it was written"
        examined.error(path, difference.key, message)
    if len(differences) > _SHOWN:
        examined.error(path, "", f"{len(differences) - _SHOWN} more numbers differ")
    if differences:
        return
    if document.cost.zero_vectors:
        examined.warning(path, "cost.zero_vectors", "is not 0: some texts got no vector and were scored as lost")
    if document.model.revision is None:
        examined.warning(path, "model.revision", "is null: nobody can tell which version of the model this was")
    ranks_bytes = ranks.own_rank.tobytes() + (b"" if ranks.pool_rank is None else ranks.pool_rank.tobytes())
    digest = hashlib.sha256(ranks_bytes).hexdigest()
    main = result.score(*board_columns(task.id).main)
    examined.comparables.append(Comparable(task.id, main, digest=digest))


def _contradicting_settings(document: Document | Reported) -> Iterator[tuple[str, str]]:
    """Find settings that no model has together. A fusion's ranks meet fewer rules, so that nothing else may pass for one.

    Yields:
        The dotted key of a setting, and the reason.
    """
    if isinstance(document, Reported):
        return
    model, encoder = document.model, document.encoder
    for kind in ("fusion", "rerank"):
        if (model.kind == kind) != (encoder.similarity == kind):
            yield "model.kind", f"is {model.kind!a}, which does not go with the similarity {encoder.similarity!a}"
    if (model.kind == "rerank") != (encoder.depth is not None):
        yield "encoder.depth", "belongs to a second stage, and to nothing else"
    if encoder.similarity in SIMILARITIES and model.dimensions is None:
        yield "model.dimensions", f"is null, and {encoder.similarity} compares vectors"
    if encoder.similarity in ("bm25", "own") and model.dimensions is not None:
        yield "model.dimensions", f"is {model.dimensions}, and {encoder.similarity} compares no vectors"
    if encoder.transform_sample and not encoder.transform:
        yield "encoder.transform_sample", "stands without a transform"
    if encoder.quantise_sample and encoder.quantise != "int8":
        yield "encoder.quantise_sample", "stands without int8"


def _names(task: str, document: Document | Reported, model: ModelFile | None, examined: Examined) -> None:
    """Check the names of model and folder, and that ``model.toml`` and the result agree about the model."""
    folder = examined.folder
    if isinstance(document, Document) and (fault := document.model.revision_problem):
        examined.error(folder / f"{task}.json", "model.revision", fault)
    path, toml = folder / f"{task}.json", folder / model_toml.FILE
    name = document.model.name
    if not NAME.fullmatch(name) or len(name) > 120:
        message = f"is {name[:60]!a}: use ORG/NAME in A-Z a-z 0-9 . _ - (clirbench submit does)"
        examined.error(path, "model.name", message)
    wanted = run_folder(name, document.encoder.variant if isinstance(document, Document) else "")
    if folder.resolve().name != wanted:
        examined.error(path, "model.name", f"belongs into a folder named {wanted!a}, not {folder.name!a}")
    if model is None:
        return
    if isinstance(document, Document) and task in (model.not_comparable or {}):
        message = f"is of published figures, and {path.name} has ranks, which compare: remove it"
        examined.error(toml, f"not_comparable.{task}", message)
    if model.name != name:
        examined.error(toml, "name", f"is {model.name[:60]!a}, but {path.name} says {name[:60]!a}: make them equal")
    if isinstance(document, Reported):
        return
    stated = document.model
    if stated.revision is None and model.revision:
        message = f"is {model.revision[:60]!a}, but {path.name} has none: leave it empty"
        examined.error(toml, "revision", message)
    for key, said, measured in (
        ("revision", model.revision or None, stated.revision),
        ("parameters", model.parameters, stated.parameters),
        ("embedding_size", model.embedding_size, stated.dimensions),
        ("max_length", model.max_length, document.encoder.longest_input),
        ("query_prefix", model.query_prefix, document.encoder.query_prompt),
        ("candidate_prefix", model.candidate_prefix, document.encoder.candidate_prompt),
    ):
        if said != measured and said is not None and measured is not None:
            shown = f"{said!a}"[:60], f"{measured!a}"[:60]
            examined.error(toml, key, f"is {shown[0]}, but {path.name} says {shown[1]}: make them equal")
