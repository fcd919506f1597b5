"""Commands that list what there is (`tasks`, `models`, `metrics`), and `init-task`, which starts a task of your own."""

from pathlib import Path
from typing import Annotated

import typer

from clirbench.cli.app import app, examples, listed, optional
from clirbench.support.commands import command
from clirbench.support.errors import ClirbenchError
from clirbench.support.terminal import PlainTable, stdout


@app.command(epilog=examples("clirbench tasks"))
def tasks() -> None:
    """List the tasks, with their licences and sizes."""
    from clirbench.tasks.task_file import list_tasks, load_task

    table = _named()
    for name in list_tasks():
        try:
            task = load_task(name)
        except ClirbenchError as error:
            # One wrong file is no reason to hide the others.
            table.add_row(name, f"cannot be used: {error}\n")
            continue
        queries, candidates = (sum(task.counts[key].values()) for key in ("queries", "candidates"))
        size = f"{task.counts['topics']:,} topics, {queries:,} queries, {candidates:,} candidates"
        of_all = f" of {len(task.all_languages)}" if task.all_languages else ""
        languages = f"{len(task.languages)}{of_all} languages: {' '.join(task.languages)}"
        notes = ["standard suite: runs where --model is given without --tasks"] if task.standard else []
        notes += ["default: runs where neither --model nor --tasks is given"] if task.default else []
        notes += [f"{setting}: {text}" for setting, text in task.remarks.items()]
        notes += [f"no {setting}: {text}" for setting, text in task.absent.items()]
        table.add_row(task.id, "\n".join([f"{size}; {task.licence}", languages, task.description, *notes, ""]))
    stdout().print(table)


@app.command(
    name="init-task",
    epilog=examples(
        "clirbench init-task my-faq --languages en,de,th",
        "clirbench run --model clirbench/hybrid --tasks my-faq/my-faq.toml",
        "clirbench init-task my-law --from-hub mteb/MuPLeR-retrieval --revision 43dff1bca775c1298511f6776f0ac1d5cc144ccb",
    ),
)
def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The task's identifier, such as my-faq.")],
    languages: Annotated[
        str | None, optional("Of the task, comma-separated.", "en,de; with --from-hub, all of the data set")
    ] = None,
    output: Annotated[Path | None, optional("Folder.", "one named after the task", "--output", "-o")] = None,
    from_hub: Annotated[
        str | None, optional("A parallel data set on the hub in mteb's layout, such as mteb/MuPLeR-retrieval.")
    ] = None,
    revision: Annotated[str | None, optional("Commit of the data set of --from-hub: 40 hexadecimal digits.")] = None,
    split: Annotated[str | None, optional("Split of the data set of --from-hub.", "test")] = None,
) -> None:
    """Write the files of a task of your own, commented and with an example: a TOML file, queries, candidates.

    With --from-hub, read a parallel data set of the hub, and write its TOML file.
    """
    from clirbench.tasks.new_task import init_from_hub, init_task
    from clirbench.tasks.task import HubCorpus

    chosen, folder = listed(languages, "--languages"), Path(name) if output is None else output
    if from_hub is None:
        if revision is not None or split is not None:
            raise ClirbenchError("--revision and --split are of a data set on the hub: name it with --from-hub")
        files = init_task(name, folder, ["en", "de"] if chosen is None else chosen)
    elif revision is None:
        raise ClirbenchError(f"--from-hub {from_hub} needs --revision COMMIT: a task is pinned, and a branch moves")
    else:
        files = init_from_hub(name, folder, HubCorpus(from_hub, revision, split or "test"), chosen)
    for path in files:
        typer.echo(path)
    step = "put your texts in" if from_hub is None else "say in the file what it asks"
    typer.echo(f"next: {step}, then  {command('run', '--model', 'ORG/NAME', '--tasks', files[0])}")


@app.command(epilog=examples("clirbench models"))
def models() -> None:
    """List the bundled models, and how any other model is named."""
    from clirbench.encoders.bundled import BUNDLED, DEFAULT

    table = _named()
    for model in BUNDLED.values():
        mark = " (the default)" if model.name == DEFAULT else ""
        table.add_row(model.name, f"{model.description}{mark}\n")
    stdout().print(table)
    typer.echo(
        "others by name: ORG/NAME on the hub, a folder, mteb:ORG/NAME, MODULE:FACTORY, a server's http://HOST:PORT/v1#MODEL"
    )
    typer.echo("several models at once: a fusion, rrf:MODEL+MODEL; two stages, rerank:MODEL+CROSS-ENCODER")


@app.command(epilog=examples("clirbench metrics"))
def metrics() -> None:
    """List the metrics, with what each one says and where it comes from."""
    from clirbench.metrics.catalogue import metric_rows

    table = _named()
    for metric in metric_rows():
        table.add_row(metric.name, f"{metric.better} is better: {metric.description}\n{metric.source}\n")
    stdout().print(table)


def _named() -> PlainTable:
    """An empty table with columns for names and their descriptions."""
    table = PlainTable(stdout().is_terminal)
    table.add_column(words=True, style="bold")
    table.add_column(words=True)
    return table
