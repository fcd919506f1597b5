"""Run one model on several tasks for `clirbench run`, and write each result as soon as it is computed."""

import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from clirbench.cli.check_options import check_streaming
from clirbench.encoders.api_cost import api_cost, check_price, spent
from clirbench.encoders.base import EncoderOptions, LoadedModel
from clirbench.encoders.bundled import DEFAULT
from clirbench.encoders.describe import describe
from clirbench.encoders.load import load_encoder
from clirbench.encoders.several_devices import refuse_several
from clirbench.evaluation.evaluate import evaluate_loaded
from clirbench.evaluation.loaded_task import InMemoryTask, LoadedTask, announce, load_data
from clirbench.evaluation.streaming.options import Streaming
from clirbench.evaluation.text_lengths import cut_note, unknown_note
from clirbench.metrics.scores import check_names
from clirbench.ranking.device import check_count_on, device_to_count_on
from clirbench.results.build import task_part
from clirbench.results.file_names import MTEB_FILE_START, MTEB_PREFIX, result_stem, run_folder
from clirbench.results.read import parse_mteb_result, read_mteb_result
from clirbench.results.result import Result, read_result, refuse_changed_task
from clirbench.results.schema import Document, MtebDocument
from clirbench.support.commands import command
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import only_writer, remove_stale_lock, write_atomically, writing
from clirbench.support.paths import cache_dir
from clirbench.support.progress import Reporter, reporting
from clirbench.tasks.selection import Selection, select
from clirbench.tasks.task_file import default_task, is_on_board, load_task, standard_suite


@dataclass(frozen=True)
class RunRequest:
    """The options of one call of `clirbench run`; None means the default.

    ``price`` is in dollars per million tokens of an API.
    """

    model: str | None
    tasks: list[str] | None
    languages: list[str] | None
    settings: list[str] | None
    options: EncoderOptions
    output: Path
    force: bool
    use_cache: bool
    allow_zero_vectors: bool
    count_on: str = "auto"
    streaming: Streaming = field(default_factory=Streaming)
    price: float | None = None


@dataclass(frozen=True)
class Outcome:
    """Results with their paths, a line about the next step, and the results on mteb's own tasks."""

    results: list[tuple[Document, Path]]
    next_step: str
    mteb_results: list[tuple[MtebDocument, Path]] = field(default_factory=list)


@dataclass(frozen=True)
class _Wanted:
    """A selection to run, the path of its result, and the result that exists there already, if any.

    ``changed`` names the lists of measures ("metrics", "bias") that the task file has changed since. The numbers of ``kept`` are
    those of the new lists.
    """

    selection: Selection
    path: Path
    kept: Result | None
    changed: tuple[str, ...] = ()


def run_tasks(request: RunRequest) -> Outcome:
    """Evaluate the tasks without a result, and write each result as soon as it is computed.

    An existing result is kept if it is of the same run: task, restriction, model revision and encoder settings. If only
    metrics or measures of bias of the task have changed, it is recomputed from its ranks. If it is of another run, the function
    fails before anything is computed, and does not change the file.

    Raises:
        ClirbenchError: An option, a model, a task or a file is wrong; the message says which.
    """
    check_price(request.price)
    check_count_on(request.count_on)
    if request.streaming.engine == "ray":
        refuse_several(request.options, "each Ray worker")
    name = DEFAULT if request.model is None else request.model
    names = request.tasks or ([default_task()] if request.model is None else standard_suite())
    selections = [
        _select(task, request.languages, request.settings) for task in names if not task.startswith(MTEB_PREFIX)
    ]
    mteb_names = [task.removeprefix(MTEB_PREFIX) for task in names if task.startswith(MTEB_PREFIX)]
    check_streaming(request.streaming, request.model, [chosen.task for chosen in selections], bool(mteb_names))
    with reporting() as reporter, ExitStack() as writers:
        cache = cache_dir() if request.use_cache else None
        context = RunContext(
            vectors=cache and cache / "vectors",
            inventories=cache and cache / "inventories",
            reporter=reporter,
            force=request.force,
            allow_zero=request.allow_zero_vectors,
            count_on=request.count_on,
        )
        begin = time.perf_counter()
        model = _load(name, selections, request)
        load_seconds = time.perf_counter() - begin
        context.memory.loaded()
        if request.streaming.engine == "local":
            # Said before hours of encoding. Nodes of a cluster have devices of their own.
            device_to_count_on(request.count_on, model)
        folder = request.output / run_folder(model.info.name, model.settings.variant)
        # Held until the results are saved: two runs at once would end well, and one result would be lost.
        wanted = [_claim(chosen, folder, model, request, writers, reporter) for chosen in selections]
        for one in wanted:
            if one.kept is not None and one.changed:
                one.kept.save(request.output)
                what = " and ".join(f"'{key}'" for key in one.changed)
                reporter.note(
                    f"{one.selection.task.id}: recomputed {one.path} from its ranks, because the task now has other {what}"
                )
            elif one.kept is not None:
                reporter.note(f"{one.selection.task.id}: kept {one.path} (same run; --force runs it again)")
        for line in describe(model):
            reporter.note(line)
        try:
            results = _run_missing(model, wanted, request, context, load_seconds)
        finally:
            # What a failed run has spent is said too.
            for line in spent(model, request.price):
                reporter.note(line)
        if results and (peak := context.memory.line()):
            reporter.note(peak)
        theirs = _run_mteb_tasks(model, mteb_names, folder, request.languages, request.streaming.data, context)
    ordered = [(results[one.path] if one.kept is None else one.kept.document, one.path) for one in wanted]
    return Outcome(ordered, _next_step(request, ordered), theirs)


