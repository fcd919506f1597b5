"""Transformers in a packed form: a folder of sentence-transformers whose weights are in 4-bit blocks.

A packed folder has the files that sentence-transformers saves, with ``packed.safetensors`` in the place of each
``model.safetensors``. It is unpacked into a folder of its own, which is checked as a stranger's model is and then loaded.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders import base
from clirbench.encoders.blocks import dequantise_blocks, in_blocks, quantise_blocks
from clirbench.encoders.revision import folder_revision
from clirbench.encoders.safe_model import PACKED, READ_FIRST, UnsafeModelError, refuse_unlisted, refuse_unsafe
from clirbench.support.errors import ClirbenchError, first_line
from clirbench.support.files import writing
from clirbench.support.names import check_name

_PLAIN = READ_FIRST[0]
_CONFIG, _SETTINGS, _TOKENIZER = "config.json", "sentence_bert_config.json", "tokenizer.json"
# In the head of a packed file.
_FORMAT = {"clirbench-packed": "1"}
# The scales of the weight "x" are the tensor "x.scales".
_SCALES = ".scales"
_REFUSED = ("backend", "revision", "allow_pickle")
_DAMAGED = "copy it again, or pack it again"


def write_packed_transformer(model: Any, folder: Path) -> None:
    """Write a SentenceTransformer of known modules into a packed folder.

    Weights with 32 rows or more, whose length is a multiple of 32, are rounded to 4-bit blocks; all others to float16. Positions
    beyond the model's longest input are cut off, and a pooler that no module uses is left out. The tokenizer has no spaces.

    Raises:
        ClirbenchError: A packed folder may not name a module, the model has no longest input, or a weight is not finite.
    """
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory() as held:
        plain = Path(held)
        model.save(str(plain), create_model_card=False)
        try:
            refuse_unsafe(plain)
        except UnsafeModelError as error:
            raise ClirbenchError(f"cannot pack the model ({error}): use modules of sentence-transformers") from error
        for path in sorted(plain.rglob(_PLAIN)):
            weights = {
                name: (tensor.float() if tensor.is_floating_point() else tensor).numpy()
                for name, tensor in load_file(path).items()
            }
            path.unlink()
            if path.parent == plain:
                _slim(model, plain, weights)
            path.with_name(PACKED).write_bytes(_packed_file(weights))
        _write_json(plain / _TOKENIZER, _compact(_read_json(plain / _TOKENIZER)))
        shutil.copytree(plain, folder, dirs_exist_ok=True)


def _slim(model: Any, folder: Path, weights: dict[str, NDArray[np.float32]]) -> None:
    """Leave out what the transformer of a model never uses, and say so in its configuration."""
    import inspect

    from clirbench.encoders.lengths import readers

    config, settings = _read_json(folder / _CONFIG), _read_json(folder / _SETTINGS)
    # Without it, the library loads the weights in the dtype that the model had in training.
    config["dtype"] = "float32"
    used = str([modality.get("method_output_name") for modality in settings.get("modality_config", {}).values()])
    if "pooler" not in used and "add_pooling_layer" in inspect.signature(type(model[0].auto_model)).parameters:
        settings["model_kwargs"] = {"add_pooling_layer": False}
        for name in [name for name in weights if name.startswith("pooler.")]:
            del weights[name]
    by_role = readers(model, "", "").values()
    if any(reader.limit is None for reader in by_role):
        raise ClirbenchError("cannot pack a model without a longest input: set its max_seq_length")
    unread = min((reader.positions or 0) - (reader.limit or 0) for reader in by_role)
    for name, table in weights.items():
        if (
            name.endswith("position_embeddings.weight")
            and len(table) == config["max_position_embeddings"]
            and unread > 0
        ):
            weights[name] = table[:-unread]
            config["max_position_embeddings"] -= unread
    _write_json(folder / _CONFIG, config)
    _write_json(folder / _SETTINGS, settings)


def _compact(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer without settings of a call, and with the scores of its pieces in the few digits that float32 has."""
    tokenizer |= {"truncation": None, "padding": None}
    if tokenizer["model"].get("type") == "Unigram":
        vocabulary = tokenizer["model"]["vocab"]
        tokenizer["model"]["vocab"] = [[piece, float(str(np.float32(score)))] for piece, score in vocabulary]
    return tokenizer


def _packed_file(weights: dict[str, NDArray[np.float32]]) -> bytes:
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {}
    for name, weight in weights.items():
        try:
            if in_blocks(weight.shape):
                tensors[name], tensors[name + _SCALES] = quantise_blocks(weight)
                continue
        except ValueError as error:
            raise ClirbenchError(f"cannot pack the weights {name} ({error}): train again, at a lower rate") from error
        with np.errstate(over="ignore"):
            tensors[name] = weight.astype(np.float16) if weight.dtype == np.float32 else weight
        if not np.isfinite(tensors[name]).all():
            raise ClirbenchError(f"cannot pack the weights {name} (one is no float16): train again, at a lower rate")
    return save(tensors, metadata=_FORMAT)


