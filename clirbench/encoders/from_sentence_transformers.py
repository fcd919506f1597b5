"""Models of sentence-transformers: dense, sparse or multi-vector, from the hub, a local folder or memory."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders import base
from clirbench.encoders.adapters import Tasks, choose_tasks
from clirbench.encoders.from_pylate import PylateModel, is_pylate, pylate_class, pylate_readers, pylate_settings
from clirbench.encoders.hub import cached_snapshot, resolve_commit
from clirbench.encoders.kept_tokens import KeptTokens, keeps_tokens
from clirbench.encoders.lengths import Reader, TokenCounts, check_lengths, readers, set_length, within_positions
from clirbench.encoders.loading import load_checked, notes_of
from clirbench.encoders.precision import saved_dtype, weights_dtype
from clirbench.encoders.prompts import choose, look_up
from clirbench.encoders.revision import (
    Revision,
    brings_code,
    commit_of,
    folder_revision,
    snapshot_revision,
    whole_revision,
)
from clirbench.encoders.safe_copy import OF_HUB, fetch_files_to_read, loads_safely, safe_copy
from clirbench.encoders.several_devices import DevicePool, check_several, refuse_several
from clirbench.encoders.static_tokens import StaticTokens, is_static
from clirbench.encoders.token_blocks import TokenBlocks
from clirbench.support.errors import ClirbenchError

_OF_FOLDER = "read it, then remove it or leave out --safe"
_CLASSES = ("SentenceTransformer", "SparseEncoder", "MultiVectorEncoder")
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
# Queries and candidates that a multi-vector model compares at a time: each pair takes a matrix of token products.
_QUERIES, _CANDIDATES = 16, 512
Loaded = TypeVar("Loaded", bound=base.LoadedModel)


class SentenceTransformerEncoder:
    """A SentenceTransformer or SparseEncoder, with a reader for each role.

    ``tokens`` tokenises ahead of the model; None for a model whose features are more than tokens. ``devices`` encode together if
    they are several.
    """

    def __init__(
        self,
        model: Any,
        batch_size: int,
        by_role: dict[str, Reader],
        tasks: Tasks = (None, None),
        sparse: bool = False,
        devices: Sequence[str] = (),
    ) -> None:
        self._model, self._batch_size, self._readers, self._tasks = model, batch_size, by_role, tasks
        # What the library calls the roles where the model has no tasks of its own.
        named = {"query": tasks[0] or "query", "candidate": tasks[1] or "document"}
        self.tokens = KeptTokens(model, by_role, named) if by_role and keeps_tokens(model) else None
        self._static = StaticTokens(model, by_role, named) if by_role and is_static(model) else None
        # A sparse vector has one value per word of a vocabulary, and nearly all are zero. Dense arrays would fill the memory.
        self._more = {"convert_to_sparse_tensor": True, "save_to_cpu": True} if sparse else {}
        lock = self.tokens.lock if self.tokens else None
        self._pool = DevicePool(model, devices, lock) if len(devices) > 1 else None

    def encode_queries(self, texts: list[str]) -> Any:
        """Encode queries: float tensor (texts, dimensions)."""
        return self._encode("query", texts)

    def encode_candidates(self, texts: list[str]) -> Any:
        """Encode candidates: float tensor (texts, dimensions)."""
        return self._encode("candidate", texts)

    def token_counts(self, role: str, texts: Sequence[str]) -> TokenCounts | None:
        """Count the tokens of each text of a role as :meth:`~clirbench.encoders.lengths.Reader.count` does."""
        kept = self.tokens or self._static
        return kept.counts(role, texts) if kept else self._readers[role].count(texts)

    def count_tokens(self, texts: list[str]) -> list[int] | None:
        """Count the tokens that the model reads of each candidate; it cuts one that is longer than its longest input."""
        counts, limit = self.token_counts("candidate", texts), self._readers["candidate"].limit
        return counts and [min(length, limit or length) for length in counts.tokens]

    def _encode(self, role: str, texts: list[str]) -> Any:
        reader = self._readers[role]
        with _mode_kept(self._model), within_positions(reader):
            if self._pool and self.tokens:
                self.tokens.drop(role, texts)
            elif self.tokens and texts:
                return self._from_tokens(self.tokens, role, texts)
            if self._static and texts:
                return self._static.encode(role, texts)
            task = self._tasks[role == "candidate"]
            # The two methods for the roles pass a task of their own.
            own = self._model.encode_query if role == "query" else self._model.encode_document
            call = own if task is None else partial(self._model.encode, task=task)
            options = {"prompt": reader.prompt, "show_progress_bar": False, "convert_to_tensor": True, **self._more}
            if self._pool and texts:
                return self._pool.encode(call, texts, self._batch_size, **options)
            return call(texts, batch_size=self._batch_size, **options)

    def _from_tokens(self, tokens: KeptTokens, role: str, texts: list[str]) -> Any:
        """Do what the model's ``encode`` does, in batches by number of tokens, where it takes them by number of characters."""
        import torch

        model = self._model
        places, parts = [], []
        with torch.inference_mode():
            model.eval()
            for place, batch in tokens.batches(role, texts, self._batch_size):
                features = {key: x.to(model.device) if torch.is_tensor(x) else x for key, x in batch.items()}
                parts.append(model(features, task=tokens.tasks[role])["sentence_embedding"][:, : model.truncate_dim])
                places.append(place)
            vectors = torch.cat(parts)
            return vectors[torch.from_numpy(np.argsort(np.concatenate(places))).to(vectors.device)]


