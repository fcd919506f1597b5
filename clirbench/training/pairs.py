"""Batches of a transformer: pairs of texts as tokens, with what the teacher says of them."""

from typing import Any

import numpy as np
import torch

from clirbench.training.teacher import SIDES, Targets
from clirbench.training.tokens import TokenStore


class PairCollator:
    """Turns a batch into the model's input. A pair of the batch is three numbers: its texts in the stores, and its topic.

    Args:
        stores: By side, the tokens of all texts.
        padding: The tokenizer's padding token.
        targets: What the texts learn of a teacher, if there is one.
    """

    valid_label_columns: tuple[str, ...] = ()

    def __init__(self, stores: dict[str, TokenStore], padding: int, targets: Targets | None) -> None:
        self._stores, self._padding, self._targets = stores, padding, targets

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """The input of a batch: ``input_ids``, ``attention_mask`` and, with a teacher, ``teacher`` of each side."""
        batch: dict[str, Any] = {}
        for side in SIDES:
            texts = np.array([row[side] for row in features])
            ids, mask = self._stores[side].padded(texts, self._padding)
            batch[f"{side}_input_ids"], batch[f"{side}_attention_mask"] = torch.from_numpy(ids), torch.from_numpy(mask)
        return add_targets(batch, features, self._targets)


def add_targets(batch: dict[str, Any], features: list[dict[str, Any]], targets: Targets | None) -> dict[str, Any]:
    """Add what each side learns of the teacher to a batch, unless the teacher knows nothing of its texts."""
    if targets:
        topics = np.array([row["topic"] for row in features])
        found = {side: targets.of(side, np.array([row[side] for row in features]), topics) for side in SIDES}
        # Without any target, the loss would be a mean over nothing.
        if all(bool(vectors.any()) for vectors in found.values()):
            batch |= {f"{side}_teacher": vectors for side, vectors in found.items()}
    return batch
