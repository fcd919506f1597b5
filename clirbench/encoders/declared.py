"""What a user's own encoder or scorer says of itself, checked before anything is encoded: results record it, and are strict."""

import inspect
import math
import operator
from typing import Any

from clirbench.encoders.base import SIMILARITIES, ModelInfo
from clirbench.encoders.calls import OF_A_MODEL
from clirbench.support.errors import ClirbenchError, ModelError, first_line, printable, shortened
from clirbench.support.names import check_name

_LONGEST = 300
_PARAMETERS, _TOKENS = 10**14, 10**9


# The methods of an encoder and of a scorer.
ENCODES, SCORES = ("encode_queries", "encode_candidates"), ("prepare_candidates", "score")
_MISSING = object()


def attribute(encoder: Any, name: str, otherwise: Any = None) -> Any:
    """Read an attribute of a user's own encoder; ``otherwise`` where it has none.

    Raises:
        ModelError: A property of that name raised an exception: it is the ``__cause__``.
    """
    try:
        return getattr(encoder, name)
    except OF_A_MODEL as error:
        # An AttributeError from within a property is no sign that the attribute is missing.
        if isinstance(error, AttributeError) and inspect.getattr_static(encoder, name, _MISSING) is _MISSING:
            return otherwise
        raise ModelError(
            f"{type(encoder).__name__} raised {type(error).__name__} ({first_line(error)}) when it was asked for its '{name}': "
            "mend the model and run again"
        ) from error


def has_methods(encoder: Any, names: tuple[str, ...]) -> bool:
    """Whether an object has all of these methods.

    Raises:
        ClirbenchError: One of them is no method.
        ModelError: A property of that name raised an exception.
    """
    if any(attribute(encoder, name, _MISSING) is _MISSING for name in names):
        return False
    for name in names:
        if not callable(attribute(encoder, name)):
            raise ClirbenchError(
                f"{type(encoder).__name__} has {name} {_shown(attribute(encoder, name))}: make it a method that takes texts"
            )
    return True


def declared_info(encoder: Any, name: str | None) -> ModelInfo:
    """Identify an encoder or scorer by its attributes ``name``, ``revision`` and ``parameters``; ``name`` replaces the first.

    Raises:
        ClirbenchError: An attribute is of the wrong type or out of range; the message names it.
    """
    if name is None:
        name = attribute(encoder, "name", f"own/{type(encoder).__name__}")
        if not isinstance(name, str):
            raise ClirbenchError(
                f"{type(encoder).__name__} has name {_shown(name)}: give a text, such as ORG/NAME, or leave it out"
            )
    # A subclass of str may give another text wherever it is printed.
    name = str.__str__(name)
    check_name(name)
    revision = _revision(encoder, name)
    parameters = attribute(encoder, "parameters")
    # parameters() of a torch module is a method.
    counted = None if callable(parameters) else _whole(parameters, f"{name} has parameters", 0, _PARAMETERS)
    return ModelInfo(name, "own", revision, "unknown" if revision is None else "declared", counted)


def declared_similarity(encoder: Any, name: str) -> str | None:
    """The attribute ``similarity`` of an encoder; None where it has none.

    Raises:
        ClirbenchError: It is none of the known ones.
    """
    similarity = attribute(encoder, "similarity")
    if similarity is None:
        return None
    # An Enum of sentence-transformers has the name as its value.
    similarity = getattr(similarity, "value", similarity)
    if not isinstance(similarity, str) or similarity not in SIMILARITIES:
        raise ClirbenchError(f"{name} has similarity {_shown(similarity)}: use {', '.join(SIMILARITIES)}")
    return str.__str__(similarity)


def declared_length(encoder: Any, name: str) -> int | None:
    """The attribute ``max_length`` of an encoder, in tokens; None where it has none.

    Raises:
        ClirbenchError: It is no whole number from 1.
    """
    return _whole(attribute(encoder, "max_length"), f"{name} has max_length", 1, _TOKENS)


def _revision(encoder: Any, name: str) -> str | None:
    revision = attribute(encoder, "revision")
    if revision is None:
        return None
    text = ""
    if isinstance(revision, str):
        text = str.__str__(revision)
    elif isinstance(revision, int) and not isinstance(revision, bool) and abs(revision) < 10**_LONGEST:
        text = int.__repr__(revision)
    elif isinstance(revision, float) and math.isfinite(revision):
        text = float.__repr__(revision)
    if not text.strip():
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
    except Exception:  # whatever a stranger's __index__ raises
        number = None
    if number is None or isinstance(value, bool) or not low <= number <= high:
        raise ClirbenchError(f"{what} {_shown(value)}: give a whole number from {low} to {high:,}, or leave it out")
    return number


def _shown(value: Any) -> str:
    try:
        return printable(shortened(repr(value), 60))
    except Exception:  # whatever a stranger's __repr__ raises, and Python itself for an int of 5,000 digits
        return f"a {type(value).__name__} that cannot be shown"
