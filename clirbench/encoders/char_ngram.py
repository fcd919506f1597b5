"""The lexical encoder: it shows how far shared spelling alone goes."""

from typing import Any

_FEATURES = 2**20


class CharNgramEncoder:
    """Hashed character n-grams with idf learnt from the candidates' own texts.

    Vectors are CSR float32 of shape (texts, 2**20), not normalised; the similarity is the cosine.
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
        """Learn inverse document frequencies from the distinct candidate texts."""
        self._weights.fit(self._count(candidates))

    def encode_queries(self, texts: list[str]) -> Any:
        """Vectors of queries; ``prepare`` comes first."""
        return self._weights.transform(self._count(texts))

    def encode_candidates(self, texts: list[str]) -> Any:
        """Vectors of candidates; ``prepare`` comes first."""
        return self._weights.transform(self._count(texts))

    def _count(self, texts: list[str]) -> Any:
        if self._romanised:
            from anyascii import anyascii

            texts = [anyascii(text) for text in texts]
        return self._counts.transform(texts)
