"""The bundled lexical encoders: rows that show how far shared spelling alone goes."""

from dataclasses import dataclass
from typing import Any

from clirbench.encoders import base
from clirbench.errors import ClirbenchError

_FEATURES = 2**20


@dataclass(frozen=True)
class Bundled:
    """A bundled model: its name, one line about it, and its revision (raised whenever its vectors change)."""

    name: str
    description: str
    revision: str
    romanised: bool


BUNDLED: dict[str, Bundled] = {
    model.name: model
    for model in (
        Bundled(
            "clirbench/char-ngram",
            "hashed character 3- to 5-grams within words, weighted by idf over the candidates; no weights, no training",
            "1",
            romanised=False,
        ),
        Bundled(
            "clirbench/char-ngram-romanised",
            "the same over text romanised by anyascii, so that names match across scripts",
            "1",
            romanised=True,
        ),
    )
}
DEFAULT = "clirbench/char-ngram"


class CharNgramEncoder:
    """Hashed character n-grams with idf learnt from the candidates' own texts.

    Vectors are CSR float32 of shape (texts, 2**20), not normalised; the similarity is the cosine.
    """

    similarity = "cosine"

    def __init__(self, *, romanised: bool = False) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer  # noqa: PLC0415

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
            from anyascii import anyascii  # noqa: PLC0415

            texts = [anyascii(text) for text in texts]
        return self._counts.transform(texts)


def load_bundled(name: str, options: base.EncoderOptions) -> base.LoadedEncoder:
    """Load a bundled encoder by its full name.

    Raises:
        ClirbenchError: There is none of that name, or an option does not apply.
    """
    if name not in BUNDLED:
        raise ClirbenchError(f"no bundled model '{name}': the bundled ones are {', '.join(BUNDLED)}")
    others = (
        "dtype",
        "max_length",
        "query_prompt",
        "candidate_prompt",
        "similarity",
        "revision",
        "name",
        "device",
    )
    base.refuse(options, others, f"the bundled model {name}")
    model = BUNDLED[name]
    return base.LoadedEncoder(
        encoder=CharNgramEncoder(romanised=model.romanised),
        info=base.ModelInfo(name, "bundled", model.revision, "bundled", parameters=0),
        settings=base.EncoderSettings(),
    )
