"""A streamed task as `clirbench run` runs it: with counts beside the result, and TREC runs where they are asked for."""

import math
from collections.abc import Sequence
from pathlib import Path

from clirbench.atomic import write_atomically
from clirbench.encoders.base import EncoderOptions, LoadedEncoder
from clirbench.errors import ClirbenchError
from clirbench.progress import Reporter
from clirbench.schema import Document
from clirbench.streaming.evaluation import evaluate_streamed
from clirbench.streaming.top import trec_run
from clirbench.streaming.work import Streaming
from clirbench.tasks import Task
from clirbench.trec import read_run

ENGINES = ("local", "ray")


def check_streaming(streaming: Streaming, model: str | None, tasks: Sequence[Task], foreign: bool = False) -> None:
    """Fail on options that do not fit each other, or the tasks; ``foreign`` says that some are mteb's own, which take a folder.

    Raises:
        ClirbenchError: It names the option.
    """
    for name, value, least in (
        ("shard-size", streaming.shard, 1),
        ("save-top", streaming.top, 0),
        ("workers", streaming.workers, 1),
        ("gpus-per-worker", streaming.gpus_per_worker, 0),
    ):
        if value is not None and value < least:
            raise ClirbenchError(f"--{name} is {value:g}: use {least} or more")
    gpus = streaming.gpus_per_worker
    if not math.isfinite(gpus) or (gpus > 1 and gpus != int(gpus)):
        raise ClirbenchError(f"--gpus-per-worker is {gpus:g}: use a part of 1, or a whole number")
    if streaming.engine not in ENGINES:
        raise ClirbenchError(f"--engine is '{streaming.engine[:40]}': use {', '.join(ENGINES)}")
    if streaming.engine != "ray":
        for name in ("ray_address", "workers", "gpus_per_worker"):
            if getattr(streaming, name):
                raise ClirbenchError(f"--{name.replace('_', '-')} does nothing without --engine ray: add it")
    if streaming.vectors is not None and model is not None:
        raise ClirbenchError("--vectors takes the place of --model: give one of them")
    whole = [task.id for task in tasks if task.corpus is None]
    changed = [name for name in ("data", "vectors", "top") if getattr(streaming, name)]
    changed += ["engine"] if streaming.engine != "local" else []
    if foreign and (changed != ["data"] or len(whole) < len(tasks)):
        whole.append("a task of mteb's")
    if whole and changed:
        option = {"top": "save-top"}.get(changed[0], changed[0])
        raise ClirbenchError(
            f"--{option} serves tasks that are read shard by shard, and {whole[0]} is not: leave one out"
        )


def run_streamed(
    loaded: LoadedEncoder,
    task: Task,
    *,
    languages: tuple[str, ...],
    settings: tuple[str, ...],
    streaming: Streaming,
    model: str,
    options: EncoderOptions,
    path: Path,
    output: Path,
    force: bool,
    cache: Path | None,
    allow_zero: bool,
    reporter: Reporter,
) -> Document:
    """Run one streamed task, and write its result; the counts of finished shards stay beside it until then.

    Args:
        loaded: The encoder.
        task: A streamed task.
        languages: Languages to run, in the task's order.
        settings: Settings to run, in the task's order.
        streaming: How.
        model: Name of the encoder, for workers that load it themselves.
        options: How they load it.
        path: Of the result; counts and TREC runs stand beside it.
        output: Folder of results.
        force: Replace a result, or the counts of another run, that are there.
        cache: Where inventories are kept; None for nowhere.
        allow_zero: Score all-zero vectors as lost instead of stopping.
        reporter: Told of progress.

    Raises:
        ClirbenchError: Something that the user can mend.
    """
    engine = None
    if streaming.engine == "ray":
        from clirbench.distributed import connect, ray_engine  # noqa: PLC0415

        streaming = connect(streaming)
        engine = ray_engine(model, options, loaded.info, reporter)
    streamed = evaluate_streamed(
        loaded,
        task,
        languages=languages,
        settings=settings,
        streaming=streaming,
        folder=path.with_name(f"{path.stem}.shards"),
        cache=cache,
        allow_zero=allow_zero,
        force=force,
        reporter=reporter,
        engine=engine,
    )
    for language, best in streamed.top.items():
        target = run_path(path, language)
        try:
            write_atomically(target, trec_run(dict(best), loaded.info.name).encode())
        except OSError as error:
            raise ClirbenchError(
                f"cannot write {target} ({error.strerror}): make room and run again; what is counted is kept"
            ) from error
        reporter.note(f"{language}: the best {streaming.top} passages of each query are in {target}")
    streamed.result.save(output, force=force)
    streamed.store.remove()
    zero = streamed.result.document.cost.zero_vectors
    if zero:
        reporter.note(f"{task.id}: {zero} all-zero vectors, scored as lost")
    return streamed.result.document


def run_path(path: Path, language: str) -> Path:
    """The TREC run of a language, beside its result."""
    return path.with_name(f"{path.stem}.{language}.trec")


def check_runs(path: Path, document: Document, top: int) -> None:
    """Fail where a result is kept, but lacks the TREC runs that are asked for.

    Raises:
        ClirbenchError: One is missing, or not that deep.
    """
    for language in document.task.languages:
        run = run_path(path, language)
        wanted = min(top, document.counts.candidates[language])
        if not run.is_file() or read_run(run).depth < wanted:
            raise ClirbenchError(
                f"{path} is there, but without a run of {language} that is {wanted} passages deep: --force runs it again"
            )
