"""The rule for identifiers and grades: the same in a user's own task, in corpora, in judgements and in runs.

- An identifier is text, or a whole number, which is read as its digits: 7 is "7". Text is never changed: "7", "07" and "7.0" are
  three identifiers. 7.0, true and null are none, nor is text of which nothing is seen, or with more than 2,000 characters.
- Two identifiers that look the same are refused: those that differ only in Unicode normalisation, invisible characters or spaces.
- A grade is a number, whole or not, also zero or negative. true, NaN and infinity are none. A candidate is gold from grade 1 on,
  or from ``relevant_from`` of a task file on. The grade of a gold is whole, from 1 to 127, and nDCG counts it as a gain.
"""

import re
import unicodedata
from collections.abc import Iterable

from clirbench.support.errors import shortened

RELEVANT_FROM = 1.0
# Gains are kept as int8.
_HIGHEST = 127
GAIN = f"a gold has a whole grade from 1 to {_HIGHEST}"
_LONGEST = 2000
# Selectors of the look of the character before them. Their category is that of accents.
_SELECTORS = "\ufe0e\ufe0f"


def identifier(value: object) -> str | None:
    """An identifier as text; None if the value is no identifier. Half a character (a lone surrogate) is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or len(value) > _LONGEST or not value.strip():
        return None
    if value.isascii() and value.isprintable():
        return value
    return value if look(value) and not re.search("[\ud800-\udfff]", value) else None


def plain_identifiers(lines: list[str]) -> bool:
    """Whether all lines are identifiers of visible ASCII characters, which is found out for all of them at once.

    >>> plain_identifiers(["7", "a b"]), plain_identifiers(["7", " "]), plain_identifiers(["caf\u00e9"])
    (True, False, False)
    """
    text = "".join(lines)
    visible = text.isascii() and text.isprintable() and all(map(str.strip, lines))
    return visible and max(map(len, lines), default=0) <= _LONGEST


def grade(value: object) -> float | None:
    """A grade; None if the value is no grade. Its size is below 1e9."""
    # Python takes true for the number 1, and JSON may hold NaN and infinity.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and -1e9 < value < 1e9 else None  # type: ignore[operator, arg-type]


def gain(grade: float) -> int | None:
    """The gain of a gold, which is its grade, as in trec_eval; None if it is not a whole number from 1 to 127."""
    return int(grade) if 1 <= grade <= _HIGHEST and grade == int(grade) else None


def grade_of_text(text: str) -> float | None:
    """A grade that stands in a file of plain text, such as TREC judgements; None if the text is no grade."""
    return grade(float(text)) if re.fullmatch(r"[+-]?\d{1,12}(\.\d*)?", text, re.ASCII) else None


def look(name: str) -> str:
    """What a reader sees of an identifier: composed characters, none that are invisible, one space between words."""
    if not (name.isascii() and name.isprintable()):
        name = unicodedata.normalize("NFC", "".join(c for c in name if not _invisible(c)))
    return " ".join(name.split())


def difference(name: str, other: str) -> str:
    """How two identifiers of one look differ, for a message that says "they differ only in ..."."""
    if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other):
        return "Unicode normalisation"
    for character in f"{name}{other}":
        if _invisible(character) and name.count(character) != other.count(character):
            return f"the invisible character U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()
    return "spaces"


def twin(name: str, others: Iterable[str]) -> str:
    """For a message about an unknown identifier: the known one with which it may be confused, or "" if there is none."""
    for other in others:
        if look(name) == look(other):
            return f"{_shown(name)}, which differs from {_shown(other)} only in {difference(name, other)}"
        if name.removesuffix(".0") == other or other.removesuffix(".0") == name:
            return f"{_shown(name)}, which is not {_shown(other)}, because an identifier is text"
    return ""


def first_twins(names: Iterable[str]) -> str:
    """For a message: the first two different identifiers of one look; "" if there are none."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(look(name), name)
        if other != name:
            return twin(name, [other])
    return ""


def _shown(name: str) -> str:
    return shortened(f"{name!a}")


def _invisible(character: str) -> bool:
    hidden = unicodedata.category(character) in ("Cf", "Cc") and not character.isspace()
    return hidden or character in _SELECTORS
