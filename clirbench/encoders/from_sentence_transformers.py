"""Models of sentence-transformers: dense, sparse or multi-vector, from the hub, a local folder or memory."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders import base
from clirbench.encoders.hub import cached_snapshot, resolve_commit
from clirbench.encoders.loading import load_checked
from clirbench.encoders.revision import Revision, commit_of, folder_revision, snapshot_revision, whole_revision
from clirbench.support.errors import ClirbenchError

_CLASSES = ("SentenceTransformer", "SparseEncoder", "MultiVectorEncoder")
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
# Queries and candidates that a multi-vector model compares at a time: each pair takes a matrix of token products.
_QUERIES, _CANDIDATES = 16, 512


class SentenceTransformerEncoder:
    """A SentenceTransformer or SparseEncoder, with a prompt for each role; None means the model's own prompt."""

    def __init__(
        self, model: Any, batch_size: int, query_prompt: str | None, candidate_prompt: str | None, sparse: bool = False
    ) -> None:
        self._model, self._batch_size = model, batch_size
        self._query_prompt, self._candidate_prompt = query_prompt, candidate_prompt
        # A sparse vector has one value per word of a vocabulary, and nearly all are zero. Dense arrays would fill the memory.
        self._more = {"convert_to_sparse_tensor": True, "save_to_cpu": True} if sparse else {}

    def encode_queries(self, texts: list[str]) -> Any:
        """Encode queries: float tensor (texts, dimensions)."""
        return self._encode(self._model.encode_query, texts, self._query_prompt)

    def encode_candidates(self, texts: list[str]) -> Any:
        """Encode candidates: float tensor (texts, dimensions)."""
        return self._encode(self._model.encode_document, texts, self._candidate_prompt)

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Count the tokens that the model reads of each text; it cuts a text that is longer than its longest input."""
        tokenizer, longest = self._model.tokenizer, self._model.max_seq_length
        if hasattr(tokenizer, "encode_batch"):
            lengths = [len(encoding.ids) for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
        else:
            lengths = list(map(len, tokenizer(texts)["input_ids"]))
        return [min(length, longest) if isinstance(longest, int) else length for length in lengths]

    def _encode(self, encode: Any, texts: list[str], prompt: str | None) -> Any:
        with _mode_kept(self._model):
            return encode(
                texts,
                prompt=prompt,
                batch_size=self._batch_size,
                show_progress_bar=False,
                convert_to_tensor=True,
                **self._more,
            )


class MultiVectorScorer:
    """A MultiVectorEncoder: one vector per token, compared by the model's own similarity, "maxsim" or "meanmaxsim".

    The token vectors of all candidates are held in memory, as float32: tokens x dimensions x 4 bytes.
    """

    def __init__(self, model: Any, batch_size: int, query_prompt: str | None, candidate_prompt: str | None) -> None:
        self._model, self._batch_size = model, batch_size
        self._query_prompt, self._candidate_prompt = query_prompt, candidate_prompt
        self._candidates: list[Any] = []

    def prepare_candidates(self, texts: list[str], languages: list[str]) -> None:
        """Encode the candidates. Their languages are not used."""
        # A text in two languages is encoded once, because two encodings may round differently and equal texts must tie. Texts of
        # similar length stand together, so that batches hold little padding.
        distinct = sorted(set(texts), key=lambda text: (-len(text), text))
        place = {text: i for i, text in enumerate(distinct)}
        self._column = np.array([place[text] for text in texts], dtype=np.intp)
        self._candidates = self._encode(self._model.encode_document, distinct, self._candidate_prompt)

    def score(self, texts: list[str], languages: list[str]) -> NDArray[np.float32]:
        """Score queries against all candidates: float32 (queries, candidates). The languages are not used."""
        import torch

        queries = self._encode(self._model.encode_query, texts, self._query_prompt)
        scores = np.empty((len(texts), len(self._candidates)), dtype=np.float32)
        with torch.no_grad():
            for start in range(0, len(queries), _QUERIES):
                rows = slice(start, start + _QUERIES)
                for first in range(0, len(self._candidates), _CANDIDATES):
                    columns = slice(first, first + _CANDIDATES)
                    part = self._model.similarity(queries[rows], self._candidates[columns])
                    scores[rows, columns] = part.float().cpu().numpy()
        return scores[:, self._column]

    def _encode(self, encode: Any, texts: list[str], prompt: str | None) -> list[Any]:
        with _mode_kept(self._model):
            return list(encode(texts, prompt=prompt, batch_size=self._batch_size, show_progress_bar=False))


@contextmanager
def _mode_kept(model: Any) -> Iterator[None]:
    """Restore training mode at the end: encoding turns dropout off, and a training loop needs dropout."""
    training = model.training
    try:
        yield
    finally:
        model.train(training)


def load_sentence_transformer(name: str, options: base.EncoderOptions) -> base.LoadedModel:
    """Load a model from a local folder, or from the hub at an exact commit.

    Raises:
        ClirbenchError: The name is neither a model folder nor a model on the hub, or the model cannot be loaded.
    """
    try:
        folder = Path(name).expanduser()
        is_folder = folder.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise ClirbenchError(f"no model '{name[:80]}' ({error}): correct --model") from error
    if is_folder:
        if not any((folder / file).is_file() for file in ("modules.json", "config.json", "adapter_config.json")):
            raise ClirbenchError(f"{folder} is not a model folder (no modules.json, no config.json): correct --model")
        base.refuse(options, ("revision",), "a local folder")
        make = partial(_construct, str(folder.resolve()), None, options)
        model = load_checked(name, make, lambda: folder, options)
        revision = whole_revision(folder, options.trust_remote_code)
        digest = (revision.text or folder_revision(folder)).removeprefix("sha256:")
        label = options.name or f"local/{folder.resolve().name}-{digest[:8]}"
        return _versioned(model, options, revision, "folder-sha256", label)
    if folder.exists() or not _HUB_NAME.fullmatch(name):
        raise ClirbenchError(
            f"no model '{name}': give a hub name (org/name), a folder, mteb:org/name, clirbench/char-ngram or module:factory"
        )
    commit = resolve_commit(name, commit_of(options.revision))
    make = partial(_construct, name, commit, options)
    model = load_checked(name, make, lambda: cached_snapshot(name, commit), options)
    revision = snapshot_revision(commit, cached_snapshot(name, commit), options.trust_remote_code)
    return _versioned(model, options, revision, "hub-commit", options.name or name)


def _versioned(model: Any, options: base.EncoderOptions, revision: Revision, kind: str, name: str) -> base.LoadedModel:
    """Wrap a model with its revision, or with a note that says why it has none."""
    loaded = wrap_sentence_transformer(model, options, revision.text, kind, name)
    return loaded if revision.text else replace(loaded, notes=(*loaded.notes, revision.note(name)))


def wrap_sentence_transformer(
    model: Any, options: base.EncoderOptions, revision: str | None, revision_kind: str, name: str | None
) -> base.LoadedModel:
    """Wrap a SentenceTransformer, SparseEncoder or MultiVectorEncoder with its identity.

    Raises:
        ClirbenchError: The similarity is not cosine, dot or euclidean, or an option does not apply to a multi-vector model.
    """
    similarity = options.similarity or str(model.similarity_fn_name or "cosine")
    multi = _is(model, "MultiVectorEncoder")
    if multi:
        base.refuse(options, base.OF_VECTORS, "a multi-vector model")
    elif similarity not in base.SIMILARITIES:
        raise ClirbenchError(f"{name} uses {similarity} similarity: pass --similarity cosine, dot or euclidean")
    parameters = list(model.parameters())
    prompts = options.query_prompt, options.candidate_prompt
    label = name or "memory/sentence-transformer"
    length = getattr(model, "max_seq_length", None)
    length = length if isinstance(length, int) else None
    settings = base.EncoderSettings(
        similarity=similarity,
        dtype=str(parameters[0].dtype).removeprefix("torch.") if parameters else "float32",
        query_max_length=length,
        candidate_max_length=length,
        query_prompt=_prompt(model, options.query_prompt, ("query",)),
        candidate_prompt=_prompt(model, options.candidate_prompt, ("document", "passage", "corpus")),
    )
    identity: dict[str, Any] = {
        "info": base.ModelInfo(
            name=label,
            kind="sentence-transformers",
            revision=revision,
            revision_kind=revision_kind if revision else "unknown",
            parameters=sum(parameter.numel() for parameter in parameters),
        ),
        "settings": settings,
        "batch_size": options.batch_size,
        "device": str(model.device),
        "trust_remote_code": options.trust_remote_code,
    }
    if multi:
        return base.LoadedScorer(scorer=MultiVectorScorer(model, options.batch_size, *prompts), **identity)
    sparse = _is(model, "SparseEncoder")
    encoder = SentenceTransformerEncoder(model, options.batch_size, *prompts, sparse=sparse)
    return base.LoadedEncoder(encoder=encoder, **identity)


def _is(model: Any, kind: str) -> bool:
    """Whether a model is of the sentence-transformers class ``kind``; False where an older release lacks the class."""
    import sentence_transformers

    known = getattr(sentence_transformers, kind, None)
    return known is not None and isinstance(model, known)


def _class_of(name: str, commit: str | None) -> Any:
    """Find the class that a model was saved as: dense, sparse or multi-vector."""
    import sentence_transformers
    from sentence_transformers.util import load_file_path

    path = load_file_path(name, "config_sentence_transformers.json", revision=commit)
    declared = json.loads(Path(path).read_text(encoding="utf-8")).get("model_type") if path else None
    # PyLate calls a multi-vector model ColBERT.
    kind = "MultiVectorEncoder" if declared == "ColBERT" else str(declared or "SentenceTransformer")
    if kind not in _CLASSES or not hasattr(sentence_transformers, kind):
        raise ValueError(
            f"it is a {kind[:40]}, which is no encoder that sentence-transformers {sentence_transformers.__version__} has"
        )
    return getattr(sentence_transformers, kind)


def _prompt(model: Any, given: str | None, names: tuple[str, ...]) -> str:
    if given is not None:
        return given
    prompts = model.prompts or {}
    chosen = next((name for name in names if name in prompts), model.default_prompt_name)
    return str(prompts.get(chosen, "") or "") if chosen else ""


def _construct(name: str, commit: str | None, options: base.EncoderOptions) -> Any:
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    # A pickle is refused, whatever the folder's own configuration asks for.
    safe = {"model_kwargs": {"use_safetensors": True}, "local_files_only": True} if options.safe_only else {}
    model = _class_of(name, commit)(
        name, revision=commit, device=options.device, trust_remote_code=options.trust_remote_code, **safe
    )
    if options.dtype:
        model = model.to(getattr(torch, options.dtype))
    if options.max_length:
        model.max_seq_length = options.max_length
    return model