class MultiVectorScorer:
    """A MultiVectorEncoder: one vector per token, compared by the model's own similarity, "maxsim" or "meanmaxsim".

    The token vectors of all candidates are in a temporary file (:class:`~clirbench.encoders.token_blocks.TokenBlocks`); those of
    512 candidates at a time are in memory.
    """

    def __init__(self, model: Any, batch_size: int, by_role: dict[str, Reader]) -> None:
        self._model, self._batch_size, self._readers = model, batch_size, by_role
        self._candidates = TokenBlocks()

    def prepare_candidates(self, texts: list[str], languages: list[str]) -> None:
        """Encode the candidates. Their languages are not used."""
        # A text in two languages is encoded once, because two encodings may round differently and equal texts must tie. Texts of
        # similar length stand together, so that batches hold little padding.
        distinct = sorted(set(texts), key=lambda text: (-len(text), text))
        place = {text: i for i, text in enumerate(distinct)}
        self._column = np.array([place[text] for text in texts], dtype=np.intp)
        self._candidates = TokenBlocks()
        for start in range(0, len(distinct), _CANDIDATES):
            part = distinct[start : start + _CANDIDATES]
            self._candidates.add(self._encode(self._model.encode_document, part, self._readers["candidate"]))

    def score(self, texts: list[str], languages: list[str]) -> NDArray[np.float32]:
        """Score queries against all candidates: float32 (queries, candidates). The languages are not used."""
        import torch

        queries = self._encode(self._model.encode_query, texts, self._readers["query"])
        scores = np.empty((len(texts), len(self._candidates)), dtype=np.float32)
        with torch.no_grad():
            for columns, candidates in self._candidates:
                for start in range(0, len(queries), _QUERIES):
                    rows = slice(start, start + _QUERIES)
                    part = self._model.similarity(queries[rows], candidates)
                    scores[rows, columns] = part.float().cpu().numpy()
        return scores[:, self._column]

    def token_counts(self, role: str, texts: Sequence[str]) -> TokenCounts | None:
        """Count the tokens of each text of a role as :meth:`~clirbench.encoders.lengths.Reader.count` does."""
        return self._readers[role].count(texts)

    def _encode(self, encode: Any, texts: list[str], reader: Reader) -> list[Any]:
        with _mode_kept(self._model), within_positions(reader):
            return list(encode(texts, prompt=reader.prompt, batch_size=self._batch_size, show_progress_bar=False))


@contextmanager
def _mode_kept(model: Any) -> Iterator[None]:
    """Restore training mode at the end: encoding turns dropout off, and a training loop needs dropout."""
    training = model.training
    try:
        yield
    finally:
        model.train(training)


def load_sentence_transformer(name: str, options: base.EncoderOptions) -> base.LoadedModel:
    """Load an encoder from a local folder, or from the hub at an exact commit.

    Raises:
        ClirbenchError: The name is neither a model folder nor a model on the hub, or the model cannot be loaded.
    """
    check_several(options)
    return load_placed(name, options, _make, wrap_sentence_transformer)


