"""`clirbench train`."""

from pathlib import Path
from typing import Annotated

import typer

from clirbench.cli.app import app, examples


@app.command(
    epilog=examples(
        "clirbench train static.toml --data path/to/train --output trained",
        "clirbench train paper-xlmr.toml --data path/to/train --alpha 0.5 --output trained-xlmr",
    )
)
def train(  # noqa: PLR0917
    recipe: Annotated[str, typer.Argument(metavar="RECIPE.toml", help="A recipe, or the name of a shipped one.")],
    alpha: Annotated[
        float | None,
        typer.Option(help="Probability of a monolingual batch.", show_default="the recipe's"),
    ] = None,
    base: Annotated[str | None, typer.Option(help="Model to start from.", show_default="the recipe's")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed.", show_default="the recipe's")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model, as ORG/NAME.", show_default="the recipe's")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the training data.", show_default=False)] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything that comes out.")] = Path(
        "trained"
    ),
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Train even on rows that hold evaluation text; the card says so.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace another training in the folder.")] = False,
) -> None:
    """Train a model on hybrid batches; run again, it continues where it stopped."""
    from clirbench.support.progress import reporting  # noqa: PLC0415
    from clirbench.training import run_recipe  # noqa: PLC0415

    changes = {"batches.alpha": alpha, "model.base": base, "seed": seed, "name": name}
    with reporting() as reporter:
        trained = run_recipe(
            recipe,
            {key: value for key, value in changes.items() if value is not None},
            output,
            data,
            reporter,
            allow_overlap=allow_overlap,
            force=force,
        )
    typer.echo(f"model: {trained.model}")
    typer.echo(
        f"next: evaluate it with  clirbench run --model {trained.model} --name {trained.record['recipe']['name']}"
    )
