"""How far the batch of a text moves its vector, and how many ranks that moves: `python benchmarks/noise.py MODEL [LANGUAGES]`.

The texts of XQuAD-R in some languages (en,th) are encoded twice: in batches of 32 in the order of `clirbench run`, and in batches
of 7 in a random order. The largest distance of two vectors of one text stands beside the smallest distance of two texts that the
model reads differently. Then both sets of vectors are ranked: as clirbench does, and without the rule that vectors which differ
by rounding are one vector.
"""

import random
import sys

import numpy as np

import clirbench
from clirbench.encoders import encode
from clirbench.encoders.same_vectors import ROUNDING, first_alike

SAMPLE = 2000


class Fixed:
    """An encoder with the vectors of a model, computed in batches of a size and an order."""

    def __init__(self, model, batch, shuffled):
        self.model, self.batch, self.shuffled, self.vectors = model, batch, shuffled, {}

    def _encode(self, role, texts):
        order = list(range(len(texts)))
        if self.shuffled:
            random.Random(0).shuffle(order)
        method = self.model.encode_query if role == "query" else self.model.encode_document
        rows = method([texts[i] for i in order], batch_size=self.batch, show_progress_bar=False)
        vectors = np.empty_like(rows)
        vectors[order] = rows
        self.vectors[role] = np.concatenate([self.vectors[role], vectors]) if role in self.vectors else vectors
        return vectors

    def encode_queries(self, texts):
        return self._encode("query", texts)

    def encode_candidates(self, texts):
        return self._encode("candidate", texts)


def distances(left, right):
    """The largest distance of two vectors of one text, and the smallest of two texts beyond rounding, as shares of the length."""
    length = np.linalg.norm(left, axis=1)
    own = (np.linalg.norm(left.astype(np.float64) - right, axis=1) / length).max()
    some = left[np.unique(first_alike(left))][:SAMPLE].astype(np.float64)
    some /= np.linalg.norm(some, axis=1, keepdims=True)
    products = some @ some.T
    np.fill_diagonal(products, -1)
    return float(own), float(np.sqrt(2 - 2 * products.max()))


def changed(results):
    """Share of gold pairs with another rank, in the own block or in the pool, and the largest change of a rank."""
    (a, b) = (result.ranks for result in results)
    gaps = np.stack([np.abs(a.own_rank - b.own_rank), np.abs(a.pool_rank - b.pool_rank)])
    return float((gaps > 0).any(axis=0).mean()), int(gaps.max())


def main(name, languages="en,th"):
    """Print the table for a model of sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(name)
    encoders = [Fixed(model, 32, False), Fixed(model, 7, True)]

    def run():
        return [clirbench.evaluate(encoder, "xquad-r", languages=languages.split(",")) for encoder in encoders]

    ruled = run()
    own, other = distances(encoders[0].vectors["candidate"], encoders[1].vectors["candidate"])
    print(f"{name}, xquad-r {languages}, float32")
    print(f"largest distance of two vectors of one text      {own:.1e}")
    print(f"vectors count as one up to                       {ROUNDING:.1e}")
    print(f"smallest distance of two different vectors       {other:.1e} (of {SAMPLE} candidates)")
    shares = ruled[0].document.indistinguishable["candidate"]
    print(
        f"candidates that cannot be told apart             {', '.join(f'{100 * v:.1f} % in {k}' for k, v in shares.items())}"
    )
    for encoder in encoders:
        encoder.vectors = {}
    encode.first_alike = lambda vectors: np.arange(vectors.shape[0])
    for label, results in (("with the rule", ruled), ("without it", run())):
        share, most = changed(results)
        print(f"gold pairs with another rank, {label:<18} {100 * share:.2f} %, by at most {most} places")


if __name__ == "__main__":
    main(*sys.argv[1:])
