"""BM25, the lexical baseline of the board, computed by bm25s over words that are split and stemmed by language."""

import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.support.errors import ClirbenchError
from clirbench.support.languages import UNSPACED

# Snowball's stemmers by language; other languages keep their words whole.
_STEMMERS = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "eu": "basque", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian",
    "id": "indonesian", "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip


class Bm25Scorer:
    """BM25 over the candidates of all languages of a run together: Lucene's variant with pyserini's k1 = 0.9 and b = 0.4.

    Texts are normalised (NFKC, case folded) and split into runs of letters, marks and digits. Snowball stems these words where it
    knows the language. Where words are not spaced, such as in Thai, they are split into pairs of characters. A query and a
    candidate in different languages share little but names and numbers.

    Raises:
        ClirbenchError: bm25s or PyStemmer is not installed.
    """

    parameters = 0

    def __init__(self) -> None:
        try:
            import bm25s
            import regex
            import Stemmer
        except ImportError as error:
            raise ClirbenchError(f"BM25 needs {error.name}: pip install 'clirbench[bm25]'") from error
        self._words = regex.compile(r"[\p{L}\p{M}\p{N}]+")
        self._stemmers: dict[str, Any] = {}
        self._stemmer = Stemmer.Stemmer
        self._index = bm25s.BM25(k1=0.9, b=0.4, method="lucene", backend="numpy")
        self._candidates = 0

    def tokens(self, text: str, language: str) -> list[str]:
        """Split a text into the terms that BM25 counts."""
        words = self._words.findall(unicodedata.normalize("NFKC", text).casefold())
        if language in UNSPACED:
            # Overlapping pairs of characters, as Lucene's CJK analyser has them: no segmenter is needed.
            return [pair for word in words for pair in (_pairs(word) if not word.isascii() else [word])]
        if language in _STEMMERS:
            if language not in self._stemmers:
                self._stemmers[language] = self._stemmer(_STEMMERS[language])
            return list(self._stemmers[language].stemWords(words))
        return list(words)

    def prepare_candidates(self, texts: list[str], languages: list[str]) -> None:
        """Index the candidates."""
        corpus = [self.tokens(text, language) for text, language in zip(texts, languages, strict=True)]
        self._candidates = len(corpus)
        if any(corpus):
            self._index.index(corpus, show_progress=False)
            self._known = self._index.vocab_dict
        else:
            self._known = {}

    def score(self, texts: list[str], languages: list[str]) -> NDArray[np.float32]:
        """Score queries against all candidates: float32 (queries, candidates), 0 where no term is shared."""
        scores = np.zeros((len(texts), self._candidates), dtype=np.float32)
        for row, (text, language) in enumerate(zip(texts, languages, strict=True)):
            terms = [term for term in self.tokens(text, language) if term in self._known]
            if terms:
                scores[row] = self._index.get_scores(terms)
        return scores


def _pairs(word: str) -> list[str]:
    return [word[i : i + 2] for i in range(max(1, len(word) - 1))]
