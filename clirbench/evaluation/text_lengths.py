"""How long the texts of a task are for a model, and how many of them it cuts, by role and language."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np

from clirbench.encoders.base import LoadedModel
from clirbench.encoders.lengths import TokenCounts
from clirbench.encoders.vector_cache import COUNTED, CacheEntry, may_be_stale
from clirbench.evaluation.loaded_task import LoadedTask
from clirbench.results.schema import LengthPart, Role
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError

# A smaller share of cut texts is not worth a line.
_NOTED = 0.01
# So many languages are named in a line, those with the largest shares first.
_NAMED = 4
# The cache keeps numbers in float32, which has all whole numbers below this one.
_EXACT = 2**24


def text_lengths(
    model: LoadedModel, task: LoadedTask, context: RunContext | None = None
) -> dict[Role, dict[str, LengthPart]] | None:
    """Count the tokens of the task's texts with the model's own tokenizer, each distinct text once per role.

    The cache of ``context`` keeps the counts of a model with a revision, so a second run needs no tokenizer. None for a model
    that does not say how it reads texts: an encoder of one's own, an API, a fusion.
    """
    context = context or RunContext()
    count: Any = getattr(getattr(model, "encoder", None) or getattr(model, "scorer", None), "token_counts", None)
    if count is None:
        return None
    limits = {"query": model.settings.query_max_length, "candidate": model.settings.candidate_max_length}
    parts: dict[Role, dict[str, LengthPart]] = {}
    for role, texts in task.texts().items():
        distinct = list(dict.fromkeys(chain.from_iterable(texts.values())))
        counts = _counts(model, role, distinct, count, context)
        if counts is None:
            return None
        counted = dict(zip(distinct, zip(*counts, strict=True), strict=True))
        limit = limits[role]
        parts[role] = {
            language: _part([counted[text] for text in dict.fromkeys(some)], limit) for language, some in texts.items()
        }
    return parts


def _counts(
    model: LoadedModel,
    role: Role,
    texts: list[str],
    count: Callable[[str, list[str]], TokenCounts | None],
    context: RunContext,
) -> TokenCounts | None:
    """Count the tokens of each text, or read them from the cache; None for a model that does not say how it reads texts."""
    entry = None
    if context.vectors and texts and model.info.revision is not None and not may_be_stale(model):
        entry = CacheEntry(context.vectors, model, COUNTED[role], texts, packages=("tokenizers",))
        kept = entry.get(0, len(texts))
        entry.note_damage(context.reporter)
        if kept is not None and kept.shape[1] == 2:
            return TokenCounts(*kept.T.astype(np.int64).tolist())
    if count("query", [""]) is None:
        return None
    counts = count(role, texts)
    if counts is not None and entry is not None and max(counts.tokens) < _EXACT:
        # A cache that cannot be written costs time, and no run that has all its vectors ends because of it.
        with suppress(ClirbenchError):
            entry.put(0, np.array(counts, dtype=np.float32).T, None)
    return counts


def cut_note(model: LoadedModel, lengths: Mapping[Role, Mapping[str, LengthPart]] | None) -> str | None:
    """A line on the languages of which the model cuts more than 1 % of the texts; None if there is none."""
    limits = {"query": model.settings.query_max_length, "candidate": model.settings.candidate_max_length}
    notes = []
    for role, parts in (lengths or {}).items():
        cut = sorted(((part.cut, language) for language, part in parts.items() if part.cut > _NOTED), reverse=True)
        if cut:
            plural = "queries" if role == "query" else "candidates"
            shares = [f"{100 * share:.0f} % in {language}" for share, language in cut[:_NAMED]]
            shares += [f"and in {len(cut) - _NAMED} more languages"] if len(cut) > _NAMED else []
            notes.append(f"{plural} are cut at {limits[role]} tokens: {', '.join(shares)}")
    return f"{'; '.join(notes)} (clirbench show has all)" if notes else None


def unknown_note(
    lengths: Mapping[Role, Mapping[str, LengthPart]] | None,
    indistinguishable: Mapping[Role, Mapping[str, float]] | None,
) -> str | None:
    """A line on the languages that the model hardly reads: unknown tokens, and texts that it cannot tell apart; None for none."""
    unknown = {role: {x: part.unknown or 0.0 for x, part in parts.items()} for role, parts in (lengths or {}).items()}
    notes = [f"unknown tokens: {shown}"] if (shown := _largest(unknown)) else []
    notes += (
        [f"texts that the model cannot tell apart: {shown}"] if (shown := _largest(indistinguishable or {})) else []
    )
    return f"{'; '.join(notes)} (clirbench show has all)" if notes else None


def _largest(shares: Mapping[Role, Mapping[str, float]]) -> str:
    """The languages with the largest shares above 1 %, of the role with the larger one; "" for none."""
    largest: dict[str, float] = {}
    for of_role in shares.values():
        largest |= {language: max(share, largest.get(language, 0.0)) for language, share in of_role.items()}
    noted = sorted(((share, language) for language, share in largest.items() if share > _NOTED), reverse=True)
    shown = [f"{100 * share:.0f} % in {language}" for share, language in noted[:_NAMED]]
    return ", ".join(shown + ([f"and in {len(noted) - _NAMED} more languages"] if len(noted) > _NAMED else []))


def _part(counts: Sequence[tuple[int, int]], limit: int | None) -> LengthPart:
    lengths = [tokens for tokens, _ in counts]
    cut = sum(limit is not None and length > limit for length in lengths)
    total, tokens = max(len(lengths), 1), sum(lengths)
    unknown = sum(unknown for _, unknown in counts) / max(tokens, 1)
    return LengthPart(texts=len(lengths), mean_tokens=tokens / total, cut=cut / total, unknown=unknown)
