"""`clirbench site build` and `clirbench site serve`."""

from pathlib import Path
from typing import Annotated

import typer

from clirbench.cli.app import app, examples
from clirbench.cli.board import SubmissionsOption
from clirbench.support.progress import reporting

site = typer.Typer(no_args_is_help=True, help="The leaderboard as a static site.")


app.add_typer(site, name="site")


OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Folder of the site, replaced as a whole.")]


@site.command(epilog=examples("clirbench site build", "clirbench site build --submissions submissions --output _site"))
def build(submissions: SubmissionsOption = None, output: OutputOption = Path("_site")) -> None:
    """Build the site from submissions: plain files that open from disk."""
    from clirbench.board.entries import submissions_dir
    from clirbench.board.site.build import build_site

    with reporting() as reporter:
        pages = build_site(submissions_dir(submissions), output, reporter)
    typer.echo(f"{output}: {pages} pages; open {output / 'index.html'}")


@site.command(epilog=examples("clirbench site serve --port 8000"))
def serve(
    submissions: SubmissionsOption = None,
    output: OutputOption = Path("_site"),
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 for any.")] = 8000,
) -> None:
    """Show the site on this machine only, and rebuild it when submissions or templates change."""
    from clirbench.board.entries import submissions_dir
    from clirbench.board.site.serve import serve_site

    with reporting() as reporter:
        serve_site(submissions_dir(submissions), output, port, reporter)
