"""Evaluation text inside training data: an equal text, or a shared run of words or characters."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from clirbench.support.languages import UNSPACED

# Length of a shared run: in words, or in characters for a language without spaces.
WORDS, CHARACTERS = 8, 25
# Two equal texts of this length are no coincidence, even if they are labelled with two languages.
_LONG = 25
# Soft hyphens, joiners and direction marks; the stretching sign and vowel signs of Arabic.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u0640\u064b-\u065f\u0670]")


@dataclass(frozen=True)
class Overlap:
    """One training text that holds evaluation text: file and id of its row, its language, and the shared text, normalised."""

    where: str
    language: str
    shared: str


class Protected:
    """Texts that training must not hold, and the search for them.

    Texts are compared after :func:`normalise`. A training text overlaps in one of three cases:

    - it equals a protected text of its language;
    - it shares a run of 8 words with a protected text of its language (25 characters in Chinese, Thai and other languages
      without spaces);
    - it equals a protected text of any language and has 25 characters or more (a shorter text may be a loan word).
    """

    def __init__(self) -> None:
        self._exact: dict[str, set[str]] = {}
        self._runs: dict[str, set[str]] = {}
        self._long: set[str] = set()

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
        """The first text or run that a training text shares with a protected text, normalised; None if it shares nothing."""
        plain = normalise(text, language)
        if plain in self._exact.get(language, ()) or (len(plain) >= _LONG and plain.replace(" ", "") in self._long):
            return plain
        protected = self._runs.get(language)
        if not protected:
            return None
        return next((run for run in _runs(plain, language) if run in protected), None)


def normalise(text: str, language: str) -> str:
    """Bring a text into the form that is compared: NFKC, lower case, letters and digits only, one space between words.

    Invisible characters and Arabic vowel signs are removed. In languages that write no spaces, all spaces are removed too.
    """
    plain = _UNSEEN.sub("", unicodedata.normalize("NFKC", text).lower())
    # Combining marks stay: in Devanagari and Thai they are part of a letter.
    plain = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in plain)
    return ("" if language in UNSPACED else " ").join(plain.split())


def _runs(plain: str, language: str) -> Iterable[str]:
    if language in UNSPACED:
        return (plain[i : i + CHARACTERS] for i in range(len(plain) - CHARACTERS + 1))
    words = plain.split(" ")
    return (" ".join(words[i : i + WORDS]) for i in range(len(words) - WORDS + 1))
