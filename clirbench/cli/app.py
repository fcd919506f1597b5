"""The application that commands are put on, and what several of them need."""

from pathlib import Path
from typing import Annotated

import typer

from clirbench.support.errors import ClirbenchError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Multilingual retrieval, measured in every setting at once.",
)
ResultArgument = Annotated[Path, typer.Argument(metavar="RESULT.json", help="A result file of `clirbench run`.")]


def examples(*lines: str) -> str:
    """The end of a command's help: what to type, one command a line."""
    # A blank line between them keeps them apart: help text is filled otherwise.
    return "\n\n".join(["Examples:", *(f"  {line}" for line in lines)])


def _version(value: bool) -> None:
    if value:
        from clirbench.support.version import __version__  # noqa: PLC0415

        typer.echo(f"clirbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def listed(value: str | None, option: str) -> list[str] | None:
    """The names of a comma-separated option; None stays None.

    Raises:
        ClirbenchError: A name is empty or stands twice.
    """
    if value is None:
        return None
    names = [name.strip() for name in value.split(",")]
    if not all(names) or len(set(names)) != len(names):
        raise ClirbenchError(f"{option} is '{value}': give distinct names separated by commas")
    return names