def load_placed(
    name: str, options: base.EncoderOptions, make: Callable[..., Any], wrap: Callable[..., Loaded]
) -> Loaded:
    """Load a model of any class of sentence-transformers from a local folder, or from the hub at an exact commit.

    Args:
        name: A folder, or a name on the hub.
        options: Device, revision, name and the like.
        make: Called with the name, the commit (None for a folder) and the options; returns the model of the library.
        wrap: Called with that model, the options, its revision, the kind of the revision and a name; returns what is returned.

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
        if options.safe:
            model = _load_safely(name, folder, make, options, None)
        else:
            made = partial(construct, make, str(folder.resolve()), None, options)
            model = load_checked(name, made, lambda: folder, options)
        revision = whole_revision(folder, options.trust_remote_code)
        digest = (revision.text or folder_revision(folder)).removeprefix("sha256:")
        label = options.name or f"local/{folder.resolve().name}-{digest[:8]}"
        return _versioned(wrap(model, options, revision.text, "folder-sha256", label), revision, folder)
    if folder.exists() or not _HUB_NAME.fullmatch(name):
        raise ClirbenchError(
            f"no model '{name}': give a hub name (org/name), a folder, mteb:org/name, clirbench/char-ngram or module:factory"
        )
    commit = resolve_commit(name, commit_of(options.revision))
    if loads_safely(options):
        fetched = fetch_files_to_read(name, commit, OF_HUB)
        model = _load_safely(name, fetched, make, options, name)
    else:
        made = partial(construct, make, name, commit, options)
        model = load_checked(name, made, lambda: cached_snapshot(name, commit), options)
    snapshot = cached_snapshot(name, commit)
    revision = snapshot_revision(commit, snapshot, options.trust_remote_code)
    label = options.name or name
    return _versioned(wrap(model, options, revision.text, "hub-commit", label, hub_name=name), revision, snapshot)


def _load_safely(
    name: str, folder: Path, make: Callable[..., Any], options: base.EncoderOptions, hub_name: str | None
) -> Any:
    """Load a model from a checked copy of its folder, or of its snapshot of the hub."""
    with safe_copy(folder, OF_HUB if hub_name else _OF_FOLDER, hub_name, linked=bool(hub_name)) as copy:
        made = partial(construct, make, str(copy), None, replace(options, safe=True))
        try:
            return load_checked(name, made, lambda: folder, options)
        except ClirbenchError as error:
            # The user knows the model by its name, and not where the copy was.
            raise ClirbenchError(str(error).replace(str(copy), name)) from error


def _versioned(loaded: Loaded, revision: Revision, folder: Path | None) -> Loaded:
    """Add what the files of a model say: the dtype of its checkpoint, who saved it, and why it has no revision."""
    notes = (*loaded.notes, *notes_of(folder))
    if revision.text is None:
        notes = (*notes, revision.note(loaded.info.name))
    # A model without code of its own is the same model with the option and without it.
    trusted = loaded.trust_remote_code and (folder is None or brings_code(folder))
    return replace(loaded, saved_dtype=saved_dtype(folder), notes=notes, trust_remote_code=trusted)


def wrap_sentence_transformer(
    model: Any,
    options: base.EncoderOptions,
    revision: str | None,
    revision_kind: str,
    name: str | None,
    hub_name: str | None = None,
) -> base.LoadedModel:
    """Wrap a SentenceTransformer, SparseEncoder or MultiVectorEncoder with its identity.

    A model of the hub has the name ``hub_name`` there, under which mteb's registry may know it.

    Raises:
        ClirbenchError: The similarity is not cosine, dot or euclidean, or an option does not apply to the model.
    """
    label = name or "memory/sentence-transformer"
    if is_pylate(model):
        return _wrap_pylate(model, options, revision, revision_kind, label)
    multi, sparse = _is(model, "MultiVectorEncoder"), _is(model, "SparseEncoder")
    if multi or sparse:
        refuse_several(options, "a multi-vector model" if multi else "a sparse model")
    if multi:
        base.refuse(options, (*base.OF_VECTORS, "encode_task"), "a multi-vector model")
    chosen = choose(model, options, look_up(hub_name or options.name, options, hub_name is not None))
    if not multi and chosen.similarity not in base.SIMILARITIES:
        raise ClirbenchError(f"{label} uses {chosen.similarity} similarity: pass --similarity cosine, dot or euclidean")
    if options.max_length is not None:
        set_length(model, options.max_length)
    by_role = readers(model, chosen.query_prompt, chosen.candidate_prompt)
    tasks, told = ((None, None), []) if multi else choose_tasks(model, options, label)
    kept = getattr(model, "truncate_dim", None)
    cut = [f"the model itself keeps the first {kept} dimensions of its vectors"] if kept else []
    notes = (*told, *cut, *check_lengths(by_role))
    # An exported model may be in any precision, and its library may compute in another one.
    backend = backend_of(model, options)
    settings = base.EncoderSettings(
        similarity=chosen.similarity,
        dtype=weights_dtype(model) if backend is None else "unknown",
        backend=backend,
        query_max_length=by_role["query"].limit,
        candidate_max_length=by_role["candidate"].limit,
        query_prompt=chosen.query_prompt,
        candidate_prompt=chosen.candidate_prompt,
        query_task=tasks[0],
        candidate_task=tasks[1],
    )
    identity: dict[str, Any] = {
        "info": info_of(model, label, revision, revision_kind, backend),
        "settings": settings,
        "sources": chosen.sources,
        "notes": (*chosen.notes, *notes),
        "batch_size": options.batch_size,
        "device": ",".join(options.devices) if len(options.devices) > 1 else str(model.device),
        "trust_remote_code": options.trust_remote_code,
    }
    if multi:
        return base.LoadedScorer(scorer=MultiVectorScorer(model, options.batch_size, by_role), **identity)
    encoder = SentenceTransformerEncoder(model, options.batch_size, by_role, tasks, sparse, options.devices)
    return base.LoadedEncoder(encoder=encoder, **identity)


def _wrap_pylate(
    model: Any, options: base.EncoderOptions, revision: str | None, revision_kind: str, label: str
) -> base.LoadedScorer:
    """Wrap a model of PyLate, whose prompts and lengths are its own."""
    base.refuse(options, (*base.OF_VECTORS, *base.OF_PROMPTS, "max_length"), "a model of PyLate, which has its own")
    refuse_several(options, "a model of PyLate")
    settings, sources, notes = pylate_settings(model)
    return base.LoadedScorer(
        scorer=MultiVectorScorer(PylateModel(model), options.batch_size, pylate_readers(model)),
        info=info_of(model, label, revision, revision_kind),
        settings=settings,
        sources=sources,
        notes=notes,
        batch_size=options.batch_size,
        device=str(model.device),
        trust_remote_code=options.trust_remote_code,
    )


def backend_of(model: Any, options: base.EncoderOptions) -> str | None:
    """The backend that computes a model's vectors; None for torch.

    Raises:
        ClirbenchError: The options ask for a backend that no part of the model uses, or for a dtype of an exported model.
    """
    # The model itself repeats what was asked for, whether or not a part of it can do it.
    parts = [module for module in model.modules() if module is not model]
    used = {str(getattr(module, "backend", None)) for module in parts} & set(base.BACKENDS)
    if options.backend is not None and options.backend not in used:
        raise ClirbenchError(
            f"--backend {options.backend} does not apply to this model, no part of which uses it: leave it out"
        )
    if used and options.dtype is not None:
        raise ClirbenchError(
            f"--dtype does not apply to the backend {min(used)}, whose model is exported in one precision: leave it out"
        )
    return min(used, default=None)


def info_of(
    model: Any, name: str, revision: str | None, revision_kind: str, backend: str | None = None
) -> base.ModelInfo:
    """Identify a loaded model of sentence-transformers. A model of another backend does not say how many weights it has."""
    counted = None if backend else sum(parameter.numel() for parameter in model.parameters())
    return base.ModelInfo(
        name, "sentence-transformers", revision, revision_kind if revision else "unknown", parameters=counted
    )


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
    config = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    declared = config.get("model_type")
    # PyLate calls a multi-vector model ColBERT, or does not say so. Where PyLate is installed, its own class is used.
    of_pylate = declared == "ColBERT" or (declared is None and config.get("similarity_fn_name") == "MaxSim")
    if of_pylate and (own := pylate_class()):
        return own
    kind = "MultiVectorEncoder" if of_pylate else str(declared or "SentenceTransformer")
    if kind == "CrossEncoder":
        raise ClirbenchError(
            f"'{name}' is a cross-encoder, which has no vectors: use it as a second stage, "
            f"--model rerank:FIRST+{name} --depth 100"
        )
    if kind not in _CLASSES or not hasattr(sentence_transformers, kind):
        raise ValueError(
            f"it is a {kind[:40]}, which is no encoder that sentence-transformers {sentence_transformers.__version__} has"
        )
    return getattr(sentence_transformers, kind)


def loading_arguments(commit: str | None, options: base.EncoderOptions) -> dict[str, Any]:
    """The arguments with which any class of sentence-transformers loads a model."""
    arguments = {
        "revision": commit,
        "device": next(iter(options.devices), None),
        "trust_remote_code": options.trust_remote_code,
    }
    # Older releases do not know a backend for every class.
    arguments |= {"backend": options.backend} if options.backend else {}
    # A pickle is refused, whatever the folder's own configuration asks for.
    safe = {"model_kwargs": {"use_safetensors": True}, "local_files_only": True} if options.safe else {}
    return arguments | safe


def _make(name: str, commit: str | None, options: base.EncoderOptions) -> Any:
    return _class_of(name, commit)(name, **loading_arguments(commit, options))


def construct(make: Callable[..., Any], name: str, commit: str | None, options: base.EncoderOptions) -> Any:
    """Call ``make`` as :func:`load_placed` does, without a bar for the weights, and give the model the dtype of the options."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = make(name, commit, options)
    # An exported model has no weights of torch.
    if options.dtype and not options.backend:
        model = model.to(getattr(torch, options.dtype))
    return model
