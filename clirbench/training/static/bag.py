"""The static model in training: a bag of subwords that drops tokens and has gradients only for the tokens of a batch."""

from typing import Any

import numpy as np
import torch
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from clirbench.training.pairs import columns, taught
from clirbench.training.recipe import StaticPart
from clirbench.training.teacher import SIDES, Targets
from clirbench.training.tokens import TokenStore


class BagCollator:
    """Turns a batch into the model's input. A pair of the batch is three numbers: its texts in the store, and its topic.

    The collator says how many tokens to drop. The model drops them, because checkpoints keep the model's random generator.
    """

    valid_label_columns: tuple[str, ...] = ()

    def __init__(self, store: TokenStore, part: StaticPart, targets: Targets | None = None) -> None:
        self._store, self._part, self._targets = store, part, targets

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """The input of a batch. Each side has ``input_ids``, ``offsets`` and ``dropout``, the share of tokens to drop."""
        numbers = columns(features)
        same = np.array_equal(numbers["query"], numbers["candidate"])
        dropout = self._part.same_text_dropout if same else (self._part.dropout, self._part.dropout)
        batch = taught(numbers, self._targets)
        for side, share in zip(SIDES, dropout, strict=True):
            ids, begins = self._store.gather(numbers[side])
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
