"""Training on hybrid batches: recipes, training data, batches, one trainer."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clirbench.support.errors import ClirbenchError
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
    """Read a recipe and train its model; see :func:`clirbench.training.train.train`.

    Args:
        recipe: A TOML file, or the name of a shipped recipe.
        changes: Values that replace those of the file, by dotted key.
        output: Folder for everything that comes out.
        data: Folder of the training data. None: ``train`` in ``CLIRBENCH_MIRROR``, then the folder of the recipe.
        reporter: Told of progress.
        allow_overlap: Train on rows that hold evaluation text.
        force: Replace another training in ``output``.

    Returns:
        The model's folder and the record of its training.

    Raises:
        ClirbenchError: As of :func:`clirbench.training.train.train`, or the recipe is wrong.
    """
    # The recipe is read first: a mistake in it must not wait for torch to load.
    from clirbench.training.recipe import load_recipe

    read, path = load_recipe(recipe, changes)
    try:
        from clirbench.training.train import train
    except ImportError as error:
        raise ClirbenchError(f"clirbench train needs {error.name}: pip install 'clirbench[train]'") from error
    return train(read, path, output, data, reporter, allow_overlap=allow_overlap, force=force)
