"""An encoder of character n-grams. It shows how many golds a model can find by spelling alone."""

from typing import Any

_FEATURES = 2**20


class CharNgramEncoder:
    """Counts of character 3- to 5-grams within words, hashed, and weighted by their inverse document frequency (idf).

    The idf is learnt from the candidates of the run. Vectors are CSR float32 (texts, 2**20), not normalised.

    Args:
        romanised: Write every text in Latin letters first, so that names match across scripts.
    """

    similarity = "cosine"

    def __init__(self, *, romanised: bool = False) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

        self._romanised = romanised
        self._counts = HashingVectorizer(
            analyzer="char_wb", ngram_range=(3, 5), n_features=_FEATURES, alternate_sign=False, norm=None
        )
        self._weights = TfidfTransformer(norm=None, sublinear_tf=True)

    def prepare(self, candidates: list[str]) -> None:
        """Learn the idf from the distinct candidate texts."""
        self._weights.fit(self._count(candidates))

    def encode_queries(self, texts: list[str]) -> Any:
        """Encode queries, after ``prepare``: CSR float32 (texts, 2**20)."""
        return self._weights.transform(self._count(texts))

    def encode_candidates(self, texts: list[str]) -> Any:
        """Encode candidates, after ``prepare``: CSR float32 (texts, 2**20)."""
        return self._weights.transform(self._count(texts))

    def _count(self, texts: list[str]) -> Any:
        if self._romanised:
            from anyascii import anyascii

            texts = [anyascii(text) for text in texts]
        return self._counts.transform(texts)
