"""Run mteb's own tasks for `clirbench run`, and keep their results."""

from collections.abc import Sequence
from pathlib import Path

from clirbench.encoders.base import LoadedModel
from clirbench.results.mteb_files import FILE_START, PREFIX, parse_mteb_result, read_mteb_result
from clirbench.results.schema import MtebDocument
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import write_atomically, writing


def run_mteb_tasks(
    model: LoadedModel,
    names: Sequence[str],
    folder: Path,
    languages: Sequence[str] | None,
    data: Path | None,
    context: RunContext,
) -> list[tuple[MtebDocument, Path]]:
    """Evaluate the tasks that have no result yet, and write each result as soon as it is done.

    ``folder`` holds the model's results. ``data`` holds a copy of the data; None for ``CLIRBENCH_MIRROR`` or the hub.

    Raises:
        ClirbenchError: A task cannot be run, or the file of a result holds another model's.
    """
    results = []
    for name in names:
        if not name or "/" in name or name.startswith("."):
            raise ClirbenchError(
                f"--tasks has '{PREFIX}{name[:60]}': give mteb's name of a task, such as mteb:MLQARetrieval"
            )
        stem = "+".join([name, "-".join(languages)]) if languages else name
        path = folder / f"{FILE_START}{stem}.json"
        if path.exists() and not context.force:
            document = read_mteb_result(path)
            if document.model.revision is None or not _same(document, model):
                raise ClirbenchError(
                    f"{path} holds another run: pass --output for another folder, or --force to replace it"
                )
            context.reporter.note(f"mteb:{name}: kept {path} (same model; --force runs it again)")
        else:
            from clirbench.integrations.mteb_tasks import run_mteb_task

            context.reporter.note(f"mteb:{name}: evaluated by mteb")
            document = run_mteb_task(model, name, languages, data)
            content = (document.model_dump_json(indent=1) + "\n").encode()
            parse_mteb_result(content, path)
            with writing(path, "choose another folder with --output"):
                write_atomically(path, content)
        results.append((document, path))
    return results


def _same(document: MtebDocument, model: LoadedModel) -> bool:
    """Whether a result is of this model, in this revision and with these settings."""
    return model.identity.items() <= document.identity.items()
