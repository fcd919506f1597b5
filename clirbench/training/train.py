"""`clirbench train`: from a recipe to a model folder with its card, its log and its record."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

# The trainer needs accelerate later: if it is missing, the import fails now.
import accelerate  # type: ignore[import-untyped]  # noqa: F401
import torch
from sentence_transformers import SentenceTransformer
from transformers import set_seed

from clirbench.encoders.packed import PackedEncoder, static_model, write_packed
from clirbench.encoders.packed_transformer import unpacked_transformer, write_packed_transformer
from clirbench.encoders.revision import folder_revision
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import write_atomically, writing
from clirbench.support.memory import peak_memory
from clirbench.support.paths import mirror_dir
from clirbench.support.progress import Reporter
from clirbench.support.version import __version__
from clirbench.tasks.task_file import is_on_board
from clirbench.training.base_model import base_model, freeze, save_activations, shrink
from clirbench.training.dev import DevEvaluator, score_dev
from clirbench.training.fit import fit
from clirbench.training.model_card import training_card
from clirbench.training.precision import choose_precision
from clirbench.training.prepare import (
    Prepared,
    checksums,
    first_vectors,
    prepare,
    static_data,
    tokenise,
    transformer_data,
)
from clirbench.training.recipe import Recipe
from clirbench.training.static.bag import TrainingBag
from clirbench.training.static.vectors import damp_spectrum, flatten_norms, sample_vectors
from clirbench.training.teacher import make_targets

RECORD = "training.json"
# Everything that a training writes into its output folder.
_OWN = ("checkpoints", "model", "packed", "teacher", RECORD, "tokenizer.json")
_OVERLAPS_SHOWN = 20
_PACKAGES = ("torch", "sentence-transformers", "transformers", "tokenizers", "accelerate", "datasets", "numpy")
# Scores on the dev task, by stage of the model (trained, damped, packed).
DevScores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Trained:
    """A finished training: the model's folder, and the content of ``training.json``."""

    model: Path
    record: dict[str, Any]


def train(
    recipe: Recipe,
    recipe_file: Path,
    output: Path,
    data: Path | None,
    reporter: Reporter,
    *,
    allow_overlap: bool = False,
    force: bool = False,
) -> Trained:
    """Train a model, or go on with a stopped training of the same recipe and data.

    Args:
        recipe: The recipe, with all changes made to it.
        recipe_file: Path of the recipe.
        output: Folder for everything that the training makes: ``model`` (a sentence-transformers folder with its card),
            ``packed`` (static models only), ``checkpoints`` with ``log.csv``, ``training.json``.
        data: Folder of the training data. None: ``train`` in ``CLIRBENCH_MIRROR``, then the folder of the recipe.
        reporter: Told of progress.
        allow_overlap: Train on rows that hold evaluation text; the card then says so.
        force: Replace another training in ``output``.

    Raises:
        ClirbenchError: The recipe, the data or the base model is wrong, the data hold evaluation text, ``output`` holds
            something else, or a package is missing.
    """
    began = time.perf_counter()
    output = output.resolve()
    if allow_overlap:
        # Without this, a recipe with overlapping_rows = "drop" would still leave these rows out.
        recipe = recipe.model_copy(update={"overlapping_rows": "stop"})
    folders = _folders(data, recipe_file)
    # This check comes first, because reading the data takes minutes.
    if _is_first_process():
        _check_free(output)
    prepared = prepare(recipe, folders, reporter)
    if not allow_overlap:
        _refuse_overlap(prepared)
    evaluator = DevEvaluator(prepared.dev, recipe.dev) if recipe.dev else None
    # Layers that a base model lacks are drawn at random, before the trainer sets its own seed.
    set_seed(recipe.seed)
    start = base_model(recipe.model) if recipe.model else None
    if force and _is_first_process():
        # The old training is removed only now, when no mistake of the user can stop the new one.
        _clear(output)
    record = _claim(output, _identity(prepared, folders, allow_overlap))
    if record.get("finished"):
        reporter.note(f"kept {output / 'model'} (same recipe and data; --force trains it again)")
        return Trained(output / "model", record)
    resumed = (output / "checkpoints").is_dir()
    if start is None:
        scores = _train_static(prepared, evaluator, output, reporter)
    else:
        if "chosen" not in record:
            # Kept, because a training that goes on must not measure again, and perhaps choose otherwise.
            record["chosen"] = {"precision": choose_precision(start, recipe.optimizer, reporter)}
            _write(output, record)
        scores = _train_transformer(start, prepared, evaluator, output, record["chosen"], reporter)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        # Without this, a process of torchrun may abort in PyTorch's threads when it exits.
        torch.distributed.destroy_process_group()
    if not _is_first_process():
        return Trained(output / "model", record)
    # A resumed training does not know how long it took before it was stopped.
    record |= {
        "finished": True,
        "dev": scores,
        "seconds": None if resumed else round(time.perf_counter() - began, 1),
        "peak_memory": peak_memory(),
        "packages": {name: metadata.version(name) for name in _PACKAGES} | {"clirbench": __version__},
    }
    content = training_card(recipe, record).encode()
    packs = recipe.static or (recipe.model and recipe.model.packed)
    for folder in ("model", "packed") if packs else ("model",):
        write_atomically(output / folder / "README.md", content)
    _write(output, record)
    return Trained(output / "model", record)


