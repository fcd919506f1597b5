"""Model folders that try to run something, to read what is not theirs, or to become another model: each by a door of its own.

An attack changes a sound folder. What it wants to run is a module beside the folder, which makes a marker when it is imported,
called or unpickled.
"""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from attacks.promises import Promise

# A module that Python finds, and what its functions and classes do.
DOOR = "clirbench_attack_door"
CODE = """
import os
import torch

def _open(*args, **kwargs):
    os.makedirs({marker!r}, exist_ok=True)

_open()

class Module(torch.nn.Module):
    def forward(self, features, **kwargs):
        return features

    @classmethod
    def load(cls, *args, **kwargs):
        return cls()

    def save(self, *args, **kwargs):
        pass
"""
CODE_OF_CONFIG = CODE + "\nfrom transformers import BertConfig\nclass Config(BertConfig):\n    pass\n"


class Payload:
    """Something that makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.marker,)


class Attack(NamedTuple):
    """An attack on a sound model folder.

    Attributes:
        name: Its name.
        change: Called with the folder and the marker; it changes the folder.
        says: A part of the line that refuses the folder.
        unread: The file is not one that a loader reads, so a repository of the hub that holds it is loaded as without.
        control: Options with which the library itself runs the payload, as proof that the door is one; None where it needs a
            package that is not installed, another release or another system.
    """

    name: str
    change: Callable[[Path, Path], object]
    says: str
    unread: bool = False
    control: dict[str, bool] | None = None


def put(folder: Path, name: str, content: Any) -> Path:
    """Write a file of a folder: text, bytes, or a document as JSON."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def keys(name: str, **changes: Any) -> Callable[[Path, Path], None]:
    """Change keys of a JSON file of the folder."""

    def change(folder: Path, marker: Path) -> None:
        path = folder / name
        document = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        put(folder, name, document | changes)

    return change


def module(kind: str, place: str = "2_More") -> Callable[[Path, Path], None]:
    """Add a module to modules.json."""

    def change(folder: Path, marker: Path) -> None:
        listed = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        listed.append({"idx": 2, "name": "2", "path": place, "type": kind})
        put(folder, "modules.json", listed)

    return change


def both(*changes: Callable[[Path, Path], object]) -> Callable[[Path, Path], None]:
    """Do one change after the other."""

    def change(folder: Path, marker: Path) -> None:
        for one in changes:
            one(folder, marker)

    return change


def code(name: str, text: str = CODE) -> Callable[[Path, Path], object]:
    """Put a file of Python into the folder."""
    return lambda folder, marker: put(folder, name, text.format(marker=str(marker)))


def pickled(name: str) -> Callable[[Path, Path], object]:
    """Put a pickle into the folder."""
    return lambda folder, marker: put(folder, name, pickle.dumps(Payload(marker)))


def pickled_weights(name: str, keep: bool = False) -> Callable[[Path, Path], None]:
    """Put weights in torch's pickled form into the folder, in the place of its safetensors unless they are kept."""

    def change(folder: Path, marker: Path) -> None:
        import torch
        from safetensors.torch import load_file

        weights = load_file(folder / "model.safetensors")
        if not keep:
            (folder / "model.safetensors").unlink()
        torch.save({**weights, "payload": Payload(marker)}, folder / name)

    return change


def index(name: str, file: str) -> Callable[[Path, Path], object]:
    """Put an index of weights into the folder, which says that all of them are in ``file``."""

    def change(folder: Path, marker: Path) -> None:
        from safetensors import safe_open

        source = folder / "model.safetensors"
        if source.is_file():
            with safe_open(source, "numpy") as held:
                named = list(held.keys())
        else:
            named = ["embeddings.word_embeddings.weight"]
        put(folder, name, {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(named, file)})

    return change


def text_of(name: str, old: str, new: str) -> Callable[[Path, Path], object]:
    """Replace a text in a file of the folder, so that it may hold what no document can."""

    def change(folder: Path, marker: Path) -> None:
        before = (folder / name).read_text(encoding="utf-8")
        after = before.replace(old, new, 1)
        assert after != before
        put(folder, name, after)

    return change


def gone(name: str) -> Callable[[Path, Path], object]:
    """Remove a file of the folder."""
    return lambda folder, marker: (folder / name).unlink()


