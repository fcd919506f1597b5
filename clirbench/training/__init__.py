"""Training on hybrid batches: recipes, data, batches, one trainer."""

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
    """Train what a recipe file says; see :func:`clirbench.training.train.train`.

    Args:
        recipe: A TOML file, or the name of a shipped recipe.
        changes: Values that replace the file's, by dotted key.
        output: Folder for everything that comes out.
        data: Folder of the training data.
        reporter: Told of progress.
        allow_overlap: Train on rows that hold evaluation text.
        force: Replace another training in ``output``.

    Returns:
        The model's folder and the record of its training.

    Raises:
        ClirbenchError: Anything that the user can mend.
    """
    # The recipe first: its mistakes must not wait for torch.
    from clirbench.training.recipe import load_recipe  # noqa: PLC0415

    read, path = load_recipe(recipe, changes)
    try:
        from clirbench.training.train import train  # noqa: PLC0415
    except ImportError as error:
        raise ClirbenchError(f"clirbench train needs {error.name}: pip install 'clirbench[train]'") from error
    return train(read, path, output, data, reporter, allow_overlap=allow_overlap, force=force)
