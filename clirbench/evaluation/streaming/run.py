"""A streamed task as `clirbench run` runs it: with counts beside the result, and TREC runs where they are asked for."""

from pathlib import Path

from clirbench.encoders.base import EncoderOptions, LoadedEncoder
from clirbench.evaluation.streaming.best_passages import trec_run
from clirbench.evaluation.streaming.evaluate import evaluate_streamed
from clirbench.evaluation.streaming.options import Streaming
from clirbench.evaluation.trec_runs import read_run
from clirbench.results.schema import Document
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import write_atomically, writing
from clirbench.support.progress import Reporter
from clirbench.tasks.task import Task


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
        from clirbench.evaluation.streaming.ray_engine import connect, ray_engine  # noqa: PLC0415

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
        with writing(target, "make room and run again; what is counted is kept"):
            write_atomically(target, trec_run(dict(best), loaded.info.name).encode())
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
