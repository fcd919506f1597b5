"""Commands on the board: `compare` two models, print the `leaderboard`, make its `site`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clirbench.cli.app import app, examples, optional
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import Reporter, reporting
from clirbench.support.terminal import stdout

if TYPE_CHECKING:
    from clirbench.board.folders import Accepted

site = typer.Typer(no_args_is_help=True, help="The leaderboard as a static site.")
app.add_typer(site, name="site")
SubmissionsOption = Annotated[Path | None, optional("Folder of submissions.", "submissions, here and in the checkout")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Folder of the site, replaced as a whole.")]


@app.command(
    epilog=examples(
        "clirbench compare clirbench/hybrid clirbench/cross",
        "clirbench compare results/new results/old --metric nDCG@10 --pairs",
    )
)
def compare(
    first: Annotated[
        str, typer.Argument(metavar="A", help="A submitted model, a folder of results, or a result JSON.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    task: Annotated[str | None, optional("Only this task.", "all that both ran")] = None,
    metric: Annotated[
        str | None, optional("Metric; rank distance is compared in any case.", "the task's first")
    ] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="Also list every language pair.")] = False,
    format: Annotated[str, typer.Option(help="table or json.")] = "table",  # noqa: A002
    submissions: SubmissionsOption = None,
) -> None:
    """Compare two models: differences with intervals and paired tests over topics, in every setting and language."""
    from clirbench.board.entries import common_tasks, results_of
    from clirbench.cli.display.board import comparison_tables
    from clirbench.cli.display.results import model_label
    from clirbench.results.compare import compare as compare_results

    if format not in ("table", "json"):
        raise ClirbenchError(f"--format is '{format}': use table or json")
    with reporting() as reporter:
        results = results_of((first, second), submissions, reporter)
    comparisons = []
    for name in common_tasks(results[0], results[1], task):
        one, other = results[0][name], results[1][name]
        labels = model_label(one.document), model_label(other.document)
        comparisons.append(compare_results(one, other, labels, metric))
    if format == "json":
        typer.echo(json.dumps([asdict(comparison) for comparison in comparisons], indent=1))
        return
    console = stdout()
    for comparison in comparisons:
        console.print(comparison_tables(comparison, console, pairs))


@app.command(
    epilog=examples(
        "clirbench leaderboard", "clirbench leaderboard --format csv", "clirbench leaderboard --leave-out mlqa-r"
    )
)
def leaderboard(
    task: Annotated[str | None, optional("Only this task.")] = None,
    leave_out: Annotated[
        str | None, optional("How ranks over tasks move without this task of the mean, in place of the board.")
    ] = None,
    format: Annotated[str, typer.Option(help="table, csv, json, markdown or latex.")] = "table",  # noqa: A002
    submissions: SubmissionsOption = None,
) -> None:
    """Print the board from the submissions: headline numbers, margins, and the ranks that tests cannot separate."""
    from clirbench.board.folders import FORMATS, accept, check_task, submission_folders
    from clirbench.board.remembered import Remembered

    if format not in FORMATS:
        raise ClirbenchError(f"--format is '{format}': use {', '.join(FORMATS)}")
    if task is not None and leave_out is not None:
        raise ClirbenchError("--leave-out compares all tasks with all but one: leave out --task")
    if task is not None:
        check_task(task)
    folders = submission_folders(submissions)
    with reporting() as reporter:
        accepted = accept(folders, reporter)
        remembered, name = Remembered(accepted), json.dumps(["printed", format, task, leave_out])
        printed = remembered.recall(name)
        if printed is None:
            printed = _printed(accepted, (task, leave_out, format), reporter)
            remembered.keep(name, printed)
    if format != "table":
        typer.echo(printed, nl=False)
        return
    from clirbench.cli.display.board import board_tables

    console = stdout()
    console.print(board_tables(printed, console))
    if leave_out is None and len(folders) > 1:
        line = f"rows of {' and '.join(map(str, folders))}: --submissions shows one folder alone"
        console.print(line, markup=False, soft_wrap=True)


def _printed(accepted: "Accepted", asked: tuple[str | None, str | None, str], reporter: Reporter) -> Any:
    """What the command prints of a board: a text, or for the style "table" what a terminal makes tables of."""
    from clirbench.board.aggregate import rank_moves
    from clirbench.board.printed import board_parts, moves_parts
    from clirbench.board.table import board_of
    from clirbench.board.text import board_text, moves_text

    task, leave_out, style = asked
    frame = board_of(accepted, task, reporter)
    moved = None if leave_out is None else rank_moves(frame, leave_out)
    if style == "table":
        return board_parts(frame) if moved is None else moves_parts(frame, moved, str(leave_out))
    return board_text(frame, style) if moved is None else moves_text(moved, style)


@site.command(epilog=examples("clirbench site build", "clirbench site build --submissions submissions --output _site"))
def build(
    submissions: SubmissionsOption = None,
    output: OutputOption = Path("_site"),
    repository: Annotated[str, optional("Address of the repository, for a link on each page.")] = "",
    address: Annotated[str, optional("Address that the site will have, for previews of links to it.")] = "",
    date: Annotated[str, optional("Date of the board, YYYY-MM-DD; without it, that of the newest verification.")] = "",
    snapshot: Annotated[str, optional("Keep a copy of the site under this day, YYYY-MM-DD, for good.")] = "",
    files: Annotated[str, optional("Address of the folder of submissions; without it, their files are copied.")] = "",
) -> None:
    """Build the site from submissions: plain files that open from disk."""
    from clirbench.board.folders import submission_folders
    from clirbench.board.site.build import About, build_site

    about = About.checked(repository, address, date, files)
    with reporting() as reporter:
        folders = submission_folders(submissions)
        pages = build_site(folders[0], output, reporter, also=folders[1:], about=about, snapshot=snapshot)
    typer.echo(f"{output}: {pages} pages; open {output / 'index.html'}")


@site.command(epilog=examples("clirbench site serve --port 8000"))
def serve(
    submissions: SubmissionsOption = None,
    output: OutputOption = Path("_site"),
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 for any.")] = 8000,
) -> None:
    """Show the site on this machine only, and rebuild it when submissions or templates change."""
    from clirbench.board.folders import submission_folders
    from clirbench.board.site.serve import serve_site

    with reporting() as reporter:
        serve_site(submission_folders(submissions), output, port, reporter)
