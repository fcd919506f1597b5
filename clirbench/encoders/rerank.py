"""A second stage: a cross-encoder orders the best candidates of another model again."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from clirbench.encoders import base
from clirbench.encoders.describe import precision
from clirbench.encoders.from_sentence_transformers import backend_of, info_of, load_placed, loading_arguments
from clirbench.encoders.fusion import for_part, info_of_parts
from clirbench.encoders.lengths import check_lengths, readers, set_length
from clirbench.encoders.precision import weights_dtype
from clirbench.support.errors import ClirbenchError
from clirbench.support.names import check_name

_PREFIX = "rerank:"
_HOW = "write rerank:FIRST+RERANKER, with a model and the folder or hub name of a cross-encoder"
# Heads that score a pair: a classifier, or the next word of a language model.
_HEADS = ("ForSequenceClassification", "ForCausalLM")


class CrossEncoderScorer:
    """A CrossEncoder of sentence-transformers. Its scores are those before a sigmoid, which would make the highest ones equal."""

    def __init__(self, model: Any, batch_size: int) -> None:
        from torch import nn

        self._model, self._batch_size = model, batch_size
        self._activation = nn.Identity() if isinstance(model.activation_fn, nn.Sigmoid) else model.activation_fn

    def score_pairs(self, pairs: list[tuple[str, str]]) -> base.DenseVectors:
        """Score pairs of a query and a candidate: float32 (pairs,)."""
        scores = self._model.predict(
            pairs, batch_size=self._batch_size, activation_fn=self._activation, show_progress_bar=False
        )
        return np.asarray(scores, dtype=np.float32)


def load_rerank(
    name: str, options: base.EncoderOptions, load: Callable[[str, base.EncoderOptions], base.LoadedModel]
) -> base.LoadedRerank:
    """Load both stages. Options of prompts and vectors are the first one's; those of loading go to both.

    The name of the second stage begins after the last ``+``.

    Raises:
        ClirbenchError: The name has another form, ``depth`` is missing, or a stage cannot be loaded.
    """
    first_name, plus, second_name = (part.strip() for part in name.removeprefix(_PREFIX).rpartition("+"))
    if not plus or not first_name or not second_name:
        raise ClirbenchError(f"--model {name[:80]}: {_HOW}")
    if options.depth is None:
        raise ClirbenchError(
            "--model rerank:FIRST+RERANKER: pass --depth, the number of candidates to order again, such as 100"
        )
    base.refuse(options, ("revision",), "two stages, each of which has its own")
    first = load(first_name, for_part(first_name, replace(options, depth=None)))
    if isinstance(first, base.LoadedRerank):
        raise ClirbenchError(f"--model {name[:80]}: the first stage has two stages itself: give a model of one stage")
    second = load_reranker(second_name, options)
    labels = [re.sub(r"[^\w.-]", "-", part.info.name) for part in (first, second)]
    own_name = options.name or f"rerank/{'-'.join(labels)}"
    check_name(own_name)
    length = second.settings.query_max_length
    version = (second.info.revision or "unknown").removeprefix("sha256:")[:12]
    note = (
        f"second stage: {second.info.name}, revision {version}, {precision(second)}, "
        f"{'any length' if length is None else f'at most {length} tokens of a pair'}"
        + (f", prompt {second.settings.query_prompt[:60]!r} (model)" if second.settings.query_prompt else "")
    )
    return base.LoadedRerank(
        first=first,
        second=second,
        info=info_of_parts(own_name, "rerank", (first, second)),
        # What a reader must know of the vectors is the first stage's. The second stage is in the revision, and in the note.
        settings=replace(first.settings, similarity="rerank", depth=options.depth),
        sources=replace(first.sources, similarity="none"),
        saved_dtype=first.saved_dtype,
        notes=(*first.notes, note, *second.notes),
        batch_size=options.batch_size,
        device=second.device,
        trust_remote_code=first.trust_remote_code or second.trust_remote_code,
        api=first.api,
        served_by=first.served_by,
    )


def load_reranker(name: str, options: base.EncoderOptions) -> base.LoadedReranker:
    """Load a CrossEncoder of sentence-transformers from a local folder, or from the hub at an exact commit.

    Raises:
        ClirbenchError: It is no cross-encoder, or gives more than one score for a pair.
    """
    return load_placed(name, replace(options, name=None), _make, _wrap)


def _make(name: str, commit: str | None, options: base.EncoderOptions) -> Any:
    from sentence_transformers import CrossEncoder

    _refuse_no_head(name, commit)
    return CrossEncoder(name, **loading_arguments(commit, options))


def _wrap(
    model: Any, options: base.EncoderOptions, revision: str | None, revision_kind: str, name: str, **_: Any
) -> base.LoadedReranker:
    if model.num_labels != 1:
        raise ClirbenchError(
            f"{name} gives {model.num_labels} scores for a pair, and a second stage needs one: give another cross-encoder"
        )
    if options.max_length is not None:
        set_length(model, options.max_length)
    # A pair is one input, so it has one length.
    reader = readers(model, "", "")["candidate"]
    backend = backend_of(model, options)
    return base.LoadedReranker(
        scorer=CrossEncoderScorer(model, options.batch_size),
        info=info_of(model, name, revision, revision_kind, backend),
        notes=tuple(check_lengths({"candidate": reader})),
        settings=base.EncoderSettings(
            similarity="rerank",
            dtype=weights_dtype(model) if backend is None else "unknown",
            backend=backend,
            query_max_length=reader.limit,
            candidate_max_length=reader.limit,
            # The library itself puts it before each pair, and older releases have none.
            query_prompt=str(
                (getattr(model, "prompts", None) or {}).get(getattr(model, "default_prompt_name", None)) or ""
            ),
        ),
        device=str(model.device),
        trust_remote_code=options.trust_remote_code,
    )


def _refuse_no_head(name: str, commit: str | None) -> None:
    """Refuse a model without a head for pairs: the library would make one of random numbers."""
    from sentence_transformers.util import load_file_path

    heads: list[str] = []
    for file, key in (("config_sentence_transformers.json", "model_type"), ("config.json", "architectures")):
        path = load_file_path(name, file, revision=commit)
        stated = json.loads(Path(path).read_text(encoding="utf-8")).get(key) if path else None
        if stated == "CrossEncoder":
            return
        heads = stated if isinstance(stated, list) else heads
    if not any(str(head).endswith(_HEADS) for head in heads):
        raise ClirbenchError(f"'{name}' is no cross-encoder (it gives no score for a pair): {_HOW}")
