"""Read text files as people have them: UTF-8 with or without a byte order mark, lines that end in LF or CRLF.

Every text file that a user gives is decoded here. A file in another encoding is refused with the name of the encoding.
"""

import codecs
import gzip
import json
import re
import stat
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from clirbench.support.errors import ClirbenchError, first_line, printable, shortened
from clirbench.support.files import reading

_MARK = "\ufeff"
# UTF-32 comes first, because its mark begins with that of UTF-16.
_OTHERS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    b"\x1f\x8b": "gzip",
}
# Bytes of a line. A small gzip file may hold a line that is larger than memory.
_LONGEST_LINE = 100_000_000
# An escaped half of a character that takes two, as it is written in JSON.
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def read_text(path: Path, remedy: str) -> str:
    """Read a text file whole, by :func:`decode`. ``remedy`` ends the message where it cannot be read, such as "correct --data".

    Raises:
        ClirbenchError: The file cannot be read, or is not UTF-8.
    """
    refuse_pipe(path)
    with reading(path, remedy):
        content = path.read_bytes()
    return decode(content, path)


def refuse_pipe(path: Path) -> None:
    """Raise a :class:`ClirbenchError` if a path is a pipe or a device: it cannot be read twice, and may never end."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        # Whoever reads it says why that fails.
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ClirbenchError(f"{path}: is a pipe or a device: put a file in its place")


def decode(content: bytes, path: Path) -> str:
    """The text of a file, without byte order marks, and with lines that end in LF. ``path`` is only its name in messages.

    Raises:
        ClirbenchError: The content is UTF-16, as PowerShell writes it, or otherwise not UTF-8.
    """
    _refuse_others(content[:4], path)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        raise _not_utf8(path, error, before.count(b"\n") + 1, len(before) - before.rfind(b"\n") - 1) from error
    # A mark in the middle comes from files that were joined.
    return text.removeprefix(_MARK).replace("\r\n", "\n").replace(f"\n{_MARK}", "\n")


def text_lines(path: Path, start: int = 0) -> Iterator[tuple[int, str]]:
    """The lines of a text file, plain or ``.gz``, from line ``start`` + 1 on. The file is not held in memory.

    Yields:
        The number of a line, from 1, and the line as :func:`decode` has it, without its end.

    Raises:
        ClirbenchError: The file is a pipe or not UTF-8, or a line has more than 100 MB.
        OSError: The file cannot be read. Damaged gzip also raises EOFError and ``zlib.error``.
    """
    refuse_pipe(path)
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        lines = iter(lambda: file.readline(_LONGEST_LINE + 1), b"")
        for number, line in enumerate(islice(lines, start, None), start + 1):
            if len(line) > _LONGEST_LINE:
                raise ClirbenchError(
                    f"{path}:{number}: the line has more than {_LONGEST_LINE:,} bytes: break it, or replace the file"
                )
            if number == 1:
                _refuse_others(line[:4], path)
            try:
                yield number, line.decode("utf-8").removeprefix(_MARK).rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise _not_utf8(path, error, number, error.start) from error


def object_of_line(line: str, place: str) -> dict[str, Any]:
    """Parse a line of JSON Lines. ``place`` names file and line in messages.

    Raises:
        ClirbenchError: The line does not hold one JSON object.
    """
    remedy = "write one JSON object a line"
    try:
        value = _JSON.decode(line)
    except (ValueError, RecursionError) as error:
        if line.lstrip().startswith("["):
            raise ClirbenchError(f"{place}: not JSON Lines, because a list begins here: {remedy}") from error
        raise ClirbenchError(f"{place}: not JSON ({_reason(error)}): {remedy}") from error
    if not isinstance(value, dict):
        raise ClirbenchError(f"{place}: not an object: {remedy}")
    if _HALF.search(line):
        for key, one in value.items():
            try:
                json.dumps([key, one], ensure_ascii=False).encode()
            except UnicodeEncodeError as error:
                shown = printable(shortened(key, 40))
                raise ClirbenchError(
                    f"{place}: field '{shown}' holds half of a character (a lone surrogate): correct it"
                ) from error
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError(f"the key '{shortened(repeated_key(pairs), 40)}' stands twice")
    return value


def repeated_key(pairs: Sequence[tuple[str, Any]]) -> str:
    """The first key of a JSON object that repeats an earlier one; "" if none does.

    >>> repeated_key([("a", 1), ("b", 2), ("a", 3)])
    'a'
    """
    # A stranger's file may hold very many keys, so each is looked up once.
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    return ""


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


# JSON leaves open which of two values of one key counts, and has no NaN. Python takes the last one, and reads NaN.
_JSON = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, column {error.colno:,}"
    return first_line(error)


def _refuse_others(start: bytes, path: Path) -> None:
    name = next((name for mark, name in _OTHERS.items() if start.startswith(mark)), None)
    # No text holds a null character. In UTF-16 without a mark, every letter of English has one.
    if name or b"\0" in start:
        raise ClirbenchError(f"{path}: is not UTF-8 but {name or 'UTF-16'}: save it as UTF-8")


def _not_utf8(path: Path, error: UnicodeDecodeError, line: int, byte: int) -> ClirbenchError:
    return ClirbenchError(f"{path}: is not UTF-8 ({error.reason} in line {line}, byte {byte + 1}): save it as UTF-8")
