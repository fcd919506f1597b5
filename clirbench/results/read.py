"""Read a file that a stranger may have written. If it breaks its schema, one line says what is wrong and what to do."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from clirbench.metrics.scores import unknown_names
from clirbench.results.schema import Document, MtebDocument, Reported, Submitted
from clirbench.support.errors import ClirbenchError, first_line, printable
from clirbench.support.files import reading
from clirbench.support.text_files import decode, repeated_key

Parsed = TypeVar("Parsed")
MTEB_RESULT_LIMIT = 200_000


def read_document(path: Path) -> Document:
    """Read the JSON file of a result that was measured.

    Raises:
        ClirbenchError: The file cannot be read, repeats a key, does not follow the schema, or holds reported figures.
    """
    with reading(path, "give the path of a result JSON"):
        content = read_content(path)
    document = parse_submitted(content, path)
    if not isinstance(document, Document):
        raise ClirbenchError(f"{path}: holds reported figures, without ranks: give a result of clirbench run")
    return document


def read_content(path: Path) -> bytes:
    """The bytes of a regular file. A pipe is refused, because to open it would wait for ever.

    Raises:
        OSError: The file cannot be read, or is not a regular file.
    """
    if path.exists() and not path.is_file():
        raise OSError(0, "not a file", str(path))
    return path.read_bytes()


def parse_submitted(content: bytes, path: Path) -> Document | Reported:
    """Parse a JSON file of a submission, a measured result or reported figures; ``path`` is only its name in error messages.

    Raises:
        ClirbenchError: The content is not JSON in UTF-8, repeats a key, does not follow the schema, or has a metric that this
            version does not know.
    """
    remedy = "compare with `clirbench schema`, or run the model again"
    document = parse_strictly(content, path, Submitted.validate_json, remedy)
    if isinstance(document, Document):
        for key, name in unknown_names(document.task.metrics, document.task.bias):
            raise ClirbenchError(
                f"{path}: 'task.{key}' has '{printable(name[:40])}': upgrade clirbench, or run the model again"
            )
    return document


def read_mteb_result(path: Path) -> MtebDocument:
    """Read one of mteb's own results from its JSON file.

    Raises:
        ClirbenchError: The file cannot be read, is larger than 200 kB, or does not follow the schema.
    """
    with reading(path, "remove it"):
        if not path.is_file() or path.stat().st_size > MTEB_RESULT_LIMIT:
            raise ClirbenchError(f"{path}: is not a file of at most {MTEB_RESULT_LIMIT // 1000} kB: remove it")
        content = path.read_bytes()
    return parse_mteb_result(content, path)


def parse_mteb_result(content: bytes, path: Path) -> MtebDocument:
    """Parse the bytes of one of mteb's own results; ``path`` is only its name in error messages.

    Raises:
        ClirbenchError: The content is not JSON, repeats a key, or does not follow the schema.
    """
    return parse_strictly(content, path, MtebDocument.model_validate_json, "run the task again")


def parse_strictly(content: bytes, path: Path, validate: Callable[[bytes], Parsed], remedy: str) -> Parsed:
    """Parse JSON with a pydantic model's ``model_validate_json``.

    ``path`` is only its name in error messages. ``remedy`` ends the message: it says what to do next.

    Raises:
        ClirbenchError: The content is not JSON in UTF-8, repeats a key, or does not follow the schema.
    """
    with one_line_errors(path, "JSON", remedy):
        # Pydantic uses the last value of a repeated key, and other readers use the first, so a repeated key is refused.
        text = decode(content, path)
        json.loads(text, object_pairs_hook=_refuse_repeats)
        return validate(text.encode())


@contextmanager
def one_line_errors(path: Path, form: str, remedy: str) -> Iterator[None]:
    """Turn the errors of a parser of "JSON" or "TOML", and of pydantic, into one line that ends with a remedy.

    Raises:
        ClirbenchError: The code inside the ``with`` failed to parse or to validate.
    """
    try:
        yield
    except ValidationError as error:
        raise ClirbenchError(f"{path}: {problem(error)}: {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise ClirbenchError(f"{path}: not valid {form} ({first_line(error)}): {remedy}") from error


def problem(error: ValidationError) -> str:
    """The first error in a stranger's document, on one line: its key and the reason."""
    first = error.errors(include_url=False)[0]
    # The first part of the place may be the name of one of two schemas, which is not part of the key.
    place = first["loc"][1:] if first["loc"][:1] in (("measured",), ("reported",)) else first["loc"]
    where = ".".join(str(part)[:40] for part in place) or "the file"
    return f"'{printable(where)}' is wrong ({printable(first['msg'][:200])})"


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError(f"key '{printable(repeated_key(pairs)[:80])}' stands twice")
    return values
