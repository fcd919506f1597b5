"""Say in one line what a run uses: model, revision, prompts, similarity, precision, length and device."""

import re

from clirbench.encoders.base import LoadedModel, Source
from clirbench.support.errors import shortened

SHOWN: dict[Source, str] = {"registry": "mteb's registry", "model": "model", "option": "you", "none": "none"}


def describe(model: LoadedModel) -> list[str]:
    """The line that a run prints first, and then the model's notes.

    Each prompt and the similarity name their source. A revision is cut to 12 characters after its kind.
    """
    settings, sources = model.settings, model.sources
    label = f"{model.info.name} + {settings.variant}" if settings.variant else model.info.name
    prompts = [
        _prompt("query", settings.query_prompt, sources.query_prompt),
        _prompt("candidate", settings.candidate_prompt, sources.candidate_prompt),
    ]
    if not settings.query_prompt and not settings.candidate_prompt:
        prompts = ["no prompts" + (" (you)" if sources.query_prompt == "option" else "")]
    tasks = [
        f"{role} task {task}"
        for role, task in (("query", settings.query_task), ("candidate", settings.candidate_task))
        if task
    ]
    similarity = settings.similarity + (f" ({SHOWN[sources.similarity]})" if sources.similarity != "none" else "")
    if settings.quantise == "binary":
        similarity = "Hamming distance of the bits"
    parts = [_revision(model.info.revision), *prompts, *tasks, similarity]
    inside = ["precision and length unknown"] if model.served_by else [precision(model), _lengths(model)]
    return [f"{label}: {', '.join([*parts, *inside, f'on {model.device}'])}", *model.notes]


def precision(model: LoadedModel) -> str:
    """The dtype of a model's weights, and of its checkpoint if that is another one."""
    dtype = model.settings.dtype
    saved = f" (saved in {model.saved_dtype})" if model.saved_dtype not in (None, dtype) else ""
    return ("precision unknown" if dtype == "unknown" else dtype) + saved


def _revision(revision: str | None) -> str:
    if revision is None:
        return "no revision"
    # A commit and a checksum of parts elsewhere may stand together.
    return "revision " + re.sub(r"[0-9a-f]{13,}", lambda digits: digits[0][:12], revision)


def _prompt(role: str, prompt: str, source: Source) -> str:
    if not prompt:
        return f"no {role} prompt" + (f" ({SHOWN[source]})" if source != "none" else "")
    return f"{role} prompt {shortened(prompt, 60)!r} ({SHOWN[source]})"


def _lengths(model: LoadedModel) -> str:
    query, candidate = model.settings.query_max_length, model.settings.candidate_max_length
    if query == candidate:
        return "any length" if query is None else f"at most {query} tokens"
    shown = ["all tokens" if length is None else f"at most {length} tokens" for length in (query, candidate)]
    return f"{shown[0]} of a query, {shown[1]} of a candidate"
