"""Batches of a transformer: pairs of texts as tokens, with what the teacher says of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

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
        numbers = columns(features)
        batch = taught(numbers, self._targets)
        for side in SIDES:
            ids, mask = self._stores[side].padded(numbers[side], self._padding)
            batch[f"{side}_input_ids"], batch[f"{side}_attention_mask"] = torch.from_numpy(ids), torch.from_numpy(mask)
        return batch


def columns(features: list[dict[str, Any]]) -> dict[str, NDArray[np.int64]]:
    """The numbers of a batch's pairs by column, int64 (pairs,): ``query``, ``candidate`` and ``topic``."""
    return {name: np.array([row[name] for row in features]) for name in features[0]}


def taught(numbers: Mapping[str, NDArray[np.int64]], targets: Targets | None) -> dict[str, Any]:
    """What each side of a batch learns of the teacher; nothing without a teacher, or where it knows none of the texts."""
    if targets is None:
        return {}
    vectors = {f"{side}_teacher": targets.of(side, numbers[side], numbers["topic"]) for side in SIDES}
    # Without any target, the loss would be a mean over nothing.
    return vectors if all(bool(own.any()) for own in vectors.values()) else {}
