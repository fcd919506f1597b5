"""`clirbench train`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from clirbench.cli.app import app, examples, grouped, optional
from clirbench.support.commands import command
from clirbench.support.progress import reporting


@dataclass(frozen=True)
class Changes:
    """Options whose values replace values of the recipe."""

    alpha: Annotated[float | None, optional("Probability of a monolingual batch.", "the recipe's")] = None
    base: Annotated[str | None, optional("Model to start from.", "the recipe's")] = None
    seed: Annotated[int | None, optional("Seed.", "the recipe's")] = None
    name: Annotated[str | None, optional("Name of the model, as ORG/NAME.", "the recipe's")] = None

    def by_key(self) -> dict[str, Any]:
        """The given values by their dotted key in a recipe."""
        values = {"batches.alpha": self.alpha, "model.base": self.base, "seed": self.seed, "name": self.name}
        return {key: value for key, value in values.items() if value is not None}


@app.command(
    epilog=examples(
        "clirbench train static.toml --data path/to/train --output trained",
        "clirbench train paper-xlmr.toml --data path/to/train --alpha 0.5 --output trained-xlmr",
    )
)
@grouped
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE.toml", help="A recipe, or the name of a shipped one.")],
    changes: Changes,
    data: Annotated[Path | None, optional("Folder of the training data.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything that comes out.")] = Path(
        "trained"
    ),
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Train even on rows that hold evaluation text; the card says so.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace another training in the folder.")] = False,
) -> None:
    """Train a model on hybrid batches; run again, it continues where it stopped."""
    from clirbench.training import run_recipe

    with reporting() as reporter:
        trained = run_recipe(recipe, changes.by_key(), output, data, reporter, allow_overlap=allow_overlap, force=force)
    typer.echo(f"model: {trained.model}")
    run = command("run", "--model", trained.model, "--name", trained.record["recipe"]["name"])
    typer.echo(f"next: evaluate it with  {run}")
