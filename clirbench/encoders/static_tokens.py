"""The tokens of texts for a static model of sentence-transformers, made once: for the vectors and for the counts of a result.

A static model adds up one vector per token, so its time is that of the tokenizer. The library's ``encode`` also asks where each
token stands in the text, which nobody reads, and takes 32 texts at a time, though no text is padded to another one's length.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.lengths import Reader, TokenCounts, unknown_id


class StaticTokens:
    """The tokens of texts as a static model reads them, and how many they were.

    Args:
        model: A SentenceTransformer that :func:`is_static` takes.
        by_role: How it reads the texts of each role.
        tasks: Its task of each role.
    """

    def __init__(self, model: Any, by_role: Mapping[str, Reader], tasks: Mapping[str, str]) -> None:
        self._model, self._readers, self._tasks = model, by_role, tasks
        self._counts: dict[str, dict[str, tuple[int, int]]] = {role: {} for role in by_role}

    def encode(self, role: str, texts: Sequence[str]) -> Any:
        """Do what the model's ``encode`` does, all texts at once: float tensor (texts, dimensions)."""
        import torch

        rows = self._tokenise(role, texts)
        first = np.cumsum([0, *(len(row) for row in rows[:-1])])
        tokens = np.concatenate(rows)
        self._keep(role, texts, rows)
        device, model = self._model.device, self._model
        features = {"input_ids": torch.from_numpy(tokens).to(device), "offsets": torch.from_numpy(first).to(device)}
        with torch.inference_mode():
            model.eval()
            return model(features, task=self._tasks[role])["sentence_embedding"][:, : model.truncate_dim]

    def counts(self, role: str, texts: Sequence[str]) -> TokenCounts:
        """Count the tokens of each text: those that were encoded were counted then."""
        known = self._counts[role]
        others = [text for text in texts if text not in known]
        if others:
            self._keep(role, others, self._tokenise(role, others))
        return TokenCounts([known[text][0] for text in texts], [known[text][1] for text in texts])

    def _keep(self, role: str, texts: Sequence[str], rows: Sequence[NDArray[np.int64]]) -> None:
        """Keep how many tokens texts have, and how many of these are unknown."""
        self._counts[role] |= {
            text: (len(row), int((row == self._unknown).sum())) for text, row in zip(texts, rows, strict=True)
        }

    def _tokenise(self, role: str, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Tokenise some texts: int64 (tokens,) for each."""
        prompt = self._readers[role].prompt
        encodings = self._model[0].tokenizer.encode_batch_fast(
            [prompt + text for text in texts], add_special_tokens=False
        )
        return [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]

    @cached_property
    def _unknown(self) -> int:
        """The id of the unknown token, -1 without one."""
        found = unknown_id(self._model[0].tokenizer)
        return -1 if found is None else found


def is_static(model: Any) -> bool:
    """Whether a model is a SentenceTransformer of static vectors whose tokenizer neither cuts nor pads."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    if type(model) is not SentenceTransformer or type(model[0]) is not StaticEmbedding:
        return False
    tokenizer = model[0].tokenizer
    placed = getattr(model, "_placement_is_delegated", False) or getattr(model, "_distributed_inference", None)
    plain = hasattr(tokenizer, "encode_batch_fast") and tokenizer.truncation is None and tokenizer.padding is None
    return bool(plain and not placed and model.device.type != "hpu")
