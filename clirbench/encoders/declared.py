"""What a user's own encoder or scorer says of itself, checked before anything is encoded: results record it, and are strict."""

import operator
from typing import Any

from clirbench.encoders.base import SIMILARITIES, ModelInfo
from clirbench.support.errors import ClirbenchError, shortened
from clirbench.support.names import check_name

_LONGEST = 300
_PARAMETERS, _TOKENS = 10**14, 10**9


def declared_info(encoder: Any, name: str | None) -> ModelInfo:
    """Identify an encoder or scorer by its attributes ``name``, ``revision`` and ``parameters``; ``name`` replaces the first.

    Raises:
        ClirbenchError: An attribute is of the wrong type or out of range; the message names it.
    """
    if name is None:
        name = getattr(encoder, "name", f"own/{type(encoder).__name__}")
        if not isinstance(name, str):
            raise ClirbenchError(
                f"{type(encoder).__name__} has name {_shown(name)}: give a text, such as ORG/NAME, or leave it out"
            )
    check_name(name)
    revision = _revision(encoder, name)
    parameters = getattr(encoder, "parameters", None)
    # parameters() of a torch module is a method.
    counted = None if callable(parameters) else _whole(parameters, f"{name} has parameters", 0, _PARAMETERS)
    return ModelInfo(name, "own", revision, "unknown" if revision is None else "declared", counted)


def declared_similarity(encoder: Any, name: str) -> str | None:
    """The attribute ``similarity`` of an encoder; None where it has none.

    Raises:
        ClirbenchError: It is none of the known ones.
    """
    similarity = getattr(encoder, "similarity", None)
    if similarity is None:
        return None
    # An Enum of sentence-transformers has the name as its value.
    similarity = getattr(similarity, "value", similarity)
    if not isinstance(similarity, str) or similarity not in SIMILARITIES:
        raise ClirbenchError(f"{name} has similarity {_shown(similarity)}: use {', '.join(SIMILARITIES)}")
    return str(similarity)


def declared_length(encoder: Any, name: str) -> int | None:
    """The attribute ``max_length`` of an encoder, in tokens; None where it has none.

    Raises:
        ClirbenchError: It is no whole number from 1.
    """
    return _whole(getattr(encoder, "max_length", None), f"{name} has max_length", 1, _TOKENS)


def _revision(encoder: Any, name: str) -> str | None:
    revision = getattr(encoder, "revision", None)
    if revision is None:
        return None
    text = str(revision)
    if isinstance(revision, bool) or not isinstance(revision, str | int | float) or not text.strip():
        raise ClirbenchError(f"{name} has revision {_shown(revision)}: give a text that changes with the vectors")
    if len(text) > _LONGEST or not text.isprintable():
        raise ClirbenchError(
            f"{name} has revision {_shown(text)}: give one line of at most {_LONGEST} characters, such as a checksum"
        )
    return text


def _whole(value: Any, what: str, low: int, high: int) -> int | None:
    """A whole number of Python or NumPy as an int; None stays None."""
    if value is None:
        return None
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or not low <= number <= high:
        raise ClirbenchError(f"{what} {_shown(value)}: give a whole number from {low} to {high:,}, or leave it out")
    return number


def _shown(value: Any) -> str:
    return shortened(repr(value), 60)
