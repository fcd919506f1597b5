"""The model card of a trained model, made from its recipe and the record of its training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from clirbench.results.read import read_document
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task import SETTINGS
from clirbench.training.recipe import Recipe

_TEMPLATE = Path(__file__).with_name("card.md.j2")
_SHOWN = ("monolingual.mAP", "cross-lingual.mAP", "multilingual.mAP", "native.mAP", "bias.rank_distance")


def training_card(recipe: Recipe, record: Mapping[str, Any], results: tuple[Path, ...] = ()) -> str:
    """The model card of a trained model: Markdown with a YAML head, as model hubs read it.

    ``record`` is the content of ``training.json``. ``results`` are result files, whose scores go into a table.

    Raises:
        ClirbenchError: A result cannot be read, or is of another model.
    """
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)  # noqa: S701
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    licence_of = {name: recipe.licences.get(name, "not stated in the recipe") for name in record["rows"]}
    return template.render(
        recipe=recipe,
        record=record,
        named=_named,
        licences=sorted(set(licence_of.values())),
        licence_of=licence_of,
        dev=[
            (stage, [_number(numbers.get(name), name) for name in _SHOWN])
            for stage, numbers in record.get("dev", {}).items()
        ],
        dev_columns=_SHOWN,
        scores=[_scores(path, recipe.name) for path in results],
    )


def _named(model: str) -> str:
    """A model of the hub by its name; one in a folder by the last part of the path, because the rest means nothing elsewhere."""
    folder = Path(model).expanduser()
    return f"a copy in the folder {folder.name}" if folder.is_absolute() or model.startswith(".") else model


def _scores(path: Path, model: str) -> list[str]:
    """A row of the card's table: the task, mAP x100 in the three settings, rank distance."""
    document = read_document(path)
    if document.model.name != model:
        raise ClirbenchError(f"{path}: a result of {document.model.name}, not of {model}: give the model's own results")
    headline = document.headline
    shares = [_number(headline[setting]["mAP"].value, "mAP") for setting in SETTINGS]
    return [document.task.id, *shares, _number(headline["bias"]["rank_distance"].value, "rank_distance")]


def _number(value: float | None, name: str) -> str:
    """A score as the card shows it: shares x100, ranks unchanged, an empty text for a missing score."""
    if value is None:
        return ""
    return f"{value:,.1f}" if name.endswith("rank_distance") else f"{100 * value:.1f}"
