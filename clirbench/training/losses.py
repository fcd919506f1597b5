"""Losses: the in-batch contrastive loss of arXiv 2408.10536, and the distance to a frozen teacher beside it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from torch.func import functional_call
from torch.nn.functional import normalize

from clirbench.encoders.blocks import BLOCK, in_blocks
from clirbench.training.recipe import LossPart, TeacherPart

_DIRECTIONS = {
    "forward": ("query_to_doc",),
    "symmetric": ("query_to_doc", "doc_to_query"),
    "all": ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"),
}
# Largest share of padding among the tokens of texts that are encoded together. A GPU is faster with few large groups.
_PADDING = {"cpu": 0.08, "cuda": 0.5}
_TOKENS = {"input_ids", "attention_mask", "token_type_ids"}


def make_loss(model: Any, part: LossPart, teacher: TeacherPart | None = None) -> torch.nn.Module:
    """The loss that a recipe's ``[loss]`` and ``[teacher]`` describe, as a loss of sentence-transformers."""
    if part.cached_mini_batch:
        return contrastive_loss(model, part)
    return HybridLoss(model, part, teacher)


def contrastive_loss(model: Any, part: LossPart) -> torch.nn.Module:
    """The in-batch contrastive loss of arXiv 2408.10536, equation 1, with the values of a recipe's ``[loss]``."""
    mode = "joint" if part.directions == "all" else "per_direction"
    options: dict[str, Any] = {"scale": part.scale, "directions": _DIRECTIONS[part.directions], "partition_mode": mode}
    kind: Callable[..., torch.nn.Module] = MultipleNegativesRankingLoss
    if part.cached_mini_batch:
        kind, options["mini_batch_size"] = CachedMultipleNegativesRankingLoss, part.cached_mini_batch
    return kind(model, **options)


class HybridLoss(torch.nn.Module):
    """The contrastive loss of arXiv 2408.10536, equation 1, plus the distance to a teacher's vectors.

    Texts of like length are encoded together, which changes no vector and saves most of the padding.

    Args:
        model: A SentenceTransformer.
        part: The recipe's ``[loss]``.
        teacher: The recipe's ``[teacher]``. Then each side of a batch brings ``teacher``, float (texts, dimensions).
    """

    def __init__(self, model: Any, part: LossPart, teacher: TeacherPart | None = None) -> None:
        super().__init__()
        self.model = model
        self.contrastive = contrastive_loss(model, part)
        self.part, self.teacher = part, teacher
        # Set by the trainer for the last steps of a model that is packed.
        self.rounded = False

    def forward(self, sentence_features: Sequence[dict[str, Any]], labels: Any = None) -> torch.Tensor:
        """The loss of a batch, a scalar. ``sentence_features`` are the queries' and the candidates'."""
        targets = [features.pop("teacher", None) for features in sentence_features]
        # Rounded once for all groups of a batch.
        weights = rounded_weights(self.model) if self.rounded else None
        vectors = [encode_by_length(partial(self._encode, weights), features) for features in sentence_features]
        # Where neither loss counts, the batch still has a gradient, which is 0.
        loss = 0.0 * vectors[0].sum()
        if self.part.weight:
            loss = loss + self.part.weight * self.contrastive.compute_loss_from_embeddings(vectors, labels)  # type: ignore[operator]
        if self.teacher and all(target is not None for target in targets):
            loss = loss + self.teacher.weight * teacher_distance(self.teacher.compare, vectors, targets)
        return loss

    def _encode(self, weights: dict[str, torch.Tensor] | None, features: dict[str, Any]) -> torch.Tensor:
        read = self.model(features) if weights is None else functional_call(self.model, weights, (features,))
        return read["sentence_embedding"]  # type: ignore[no-any-return]


