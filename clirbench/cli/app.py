"""The application with which commands register, and helpers that several commands share.

A command's module is imported when the command is typed, and all modules when commands are listed.
"""

import inspect
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import fields, is_dataclass
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
import typer.main
from typer.core import TyperGroup

from clirbench.support.errors import ClirbenchError
from clirbench.support.version import __version__

# The module of each command, in the order in which --help lists the commands.
HOMES = {
    "run": "run",
    "plan": "run",
    "train": "train",
    "score": "results",
    "export": "results",
    "show": "results",
    "schema": "results",
    "gate": "tools",
    "card": "tools",
    "inspect": "tools",
    "doctor": "tools",
    "submit": "submissions",
    "check": "submissions",
    "verify": "submissions",
    "compare": "board",
    "leaderboard": "board",
    "tasks": "lists",
    "init-task": "lists",
    "models": "lists",
    "metrics": "lists",
    "site": "board",
}


class Commands(TyperGroup):
    """The group of all commands: what a user types costs the import of one module, not of all."""

    def __init__(self, **attributes: Any) -> None:
        self._known: dict[str, Any] = {}
        super().__init__(**attributes)

    @property
    def commands(self) -> MutableMapping[str, Any]:
        """Every command by its name, in the order of --help."""
        self._learn(tuple(HOMES.values()))
        return self._known

    @commands.setter
    def commands(self, known: MutableMapping[str, Any]) -> None:
        order = {name: i for i, name in enumerate(HOMES)}
        self._known = dict(sorted(known.items(), key=lambda item: order.get(item[0], len(order))))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name; None if there is none."""
        if cmd_name not in self._known and cmd_name in HOMES:
            self._learn((HOMES[cmd_name],))
        return self._known.get(cmd_name)

    def _learn(self, modules: Sequence[str]) -> None:
        """Import modules, in which commands register, and make the commands that are registered now."""
        for module in dict.fromkeys(modules):
            import_module(f"clirbench.cli.{module}")
        if len(self._known) < len(app.registered_commands) + len(app.registered_groups):
            made = typer.main.get_group(app)
            assert isinstance(made, Commands)  # noqa: S101
            self._known = made._known


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Multilingual retrieval, measured in every setting at once.",
)
Returned = TypeVar("Returned")
ResultArgument = Annotated[Path, typer.Argument(metavar="RESULT.json", help="A result file of `clirbench run`.")]


def grouped(command: Callable[..., Returned]) -> Callable[..., Returned]:
    """Let a command take several options as one parameter: put it below ``@app.command``.

    A parameter that is annotated with a dataclass is replaced by options, one for each field of the dataclass, in the same order.
    A field is declared like a parameter: ``seed: Annotated[int, typer.Option(...)] = 1``. Two commands share options by naming
    the same dataclass.

    Returns:
        A function with one parameter per option, for typer to read. It makes the dataclasses and calls ``command`` with them.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}
    options = []
    for name, parameter in inspect.signature(command).parameters.items():
        group = groups.get(name)
        declared = inspect.signature(group).parameters.values() if group else [parameter]
        known = get_type_hints(group, include_extras=True) if group else hints
        # Options are passed by keyword, so an option without a default may follow one with a default.
        options += [one.replace(annotation=known[one.name], kind=one.KEYWORD_ONLY) for one in declared]

    @wraps(command)
    def call(**given: Any) -> Returned:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        return command(**given)

    call.__annotations__ = {option.name: option.annotation for option in options}
    call.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    return call


def examples(*lines: str) -> str:
    """The end of a command's help: examples of commands, one per line."""
    # A blank line keeps two examples apart: typer joins lines into paragraphs.
    return "\n\n".join(["Examples:", *(f"  {line}" for line in lines)])


def optional(what: str, otherwise: str | bool = False, *names: str) -> Any:
    """An optional option. Its help says ``what`` it is for and, in brackets, the value that is used ``otherwise``."""
    return typer.Option(*names, help=what, show_default=otherwise)


def _version(value: bool) -> None:
    if value:
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
    """The names in the value of a comma-separated option such as ``--tasks``; None if the option is not given.

    Raises:
        ClirbenchError: A name is empty or stands twice.
    """
    if value is None:
        return None
    names = [name.strip() for name in value.split(",")]
    if not all(names) or len(set(names)) != len(names):
        raise ClirbenchError(f"{option} is '{value}': give distinct names separated by commas")
    return names
