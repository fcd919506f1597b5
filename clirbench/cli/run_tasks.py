"""The driver of `clirbench run`: one model, several tasks, results kept as they come."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from clirbench.cli.check_options import check_streaming
from clirbench.cli.run_mteb import run_mteb_tasks
from clirbench.encoders.api_cost import check_price, estimate
from clirbench.encoders.base import EncoderOptions, LoadedEncoder
from clirbench.encoders.bundled import DEFAULT
from clirbench.encoders.load import load_encoder
from clirbench.encoders.precomputed import load_vectors
from clirbench.evaluation.evaluate import evaluate_loaded
from clirbench.evaluation.streaming.options import Streaming
from clirbench.evaluation.streaming.run import check_runs, run_streamed
from clirbench.metrics.scores import check_names
from clirbench.ranking.from_scorers import texts_to_encode
from clirbench.results.build import task_part
from clirbench.results.file_names import result_stem, run_folder
from clirbench.results.mteb_files import PREFIX
from clirbench.results.result import read_result
from clirbench.results.schema import Document, MtebDocument
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import write_atomically, writing
from clirbench.support.paths import cache_dir
from clirbench.support.progress import ENCODE, RANK, Reporter, follow_download, reporting
from clirbench.tasks.collection import choose_languages, choose_settings, load_collection
from clirbench.tasks.task import Task
from clirbench.tasks.task_file import default_task, load_task, standard_suite


@dataclass(frozen=True)
class Plan:
    """What a user asked `clirbench run` for; None means the default."""

    model: str | None
    tasks: list[str] | None
    languages: list[str] | None
    settings: list[str] | None
    options: EncoderOptions
    output: Path
    force: bool
    use_cache: bool
    allow_zero_vectors: bool
    streaming: Streaming = field(default_factory=Streaming)
    price: float | None = None


@dataclass(frozen=True)
class Outcome:
    """Results with their paths, the line that says what to do next, and the results of mteb's own tasks."""

    results: list[tuple[Document, Path]]
    next_step: str
    mteb_results: list[tuple[MtebDocument, Path]] = field(default_factory=list)


def run_tasks(plan: Plan) -> Outcome:
    """Run what is not there yet and write each result as soon as it is done.

    A result that is there is kept when it is of the same run (task, restriction, model revision, encoder settings). Where
    it is of another run, nothing is computed and nothing is lost: the error says so.

    Raises:
        ClirbenchError: Anything that the user can mend.
    """
    check_price(plan.price)
    name = DEFAULT if plan.model is None else plan.model
    names = plan.tasks or ([default_task()] if plan.model is None else standard_suite())
    tasks = [load_task(task) for task in names if not task.startswith(PREFIX)]
    mteb_names = [task.removeprefix(PREFIX) for task in names if task.startswith(PREFIX)]
    restrictions = []
    for task in tasks:
        check_names(task)
        restrictions.append(
            (choose_languages(task, plan.languages), choose_settings(task, plan.settings, plan.languages))
        )
    check_streaming(plan.streaming, plan.model, tasks, bool(mteb_names))
    with reporting() as reporter:
        begin = time.perf_counter()
        if plan.streaming.vectors is not None:
            languages = dict.fromkeys(language for restriction, _ in restrictions for language in restriction)
            loaded = load_vectors(plan.streaming.vectors, list(languages), plan.options)
        else:
            loaded = load_encoder(name, plan.options)
        model_seconds = time.perf_counter() - begin
        paths = [
            plan.output
            / run_folder(loaded.info.name, loaded.settings.transform)
            / f"{result_stem(task_part(task, languages, settings), task.settings)}.json"
            for task, (languages, settings) in zip(tasks, restrictions, strict=True)
        ]
        kept = {
            i: document
            for i, path in enumerate(paths)
            if not plan.force and (document := _kept(path, tasks[i], restrictions[i], loaded)) is not None
        }
        for i, document in kept.items():
            if plan.streaming.top:
                check_runs(paths[i], document, plan.streaming.top)
            reporter.note(f"{tasks[i].id}: kept {paths[i]} (same run; --force runs it again)")
        for i in set(range(len(tasks))) - set(kept):
            if loaded.api and tasks[i].corpus is not None:
                raise ClirbenchError(
                    f"{loaded.info.name} is an API, and vectors of {tasks[i].id} would be paid for and forgotten: write them to "
                    "files yourself, and pass --vectors"
                )
            _check_writable(paths[i])
        results = _run_missing(plan, tasks, restrictions, loaded, kept, model_seconds, reporter)
        for i, task in enumerate(tasks):
            if task.corpus is not None and i not in kept:
                results[i] = run_streamed(
                    loaded,
                    task,
                    languages=restrictions[i][0],
                    settings=restrictions[i][1],
                    streaming=plan.streaming,
                    model=name,
                    options=plan.options,
                    path=paths[i],
                    output=plan.output,
                    force=plan.force,
                    cache=cache_dir() / "inventories" if plan.use_cache else None,
                    allow_zero=plan.allow_zero_vectors,
                    reporter=reporter,
                )
        theirs = run_mteb_tasks(
            loaded,
            mteb_names,
            plan.output / run_folder(loaded.info.name, loaded.settings.transform),
            languages=plan.languages,
            data=plan.streaming.data,
            force=plan.force,
            reporter=reporter,
        )
    ordered = [(results.get(i) or kept[i], paths[i]) for i in range(len(tasks))]
    return Outcome(ordered, _next_step(plan, ordered), theirs)


