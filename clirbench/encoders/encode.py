"""Encoding: each distinct text once per role, checked, and kept in a crash-safe cache."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from clirbench.encoders.base import LoadedEncoder, Vectors
from clirbench.encoders.checks import Check, Clock, encode_texts
from clirbench.encoders.similarity import normalised, scaled
from clirbench.encoders.transforms import Transform, fit_transform
from clirbench.encoders.vector_cache import CacheEntry
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import ENCODE, Reporter
from clirbench.tasks.collection import Collection

TEXTS_PER_SHARD = 512


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


def by_length(texts: Iterable[str]) -> list[str]:
    """Distinct texts, longest first: the order in which they are encoded."""
    return sorted(set(texts), key=lambda text: (-len(text), text))


def encode_collection(loaded: LoadedEncoder, collection: Collection, context: RunContext | None = None) -> Encoded:
    """Encode queries and candidates of a collection.

    Texts are encoded in shards of 512, longest first. With a cache, each shard is written as soon as it is there, and a
    manifest with their checksums comes last: a run that is killed loses one shard, and the next one continues with the very
    same vectors. An encoder without a revision, or with a ``prepare`` method, is not cached.

    Args:
        loaded: The encoder.
        collection: What to encode.
        context: Its cache keeps the vectors, its reporter is told of each shard, and it says whether all-zero vectors are
            scored (they tie with everything, and ties are lost) instead of stopping; None for no cache and no report.

    Returns:
        Vectors scaled for the encoder's similarity: their inner product orders candidates as the similarity does.

    Raises:
        ClirbenchError: A vector is NaN, infinite, all zero, empty or wrong-shaped (with the first offending text), or the cache
            cannot be written.
    """
    context = context or RunContext()
    encoder, cache = loaded.encoder, context.vectors
    prepare = getattr(encoder, "prepare", None)
    if prepare:
        prepare(list(dict.fromkeys(collection.candidates)))
    if prepare or loaded.info.revision is None:
        cache = None
    clock = Clock()
    roles = (
        ("query", encoder.encode_queries, collection.queries),
        ("candidate", encoder.encode_candidates, collection.candidates),
    )
    found: list[Vectors] = []
    indices = []
    zero = 0
    for role, encode, texts in roles:
        distinct = by_length(texts)
        place = {text: i for i, text in enumerate(distinct)}
        indices.append(np.array([place[text] for text in texts]))
        entry = CacheEntry(cache, loaded, role, distinct, TEXTS_PER_SHARD) if cache else None
        expected = found[0].shape[1] if found else None
        check = Check(loaded.info.name, role, expected, not context.allow_zero)
        shards = list(_shards(encode, distinct, entry, check, clock, context.reporter))
        found.append(
            np.concatenate(shards) if isinstance(shards[0], np.ndarray) else sparse.vstack(shards, format="csr")
        )
        zero += check.zero
    if isinstance(found[0], np.ndarray) != isinstance(found[1], np.ndarray):
        raise ClirbenchError(
            f"{loaded.info.name} gave dense vectors for one role and sparse ones for the other: give one kind"
        )
    queries, candidates = scaled(found[0], found[1], loaded.settings.similarity)
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
        np.concatenate([normalised(removal(array[part], i)) for i, part in enumerate(parts)]) for array, parts in blocks
    ]
    return moved[0], moved[1]


def _sample(loaded: LoadedEncoder, transform: Transform, language: str) -> NDArray[np.float32]:
    texts = list(transform.texts.get(language, ()))
    if not texts:
        raise ClirbenchError(f"--transform-sample has no text in {language}: add some, or fit on the candidates")
    check = Check(loaded.info.name, "sample text", None, refuse_zero=False)
    parts = [texts[start : start + TEXTS_PER_SHARD] for start in range(0, len(texts), TEXTS_PER_SHARD)]
    vectors = [check(encode_texts(loaded.encoder.encode_candidates, part), part) for part in parts]
    return np.asarray(normalised(np.concatenate(vectors)), dtype=np.float32)


def _shards(
    encode: Callable[[list[str]], Any],
    texts: list[str],
    entry: CacheEntry | None,
    check: Check,
    clock: Clock,
    reporter: Reporter,
) -> Iterator[Vectors]:
    for number, start in enumerate(range(0, len(texts), TEXTS_PER_SHARD)):
        part = texts[start : start + TEXTS_PER_SHARD]
        cached = entry.get(number, len(part)) if entry else None
        if cached is None:
            begin = time.perf_counter()
            raw = encode_texts(encode, part)
            clock.seconds += time.perf_counter() - begin
            clock.texts += len(part)
            vectors = check(raw, part)
            # Only dense vectors are kept: sparse ones come from lexical encoders, which are faster than a disk.
            if entry and isinstance(vectors, np.ndarray):
                entry.put(number, vectors)
        else:
            vectors = check(cached, part)
        reporter.advance(ENCODE, len(part))
        yield vectors
    if entry and isinstance(vectors, np.ndarray):
        entry.finish()
