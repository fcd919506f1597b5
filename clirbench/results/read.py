"""Reading a result file strictly."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from clirbench.metrics.scores import unknown_names
from clirbench.results.schema import Document, Reported, Submitted, problem, unreadable
from clirbench.support.errors import ClirbenchError, printable
from clirbench.support.files import reading

Parsed = TypeVar("Parsed")


def read_document(path: Path) -> Document:
    """Read a result's JSON file, strictly.

    Raises:
        ClirbenchError: It cannot be read, is not JSON, repeats a key, or does not follow the schema.
    """
    with reading(path, "give the path of a result JSON"):
        content = _bytes(path)
    document = parse_submitted(content, path)
    if not isinstance(document, Document):
        raise ClirbenchError(f"{path}: holds reported figures, without ranks: give a result of clirbench run")
    return document


def _bytes(path: Path) -> bytes:
    # Opening a pipe would wait for ever.
    if path.exists() and not path.is_file():
        raise OSError(0, "not a file", str(path))
    return path.read_bytes()


def parse_submitted(content: bytes, path: Path) -> Document | Reported:
    """A document from the bytes of a JSON file, strictly; ``path`` is only what messages call it.

    Raises:
        ClirbenchError: It is not JSON in UTF-8, repeats a key, or does not follow the schema.
    """
    try:
        refuse_repeats(content)
        document = Submitted.validate_json(content)
    except ValidationError as error:
        remedy = "compare with `clirbench schema`, or run the model again"
        raise ClirbenchError(f"{path}: {problem(error)}: {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise ClirbenchError(f"{path}: not valid JSON ({unreadable(error)}): run the model again") from error
    if isinstance(document, Document):
        for key, name in unknown_names(document.task.metrics, document.task.bias):
            raise ClirbenchError(
                f"{path}: 'task.{key}' has '{printable(name[:40])}': upgrade clirbench, or run the model again"
            )
    return document


def parse_strictly(content: bytes, path: Path, validate: Callable[[bytes], Parsed], remedy: str) -> Parsed:
    """What a model of pydantic makes of the bytes of a JSON file; ``path`` is only what messages call it.

    Raises:
        ClirbenchError: It is not JSON in UTF-8, repeats a key, or does not follow the schema; ``remedy`` ends the line.
    """
    try:
        refuse_repeats(content)
        return validate(content)
    except ValidationError as error:
        raise ClirbenchError(f"{path}: {problem(error)}: {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise ClirbenchError(f"{path}: not valid JSON ({unreadable(error)}): {remedy}") from error


def refuse_repeats(content: bytes) -> None:
    """Fail where JSON repeats a key: readers would disagree on which value counts.

    Raises:
        ValueError: It does, or it is not JSON in UTF-8.
        RecursionError: It is nested too deeply.
    """
    json.loads(content.decode("utf-8"), object_pairs_hook=_no_repeats)


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key '{key[:80]}' stands twice")
        found[key] = value
    return found
