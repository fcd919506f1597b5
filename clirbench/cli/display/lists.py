"""Lists of what there is: tasks, bundled models, metrics."""

from rich.table import Table

from clirbench.encoders.bundled import BUNDLED, DEFAULT
from clirbench.metrics.catalogue import metric_rows
from clirbench.tasks.task_file import list_tasks, load_task


def task_list() -> Table:
    """The shipped tasks: sizes, licence, and what each is."""
    found = _list()
    for name in list_tasks():
        task = load_task(name)
        queries, candidates = (sum(task.counts[key].values()) for key in ("queries", "candidates"))
        size = f"{task.counts['topics']:,} topics, {queries:,} queries, {candidates:,} candidates"
        languages = f"{len(task.languages)} languages: {' '.join(task.languages)}"
        notes = [f"{name}: {text}" for name, text in task.remarks.items()]
        notes += [f"no {name}: {text}" for name, text in task.absent.items()]
        found.add_row(task.id, "\n".join([f"{size}; {task.licence}", languages, task.description, *notes, ""]))
    return found


def model_list() -> Table:
    """The bundled models."""
    found = _list()
    for model in BUNDLED.values():
        mark = " (the default)" if model.name == DEFAULT else ""
        found.add_row(model.name, f"{model.description}{mark}\n")
    return found


def metric_list() -> Table:
    """The metrics and measures of bias: which way is up, what each says, and its source."""
    found = _list()
    for metric in metric_rows():
        found.add_row(metric.name, f"{metric.better} is better: {metric.says}\n{metric.source}\n")
    return found


def _list() -> Table:
    found = Table.grid(padding=(0, 2, 0, 0))
    # A name that is cut cannot be typed.
    found.add_column(no_wrap=True, style="bold")
    found.add_column()
    return found
