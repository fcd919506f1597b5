"""Load a model by its name, or wrap one that is in memory."""

import importlib
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from clirbench.encoders.base import (
    OF_LOADING,
    OF_PROMPTS,
    OF_VECTORS,
    Encoder,
    EncoderOptions,
    EncoderSettings,
    LoadedEncoder,
    LoadedModel,
    LoadedScorer,
    SettingSources,
    check_options,
    refuse,
    with_vector_options,
)
from clirbench.encoders.calls import OF_A_MODEL
from clirbench.encoders.declared import (
    ENCODES,
    SCORES,
    attribute,
    declared_info,
    declared_length,
    declared_similarity,
    has_methods,
)
from clirbench.encoders.endpoint import is_endpoint, load_endpoint
from clirbench.encoders.fusion import is_fusion, load_fusion
from clirbench.encoders.several_devices import refuse_several
from clirbench.support.errors import ClirbenchError, ModelError, first_line

_FACTORY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def load_encoder(name: str, options: EncoderOptions | None = None) -> LoadedModel:
    """Load a model by its name.

    Args:
        name: One of these:

            - ``clirbench/NAME``, a bundled model;
            - ``mteb:ORG/NAME``, a model of mteb's registry;
            - ``MODULE:FACTORY``, your own function that returns a model;
            - a local folder, of sentence-transformers or packed by ``clirbench train``;
            - ``ORG/NAME``, a model of sentence-transformers on the hub;
            - ``http://HOST:PORT/v1#MODEL`` or ``https://...``, a model behind a server that speaks OpenAI's embeddings protocol;
            - ``rrf:A+B`` or ``sum:0.7*A+0.3*B``, a fusion of several models;
            - ``rerank:FIRST+RERANKER``, a model and a cross-encoder that orders its best candidates again.
        options: How to load and call the model.

    Returns:
        An encoder, a scorer, a fusion or two stages.

    Raises:
        ClirbenchError: No such model exists, it cannot be loaded, or an option does not apply to it.
    """
    options = options or EncoderOptions()
    check_options(options)
    if name.startswith("rerank:"):
        from clirbench.encoders.rerank import load_rerank

        refuse_several(options, "a model of two stages")
        return load_rerank(name, options, load_encoder)
    refuse(options, ("depth",), "a model of one stage")
    return with_vector_options(_load(name, options), options)


def _load(name: str, options: EncoderOptions) -> LoadedModel:
    if not name.strip():
        raise ClirbenchError(
            "--model is empty: give a hub name, a folder, mteb:org/name, clirbench/char-ngram or module:factory"
        )
    if name.startswith("clirbench/"):
        from clirbench.encoders.bundled import load_bundled

        refuse_several(options, "a bundled model")
        return load_bundled(name, options)
    if name.startswith("mteb:"):
        from clirbench.encoders.from_mteb import load_mteb

        refuse_several(options, "a model of mteb's registry")
        return load_mteb(name.removeprefix("mteb:"), options)
    if is_endpoint(name):
        return load_endpoint(name, options)
    if is_fusion(name):
        refuse_several(options, "a fusion")
        return load_fusion(name, options, load_encoder)
    if is_factory(name):
        return _load_factory(name, options)
    from clirbench.encoders.packed import is_packed, load_packed

    if is_packed(name):
        refuse_several(options, "a packed model")
        return load_packed(Path(name).expanduser(), options)
    from clirbench.encoders.from_sentence_transformers import load_sentence_transformer

    return load_sentence_transformer(name, options)


def as_loaded(model: Any, options: EncoderOptions | None = None) -> LoadedModel:
    """Turn the model argument of :func:`clirbench.evaluate` into a loaded model.

    Args:
        model: A name, a LoadedModel, a SentenceTransformer, SparseEncoder or MultiVectorEncoder, an mteb encoder, or an object
            with ``encode_queries`` and ``encode_candidates``, or with ``prepare_candidates`` and ``score``.
        options: How to call the model. Options of loading, such as the device, are refused for a model in memory.

    Returns:
        The model with its identity. A model in memory has no revision, unless your own class declares one.

    Raises:
        ClirbenchError: The model is none of these, or an option does not apply to it.
    """
    if isinstance(model, LoadedModel):
        return model
    if isinstance(model, str | Path):
        return load_encoder(str(model), options)
    options = options or EncoderOptions()
    check_options(options)
    for option in OF_LOADING:
        if getattr(options, option):
            raise ClirbenchError(f"'{option}' cannot be asked of a model in memory: set it on the model")
    refuse(options, ("depth",), "a model of one stage")
    return with_vector_options(_wrap_memory(model, options), options)


