"""What there is to choose from: the tables of `clirbench tasks`, `models` and `metrics`."""

from rich.table import Table

from clirbench.encoders.bundled import BUNDLED, DEFAULT
from clirbench.metrics.catalogue import metric_rows
from clirbench.tasks.task_file import list_tasks, load_task


def task_list() -> Table:
    """The shipped tasks: size, licence, languages, what each is, and what to know of its settings."""
    table = _named()
    for name in list_tasks():
        task = load_task(name)
        queries, candidates = (sum(task.counts[key].values()) for key in ("queries", "candidates"))
        size = f"{task.counts['topics']:,} topics, {queries:,} queries, {candidates:,} candidates"
        languages = f"{len(task.languages)} languages: {' '.join(task.languages)}"
        notes = ["standard suite: runs where --model is given without --tasks"] if task.standard else []
        notes += ["default: runs where neither --model nor --tasks is given"] if task.default else []
        notes += [f"{setting}: {text}" for setting, text in task.remarks.items()]
        notes += [f"no {setting}: {text}" for setting, text in task.absent.items()]
        table.add_row(task.id, "\n".join([f"{size}; {task.licence}", languages, task.description, *notes, ""]))
    return table


def model_list() -> Table:
    """The bundled models, and which of them runs where none is named."""
    table = _named()
    for model in BUNDLED.values():
        mark = " (the default)" if model.name == DEFAULT else ""
        table.add_row(model.name, f"{model.description}{mark}\n")
    return table


def metric_list() -> Table:
    """The metrics and measures of bias: whether higher or lower is better, what each says, and its source."""
    table = _named()
    for metric in metric_rows():
        table.add_row(metric.name, f"{metric.better} is better: {metric.description}\n{metric.source}\n")
    return table


def _named() -> Table:
    """An empty table of names and what is said of them."""
    table = Table.grid(padding=(0, 2, 0, 0))
    # A name that is cut cannot be typed.
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    return table
