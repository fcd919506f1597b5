"""Tables of what there is: tasks, bundled models, metrics."""

from rich import box
from rich.console import Console
from rich.table import Table

from clirbench.bias import BIAS, OVERALL_BIAS, BiasMetric
from clirbench.encoders.char_ngram import BUNDLED, DEFAULT
from clirbench.metrics import METRICS, Metric
from clirbench.tasks import list_tasks, load_task


def task_table(console: Console) -> Table:
    """One row per shipped task."""
    table = _table(console, ("task", "languages", "topics", "queries", "candidates", "licence", "what it is"))
    for name in list_tasks():
        task = load_task(name)
        table.add_row(
            task.id,
            f"{len(task.languages)}: {' '.join(task.languages)}",
            f"{task.counts['topics']:,}",
            f"{sum(task.counts['queries'].values()):,}",
            f"{sum(task.counts['candidates'].values()):,}",
            task.licence,
            task.description,
        )
    return table


def model_table(console: Console) -> Table:
    """One row per bundled model."""
    table = _table(console, ("model", "revision", "what it is"))
    for model in BUNDLED.values():
        mark = " (the default)" if model.name == DEFAULT else ""
        table.add_row(model.name, model.revision, model.description + mark)
    return table


def metric_table(console: Console) -> Table:
    """One row per metric and measure of bias."""
    table = _table(console, ("metric", "better", "what it says", "source"))
    known: list[Metric | BiasMetric] = [*METRICS.values(), *BIAS.values()]
    for metric in known:
        better = (
            "near 0" if metric.name == "gold_removal_difference" else "higher" if metric.higher_is_better else "lower"
        )
        table.add_row(metric.name, better, metric.description, metric.source)
    overall = {"own_language_preference": "near 1", "transfer_ratio": "higher"}
    for name, description in OVERALL_BIAS.items():
        table.add_row(name, overall[name], description, "clirbench")
    return table


def _table(console: Console, headings: tuple[str, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for heading in headings:
        right = heading in ("topics", "queries", "candidates")
        # Only prose may wrap: a name that is cut cannot be typed.
        prose = heading in ("what it is", "what it says", "source", "languages")
        table.add_column(heading, justify="right" if right else "left", no_wrap=not prose)
    return table
