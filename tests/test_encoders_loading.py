"""Models that cannot be loaded, or only in part: one line that says what is wrong and what helps."""

import json
import logging
import re
import shutil
import warnings

import model_folders
import numpy as np
import pytest
import tiny_models
from command_line import clir

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import as_loaded, load_encoder
from clirbench.encoders.loading import load_checked
from clirbench.encoders.revision import folder_revision
from clirbench.support.errors import ClirbenchError
from clirbench.support.quiet import others_silenced

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return model_folders.plain(tmp_path_factory.mktemp("loading"))


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


def weights_of(folder, change):
    """Rewrite the weights of a folder with what ``change`` makes of them."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def refused(folder, options=None):
    with pytest.raises(ClirbenchError) as error:
        load_encoder(str(folder), options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_checkpoint_without_a_layer_stops_with_the_names_of_the_weights(folder):
    weights_of(folder, lambda held: {name: held[name] for name in held if "layer.1." not in name})
    message = refused(folder)
    assert "lacks 16 weights (encoder.layer.1.attention.output.LayerNorm.bias" in message
    assert "and 13 more" in message


def test_one_missing_weight_stops_too(folder):
    # Some releases write the bias of a norm as "beta".
    names = ("embeddings.LayerNorm.bias", "embeddings.LayerNorm.beta")
    weights_of(folder, lambda held: {name: held[name] for name in held if name not in names})
    assert "lacks 1 weight (embeddings.LayerNorm.bias)" in refused(folder)


def test_a_pooler_that_nothing_uses_may_be_missing(folder):
    weights_of(folder, lambda held: {name: held[name] for name in held if "pooler" not in name})
    first, second = (load_encoder(str(folder)) for _ in range(2))
    # The library fills it with random numbers, which no vector and no revision shows.
    assert first.info.revision == second.info.revision == f"sha256:{folder_revision(folder)}"
    a, b = (np.asarray(loaded.encoder.encode_queries(["wo?"])) for loaded in (first, second))
    assert (a == b).all()


def test_a_pooler_that_gives_the_vectors_may_not(folder):
    modality = {"text": {"method": "forward", "method_output_name": "pooler_output"}}
    model_folders.edit(
        folder, "sentence_bert_config.json", modality_config=modality, module_output_name="sentence_embedding"
    )
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:1]))
    load_encoder(str(folder))
    weights_of(folder, lambda held: {name: held[name] for name in held if "pooler" not in name})
    assert "lacks 2 weights (pooler.dense.bias, pooler.dense.weight)" in refused(folder)


def test_weights_that_the_model_does_not_have_are_no_fault(folder):
    import torch

    weights_of(folder, lambda held: held | {"cls.predictions.bias": torch.zeros(3)})
    assert load_encoder(str(folder)).info.revision is not None


def test_half_an_adapter_stops(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = model_folders.adapter(tmp_path)
    path = folder / "adapter_model.safetensors"
    save_file({name: held for name, held in load_file(path).items() if "lora_B" not in name}, path, {"format": "pt"})
    message = refused(folder)
    assert re.search(r"the adapter of '.*' lacks \d weights \(.*lora_B.*\), which would be random", message)
    assert "pip install -U transformers peft" in message


def test_an_adapter_without_its_base_model(tmp_path):
    folder = model_folders.adapter(tmp_path)
    model_folders.edit(folder, "adapter_config.json", base_model_name_or_path="someone/base")
    assert "someone/base, its base model, is not in the hub cache): hf download someone/base" in refused(folder)
    model_folders.edit(folder, "adapter_config.json", base_model_name_or_path=str(tmp_path / "gone"))
    assert f"there is no folder {tmp_path / 'gone'}, its base model" in refused(folder)


def test_weights_of_another_size_stop_even_where_the_folder_allows_them(folder):
    model_folders.edit(folder, "config.json", max_position_embeddings=128)
    model_folders.edit(folder, "sentence_bert_config.json", model_args={"ignore_mismatched_sizes": True})
    assert "has 1 weight (embeddings.position_embeddings.weight) in another size than config.json says" in refused(
        folder
    )


def test_a_layer_of_sentence_transformers_without_a_weight_is_named(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = model_folders.with_dense(tmp_path)
    path = folder / "2_Dense" / "model.safetensors"
    save_file({name: held for name, held in load_file(path).items() if "bias" not in name}, path)
    assert re.search(r'Missing key\(s\) in state_dict: "linear.bias"\): get the whole model again', refused(folder))


def test_a_packed_model_whose_weights_are_a_pointer(tmp_path):
    folder = model_folders.packed(tmp_path)
    (folder / "model.safetensors").write_text(POINTER)
    assert "not a packed model (model.safetensors is a Git LFS pointer, not the file): git lfs pull" in refused(folder)


def test_a_model_of_a_newer_library_says_so(folder):
    assert load_encoder(str(folder)).notes == ()
    model_folders.edit(folder, "config_sentence_transformers.json", __version__={"sentence_transformers": "99.1.0"})
    [note] = load_encoder(str(folder)).notes
    assert note.startswith("the model was saved by sentence-transformers 99.1.0, and ")
    model_folders.edit(folder, "config_sentence_transformers.json", __version__={})
    assert load_encoder(str(folder)).notes == ()


def test_an_adapter_alone_is_a_model(tmp_path):
    folder = model_folders.adapter(tmp_path)
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in folder.iterdir():
        if file.is_file() and file.name not in ("modules.json", "config_sentence_transformers.json"):
            shutil.copy(file, bare)
    if model_folders.NO_ADAPTERS:
        assert "the adapter of" in refused(bare)
        return
    whole, alone = load_encoder(str(folder)), load_encoder(str(bare))
    for texts in (["wo?"], ["dort", "hier"]):
        a, b = (np.asarray(loaded.encoder.encode_queries(texts)) for loaded in (whole, alone))
        assert a == pytest.approx(b, abs=1e-6)


def cut(path):
    path.write_bytes(path.read_bytes()[:3000])


def with_index(folder):
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"embeddings.LayerNorm.bias": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def without_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


def with_code(code):
    """Code that a model brings: classes of another name for BERT, after some lines of its own."""
    code += (
        "from transformers import BertConfig, BertModel\n"
        "class OwnConfig(BertConfig): model_type = 'own'\n"
        "class Own(BertModel): config_class = OwnConfig\n"
    )

    def write(folder):
        (folder / "modeling_own.py").write_text(code)
        classes = {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.Own"}
        model_folders.edit(folder, "config.json", auto_map=classes, model_type="own")

    return write


@pytest.mark.parametrize(
    ("damage", "line", "remedy"),
    [
        (lambda f: (f / "model.safetensors").write_text(POINTER), "model.safetensors is a Git LFS pointer", "git lfs pull"),
        (lambda f: (f / "tokenizer.json").write_text(POINTER), "tokenizer.json is a Git LFS pointer", "git lfs pull"),
        (lambda f: cut(f / "model.safetensors"), "model.safetensors is damaged", "git lfs pull"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "model.safetensors is damaged", "git lfs pull"),
        (lambda f: (f / "model.safetensors").unlink(), "it has no weights", "get the whole model"),
        (with_index, "names model-00001-of-00002.safetensors, which is not there", "get the whole model"),
        (lambda f: (f / "tokenizer.json").unlink(), "the files of its tokenizer are missing", "get the whole model"),
        (without_tokenizer, "knows no word", "get the whole model"),
        (lambda f: (f / "config.json").write_text('{"model_type": '), "config.json is no JSON", "copy it again"),
        (lambda f: (f / "modules.json").write_text("[{"), "modules.json is no JSON", "copy it again"),
        (lambda f: (f / "modules.json").write_text('[{"path": ""}]'), "it lacks 'type'", "the folder's files"),
        (lambda f: shutil.rmtree(f / "1_Pooling"), "modules.json names 1_Pooling", "get the whole model"),
        (lambda f: model_folders.edit(f, "config.json", model_type="unborn"), "knows no 'unborn'", "pip install -U transformers"),
        (
            lambda f: model_folders.edit(f, "config.json", hidden_size=32),
            "37 weights (embeddings.LayerNorm.bias, embeddings.LayerNorm.weight, embeddings.position_embeddings.weight "
            "and 34 more) in another size than config.json says",
            "get both from one place",
        ),
        (
            lambda f: model_folders.edit(f, "sentence_bert_config.json", model_args={"attn_implementation": "flash_attention_2"}),
            "FlashAttention2",
            "pip install flash-attn",
        ),
        (with_code(""), "it brings code of its own", "--trust-remote-code"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_folder_is_one_line_with_a_remedy(folder, damage, line, remedy):
    damage(folder)
    message = refused(folder)
    assert line in message
    assert remedy in message.rpartition(": ")[2] + message.partition(line)[2]


@pytest.mark.parametrize(("module", "package"), [("no_such_thing", "no_such_thing"), ("flash_attn", "flash-attn")])
def test_a_package_that_the_models_code_needs_is_named(folder, module, package):
    with_code(f"import {module}\n")(folder)
    message = refused(folder, EncoderOptions(trust_remote_code=True))
    assert f"pip install {package}" in message


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (ModuleNotFoundError("No module named 'sklearn'", name="sklearn"), "pip install scikit-learn"),
        (ImportError("Loading a PEFT model requires the `peft` package: `pip install peft`."), "pip install peft"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "--dtype float16"),
        (OSError("We couldn't connect to 'https://huggingface.co' to load the files"), "hf download me/own"),
        (MemoryError("cannot allocate memory"), "--dtype float16"),
        (TypeError("BFloat16 is not supported on MPS"), "pass --dtype float32"),
    ],
)
def test_what_a_library_says_becomes_a_remedy(error, remedy):
    def fail():
        raise error

    with pytest.raises(ClirbenchError, match=r"cannot load model 'me/own' \(.*\): ") as caught:
        load_checked("me/own", fail, lambda: None, EncoderOptions(dtype="bfloat16"))
    assert str(caught.value).rpartition("): ")[2].startswith(remedy) or remedy in str(caught.value)


def test_the_command_that_fetches_a_model_can_be_pasted():
    def fail():
        raise OSError("We couldn't connect to 'https://huggingface.co' to load the files")

    # mteb: is no part of a name on the hub, and mteb pins a commit.
    with pytest.raises(ClirbenchError, match=r"  hf download me/own --revision abc$"):
        load_checked("mteb:me/own", fail, lambda: None, EncoderOptions(revision="abc"))


@pytest.mark.parametrize("device", ["cuda:99", "nothing"])
def test_a_device_that_is_not_there(folder, device):
    assert f"there is no device '{device}' here): correct --device" in refused(folder, EncoderOptions(device=device))


def test_a_fault_of_files_is_told_before_a_device(folder):
    (folder / "model.safetensors").write_text(POINTER)
    assert "Git LFS pointer" in refused(folder, EncoderOptions(device="cpu"))


def test_a_model_that_mteb_wraps_is_checked_too(folder):
    weights_of(folder, lambda held: {name: held[name] for name in held if "layer.1." not in name})
    from sentence_transformers import SentenceTransformer

    class Wrapper:
        def __init__(self):
            self.model = SentenceTransformer(str(folder), device="cpu")

    with pytest.raises(ClirbenchError, match="checkpoint of 'mteb:me/own' lacks 16 weights"):
        load_checked("mteb:me/own", Wrapper, lambda: folder, EncoderOptions())


def test_a_model_in_memory_is_not_looked_at(folder):
    from sentence_transformers import SentenceTransformer

    assert as_loaded(SentenceTransformer(str(folder), device="cpu")).notes is not None


def test_the_screen_of_a_run_has_nothing_of_other_libraries(folder, tmp_path):
    weights_of(folder, lambda held: {name: held[name] for name in held if "pooler" not in name})
    ran = clir(
        tmp_path, "run", "--model", str(folder), "--name", "me/own", "--tasks", "demo", "--languages", "en,de",
        "--allow-zero-vectors", HF_HUB_OFFLINE="1",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    for words in ("LOAD REPORT", "MISSING", "Warning", "[transformers]", "Loading weights"):
        assert words not in ran.stderr + ran.stdout


def test_warnings_of_others_are_silenced_and_their_errors_are_not(caplog):
    asked = logging.getLogger("transformers")
    library = logging.getLogger("sentence_transformers.some.module")
    level = asked.level
    with others_silenced():
        warnings.warn("of a library", stacklevel=1)
        library.warning("small")
        library.error("great")
    assert [record.message for record in caplog.records] == ["great"]
    assert asked.level == level
    asked.setLevel(logging.DEBUG)
    try:
        with others_silenced():
            assert asked.level == logging.DEBUG
    finally:
        asked.setLevel(level)


def test_warnings_of_the_users_own_code_are_shown(tmp_path):
    (tmp_path / "warning_encoder.py").write_text(
        "import logging, warnings\n"
        "def make():\n"
        "    warnings.warn('of the user')\n"
        "    warnings.warn_explicit('of a library', UserWarning, '/usr/lib/site-packages/one.py', 1)\n"
        "    logging.getLogger('huggingface_hub.repocard').warning('of the hub')\n"
        "    raise SystemExit(3)\n"
    )
    ran = clir(tmp_path, "run", "--model", "warning_encoder:make", "--tasks", "demo", PYTHONWARNINGS="")
    assert ran.returncode == 2
    assert "of the user" in ran.stderr
    assert "of a library" not in ran.stderr
    assert "of the hub" not in ran.stderr


def test_a_model_is_loaded_with_its_files_as_they_are(tmp_path):
    # No check looks at a static model, which transformers does not load.
    assert load_encoder(str(tiny_models.static_model(tmp_path))).notes is not None
