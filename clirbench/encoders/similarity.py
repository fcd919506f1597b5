"""Vectors prepared for their similarity, so that an inner product is all that is left."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from clirbench.encoders.base import Vectors


def squares_of(vectors: Vectors) -> NDArray[np.float32]:
    """float32 (texts,): squared norms, which may overflow or vanish where no value does."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        if isinstance(vectors, np.ndarray):
            return np.asarray(np.einsum("ij,ij->i", vectors, vectors))
        return np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()


def scaled(queries: Vectors, candidates: Vectors, similarity: str) -> tuple[Vectors, Vectors]:
    """Queries and candidates whose inner products order candidates as the similarity does."""
    if similarity == "cosine":
        return normalised(queries), normalised(candidates)
    if similarity == "euclidean":
        if isinstance(queries, np.ndarray):
            # Distances do not change with the origin, and near the origin the products lose no digits to an offset.
            centre = candidates.mean(axis=0, dtype=np.float64).astype(np.float32)
            queries, candidates = queries - centre, candidates - centre
        return by_distance(queries, "query"), by_distance(candidates, "candidate")
    return queries, candidates


def by_distance(vectors: Vectors, role: str) -> Vectors:
    """Vectors of a role, "query" or "candidate", with one more dimension: inner products then order candidates by distance."""
    # -|q - c|^2 orders candidates as q.c - |c|^2 / 2 does.
    if role == "query":
        return _with_column(vectors, np.ones((vectors.shape[0], 1), dtype=np.float32))
    half = 0.5 * _square_norms(vectors)
    return _with_column(vectors, -half[:, None].astype(np.float32))


def _with_column(vectors: Vectors, column: NDArray[np.float32]) -> Vectors:
    if isinstance(vectors, np.ndarray):
        return np.hstack([vectors, column])
    return sparse.csr_array(sparse.hstack([vectors, sparse.csr_array(column)], format="csr"))


def _square_norms(vectors: Vectors) -> NDArray[np.float64]:
    if isinstance(vectors, np.ndarray):
        return np.asarray(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return np.asarray(vectors.multiply(vectors).sum(axis=1), dtype=np.float64).ravel()


def normalised(vectors: Vectors) -> Vectors:
    """Unit vectors; a zero vector stays zero."""
    norms = np.sqrt(_square_norms(vectors))
    scale = np.divide(1.0, norms, where=norms > 0, out=np.zeros_like(norms))
    if isinstance(vectors, np.ndarray):
        # In float64, where no norm of float32 values can vanish. Adding zero turns -0.0 into 0.0: equal vectors, equal bits.
        return np.asarray(vectors * scale[:, None] + 0.0, dtype=np.float32)
    scaled = vectors.copy()
    scaled.data = (scaled.data * np.repeat(scale, np.diff(scaled.indptr))).astype(np.float32)
    return scaled


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Dense unit vectors, each row by itself; a zero vector stays zero. Sooner than :func:`normalised`, and rounded twice."""
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        # A pairwise sum along the row, whose order no processor changes.
        squares = (vectors * vectors).sum(axis=1)
        scale = 1 / np.sqrt(squares)
    # Only where float32 squares are out of range their sum must be taken in float64.
    odd = np.flatnonzero(~((squares > 1e-30) & (squares < 1e30)))
    scale[odd] = 0
    found = np.multiply(vectors, scale[:, None], dtype=np.float32)
    found[odd] = normalised(vectors[odd])
    return np.asarray(found)
