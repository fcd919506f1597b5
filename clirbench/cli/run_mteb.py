"""mteb's own tasks, as `clirbench run` runs them."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from clirbench.encoders.base import LoadedModel
from clirbench.results.mteb_files import FILE_START, PREFIX, parse_mteb_result, read_mteb_result
from clirbench.results.schema import MtebDocument
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import write_atomically, writing


def run_mteb_tasks(
    loaded: LoadedModel,
    names: Sequence[str],
    folder: Path,
    languages: Sequence[str] | None,
    data: Path | None,
    context: RunContext,
) -> list[tuple[MtebDocument, Path]]:
    """Evaluate mteb's tasks that are not there yet, and write each result as soon as it is done.

    Args:
        loaded: The encoder.
        names: mteb's names of the tasks.
        folder: Of the model's results.
        languages: Only these; the file is named after them.
        data: A copy of the data in a folder.
        context: Its reporter is told of progress; ``force`` runs again and replaces what is there.

    Returns:
        The results with their paths.

    Raises:
        ClirbenchError: A task cannot be run, or another model's result is there.
    """
    found = []
    for name in names:
        if not name or "/" in name or name.startswith("."):
            raise ClirbenchError(
                f"--tasks has '{PREFIX}{name[:60]}': give mteb's name of a task, such as mteb:MLQARetrieval"
            )
        stem = "+".join([name, "-".join(languages)]) if languages else name
        path = folder / f"{FILE_START}{stem}.json"
        if path.exists() and not context.force:
            document = read_mteb_result(path)
            if document.model.revision is None or not _same(document, loaded):
                raise ClirbenchError(
                    f"{path} holds another run: pass --output for another folder, or --force to replace it"
                )
            context.reporter.note(f"mteb:{name}: kept {path} (same model; --force runs it again)")
        else:
            from clirbench.integrations.mteb_tasks import run_mteb_task

            context.reporter.note(f"mteb:{name}: evaluated by mteb")
            document = run_mteb_task(loaded, name, languages, data)
            content = (document.model_dump_json(indent=1) + "\n").encode()
            parse_mteb_result(content, path)
            with writing(path, "choose another folder with --output"):
                write_atomically(path, content)
        found.append((document, path))
    return found


def _same(document: MtebDocument, loaded: LoadedModel) -> bool:
    wanted = {
        "name": loaded.info.name,
        "kind": loaded.info.kind,
        "revision": loaded.info.revision,
        **asdict(loaded.settings),
    }
    return all(wanted[key] == value for key, value in document.identity.items() if key in wanted)
