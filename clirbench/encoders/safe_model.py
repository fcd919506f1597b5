"""What a model that runs nothing may hold: known files, known keys, known classes, and weights in safetensors.

The check and the loader share these lists: only a file that is listed here is copied, and only the copy is loaded.
"""

import json
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from clirbench.support.errors import ClirbenchError, first_line, printable, shortened
from clirbench.support.text_files import repeated_key

WEIGHTS = ".safetensors"
READ_FIRST = (f"model{WEIGHTS}", f"model{WEIGHTS}.index.json")
# In the place of the weights in the folder of a packed transformer.
PACKED = f"packed{WEIGHTS}"
# Settings of a Transformer module. The library reads the first of these that is there.
_OF_TRANSFORMER = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
# Configurations, whose keys are checked.
JSON_FILES = (
    "config.json",
    "modules.json",
    "router_config.json",
    "cnn_config.json",
    "lstm_config.json",
    "config_sentence_transformers.json",
    *_OF_TRANSFORMER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    READ_FIRST[1],
)
# JSON whose keys are words of a vocabulary, or settings that name nothing.
_VOCABULARIES = (
    "tokenizer.json",
    "vocab.json",
    "added_tokens.json",
    "unigram.json",
    "entity_vocab.json",
    "normalizer.json",
    "data_config.json",
    "artifact.metadata",
)
# Data that name nothing.
DATA_FILES = (
    *_VOCABULARIES,
    "vocab.txt",
    "merges.txt",
    "dict.txt",
    "bpe.codes",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spiece.model",
    "spm.model",
    "source.spm",
    "target.spm",
    "tokenizer.model",
    "chat_template.jinja",
)
# Files that no loader reads. A copy keeps them, because they are part of a folder's checksum.
_TEXTS = ("LICENSE", "LICENSE.txt", "NOTICE", "NOTICE.txt")
# Files that the libraries read, and what they make of a model. Without them the model would be another one.
REFUSED_FILES = {
    "adapter_config.json": "makes it an adapter, whose base weights lie elsewhere",
    "preprocessor_config.json": "makes it a model of images or sound",
    "processor_config.json": "makes it a model of images or sound",
    "video_preprocessor_config.json": "makes it a model of images or sound",
    "chat_template.json": "makes it a model of images or sound",
}
_LARGEST_JSON, _LARGEST_VOCABULARY = 20_000_000, 80_000_000

# Modules that read settings and safetensors and nothing else. The library has others, which import or unpickle what a file names.
# The keys of their settings; None where the keys are open, and are checked one by one.
_POOLING_MODES = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
_CLASSES: dict[str, frozenset[str] | None] = {
    "Transformer": None,
    "MLMTransformer": None,
    "Pooling": frozenset(
        {"embedding_dimension", "word_embedding_dimension", "pooling_mode", "include_prompt"}
        | {f"pooling_mode_{mode}" for mode in _POOLING_MODES}
    ),
    "Normalize": frozenset({"module_input_name", "module_output_name"}),
    "Dense": frozenset(
        {
            "in_features",
            "out_features",
            "bias",
            "activation_function",
            "module_input_name",
            "module_output_name",
            "use_residual",
        }
    ),
    "LayerNorm": frozenset({"dimension"}),
    "Dropout": frozenset({"dropout"}),
    "WeightedLayerPooling": frozenset(
        {"embedding_dimension", "word_embedding_dimension", "layer_start", "num_hidden_layers"}
    ),
    "CNN": frozenset(
        {"in_embedding_dimension", "in_word_embedding_dimension", "out_channels", "kernel_sizes", "stride_sizes"}
    ),
    "LSTM": frozenset(
        {"embedding_dimension", "word_embedding_dimension", "hidden_dim", "num_layers", "dropout", "bidirectional"}
    ),
    "StaticEmbedding": frozenset(),
    "SparseStaticEmbedding": frozenset({"frozen"}),
    "SpladePooling": frozenset(
        {"pooling_strategy", "activation_function", "embedding_dimension", "word_embedding_dimension", "chunk_size"}
    ),
    "SparseAutoEncoder": frozenset({"input_dim", "hidden_dim", "k", "k_aux", "normalize", "dead_threshold"}),
    "MultiVectorMask": frozenset({"skiplist_words", "skiplist_tasks", "keep_only_token_ids"}),
    "Router": frozenset({"types", "structure", "parameters"}),
}
_WITHOUT_WEIGHTS = ("Pooling", "Normalize", "Dropout", "SpladePooling", "MultiVectorMask", "Router")
# Where a class keeps its settings, if not in config.json.
_SETTINGS = {"CNN": "cnn_config.json", "LSTM": "lstm_config.json", "Router": "router_config.json"}
_HOMES = ("base", "sentence_transformer", "sparse_encoder", "multi_vector_encoder")
# The library itself replaces this class by its Dense, and does not import it.
_REPLACED = "pylate.models.Dense.Dense"
_MODULE_KEYS = frozenset({"idx", "name", "path", "type", "kwargs"})
_ROUTER_PARAMETERS = frozenset({"default_route", "allow_empty_key", "route_mappings"})
_MODEL_KEYS = frozenset(
    {
        "__version__",
        "activation_fn",
        "attend_to_expansion_tokens",
        "attend_to_mask_tokens",
        "default_prompt_name",
        "do_query_expansion",
        "document_length",
        "document_prefix",
        "keep_in_fp32_modules",
        "model_type",
        "prompts",
        "query_expansion",
        "query_length",
        "query_prefix",
        "requirements",
        "similarity_fn_name",
        "skiplist_words",
        "truncate_dim",
    }
)
_PACKED_KEYS = frozenset({"format", "bits", "vocabulary", "dimensions"})
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
# The library calls the model's method of this name.
_METHOD = r"forward|get_(text|image|audio|video)_features"
# Arguments of a tokenizer's call. Others would name a template, or how it is filled.
_PROCESSING_KEYS = frozenset(
    {"add_special_tokens", "max_length", "padding", "padding_side", "pad_to_multiple_of", "truncation"}
)

