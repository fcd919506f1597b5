"""One submission, examined: every file, every number, every rank."""

import hashlib
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from clirbench.errors import ClirbenchError, printable
from clirbench.gold_ranks import gold_digest
from clirbench.ranks_file import decode_ranks
from clirbench.rescore import TOLERANCE, rescore
from clirbench.results import RANKS_ENDING, Result, parse_submitted, run_folder
from clirbench.schema import Document, Reported
from clirbench.scores import unknown_names
from clirbench.submissions import model_toml, reading
from clirbench.submissions.model_toml import ModelFile, parse_model_file
from clirbench.submissions.possible import impossible
from clirbench.submissions.verification import FILE as VERIFICATION
from clirbench.submissions.verification import parse_verification
from clirbench.tasks import SETTINGS, list_tasks, load_task

JSON_LIMIT, RANKS_LIMIT, TOML_LIMIT = 200_000, 600_000, 50_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_SHOWN = 10
# Published figures of a task whose data clirbench does not read yet.
_REPORTED_ONLY = tuple(set(model_toml.EVALUATION_SETS) - set(list_tasks()))


@dataclass(frozen=True)
class Finding:
    """Something wrong with a submission, or worth a look.

    Attributes:
        level: "error" or "warning".
        file: Path of the file, as given.
        key: Dotted key in it, or "" for the whole file.
        message: What is wrong and what to do next.
    """

    level: str
    file: str
    key: str
    message: str


@dataclass(frozen=True)
class Facts:
    """What other submissions are compared with.

    Attributes:
        task: Identifier.
        multilingual: Headline mAP of the multilingual setting.
        parameters: Of the model, None where it does not say.
        digest: SHA-256 over all ranks.
    """

    task: str
    multilingual: float | None
    parameters: int | None
    digest: str


@dataclass
class Examined:
    """One submission's findings and facts."""

    folder: Path
    findings: list[Finding] = field(default_factory=list)
    facts: list[Facts] = field(default_factory=list)

    def add(self, level: str, path: Path, key: str, message: str) -> None:
        """Note a finding."""
        self.findings.append(Finding(level, printable(str(path)), printable(key), printable(message)))

    def fail(self, path: Path, error: ClirbenchError) -> None:
        """Note an error whose message already names the file and key."""
        message = str(error).removeprefix(f"{path}: ")
        key = re.match(r"'([^']+)' (is wrong|must|is not)", message)
        self.add("error", path, key[1] if key else "", message)


def examine(folder: Path, untrusted: bool = False) -> Examined:
    """Examine one submission's folder. Nothing is followed out of it, nothing is read beyond its limit.

    Args:
        folder: ``submissions/<org>__<model>``.
        untrusted: Refuse what only maintainers may add: verifications and reported figures.

    Returns:
        Findings, and facts of its measured results.
    """
    found = Examined(folder)
    try:
        names = reading.entries(folder)
    except ClirbenchError as error:
        found.fail(folder, error)
        return found
    known = [name for name in (*list_tasks(), *_REPORTED_ONLY) if name != "demo"]
    allowed = {model_toml.FILE, VERIFICATION}
    allowed |= {f"{task}{ending}" for task in known for ending in (".json", RANKS_ENDING)}
    for name in names:
        if name not in allowed:
            remedy = (
                "the demo ranks no models" if name.startswith("demo.") else "leave only results, ranks and model.toml"
            )
            found.add(
                "error", folder / ascii(name)[1:-1], "", f"does not belong into a submission: remove it ({remedy})"
            )
    model = _model(folder, names, found)
    results: dict[str, Document | Reported] = {}
    for task in known:
        if f"{task}.json" in names:
            document = _result(folder, task, names, untrusted, found)
            if document is not None:
                results[task] = document
                _names(folder, task, document, model, found)
        elif f"{task}{RANKS_ENDING}" in names:
            found.add(
                "error", folder / f"{task}{RANKS_ENDING}", "", f"has no {task}.json beside it: add it, or remove this"
            )
    if not any(f"{task}.json" in names for task in known):
        found.add("error", folder, "", f"holds no result: add {' or '.join(f'{task}.json' for task in known)}")
    if VERIFICATION in names:
        _verification(folder, results, untrusted, found)
    return found


