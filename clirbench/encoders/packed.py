"""Packed folders of either kind, and static models in a packed form: 4 or 8 bits per weight, read without torch."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders import base
from clirbench.encoders.lengths import TokenCounts
from clirbench.encoders.loading import fault_of_files
from clirbench.encoders.packed_transformer import (
    is_packed_transformer,
    load_packed_transformer,
    unpacked_transformer,
)
from clirbench.encoders.revision import folder_revision
from clirbench.support.errors import ClirbenchError, first_line
from clirbench.support.names import check_name

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FORMAT = 1
# Token 0 is the unknown one.
_UNKNOWN = 0
REFUSED = (*(name for name in base.OF_LOADING if name != "trust_remote_code"), *base.OF_PROMPTS, "similarity")
CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
# Scales to try for each row, as shares of the scale that fits its largest weight. A smaller scale clips this weight, but gives
# all other weights finer steps.
_TRIED = np.linspace(0.5, 1.0, 11, dtype=np.float32)


def quantise(weights: NDArray[np.float32], bits: int) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Round each row to signed integers times one scale. With 4 bits, the scale is the one with the smallest squared error.

    Args:
        weights: float32 (rows, columns); the number of columns must be even for 4 bits.
        bits: 4 or 8.

    Returns:
        The integers, uint8 (rows, columns * bits / 8) in two's complement, where the earlier of two 4-bit columns is the low half
        of a byte; and the scales, float16 (rows,).
    """
    top = 2 ** (bits - 1) - 1
    largest = np.abs(weights).max(axis=1)
    best, error = np.zeros(len(weights), dtype=np.float16), np.full(len(weights), np.inf, dtype=np.float32)
    for share in _TRIED if bits == 4 else _TRIED[-1:]:
        scale = (largest * share / top).astype(np.float16)
        squared = ((_rounded(weights, scale, top) * scale[:, None].astype(np.float32) - weights) ** 2).sum(axis=1)
        better = squared < error
        best[better], error[better] = scale[better], squared[better]
    integers = _rounded(weights, best, top).astype(np.int8).view(np.uint8)
    if bits == 8:
        return integers, best
    return np.asarray((integers[:, ::2] & 0x0F) | (integers[:, 1::2] << 4), dtype=np.uint8), best


def _rounded(weights: NDArray[np.float32], scales: NDArray[np.float16], top: int) -> NDArray[np.float32]:
    safe = np.where(scales > 0, scales, 1).astype(np.float32)
    return np.asarray(np.clip(np.rint(weights / safe[:, None]), -top, top), dtype=np.float32)


def dequantise(packed: NDArray[np.uint8], scales: NDArray[np.float16], bits: int) -> NDArray[np.float32]:
    """Turn what :func:`quantise` returned back into weights, float32 (rows, columns)."""
    if bits == 8:
        integers = packed.view(np.int8)
    else:
        integers = np.empty((len(packed), packed.shape[1] * 2), dtype=np.int8)
        integers[:, ::2] = (packed << 4).view(np.int8) >> 4
        integers[:, 1::2] = packed.view(np.int8) >> 4
    return np.asarray(integers * scales[:, None].astype(np.float32), dtype=np.float32)


def write_packed(weights: NDArray[np.float32], tokenizer_json: str, bits: int, folder: Path) -> None:
    """Write a packed model into a folder: weights (vocabulary, dimensions) in 4 or 8 bits, tokenizer, configuration."""
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    packed, scales = quantise(weights, bits)
    # Not save_file of safetensors: only the owner may read the files that it makes.
    (folder / WEIGHTS).write_bytes(save({"weights": packed, "scales": scales}))
    (folder / TOKENIZER).write_text(tokenizer_json, encoding="utf-8", newline="\n")
    config = {"format": FORMAT, "bits": bits, "vocabulary": len(weights), "dimensions": weights.shape[1]}
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8", newline="\n")


