"""Bundle a packed model with clirbench: python -m clirbench.training.bundle TRAINED [RESULT.json ...].

The model goes to a folder that becomes part of the wheel. Its card shows the scores of the results.
"""

import argparse
import json
import shutil
from pathlib import Path

from clirbench.encoders.packed import is_packed
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import write_atomically
from clirbench.training.model_card import training_card
from clirbench.training.recipe import Recipe
from clirbench.training.train import RECORD

MODELS = Path(__file__).resolve().parent.parent / "encoders" / "models"


def bundle(trained: Path, results: tuple[Path, ...] = (), models: Path = MODELS, base_weights: str = "") -> Path:
    """Copy a packed model from the output of ``clirbench train`` to its own folder below ``models``, and write its card.

    ``base_weights`` says on the card where the weights of the base model, or of the teacher, came from, if they are not those of
    its name.

    Raises:
        ClirbenchError: The training is not finished, its recipe packs no model, or a result is of another model.
    """
    path = trained / RECORD
    if not path.is_file() or not is_packed(str(trained / "packed")):
        raise ClirbenchError(
            f"{trained} holds no finished training with a packed model: run clirbench train with a recipe that has [static], "
            "or packed = true in [model]"
        )
    record = json.loads(path.read_text(encoding="utf-8")) | {"base_weights": base_weights}
    recipe = Recipe.model_validate_json(json.dumps(record["recipe"]))
    folder = models / recipe.name.rsplit("/", 1)[-1]
    card = training_card(recipe, record, results).encode()
    # A file that an older model left here would change the checksum of this one.
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(trained / "packed", folder)
    write_atomically(folder / "README.md", card)
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trained", type=Path)
    parser.add_argument("results", type=Path, nargs="*")
    parser.add_argument("--base-weights", default="", help="where the weights of the base model or teacher came from")
    given = parser.parse_args()
    print(bundle(given.trained, tuple(given.results), base_weights=given.base_weights))  # noqa: T201