def unpack(folder: Path, target: Path) -> None:
    """Write the model of a packed folder as an ordinary folder of sentence-transformers, with weights in float32.

    Raises:
        ClirbenchError: The folder is no packed transformer, it holds what a stranger's model may not hold, or there is no
            room for the weights.
    """
    from safetensors.numpy import save

    try:
        with writing(target, "point TMPDIR at a folder with room for weights in float32"):
            for place in refuse_unlisted(folder):
                copy = target / place
                copy.parent.mkdir(parents=True, exist_ok=True)
                if copy.name == PACKED:
                    copy.with_name(_PLAIN).write_bytes(save(_unpacked_file(folder / place)))
                elif copy.name == _PLAIN:
                    raise UnsafeModelError(f"has {place} beside {PACKED}")
                elif copy.suffix != ".md":
                    shutil.copyfile(folder / place, copy)
        refuse_unsafe(target)
    except UnsafeModelError as error:
        raise ClirbenchError(f"{folder} is no packed transformer ({error}): {_DAMAGED}") from error


def _unpacked_file(path: Path) -> dict[str, NDArray[np.float32]]:
    from safetensors import SafetensorError, safe_open

    weights = {}
    try:
        with safe_open(path, "numpy") as file:
            if not _FORMAT.items() <= (file.metadata() or {}).items():
                raise ClirbenchError(f"{path} is in a packed format that this clirbench does not know: upgrade it")
            names = set(file.keys())
            for name in sorted(names):
                if name + _SCALES in names:
                    weights[name] = dequantise_blocks(file.get_tensor(name), file.get_tensor(name + _SCALES))
                elif not name.endswith(_SCALES):
                    tensor = file.get_tensor(name)
                    weights[name] = tensor.astype(np.float32) if tensor.dtype == np.float16 else tensor
    except (SafetensorError, OSError, ValueError) as error:
        raise ClirbenchError(f"{path} is no file of packed weights ({first_line(error)}): {_DAMAGED}") from error
    return weights


def is_packed_transformer(name: str | Path) -> bool:
    """Whether ``name`` is a folder that :func:`write_packed_transformer` wrote."""
    try:
        return (Path(name).expanduser() / PACKED).is_file()
    except (OSError, RuntimeError, ValueError):
        return False


def load_packed_transformer(folder: Path, options: base.EncoderOptions) -> base.LoadedEncoder:
    """Load a packed folder with the options of any model of sentence-transformers. Its revision is the checksum of its files.

    Raises:
        ClirbenchError: The folder cannot be read, or an option does not apply.
    """
    from clirbench.encoders.from_sentence_transformers import wrap_sentence_transformer
    from clirbench.encoders.loading import notes_of

    base.refuse(options, _REFUSED, "a packed model")
    digest = folder_revision(folder)
    label = options.name or f"local/{folder.resolve().name}-{digest[:8]}"
    check_name(label)
    model = _load(folder, options)
    loaded = wrap_sentence_transformer(model, options, f"sha256:{digest}", "folder-sha256", label)
    return replace(
        base.require_encoder(loaded),
        info=replace(loaded.info, kind="packed"),
        saved_dtype="4-bit blocks",
        notes=(*loaded.notes, *notes_of(folder)),
        # It brings no code: what is in the folder has been checked.
        trust_remote_code=False,
    )


def unpacked_transformer(folder: Path) -> Any:
    """Load a packed folder as a SentenceTransformer on the CPU with weights in float32, to fine-tune or to save.

    Raises:
        ClirbenchError: The folder is no packed transformer.
    """
    return _load(folder, base.EncoderOptions(device="cpu"))


def _load(folder: Path, options: base.EncoderOptions) -> Any:
    from clirbench.encoders.from_sentence_transformers import construct, loading_arguments
    from clirbench.encoders.loading import load_checked

    def make(name: str, commit: str | None, options: base.EncoderOptions) -> Any:
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(name, **loading_arguments(commit, options))

    safely = replace(options, safe=True, trust_remote_code=False)
    with _unpacked(folder) as plain:
        return load_checked(str(folder), lambda: construct(make, str(plain), None, safely), lambda: folder, safely)


@contextmanager
def _unpacked(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="clirbench-") as held:
        unpack(folder, Path(held))
        yield Path(held)


def _read_json(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def _write_json(path: Path, document: dict[str, Any]) -> None:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    path.write_text(text + "\n", encoding="utf-8", newline="\n")
