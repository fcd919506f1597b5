"""`clirbench train`: a recipe to a model folder, its card and its log."""

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

from clirbench.encoders.packed import static_model, write_packed
from clirbench.results.build import peak_memory
from clirbench.support.errors import ClirbenchError, first_line
from clirbench.support.files import write_atomically, writing
from clirbench.support.paths import mirror_dir
from clirbench.support.progress import Reporter
from clirbench.support.version import __version__
from clirbench.training.dev import DevEvaluator, score_dev
from clirbench.training.fit import fit
from clirbench.training.material import (
    Material,
    StaticMaterial,
    checksums,
    first_vectors,
    prepare,
    prepare_static,
    training_data,
)
from clirbench.training.model_card import card
from clirbench.training.processes import is_first_process, leave_group
from clirbench.training.recipe import Recipe, TransformerPart
from clirbench.training.static.vectors import damp_spectrum, flatten_norms, sample_vectors

RECORD = "training.json"
_OWN = ("checkpoints", "model", "packed", RECORD, "tokenizer.json")
_SHOWN = 20
_PACKAGES = ("torch", "sentence-transformers", "transformers", "tokenizers", "accelerate", "datasets", "numpy")
Scores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Trained:
    """A finished training: the model's folder and what is known of it."""

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
    """Train what a recipe says, or continue where a training of the same recipe and data was stopped.

    Args:
        recipe: The recipe, with all changes made to it.
        recipe_file: Its file; data are looked for beside it last.
        output: Folder for everything: ``model`` (a sentence-transformers folder with its card), ``packed`` (static models only),
            ``checkpoints`` with ``log.csv``, ``training.json``.
        data: Folder of the training data; else ``train`` in ``CLIRBENCH_MIRROR``, or the recipe's own folder.
        reporter: Told of progress.
        allow_overlap: Train on rows that share text with evaluation collections; the card then says so.
        force: Begin anew where ``output`` holds another training.

    Returns:
        Where the model is, and the record.

    Raises:
        ClirbenchError: Anything that the user can mend.
    """
    _need_accelerate()
    began = time.perf_counter()
    output = output.resolve()
    if allow_overlap:
        # Otherwise a recipe that drops such rows would still do so.
        recipe = recipe.model_copy(update={"overlapping_rows": "stop"})
    folders = _folders(data, recipe_file)
    if is_first_process():
        _check_free(output)
    material = prepare(recipe, folders, reporter)
    if not allow_overlap:
        _refuse_overlap(material)
    evaluator = DevEvaluator(material.dev, recipe.dev) if recipe.dev else None
    _seed_everything(recipe.seed)
    start = base_model(recipe.model) if recipe.model else None
    if force and is_first_process():
        for name in _OWN:
            _remove(output / name)
    record = _claim(output, _identity(material, folders, allow_overlap))
    if record.get("finished"):
        reporter.note(f"kept {output / 'model'} (same recipe and data; --force trains it again)")
        return Trained(output / "model", record)
    resumed = (output / "checkpoints").is_dir()
    if start is None:
        scores = _train_static(material, evaluator, output, reporter)
    else:
        scores = _train_transformer(start, material, evaluator, output, reporter)
    leave_group()
    if not is_first_process():
        return Trained(output / "model", record)
    record |= {
        "finished": True,
        "dev": scores,
        "seconds": None if resumed else round(time.perf_counter() - began, 1),
        "peak_memory": peak_memory(),
        "packages": {name: metadata.version(name) for name in _PACKAGES} | {"clirbench": __version__},
    }
    content = card(recipe, record).encode()
    for folder in ("model", "packed") if recipe.static else ("model",):
        write_atomically(output / folder / "README.md", content)
    write_atomically(output / RECORD, (json.dumps(record, indent=1) + "\n").encode())
    return Trained(output / "model", record)


def base_model(part: TransformerPart) -> Any:
    """The transformer to start from, with pooling, length and prompts.

    Raises:
        ClirbenchError: It cannot be loaded.
    """
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer  # noqa: PLC0415

    try:
        if part.pooling == "model":
            model = SentenceTransformer(part.base, revision=part.revision)
            model.max_seq_length = part.max_length
        else:
            body = Transformer(
                part.base,
                max_seq_length=part.max_length,
                model_kwargs={"revision": part.revision},
                processor_kwargs={"revision": part.revision},
                config_kwargs={"revision": part.revision},
            )
            model = SentenceTransformer(modules=[body, Pooling(body.get_embedding_dimension(), part.pooling)])
    # A stranger's folder can fail in any way (broken safetensors, a module without a length): all are the user's to mend.
    except Exception as error:
        raise ClirbenchError(
            f"cannot load base model '{part.base}' ({first_line(error)}): correct 'model.base' or --base"
        ) from error
    model.prompts = {"query": part.query_prompt, "document": part.candidate_prompt}
    return model


def _train_transformer(
    model: Any, material: Material, evaluator: DevEvaluator | None, output: Path, reporter: Reporter
) -> Scores:
    _fit(model, material, None, evaluator, output, reporter)
    if not is_first_process():
        return {}
    model.save(str(output / "model"), create_model_card=False)
    return {"trained": score_dev(material.dev, model)} if material.dev else {}


