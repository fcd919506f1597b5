"""Training on hybrid batches: recipes, training data, batches and a trainer."""

import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clirbench.support.errors import ClirbenchError
from clirbench.support.files import only_writer
from clirbench.support.progress import Reporter

if TYPE_CHECKING:
    from clirbench.training.train import Trained


def run_recipe(
    recipe: str | Path,
    changes: Mapping[str, Any],
    output: Path,
    data: Path | None,
    reporter: Reporter,
    *,
    allow_overlap: bool = False,
    force: bool = False,
) -> "Trained":
    """Read a recipe as :func:`clirbench.training.recipe.load_recipe` does, and train its model.

    The other arguments, and the errors, are those of :func:`clirbench.training.train.train`.
    """
    # The recipe is read first, so that a mistake in it is told before torch is loaded.
    from clirbench.training.recipe import load_recipe

    read, path = load_recipe(recipe, changes)
    try:
        from clirbench.training.train import train
    except ImportError as error:
        raise ClirbenchError(f"clirbench train needs {error.name}: pip install 'clirbench[train]'") from error
    # The processes that torchrun starts work on one training: the first of them holds the folder.
    first = os.environ.get("RANK", "0") == "0"
    with only_writer(output.resolve(), "choose another --output") if first else nullcontext():
        return train(read, path, output, data, reporter, allow_overlap=allow_overlap, force=force)