def _select(name: str, languages: list[str] | None, settings: list[str] | None) -> Selection:
    task = load_task(name)
    check_names(task)
    return select(task, languages, settings)


def _load(name: str, selections: Sequence[Selection], request: RunRequest) -> LoadedModel:
    if request.streaming.vectors is None:
        return load_encoder(name, request.options)
    from clirbench.encoders.precomputed import load_vectors

    languages = dict.fromkeys(language for chosen in selections for language in chosen.languages)
    return load_vectors(request.streaming.vectors, list(languages), request.options)


def _claim(
    chosen: Selection, folder: Path, model: LoadedModel, request: RunRequest, writers: ExitStack, reporter: Reporter
) -> _Wanted:
    """Look for the result of a selection. If there is none, claim its place until ``writers`` is closed."""
    wanted = _look(chosen, folder, model, request)
    if wanted.kept is not None:
        from clirbench.evaluation.streaming.counts_folder import CountsFolder

        remove_stale_lock(wanted.path)
        CountsFolder(_counts_beside(wanted.path)).remove_finished(wanted.path)
        return wanted
    writers.enter_context(only_writer(wanted.path, "choose another folder with --output", reporter.note))
    _check_writable(wanted.path)
    # Another run may have ended since the first look.
    return _look(chosen, folder, model, request)


def _look(chosen: Selection, folder: Path, model: LoadedModel, request: RunRequest) -> _Wanted:
    """Look for the result of a selection."""
    path = folder / f"{result_stem(task_part(chosen), chosen.task)}.json"
    kept = None if request.force else _kept(path, chosen, model)
    if kept is not None and request.streaming.top:
        from clirbench.evaluation.streaming.best_passages import check_runs

        check_runs(path, kept.document, request.streaming.top)
    if kept is None:
        return _Wanted(chosen, path, None)
    stated, task = kept.document.task, chosen.task
    lists = {"metrics": (stated.metrics, task.metrics), "bias": (stated.bias, task.bias)}
    changed = tuple(key for key, (there, now) in lists.items() if there != list(now))
    if changed:
        from clirbench.results.rescore import with_measures

        kept = with_measures(kept, task.metrics, task.bias)
    return _Wanted(chosen, path, kept, changed)


def _run_missing(
    model: LoadedModel, wanted: Sequence[_Wanted], request: RunRequest, context: RunContext, model_seconds: float
) -> dict[Path, Document]:
    """Load the tasks without a result, evaluate those in memory, then the streamed tasks, and write each result."""
    ready: list[tuple[_Wanted, LoadedTask, float]] = []
    for one in wanted:
        if one.kept is None:
            begin = time.perf_counter()
            stream = partial(_stream, path=one.path, model=model, request=request, context=context)
            task = load_data(one.selection, context, stream=stream)
            ready.append((one, task, model_seconds + time.perf_counter() - begin))
    if model.api and ready:
        # Streamed tasks refuse an API model, so all tasks are in memory here.
        collections = [task.collection for _, task, _ in ready if isinstance(task, InMemoryTask)]
        forecast = api_cost(model, collections, context.vectors)
        context.reporter.note(forecast.line(model.info.name, request.price))
    announce([task for _, task, _ in ready], model, context)
    results = {}
    # Tasks of seconds come before tasks of days. A task's texts are removed from memory once its result is written.
    queue = deque(sorted(ready, key=lambda item: item[0].selection.task.streamed))
    ready.clear()
    while queue:
        one, task, seconds = queue.popleft()
        result = evaluate_loaded(model, task, context, seconds)
        task.write_runs(one.path, model, context)
        result.save(request.output, force=request.force)
        task.forget()
        results[one.path] = result.document
        cost, task_id = result.document.cost, one.selection.task.id
        # A streamed task keeps counts of shards, not vectors.
        if cost.texts_encoded < cost.texts and not one.selection.task.streamed:
            kept = cost.texts - cost.texts_encoded
            context.reporter.note(f"{task_id}: {kept:,} of {cost.texts:,} texts came from the cache")
        if cost.zero_vectors:
            context.reporter.note(f"{task_id}: {cost.zero_vectors} all-zero vectors, scored as lost")
        document = result.document
        for note in (cut_note(model, document.lengths), unknown_note(document.lengths, document.indistinguishable)):
            if note:
                context.reporter.note(f"{task_id}: {note}")
    return results


