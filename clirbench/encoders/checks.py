"""From an encoder's output to checked float32 vectors, scaled so that inner products order candidates as its similarity does."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from clirbench.encoders.base import Vectors
from clirbench.encoders.similarity import squares_of
from clirbench.support.errors import ClirbenchError, first_line


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
        raise ClirbenchError(
            f"the device is out of memory ({first_line(error)}): lower --batch-size or --max-length"
        ) from error
