"""Loading a model with another library: what it leaves unsaid, and every way in which it fails, in one line."""

import importlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from pickle import PicklingError
from typing import Any

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.calls import is_out_of_memory
from clirbench.encoders.hub import cached_snapshot
from clirbench.encoders.revision import outside_parts, read_configuration, untrusted_functions
from clirbench.support.errors import ClirbenchError, first_line
from clirbench.support.quiet import others_silenced

_POINTER = b"version https://git-lfs.github.com/spec/"
_WEIGHTS = (".safetensors", ".bin")
# Packages whose name on the index is not that of their module.
_PACKAGES = {"flash_attn": "flash-attn", "sklearn": "scikit-learn", "PIL": "pillow", "google.protobuf": "protobuf"}
_NAMED = 3
# No release of optimum-onnx runs with transformers 5.
_BACKENDS = {
    "onnx": "pip install 'sentence-transformers[onnx]' in an environment of its own, because it needs transformers 4",
    "openvino": "pip install 'sentence-transformers[openvino]'",
}
_LONGEST = 300


@dataclass(frozen=True)
class Report:
    """What transformers says about the weights that it read into ``model``: those not in the checkpoint, and of another size.

    ``adapter`` says that the checkpoint is that of an adapter.
    """

    model: Any
    missing: list[str]
    resized: list[str]
    adapter: bool


def load_checked(name: str, make: Callable[[], Any], place: Callable[[], Path | None], options: EncoderOptions) -> Any:
    """Call ``make``, which loads the model ``name``, and return what it returns.

    ``place`` gives the folder that the model was loaded from, if there is one. It is called after a failure.

    Raises:
        ClirbenchError: The model cannot be loaded, its checkpoint lacks weights, or its tokenizer has no vocabulary.
    """
    import_libraries()
    with others_silenced(), _reports() as reports, _pickles(options.allow_pickle) as pickles:
        try:
            model = make()
        except ClirbenchError:
            raise
        # A model's folder can fail in any way, and only the user can mend it.
        except Exception as error:
            _refuse_pickle(name, pickles)
            line, remedy = _explained(error, name, place(), reports, options)
            raise ClirbenchError(f"cannot load model '{name}' ({line}): {remedy}") from error
    _refuse_pickle(name, pickles)
    # mteb wraps the models of other libraries.
    inner = model if hasattr(model, "modules") else getattr(model, "model", None)
    if hasattr(inner, "modules"):
        _refuse_missing(name, inner, reports)
        _refuse_empty_vocabulary(name, inner)
        if not getattr(inner, "trust_remote_code", options.trust_remote_code):
            _refuse_replaced(name, place())
    return model


def notes_of(folder: Path | None) -> tuple[str, ...]:
    """The lines that a user must read of a model's files: it was saved by a newer sentence-transformers."""
    path = folder / "config_sentence_transformers.json" if folder else None
    if path is None or not path.is_file():
        return ()
    saved = json.loads(path.read_text(encoding="utf-8")).get("__version__")
    by = str(saved.get("sentence_transformers")) if isinstance(saved, dict) else ""
    here = metadata.version("sentence-transformers")
    if _release(by) <= _release(here):
        return ()
    return (f"the model was saved by sentence-transformers {by}, and {here} here may not know all of its settings",)


def _release(version: str) -> tuple[int, ...]:
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return tuple(map(int, numbers.groups())) if numbers else ()


def import_libraries() -> None:
    """Import the libraries that load models: they set the level of their loggers when they are imported."""
    with others_silenced():
        for library in ("huggingface_hub", "transformers", "sentence_transformers"):
            importlib.import_module(library)


@contextmanager
def _reports() -> Iterator[list[Report]]:
    """Collect what transformers reports of each checkpoint that it reads.

    transformers fills weights that a checkpoint lacks with random numbers, and says so in its log alone.
    """
    from transformers import modeling_utils
    from transformers.integrations import peft

    reports: list[Report] = []

    def collecting(report: Callable[..., None], adapter: bool) -> Callable[..., None]:
        def collect(**given: Any) -> None:
            # Before transformers 5.1 the keys are arguments of their own.
            info = given.get("loading_info")
            missing, resized = (
                list((getattr(info, key) if info else given.get(key)) or ())
                for key in ("missing_keys", "mismatched_keys")
            )
            # Each weight of another size comes with both sizes.
            resized = [key if isinstance(key, str) else key[0] for key in resized]
            reports.append(Report(given["model"], sorted(missing), sorted(resized), adapter))
            report(**given)

        return collect

    name = "log_state_dict_report"
    # transformers 4, which a backend may need, reports otherwise.
    kept = [(home, getattr(home, name)) for home in (modeling_utils, peft) if hasattr(home, name)]
    try:
        for home, report in kept:
            setattr(home, name, collecting(report, home is peft))
        yield reports
    finally:
        for home, report in kept:
            setattr(home, name, report)