def _train_static(material: Material, evaluator: DevEvaluator | None, output: Path, reporter: Reporter) -> Scores:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    from clirbench.encoders.packed import PackedEncoder  # noqa: PLC0415
    from clirbench.training.static.bag import TrainingBag  # noqa: PLC0415

    recipe = material.recipe
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ClirbenchError("a static model trains in one process: start clirbench train without torchrun")
    static = prepare_static(material, output, reporter)
    start = first_vectors(material, static, recipe.seed, reporter)
    model = SentenceTransformer(modules=[TrainingBag(static.tokenizer, embedding_weights=start)], device="cpu")
    _fit(model, material, static, evaluator, output, reporter)
    trained = model[0].embedding.weight.detach().numpy()
    part = static.part
    sample = sample_vectors(trained, material.entries, static.store, part.damping_texts, recipe.seed)
    damped = flatten_norms(damp_spectrum(trained, sample, part.damping), part.norm_exponent)
    final = static_model(static.tokenizer, damped)
    final.save(str(output / "model"), create_model_card=False)
    write_packed(damped, static.tokenizer.to_str(), part.bits, output / "packed")
    if not material.dev:
        return {}
    return {
        "trained": score_dev(material.dev, model),
        "damped": score_dev(material.dev, final),
        "packed": score_dev(material.dev, PackedEncoder(output / "packed")),
    }


def _fit(
    model: Any,
    material: Material,
    static: StaticMaterial | None,
    evaluator: DevEvaluator | None,
    output: Path,
    reporter: Reporter,
) -> None:
    data = training_data(material, static, material.recipe.batches.alpha)
    fit(model, material.recipe, data, output / "checkpoints", evaluator, material.recipe.seed, reporter)


def _identity(material: Material, folders: Sequence[Path], allow_overlap: bool) -> dict[str, Any]:
    """What decides the outcome; two trainings that share its fingerprint are one."""
    corpus = material.entries
    decisive = {
        "format": 1,
        "recipe": material.recipe.model_dump(mode="json"),
        "checksums": checksums(material.recipe, folders),
        "rows": corpus.rows,
        "texts_by_language": corpus.covered(),
        "left_out_for_dev": corpus.dropped,
        "left_out_languages": corpus.other_languages,
        "dev_topics": {kind: len(collection.topics) for kind, collection in material.dev.items()},
        "checked_against": list(material.checked),
        "overlaps": len(material.overlaps),
        "overlaps_allowed": allow_overlap and bool(material.overlaps),
    }
    fingerprint = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    return decisive | {"fingerprint": fingerprint, "not_checked_against": material.unchecked}


def _claim(output: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """The record of this training in ``output``, new or from before."""
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
    if not is_first_process():
        return dict(identity)
    with writing(path, "choose another --output"):
        write_atomically(path, (json.dumps(identity, indent=1) + "\n").encode())
    return dict(identity)


def _check_free(output: Path) -> None:
    """Fail early where the output cannot take a training."""
    if output.is_file():
        raise ClirbenchError(f"{output} is a file: pass a folder as --output")
    for name in _OWN:
        if name.endswith(".json") is (output / name).is_dir() and (output / name).exists():
            kind = "a file" if name.endswith(".json") else "a folder"
            raise ClirbenchError(f"{output / name} is not {kind}: move it away, or pass another --output")
    if output.is_dir() and any(output.iterdir()) and not (output / RECORD).is_file():
        raise ClirbenchError(f"{output} is not empty and holds no training: pass another --output")


def _refuse_overlap(material: Material) -> None:
    if material.recipe.overlapping_rows == "drop":
        if material.unchecked:
            raise ClirbenchError(
                f"overlapping_rows is 'drop', but {', '.join(material.unchecked)} cannot be loaded to look for them: "
                "give access to the data (CLIRBENCH_MIRROR), or pass --allow-overlap"
            )
        return
    if not material.overlaps:
        return
    shown = [f"  {o.where} ({o.language}): {o.shared[:100]}" for o in material.overlaps[:_SHOWN]]
    more = len(material.overlaps) - len(shown)
    lines = [
        f"{len(material.overlaps)} training rows hold text of {', '.join(material.checked)}: "
        "remove them, or pass --allow-overlap",
        *shown,
        *([f"  ... and {more:,} more"] if more else []),
    ]
    raise ClirbenchError("\n".join(lines))


def _folders(data: Path | None, recipe_file: Path) -> list[Path]:
    if data is not None:
        if not data.is_dir():
            raise ClirbenchError(f"--data is '{data}', which is not a folder: correct it")
        return [data]
    mirror = mirror_dir()
    return [*([mirror / "train"] if mirror else []), recipe_file.parent]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _seed_everything(seed: int) -> None:
    # New layers (a pooler, a fresh head) are drawn before the trainer sets its own seed.
    from transformers import set_seed  # noqa: PLC0415

    set_seed(seed)


def _need_accelerate() -> None:
    try:
        import accelerate  # type: ignore[import-untyped]  # noqa: F401, PLC0415
    except ImportError as error:
        raise ClirbenchError("clirbench train needs accelerate: pip install 'clirbench[train]'") from error
