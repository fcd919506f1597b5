"""Training texts as token ids, so that no text is tokenised twice."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

_CHUNK = 20_000
# Turns texts into lists of token ids.
Tokenise = Callable[[Sequence[str]], Sequence[Sequence[int]]]


def without_special_tokens(tokenizer: Tokenizer) -> Tokenise:
    """A function that tokenises texts and adds no special tokens."""
    return lambda texts: [e.ids for e in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


class TokenStore:
    """Every training text as token ids, one text after the other.

    The tokens of text ``i`` are ``ids[starts[i] : starts[i + 1]]``; ``ids`` is int32, ``starts`` int64.
    """

    def __init__(self, ids: NDArray[np.int32], starts: NDArray[np.int64]) -> None:
        self.ids, self.starts = ids, starts

    @classmethod
    def encode(
        cls, tokenise: Tokenise, texts: Sequence[str], max_length: int, advance: Callable[[int], None] | None = None
    ) -> "TokenStore":
        """Tokenise texts, and keep the first ``max_length`` tokens of each. ``advance`` is called with numbers of texts."""
        ids, lengths = [], []
        for begin in range(0, len(texts), _CHUNK):
            cut = [np.asarray(i[:max_length], dtype=np.int32) for i in tokenise(texts[begin : begin + _CHUNK])]
            ids.append(np.concatenate(cut))
            lengths.append(np.fromiter(map(len, cut), dtype=np.int64, count=len(cut)))
            if advance:
                advance(len(cut))
        empty = np.zeros(0, dtype=np.int32)
        return cls(np.concatenate([empty, *ids]), np.concatenate([[0], *lengths]).cumsum().astype(np.int64))

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.starts) - 1

    def gather(self, texts: NDArray[np.integer[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Token ids of the texts with these numbers, one text after the other, and where each text begins; both int64."""
        lengths = self.starts[texts + 1] - self.starts[texts]
        begins = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) + np.repeat(self.starts[texts] - begins, lengths)
        return self.ids[places].astype(np.int64), begins

    def padded(self, texts: NDArray[np.integer[Any]], padding: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Token ids of the texts with these numbers and their mask, both int64 (texts, tokens of the longest text)."""
        lengths = self.starts[texts + 1] - self.starts[texts]
        mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
        ids = np.full(mask.shape, padding, dtype=np.int64)
        ids[mask] = self.gather(texts)[0]
        return ids, mask.astype(np.int64)