@contextmanager
def _pickles(allowed: bool) -> Iterator[list[str]]:
    """Collect the pickles that a library would read, and let it read none, unless they are ``allowed``."""
    import torch

    refused: list[str] = []

    def refuse(file: Any, *_: Any, **__: Any) -> None:
        refused.append(Path(file).name if isinstance(file, str | Path) else "a file")
        raise PicklingError(f"{refused[-1]} is a pickle")

    load = torch.load
    try:
        if not allowed:
            torch.load = refuse  # type: ignore[assignment]
        yield refused
    finally:
        torch.load = load


def _refuse_pickle(name: str, pickles: Sequence[str]) -> None:
    # Also if the library has caught the error, and gone on without these weights.
    for file in pickles:
        raise ClirbenchError(
            f"the weights of '{name}' are in {file}, a pickle, which can run code when it is read: "
            "ask its maker for safetensors, or pass --allow-pickle"
        )


def _refuse_missing(name: str, model: Any, reports: Sequence[Report]) -> None:
    """Fail if the model's checkpoint lacks weights that the model uses."""
    used = {id(module): module for module in model.modules()}
    for report in reports:
        # A model that was loaded on the way, and is no part of the result, does not count.
        if id(report.model) not in used:
            continue
        missing = report.missing
        if not _uses_pooler(report.model, used.values()):
            missing = [key for key in missing if "pooler" not in key.split(".")]
        if missing and report.adapter:
            # transformers before 5.6 does not find the weights of an adapter that is whole.
            raise ClirbenchError(
                f"the adapter of '{name}' lacks {_listed(missing)}, which would be random numbers: "
                "get the whole adapter again, or  pip install -U transformers peft"
            )
        if missing:
            raise ClirbenchError(
                f"the checkpoint of '{name}' lacks {_listed(missing)}, which would be random numbers: "
                "get the whole model again, or ask its maker for them"
            )
        if report.resized:
            raise ClirbenchError(
                f"the checkpoint of '{name}' has {_listed(report.resized)} in another size than config.json says: "
                "get both from one place"
            )


def _uses_pooler(model: Any, modules: Any) -> bool:
    """Whether a module of sentence-transformers takes the output of the model's pooler, not of its last layer."""
    holders = [module for module in modules if getattr(module, "auto_model", None) is model]
    kinds = [kind for module in holders for kind in (getattr(module, "modality_config", None) or {}).values()]
    return any("pooler" in str(kind.get("method_output_name")) for kind in kinds)


def _refuse_empty_vocabulary(name: str, model: Any) -> None:
    """Fail if a tokenizer knows no word: transformers makes such a one where the files of a tokenizer are missing."""
    for module in model.modules():
        tokenizer: Any = getattr(module, "tokenizer", None)
        if not hasattr(tokenizer, "all_special_tokens") or not hasattr(tokenizer, "get_vocab"):
            continue
        if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
            raise ClirbenchError(
                f"the tokenizer of '{name}' knows no word, so all texts would be alike: "
                "its files are missing, get the whole model again"
            )


def _refuse_replaced(name: str, folder: Path | None) -> None:
    """Fail if sentence-transformers has put another function in the place of one that it does not trust."""
    for path in sorted(folder.rglob("*config.json")) if folder else ():
        for function in untrusted_functions(read_configuration(path)):
            raise ClirbenchError(
                f"'{name}' uses {function}, which sentence-transformers replaces by another unless it is trusted: "
                "read it, then pass --trust-remote-code"
            )


