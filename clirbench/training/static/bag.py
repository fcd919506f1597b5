"""The static model in training: a bag of subwords that drops tokens and has gradients only for the tokens of a batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer

from clirbench.training.recipe import StaticPart

_CHUNK = 20_000


class TokenStore:
    """Every training text as token ids, one text after the other.

    The tokens of text ``i`` are ``ids[starts[i] : starts[i + 1]]``; ``ids`` is int32, ``starts`` int64.
    """

    def __init__(self, ids: NDArray[np.int32], starts: NDArray[np.int64]) -> None:
        self.ids, self.starts = ids, starts

    @classmethod
    def encode(cls, tokenizer: Tokenizer, texts: Sequence[str], max_length: int, advance: Any = None) -> "TokenStore":
        """Tokenise texts, and keep the first ``max_length`` tokens of each. ``advance`` is called with numbers of texts."""
        ids, lengths = [], []
        for begin in range(0, len(texts), _CHUNK):
            encodings = tokenizer.encode_batch_fast(texts[begin : begin + _CHUNK], add_special_tokens=False)
            cut = [np.asarray(encoding.ids[:max_length], dtype=np.int32) for encoding in encodings]
            ids.append(np.concatenate(cut))
            lengths.append(np.fromiter(map(len, cut), dtype=np.int64, count=len(cut)))
            if advance:
                advance(len(cut))
        empty = np.zeros(0, dtype=np.int32)
        return cls(np.concatenate([empty, *ids]), np.concatenate([[0], *lengths]).cumsum().astype(np.int64))

    def gather(self, texts: NDArray[np.integer[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Token ids of the texts with these numbers, one text after the other, and where each text begins; both int64."""
        lengths = self.starts[texts + 1] - self.starts[texts]
        begins = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) + np.repeat(self.starts[texts] - begins, lengths)
        return self.ids[places].astype(np.int64), begins


class BagCollator:
    """Turns a batch into the model's input. A pair of the batch is two numbers: those of its texts in the store.

    The collator says how many tokens to drop. The model drops them, because checkpoints keep the model's random generator.
    """

    valid_label_columns: tuple[str, ...] = ()

    def __init__(self, store: TokenStore, part: StaticPart) -> None:
        self._store, self._part = store, part

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """The input of a batch. Each side has ``input_ids``, ``offsets`` and ``dropout``, the share of tokens to drop."""
        queries, candidates = (np.array([row[side] for row in features]) for side in ("query", "candidate"))
        same = np.array_equal(queries, candidates)
        dropout = self._part.same_text_dropout if same else (self._part.dropout, self._part.dropout)
        batch: dict[str, Any] = {}
        for side, texts, share in zip(("query", "candidate"), (queries, candidates), dropout, strict=True):
            ids, begins = self._store.gather(texts)
            batch[f"{side}_input_ids"] = torch.from_numpy(ids)
            batch[f"{side}_offsets"] = torch.from_numpy(begins)
            batch[f"{side}_dropout"] = torch.tensor(share)
        return batch


class TrainingBag(StaticEmbedding):  # type: ignore[misc]
    """A StaticEmbedding that drops tokens in training and has sparse gradients. It is saved as a plain StaticEmbedding."""

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Add ``sentence_embedding``, float32 (texts, dimensions).

        In training, it is the sum of the vectors of the tokens that are not dropped. Sum and mean have the same cosines.
        """
        ids, offsets = features["input_ids"], features["offsets"]
        if not self.training or "dropout" not in features:
            return super().forward(features)  # type: ignore[no-any-return]
        weights = (torch.rand(len(ids)) >= features["dropout"]).float()
        touched, local = torch.unique(ids, return_inverse=True)
        # Each vector is looked up once, then summed. So the sparse gradient has one entry per vector, not one per token.
        rows = torch.nn.functional.embedding(touched, self.embedding.weight, sparse=True)
        features["sentence_embedding"] = torch.nn.functional.embedding_bag(
            local, rows, offsets, mode="sum", per_sample_weights=weights
        )
        return features
