"""Assemble a submission from a folder of results: the result files, and ``model.toml`` with all known values."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clirbench.results.file_names import mteb_result_files, result_path, run_folder
from clirbench.results.read import one_line_errors, read_mteb_result
from clirbench.results.result import Result, other_run, read_results, refuse_another_task
from clirbench.results.schema import Document
from clirbench.submissions import model_toml
from clirbench.submissions.model_toml import ModelFile, evaluation_sets, holds, parse_model_file, write_model_file
from clirbench.submissions.safe_text import tricks
from clirbench.submissions.verification import FILE as VERIFICATION
from clirbench.support.errors import ClirbenchError, first_line, printable
from clirbench.support.files import only_writer, write_atomically
from clirbench.support.text_files import read_text
from clirbench.tasks.task_file import board_tasks

_ORG = re.compile(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*")
_TEXT = ("link", "revision", "licence", "base_model", "contact", "citation")
_NUMBERS = ("parameters", "embedding_size", "max_length")
Ask = Callable[[str, str], str]


@dataclass(frozen=True)
class Submission:
    """An assembled submission.

    ``missing`` lists the keys of ``model.toml`` without a value; ``commands`` open the pull request.
    """

    folder: Path
    tasks: list[str]
    missing: list[str]
    commands: list[str]


def submit(
    results: Path,
    org: str,
    submissions: Path,
    *,
    card: Path | None = None,
    answers: Mapping[str, str] | None = None,
    ask: Ask | None = None,
    force: bool = False,
) -> Submission:
    """Assemble ``submissions/<org>__<model>/`` from the results of one model.

    Args:
        results: The folder of the model's results, or a folder that holds only that folder.
        org: Whose submission it is; it becomes the first part of the model's name.
        submissions: The folder of submissions.
        card: A model card (README.md, or the folder with it) to read licence, base model and data sets from.
        answers: Values for ``model.toml`` by key (``licence``, ``trained_on.TASK``); they replace values of every other source.
        ask: Called with the key of a missing value and a suggestion; returns the value.
        force: Replace results of another run. The answers of an existing ``model.toml`` are always kept.

    Raises:
        ClirbenchError: There is no result on a whole task, the results are of different models, or an answer does not fit.
    """
    if not _ORG.fullmatch(org) or len(org) > 60:
        raise ClirbenchError(
            f"--org is '{org[:40]}': use letters and digits, with single '.', '-' and '_' between them"
        )
    results = _one_model_folder(results)
    whole = _whole_results(results)
    first = whole[0].document
    name = f"{org}/{_plain(first.model.name)}"
    folder = submissions / run_folder(name, first.encoder.variant)
    values = _answered(_known(whole[0].document, name, card, folder), dict(answers or {}), ask)
    with one_line_errors(Path(model_toml.FILE), "TOML", "correct the answer"):
        model = ModelFile.model_validate(values)
    content = write_model_file(model)
    parse_model_file(content, folder / model_toml.FILE)
    for key, trick in tricks(model.model_dump()):
        raise ClirbenchError(f"model.toml: '{printable(key)}' {trick}")
    mteb_results = _mteb_results(results, folder, first, name, force)
    with only_writer(folder, "choose another folder with --submissions"):
        for result in whole:
            renamed = result.document.model.model_copy(update={"name": name})
            document = result.document.model_copy(update={"model": renamed})
            Result(document, result.ranks, result.ranks_file).save(submissions, force=force)
        for path, renamed_result in mteb_results.items():
            write_atomically(path, renamed_result)
        write_atomically(folder / model_toml.FILE, content)
    missing = [key for key in _TEXT if not values[key]]
    missing += [f"trained_on.{task}" for task in evaluation_sets() if values["trained_on"][task] == "unknown"]
    return Submission(
        folder=folder,
        tasks=[result.document.task.id for result in whole],
        missing=missing,
        commands=[
            f"git switch -c {shlex.quote(f'submit-{folder.name}')}",
            f"git add {shlex.quote(str(folder))}",
            f'git commit -m "Results of {name}"',
            "git push -u origin HEAD   # to your fork; then open the pull request that it offers",
        ],
    )


def _plain(name: str) -> str:
    """The last part of a model's name, with '-' for characters that the board does not allow in a name."""
    unfit = r"[^A-Za-z0-9]*([._-])[^A-Za-z0-9]*|[^A-Za-z0-9._-]+"
    last = re.sub(unfit, lambda match: match[1] or "-", name.rsplit("/", 1)[-1])
    plain = last.strip("._-")[:80].rstrip("._-")
    if not plain:
        raise ClirbenchError(
            f"the model is called {name[:40]!a}: run it again with --name ORG/NAME in A-Z a-z 0-9 . _ -"
        )
    return plain


