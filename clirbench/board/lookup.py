"""Finding results by what a person would type: a model's name, a folder, a file."""

from pathlib import Path

from clirbench.board.entries import read_entries, submissions_dir
from clirbench.results.file_names import RUN_ENDING
from clirbench.results.result import Result, read_result
from clirbench.submissions.verification import FILE as VERIFICATION
from clirbench.support.errors import ClirbenchError


def results_of(name: str, submissions: Path | None = None) -> dict[str, Result]:
    """The measured results that a name stands for, by task.

    Args:
        name: A result JSON, a folder with some, or the name of a submitted model ("org/model", or with " + lir:2").
        submissions: Folder of submissions, for names.

    Raises:
        ClirbenchError: There is nothing of that name, or nothing measured.
    """
    path = Path(name)
    if path.is_file():
        result = read_result(path)
        return {result.document.task.id: result}
    if path.is_dir():
        found = [
            read_result(file)
            for file in sorted(path.glob("*.json"))
            if file.name != VERIFICATION and not file.name.endswith(RUN_ENDING)
        ]
        if not found:
            raise ClirbenchError(f"{path}: holds no result: give a folder of results, or a result JSON")
        return {result.document.task.id: result for result in found if result.document.task.complete}
    entries = read_entries(submissions_dir(submissions))
    for entry in entries:
        if name in (entry.label, entry.label.replace(" ", ""), entry.folder.name):
            measured = {task: result for task, result in entry.results.items() if isinstance(result, Result)}
            if not measured:
                raise ClirbenchError(f"'{name}' holds reported figures only: without ranks nothing can be tested")
            return measured
    names = ", ".join(entry.label for entry in entries if entry.origin == "measured")
    raise ClirbenchError(f"no file, folder or submitted model '{name[:80]}': the models are {names}")


def common_tasks(first: dict[str, Result], second: dict[str, Result], task: str | None) -> list[str]:
    """Tasks that both hold, or the one asked for.

    Raises:
        ClirbenchError: They share none, or not that one.
    """
    both = [name for name in first if name in second]
    if task is not None:
        both = [name for name in both if name == task]
    if not both:
        wanted = f"task '{task}'" if task else "a task"
        raise ClirbenchError(f"the two do not share {wanted}: they hold {', '.join(first)} and {', '.join(second)}")
    return both