def teacher_distance(compare: str, vectors: Sequence[torch.Tensor], targets: Sequence[torch.Tensor]) -> torch.Tensor:
    """How far a batch's vectors are from the teacher's, a scalar.

    Args:
        compare: ``vectors``: the mean of 1 minus the cosine of a text's vector and the teacher's. ``cosines``: the mean squared
            difference of the cosines of all pairs of texts, queries and candidates together, times 10, which
            brings it to the size of the other.
        vectors: The model's, by side: float (texts, dimensions).
        targets: The teacher's, by side: float (texts, dimensions of the teacher). A text with a zero vector is left out.
    """
    known = torch.cat([target.any(dim=1) for target in targets])
    ours = normalize(torch.cat(list(vectors)).float()[known], dim=1)
    theirs = normalize(torch.cat(list(targets)).float()[known], dim=1)
    if compare == "vectors":
        return (1 - (ours * theirs).sum(dim=1)).mean()
    return 10 * (ours @ ours.T - theirs @ theirs.T).square().mean()


def encode_by_length(encode: Callable[[dict[str, Any]], torch.Tensor], features: dict[str, Any]) -> torch.Tensor:
    """Encode the texts of one side in groups of like length: float (texts, dimensions), in their order.

    Features other than tokens and their mask are encoded all at once, as they are.
    """
    mask = features.get("attention_mask")
    by_text = {key: value for key, value in features.items() if isinstance(value, torch.Tensor)}
    if mask is None or set(by_text) - _TOKENS:
        return encode(features)
    lengths = mask.sum(dim=1).tolist()
    groups = list(length_groups(lengths, _PADDING["cuda" if mask.is_cuda else "cpu"]))
    parts = []
    for group in groups:
        places = torch.tensor(group, device=mask.device)
        # On whichever side a tokenizer pads, the columns that no text of the group reads are padding.
        read = mask[places].any(dim=0)
        parts.append(encode(features | {key: value[places][:, read] for key, value in by_text.items()}))
    order = torch.tensor([i for group in groups for i in group], device=mask.device)
    return torch.cat(parts)[torch.argsort(order)]


def length_groups(lengths: Sequence[int], padding: float) -> Iterator[list[int]]:
    """Split texts into groups, longest first, so that at most a share ``padding`` of a group's tokens is padding.

    Yields:
        Numbers of texts. Every text is in one group.
    """
    group: list[int] = []
    tokens = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if group and 1 - (tokens + lengths[i]) / (lengths[group[0]] * (len(group) + 1)) > padding:
            yield group
            group, tokens = [], 0
        group.append(i)
        tokens += lengths[i]
    if group:
        yield group


def rounded_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The matrices that training changes, rounded as the packed model has them, by name.

    Gradients pass through the rounding unchanged (the straight-through estimator of Bengio et al. 2013, arXiv 1308.3432).
    """
    return {
        name: weight + (_rounded(weight.detach()) - weight.detach())
        for name, weight in model.named_parameters()
        if weight.requires_grad and in_blocks(weight.shape)
    }


def round_weights(model: torch.nn.Module) -> None:
    """Round the matrices that training changes in place, as the packed model has them."""
    _set_weights(model, rounded_weights(model))


@contextmanager
def with_rounded_weights(model: torch.nn.Module) -> Iterator[None]:
    """Inside the block, a model has rounded weights. Afterwards it has its own again, and training goes on from them."""
    rounded = rounded_weights(model)
    own = {name: weight.detach().clone() for name, weight in model.named_parameters() if name in rounded}
    _set_weights(model, rounded)
    try:
        yield
    finally:
        _set_weights(model, own)


@torch.no_grad()
def _set_weights(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    for name, weight in model.named_parameters():
        if name in weights:
            weight.copy_(weights[name])


def _rounded(weights: torch.Tensor) -> torch.Tensor:
    """What :func:`clirbench.encoders.blocks.dequantise_blocks` returns for the packed weights, on any device."""
    blocks = weights.reshape(-1, BLOCK)
    largest = blocks.gather(1, blocks.abs().argmax(dim=1, keepdim=True))
    scales = (largest / -8).half().float()
    integers = (torch.where(scales == 0, torch.zeros_like(blocks), blocks / scales) + 0.5).floor().clamp(-8, 7)
    return (integers * scales).reshape(weights.shape)
