"""The command line: each command calls one function."""

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from clirbench.errors import ClirbenchError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Multilingual retrieval, measured in every setting at once.",
)

ResultArgument = Annotated[Path, typer.Argument(metavar="RESULT.json", help="A result file of `clirbench run`.")]


@app.command()
def run(  # noqa: PLR0917
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Hub name, local folder, mteb:ORG/NAME, clirbench/NAME, or MODULE:FACTORY.",
            show_default=False,
        ),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            "-t",
            help="Tasks, comma-separated. [default: demo; with --model: xquad-r,mlqa-r]",
            show_default=False,
        ),
    ] = None,
    languages: Annotated[
        str | None,
        typer.Option(
            help="Only these languages, comma-separated; the result is marked as restricted.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        str | None,
        typer.Option(
            help="Only these settings: monolingual, cross-lingual, multilingual; marked as restricted.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Texts per batch.")] = 32,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps ...", show_default=False)] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16.", show_default=False)] = None,
    max_length: Annotated[int | None, typer.Option(help="Longest input, in tokens.", show_default=False)] = None,
    query_prompt: Annotated[
        str | None,
        typer.Option(help='Put before each query, e.g. "query: ". [default: the model\'s]', show_default=False),
    ] = None,
    candidate_prompt: Annotated[
        str | None, typer.Option(help="Put before each candidate. [default: the model's]", show_default=False)
    ] = None,
    similarity: Annotated[
        str | None, typer.Option(help="cosine, dot or euclidean. [default: the model's]", show_default=False)
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.", show_default=False)] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that the model brings.")
    ] = False,
    allow_zero_vectors: Annotated[
        bool, typer.Option("--allow-zero-vectors", help="Score all-zero vectors as lost instead of stopping.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Name in results, as ORG/NAME, for a local model.", show_default=False)
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for results.")] = Path("results"),
    force: Annotated[bool, typer.Option("--force", help="Run again and replace results that are there.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor keep vectors.")] = False,
    pairs: Annotated[bool, typer.Option("--pairs", help="Also print the table of language pairs.")] = False,
) -> None:
    """Evaluate an encoder; without --model, the bundled one on the embedded demo task."""
    from clirbench.encoders.base import EncoderOptions  # noqa: PLC0415
    from clirbench.runner import Plan, run_tasks  # noqa: PLC0415

    options = EncoderOptions(
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        max_length=max_length,
        query_prompt=query_prompt,
        candidate_prompt=candidate_prompt,
        similarity=similarity,
        revision=revision,
        trust_remote_code=trust_remote_code,
        name=name,
    )
    plan = Plan(
        model=model,
        tasks=_listed(tasks, "--tasks"),
        languages=_listed(languages, "--languages"),
        settings=_listed(settings, "--settings"),
        options=options,
        output=output,
        force=force,
        use_cache=not no_cache,
        allow_zero_vectors=allow_zero_vectors,
    )
    from clirbench.screen import pairs as pair_table  # noqa: PLC0415
    from clirbench.screen import stdout, summary  # noqa: PLC0415

    outcome = run_tasks(plan)
    console = stdout()
    summary([document for document, _ in outcome.results], console)
    for document, path in outcome.results:
        if pairs:
            console.print(pair_table(document, "mAP", console))
        console.print(f"{document.task.id}: {path}", markup=False, soft_wrap=True)
    console.print(outcome.next_step, markup=False, soft_wrap=True)


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
        typer.Option("--output", "-o", help="File. [default: standard output]", show_default=False),
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
    lines = trec_lines(read_result(result), _listed(settings, "--settings"), _listed(metrics, "--metrics"))
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
def tasks() -> None:
    """List the tasks, with their licences and sizes."""
    from clirbench.catalogue import task_list  # noqa: PLC0415
    from clirbench.screen import stdout  # noqa: PLC0415

    stdout().print(task_list())


@app.command()
def models() -> None:
    """List the bundled models."""
    from clirbench.catalogue import model_list  # noqa: PLC0415
    from clirbench.screen import stdout  # noqa: PLC0415

    stdout().print(model_list())


@app.command()
def metrics() -> None:
    """List the metrics, with what each one says and where it comes from."""
    from clirbench.catalogue import metric_list  # noqa: PLC0415
    from clirbench.screen import stdout  # noqa: PLC0415

    stdout().print(metric_list())


@app.command()
def schema() -> None:
    """Print the JSON Schema of a result file."""
    import json  # noqa: PLC0415

    from clirbench.schema import Document  # noqa: PLC0415

    typer.echo(json.dumps(Document.model_json_schema(), indent=1))


def _version(value: bool) -> None:
    if value:
        from clirbench import __version__  # noqa: PLC0415

        typer.echo(f"clirbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _listed(value: str | None, option: str) -> list[str] | None:
    if value is None:
        return None
    names = [name.strip() for name in value.split(",")]
    if not all(names) or len(set(names)) != len(names):
        raise ClirbenchError(f"{option} is '{value}': give distinct names separated by commas")
    return names


_INTERRUPTED = 130


def main() -> None:
    """Entry point: a user's mistake is one line on standard error and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal or pipe that cannot show a character must not cost the run.
            stream.reconfigure(errors="replace")
    try:
        app()
    except ClirbenchError as error:
        sys.stderr.write(f"clirbench: {error}\n")
        sys.exit(2)
    except SystemExit as end:
        # Typer turns Ctrl-C into this code without a word.
        if end.code == _INTERRUPTED:
            sys.stderr.write("clirbench: stopped; run the same command again to continue\n")
        raise