def _run_missing(
    plan: Plan,
    tasks: Sequence[Task],
    restrictions: Sequence[tuple[tuple[str, ...], tuple[str, ...]]],
    loaded: LoadedEncoder,
    kept: dict[int, Document],
    model_seconds: float,
    reporter: Reporter,
) -> dict[int, Document]:
    collections = {}
    load_seconds = {}
    for i, task in enumerate(tasks):
        if i not in kept and task.corpus is None:
            begin = time.perf_counter()
            collections[i] = load_collection(task, restrictions[i][0], follow_download(reporter))
            load_seconds[i] = model_seconds + time.perf_counter() - begin
    if collections and loaded.api:
        spending = estimate(loaded, collections.values(), cache_dir() / "vectors" if plan.use_cache else None)
        reporter.note(spending.line(loaded.info.name, plan.price))
    if collections:
        reporter.start(ENCODE, sum(texts_to_encode(loaded, collection) for collection in collections.values()))
        reporter.start(RANK, sum(len(collection.queries) for collection in collections.values()), brief=True)
    results = {}
    for i, collection in collections.items():
        result = evaluate_loaded(
            loaded,
            collection,
            restrictions[i][1],
            {"load": load_seconds[i]},
            cache_dir() / "vectors" if plan.use_cache else None,
            plan.allow_zero_vectors,
            reporter,
        )
        result.save(plan.output, force=plan.force)
        results[i] = result.document
        if result.document.cost.zero_vectors:
            reporter.note(f"{tasks[i].id}: {result.document.cost.zero_vectors} all-zero vectors, scored as lost")
    return results


def _check_writable(path: Path) -> None:
    """Fail before hours of work, not after."""
    probe = path.with_name(f".{path.name}.probe")
    with writing(path, "choose another folder with --output"):
        write_atomically(probe, b"")
        probe.unlink()


def _kept(
    path: Path, task: Task, restriction: tuple[tuple[str, ...], tuple[str, ...]], loaded: LoadedEncoder
) -> Document | None:
    if not path.exists():
        return None
    try:
        document = read_result(path).document
    except ClirbenchError as error:
        raise ClirbenchError(f"{error} (--force replaces it, --output writes elsewhere)") from error
    wanted = {
        "id": task.id,
        "hash": task.hash,
        "languages": list(restriction[0]),
        "settings": list(restriction[1]),
        "name": loaded.info.name,
        "kind": loaded.info.kind,
        "revision": loaded.info.revision,
        **asdict(loaded.settings),
    }
    for key, value in document.identity.items():
        if wanted[key] != value:
            raise ClirbenchError(
                f"{path} holds another run ({key.replace('_', ' ')}: {value!r} there, {wanted[key]!r} now): "
                "pass --output for another folder, or --force to replace it"
            )
    if loaded.info.revision is None:
        raise ClirbenchError(
            f"{path} is there, and nobody can tell whether {loaded.info.name} has changed since: give it a "
            "'revision' attribute, pass --output for another folder, or --force to replace it"
        )
    return document


def _next_step(plan: Plan, results: list[tuple[Document, Path]]) -> str:
    if plan.model is None:
        return "next: evaluate your own encoder with  clirbench run --model ORG/NAME  (or a folder)"
    if not results:
        return (
            f"next: see how it finds answers in every language with  clirbench run --tasks {','.join(standard_suite())}"
        )
    document, path = results[0]
    if document.corpus is not None:
        return f"next: check that the numbers follow from the ranks with  clirbench score {path}"
    if not document.task.complete:
        return "next: leave out --languages and --settings for a result that can be compared"
    return (
        f"next: check that the numbers follow from the ranks with  clirbench score {path}\n"
        f"      see the row on a board of your own:  clirbench submit {path.parent} --org NAME  and  clirbench site serve"
    )
