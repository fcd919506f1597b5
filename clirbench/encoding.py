"""From an encoder's output to checked float32 vectors, scaled so that inner products order candidates as its similarity does."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from clirbench.errors import ClirbenchError
from clirbench.kernel import Vectors


@dataclass
class Clock:
    """Texts encoded so far, and the seconds that it took."""

    texts: int = 0
    seconds: float = 0.0


@dataclass
class Check:
    """Checks vectors as they come, and names the first text whose vector is wrong; ``longest`` is the largest norm so far."""

    model: str
    role: str
    dimensions: int | None
    refuse_zero: bool
    zero: int = 0
    longest: float = 0.0

    def __call__(self, raw: Any, texts: list[str]) -> Vectors:
        """The vectors of the texts, float32 (texts, dimensions).

        Raises:
            ClirbenchError: They are not that, hold NaN or infinity, or (where refused) one is all zero.
        """
        vectors = as_float32(raw)
        if vectors is None:
            raise ClirbenchError(
                f"{self.model} gave a {type(raw).__name__} for the {self.role} {texts[0][:60]!r}, not numbers in one shape: "
                "return an array (texts, dimensions)"
            )
        if vectors.ndim != 2 or vectors.shape[0] != len(texts) or vectors.shape[1] == 0:
            shape = "x".join(map(str, vectors.shape))
            rows = vectors.shape[0] if vectors.ndim == 2 and vectors.shape[1] else 0
            text = texts[min(rows, len(texts) - 1)]
            raise self._error(f"gave vectors of shape {shape} for {len(texts)} texts", text, "return one row per text")
        if self.dimensions not in (None, vectors.shape[1]):
            fault = f"gave {vectors.shape[1]} dimensions after {self.dimensions}"
            raise self._error(fault, texts[0], "all vectors must have the same size")
        self.dimensions = vectors.shape[1]
        values = vectors if isinstance(vectors, np.ndarray) else vectors.data
        squares = squares_of(vectors)
        # One pass that nearly always says all: only where a square is not finite the values are looked at one by one.
        if not np.isfinite(squares).all() and not np.isfinite(values).all():
            bad = _first_row(~np.isfinite(values), vectors)
            fault = "NaN" if np.isnan(_row(vectors, bad)).any() else "infinite values"
            raise self._error(f"gave {fault}", texts[bad], "try --dtype float32, or mend the model")
        self.longest = max(self.longest, float(np.sqrt(squares.max(initial=0))))
        zero = _is_zero(vectors, squares)
        self.zero += int(zero.sum())
        if self.refuse_zero and zero.any():
            text = texts[int(np.argmax(zero))]
            raise self._error("gave an empty (all-zero) vector", text, "pass --allow-zero-vectors to score it as lost")
        return vectors

    def _error(self, fault: str, text: str, remedy: str) -> ClirbenchError:
        shown = text if len(text) <= 80 else text[:79] + "…"
        return ClirbenchError(f"{self.model} {fault} for the {self.role} {shown!r}: {remedy}")


def as_float32(raw: Any) -> Vectors | None:
    """What an encoder returned as float32, dense or CSR; None where it is not numbers in one shape."""
    if sparse.issparse(raw):
        return sparse.csr_array(raw, dtype=np.float32)
    if hasattr(raw, "detach"):
        raw = raw.detach().float().cpu()
        if raw.is_sparse:
            raw = raw.coalesce()
            return sparse.csr_array((raw.values().numpy(), tuple(raw.indices().numpy())), shape=tuple(raw.shape))
        raw = raw.numpy()
    try:
        array = np.asarray(raw)
        if array.dtype.kind not in "fiub":
            return None
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(array, dtype=np.float32)
    except (TypeError, ValueError):
        return None


def _row(vectors: Vectors, row: int) -> NDArray[np.float32]:
    if isinstance(vectors, np.ndarray):
        return np.asarray(vectors[row])
    return np.asarray(vectors.data[vectors.indptr[row] : vectors.indptr[row + 1]], dtype=np.float32)


def _first_row(bad: NDArray[np.bool_], vectors: Vectors) -> int:
    if isinstance(vectors, np.ndarray):
        return int(np.argmax(bad.any(axis=1)))
    return int(np.searchsorted(vectors.indptr, int(np.argmax(bad)), side="right")) - 1


def squares_of(vectors: Vectors) -> NDArray[np.float32]:
    """float32 (texts,): squared norms, which may overflow or vanish where no value does."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        if isinstance(vectors, np.ndarray):
            return np.asarray(np.einsum("ij,ij->i", vectors, vectors))
        return np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()


def _is_zero(vectors: Vectors, squares: NDArray[np.float32]) -> NDArray[np.bool_]:
    zero = squares == 0
    rows = np.flatnonzero(zero)
    if isinstance(vectors, np.ndarray):
        zero[rows] = ~vectors[rows].any(axis=1)
    else:
        zero[rows] = np.asarray(abs(vectors[rows]).sum(axis=1)).ravel() == 0
    return np.asarray(zero)


def encode_texts(encode: Callable[[list[str]], Any], texts: list[str]) -> Any:
    """What the encoder gives for the texts.

    Raises:
        ClirbenchError: The device is out of memory.
    """
    try:
        return encode(texts)
    except RuntimeError as error:
        # torch.OutOfMemoryError, by its name: torch may not be there.
        if type(error).__name__ != "OutOfMemoryError":
            raise
        line = str(error).splitlines()[0]
        raise ClirbenchError(f"the device is out of memory ({line}): lower --batch-size or --max-length") from error


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