def _train_transformer(
    model: Any,
    prepared: Prepared,
    evaluator: DevEvaluator | None,
    output: Path,
    chosen: dict[str, Any],
    reporter: Reporter,
) -> DevScores:
    """Train a transformer; ``chosen`` has the precision, and learns what was kept of the base model."""
    recipe = prepared.recipe
    part = recipe.model
    assert part is not None  # noqa: S101
    # First, because a wrong number of pieces or layers must not be told hours later, when the teacher has read all texts.
    chosen |= shrink(model, part, prepared.as_read, reporter)
    targets = None
    if recipe.teacher:
        targets = make_targets(prepared.corpus, recipe, output / "teacher", chosen["precision"], reporter)
    freeze(model, part)
    if part.gradient_checkpointing:
        save_activations(model, reporter)
    data = transformer_data(prepared, model, targets, reporter)
    fit(model, recipe, data, output / "checkpoints", evaluator, reporter, chosen["precision"])
    if not _is_first_process():
        return {}
    model.save(str(output / "model"), create_model_card=False)
    stages: dict[str, Any] = {"trained": model}
    if part.packed:
        write_packed_transformer(model, output / "packed")
        stages["packed"] = unpacked_transformer(output / "packed")
    return _scores(prepared, stages)


def _scores(prepared: Prepared, stages: dict[str, Any]) -> DevScores:
    return {stage: score_dev(prepared.dev, scored) for stage, scored in stages.items()} if prepared.dev else {}


def _train_static(prepared: Prepared, evaluator: DevEvaluator | None, output: Path, reporter: Reporter) -> DevScores:
    recipe = prepared.recipe
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ClirbenchError("a static model trains in one process: start clirbench train without torchrun")
    tokenised = tokenise(prepared, output, reporter)
    targets = None
    if recipe.teacher:
        precision = choose_precision(None, recipe.optimizer, reporter)
        targets = make_targets(prepared.corpus, recipe, output / "teacher", precision, reporter)
    start = first_vectors(prepared, tokenised, targets, recipe.seed, reporter)
    model = SentenceTransformer(modules=[TrainingBag(tokenised.tokenizer, embedding_weights=start)], device="cpu")
    data = static_data(prepared, tokenised, targets if recipe.teacher and recipe.teacher.weight else None)
    fit(model, recipe, data, output / "checkpoints", evaluator, reporter)
    trained = model[0].embedding.weight.detach().numpy()
    part = tokenised.part
    sample = sample_vectors(trained, prepared.as_read, tokenised.store, part.damping_texts, recipe.seed)
    damped = flatten_norms(damp_spectrum(trained, sample, part.damping), part.norm_exponent)
    final = static_model(tokenised.tokenizer, damped)
    final.save(str(output / "model"), create_model_card=False)
    write_packed(damped, tokenised.tokenizer.to_str(), part.bits, output / "packed")
    return _scores(prepared, {"trained": model, "damped": final, "packed": PackedEncoder(output / "packed")})


