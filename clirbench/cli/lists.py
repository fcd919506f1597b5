"""Commands that list what there is (`tasks`, `models`, `metrics`), and `init-task`, which starts a task of your own."""

from pathlib import Path
from typing import Annotated

import typer

from clirbench.cli.app import app, examples, listed
from clirbench.support.terminal import stdout


@app.command(epilog=examples("clirbench tasks"))
def tasks() -> None:
    """List the tasks, with their licences and sizes."""
    from clirbench.cli.display.lists import task_list

    stdout().print(task_list())


@app.command(
    name="init-task",
    epilog=examples(
        "clirbench init-task my-faq --languages en,de,th",
        "clirbench run --model clirbench/hybrid --tasks my-faq/my-faq.toml",
    ),
)
def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The task's identifier, such as my-faq.")],
    languages: Annotated[str, typer.Option(help="Of the task, comma-separated.")] = "en,de",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder.", show_default="one named after the task")
    ] = None,
) -> None:
    """Write the files of a task of your own, commented and with an example: a TOML file, queries, candidates."""
    from clirbench.tasks.new_task import init_task

    chosen = listed(languages, "--languages") or []
    files = init_task(name, Path(name) if output is None else output, chosen)
    for path in files:
        typer.echo(path)
    typer.echo(f"next: put your texts in, then  clirbench run --model ORG/NAME --tasks {files[0]}")


@app.command(epilog=examples("clirbench models"))
def models() -> None:
    """List the bundled models."""
    from clirbench.cli.display.lists import model_list

    stdout().print(model_list())


@app.command(epilog=examples("clirbench metrics"))
def metrics() -> None:
    """List the metrics, with what each one says and where it comes from."""
    from clirbench.cli.display.lists import metric_list

    stdout().print(metric_list())
