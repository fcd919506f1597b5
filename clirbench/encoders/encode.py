"""Encode a collection: each distinct text once per role. The vectors are checked, and cached for the next run."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import LoadedEncoder, LoadedModel, Vectors
from clirbench.encoders.calls import ask
from clirbench.encoders.compress import rounded_to_8_bits, signs, truncated, value_ranges
from clirbench.encoders.kept_tokens import KeptTokens
from clirbench.encoders.same_vectors import first_alike, shares_alike
from clirbench.encoders.transforms import Removal, Transform, fit_transform
from clirbench.encoders.vector_cache import TEXTS_PER_SHARD, CacheEntry, may_be_stale, may_keep
from clirbench.encoders.vectors import Clock, VectorCheck, encode_texts, normalised, scaled
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import ENCODE, Reporter
from clirbench.tasks.collection import Collection

# Two vectors of one text are the same if they differ by at most this share of their length.
_ROUNDING = 0.02
# What the special tokens of a text are worth, in characters.
_SPECIAL = 8


@dataclass(frozen=True)
class Encoded:
    """The vectors of a collection, ready for inner products.

    Attributes:
        queries: float32 (queries, dimensions), dense or CSR.
        candidates: float32 (candidates, dimensions), of the same kind.
        texts: Distinct texts, counted once per role.
        encoded: How many of these texts this run encoded; the others came from the cache.
        seconds: Seconds that the encoder took.
        dimensions: Size of the vectors, after they were truncated.
        zero: Distinct texts whose vector is all zero.
        indistinguishable: By role and language, the share of the distinct texts that share their vector with another text.
        output_dtype: Of the vectors as the encoder gave them; None where that is not known.
    """

    queries: Vectors
    candidates: Vectors
    texts: int
    encoded: int
    seconds: float
    dimensions: int
    zero: int
    indistinguishable: dict[str, dict[str, float]]
    output_dtype: str | None = None


def distinct_texts(collection: Collection) -> int:
    """Count the texts to encode: distinct queries plus distinct candidates."""
    return len(set(collection.queries)) + len(set(collection.candidates))


def characters(texts: Iterable[str], prompt: str = "") -> NDArray[np.int64]:
    """Characters that a model reads of each text, with its prompt and special tokens: int64 (texts,).

    The time of encoding follows them where nobody tells the tokens.
    """
    return np.array([len(text) for text in texts], dtype=np.int64) + (len(prompt) + _SPECIAL)


def work_to_encode(model: LoadedModel, collection: Collection) -> int:
    """What the distinct texts of both roles take to encode, in characters (:func:`characters`)."""
    settings = model.settings
    roles = (collection.queries, settings.query_prompt), (collection.candidates, settings.candidate_prompt)
    return sum(int(characters(set(texts), prompt).sum()) for texts, prompt in roles)


def by_length(texts: Iterable[str]) -> list[str]:
    """List the distinct texts, longest first: the order of encoding of a model that does not tell the tokens of a text."""
    return sorted(set(texts), key=lambda text: (-len(text), text))


@contextmanager
def tokenised_ahead(
    model: LoadedModel, texts: Mapping[str, list[str]], clock: Clock
) -> Iterator[Callable[[str], list[str]]]:
    """Tokenise the texts of each role while the model encodes those of the role before.

    What is entered gives the texts of a role in the order of encoding: most tokens first, so that batches hold little padding. It
    waits for their tokens. A text of some languages has several times the tokens of one as long in others. Texts of equally many
    tokens stay in the order in which they came, as do all texts of a model that does not tell their tokens.
    """
    tokens = _kept_tokens(model)
    if tokens is None:
        yield texts.__getitem__
        return

    def ordered(role: str) -> list[str]:
        part, begin = texts[role], time.perf_counter()
        lengths = ask(model.info, role, part, tokens.lengths, role, part)
        clock.seconds += time.perf_counter() - begin
        return [part[i] for i in np.argsort(np.negative(lengths), kind="stable")]

    with tokens.ahead(texts):
        yield ordered


def _kept_tokens(model: LoadedModel) -> KeptTokens | None:
    tokens = getattr(getattr(model, "encoder", None), "tokens", None)
    return tokens if isinstance(tokens, KeptTokens) else None


def _work(model: LoadedModel, role: str, texts: Sequence[str]) -> NDArray[np.int64]:
    """What the first 0, 1, 2, ... texts of a role take to encode: int64 (texts + 1,), in characters (:func:`work_to_encode`).

    Where the tokens of the texts are known, each text has the share of the characters that it has of the tokens.
    """
    prompt = model.settings.query_prompt if role == "query" else model.settings.candidate_prompt
    work, tokens = characters(texts, prompt), _kept_tokens(model)
    if tokens is None:
        return np.concatenate([[0], np.cumsum(work)])
    read = np.concatenate([[0], np.cumsum(tokens.lengths(role, texts))])
    return np.asarray(np.rint(read * (work.sum() / max(1, read[-1]))), dtype=np.int64)


def encode_collection(model: LoadedEncoder, collection: Collection, context: RunContext | None = None) -> Encoded:
    """Encode the queries and the candidates of a collection.

    Texts are encoded in shards of 512, longest first (:func:`tokenised_ahead`). A cache keeps each shard once it is encoded. So a
    run that is killed loses at most one shard, and the next run continues with the same vectors. The vectors of an encoder
    without a revision, or with a ``prepare`` method, are not cached; those of a server's model without a revision are, for a day.

    Texts that the model cannot tell apart get one vector (:mod:`clirbench.encoders.same_vectors`).

    The vectors are truncated, scaled, transformed and quantised (:mod:`clirbench.encoders.compress`), so that inner products
    order candidates as the model's similarity, or the Hamming distance of one bit a dimension, does. If
    ``context.allow_zero`` lets all-zero vectors pass, all scores of such a query tie, and its golds lose the ties.

    Raises:
        ClirbenchError: A vector has the wrong shape, NaN or infinity, or is all zero where this is refused; the message names the
            first such text. Or the cache cannot be written, or has other vectors under the revision of an encoder of your own,
            or of a server without one.
    """
    context = context or RunContext()
    prepare = getattr(model.encoder, "prepare", None)
    if prepare:
        ask(model.info, "candidate", collection.candidates, prepare, list(dict.fromkeys(collection.candidates)))
    cache = None if prepare or not may_keep(model) else context.vectors
    clock = Clock()
    roles = (
        ("query", model.encoder.encode_queries, collection.queries, collection.query_language),
        ("candidate", model.encoder.encode_candidates, collection.candidates, collection.candidate_language),
    )
    by_role: list[Vectors] = []
    indistinguishable: dict[str, dict[str, float]] = {}
    indices = []
    zero = 0
    dimensions: int | None = None
    ahead = tokenised_ahead(model, {role: by_length(texts) for role, _, texts, _ in roles}, clock)
    with ahead as in_order:
        for role, encode, texts, language in roles:
            distinct = in_order(role)
            place = {text: i for i, text in enumerate(distinct)}
            indices.append(np.array([place[text] for text in texts]))
            entry = CacheEntry(cache, model, role, distinct) if cache else None
            if entry and may_be_stale(model):
                _refuse_stale(model, role, encode, entry, distinct)
            check = VectorCheck(model, role, dimensions, not context.allow_zero)
            work = _work(model, role, distinct)
            vectors = _joined(_shards(encode, distinct, work, entry, check, clock, context.reporter), len(distinct))
            by_role.append(vectors)
            check.refuse_faint(len(distinct))
            first = first_alike(vectors)
            indistinguishable[role] = shares_alike(first, indices[-1], language, collection.languages)
            indices[-1] = first[indices[-1]]
            zero += check.zero
            dimensions = check.dimensions
            if entry and clock.output_dtype is None:
                clock.output_dtype = entry.output_dtype
    if isinstance(by_role[0], np.ndarray) != isinstance(by_role[1], np.ndarray):
        raise ClirbenchError(
            f"{model.info.name} gave dense vectors for one role and sparse ones for the other: give one kind"
        )
    settings = model.settings
    texts, width = sum(vectors.shape[0] for vectors in by_role), by_role[0].shape[1]
    queries, candidates = (truncated(vectors, settings.truncate_dim) for vectors in by_role)
    # No second name may keep vectors that have a copy: from here on, the large arrays are replaced one at a time.
    by_role.clear()
    del vectors
    # Rounded vectors are compared as they are, so the other similarities scale them after rounding.
    rounds = settings.quantise is not None and settings.similarity != "cosine"
    queries, candidates = scaled(queries, candidates, "dot" if rounds else settings.similarity, in_place=True)
    queries = queries[indices[0]]
    candidates = candidates[indices[1]]
    removal = None
    if model.transform is not None:
        removal, queries, candidates = _transformed(model, model.transform, collection, queries, candidates)
    if settings.quantise is not None:
        queries, candidates = _quantised(model, collection, queries, candidates, removal)
    context.memory.holds(queries, candidates)
    return Encoded(
        queries=queries,
        candidates=candidates,
        texts=texts,
        encoded=clock.texts,
        seconds=clock.seconds,
        dimensions=settings.truncate_dim or width,
        zero=zero,
        indistinguishable=indistinguishable,
        output_dtype=clock.output_dtype,
    )


def _transformed(
    model: LoadedEncoder, transform: Transform, collection: Collection, queries: Vectors, candidates: Vectors
) -> tuple[Removal, Vectors, Vectors]:
    """Fit the transform, and apply it to the block of each language: the given arrays are overwritten."""
    if not isinstance(queries, np.ndarray) or not isinstance(candidates, np.ndarray):
        raise ClirbenchError(f"{model.info.name} gives sparse vectors, which --transform cannot take: leave it out")
    blocks = [
        (array, [slice(*starts[i : i + 2]) for i in range(len(collection.languages))])
        for array, starts in ((queries, collection.query_starts), (candidates, collection.candidate_starts))
    ]
    if transform.texts:
        samples = [_sample(model, transform.texts, language, "transform") for language in collection.languages]
    else:
        samples = [candidates[part] for part in blocks[1][1]]
    removal = fit_transform(transform, samples)
    for array, parts in blocks:
        for i, part in enumerate(parts):
            array[part] = normalised(removal(array[part], i), in_place=True)
    return removal, queries, candidates


def _quantised(
    model: LoadedEncoder, collection: Collection, queries: Vectors, candidates: Vectors, removal: Removal | None
) -> tuple[Vectors, Vectors]:
    """Round the vectors to one bit or to 8 bits a dimension; those of 8 bits are then scaled for the similarity."""
    if model.settings.quantise == "binary":
        return signs(queries), signs(candidates)
    sample = candidates
    if model.quantise_texts:
        by_language = [_sample(model, model.quantise_texts, language, "quantise") for language in collection.languages]
        if removal is not None:
            by_language = [normalised(removal(vectors, i)) for i, vectors in enumerate(by_language)]
        sample = np.concatenate(by_language)
    ranges = value_ranges(sample)
    rounded = [rounded_to_8_bits(vectors, ranges) for vectors in (queries, candidates)]
    return scaled(rounded[0], rounded[1], model.settings.similarity)


def _sample(
    model: LoadedEncoder, by_language: Mapping[str, Sequence[str]], language: str, option: str
) -> NDArray[np.float32]:
    """Encode the sample of a language for an option: truncated, and scaled for cosine similarity."""
    texts = list(by_language.get(language, ()))
    if not texts:
        raise ClirbenchError(f"--{option}-sample has no text in {language}: add some, or fit on the candidates")
    check = VectorCheck(model, "sample text", None, refuse_zero=False)
    parts = [texts[start : start + TEXTS_PER_SHARD] for start in range(0, len(texts), TEXTS_PER_SHARD)]
    vectors = np.concatenate([encode_texts(model.encoder.encode_candidates, part, check, Clock()) for part in parts])
    vectors = np.asarray(truncated(vectors, model.settings.truncate_dim))
    return np.asarray(normalised(vectors) if model.settings.similarity == "cosine" else vectors, dtype=np.float32)


def _refuse_stale(
    model: LoadedEncoder, role: str, encode: Callable[[list[str]], Any], entry: CacheEntry, texts: list[str]
) -> None:
    """Fail if an encoder of the user's own, or a server, no longer gives the vectors that the cache has.

    Only its author says when the revision of an encoder changes, and a server does not say it. So one text is encoded again.
    """
    parts = [texts[start : start + TEXTS_PER_SHARD] for start in range(0, len(texts), TEXTS_PER_SHARD)]
    kept = ((part[:1], entry.get(number, len(part))) for number, part in enumerate(parts))
    text, cached = next(((text, vectors) for text, vectors in kept if vectors is not None), ([], None))
    if cached is None:
        return
    now = encode_texts(encode, text, VectorCheck(model, role, None, refuse_zero=False), Clock())
    same = isinstance(now, np.ndarray) and now.shape[1] == cached.shape[1]
    # In half precision, the other texts of a batch change the last digits of a vector.
    if not same or np.linalg.norm(now[0] - cached[0]) > _ROUNDING * np.linalg.norm(cached[0]):
        if model.served_by is not None:
            raise ClirbenchError(
                f"{model.info.name}: the server gives other vectors than it did within the last day, so it has "
                "another model now: name it with --revision, or pass --no-cache"
            )
        raise ClirbenchError(
            f"{model.info.name} gives other vectors than the cache has under its revision '{model.info.revision}': "
            "change its 'revision', which names one state of the encoder, or pass --no-cache"
        )


def _joined(shards: Iterator[Vectors], rows: int) -> Vectors:
    """Join the vectors of shards. Dense ones are copied as they come, so that they are not in memory twice."""
    first = next(shards)
    if not isinstance(first, np.ndarray):
        return _stacked([first, *shards])
    joined = np.empty((rows, first.shape[1]), dtype=np.float32)
    joined[: len(first)] = first
    start = len(first)
    for part in shards:
        joined[start : start + len(part)] = part
        start += len(part)
    return joined


def _shards(
    encode: Callable[[list[str]], Any],
    texts: list[str],
    work: NDArray[np.int64],
    entry: CacheEntry | None,
    check: VectorCheck,
    clock: Clock,
    reporter: Reporter,
) -> Iterator[Vectors]:
    """Yield the checked vectors of each shard, from the cache or from the encoder. ``work`` is that of the first texts."""
    for number, start in enumerate(range(0, len(texts), TEXTS_PER_SHARD)):
        part = texts[start : start + TEXTS_PER_SHARD]
        cached = entry.get(number, len(part)) if entry else None
        if cached is None:
            vectors = encode_texts(encode, part, check, clock)
            # Sparse vectors come from lexical encoders, which compute them faster than a disk reads them.
            if entry and isinstance(vectors, np.ndarray):
                entry.put(number, vectors, clock.output_dtype)
        else:
            vectors = check(cached, part)
        of_part = int(work[start + len(part)] - work[start])
        reporter.advance(ENCODE, len(part), of_part, skipped=cached is not None)
        yield vectors
    if entry:
        entry.note_damage(reporter)


def _stacked(shards: Sequence[Any]) -> Any:
    from scipy import sparse

    return sparse.vstack(shards, format="csr")