def _wrap_memory(model: Any, options: EncoderOptions) -> LoadedModel:
    if isinstance(model, type):
        raise ClirbenchError(f"the model is the class {model.__name__}: give an object of it")
    if has_methods(model, ENCODES) or has_methods(model, SCORES):
        return _wrap_own(model, options)
    if hasattr(model, "mteb_model_meta") and hasattr(model, "encode"):
        from clirbench.encoders.from_mteb import wrap_mteb

        return wrap_mteb(model, options)
    if hasattr(model, "encode_query") and hasattr(model, "encode_document"):
        from clirbench.encoders.from_sentence_transformers import wrap_sentence_transformer

        return wrap_sentence_transformer(model, options, None, "memory", options.name)
    raise ClirbenchError(
        f"cannot use a {type(model).__name__} as an encoder: it needs encode_queries and encode_candidates "
        "(or prepare_candidates and score), or be a SentenceTransformer or an mteb encoder"
    )


def is_factory(name: str) -> bool:
    """Whether a name is ``MODULE:FACTORY``: a user's own code, and the only kind that is imported from the working folder."""
    return not name.startswith(("mteb:", "clirbench/")) and bool(_FACTORY.fullmatch(name))


def _load_factory(name: str, options: EncoderOptions) -> LoadedModel:
    module_name, _, factory_name = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ClirbenchError(
            f"cannot import '{module_name}' of --model {name} ({error}): run where the module lies, or install it; "
            "write module:factory, without .py"
        ) from error
    except OF_A_MODEL as error:
        raise ModelError(
            f"importing '{module_name}' of --model {name} raised {type(error).__name__} ({first_line(error)}): mend it and run "
            "again"
        ) from error
    factory: Callable[[], Any] | None = getattr(module, factory_name, None)
    if not callable(factory):
        raise ClirbenchError(f"module '{module_name}' has no function '{factory_name}': correct --model {name}")
    try:
        encoder = factory()
    except ClirbenchError:
        raise
    except OF_A_MODEL as error:
        raise ModelError(
            f"{name}() raised {type(error).__name__} ({first_line(error)}): mend it and run again"
        ) from error
    if isinstance(encoder, type):
        raise ClirbenchError(f"{name}() gave the class {encoder.__name__}: return an object of it")
    if not has_methods(encoder, ENCODES) and not has_methods(encoder, SCORES):
        if hasattr(encoder, "encode"):
            refuse(options, [name for name in OF_LOADING if name != "max_length"], f"the model that {name}() makes")
            return _wrap_memory(encoder, options)
        raise ClirbenchError(f"{name}() gave a {type(encoder).__name__} without encode_queries and encode_candidates")
    refuse(options, OF_LOADING, f"your own encoder {name}")
    model = _wrap_own(encoder, options)
    if options.name or attribute(encoder, "name") is not None:
        return model
    return replace(model, info=replace(model.info, name=f"own/{module_name}.{factory_name}"))


def _wrap_own(encoder: Any, options: EncoderOptions) -> LoadedModel:
    info = declared_info(encoder, options.name)
    name = info.name
    if not has_methods(encoder, ENCODES):
        refuse(options, (*OF_PROMPTS, *OF_VECTORS), f"the scorer {name}")
        return LoadedScorer(scorer=encoder, info=info, settings=EncoderSettings(similarity="own"))
    refuse(
        options, ("prompts", "query_prompt_name", "candidate_prompt_name", "encode_task"), f"your own encoder {name}"
    )
    if attribute(encoder, "prepare") is not None:
        has_methods(encoder, ("prepare",))
    declared = declared_similarity(encoder, name)
    length = declared_length(encoder, name)
    settings = EncoderSettings(
        similarity=options.similarity or declared or "cosine",
        query_max_length=length,
        candidate_max_length=length,
        query_prompt=options.query_prompt or "",
        candidate_prompt=options.candidate_prompt or "",
    )
    prompted = _Prompted(encoder, settings) if settings.query_prompt or settings.candidate_prompt else encoder
    sources = SettingSources(
        query_prompt="option" if settings.query_prompt else "none",
        candidate_prompt="option" if settings.candidate_prompt else "none",
        similarity="option" if options.similarity else "model" if declared else "none",
    )
    return LoadedEncoder(encoder=prompted, info=info, settings=settings, sources=sources)


class _Prompted:
    """A user's own encoder, with prompts put before its texts."""

    def __init__(self, encoder: Encoder, settings: EncoderSettings) -> None:
        self._encoder, self._settings = encoder, settings
        if attribute(encoder, "prepare") is not None:
            self.prepare = attribute(encoder, "prepare")

    def encode_queries(self, texts: list[str]) -> Any:
        return self._encoder.encode_queries([self._settings.query_prompt + text for text in texts])

    def encode_candidates(self, texts: list[str]) -> Any:
        return self._encoder.encode_candidates([self._settings.candidate_prompt + text for text in texts])
