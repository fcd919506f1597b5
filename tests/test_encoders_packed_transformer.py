"""Packed transformers: what is written, what comes back, with which options it runs, and what is refused."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tiny_models import unigram_model
from typer.testing import CliRunner

import clirbench
from clirbench.cli import app
from clirbench.encoders import bundled
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.blocks import dequantise_blocks, quantise_blocks
from clirbench.encoders.load import load_encoder
from clirbench.encoders.packed import is_packed, to_sentence_transformer
from clirbench.encoders.packed_transformer import unpack, write_packed_transformer
from clirbench.encoders.safe_model import UnsafeModelError, refuse_unsafe
from clirbench.encoders.vector_cache import versions
from clirbench.results.reload_model import ModelAt, refuse_another_model, reload_model
from clirbench.results.rescore import rescore
from clirbench.support.errors import ClirbenchError

TEXTS = ["Where is the library?", "a bad cab", "αβγ", "one more text with many more letters than the model reads"]
NAME = "clirbench/hybrid-e5"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return unigram_model(tmp_path_factory.mktemp("body"))


@pytest.fixture(scope="module")
def written(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("held") / "packed"
    write_packed_transformer(model, folder)
    return folder


@pytest.fixture
def folder(tmp_path, written):
    return shutil.copytree(written, tmp_path / "packed")


@pytest.fixture
def as_bundled(monkeypatch, folder):
    monkeypatch.setitem(bundled.BUNDLED, NAME, bundled.Bundled(NAME, "for quality: a transformer", None, folder))
    return folder


def in_blocks(weight):
    """What a weight is after packing."""
    values = weight.detach().numpy()
    if values.ndim == 2 and values.shape[1] % 32 == 0 and len(values) >= 32:
        return dequantise_blocks(*quantise_blocks(values))
    return values.astype(np.float16).astype(np.float32)


def test_every_weight_comes_back_as_its_blocks_say(model, folder):
    """Without the pooler, which no module uses, and without the positions that no text reaches."""
    before, after = dict(model.named_parameters()), dict(to_sentence_transformer(folder).named_parameters())
    assert sorted(set(before) - set(after)) == ["0.model.pooler.dense.bias", "0.model.pooler.dense.weight"]
    for name, parameter in after.items():
        assert parameter.dtype == torch.float32
        expected = in_blocks(before[name])
        rows = 40 if "position_embeddings" in name else len(expected)
        assert np.array_equal(parameter.detach().numpy(), expected[:rows]), name


def test_it_is_the_same_model_in_fewer_bytes(model, folder):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(in_blocks(parameter)))
    back = to_sentence_transformer(folder)
    assert back.max_seq_length == 40
    assert back.prompts == model.prompts
    assert back.similarity_fn_name == "cosine"
    for encode in ("encode_query", "encode_document"):
        assert np.allclose(getattr(back, encode)(TEXTS), getattr(model, encode)(TEXTS), atol=1e-5)
    parameters = sum(parameter.numel() for parameter in back.parameters())
    assert (folder / "packed.safetensors").stat().st_size < parameters + 12_000


def test_packing_a_packed_model_again_changes_no_file(folder, tmp_path):
    write_packed_transformer(to_sentence_transformer(folder), tmp_path / "again")
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert {path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file()} == {
        *files
    }
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (folder / file).read_bytes(), file


def test_the_tokenizer_is_compact_and_reads_texts_alike(model, folder):
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    assert ": " not in text.replace('": "', "")
    scores = [score for _, score in json.loads(text)["model"]["vocab"]]
    assert max(len(str(score)) for score in scores) <= len("-11.1234567")
    back = to_sentence_transformer(folder)
    assert back.tokenizer(TEXTS)["input_ids"] == model.tokenizer(TEXTS)["input_ids"]


def test_a_dense_layer_is_packed_too(tmp_path):
    model = unigram_model(tmp_path / "body", dense=True)
    write_packed_transformer(model, tmp_path / "packed")
    assert (tmp_path / "packed" / "2_Dense" / "packed.safetensors").is_file()
    back = to_sentence_transformer(tmp_path / "packed")
    assert np.array_equal(back[2].linear.weight.detach().numpy(), in_blocks(model[2].linear.weight))
    assert back.encode(TEXTS).shape == (4, 64)


def test_the_pooler_stays_where_it_is_used(tmp_path):
    model = unigram_model(tmp_path / "body")
    model[0].modality_config["text"]["method_output_name"] = "pooler_output"
    model[0].module_output_name = "sentence_embedding"
    del model[1]
    write_packed_transformer(model, tmp_path / "packed")
    weight = to_sentence_transformer(tmp_path / "packed")[0].auto_model.pooler.dense.weight
    assert np.array_equal(weight.detach().numpy(), in_blocks(model[0].auto_model.pooler.dense.weight))


def test_weights_of_any_precision_are_read_as_float32(tmp_path):
    model = unigram_model(tmp_path / "body").to(torch.bfloat16)
    write_packed_transformer(model, tmp_path / "packed")
    assert {p.dtype for p in to_sentence_transformer(tmp_path / "packed").parameters()} == {torch.float32}


def test_it_can_be_saved_and_trained(folder, tmp_path):
    model = to_sentence_transformer(folder)
    model.save(str(tmp_path / "plain"))
    assert "/tmp" not in (tmp_path / "plain" / "README.md").read_text()
    loaded = load_encoder(str(tmp_path / "plain"))
    assert np.allclose(loaded.encoder.encode_queries(TEXTS), model.encode_query(TEXTS), atol=1e-6)
    model.train()
    features = model.preprocess(TEXTS)
    model(features)["sentence_embedding"].sum().backward()
    assert model[0].auto_model.embeddings.word_embeddings.weight.grad.abs().sum() > 0


def test_the_options_of_a_transformer_apply(folder):
    assert is_packed(str(folder))
    plain = load_encoder(str(folder))
    assert (plain.info.kind, plain.info.revision_kind) == ("packed", "folder-sha256")
    assert plain.info.name.startswith("local/packed-")
    assert plain.info.parameters == sum(p.numel() for p in to_sentence_transformer(folder).parameters())
    settings = plain.settings
    assert (settings.query_prompt, settings.candidate_prompt) == ("query: ", "passage: ")
    assert (settings.similarity, settings.dtype, settings.query_max_length) == ("cosine", "float32", 40)
    assert plain.saved_dtype == "4-bit blocks"
    assert {"torch", "sentence-transformers"} <= set(versions(plain))
    asked = EncoderOptions(
        name="me/small", batch_size=2, device="cpu", dtype="bfloat16", max_length=12, query_prompt="find ", safe=True
    )
    other = load_encoder(str(folder), asked)
    assert (other.info.name, other.batch_size, other.device) == ("me/small", 2, "cpu")
    assert other.info.revision == plain.info.revision
    assert (other.settings.query_prompt, other.settings.dtype, other.settings.candidate_max_length) == (
        "find ",
        "bfloat16",
        12,
    )
    assert other.encoder.token_counts("query", ["ab"]).tokens[0] < plain.encoder.token_counts("query", ["ab"]).tokens[0]
    with pytest.raises(ClirbenchError, match="--max-length is 41, but the model has 40 positions"):
        load_encoder(str(folder), EncoderOptions(max_length=41))
    for option in ({"backend": "onnx"}, {"revision": "main"}, {"allow_pickle": True}):
        with pytest.raises(ClirbenchError, match="does not apply to a packed model: leave it out"):
            load_encoder(str(folder), EncoderOptions(**option))


@pytest.mark.parametrize("options", [{}, {"prompts": "none", "max_length": 20}, {"transform": "center"}])
def test_a_result_names_the_settings_with_which_the_model_is_found_again(folder, tmp_path, options):
    result = clirbench.evaluate(str(folder), "demo", languages=["en", "de"], options=EncoderOptions(**options))
    assert result.document.model.kind == "packed"
    assert rescore(clirbench.read_result(result.save(tmp_path))).differences == []
    refuse_another_model(reload_model(result.document, ModelAt(str(folder))), result.document)


def test_the_bundled_one_takes_options_and_has_its_own_name(as_bundled):
    loaded = load_encoder(NAME, EncoderOptions(dtype="bfloat16", batch_size=4, device="cpu", transform="lir:2"))
    assert (loaded.info.name, loaded.info.kind, loaded.info.revision_kind) == (NAME, "bundled", "folder-sha256")
    assert loaded.info.revision == load_encoder(str(as_bundled)).info.revision
    assert (loaded.settings.dtype, loaded.settings.transform, loaded.batch_size) == ("bfloat16", "lir:2", 4)
    assert loaded.settings.query_prompt == "query: "
    with pytest.raises(ClirbenchError, match=f"--name does not apply to the bundled model {NAME}: leave it out"):
        load_encoder(NAME, EncoderOptions(name="me/it"))
    result = clirbench.evaluate(NAME, "demo", languages=["en"], options=EncoderOptions(max_length=20))
    refuse_another_model(reload_model(result.document, ModelAt()), result.document)


def test_a_fusion_hands_its_options_to_the_bundled_transformer_alone(as_bundled):
    loaded = load_encoder(f"rrf:clirbench/hybrid+{NAME}", EncoderOptions(dtype="float16", device="cpu", safe=True))
    assert [part.settings.dtype for part in loaded.parts] == ["float32", "float16"]


def test_the_list_says_which_model_to_take_when(as_bundled):
    ran = CliRunner().invoke(app, ["models"])
    assert "clirbench/hybrid" in ran.stdout
    assert "for speed" in ran.stdout
    assert "for quality" in ran.stdout


def test_naming_it_loads_no_torch():
    code = "import sys, clirbench.encoders.bundled; print({'torch', 'transformers', 'mteb'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_the_check_of_a_strangers_model_knows_it(folder):
    refuse_unsafe(folder)
    (folder / "packed.safetensors").unlink()
    (folder / "other.safetensors").touch()
    with pytest.raises(UnsafeModelError):
        refuse_unsafe(folder)


def other_format(folder):
    from safetensors.numpy import save_file

    path = folder / "packed.safetensors"
    with safe_open(path, "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata={"clirbench-packed": "9"})


def scales_of_another_size(folder):
    from safetensors.numpy import save_file

    path = folder / "packed.safetensors"
    with safe_open(path, "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    name = next(name for name in tensors if name.endswith(".scales"))
    tensors[name] = tensors[name][:, :0]
    save_file(tensors, path, metadata={"clirbench-packed": "1"})


def another_class(folder):
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "mine.Pooling"
    (folder / "modules.json").write_text(json.dumps(modules))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "packed.safetensors").write_bytes(b"no"), "no file of packed weights"),
        (other_format, "a packed format that this clirbench does not know: upgrade it"),
        (scales_of_another_size, "no file of packed weights"),
        (another_class, "modules.json names the class 'mine.Pooling'"),
        (lambda folder: (folder / "modeling.py").write_text("print(1)"), "modeling.py can run code"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "model.safetensors beside packed.safe"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "mine"}'), "has the model_type 'mine'"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer"),
        (
            lambda folder: (folder / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes()[:900]),
            r"is no packed transformer \(tokenizer\.json is no JSON \(.*\)\): copy it again",
        ),
    ],
)
def test_what_is_no_packed_folder_is_refused_in_one_line(folder, damage, message):
    damage(folder)
    with pytest.raises(ClirbenchError, match=message) as error:
        load_encoder(str(folder))
    assert "\n" not in str(error.value)


def test_a_full_disk_is_one_line(folder, monkeypatch):
    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(ClirbenchError, match=r"\(No space left on device\): point TMPDIR at a folder with room"):
        load_encoder(str(folder))


def test_what_cannot_be_packed_is_refused(tmp_path):
    model = unigram_model(tmp_path / "body")
    with torch.no_grad():
        model[0].auto_model.embeddings.LayerNorm.bias[3] = 1e6
    with pytest.raises(ClirbenchError, match=r"embeddings.LayerNorm.bias \(one is no float16\): train again"):
        write_packed_transformer(model, tmp_path / "packed")
    with torch.no_grad():
        model[0].auto_model.embeddings.LayerNorm.bias[3] = 0
        model[0].auto_model.embeddings.word_embeddings.weight[5, 5] = float("inf")
    with pytest.raises(ClirbenchError, match=r"word_embeddings.weight \(a weight is not finite"):
        write_packed_transformer(model, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_a_module_of_ones_own_is_not_packed(tmp_path):
    from sentence_transformers.base.modules import Normalize

    class Mine(Normalize):
        pass

    model = unigram_model(tmp_path / "body")
    model[2] = Mine()
    with pytest.raises(ClirbenchError, match=r"cannot pack the model \(.*\): use modules of sentence-transformers"):
        write_packed_transformer(model, tmp_path / "packed")


def test_unpacking_writes_an_ordinary_folder(folder, tmp_path):
    from sentence_transformers import SentenceTransformer

    (folder / "README.md").write_text("prose")
    unpack(folder, tmp_path / "plain")
    assert not (tmp_path / "plain" / "packed.safetensors").exists()
    plain = SentenceTransformer(str(tmp_path / "plain"), device="cpu")
    assert np.array_equal(plain.encode(TEXTS), to_sentence_transformer(folder).encode(TEXTS))
