"""Late-interaction models as PyLate itself loads them, with its query expansion, lengths, prefixes and skipped words.

Source: PyLate (https://github.com/lightonai/pylate), ``pylate.models.ColBERT``.
"""

from importlib import metadata
from importlib.util import find_spec
from typing import Any

from clirbench.encoders import base
from clirbench.encoders.lengths import Reader, readers
from clirbench.encoders.precision import weights_dtype


def pylate_class() -> Any:
    """PyLate's class of late-interaction models; None where PyLate is not installed."""
    if find_spec("pylate") is None:
        return None
    from pylate.models import ColBERT

    return ColBERT


def is_pylate(model: Any) -> bool:
    """Whether a model is one of PyLate's classes."""
    return any(kind.__module__.startswith("pylate.") for kind in type(model).__mro__)


class PylateModel:
    """A model of PyLate with the methods of sentence-transformers' MultiVectorEncoder."""

    def __init__(self, model: Any) -> None:
        self._model = model

    @property
    def training(self) -> bool:
        """Whether the model is in training mode."""
        return bool(self._model.training)

    def train(self, mode: bool) -> None:
        """Set training mode."""
        self._model.train(mode)

    def encode_query(self, texts: list[str], prompt: str, **more: Any) -> Any:
        """Encode queries: one tensor (tokens, dimensions) a text. PyLate inserts its own prefix, so the prompt is not used."""
        return self._model.encode(texts, is_query=True, convert_to_numpy=False, **more)

    def encode_document(self, texts: list[str], prompt: str, **more: Any) -> Any:
        """Encode candidates: one tensor (tokens, dimensions) a text. The prompt is not used."""
        return self._model.encode(texts, is_query=False, convert_to_numpy=False, **more)

    def similarity(self, queries: list[Any], candidates: list[Any]) -> Any:
        """MaxSim of each query with each candidate: tensor (queries, candidates)."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        documents = pad_sequence(candidates, batch_first=True)
        padding = torch.arange(documents.shape[1], device=documents.device)
        lengths = torch.tensor([len(one) for one in candidates], device=documents.device)
        absent = padding[None] >= lengths[:, None]
        rows = []
        for query in queries:
            tokens = torch.einsum("qd,ctd->cqt", query, documents).masked_fill(absent[:, None], -torch.inf)
            rows.append(tokens.amax(dim=2).sum(dim=1))
        return torch.stack(rows)


def pylate_readers(model: Any) -> dict[str, Reader]:
    """How a model of PyLate reads queries and candidates, by role."""
    limits = {"query": model.query_length, "candidate": model.document_length}
    by_role = readers(model, str(model.query_prefix or ""), str(model.document_prefix or ""))
    return {
        role: Reader(role, reader.module, reader.prompt, limits[role], reader.positions)
        for role, reader in by_role.items()
    }


def pylate_settings(model: Any) -> tuple[base.EncoderSettings, base.SettingSources, tuple[str, ...]]:
    """The settings of a model of PyLate, where they come from, and notes."""
    by_role = pylate_readers(model)
    settings = base.EncoderSettings(
        similarity="maxsim",
        dtype=weights_dtype(model),
        query_max_length=by_role["query"].limit,
        candidate_max_length=by_role["candidate"].limit,
        query_prompt=by_role["query"].prompt,
        candidate_prompt=by_role["candidate"].prompt,
    )
    expanded = "filled up to" if model.do_query_expansion else "cut at"
    note = (
        f"loaded by PyLate {metadata.version('pylate')}: queries are {expanded} {model.query_length} tokens, candidates are cut "
        f"at {model.document_length}"
    )
    return settings, base.SettingSources("model", "model", "model"), (note,)
