"""Late interaction: a vector for each token, compared by MaxSim (MultiVectorEncoder, which also loads PyLate's models)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Bounds the products of token vectors that are held at once.
_QUERIES = 16
_CANDIDATES = 512


class MultiVectorScorer:
    """Scores by the model's own similarity, "maxsim" or "meanmaxsim".

    All token vectors of the candidates are held in memory, as float32: tokens x dimensions x 4 bytes.
    """

    def __init__(self, model: Any, batch_size: int, query_prompt: str | None, candidate_prompt: str | None) -> None:
        self._model, self._batch_size = model, batch_size
        self._query_prompt, self._candidate_prompt = query_prompt, candidate_prompt
        self._candidates: list[Any] = []

    def prepare_candidates(self, texts: list[str], languages: list[str]) -> None:
        """Encode the candidates; their languages are not looked at."""
        # Each text once, whatever its languages: two encodings of one text may round differently, and would not tie. Texts of
        # one length stand together, so that little is padded.
        distinct = sorted(set(texts), key=lambda text: (-len(text), text))
        place = {text: i for i, text in enumerate(distinct)}
        self._column = np.array([place[text] for text in texts], dtype=np.intp)
        self._candidates = self._encode(self._model.encode_document, distinct, self._candidate_prompt)

    def score(self, texts: list[str], languages: list[str]) -> NDArray[np.float32]:
        """float32 (queries, candidates)."""
        import torch

        queries = self._encode(self._model.encode_query, texts, self._query_prompt)
        found = np.empty((len(texts), len(self._candidates)), dtype=np.float32)
        with torch.no_grad():
            for start in range(0, len(queries), _QUERIES):
                rows = slice(start, start + _QUERIES)
                for first in range(0, len(self._candidates), _CANDIDATES):
                    columns = slice(first, first + _CANDIDATES)
                    part = self._model.similarity(queries[rows], self._candidates[columns])
                    found[rows, columns] = part.float().cpu().numpy()
        return found[:, self._column]

    def _encode(self, encode: Any, texts: Sequence[str], prompt: str | None) -> list[Any]:
        training = self._model.training
        try:
            vectors = encode(list(texts), prompt=prompt, batch_size=self._batch_size, show_progress_bar=False)
            return list(vectors)
        finally:
            self._model.train(training)