def _mteb_results(results: Path, folder: Path, first: Document, name: str, force: bool) -> dict[Path, bytes]:
    """The new content of each result on mteb's own tasks, by its new path: the same scores under the model's new name."""
    contents = {}
    for file in mteb_result_files([path.name for path in results.iterdir()]):
        document = read_mteb_result(results / file)
        if document.encoder != first.encoder or document.model.revision != first.model.revision:
            raise ClirbenchError(
                f"{results / file}: is of another model than {first.task.id}: run the task again, or remove it"
            )
        renamed = document.model_copy(update={"model": document.model.model_copy(update={"name": name})})
        content = (renamed.model_dump_json(indent=1) + "\n").encode()
        if not force and (folder / file).is_file() and (folder / file).read_bytes() != content:
            raise ClirbenchError(f"{folder / file} holds another run: pass --force to replace it")
        contents[folder / file] = content
    return contents


def _one_model_folder(folder: Path) -> Path:
    """The folder of one model's results: the given folder, or the only folder in it."""
    if not folder.is_dir():
        raise ClirbenchError(f"{folder}: is not a folder: give the folder of results that clirbench run wrote")
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and any(path.glob("*.json")))
    if any(folder.glob("*.json")) or not inner:
        return folder
    if len(inner) > 1:
        raise ClirbenchError(f"{folder}: holds results of {len(inner)} models: give one, such as {inner[0]}")
    return inner[0]


def _whole_results(folder: Path) -> list[Result]:
    """The results on whole tasks of the board, all of one model with the same settings."""
    results = read_results(folder, leave_out=[VERIFICATION])
    whole = [r for r in results if r.document.task.complete and r.document.task.id in board_tasks()]
    if not whole:
        tasks = ", ".join(board_tasks())
        held = ", ".join(result.document.task.id for result in results if result.document.task.complete)
        if held:
            raise ClirbenchError(
                f"{folder}: holds results on {held} only; own tasks and the demo are not for the board: "
                f"run a task of the board ({tasks})"
            )
        raise ClirbenchError(
            f"{folder}: holds no result on a whole task of the board ({tasks}): "
            "clirbench run --model ORG/NAME without --languages and --settings"
        )
    for result in whole:
        path = folder / result_path(result.document).name
        refuse_another_task(path, result.document.task)
        if result.document.compact is not None:
            raise ClirbenchError(
                f"{path}: has rounded ranks, and the board compares exact ones: remove it, and run the model again with "
                f"clirbench run --tasks {result.document.task.id}"
            )
    first = whole[0].document
    for other in (result.document for result in whole[1:]):
        if part := other_run(first, other):
            pair = f"{other.task.id} and {first.task.id}"
            raise ClirbenchError(f"{folder}: {pair} differ in '{part}': run both with one model")
    return whole


def _known(document: Document, name: str, card: Path | None, folder: Path) -> dict[str, Any]:
    """Values for ``model.toml``, from four sources: the result, mteb's registry, the model card, and an earlier submission.

    Each source replaces the values of the sources before it. But the numbers and the revision always come from the result.
    """
    values: dict[str, Any] = {
        "format": 1,
        **dict.fromkeys(_TEXT, ""),
        "name": name,
        "revision": document.model.revision or "",
        "parameters": document.model.parameters,
        "embedding_size": document.model.dimensions,
        "max_length": document.encoder.longest_input,
        "query_prefix": document.encoder.query_prompt,
        "candidate_prefix": document.encoder.candidate_prompt,
        "training_data": [],
        "trained_on": dict.fromkeys(evaluation_sets(), "unknown"),
        # The first day of the row: an earlier submission keeps its own.
        "submitted": datetime.now(UTC).date().isoformat(),
    }
    on_hub = document.model.revision_kind in ("hub-commit", "mteb")
    if on_hub:
        values["link"] = f"https://huggingface.co/{document.model.name}"
        values |= from_registry(document.model.name)
    values |= _from_card(card, document.model.name if on_hub else None)
    path = folder / model_toml.FILE
    if path.is_file():
        earlier = parse_model_file(path.read_bytes(), path).model_dump()
        # An earlier submission has no answer for a newer task.
        earlier["trained_on"] = values["trained_on"] | earlier["trained_on"]
        values |= {k: v for k, v in earlier.items() if v not in (None, "", []) and k not in ("revision", *_NUMBERS)}
    return values


