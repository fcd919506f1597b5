"""Which text of strangers may be shown. Find text that renders as nothing, looks like other text, or is a formula or markup.

One-line texts hold letters of the scripts in modern use, digits, the plain space, and the punctuation of
:data:`PUNCTUATION`. A word keeps to one script, or to those that Chinese, Japanese and Korean write together (the level "Highly
Restrictive" of Unicode Technical Standard 39, section 5.2). Prompts, citations and commands hold any visible character, with
line ends, tabs and angle brackets, because instruction models and shells use them.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

# ASCII without the angle brackets of markup, then what European, Hebrew, Arabic, Indic, Chinese and Japanese texts use.
PUNCTUATION = (
    "!\"#$%&'()*+,-./:;=?@[\\]^_`{|}~" + "–—‘’“”„«»…·•¡¿§°×±€£¥" + "׳״־،؛؟।॥" + "、。・「」『』《》【】（），：；！？～"
)
# Hebrew with vowels has three marks on a letter. More of them reach into the lines above and below.
MOST_MARKS = 3
# Characters with which spreadsheets begin a formula. NFKC turns their other forms, such as full-width ones, into these.
_FORMULA = "=+-@"
_FREE = (
    "encoder.query_prompt",
    "encoder.candidate_prompt",
    "query_prefix",
    "candidate_prefix",
    "citation",
    "reproduce.commands",
)
# Unicode Standard Annex 31, table 5: the scripts in modern use.
_SCRIPTS = (
    "Arab Armn Beng Bopo Cyrl Deva Ethi Geor Grek Gujr Guru Hang Hani Hebr Hira Kana Khmr Knda Laoo Latn Mlym Mymr Orya"
)
_SCRIPTS += " Sinh Taml Telu Thaa Thai Tibt"
_TOGETHER = ("Latn Hani Hira Kana", "Latn Hani Bopo", "Latn Hani Hang")
# Braille without dots and the musical note without a head have a width, but no ink.
_NOTHING = r"[\p{Default_Ignorable_Code_Point}\u2800\U0001D159\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]"
_WORD = r"[\p{L}\p{M}\p{Nd}]+"
_STACK = rf"[\p{{Mn}}\p{{Me}}]{{{MOST_MARKS + 1}}}"
_UNFIT = rf"[^\p{{L}}\p{{Mn}}\p{{Mc}}\p{{Nd}} {re.escape(PUNCTUATION)}]"
_LOOSE_MARK = r"(?<![\p{L}\p{M}])\p{M}"


def _written_in(scripts: str) -> str:
    """The pattern of a word in some scripts, and in what belongs to all scripts, such as digits and marks."""
    return "[" + "".join(rf"\p{{scx={script}}}" for script in f"{scripts} Zyyy Zinh".split()) + "]+"


_KNOWN = _written_in(_SCRIPTS)
_ONE_SCRIPT = "|".join(map(_written_in, (*_TOGETHER, *_SCRIPTS.split())))
_OTHER_FORM = ("<font>", "<wide>", "<narrow>", "<circle>", "<square>", "<super>", "<sub>", "<fraction>")


@cache
def _compiled(pattern: str) -> Any:
    """A pattern, compiled when it is first used: a command that reads no stranger's text does without the library."""
    import regex

    return regex.compile(pattern)


def tricks(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Find text that could deceive a reader, a page or a spreadsheet, in values and in the keys of dicts.

    Yields:
        The dotted key of a text below ``key``, and the fault of the text.
    """
    if isinstance(value, dict):
        sound = _are_sound(tuple(value))
        for name, inner in value.items():
            if type(inner) not in _PLAIN and not _is_of_numbers(inner):
                yield from tricks(inner, f"{key}.{str(name)[:40]}".lstrip("."))
            fault = None if sound else trick(str(name)) if name else "has an empty name in it: remove it"
            if fault:
                yield (f"{key}.{str(name)[:40]!a}" if name else key).lstrip("."), fault
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from tricks(inner, f"{key}.{i}")
    elif isinstance(value, str) and (fault := trick(value, free=key in _FREE)):
        yield key, fault


# Most values of a result are numbers, and most of its dicts have the same names.
_PLAIN = {float, int, bool, type(None)}


def _is_of_numbers(value: object) -> bool:
    """Whether a value is a dict of numbers, and its names may be shown."""
    return isinstance(value, dict) and _PLAIN.issuperset(map(type, value.values())) and _are_sound(tuple(value))


@lru_cache(maxsize=256)
def _are_sound(names: tuple[object, ...]) -> bool:
    """Whether the names of a dict may be shown, each of them."""
    return all(name and not trick(str(name)) for name in names)


@lru_cache(maxsize=4096)
def trick(text: str, free: bool = False) -> str | None:
    """The fault of one text and its remedy; None if it may be shown. ``free`` texts are prompts, citations and commands."""
    for hidden in _compiled(_NOTHING).finditer(text):
        if not (free and hidden[0] in "\n\t"):
            return f"holds the invisible character U+{ord(hidden[0]):04X}: remove it"
    if text and not text.strip():
        return "is only spaces: say something, or leave it empty"
    if _compiled(_STACK).search(unicodedata.normalize("NFD", text)):
        return f"has more than {MOST_MARKS} marks on one letter: remove them"
    return None if free else _line_trick(text)


def begins_formula(text: str) -> bool:
    """Whether a spreadsheet that opens a CSV file would take the text for a formula."""
    return unicodedata.normalize("NFKC", text.lstrip())[:1] in tuple(_FORMULA) or text[:1] in ("\t", "\r")


def _line_trick(text: str) -> str | None:
    """The fault of a text of one line, in which nothing is invisible; None if it may be shown."""
    if begins_formula(text):
        return f"begins with '{text.lstrip()[0]}', as a formula of a spreadsheet does: begin with a letter or a digit"
    if text.isascii() and "<" not in text and ">" not in text:
        return None
    if unfit := _compiled(_UNFIT).search(text):
        character = unfit[0]
        if character in "<>":
            return f"holds '{character}', which looks like markup: remove it"
        kind = "space" if character.isspace() else "character"
        return f"holds the {kind} U+{ord(character):04X}: use letters, digits, plain spaces and common punctuation"
    if loose := _compiled(_LOOSE_MARK).search(text):
        return f"has the mark U+{ord(loose[0]):04X} on no letter: remove it"
    for word in _compiled(_WORD).findall(text):
        for character in word:
            if unicodedata.decomposition(character).startswith(_OTHER_FORM):
                plain = unicodedata.normalize("NFKC", character)
                return f"holds U+{ord(character):04X}, another form of '{plain}': write '{plain}'"
        if not _compiled(_KNOWN).fullmatch(word):
            return f"has a letter in {word[:40]!a} that is of no script in modern use: remove it"
        if not _compiled(_ONE_SCRIPT).fullmatch(word):
            return f"mixes scripts in the word {word[:40]!a}: use the letters of one"
    return None


def skeleton(name: str) -> str:
    """A name in which letters that look alike are made equal. Two names with the same skeleton can be confused.

    Other forms of a letter, such as full-width and mathematical ones, and letters with marks, equal the plain letter.
    """
    plain = unicodedata.normalize("NFKD", name).casefold()
    letters = "".join(character for character in plain if not unicodedata.category(character).startswith("M"))
    return letters.translate(_ALIKE).replace("rn", "m").replace("vv", "w")


_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "-": "_", ".": "_", "+": "_", "5": "s"})