class PackedEncoder:
    """A packed static model: the vector of a text is the mean of its tokens' vectors.

    A text without any token, such as "?!", gets the vector of the unknown token, so no vector is zero. The tokenizer and the
    weights are read at once, and unpacked for the first text. A tokenizer that is none is refused then.

    Args:
        folder: A folder that :func:`write_packed` wrote.

    Raises:
        ClirbenchError: The folder is not a packed model, or its format is unknown.
    """

    similarity = "cosine"

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file

        try:
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            if config["format"] != FORMAT:
                raise ClirbenchError(f"{folder}: packed format {config['format']} is not {FORMAT}: upgrade clirbench")
            tensors = load_file(folder / WEIGHTS)
            self._tokenizer_json = (folder / TOKENIZER).read_bytes()
            self._packed, self._scales, self._bits = tensors["weights"], tensors["scales"], config["bits"]
            if self._packed.ndim != 2 or self._packed.dtype != np.uint8 or self._scales.shape != self._packed.shape[:1]:
                raise ValueError("weights and scales do not fit each other")
        except ClirbenchError:
            raise
        except Exception as error:
            raise _no_packed_model(folder, error) from error
        self.parameters = int(self._packed.size) * (1 if self._bits == 8 else 2)
        self._folder = folder

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """The tokenizer, made for the first text: that takes as long as a small run whose vectors are in the cache.

        Raises:
            ClirbenchError: Its file holds no tokenizer.
        """
        from tokenizers import Tokenizer

        try:
            made = Tokenizer.from_buffer(self._tokenizer_json)
        except Exception as error:  # tokenizers raises nothing more precise
            raise _no_packed_model(self._folder, error) from error
        self._tokenizer_json = b""
        return made

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """The vectors of all tokens, float32 (vocabulary, dimensions), unpacked for the first text that is encoded."""
        return dequantise(self._packed, self._scales, self._bits)

    def encode_queries(self, texts: list[str]) -> NDArray[np.float32]:
        """Encode texts: float32 (texts, dimensions), not normalised."""
        # A run whose vectors are in the cache does without it.
        from scipy.sparse import csr_matrix

        encodings = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ids = [encoding.ids or [_UNKNOWN] for encoding in encodings]
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        shares = np.repeat(1 / lengths, lengths).astype(np.float32)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        bags = csr_matrix((shares, np.concatenate(ids), starts), shape=(len(texts), len(self.weights)))
        return np.asarray(bags @ self.weights, dtype=np.float32)

    encode_candidates = encode_queries

    def token_counts(self, role: str, texts: Sequence[str]) -> TokenCounts:
        """Count the tokens of each text; both roles read the whole text."""
        encodings = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return TokenCounts.of((encoding.ids for encoding in encodings), _UNKNOWN)

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Count the tokens of each text."""
        return self.token_counts("candidate", texts).tokens


def _no_packed_model(folder: Path, error: Exception) -> ClirbenchError:
    line, remedy = fault_of_files(folder, str(folder)) or (first_line(error), "reinstall or rebuild it")
    return ClirbenchError(f"{folder}: not a packed model ({line}): {remedy}")


def is_packed(name: str) -> bool:
    """Whether ``name`` is a folder of a packed model, static or a transformer."""
    if is_packed_transformer(name):
        return True
    try:
        config = json.loads((Path(name).expanduser() / CONFIG).read_text(encoding="utf-8"))
    except (OSError, RuntimeError, ValueError):
        return False
    return isinstance(config, dict) and {"format", "bits", "dimensions"} <= set(config)


def load_packed(folder: Path, options: base.EncoderOptions) -> base.LoadedEncoder:
    """Load a packed folder. Its revision is the checksum of its files.

    Raises:
        ClirbenchError: The folder cannot be read, or an option does not apply.
    """
    if is_packed_transformer(folder):
        return load_packed_transformer(folder, options)
    base.refuse(options, REFUSED, "a packed model")
    digest = folder_revision(folder)
    encoder = PackedEncoder(folder)
    label = options.name or f"local/{folder.resolve().name}-{digest[:8]}"
    check_name(label)
    return base.LoadedEncoder(
        encoder=encoder,
        info=base.ModelInfo(label, "packed", f"sha256:{digest}", "folder-sha256", parameters=encoder.parameters),
        settings=base.EncoderSettings(),
    )


def to_sentence_transformer(folder: Path) -> Any:
    """Convert a packed model to a sentence-transformers model on the CPU, to fine-tune or to save.

    A packed transformer becomes a transformer with weights in float32, a packed static model one StaticEmbedding.

    Raises:
        ClirbenchError: The folder is not a packed model.
    """
    if is_packed_transformer(folder):
        return unpacked_transformer(folder)
    encoder = PackedEncoder(folder)
    return static_model(encoder.tokenizer, encoder.weights)


def static_model(tokenizer: "Tokenizer", weights: NDArray[np.float32]) -> Any:
    """Make a sentence-transformers model of one StaticEmbedding, on the CPU."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu")
