"""The one exception for what a user can mend, and other libraries' messages on one line."""

from collections.abc import Mapping
from typing import Any

_LONGEST = 300


class ClirbenchError(Exception):
    """A mistake or a missing thing that the user can mend.

    The message is one line: it names the file, key or value, and what to do next. The command line prints it
    without a traceback and ends with exit code 2. Every other exception is a defect of clirbench.
    """


class ModelError(ClirbenchError):
    """The code of a model, mostly the user's own, raised an exception: it is the ``__cause__``.

    Its traceback begins in the model's code. The command line prints it above the message, for whoever wrote the model.
    """


def printable(text: str) -> str:
    """A stranger's text on one line: what cannot be printed, or would move a terminal's cursor, becomes an escape.

    So does the bracket of "##[command]", which a runner of GitHub obeys anywhere in a line.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text).replace("##[", r"##\x5b")


def shortened(text: str, longest: int = 80) -> str:
    """A text for a message; of one that is longer than ``longest`` characters, the beginning and an ellipsis."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def quoted(text: str) -> str:
    """A stranger's name in quotes for a message: printable, at most 80 characters."""
    return f"'{shortened(printable(text))}'"


def wrong_value(error: Mapping[str, Any], key: str) -> str:
    """One of pydantic's errors about the value of ``key`` in a user's file, with the remedy. It follows the file's name."""
    kind, key = error["type"], printable(key)
    if kind == "extra_forbidden":
        return f"unknown key '{key}': remove it or correct its spelling"
    if kind == "missing":
        return f"missing key '{key}': add it"
    if kind in ("too_short", "string_too_short"):
        return f"'{key}' is empty: fill it in"
    if kind == "literal_error":
        return f"'{key}' has {printable(str(error['input']))!a}: use {error['ctx']['expected']}"
    if kind == "value_error":
        return f"'{key}' {error['msg'].removeprefix('Value error, ')}: correct it"
    return f"'{key}' is wrong ({printable(error['msg'])}): correct it"


def first_line(error: BaseException) -> str:
    """First line of an exception's message, printable, at most 300 characters. An empty message gives the name of the type."""
    return printable((message_of(error).strip() or type(error).__name__).splitlines()[0][:_LONGEST])[:_LONGEST]


def message_of(error: BaseException) -> str:
    """An exception's message; "" where the exception of a stranger fails to give one."""
    try:
        return str(error)
    except Exception:  # whatever a stranger's __str__ raises
        return ""