def _from_card(card: Path | None, hub_name: str | None) -> dict[str, Any]:
    """What a model card says: the given card, or the hub's card if it is cached; empty without a card."""
    from huggingface_hub import ModelCard, try_to_load_from_cache

    path: str | Path | None = card / "README.md" if card is not None and card.is_dir() else card
    if path is None and hub_name is not None:
        cached = try_to_load_from_cache(hub_name, "README.md")
        path = cached if isinstance(cached, str) else None
    if path is None:
        return {}
    text = read_text(Path(path), "correct --card")
    try:
        data = ModelCard(text).data
    # The YAML parser may raise anything, and the cause is always the card.
    except Exception as error:
        raise ClirbenchError(f"{path}: not a model card ({first_line(error)}): correct --card") from error
    # Each of the two may be one name or a list of names.
    base, sets = (
        [str(one) for one in (value if isinstance(value, list) else [value] if value else [])]
        for value in (data.get("base_model"), data.get("datasets"))
    )
    values = {"licence": str(data.get("license") or ""), "base_model": ", ".join(base), "training_data": sets}
    return {key: value for key, value in values.items() if value}


def from_registry(name: str) -> dict[str, Any]:
    """What mteb's registry declares about a model; empty if the registry does not know it."""
    import mteb

    try:
        meta = mteb.get_model_meta(name)
    except (KeyError, ValueError):
        return {}
    sets = sorted(meta.training_datasets or [])
    values: dict[str, Any] = {
        "licence": str(meta.license or ""),
        "base_model": str(meta.adapted_from or ""),
        "citation": str(meta.citation or "").strip(),
        "training_data": sets,
    }
    if sets:
        # The registry names every data set of mteb that a model was trained on. So the answer for any other data set is "no".
        values["trained_on"] = {
            task: "yes" if any(holds(one, task) for one in sets) else "no" for task in evaluation_sets()
        }
    return {key: value for key, value in values.items() if value}


def _answered(known: dict[str, Any], given: dict[str, str], ask: Ask | None) -> dict[str, Any]:
    """Put the given answers in place of known values, and call ``ask`` for values that are still missing."""
    keys = [*_TEXT, *_NUMBERS, "training_data", *(f"trained_on.{task}" for task in evaluation_sets())]
    for key in given:
        if key not in keys:
            raise ClirbenchError(f"--set {key[:40]}=...: unknown key, use one of {', '.join(keys)}")
    values = {**known, "trained_on": dict(known["trained_on"])}
    for key in keys:
        task = key.partition(".")[2]
        # An answer on a task lies in the table trained_on.
        table, name = (values["trained_on"], task) if task else (values, key)
        answer = given.get(key)
        # Numbers come from the result, so the user is not asked for them.
        if answer is None and ask is not None and key not in _NUMBERS and table[name] in ("", [], "unknown"):
            answer = ask(key, "unknown" if task else "")
        if answer is not None:
            table[name] = _parsed(key, answer.strip())
    return values


def _parsed(key: str, answer: str) -> Any:
    """Convert an answer to the type of its key: a text, a number, or a list of names separated by commas."""
    if key == "training_data":
        return [one.strip() for one in answer.split(",") if one.strip()]
    if key not in _NUMBERS:
        return answer
    if not re.fullmatch(r"[0-9][0-9_]{0,20}", answer):
        raise ClirbenchError(f"--set {key}={printable(answer[:40])}: not a whole number")
    return int(answer.replace("_", ""))
