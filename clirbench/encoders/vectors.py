"""Turn what an encoder returns into vectors whose inner products are the scores: time, check, convert to float32, scale."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.arrays import NoNumbersError, as_float32, as_numbers, looks_packed
from clirbench.encoders.base import LoadedModel, Vectors
from clirbench.encoders.calls import ask
from clirbench.support.errors import ClirbenchError, shortened

# Products of vectors that are shorter lose digits in float32, and vanish in the end.
_FAINT = 2.0**-60
# Rows that are scaled at a time.
_AT_A_TIME = 1024


@dataclass
class Clock:
    """How many texts a model has encoded so far, how many seconds that took, and the dtype of the last vectors that it gave."""

    texts: int = 0
    seconds: float = 0.0
    output_dtype: str | None = None


@dataclass
class VectorCheck:
    """A check of the vectors of one role, called with each batch as it comes.

    ``dimensions`` is the size that every vector must have, and ``kind`` is "dense" or "sparse", as every batch must be; the first
    batch sets them where they are None. All-zero vectors are counted in ``zero``, and are an error if ``refuse_zero``.
    ``longest`` is the largest norm so far.
    """

    model: LoadedModel
    role: str
    dimensions: int | None
    refuse_zero: bool
    zero: int = 0
    longest: float = 0.0
    kind: str | None = None

    def __call__(self, raw: Any, texts: Sequence[str]) -> Vectors:
        """Copy what the model returned for some texts into float32 vectors (texts, dimensions).

        Raises:
            ClirbenchError: The model returned no array of that shape, bits packed into bytes, or dense vectors after sparse ones;
                a value is NaN or infinite; or a vector is all zero where this is refused. The message names the first such text.
        """
        kind = type(raw).__name__
        try:
            numbers = as_numbers(raw)
            vectors = as_float32(numbers)
        except NoNumbersError as error:
            raise ClirbenchError(
                f"{self.model.info.name} gave a {kind} for the {self.role} {texts[0][:60]!r}, not numbers in one shape "
                f"({error.reason}): return an array (texts, dimensions)"
            ) from error
        if vectors.ndim != 2 or vectors.shape[0] != len(texts) or vectors.shape[1] == 0:
            shape = "x".join(map(str, vectors.shape))
            rows = vectors.shape[0] if vectors.ndim == 2 and vectors.shape[1] else 0
            text = texts[min(rows, len(texts) - 1)]
            raise self._error(f"gave vectors of shape {shape} for {len(texts)} texts", text, "return one row per text")
        if self.dimensions not in (None, vectors.shape[1]):
            fault = f"gave {vectors.shape[1]} dimensions after {self.dimensions}"
            raise self._error(fault, texts[0], "all vectors must have the same size")
        self.dimensions = vectors.shape[1]
        kind = "dense" if isinstance(vectors, np.ndarray) else "sparse"
        if self.kind not in (None, kind):
            raise ClirbenchError(
                f"{self.model.info.name} gave {kind} vectors after {self.kind} ones: give one kind for all texts"
            )
        self.kind = kind
        self._refuse_options(vectors)
        if looks_packed(numbers):
            raise ClirbenchError(
                f"{self.model.info.name} gave {numbers.dtype} vectors that look like packed bits (all values of a byte are about "
                "equally frequent): unpack them with np.unpackbits, or return float32"
            )
        values = vectors if isinstance(vectors, np.ndarray) else vectors.data
        squares = squares_of(vectors)
        # If all squares are finite, all values are. A square may overflow though its values are finite, so then the values are
        # checked.
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

    def refuse_faint(self, texts: int) -> None:
        """Refuse vectors that are so short that their scores vanish in float32, once all ``texts`` of the role are encoded.

        Cosine similarity scales them up.

        Raises:
            ClirbenchError: Some vector is not zero, and the longest one is shorter than 2**-60.
        """
        if self.model.settings.similarity != "cosine" and self.longest < _FAINT and self.zero < texts:
            raise ClirbenchError(
                f"{self.model.info.name} gave vectors so short that scores vanish in float32 (each {self.role}, the longest has "
                f"length {self.longest:.0e}): use --similarity cosine, or scale the vectors up"
            )

    def _refuse_options(self, vectors: Vectors) -> None:
        """Refuse --truncate-dim and --quantise where the vectors cannot take them: known after the first batch, not before."""
        name, settings = self.model.info.name, self.model.settings
        kept, dimensions = settings.truncate_dim, vectors.shape[1]
        if (kept or settings.quantise) and not isinstance(vectors, np.ndarray):
            option = "--truncate-dim" if kept else "--quantise"
            raise ClirbenchError(f"{name} gives sparse vectors, which {option} cannot take: leave it out")
        if kept is not None and kept >= dimensions:
            raise ClirbenchError(
                f"--truncate-dim is {kept}, but vectors of {name} have {dimensions} dimensions: keep fewer, or leave it out"
            )

    def _error(self, fault: str, text: str, remedy: str) -> ClirbenchError:
        shown = shortened(text)
        return ClirbenchError(f"{self.model.info.name} {fault} for the {self.role} {shown!r}: {remedy}")


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


def encode_texts(encode: Callable[[list[str]], Any], texts: list[str], check: VectorCheck, clock: Clock) -> Vectors:
    """Encode some texts, count them and the seconds, and check their vectors.

    The encoder gets a list of its own, and its vectors are copied before it is called again.

    Returns:
        float32 (texts, dimensions), dense or CSR.

    Raises:
        ClirbenchError: The encoder fails, or a vector is wrong.
    """
    begin = time.perf_counter()
    raw = ask(check.model.info, check.role, texts, encode, list(texts))
    clock.seconds += time.perf_counter() - begin
    clock.texts += len(texts)
    if hasattr(raw, "dtype"):
        # The name of a NumPy dtype leaves out the order of bytes.
        clock.output_dtype = str(getattr(raw.dtype, "name", raw.dtype)).removeprefix("torch.")
    return check(raw, texts)


def squares_of(vectors: Vectors) -> NDArray[np.float32]:
    """Squared norms, float32 (texts,).

    A large square may become infinite, and a small one 0, where the vector itself is neither.
    """
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        if isinstance(vectors, np.ndarray):
            return np.asarray(np.einsum("ij,ij->i", vectors, vectors))
        return np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()


def scaled(queries: Vectors, candidates: Vectors, similarity: str, in_place: bool = False) -> tuple[Vectors, Vectors]:
    """Scale vectors so that inner products order the candidates of each query as the similarity does.

    Both are float32 (texts, dimensions), dense or CSR. "euclidean" adds one dimension. ``in_place`` is as for :func:`normalised`.
    """
    if similarity == "cosine":
        return normalised(queries, in_place), normalised(candidates, in_place)
    if similarity == "euclidean":
        if isinstance(queries, np.ndarray):
            # Moving the origin to the centre changes no distance, and shorter vectors make the rounding errors smaller.
            centre = candidates.mean(axis=0, dtype=np.float64).astype(np.float32)
            queries, candidates = queries - centre, candidates - centre
        return by_distance(queries, "query"), by_distance(candidates, "candidate")
    return queries, candidates


def by_distance(vectors: Vectors, role: str) -> Vectors:
    """Add one dimension to the vectors of a role, so that inner products order candidates by euclidean distance."""
    # For one query, -|q - c|^2 and q.c - |c|^2 / 2 order candidates alike.
    if role == "query":
        return _with_column(vectors, np.ones((vectors.shape[0], 1), dtype=np.float32))
    half = 0.5 * _square_norms(vectors)
    return _with_column(vectors, -half[:, None].astype(np.float32))


def _with_column(vectors: Vectors, column: NDArray[np.float32]) -> Vectors:
    if isinstance(vectors, np.ndarray):
        return np.hstack([vectors, column])
    from scipy import sparse

    return sparse.csr_array(sparse.hstack([vectors, sparse.csr_array(column)], format="csr"))


def _square_norms(vectors: Vectors) -> NDArray[np.float64]:
    if isinstance(vectors, np.ndarray):
        return np.asarray(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return np.asarray(vectors.multiply(vectors).sum(axis=1), dtype=np.float64).ravel()


def normalised(vectors: Vectors, in_place: bool = False) -> Vectors:
    """Scale each row to length 1, in float64; a zero vector stays zero. Dense or CSR.

    ``in_place`` overwrites dense vectors, which are float32, and returns them.
    """
    norms = np.sqrt(_square_norms(vectors))
    scale = np.divide(1.0, norms, where=norms > 0, out=np.zeros_like(norms))
    if isinstance(vectors, np.ndarray):
        # In float64 no norm of float32 values becomes 0. Adding 0.0 turns -0.0 into 0.0, so equal vectors have equal bytes.
        # A part at a time, because the products are twice as large as the vectors.
        units = vectors if in_place else np.empty(vectors.shape, dtype=np.float32)
        for start in range(0, len(vectors), _AT_A_TIME):
            part = slice(start, start + _AT_A_TIME)
            units[part] = vectors[part] * scale[part, None] + 0.0
        return units
    scaled = vectors.copy()
    scaled.data = (scaled.data * np.repeat(scale, np.diff(scaled.indptr))).astype(np.float32)
    return scaled


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each row of a dense array to length 1, in float32; a zero vector stays zero.

    This is faster than :func:`normalised` and less exact: the norm and the product with its inverse are rounded to float32.
    """
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        # NumPy sums along a row in the same order on every processor.
        squares = (vectors * vectors).sum(axis=1)
        scale = 1 / np.sqrt(squares)
    # Where the squared norm leaves the range of float32, the norm is computed in float64.
    odd = np.flatnonzero(~((squares > 1e-30) & (squares < 1e30)))
    scale[odd] = 0
    units = np.multiply(vectors, scale[:, None], dtype=np.float32)
    units[odd] = normalised(vectors[odd])
    return np.asarray(units)
