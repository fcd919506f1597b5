"""Which folders of models `clirbench verify` loads: known files, known classes, weights in safetensors, and nothing that runs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clirbench.support.errors import ClirbenchError, first_line

# What a folder may hold: weights in a format without code, configurations, whose keys are checked, and data that names nothing.
WEIGHTS = ".safetensors"
JSON_FILES = (
    "config.json",
    "modules.json",
    "router_config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "model.safetensors.index.json",
)
DATA_FILES = (
    "tokenizer.json",
    "vocab.json",
    "unigram.json",
    "data_config.json",
    "vocab.txt",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "tokenizer.model",
    "chat_template.jinja",
    "LICENSE",
    "LICENSE.txt",
    "NOTICE",
    "NOTICE.txt",
)
_READ_FIRST = (f"model{WEIGHTS}", f"model{WEIGHTS}.index.json")
# Modules that read settings and safetensors and nothing else. The library has others, which import or unpickle what a file names.
CLASSES = (
    "Transformer",
    "MLMTransformer",
    "Pooling",
    "Normalize",
    "Dense",
    "LayerNorm",
    "Dropout",
    "WeightedLayerPooling",
    "CNN",
    "LSTM",
    "StaticEmbedding",
    "SparseStaticEmbedding",
    "SpladePooling",
    "SparseAutoEncoder",
    "MultiVectorMask",
    "Router",
)
_HOMES = ("base", "sentence_transformer", "sparse_encoder", "multi_vector_encoder")
# The library itself replaces this class by its Dense, and does not import it.
_REPLACED = "pylate.models.Dense.Dense"
# Keys with which a configuration names code, a file elsewhere, another package, or a format with code.
_KEYS = frozenset(
    {
        "auto_map",
        "backbone",
        "base_model_name_or_path",
        "code_revision",
        "custom_generate",
        "custom_pipelines",
        "gguf_file",
        "kernel_config",
        "path",
        "pickle_module",
        "quantization_config",
        "tokenizer_name_or_path",
        "transformers_weights",
        "trust_remote_code",
        "use_kernels",
        "use_pretrained_backbone",
        "use_safetensors",
        "use_timm_backbone",
        "weights_only",
    }
)
_ACTIVATION = r"torch\.nn\.modules\.(activation|linear)\.\w+"
_ATTENTION = ("eager", "sdpa", "flash_attention_2", "flex_attention", None)
_TRANSFORMER_KEYS = frozenset(
    {
        "do_lower_case",
        "document_length",
        "max_seq_length",
        "modality_config",
        "module_output_name",
        "processing_kwargs",
        "query_expansion",
        "query_length",
        "transformer_task",
        "unpad_inputs",
    }
)
# Arguments of the library that loads the model, by their old and new names, and what may stand in them.
_ARGUMENTS = ("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs")
_ARGUMENT_KEYS = frozenset(
    {"add_pooling_layer", "attn_implementation", "dtype", "model_max_length", "padding_side", "torch_dtype", "use_fast"}
)


def refuse_unsafe(folder: Path) -> None:
    """Fail if a model's folder holds anything but known files with known contents.

    Loading such a folder reads safetensors, JSON and vocabularies. The loader must be told to read no other weights, and to run
    no code of the model.

    Raises:
        ClirbenchError: A file, key or class is not known; the message names it.
    """
    weights = False
    for path in _files(folder):
        name = path.name
        if path.suffix == WEIGHTS:
            _check_weights(path)
            weights = True
        elif name in JSON_FILES:
            _check_json(path)
        elif name == "adapter_config.json":
            raise _unsafe(path, "makes it an adapter, whose base weights lie elsewhere")
        elif name not in DATA_FILES and path.suffix != ".md":
            raise ClirbenchError(
                f"{path} can run code when it is loaded, or is no file that clirbench knows: remove it from the copy, "
                "or read it and name the model with --trust-remote-code"
            )
    if not weights:
        raise ClirbenchError(
            f"{folder} has no safetensors weights, and nothing else is loaded: ask its submitters for them"
        )
    if not (folder / "modules.json").is_file():
        _check_read_first(folder, folder)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder, without hidden ones: nothing in a checked folder can name those."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if path.is_symlink():
                raise _unsafe(path, "is a link to a folder")
            yield from _files(path)
        elif path.is_file():
            yield path
        else:
            raise _unsafe(path, "is no regular file")


def _check_weights(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise _unsafe(path, f"is no safetensors file ({first_line(error)})") from error


def _check_json(path: Path) -> None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _unsafe(path, f"is no JSON ({first_line(error)})") from error
    if path.name == "modules.json":
        _check_modules(document, path)
        return
    if not isinstance(document, dict):
        raise _unsafe(path, "is no table of keys")
    if path.name.endswith(".index.json"):
        _check_index(document, path)
        return
    _check_keys(document, path)
    if path.name == "router_config.json" or isinstance(document.get("types"), dict):
        types = document.get("types")
        if not isinstance(types, dict):
            raise _unsafe(path, "has no table 'types'")
        for place, kind in types.items():
            _check_module(place, kind, path)
    if path.name.startswith("sentence_"):
        _check_arguments(document, path)


def _check_modules(document: Any, path: Path) -> None:
    if not isinstance(document, list) or not all(isinstance(module, dict) for module in document):
        raise _unsafe(path, "is no list of modules")
    for module in document:
        if unknown := sorted(set(module) - {"idx", "name", "path", "type", "kwargs"}):
            raise _unsafe(path, f"has the unknown key '{unknown[0]}'")
        _check_module(module.get("path"), module.get("type"), path)


def _check_module(place: Any, kind: Any, path: Path) -> None:
    """Check the folder and the class of a module."""
    if not isinstance(place, str) or not re.fullmatch(r"(\w[\w.-]*(/\w[\w.-]*)*)?", place) or ".." in place:
        raise _unsafe(path, f"names the folder {place!r}")
    if not isinstance(kind, str) or (kind != _REPLACED and _class(kind) not in _classes()):
        raise _unsafe(path, f"names the class {kind!r}")
    if kind.endswith("Transformer"):
        _check_read_first(path.parent / place, path)


def _check_read_first(folder: Path, path: Path) -> None:
    """Check that a folder has the weights that the library looks for first: without them it reads other formats."""
    if not any((folder / name).is_file() for name in _READ_FIRST):
        raise _unsafe(path, f"needs {folder.name}/{_READ_FIRST[0]}, which is not there")


def _class(name: str) -> Any:
    """The object of a name, in any spelling that the installed sentence-transformers knows; None for names of other packages."""
    from sentence_transformers.util import import_from_string

    if not re.fullmatch(r"sentence_transformers(\.\w+)+", name):
        return None
    try:
        return import_from_string(name)
    # Importing a name that is not there fails in any way.
    except Exception:
        return None


def _classes() -> list[Any]:
    from importlib import import_module

    homes = [import_module(f"sentence_transformers.{home}.modules") for home in _HOMES]
    return [getattr(home, name) for home in homes for name in CLASSES if hasattr(home, name)]


def _check_index(document: dict[str, Any], path: Path) -> None:
    """Check that an index of weights names files of safetensors beside it."""
    named = document.get("weight_map")
    for name in named.values() if isinstance(named, dict) else [None]:
        if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*\.safetensors", name):
            raise _unsafe(path, f"names the weights {name!r}")


def _check_keys(document: Any, path: Path) -> None:
    """Check the keys of a configuration, and of the configurations in it."""
    if isinstance(document, list):
        for one in document:
            _check_keys(one, path)
    if not isinstance(document, dict):
        return
    for key, value in document.items():
        if key in _KEYS and value not in (None, False):
            raise _unsafe(path, f"has the key '{key}'")
        if key.endswith("attn_implementation") and value not in _ATTENTION:
            raise _unsafe(path, f"has {key} {value!r}")
        # The library imports this name.
        if key == "activation_function" and "." in str(value) and not re.fullmatch(_ACTIVATION, str(value)):
            raise _unsafe(path, f"has {key} {value!r}")
        if key.endswith("_class") and isinstance(value, str) and not value.isidentifier():
            raise _unsafe(path, f"has {key} {value!r}")
        _check_keys(value, path)


def _check_arguments(document: dict[str, Any], path: Path) -> None:
    """Check the settings of a Transformer module, which the library hands on to what loads the weights."""
    unknown = sorted(set(document) - _TRANSFORMER_KEYS - set(_ARGUMENTS))
    for name in _ARGUMENTS:
        held = document.get(name) or {}
        unknown += sorted(set(held) - _ARGUMENT_KEYS) if isinstance(held, dict) else [name]
    if unknown:
        raise _unsafe(path, f"has the unknown key '{unknown[0]}'")


def _unsafe(path: Path, what: str) -> ClirbenchError:
    return ClirbenchError(
        f"{path} {what}, which clirbench does not load from a stranger: ask the submitters for a folder without it, "
        "or read it and name the model with --trust-remote-code"
    )