# Keys with which a configuration of transformers names code, a file elsewhere, another package, or a format with code.
_KEYS = frozenset(
    {
        "auto_map",
        "backbone",
        "base_model_name_or_path",
        "code_revision",
        "configuration_files",
        "custom_generate",
        "custom_pipelines",
        "fast_tokenizer_files",
        "gguf_file",
        "init_inputs",
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
# Models that load other models, or leave loading to another package.
_KINDS_REFUSED = frozenset({"rag", "timm_backbone", "timm_wrapper"})
_ACTIVATIONS = ("activation_function", "activation_fn", "sbert_ce_default_activation_function")
_ATTENTION = ("eager", "sdpa", "flex_attention", None)
_DTYPE = r"auto|(torch\.)?b?float\d+(_\w+)?"
_TOKENIZER = r"[^\W\d]\w*(Tokenizer|TokenizerFast)|TokenizersBackend|SentencePieceBackend|PythonBackend"
# Neither is read. Old folders name a path of the machine that saved them.
_UNREAD_FILE_KEYS = ("special_tokens_map_file", "full_tokenizer_file")


class UnsafeModelError(ClirbenchError):
    """A model holds something that is not listed. The message names the file, and the key or value, but no remedy."""


def is_listed(name: str) -> bool:
    """Whether a file of this name may be in a model's folder."""
    return name.endswith(WEIGHTS) or name in (*JSON_FILES, *DATA_FILES, *_TEXTS) or name.endswith(".md")


def refuse_unlisted(folder: Path) -> list[str]:
    """List the files of a folder, without hidden ones, by their paths in it. Links must stay in the folder.

    Raises:
        UnsafeModelError: A file is not listed, or is no regular file.
    """
    files = []
    for path in _walk(folder, folder):
        place = path.relative_to(folder).as_posix()
        if path.name in REFUSED_FILES:
            raise UnsafeModelError(f"{place} {REFUSED_FILES[path.name]}")
        if not is_listed(path.name):
            raise UnsafeModelError(
                f"{printable(place)} can run code when it is loaded, or is no file that clirbench knows"
            )
        files.append(place)
    return files


def _walk(folder: Path, top: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        # Nothing in a checked folder can name a hidden file, and a copy leaves it out.
        if path.name.startswith("."):
            continue
        place = printable(path.relative_to(top).as_posix())
        if path.is_symlink():
            refuse_link(path, top, place)
        if path.is_dir():
            if path.is_symlink():
                raise UnsafeModelError(f"{place} is a link to a folder")
            yield from _walk(path, top)
        elif stat.S_ISREG(path.stat().st_mode):
            yield path
        else:
            raise UnsafeModelError(f"{place} is no regular file")


def refuse_link(path: Path, top: Path, place: str) -> None:
    """Refuse a link that leads out of the folder ``top``. The hub's cache keeps the files of a snapshot in a folder of its own.

    Raises:
        UnsafeModelError: The link leads nowhere, or out of the folder.
    """
    blobs = [top.resolve().parent.parent / "blobs"] if top.resolve().parent.name == "snapshots" else []
    target = path.resolve()
    if not target.exists() or not any(target.is_relative_to(home) for home in (top.resolve(), *blobs)):
        raise UnsafeModelError(f"{place} is a link out of the folder")


def read_json(path: Path, place: str) -> Any:
    """Read a JSON file of a stranger.

    Raises:
        UnsafeModelError: It is too large, is no JSON, or has a key twice: two readers could take it for two different things.
    """
    limit = _LARGEST_VOCABULARY if path.name in _VOCABULARIES else _LARGEST_JSON
    if path.stat().st_size > limit:
        raise UnsafeModelError(f"{place} has more than {limit // 1_000_000} MB")
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except UnsafeModelError as error:
        raise UnsafeModelError(f"{place} {error}") from None
    except (ValueError, RecursionError) as error:
        raise UnsafeModelError(f"{place} is no JSON ({first_line(error)})") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise UnsafeModelError(f"has the key '{_named(repeated_key(pairs))}' twice")
    return table


def modules_of(folder: Path) -> dict[str, list[str]]:
    """The folders of a model's modules, "" for its own, each with the names of its classes.

    Raises:
        UnsafeModelError: modules.json, or the configuration of a Router, is wrong, or names a class that is not listed.
    """
    if not (folder / "modules.json").is_file():
        return {"": ["Transformer"]}
    document = read_json(folder / "modules.json", "modules.json")
    if not isinstance(document, list) or not all(isinstance(module, dict) for module in document):
        raise UnsafeModelError("modules.json is no list of modules")
    modules: dict[str, list[str]] = {}
    for module in document:
        _refuse_unknown(module, _MODULE_KEYS, "modules.json")
        _add_module(modules, folder, "modules.json", ("", module.get("path")), module.get("type"))
    return modules


def _add_module(modules: dict[str, list[str]], folder: Path, named_by: str, place: tuple[str, Any], kind: Any) -> None:
    """Add a module, and those of a Router, which names them by folders below its own."""
    above, below = place
    if not isinstance(below, str) or not re.fullmatch(r"(\w[\w.-]*(/\w[\w.-]*)*)?", below) or ".." in below:
        raise UnsafeModelError(f"{named_by} names the folder {_named(below)!r}")
    where = "/".join(part for part in (above, below) if part)
    kinds = modules.setdefault(where, [])
    kinds.append(_class(kind, named_by))
    if kinds[-1] != "Router":
        return
    # A Router inside of itself would be read for ever.
    if kinds.count("Router") > 1:
        raise UnsafeModelError(f"{named_by} names a Router in its own folder")
    name = next((one for one in ("router_config.json", "config.json") if (folder / where / one).is_file()), None)
    if name is None:
        raise UnsafeModelError(f"{named_by} needs {_at(where, 'router_config.json')}, which is not there")
    document = read_json(folder / where / name, _at(where, name))
    types = document.get("types") if isinstance(document, dict) else None
    if not isinstance(types, dict):
        raise UnsafeModelError(f"{_at(where, name)} has no table 'types'")
    _refuse_unknown(document, _CLASSES["Router"], _at(where, name))
    _refuse_unknown(document.get("parameters"), _ROUTER_PARAMETERS, _at(where, name))
    for inner, type_name in types.items():
        _add_module(modules, folder, _at(where, name), (where, inner), type_name)


def _class(name: Any, named_by: str) -> str:
    """The name of a class that is listed, from any spelling that the installed sentence-transformers knows."""
    if name == _REPLACED:
        return "Dense"
    if isinstance(name, str) and re.fullmatch(r"sentence_transformers(\.[^\W\d]\w*)+", name, re.ASCII):
        from sentence_transformers.util import import_from_string

        try:
            meant = import_from_string(name)
        # Importing a name that is not there fails in any way.
        except Exception:
            meant = None
        for known, kind in _installed_classes():
            if meant is kind:
                return known
    raise UnsafeModelError(f"{named_by} names the class {_named(name)!r}")


def _installed_classes() -> Iterator[tuple[str, Any]]:
    from importlib import import_module

    for home in _HOMES:
        module = import_module(f"sentence_transformers.{home}.modules")
        yield from ((name, getattr(module, name)) for name in _CLASSES if hasattr(module, name))


def has_weights(kinds: Sequence[str]) -> bool:
    """Whether one of the classes of modules in a folder has weights."""
    return any(kind not in _WITHOUT_WEIGHTS for kind in kinds)


def shards_of(folder: Path, where: str) -> list[str]:
    """The files of weights that a module's folder needs, by their paths: one file, or those that an index names.

    Raises:
        UnsafeModelError: The index is wrong, or names another file than one of safetensors beside it.
    """
    if (folder / where / READ_FIRST[0]).is_file() or not (folder / where / READ_FIRST[1]).is_file():
        return [_at(where, READ_FIRST[0])]
    place = _at(where, READ_FIRST[1])
    return [_at(where, name) for name in _shards(read_json(folder / place, place), place)]


def _shards(document: Any, place: str) -> list[str]:
    """The files that an index of weights names."""
    named = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(named, dict) or not named:
        raise UnsafeModelError(f"{place} names no weights")
    for name in named.values():
        if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*\.safetensors", name, re.ASCII):
            raise UnsafeModelError(f"{place} names the weights {_named(name)!r}")
    return sorted(set(named.values()))


def refuse_unsafe(folder: Path) -> None:
    """Check every file of a private copy of a model.

    Loading such a folder reads safetensors, JSON and vocabularies. The loader must be told to read no other weights, and to run
    no code of the model.

    Raises:
        UnsafeModelError: A file, key or class is not listed; the message names it.
    """
    files = refuse_unlisted(folder)
    modules = modules_of(folder)
    packed = not (folder / "modules.json").is_file() and _is_packed(folder)
    for place in files:
        path = folder / place
        where, kinds = _home(place, modules)
        if path.suffix == WEIGHTS:
            _check_weights(path, place)
        elif path.name in _VOCABULARIES:
            read_json(path, place)
        elif path.name in JSON_FILES:
            document = read_json(path, place)
            if path.name == "modules.json" and where == "":
                continue
            if not isinstance(document, dict):
                raise UnsafeModelError(f"{place} is no table of keys")
            if packed and place == "config.json":
                _refuse_unknown(document, _PACKED_KEYS, place)
            else:
                _check_table(path.name, document, place, kinds)
    if not any(place.endswith(WEIGHTS) for place in files):
        raise UnsafeModelError("has no safetensors weights, and nothing else is loaded")
    for where, kinds in modules.items():
        for kind in kinds:
            if kind not in _WITHOUT_WEIGHTS and not (folder / where / PACKED).is_file():
                _refuse_absent(folder, where, kind)


def _home(place: str, modules: dict[str, list[str]]) -> tuple[str, list[str]]:
    """The folder of a file, and the classes of the modules in it."""
    where = place.rpartition("/")[0]
    return where, modules.get(where, [])


def _is_packed(folder: Path) -> bool:
    document = read_json(folder / "config.json", "config.json") if (folder / "config.json").is_file() else None
    return isinstance(document, dict) and set(document) == _PACKED_KEYS


def _refuse_absent(folder: Path, where: str, kind: str) -> None:
    """Check that a module has the weights that the library looks for first: without them it reads other formats."""
    sharded = "Transformer" in kind
    for place in shards_of(folder, where) if sharded else [_at(where, READ_FIRST[0])]:
        if not (folder / place).is_file():
            raise UnsafeModelError(f"needs {place}, which is not there, and reads no other weights")


def _check_weights(path: Path, place: str) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise UnsafeModelError(f"{place} is no safetensors file ({first_line(error)})") from error


def _check_table(name: str, document: dict[str, Any], place: str, kinds: list[str]) -> None:
    """Check the keys of a configuration. Its meaning depends on its name, and on the classes of the modules in its folder."""
    if name == READ_FIRST[1]:
        _refuse_unknown(document, frozenset({"metadata", "weight_map"}), place)
        _shards(document, place)
        return
    if name in _SETTINGS.values() and not any(_SETTINGS.get(kind) == name for kind in kinds):
        raise UnsafeModelError(f"{place} belongs to no module that modules.json names")
    if name == "config_sentence_transformers.json":
        _refuse_unknown(document, _MODEL_KEYS, place)
    if name in _OF_TRANSFORMER:
        _check_arguments(document, place)
    _check_keys(document, place)
    settings_of = [kind for kind in kinds if name == _SETTINGS.get(kind, "config.json")]
    for kind in settings_of:
        known = _CLASSES[kind]
        if known is not None:
            _refuse_unknown(document, known, place)
        else:
            _check_model_type(document, place)


def _check_model_type(document: dict[str, Any], place: str) -> None:
    """Check that the architecture is one of transformers: others come with code."""
    from transformers import CONFIG_MAPPING

    kind = document.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING or kind in _KINDS_REFUSED:
        raise UnsafeModelError(
            f"{place} has the model_type {_named(kind)!r}, which the installed transformers does not have"
        )


def _check_keys(document: Any, place: str) -> None:
    """Check the keys of a configuration, and of the configurations in it."""
    if isinstance(document, list):
        for one in document:
            _check_keys(one, place)
    if not isinstance(document, dict):
        return
    for key, value in document.items():
        if key in _KEYS and value not in (None, False, [], {}):
            raise UnsafeModelError(f"{place} has the key '{key}'")
        for concerns, may_be in _VALUES:
            if concerns(key) and not may_be(value):
                raise UnsafeModelError(f"{place} has {_named(key)} {_named(value)!r}")
        _check_keys(value, place)


def _may_be_activation(value: Any) -> bool:
    """Whether a name is one that transformers knows, or a layer of torch. The library imports any other name, and calls it."""
    if not isinstance(value, str) or "." not in value:
        return True
    from torch import nn

    name = re.fullmatch(r"torch\.nn\.(modules\.(activation|linear)\.)?([^\W\d]\w*)", value, re.ASCII)
    return name is not None and (name[3] in nn.modules.activation.__all__ or name[3] == "Identity")


def _may_be_tokenizer(value: Any) -> bool:
    """Whether a name is that of a tokenizer of transformers, which looks names up among all that it has."""
    return value is None or (
        isinstance(value, str) and re.fullmatch(_TOKENIZER, value, re.ASCII) is not None and not value.startswith("Rag")
    )


def _is_name(value: Any) -> bool:
    return not isinstance(value, str) or value.isidentifier()


# Which keys have values that name something, and what they may name. The first argument is a key, the second a value.
_VALUES: tuple[tuple[Callable[[str], bool], Callable[[Any], bool]], ...] = (
    (lambda key: key.endswith("attn_implementation"), lambda value: value in _ATTENTION),
    # The name of a kernel on the hub has a slash.
    (lambda key: key.endswith("_implementation"), lambda value: not isinstance(value, str) or _is_name(value)),
    (lambda key: key in _ACTIVATIONS, _may_be_activation),
    (lambda key: key == "tokenizer_class", _may_be_tokenizer),
    (
        lambda key: key == "processor_class",
        lambda value: (
            value is None or (isinstance(value, str) and value.endswith("Processor") and value.isidentifier())
        ),
    ),
    (lambda key: key.endswith(("_class", "_processor_type", "_extractor_type")), _is_name),
    (
        lambda key: key in ("dtype", "torch_dtype"),
        lambda value: value is None or (isinstance(value, str) and re.fullmatch(_DTYPE, value) is not None),
    ),
    # Older transformers opens this path in the place of the folder's own file.
    (
        lambda key: key.endswith("_file") and key not in _UNREAD_FILE_KEYS,
        lambda value: not isinstance(value, str),
    ),
    (
        lambda key: key == "model_type",
        lambda value: value is None or (isinstance(value, str) and value not in _KINDS_REFUSED),
    ),
)


def _check_arguments(document: dict[str, Any], place: str) -> None:
    """Check the settings of a Transformer module, which the library hands on to what loads the weights and reads the texts."""
    _refuse_unknown(document, _TRANSFORMER_KEYS | {*_ARGUMENTS, *_KEYS}, place)
    for name in _ARGUMENTS:
        held = document.get(name)
        if held is not None and not isinstance(held, dict):
            raise UnsafeModelError(f"{place} has the unknown key '{name}'")
        _refuse_unknown(held, _ARGUMENT_KEYS, place)
    kwargs = document.get("processing_kwargs")
    _refuse_unknown(kwargs, frozenset({"common", "text"}), place)
    for held in kwargs.values() if isinstance(kwargs, dict) else ():
        _refuse_unknown(held, _PROCESSING_KEYS, place)
    modalities = document.get("modality_config")
    # A model that reads no texts as such gets them through a template, which is a program.
    if modalities is not None and (not isinstance(modalities, dict) or "text" not in modalities):
        raise UnsafeModelError(f"{place} has a modality_config without text")
    for key, modality in modalities.items() if isinstance(modalities, dict) else ():
        method = modality.get("method") if isinstance(modality, dict) else None
        if not isinstance(method, str) or not re.fullmatch(_METHOD, method):
            raise UnsafeModelError(f"{place} has the method {_named(method)!r} for {_named(key)}")


def _refuse_unknown(document: Any, known: frozenset[str] | None, place: str) -> None:
    unknown = sorted(set(document) - known) if isinstance(document, dict) and known is not None else []
    if unknown:
        raise UnsafeModelError(f"{place} has the unknown key '{_named(unknown[0])}'")


def _at(where: str, name: str) -> str:
    return f"{where}/{name}" if where else name


def _named(value: Any) -> Any:
    """A stranger's value for a message."""
    return value if value is None or isinstance(value, int | float) else shortened(printable(str(value)))