def _model(folder: Path, names: list[str], found: Examined) -> ModelFile | None:
    path = folder / model_toml.FILE
    if model_toml.FILE not in names:
        found.add("error", path, "", "is missing: clirbench submit writes it")
        return None
    try:
        model = parse_model_file(reading.read_bounded(path, TOML_LIMIT), path)
    except ClirbenchError as error:
        found.fail(path, error)
        return None
    for key, trick in reading.tricks(model.model_dump()):
        found.add("error", path, key, trick)
    if not model.licence or not model.contact:
        found.add("warning", path, "licence" if not model.licence else "contact", "is empty: say it if you can")
    return model


def _result(folder: Path, task: str, names: list[str], untrusted: bool, found: Examined) -> Document | Reported | None:
    path, ranks_path = folder / f"{task}.json", folder / f"{task}{RANKS_ENDING}"
    try:
        document = parse_submitted(reading.read_bounded(path, JSON_LIMIT), path)
    except ClirbenchError as error:
        found.fail(path, error)
        return None
    for key, trick in reading.tricks(document.model_dump()):
        found.add("error", path, key, trick)
    if document.task.id != task:
        found.add("error", path, "task.id", f"is {document.task.id[:40]!a}, not {task}: name the file after its task")
        return document
    if isinstance(document, Reported):
        if ranks_path.name in names:
            found.add("error", ranks_path, "", "does not belong to reported figures: remove it")
        if untrusted:
            found.add(
                "error", path, "origin", "reported figures come from maintainers: open an issue with their source"
            )
        _reported(path, document, found)
        return document
    if task not in list_tasks():
        found.add("error", path, "task.id", "clirbench cannot measure this task yet: remove the file")
        return document
    if ranks_path.name not in names:
        found.add("error", ranks_path, "", "is missing: put the ranks file beside its result")
        return document
    try:
        content = reading.read_bounded(ranks_path, RANKS_LIMIT)
        if document.ranks.file != ranks_path.name:
            found.add("error", path, "ranks.file", f"is not {ranks_path.name}: name the ranks file after its task")
        if hashlib.sha256(content).hexdigest() != document.ranks.sha256:
            found.add(
                "error",
                path,
                "ranks.sha256",
                f"is not the SHA-256 of {ranks_path.name}: submit both as they were written",
            )
        shipped = load_task(task)
        if document.task.languages != list(shipped.languages) or document.ranks.rows != shipped.counts["gold_pairs"]:
            # Nothing below would be about the same pool, and the number of rows bounds what is read.
            found.add(
                "error", path, "task.languages", "is not a run on the whole task: leave out --languages and --settings"
            )
            return document
        ranks = decode_ranks(content, document, ranks_path)
    except ClirbenchError as error:
        found.fail(ranks_path, error)
        return document
    _measured(path, ranks_path, Result(document, ranks, content), found)
    return document


def _measured(path: Path, ranks_path: Path, result: Result, found: Examined) -> None:
    document, ranks = result.document, result.ranks
    task = load_task(document.task.id)
    for key, names in (("metrics", task.metrics), ("bias", task.bias)):
        if getattr(document.task, key) != list(names):
            found.add(
                "error", path, f"task.{key}", f"is not what {task.id} asks for: run the model again with this clirbench"
            )
    if gold_digest(ranks) != task.gold_sha256:
        found.add("error", ranks_path, "", f"its rows are not the gold pairs of {task.id}: submit it as it was written")
        return
    rules = impossible(ranks, task.counts["candidates"])
    for rule in rules:
        found.add("error", ranks_path, "", f"{rule}: no ranking can give these ranks, run the model again")
    if rules:
        return
    differences = rescore(result).differences
    for difference in differences[:_SHOWN]:
        stated, expected = f"{difference.stated}"[:60], f"{difference.found}"[:60]
        message = f"is {stated}, but the ranks and the task give {expected}: submit the file as it was written"
        found.add("error", path, difference.key, message)
    if len(differences) > _SHOWN:
        found.add("error", path, "", f"{len(differences) - _SHOWN} more numbers differ")
    if differences:
        return
    if document.cost.zero_vectors:
        found.add("warning", path, "cost.zero_vectors", "is not 0: some texts got no vector and were scored as lost")
    if document.model.revision is None:
        found.add("warning", path, "model.revision", "is null: nobody can tell which version of the model this was")
    digest = hashlib.sha256(
        ranks.own_rank.tobytes() + (ranks.pool_rank.tobytes() if ranks.pool_rank is not None else b"")
    )
    found.facts.append(
        Facts(
            task=task.id,
            multilingual=result.score("multilingual", "mAP"),
            parameters=document.model.parameters,
            digest=digest.hexdigest(),
        )
    )


