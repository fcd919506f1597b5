"""Evaluation texts inside training data: found by exact match, or by a run of shared words or characters."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

WORDS, CHARACTERS = 8, 25
# From this many characters on, a text equal to a protected one is no coincidence in any language.
_LONG = 25
# Soft hyphens, joiners and direction marks; the stretching sign and vowel signs of Arabic.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u0640\u064b-\u065f\u0670]")
_UNSPACED = frozenset({"zh", "th", "ja", "km", "lo", "my"})


@dataclass(frozen=True)
class Overlap:
    """One training text that holds evaluation text: where it stands, in which language, and what is shared."""

    where: str
    language: str
    shared: str


class Protected:
    """Texts that training must not contain.

    Two texts overlap when they are equal after normalisation (NFKC, lower case, letters and digits only; no invisible
    characters, no Arabic vowel signs), or share a run of 8 words (25 characters in Chinese, Thai and other scripts without
    spaces) in one language.
    A text that stands under another language's name counts where it is long enough not to be a loan word.
    """

    def __init__(self) -> None:
        self._exact: dict[str, set[str]] = {}
        self._runs: dict[str, set[str]] = {}
        self._long: set[str] = set()

    def __len__(self) -> int:
        return sum(map(len, self._exact.values()))

    def add(self, language: str, texts: Iterable[str]) -> None:
        """Protect texts of a language."""
        exact, runs = self._exact.setdefault(language, set()), self._runs.setdefault(language, set())
        for text in texts:
            plain = normalise(text, language)
            if plain:
                exact.add(plain)
                if len(plain) >= _LONG:
                    self._long.add(plain.replace(" ", ""))
                runs.update(_runs(plain, language))

    def find(self, language: str, text: str) -> str | None:
        """What the text shares with a protected one of its language, normalised; None where nothing."""
        plain = normalise(text, language)
        if plain in self._exact.get(language, ()) or (len(plain) >= _LONG and plain.replace(" ", "") in self._long):
            return plain
        protected = self._runs.get(language)
        if not protected:
            return None
        return next((run for run in _runs(plain, language) if run in protected), None)


def normalise(text: str, language: str) -> str:
    """Letters and digits in lower case, words separated by one space; without any space in scripts that write none."""
    plain = _UNSEEN.sub("", unicodedata.normalize("NFKC", text).lower())
    # Marks are part of the letters that they stand on (Devanagari, Thai).
    plain = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in plain)
    return ("" if language in _UNSPACED else " ").join(plain.split())


def _runs(plain: str, language: str) -> Iterable[str]:
    if language in _UNSPACED:
        return (plain[i : i + CHARACTERS] for i in range(len(plain) - CHARACTERS + 1))
    words = plain.split(" ")
    return (" ".join(words[i : i + WORDS]) for i in range(len(words) - WORDS + 1))
