"""Models of mteb's registry, with the prompts and the revisions that mteb declares."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from clirbench.encoders import base
from clirbench.encoders.api_calls import repeated
from clirbench.encoders.hub import cached_snapshot
from clirbench.encoders.lengths import TokenCounts, readers
from clirbench.encoders.loading import load_checked
from clirbench.encoders.precision import weights_dtype
from clirbench.encoders.registry import prompt_of, task_metadata
from clirbench.encoders.revision import commit_of, snapshot_revision
from clirbench.encoders.safe_copy import OF_HUB, fetch_files_to_read, loads_safely, safe_copy
from clirbench.support.errors import ClirbenchError
from clirbench.support.names import check_name

# Classes of mteb that leave loading to sentence-transformers. Others have code of their own, which reads what it likes.
LEFT_TO_SENTENCE_TRANSFORMERS = (
    "sentence_transformers_loader",
    "SentenceTransformerEncoderWrapper",
    "InstructSentenceTransformerModel",
    "SparseEncoderWrapper",
)


class MtebEncoder:
    """An mteb encoder, called as mteb calls it for a retrieval task. If ``api``, a failed call is repeated."""

    def __init__(self, model: Any, batch_size: int, name: str = "", api: bool = False) -> None:
        self._model, self._batch_size, self._name = model, batch_size, name
        self._api = api
        self._task = task_metadata()
        self.readers = readers(getattr(model, "model", None), self.prompt("query"), self.prompt("document"))

    def encode_queries(self, texts: list[str]) -> Any:
        """Encode queries: array or tensor (texts, dimensions)."""
        return self._encode(texts, "query")

    def encode_candidates(self, texts: list[str]) -> Any:
        """Encode candidates: array or tensor (texts, dimensions)."""
        return self._encode(texts, "document")

    def prompt(self, prompt_type: str) -> str:
        """Find the prompt or instruction that mteb puts before a "query" or "document"; "" where the model does not say."""
        return prompt_of(self._model, prompt_type)

    def token_counts(self, role: str, texts: Sequence[str]) -> TokenCounts | None:
        """Count the tokens of each text of a role; None for a model that is none of sentence-transformers."""
        return self.readers[role].count(texts) if self.readers else None

    def _encode(self, texts: list[str], prompt_type: str) -> Any:
        if not self._api:
            return self._encode_once(texts, prompt_type)
        # Each provider's client raises errors of its own.
        return repeated(lambda: self._encode_once(texts, prompt_type), self._name, Exception)

    def _encode_once(self, texts: list[str], prompt_type: str) -> Any:
        from datasets import Dataset
        from mteb.types import PromptType
        from torch.utils.data import DataLoader

        return self._model.encode(
            DataLoader(Dataset.from_dict({"text": texts}), batch_size=self._batch_size),
            task_metadata=self._task,
            hf_split="test",
            hf_subset="default",
            prompt_type=PromptType(prompt_type),
            batch_size=self._batch_size,
            show_progress_bar=False,
        )


def load_mteb(name: str, options: base.EncoderOptions) -> base.LoadedEncoder:
    """Load a model of mteb's registry.

    Raises:
        ClirbenchError: mteb does not know the model, it cannot be loaded, or it brings code that the options do not allow.
    """
    import mteb

    base.refuse(options, ("dtype", "backend", "max_length", *base.OF_PROMPTS), "a model of mteb's registry")
    try:
        meta = mteb.get_model_meta(name, revision=commit_of(options.revision))
    except (KeyError, ValueError) as error:
        raise ClirbenchError(f"mteb:{name} ({error.args[0]}): correct --model, or leave out 'mteb:'") from error
    if meta.loader is None:
        raise ClirbenchError(f"mteb:{name} is registered without a loader: use the model's own name without 'mteb:'")
    if (meta.loader_kwargs or {}).get("trust_remote_code") and not options.trust_remote_code:
        raise ClirbenchError(f"mteb:{name} brings code of its own: read it, then pass --trust-remote-code")
    loader = getattr(meta.loader, "__name__", None)
    commit = str(meta.revision) if meta.revision and meta.revision != "no_revision_available" else None
    snapshot = partial(cached_snapshot, str(meta.name), commit)
    if commit is not None and loader in LEFT_TO_SENTENCE_TRANSFORMERS and loads_safely(options):
        # mteb itself loads by name. What it reads of the hub's cache is what is checked here.
        fetched = fetch_files_to_read(str(meta.name), commit, OF_HUB)
        with safe_copy(fetched, OF_HUB, str(meta.name), linked=True):
            pass
    # mteb pins a commit, so that is the one to fetch where it is missing.
    pinned = replace(options, revision=commit)
    model = load_checked(f"mteb:{name}", partial(meta.load_model, device=options.device), snapshot, pinned)
    if commit is None:
        return wrap_mteb(model, options)
    revision = snapshot_revision(commit, snapshot(), options.trust_remote_code)
    loaded = wrap_mteb(model, options, revision.text)
    return loaded if revision.text else replace(loaded, notes=(*loaded.notes, revision.note(loaded.info.name)))


def wrap_mteb(model: Any, options: base.EncoderOptions, revision: str | None = None) -> base.LoadedEncoder:
    """Wrap an mteb encoder with its identity. A model in memory may have been trained further, so it has no revision.

    Raises:
        ClirbenchError: The model does not encode texts into vectors, or its similarity is not cosine, dot or euclidean.
    """
    meta = model.mteb_model_meta
    name = options.name or (str(meta.name) if meta else "memory/mteb-encoder")
    check_name(name)
    if not hasattr(model, "encode"):
        raise ClirbenchError(f"mteb:{name} does not encode texts into vectors: choose an encoder")
    declared = getattr(meta.similarity_fn_name, "value", None) if meta else None
    similarity = options.similarity or declared or "cosine"
    source: base.Source = "option" if options.similarity else "registry" if declared else "none"
    if similarity not in base.SIMILARITIES:
        raise ClirbenchError(f"mteb:{name} uses {similarity} similarity: pass --similarity cosine, dot or euclidean")
    api = bool(meta and "API" in (meta.framework or ()))
    encoder = MtebEncoder(model, options.batch_size, name, api)
    prompts = encoder.prompt("query"), encoder.prompt("document")
    stated = int(meta.max_tokens) if meta and meta.max_tokens and meta.max_tokens != float("inf") else None
    # What the loaded model reads counts; the registry is asked where the model does not say.
    lengths = {role: reader.limit for role, reader in encoder.readers.items()}
    inner = getattr(model, "model", None)
    return base.LoadedEncoder(
        encoder=encoder,
        info=base.ModelInfo(
            name=name,
            kind="mteb",
            revision=revision,
            revision_kind="mteb" if revision else "unknown",
            parameters=meta.n_parameters if meta else None,
        ),
        settings=base.EncoderSettings(
            similarity=similarity,
            dtype=weights_dtype(inner) if lengths else "float32",
            query_max_length=lengths.get("query", stated),
            candidate_max_length=lengths.get("candidate", stated),
            query_prompt=prompts[0],
            candidate_prompt=prompts[1],
        ),
        sources=base.SettingSources(*_sources(prompts), source),
        batch_size=options.batch_size,
        device=str(getattr(model, "device", None) or options.device or "cpu"),
        trust_remote_code=options.trust_remote_code,
        api=api,
    )


def _sources(prompts: tuple[str, str]) -> tuple[base.Source, base.Source]:
    query, candidate = prompts
    return "registry" if query else "none", "registry" if candidate else "none"