def link(name: str, target: Callable[[Path, Path], Path | str]) -> Callable[[Path, Path], None]:
    """Put a link into the folder."""

    def change(folder: Path, marker: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target(folder, marker))

    return change


def outside(folder: Path, marker: Path) -> Path:
    """A file beside the folder."""
    return put(folder.parent, "secret.txt", "[PAD]\n[UNK]\nsecret\n")


def base_elsewhere(folder: Path, marker: Path) -> None:
    """Make the folder an adapter of a model beside it, which brings code."""
    base = folder.parent / "base"
    if not base.exists():
        shutil.copytree(folder, base)
        keys("config.json", auto_map={"AutoConfig": "own.Config"}, model_type="own")(base, marker)
        code("own.py", CODE_OF_CONFIG)(base, marker)
    put(folder, "adapter_config.json", {"base_model_name_or_path": str(base), "peft_type": "LORA"})


def router(kinds: dict[str, str]) -> Callable[[Path, Path], None]:
    """Make the folder a Router of these modules."""

    def change(folder: Path, marker: Path) -> None:
        route = list(kinds)
        put(
            folder, "modules.json", [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"}]
        )
        structure = {"query": route, "document": route}
        put(folder, "router_config.json", {"types": kinds, "structure": structure, "parameters": {}})

    return change


TRUSTED = {"trust_remote_code": True}
UNPICKLED = {"allow_pickle": True}
OWN_CONFIG = {"AutoConfig": "own.Config"}
TEMPLATE = "{{ ''.__class__.__mro__[1].__subclasses__() }}{% for i in range(10**9) %}x{% endfor %}"
MESSAGES = {"message": {"method": "forward", "method_output_name": "last_hidden_state", "format": "flat"}}
TEXTS = {"method": "forward", "method_output_name": "last_hidden_state"}

ATTACKS: tuple[Attack, ...] = (
    # Classes and functions that a file names.
    Attack("a module's class that Python finds", module(f"{DOOR}.Module"), "names the class", control=TRUSTED),
    Attack(
        "a module's class in the folder",
        both(module("own.Module"), code("own.py")),
        "own.py can run code",
        control=TRUSTED,
    ),
    Attack("a module's class of another repository", module("someone/code--own.Module"), "names the class"),
    Attack(
        "a module's class through a module of the library",
        module("sentence_transformers.base.modules.module.torch"),
        "names the class",
    ),
    Attack(
        "a module of the library that reads a vocabulary in Python",
        module("sentence_transformers.models.BoW"),
        "names the class",
    ),
    Attack(
        "a Router's class that unpickles",
        both(router({"vocab.txt": "sklearn.utils.parallel.joblib"}), pickled("vocab.txt")),
        "names the class 'sklearn.utils.parallel.joblib'",
        control=TRUSTED,
    ),
    Attack(
        "a Router in a Router's place",
        router({"": "sentence_transformers.models.Router"}),
        "names a Router in its own folder",
    ),
    Attack(
        "a function of an activation",
        both(
            module("sentence_transformers.models.Dense", "2_Dense"),
            lambda folder, _: put(
                folder,
                "2_Dense/config.json",
                {"in_features": 16, "out_features": 16, "activation_function": f"{DOOR}.Module"},
            ),
        ),
        f"has activation_function '{DOOR}.Module'",
        control=TRUSTED,
    ),
    Attack(
        "a function of torch as an activation",
        keys("2_Dense/config.json", in_features=1, out_features=1, activation_function="torch.hub.list"),
        "has activation_function 'torch.hub.list'",
        unread=True,
    ),
    Attack(
        "an activation of a cross-encoder",
        keys("config.json", sentence_transformers={"activation_fn": "torch.hub.list"}),
        "has activation_fn 'torch.hub.list'",
    ),
    Attack(
        "a method of the model",
        keys("sentence_bert_config.json", modality_config={"text": TEXTS | {"method": "save_pretrained"}}),
        "has the method 'save_pretrained' for text",
    ),
    # Code of the model.
    Attack(
        "a configuration's class",
        both(keys("config.json", auto_map=OWN_CONFIG, model_type="own"), code("own.py", CODE_OF_CONFIG)),
        "own.py can run code",
        control=TRUSTED,
    ),
    Attack(
        "a configuration's class of another repository",
        keys("config.json", auto_map={"AutoConfig": "someone/code--own.Config"}),
        "config.json has the key 'auto_map'",
    ),
    Attack(
        "a configuration in a configuration",
        keys("config.json", text_config={"auto_map": OWN_CONFIG}),
        "config.json has the key 'auto_map'",
    ),
    Attack(
        "a tokenizer's class",
        keys("tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Tokenizer", None]}),
        "tokenizer_config.json has the key 'auto_map'",
    ),
    Attack(
        "a tokenizer's class that is none",
        keys("tokenizer_config.json", tokenizer_class="AutoModelForCausalLM"),
        "has tokenizer_class 'AutoModelForCausalLM'",
    ),
    Attack(
        "a processor's class that is none",
        keys("tokenizer_config.json", processor_class="pipeline"),
        "has processor_class 'pipeline'",
    ),
    Attack(
        "a generation that is code",
        keys("generation_config.json", custom_generate="someone/code"),
        "has the key 'custom_generate'",
    ),
    Attack(
        "trust that a file asks for",
        keys("sentence_bert_config.json", model_kwargs={"trust_remote_code": True}),
        "has the unknown key 'trust_remote_code'",
    ),
    Attack("compiled Python", code("__pycache__/own.cpython-311.pyc"), "can run code", unread=True),
    Attack(
        "a library of machine code",
        lambda folder, _: put(folder, "own.so", b"\x7fELF"),
        "own.so can run code",
        unread=True,
    ),
    # Pickles.
    Attack("pickled weights", pickled_weights("pytorch_model.bin"), "pytorch_model.bin can run code"),
    Attack(
        "pickled weights beside safetensors",
        pickled_weights("pytorch_model.bin", keep=True),
        "pytorch_model.bin can run code",
        unread=True,
    ),
    Attack(
        "a pickle called safetensors", pickled_weights("other.safetensors"), "other.safetensors is no safetensors file"
    ),
    Attack(
        "a pickle called model.safetensors",
        both(gone("model.safetensors"), pickled("model.safetensors")),
        "model.safetensors is no safetensors file",
    ),
    Attack(
        "an index that names a pickle, and arguments that unpickle it",
        both(
            index("pytorch_model.bin.index.json", "weights.txt"),
            pickled_weights("weights.txt"),
            keys("sentence_bert_config.json", model_args={"weights_only": False, "dtype": "auto"}),
            text_of("config.json", '"dtype": "float32"', '"unused": 0'),
        ),
        "can run code",
        control=UNPICKLED,
    ),
    Attack(
        "an index of safetensors that names a pickle",
        both(index("model.safetensors.index.json", "vocab.txt"), pickled_weights("vocab.txt")),
        "model.safetensors.index.json names the weights 'vocab.txt'",
    ),
    Attack(
        "an index that leads out of the folder",
        index("model.safetensors.index.json", "/etc/passwd"),
        "names the weights '/etc/passwd'",
    ),
    Attack(
        "a configuration that names a pickle",
        both(keys("config.json", transformers_weights="vocab.txt"), pickled_weights("vocab.txt", keep=True)),
        "has the key 'transformers_weights'",
    ),
    Attack(
        "arguments that unpickle",
        keys("sentence_bert_config.json", model_kwargs={"weights_only": False}),
        "has the unknown key 'weights_only'",
    ),
    Attack("a pickled module beside", pickled("training_args.bin"), "training_args.bin can run code", unread=True),
    # Code of others, which a file asks for.
    Attack(
        "a kernel of the hub",
        keys("config.json", attn_implementation="someone/kernel"),
        "has attn_implementation 'someone/kernel'",
    ),
    Attack(
        "a kernel of the hub, as an argument",
        keys("sentence_bert_config.json", model_kwargs={"attn_implementation": "someone/kernel"}),
        "has attn_implementation 'someone/kernel'",
    ),
    Attack(
        "a kernel for experts",
        keys("config.json", experts_implementation="someone/kernel"),
        "has experts_implementation",
    ),
    Attack("kernels for layers", keys("config.json", use_kernels=True), "has the key 'use_kernels'"),
    Attack(
        "weights in a quantised form",
        keys("config.json", quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True}),
        "has the key 'quantization_config'",
    ),
    Attack(
        "a backbone of another package", keys("config.json", model_type="timm_wrapper"), "has model_type 'timm_wrapper'"
    ),
    Attack("an index of passages, which is a pickle", keys("config.json", model_type="rag"), "has model_type 'rag'"),
    Attack(
        "an architecture that nobody has", keys("config.json", model_type="own"), "config.json has the model_type 'own'"
    ),
    Attack("an adapter whose base brings code", base_elsewhere, "makes it an adapter", control=TRUSTED),
    Attack(
        "a tokenizer of another model",
        keys("sentence_bert_config.json", tokenizer_name_or_path="someone/model"),
        "has the key 'tokenizer_name_or_path'",
    ),
    Attack(
        "files of another folder, as an argument",
        keys("sentence_bert_config.json", model_kwargs={"subfolder": "x"}),
        "has the unknown key 'subfolder'",
    ),
    # Files in the place of others.
    Attack(
        "a configuration of another version",
        keys("config.json", configuration_files=["config.4.0.0.json"]),
        "has the key 'configuration_files'",
    ),
    Attack(
        "a tokenizer of another version",
        keys("tokenizer_config.json", fast_tokenizer_files=["tokenizer.4.0.0.json"]),
        "has the key 'fast_tokenizer_files'",
    ),
    Attack(
        "a vocabulary of another folder",
        keys("tokenizer_config.json", vocab_file="/etc/passwd"),
        "has vocab_file '/etc/passwd'",
    ),
    Attack(
        "arguments of a tokenizer by their order",
        keys("tokenizer_config.json", init_inputs=["/etc/passwd"]),
        "has the key 'init_inputs'",
    ),
    Attack(
        "a module out of the folder",
        module("sentence_transformers.models.Dense", "../base"),
        "names the folder '../base'",
    ),
    Attack(
        "a module at a path of the machine",
        module("sentence_transformers.models.Dense", "/tmp"),
        "names the folder '/tmp'",
    ),
    Attack("a link to a file outside", link("vocab.txt", outside), "vocab.txt is a link out of the folder"),
    Attack(
        "a link to a folder",
        link("2_More", lambda folder, _: folder / "1_Pooling"),
        "2_More is a link to a folder",
        unread=True,
    ),
    Attack(
        "a link to nothing",
        link("vocab.txt", lambda *_: "nowhere"),
        "vocab.txt is a link out of the folder",
        unread=True,
    ),
    # Two readers, two meanings.
    Attack(
        "a key twice",
        text_of("config.json", "{", '{"auto_map": {"AutoConfig": "own.Config"}, "auto_map": null,'),
        "config.json has the key 'auto_map' twice",
    ),
    Attack(
        "a key twice in modules.json",
        text_of("modules.json", '"type":', f'"type": "{DOOR}.Module", "type":'),
        "modules.json has the key 'type' twice",
    ),
    Attack(
        "a key twice in a vocabulary",
        text_of("tokenizer.json", '"[PAD]":', '"[PAD]": 7, "[PAD]":'),
        "tokenizer.json has the key '[PAD]' twice",
    ),
    Attack(
        "brackets without end", lambda folder, _: put(folder, "config.json", "[" * 100_000), "config.json is no JSON"
    ),
    Attack(
        "the name of a file in capitals",
        lambda folder, _: put(folder, "ADAPTER_CONFIG.JSON", {}),
        "can run code",
        unread=True,
    ),
    Attack(
        "an unknown key of a module",
        keys("1_Pooling/config.json", run="x"),
        "1_Pooling/config.json has the unknown key 'run'",
    ),
    Attack(
        "an unknown key of the model", keys("config_sentence_transformers.json", run="x"), "has the unknown key 'run'"
    ),
    # Templates, which are programs.
    Attack(
        "texts through a template",
        both(
            keys("sentence_bert_config.json", modality_config=MESSAGES, module_output_name="token_embeddings"),
            lambda folder, _: put(folder, "chat_template.jinja", TEMPLATE),
        ),
        "has a modality_config without text",
    ),
    Attack(
        "arguments of a template",
        keys("sentence_bert_config.json", processing_kwargs={"chat_template": {"chat_template": TEMPLATE}}),
        "has the unknown key 'chat_template'",
    ),
)

PROMISE = Promise(
    what="Nothing of a stranger's model runs, and no file of its folder takes the place of another.",
    stops="one list of files, keys and classes for the check and the loader (encoders/safe_model.py), a private copy "
    "(encoders/safe_copy.py), and a process without network (submissions/wall.py)",
    attacks=len(ATTACKS),
    test="tests/test_attacks_model_folders.py",
)
