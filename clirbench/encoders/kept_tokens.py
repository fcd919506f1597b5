"""The tokens of texts, made once and ahead of the model: for the order of encoding, the batches and the counts of a result."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.lengths import Reader, TokenCounts

# Texts that are tokenised in one call: enough for all cores, and few enough that Ctrl-C is not kept waiting.
_TEXTS = 1024
# What a tokenizer makes of plain texts, one number per token each; and the name of what says where these numbers are padding.
_KEPT = ("input_ids", "token_type_ids")
_MASK = "attention_mask"
# Settings of a tokenizer's call that change no kind of these numbers.
_OF_CALL = {"max_length", "truncation", "padding"}


class KeptTokens:
    """The tokens of texts as a transformer of sentence-transformers reads them: with prompt and special tokens, and cut.

    They are what the model's own ``preprocess`` makes of the texts. A tokenizer keeps settings from call to call, so two threads
    must not call it at once: every call goes through ``lock``.

    Args:
        model: A SentenceTransformer that :func:`keeps_tokens` takes.
        by_role: How it reads the texts of each role.
        tasks: Its task of each role.
    """

    def __init__(self, model: Any, by_role: Mapping[str, Reader], tasks: Mapping[str, str]) -> None:
        self._model, self._readers, self.tasks = model, by_role, tasks
        tokenizer = model[0].tokenizer
        padding = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
        self._names = [name for name in _KEPT if name in tokenizer.model_input_names]
        self._padding = np.array([*(padding[name] or 0 for name in self._names), 0])
        self._left, self._unknown = tokenizer.padding_side == "left", tokenizer.unk_token_id
        self.lock = Lock()
        self._coming: dict[str, list[Future[None]]] = {}
        # One array (names, tokens) per text, until the text is encoded.
        self._rows: dict[str, dict[str, NDArray[np.int32]]] = {}
        self._counts: dict[str, dict[str, tuple[int, int]]] = {}
        self._constants: dict[str, dict[str, Any]] = {}

    @contextmanager
    def ahead(self, texts: Mapping[str, Sequence[str]]) -> Iterator[None]:
        """Tokenise the texts of each role in a thread, role by role, while the model encodes.

        At the end, tokens that nobody asked for are forgotten, and their counts are kept until the next time. Texts of similar
        length should stand together.
        """
        self._rows, self._counts = {role: {} for role in texts}, {role: {} for role in texts}
        # tokenizers releases the lock of Python, so the model computes meanwhile.
        pool = ThreadPoolExecutor(1, "tokens")
        try:
            self._coming = {
                role: [pool.submit(self._keep, role, part[i : i + _TEXTS]) for i in range(0, len(part), _TEXTS)]
                for role, part in texts.items()
            }
            yield
        finally:
            pool.shutdown(cancel_futures=True)
            self._coming, self._rows = {}, {}

    def lengths(self, role: str, texts: Sequence[str]) -> list[int]:
        """Count the tokens that the model reads of each text. The texts are tokenised ahead, and waited for."""
        for part in self._coming[role]:
            part.result()
        return [self._counts[role][text][0] for text in texts]

    def counts(self, role: str, texts: Sequence[str]) -> TokenCounts | None:
        """Count the tokens of each text before it is cut as :meth:`Reader.count` does, which counts those that may be cut."""
        known, reader = self._counts.get(role, {}), self._readers[role]
        whole = {
            text: count
            for text in texts
            if (count := known.get(text)) and (reader.limit is None or count[0] < reader.limit)
        }
        others = [text for text in texts if text not in whole]
        if others:
            with self.lock:
                counted = reader.count(others)
            if counted is None:
                return None
            whole |= dict(zip(others, zip(*counted, strict=True), strict=True))
        pairs = [whole[text] for text in texts]
        return TokenCounts([tokens for tokens, _ in pairs], [unknown for _, unknown in pairs])

    def batches(self, role: str, texts: Sequence[str], size: int) -> Iterator[tuple[NDArray[np.intp], dict[str, Any]]]:
        """Yield batches of ``size`` texts, longest first: the places of the texts in ``texts``, and what the model is given."""
        kept = self._rows.get(role, {})
        rows = [kept.pop(text, None) for text in texts]
        missing = [i for i, row in enumerate(rows) if row is None]
        made = iter(self._tokenise(role, [texts[i] for i in missing]))
        whole = [next(made) if row is None else row for row in rows]
        order = np.argsort([-row.shape[1] for row in whole], kind="stable")
        for start in range(0, len(order), size):
            places = order[start : start + size]
            yield places, self._padded([whole[i] for i in places]) | self._constants[role]

    def drop(self, role: str, texts: Sequence[str]) -> None:
        """Forget the tokens of texts that are encoded elsewhere. Their counts stay."""
        for text in texts:
            self._rows.get(role, {}).pop(text, None)

    def _keep(self, role: str, texts: Sequence[str]) -> None:
        """Tokenise some texts, and keep their tokens and counts."""
        for text, row in zip(texts, self._tokenise(role, texts), strict=True):
            self._counts[role][text] = row.shape[1], int((row[0] == self._unknown).sum())
            self._rows[role][text] = row

    def _tokenise(self, role: str, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Tokenise some texts: int32 (names, tokens) for each."""
        rows = []
        for start in range(0, len(texts), _TEXTS):
            with self.lock:
                part = list(texts[start : start + _TEXTS])
                features = self._model.preprocess(part, prompt=self._readers[role].prompt, task=self.tasks[role])
            self._constants[role] = {name: x for name, x in features.items() if name not in (*_KEPT, _MASK)}
            numbers = np.stack([features[name].numpy().astype(np.int32) for name in self._names])
            read = features[_MASK].numpy().astype(bool)
            rows += [numbers[:, i, one] for i, one in enumerate(read)]
        return rows

    def _padded(self, rows: Sequence[NDArray[np.int32]]) -> dict[str, Any]:
        """Put the tokens of a batch into one tensor per name, int64 (texts, tokens of the longest text)."""
        import torch

        longest = max(1, *(row.shape[1] for row in rows))
        padded = np.empty((len(self._padding), len(rows), longest), dtype=np.int64)
        padded[:] = self._padding[:, None, None]
        for i, row in enumerate(rows):
            start = longest - row.shape[1] if self._left else 0
            own = slice(start, start + row.shape[1])
            padded[:-1, i, own], padded[-1, i, own] = row, 1
        return dict(zip((*self._names, _MASK), torch.from_numpy(padded), strict=True))


