"""Encoding: each distinct text once per role, checked, and kept in a crash-safe cache."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from clirbench.collections import Collection
from clirbench.encoders.base import LoadedEncoder
from clirbench.errors import ClirbenchError
from clirbench.ranks import Vectors
from clirbench.transforms import Transform, fit_transform
from clirbench.vector_cache import CacheEntry

SHARD = 512


@dataclass(frozen=True)
class Encoded:
    """The vectors of a collection, ready for inner products.

    Attributes:
        queries: float32 (queries, dimensions), dense or CSR.
        candidates: float32 (candidates, dimensions), of the same kind.
        texts: Distinct texts, counted once per role.
        encoded: How many of them this run encoded; the others came from the cache.
        seconds: Time spent in the encoder.
        dimensions: Size of the encoder's vectors.
        zero: Distinct texts whose vector is all zero.
    """

    queries: Vectors
    candidates: Vectors
    texts: int
    encoded: int
    seconds: float
    dimensions: int
    zero: int


def distinct_texts(collection: Collection) -> int:
    """Number of texts to encode: distinct queries plus distinct candidates."""
    return len(set(collection.queries)) + len(set(collection.candidates))


def encode_collection(
    loaded: LoadedEncoder,
    collection: Collection,
    cache: Path | None = None,
    allow_zero: bool = False,
    advance: Callable[[int], None] | None = None,
) -> Encoded:
    """Encode queries and candidates of a collection.

    Texts are encoded in shards of 512, longest first. With a cache, each shard is written as soon as it is there, and a
    manifest with their checksums comes last: a run that is killed loses one shard, and the next one continues with the very
    same vectors. An encoder without a revision, or with a ``prepare`` method, is not cached.

    Args:
        loaded: The encoder.
        collection: What to encode.
        cache: Folder for vectors, or None.
        allow_zero: Score all-zero vectors (they tie with everything, and ties are lost) instead of stopping.
        advance: Called with a number of texts whenever so many are done.

    Returns:
        Vectors scaled for the encoder's similarity: their inner product orders candidates as the similarity does.

    Raises:
        ClirbenchError: A vector is NaN, infinite, all zero, empty or wrong-shaped (with the first offending text), or the cache
            cannot be written.
    """
    encoder = loaded.encoder
    prepare = getattr(encoder, "prepare", None)
    if prepare:
        prepare(list(dict.fromkeys(collection.candidates)))
    if prepare or loaded.info.revision is None:
        cache = None
    clock = _Clock()
    roles = (
        ("query", encoder.encode_queries, collection.queries),
        ("candidate", encoder.encode_candidates, collection.candidates),
    )
    found: list[Vectors] = []
    indices = []
    zero = 0
    for role, encode, texts in roles:
        distinct = sorted(set(texts), key=lambda text: (-len(text), text))
        place = {text: i for i, text in enumerate(distinct)}
        indices.append(np.array([place[text] for text in texts]))
        entry = CacheEntry(cache, loaded, role, distinct, SHARD) if cache else None
        expected = found[0].shape[1] if found else None
        check = _Check(loaded.info.name, role, expected, not allow_zero)
        shards = list(_shards(encode, distinct, entry, check, clock, advance))
        found.append(
            np.concatenate(shards) if isinstance(shards[0], np.ndarray) else sparse.vstack(shards, format="csr")
        )
        zero += check.zero
    if isinstance(found[0], np.ndarray) != isinstance(found[1], np.ndarray):
        raise ClirbenchError(
            f"{loaded.info.name} gave dense vectors for one role and sparse ones for the other: give one kind"
        )
    queries, candidates = _scaled(found[0], found[1], loaded.settings.similarity)
    queries, candidates = queries[indices[0]], candidates[indices[1]]
    if loaded.transform is not None:
        queries, candidates = _transformed(loaded, loaded.transform, collection, queries, candidates)
    return Encoded(
        queries=queries,
        candidates=candidates,
        texts=found[0].shape[0] + found[1].shape[0],
        encoded=clock.texts,
        seconds=clock.seconds,
        dimensions=found[0].shape[1],
        zero=zero,
    )


def _transformed(
    loaded: LoadedEncoder, transform: Transform, collection: Collection, queries: Vectors, candidates: Vectors
) -> tuple[Vectors, Vectors]:
    if not isinstance(queries, np.ndarray) or not isinstance(candidates, np.ndarray):
        raise ClirbenchError(f"{loaded.info.name} gives sparse vectors, which --transform cannot take: leave it out")
    blocks = [
        (array, [slice(*starts[i : i + 2]) for i in range(len(collection.languages))])
        for array, starts in ((queries, collection.query_starts), (candidates, collection.candidate_starts))
    ]
    if transform.texts:
        samples = [_sample(loaded, transform, language) for language in collection.languages]
    else:
        samples = [candidates[part] for part in blocks[1][1]]
    removal = fit_transform(transform, samples)
    moved = [
        np.concatenate([_normalised(removal(array[part], i)) for i, part in enumerate(parts)])
        for array, parts in blocks
    ]
    return moved[0], moved[1]


def _sample(loaded: LoadedEncoder, transform: Transform, language: str) -> NDArray[np.float32]:
    texts = list(transform.texts.get(language, ()))
    if not texts:
        raise ClirbenchError(f"--transform-sample has no text in {language}: add some, or fit on the candidates")
    check = _Check(loaded.info.name, "sample text", None, refuse_zero=False)
    parts = [texts[start : start + SHARD] for start in range(0, len(texts), SHARD)]
    vectors = [check(_encode(loaded.encoder.encode_candidates, part), part) for part in parts]
    return np.asarray(_normalised(np.concatenate(vectors)), dtype=np.float32)


@dataclass
class _Clock:
    texts: int = 0
    seconds: float = 0.0


@dataclass
class _Check:
    """Checks vectors as they come, and names the first text whose vector is wrong."""

    model: str
    role: str
    dimensions: int | None
    refuse_zero: bool
    zero: int = 0

    def __call__(self, raw: Any, texts: list[str]) -> Vectors:
        vectors = _as_float32(raw)
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
        if not np.isfinite(values).all():
            bad = _first_row(~np.isfinite(values), vectors)
            fault = "NaN" if np.isnan(_row(vectors, bad)).any() else "infinite values"
            raise self._error(f"gave {fault}", texts[bad], "try --dtype float32, or mend the model")
        zero = _is_zero(vectors)
        self.zero += int(zero.sum())
        if self.refuse_zero and zero.any():
            text = texts[int(np.argmax(zero))]
            raise self._error("gave an empty (all-zero) vector", text, "pass --allow-zero-vectors to score it as lost")
        return vectors

    def _error(self, fault: str, text: str, remedy: str) -> ClirbenchError:
        shown = text if len(text) <= 80 else text[:79] + "…"
        return ClirbenchError(f"{self.model} {fault} for the {self.role} {shown!r}: {remedy}")


def _as_float32(raw: Any) -> Vectors | None:
    if sparse.issparse(raw):
        return sparse.csr_array(raw, dtype=np.float32)
    if hasattr(raw, "detach"):
        raw = (raw.to_dense() if raw.is_sparse else raw).detach().float().cpu().numpy()
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


def _is_zero(vectors: Vectors) -> NDArray[np.bool_]:
    if isinstance(vectors, np.ndarray):
        return np.asarray(~vectors.any(axis=1))
    return np.asarray(np.asarray(abs(vectors).sum(axis=1)).ravel() == 0)


def _scaled(queries: Vectors, candidates: Vectors, similarity: str) -> tuple[Vectors, Vectors]:
    if similarity == "cosine":
        return _normalised(queries), _normalised(candidates)
    if similarity == "euclidean":
        if isinstance(queries, np.ndarray):
            # Distances do not change with the origin, and near the origin the products lose no digits to an offset.
            centre = candidates.mean(axis=0, dtype=np.float64).astype(np.float32)
            queries, candidates = queries - centre, candidates - centre
        # -|q - c|^2 orders candidates as q.c - |c|^2 / 2 does: one more dimension makes it an inner product.
        half = 0.5 * _square_norms(candidates)
        ones = np.ones((queries.shape[0], 1), dtype=np.float32)
        return _with_column(queries, ones), _with_column(candidates, -half[:, None].astype(np.float32))
    return queries, candidates


def _with_column(vectors: Vectors, column: NDArray[np.float32]) -> Vectors:
    if isinstance(vectors, np.ndarray):
        return np.hstack([vectors, column])
    return sparse.csr_array(sparse.hstack([vectors, sparse.csr_array(column)], format="csr"))


def _square_norms(vectors: Vectors) -> NDArray[np.float64]:
    if isinstance(vectors, np.ndarray):
        return np.asarray(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return np.asarray(vectors.multiply(vectors).sum(axis=1), dtype=np.float64).ravel()


def _normalised(vectors: Vectors) -> Vectors:
    norms = np.sqrt(_square_norms(vectors))
    scale = np.divide(1.0, norms, where=norms > 0, out=np.zeros_like(norms))
    if isinstance(vectors, np.ndarray):
        # In float64, where no norm of float32 values can vanish. Adding zero turns -0.0 into 0.0: equal vectors, equal bits.
        return np.asarray(vectors * scale[:, None] + 0.0, dtype=np.float32)
    scaled = vectors.copy()
    scaled.data = (scaled.data * np.repeat(scale, np.diff(scaled.indptr))).astype(np.float32)
    return scaled


def _encode(encode: Callable[[list[str]], Any], texts: list[str]) -> Any:
    try:
        return encode(texts)
    except RuntimeError as error:
        # torch.OutOfMemoryError, by its name: torch may not be there.
        if type(error).__name__ != "OutOfMemoryError":
            raise
        line = str(error).splitlines()[0]
        raise ClirbenchError(f"the device is out of memory ({line}): lower --batch-size or --max-length") from error


def _shards(
    encode: Callable[[list[str]], Any],
    texts: list[str],
    entry: CacheEntry | None,
    check: _Check,
    clock: _Clock,
    advance: Callable[[int], None] | None,
) -> Iterator[Vectors]:
    for number, start in enumerate(range(0, len(texts), SHARD)):
        part = texts[start : start + SHARD]
        cached = entry.get(number, len(part)) if entry else None
        if cached is None:
            begin = time.perf_counter()
            raw = _encode(encode, part)
            clock.seconds += time.perf_counter() - begin
            clock.texts += len(part)
            vectors = check(raw, part)
            # Only dense vectors are kept: sparse ones come from lexical encoders, which are faster than a disk.
            if entry and isinstance(vectors, np.ndarray):
                entry.put(number, vectors)
        else:
            vectors = check(cached, part)
        if advance:
            advance(len(part))
        yield vectors
    if entry and isinstance(vectors, np.ndarray):
        entry.finish()