def _listed(keys: Sequence[str]) -> str:
    more = len(keys) - _NAMED
    named = ", ".join(keys[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{len(keys)} weight{'s' * (len(keys) > 1)} ({named})"


def _explained(
    error: Exception, name: str, place: Path | None, reports: Sequence[Report], options: EncoderOptions
) -> tuple[str, str]:
    """Say why a model could not be loaded, and what helps."""
    text = f"{error}"
    resized = [key for report in reports for key in report.resized]
    if "trust_remote_code" in text:
        return "it brings code of its own", "read that code, then pass --trust-remote-code"
    if options.backend and (isinstance(error, ImportError) or "backend requires" in text):
        return f"the packages of the backend {options.backend} are not here, or do not fit", _BACKENDS[options.backend]
    if is_out_of_memory(error):
        return f"out of memory: {first_line(error)}", "pass --dtype float16, or another --device"
    return (
        (place and fault_of_files(place, name))
        or (options.device and _of_device(options.device))
        or (resized and (f"{_listed(resized)} in another size than config.json says", "get both from one place"))
        or _of_packages(error, text)
        or (place and _of_parts(place, options))
        or _of_cache(name, text, options)
        or _of_text(text, options)
        or (
            f"it lacks {error}" if isinstance(error, KeyError) else first_line(error),
            "check the name, the folder's files and the options",
        )
    )


def fault_of_files(folder: Path, name: str) -> tuple[str, str] | None:
    """Look for what is wrong with the files of the folder of the model ``name``; None if nothing is.

    Returns:
        The fault, and what helps.
    """
    hub = not Path(name).expanduser().is_dir()
    again = (
        f"hf download {name.removeprefix('mteb:')} --force-download"
        if hub
        else "git lfs pull in a clone, or copy it again"
    )
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        place = path.relative_to(folder).as_posix()
        if path.stat().st_size < 1024 and path.read_bytes().startswith(_POINTER):
            return f"{place} is a Git LFS pointer, not the file", again
        if path.suffix == ".safetensors" and (fault := _damage(path)):
            return f"{place} is damaged: {fault}", again
        if path.name.endswith(("config.json", "modules.json", "index.json", "config_sentence_transformers.json")):
            try:
                document = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                return f"{place} is no JSON: {first_line(error)}", again
            if absent := _absent(document, path):
                return f"{place} names {absent}, which is not there", "get the whole model again"
    if not any(path.suffix in _WEIGHTS for path in files):
        return "it has no weights, such as model.safetensors", "get the whole model again"
    return None


def _damage(path: Path) -> str | None:
    """Why the header of a file of safetensors cannot be read; None if it can."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy"):
            return None
    except (SafetensorError, OSError) as error:
        return first_line(error)


def _absent(document: Any, path: Path) -> str | None:
    """The first file or folder that an index of weights, or modules.json, names and that is not there."""
    named: list[Any] = []
    if path.name.endswith("index.json") and isinstance(document, dict) and isinstance(document.get("weight_map"), dict):
        named = sorted(set(map(str, document["weight_map"].values())))
    elif path.name == "modules.json" and isinstance(document, list):
        # A module without weights and settings has an empty folder, which Git does not keep.
        kinds = [one for one in document if isinstance(one, dict) and not str(one.get("type")).endswith("Normalize")]
        named = [one["path"] for one in kinds if isinstance(one.get("path"), str)]
    return next((one for one in named if not (path.parent / one).exists()), None)


def _of_device(device: str) -> tuple[str, str] | None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        return f"there is no device '{device}' here", "correct --device, or leave it out"
    return None


def _of_packages(error: Exception, text: str) -> tuple[str, str] | None:
    """A package that is not installed, or is too old for the model."""
    if unknown := re.search(r"model type `([^`]+)` but Transformers does not recognize", text):
        version = metadata.version("transformers")
        return f"transformers {version} knows no '{unknown[1]}'", "pip install -U transformers"
    if "vulnerability issue in `torch.load`" in text:
        old = f"its weights are a pickle, which torch {metadata.version('torch')} does not read safely enough"
        return old, "ask its maker for safetensors, or  pip install -U torch  and pass --allow-pickle"
    if "FlashAttention" in text or "flash_attn" in text:
        return first_line(error), "pip install flash-attn (it needs a CUDA device)"
    if not isinstance(error, ImportError):
        return None
    if told := re.search(r"pip install ([\w.,\[\]>=<~ -]+)", text):
        return first_line(error), f"pip install {told[1].strip()}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        return first_line(error), f"pip install {_PACKAGES.get(error.name) or _PACKAGES.get(top) or top}"
    return None


def _of_parts(folder: Path, options: EncoderOptions) -> tuple[str, str] | None:
    """A part of the model that lies elsewhere, and is not there."""
    for part in outside_parts(folder, options.trust_remote_code):
        if not part.module and not Path(part.name).expanduser().is_dir() and cached_snapshot(part.name) is None:
            if part.name.startswith((".", "/", "~")) or part.name.count("/") > 1:
                return f"there is no folder {part.name}, its {part.what}", "put it there, or correct the path"
            return f"{part.name}, its {part.what}, is not in the hub cache", f"hf download {part.name}"
    return None


def _of_cache(name: str, text: str, options: EncoderOptions) -> tuple[str, str] | None:
    """Files of a model on the hub that were never fetched, where the hub cannot be asked."""
    if not re.search(r"couldn't connect to|outgoing traffic has been disabled|offline mode", text):
        return None
    at = f" --revision {options.revision}" if options.revision else ""
    fetch = f"fetch them while online with  hf download {name.removeprefix('mteb:')}{at}"
    return "the hub cannot be reached, and not all of its files are in the cache", fetch


def _of_text(text: str, options: EncoderOptions) -> tuple[str, str] | None:
    """What the library's own words say."""
    if "Unrecognized processing class" in text or "instantiate the backend tokenizer" in text:
        return "the files of its tokenizer are missing, such as tokenizer.json", "get the whole model again"
    if "in loading state_dict" in text:
        # The names of the weights stand on further lines.
        return " ".join(text.split())[:_LONGEST], "get the whole model again"
    if options.dtype and re.search(r"bfloat16|half|float16|float64", text, re.I):
        return f"the device cannot compute in {options.dtype}", "pass --dtype float32"
    return None