def keeps_tokens(model: Any) -> bool:
    """Whether a model is a SentenceTransformer whose first module is a transformer that reads plain texts, padded to a batch.

    Others make features that are more than tokens: of chats, pictures or routes, or of texts that are laid end to end.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from transformers import PreTrainedTokenizerBase

    if type(model) is not SentenceTransformer or type(model[0]) is not Transformer:
        return False
    module = model[0]
    tokenizer = module.processor
    names = set(getattr(tokenizer, "model_input_names", ()))
    call = getattr(module, "processing_kwargs", None) or {}
    # These devices and placements have rules of their own, which only the library follows.
    placed = getattr(model, "_placement_is_delegated", False) or getattr(model, "_distributed_inference", None)
    return bool(
        isinstance(tokenizer, PreTrainedTokenizerBase)
        # A tokenizer with code of its own may return anything.
        and type(tokenizer).__module__.startswith("transformers.")
        and {"input_ids", _MASK} <= names <= {*_KEPT, _MASK}
        and set(call) <= {"text"}
        and set(call.get("text") or ()) <= _OF_CALL
        and set(module.modality_config) == {"text"}
        and module.transformer_task == "feature-extraction"
        and not getattr(module, "query_expansion", None)
        and not getattr(module, "can_flatten_inputs", True)
        and not placed
        and model.device.type != "hpu"
    )
