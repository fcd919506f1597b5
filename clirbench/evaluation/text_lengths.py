"""How long the texts of a task are for a model, and how many of them it cuts, by role and language."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from clirbench.encoders.base import LoadedModel
from clirbench.evaluation.loaded_task import LoadedTask
from clirbench.results.schema import LengthPart, Role

# A smaller share of cut texts is not worth a line.
_NOTED = 0.01
# So many languages are named in a line, those with the largest shares first.
_NAMED = 4


def text_lengths(model: LoadedModel, task: LoadedTask) -> dict[Role, dict[str, LengthPart]] | None:
    """Count the tokens of the task's texts with the model's own tokenizer, each distinct text once per role.

    None for a model that does not say how it reads texts: an encoder of one's own, an API, a fusion.
    """
    count: Any = getattr(getattr(model, "encoder", None) or getattr(model, "scorer", None), "token_lengths", None)
    if count is None or count("query", [""]) is None:
        return None
    limits = {"query": model.settings.query_max_length, "candidate": model.settings.candidate_max_length}
    parts: dict[Role, dict[str, LengthPart]] = {}
    for role, texts in task.texts().items():
        distinct = list(dict.fromkeys(chain.from_iterable(texts.values())))
        counted = dict(zip(distinct, count(role, distinct), strict=True))
        limit = limits[role]
        parts[role] = {
            language: _part([counted[text] for text in dict.fromkeys(some)], limit) for language, some in texts.items()
        }
    return parts


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


def _part(lengths: Sequence[int], limit: int | None) -> LengthPart:
    cut = sum(limit is not None and length > limit for length in lengths)
    total = max(len(lengths), 1)
    return LengthPart(texts=len(lengths), mean_tokens=sum(lengths) / total, cut=cut / total)
