"""Commands on result files: score, export, show, and their schema."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from clirbench.cli.app import ResultArgument, app, listed
from clirbench.errors import ClirbenchError


@app.command()
def score(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT.json...", help="Result files of `clirbench run`.")],
) -> None:
    """Recompute every number of results from their ranks files, and say whether they agree (exit code 1 if not)."""
    from clirbench.rescore import rescore  # noqa: PLC0415
    from clirbench.results import read_result  # noqa: PLC0415

    disagree = False
    for path in results:
        outcome = rescore(read_result(path))
        for difference in outcome.differences[:20]:
            typer.echo(f"{difference.key}: the file says {difference.stated}, but it should be {difference.found}")
        if len(outcome.differences) > 20:
            typer.echo(f"... and {len(outcome.differences) - 20} more")
        counted = f"{outcome.compared:,} numbers recomputed, {outcome.checked:,} totals checked against sums"
        typer.echo(f"{path}: {counted}: {'DISAGREE' if outcome.differences else 'agree'}")
        disagree = disagree or bool(outcome.differences)
    raise typer.Exit(1 if disagree else 0)


@app.command()
def export(
    result: ResultArgument,
    format: Annotated[  # noqa: A002
        str, typer.Option(help="trec: per-query metrics, as `trec_eval -q` prints them.")
    ] = "trec",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File.", show_default="standard output"),
    ] = None,
    settings: Annotated[
        str | None, typer.Option(help="Only these settings, comma-separated.", show_default=False)
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Only these metrics, comma-separated.", show_default=False)
    ] = None,
) -> None:
    """Write a result in the format of another tool."""
    from clirbench.export import trec_lines  # noqa: PLC0415
    from clirbench.results import read_result  # noqa: PLC0415

    if format != "trec":
        raise ClirbenchError(f"--format is '{format}': use trec")
    lines = trec_lines(read_result(result), listed(settings, "--settings"), listed(metrics, "--metrics"))
    if output is None:
        for line in lines:
            sys.stdout.write(line + "\n")
        return
    from clirbench.atomic import write_atomically  # noqa: PLC0415

    if not output.name or output.is_dir():
        raise ClirbenchError(f"--output is '{output}', a folder: name a file")
    content = "".join(f"{line}\n" for line in lines).encode()
    try:
        write_atomically(output, content)
    except OSError as error:
        raise ClirbenchError(f"cannot write {output} ({error.strerror}): choose another --output") from error
    lines_written = content.count(b"\n")
    typer.echo(f"{output}: {lines_written:,} lines")


@app.command()
def show(
    result: ResultArgument,
    metric: Annotated[str, typer.Option(help="Metric of the table of language pairs.")] = "mAP",
) -> None:
    """Print a result again: every headline number, languages and language pairs."""
    from clirbench.results import read_result  # noqa: PLC0415
    from clirbench.screen import headline, pairs, stdout, summary  # noqa: PLC0415

    document = read_result(result).document
    if metric not in document.task.metrics:
        raise ClirbenchError(f"{result} holds no metric '{metric}': choose from {', '.join(document.task.metrics)}")
    console = stdout()
    summary([document], console)
    console.print(headline(document, console))
    console.print(pairs(document, metric, console))


@app.command()
def schema() -> None:
    """Print the JSON Schema of a result file."""
    import json  # noqa: PLC0415

    from clirbench.schema import Submitted  # noqa: PLC0415

    typer.echo(json.dumps(Submitted.json_schema(), indent=1))
