"""Options in groups: a command takes several as one parameter, and typer sees each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from clirbench.cli.app import grouped


@dataclass(frozen=True)
class Sample:
    by: Annotated[str, typer.Option(help="Who draws.")]
    seed: Annotated[int, typer.Option(help="Draws them.")] = 1
    texts: Annotated[Path | None, typer.Option("--texts", "-t", help="Drawn from.", show_default="the task's")] = None


@pytest.fixture
def app():
    app = typer.Typer()

    @app.command()
    @grouped
    def draw(
        task: Annotated[str, typer.Argument(help="Of which task.")],
        number: Annotated[int, typer.Option(help="How many.")] = 3,
        *,
        sample: Sample,
        force: Annotated[bool, typer.Option("--force", help="Again.")] = False,
    ):
        """Draw queries."""
        typer.echo(repr((task, number, sample, force)))

    @app.command()
    @grouped
    def show(sample: Sample):
        """Show them."""
        typer.echo(repr(sample))

    return app


def call(app, *arguments):
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.output


def test_a_group_reaches_the_command_as_one_value(app):
    assert call(app, "draw", "demo", "--by", "me") == (0, f"{('demo', 3, Sample('me'), False)}\n")
    code, output = call(app, "draw", "demo", "--by", "me", "--seed", "7", "-t", "x", "--force", "--number", "2")
    assert (code, output) == (0, f"{('demo', 2, Sample('me', 7, Path('x')), True)}\n")


def test_two_commands_share_a_group(app):
    assert call(app, "show", "--by", "me", "--seed", "7") == (0, f"{Sample('me', 7)}\n")


def test_what_a_group_needs_is_asked_for(app):
    code, output = call(app, "draw", "demo")
    assert code == 2
    assert "--by" in output


def test_help_lists_the_options_of_a_group_in_its_place_with_their_defaults(app):
    _, output = call(app, "draw", "--help")
    places = [output.index(text) for text in ("How many.", "Who draws.", "Draws them.", "Drawn from.", "Again.")]
    assert places == sorted(places)
    assert "the task's" in output
    assert "default: 1" in output