def _reported(path: Path, document: Reported, found: Examined) -> None:
    if not document.source.url.startswith("https://"):
        found.add("error", path, "source.url", "is not an https:// address: say where the figures were read")
    if document.task.id in list_tasks():
        unknown = set(document.task.languages) - set(load_task(document.task.id).languages)
        if unknown:
            found.add(
                "error", path, "task.languages", f"has {sorted(unknown)[0][:20]!a}, which is not the task's: remove it"
            )
    for setting, numbers in document.headline.items():
        if setting not in (*SETTINGS, "bias"):
            found.add("error", path, f"headline.{setting[:40]}", f"is no setting: use {', '.join(SETTINGS)} or bias")
            continue
        names = ([], list(numbers)) if setting == "bias" else (list(numbers), [])
        for _, name in unknown_names(*names):
            found.add(
                "error", path, f"headline.{setting}.{name[:40]}", "is no metric of clirbench: see clirbench metrics"
            )
        for name, estimate in numbers.items():
            key = f"headline.{setting}.{name}"
            values = [row[setting][name] for row in document.per_language.values() if name in row.get(setting, {})]
            if estimate.low is not None or estimate.high is not None:
                found.add("error", path, key, "has an interval, which no published mean gives: leave it null")
            if setting != "bias" and any(v is None or not 0 <= v <= 1 for v in (estimate.value, *values)):
                found.add("error", path, key, "is not between 0 and 1: shares are not in percent")
            elif values and estimate.value is not None:
                mean = math.fsum(v for v in values if v is not None) / len(values)
                if not math.isclose(mean, estimate.value, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
                    found.add(
                        "error", path, key, f"is not the mean over its languages, {mean:.6f}: correct one of them"
                    )


def _names(folder: Path, task: str, document: Document | Reported, model: ModelFile | None, found: Examined) -> None:
    path = folder / f"{task}.json"
    name = document.model.name
    if not _NAME.fullmatch(name) or len(name) > 120:
        found.add(
            "error", path, "model.name", f"is {name[:60]!a}: use ORG/NAME in A-Z a-z 0-9 . _ - (clirbench submit does)"
        )
    transform = document.encoder.transform if isinstance(document, Document) else None
    if folder.resolve().name != run_folder(name, transform):
        wanted = ascii(run_folder(name, transform))
        found.add("error", path, "model.name", f"belongs into a folder named {wanted}, not {folder.name!a}")
    if model is None:
        return
    toml = folder / model_toml.FILE
    if model.name != name:
        found.add("error", toml, "name", f"is {model.name[:60]!a}, but {path.name} says {name[:60]!a}: make them equal")
    if isinstance(document, Reported):
        return
    stated = document.model
    for key, said, measured in (
        ("parameters", model.parameters, stated.parameters),
        ("embedding_size", model.embedding_size, stated.dimensions),
        ("max_length", model.max_length, document.encoder.max_length),
        ("query_prefix", model.query_prefix, document.encoder.query_prompt),
        ("candidate_prefix", model.candidate_prefix, document.encoder.candidate_prompt),
    ):
        if said != measured and said is not None and measured is not None:
            shown = f"{said!a}"[:60], f"{measured!a}"[:60]
            found.add("error", toml, key, f"is {shown[0]}, but {path.name} says {shown[1]}: make them equal")


def _verification(folder: Path, results: dict[str, Document | Reported], untrusted: bool, found: Examined) -> None:
    path = folder / VERIFICATION
    if untrusted:
        found.add("error", path, "", "only maintainers verify: remove it")
    try:
        verification = parse_verification(reading.read_bounded(path, JSON_LIMIT), path)
    except ClirbenchError as error:
        found.fail(path, error)
        return
    for key, trick in reading.tricks(verification.model_dump()):
        found.add("error", path, key, trick)
    document = results.get(verification.task)
    if not isinstance(document, Document) or document.ranks.sha256 != verification.ranks_sha256:
        found.add(
            "error", path, "ranks_sha256", "is of other ranks than the submission holds: run clirbench verify again"
        )