def _stream(
    selection: Selection, path: Path, model: LoadedModel, request: RunRequest, context: RunContext
) -> LoadedTask:
    """Open a streamed task. Its finished counts are kept beside the result until the result is written."""
    # A run on tasks in memory does without what reads a corpus.
    from clirbench.evaluation.streaming.first_pass import refuse_api, require_streamable
    from clirbench.evaluation.streaming.streamed_task import StreamedTask

    refuse_api(model, selection.task.id)
    require_streamable(model)
    streaming, engine = request.streaming, None
    if streaming.engine == "ray":
        from clirbench.evaluation.streaming.ray_engine import connect, ray_engine

        streaming = connect(streaming)
        engine = ray_engine(str(request.model or DEFAULT), request.options, model, context.reporter)
    return StreamedTask(selection, streaming, _counts_beside(path), engine)


def _counts_beside(path: Path) -> Path:
    """The folder where the counts of a streamed task are kept until its result is written to ``path``."""
    return path.with_name(f"{path.stem}.shards")


def _check_writable(path: Path) -> None:
    """Write a file and remove it, so that an error of the folder shows before hours of work."""
    probe = path.with_name(f".{path.name}.probe")
    with writing(path, "choose another folder with --output"):
        write_atomically(probe, b"")
        probe.unlink(missing_ok=True)


def _kept(path: Path, chosen: Selection, model: LoadedModel) -> Result | None:
    """Read the result at ``path``, and check that it is of the same run; None if there is no result."""
    if not path.exists():
        return None
    try:
        result = read_result(path)
    except ClirbenchError as error:
        raise ClirbenchError(f"{error} (--force replaces it, --output writes elsewhere)") from error
    wanted = {
        "id": chosen.task.id,
        "hash": chosen.task.hash,
        "languages": list(chosen.languages),
        "settings": list(chosen.settings),
        **model.identity,
    }
    refuse_changed_task(
        path, result.document.task, task_part(chosen), "--force replaces it, --output FOLDER keeps both"
    )
    for key, value in result.document.identity.items():
        if wanted[key] != value:
            raise ClirbenchError(
                f"{path} holds another run ({key.replace('_', ' ')}: {value!r} there, {wanted[key]!r} now): "
                "pass --output for another folder, or --force to replace it"
            )
    if model.info.revision is None:
        remedy = "give it a 'revision' attribute, " if model.info.kind == "own" else ""
        remedy = "declare its --revision, " if model.served_by else remedy
        raise ClirbenchError(
            f"{path} is there, and nobody can tell whether {model.info.name} has changed since, because it has no revision: "
            f"{remedy}pass --output for another folder, or --force to replace it"
        )
    return result


def _run_mteb_tasks(
    model: LoadedModel,
    names: Sequence[str],
    folder: Path,
    languages: Sequence[str] | None,
    data: Path | None,
    context: RunContext,
) -> list[tuple[MtebDocument, Path]]:
    """Let mteb evaluate its own tasks without a result, and write each result as soon as it is computed.

    ``folder`` holds the model's results. ``data`` holds a copy of the data; None for ``CLIRBENCH_MIRROR`` or the hub.
    """
    results = []
    for name in names:
        if not name or "/" in name or name.startswith("."):
            raise ClirbenchError(
                f"--tasks has '{MTEB_PREFIX}{name[:60]}': give mteb's name of a task, such as mteb:MLQARetrieval"
            )
        stem = "+".join([name, "-".join(languages)]) if languages else name
        path = folder / f"{MTEB_FILE_START}{stem}.json"
        if path.exists() and not context.force:
            remove_stale_lock(path)
            document = read_mteb_result(path)
            stated = document.identity
            same = all(value == stated.get(key, value) for key, value in model.identity.items())
            if document.model.revision is None or not same:
                raise ClirbenchError(
                    f"{path} holds another run: pass --output for another folder, or --force to replace it"
                )
            context.reporter.note(f"mteb:{name}: kept {path} (same model; --force runs it again)")
        else:
            from clirbench.integrations.mteb_tasks import run_mteb_task

            context.reporter.note(f"mteb:{name}: evaluated by mteb")
            with only_writer(path, "choose another folder with --output", context.reporter.note):
                document = run_mteb_task(model, name, languages, data)
                content = (document.model_dump_json(indent=1) + "\n").encode()
                parse_mteb_result(content, path)
                with writing(path, "choose another folder with --output"):
                    write_atomically(path, content)
        results.append((document, path))
    return results


def _next_step(request: RunRequest, results: list[tuple[Document, Path]]) -> str:
    if request.model is None:
        return "next: evaluate your own encoder with  clirbench run --model ORG/NAME  (or a folder)"
    if not results:
        return "next: see how it finds answers in every language with the same command, without --tasks"
    document, path = results[0]
    if not document.task.complete and document.corpus is None:
        return "next: leave out --languages and --settings for a result that can be compared"
    check = f"next: check that the numbers follow from the ranks with  {command('score', path)}"
    if not any(document.task.complete and is_on_board(document.task.id) for document, _ in results):
        return check
    submit = command("submit", path.parent, "--org", "NAME")
    return f"{check}\n      see the row on a board of your own:  {submit}  and  clirbench site serve"