def _identity(prepared: Prepared, folders: Sequence[Path], allow_overlap: bool) -> dict[str, Any]:
    """Everything that decides the outcome, with its fingerprint. Two trainings with the same fingerprint are the same."""
    corpus = prepared.as_read
    decisive = {
        "format": 1,
        "recipe": prepared.recipe.model_dump(mode="json"),
        "checksums": checksums(prepared.recipe, folders),
        **_models_in_folders(prepared.recipe),
        "rows": corpus.rows,
        "texts_by_language": corpus.covered(),
        "left_out_for_dev": corpus.dropped,
        "left_out_languages": corpus.other_languages,
        "dev_topics": {kind: len(collection.topics) for kind, collection in prepared.dev.items()},
        "checked_against": list(prepared.checked),
        "overlaps": len(corpus.overlaps),
        "overlaps_allowed": allow_overlap and bool(corpus.overlaps),
    }
    fingerprint = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    return decisive | {"fingerprint": fingerprint, "not_checked_against": prepared.unchecked}


def _models_in_folders(recipe: Recipe) -> dict[str, Any]:
    """The checksums of base model and teacher where they lie in folders. Hub models are known by their names and revisions."""
    named = (recipe.model and recipe.model.base, recipe.teacher and recipe.teacher.model)
    folders = {name: folder_revision(Path(name).expanduser()) for name in named if name and Path(name).is_dir()}
    return {"models": folders} if folders else {}


def _claim(output: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """The record of this training from ``output``, or a new record, which is written there.

    Raises:
        ClirbenchError: ``output`` holds another training, or cannot be written.
    """
    path = output / RECORD
    if path.is_file():
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
            same = there["fingerprint"] == identity["fingerprint"]
        except (ValueError, KeyError, TypeError) as error:
            raise ClirbenchError(f"{path}: not a record of clirbench train: pass another --output") from error
        if not same:
            raise ClirbenchError(
                f"{output} holds a training of another recipe or other data: pass another --output, or --force to replace it"
            )
        return dict(there)
    if _is_first_process():
        with writing(path, "choose another --output"):
            _write(output, identity)
    return dict(identity)


def _write(output: Path, record: dict[str, Any]) -> None:
    if _is_first_process():
        write_atomically(output / RECORD, (json.dumps(record, indent=1) + "\n").encode())


def _check_free(output: Path) -> None:
    """Fail early if the output folder holds anything other than a training."""
    if output.is_file():
        raise ClirbenchError(f"{output} is a file: pass a folder as --output")
    for name in _OWN:
        if name.endswith(".json") is (output / name).is_dir() and (output / name).exists():
            kind = "a file" if name.endswith(".json") else "a folder"
            raise ClirbenchError(f"{output / name} is not {kind}: move it away, or pass another --output")
    if output.is_dir() and any(output.iterdir()) and not (output / RECORD).is_file():
        raise ClirbenchError(f"{output} is not empty and holds no training: pass another --output")


def _refuse_overlap(prepared: Prepared) -> None:
    """Fail if training data hold evaluation text, or if such rows must be dropped but a task of the board cannot be loaded.

    The record says of every other task that cannot be loaded that its texts were not looked for.
    """
    overlaps, drop = prepared.as_read.overlaps, prepared.recipe.overlapping_rows == "drop"
    needed = [name for name in prepared.unchecked if is_on_board(name)]
    if drop and needed:
        raise ClirbenchError(
            f"overlapping_rows is 'drop', but {', '.join(needed)} cannot be loaded to look for them: "
            "give access to the data (CLIRBENCH_MIRROR), or pass --allow-overlap"
        )
    if drop or not overlaps:
        return
    shown = "".join(f"\n  {o.where} ({o.language}): {o.shared[:100]}" for o in overlaps[:_OVERLAPS_SHOWN])
    more = len(overlaps) - _OVERLAPS_SHOWN
    raise ClirbenchError(
        f"{len(overlaps)} training rows hold text of {', '.join(prepared.checked)}: "
        f"remove them, or pass --allow-overlap{shown}" + (f"\n  ... and {more:,} more" if more > 0 else "")
    )


def _folders(data: Path | None, recipe_file: Path) -> list[Path]:
    """The folders in which training data are searched, in this order."""
    if data is not None and not data.is_dir():
        raise ClirbenchError(f"--data is '{data}', which is not a folder: correct it")
    mirror = mirror_dir()
    return [data] if data is not None else [*([mirror / "train"] if mirror else []), recipe_file.parent]


def _clear(output: Path) -> None:
    for path in (output / name for name in _OWN):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _is_first_process() -> bool:
    """Whether this process writes files: it is the first of torchrun's processes, or the only one."""
    return os.environ.get("RANK", "0") == "0"
