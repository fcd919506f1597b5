"""Smaller vectors: fewer dimensions, and fewer bits for each of them.

Four steps lead from an encoder's vectors to those that are compared, in this order: keep the first dimensions; scale to length 1
(cosine only); remove language bias (:mod:`clirbench.encoders.transforms`); round to 8 bits or to one. An all-zero vector stays
zero.
"""

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import DenseVectors, Vectors

_STEPS = 255


def truncated(vectors: Vectors, dimensions: int | None) -> Vectors:
    """Keep the first dimensions of vectors (texts, dimensions), as models of Matryoshka training allow (Kusupati et al. 2022).

    None keeps all of them.
    """
    return vectors if dimensions is None else vectors[:, :dimensions]


def value_ranges(vectors: DenseVectors) -> NDArray[np.float32]:
    """The least and the greatest value of each dimension of vectors (texts, dimensions): float32 (2, dimensions)."""
    return np.stack([vectors.min(axis=0), vectors.max(axis=0)])


def codes_of_8_bits(vectors: DenseVectors, ranges: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Cut the range of each dimension into 255 steps, and number the step of each value: uint8 (texts, dimensions).

    The codes are those of ``quantize_embeddings`` of sentence-transformers with the precision "uint8". A value outside the range
    gets the code of its nearest end.
    """
    low, step = _low_and_step(ranges)
    return np.asarray(np.clip(np.floor((vectors - low) / step), 0, _STEPS), dtype=np.uint8)


def rounded_to_8_bits(vectors: DenseVectors, ranges: NDArray[np.float32]) -> DenseVectors:
    """Replace each value by the middle of its step, as a vector database with scalar quantisation does.

    Vectors and result are float32 (texts, dimensions). ``ranges`` are those of :func:`value_ranges`.
    """
    low, step = _low_and_step(ranges)
    middles = low + (codes_of_8_bits(vectors, ranges) + np.float32(0.5)) * step
    return _zeros_kept(middles, vectors)


def signs(vectors: DenseVectors) -> DenseVectors:
    """Replace each value above 0 by 1 and each other value by -1: float32 (texts, dimensions).

    The inner product of two such vectors is their number of dimensions minus twice the Hamming distance of their bits. It is a
    whole number, which float32 holds exactly, so it orders candidates as the Hamming distance does, ties included.
    """
    return _zeros_kept(np.where(vectors > 0, np.float32(1), np.float32(-1)), vectors)


def _low_and_step(ranges: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    low, high = ranges
    step = (high - low) / np.float32(_STEPS)
    return low, np.where(step == 0, np.float32(1), step)


def _zeros_kept(rounded: DenseVectors, vectors: DenseVectors) -> DenseVectors:
    rounded[~vectors.any(axis=1)] = 0
    return rounded
