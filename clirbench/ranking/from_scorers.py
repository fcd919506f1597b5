"""Counts of models that give scores in the place of vectors, and of several models fused, from blocks of scores."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from clirbench.encoders.base import LoadedEncoder, Scorer
from clirbench.encoders.checks import Clock
from clirbench.encoders.encode import distinct_texts, encode_collection
from clirbench.encoders.fusion import fused
from clirbench.ranking.in_memory import GoldCounter, Layout, Outranked, Products
from clirbench.ranking.kernel import one_blas_thread
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import Collection

Scores = NDArray[np.float32]
Rows = Callable[[int, int], Scores]
# Scores that are held at once: so many queries with every candidate.
QUERIES = 64


@dataclass(frozen=True)
class Scored:
    """Counts of a collection, and what they took.

    Attributes:
        outranked: In the pool of all languages.
        within: In each language's pool by itself; the same object where a score does not depend on the pool.
        texts: Distinct texts, counted once per role and model.
        clock: What was encoded by this run, and the seconds of it.
        zero: Distinct texts whose vector is all zero.
    """

    outranked: Outranked
    within: Outranked
    texts: int
    clock: Clock
    zero: int


def score_collection(
    loaded: LoadedEncoder,
    collection: Collection,
    cache: Path | None = None,
    allow_zero: bool = False,
    advance: Callable[[int], None] | None = None,
    ranked: Callable[[int], None] | None = None,
) -> Scored:
    """Score every query with every candidate, 64 queries at a time, and count.

    A fused score depends on which candidates are in the pool. So it is computed for the pool of all languages and once more
    within each language: what a user would get who searched that pool.

    Args:
        loaded: A model with a scorer, or a fusion.
        collection: What to rank.
        cache: Folder for the vectors of fused encoders, or None.
        allow_zero: Score their all-zero vectors instead of stopping.
        advance: Called with a number of texts whenever so many are encoded.
        ranked: Called with a number of queries whenever so many are ranked.

    Raises:
        ClirbenchError: A score is not finite or their array has another shape.
    """
    clock = Clock()
    fusion = loaded.fusion
    sources = []
    texts = zero = 0
    for part in fusion.parts if fusion else (loaded,):
        if part.scorer is not None:
            rows, distinct = _of_scorer(part.info.name, part.scorer, collection, clock, advance)
        else:
            rows, distinct, lost = _of_vectors(part, collection, cache, allow_zero, clock, advance)
            zero += lost
        sources.append(rows)
        texts += distinct
    golds = collection.gold_query, collection.gold_candidate, len(collection.queries), collection.candidate_starts
    pooled = GoldCounter(*golds)
    within = GoldCounter(*golds) if fusion else pooled
    for start in range(0, len(collection.queries), QUERIES):
        stop = min(start + QUERIES, len(collection.queries))
        scores = np.stack([rows(start, stop) for rows in sources])
        if fusion is None:
            pooled.count_all(start, scores[0])
        else:
            pooled.count_all(start, fused(fusion, scores))
            blocks = [fused(fusion, scores[:, :, a:b]) for a, b in pairwise(collection.candidate_starts)]
            within.count_all(start, np.concatenate(blocks, axis=1))
        if ranked:
            ranked(stop - start)
    return Scored(pooled.outranked, within.outranked, texts, clock, zero)


def texts_to_encode(loaded: LoadedEncoder, collection: Collection) -> int:
    """Number of texts that a run encodes: distinct ones per role, of a scorer also per language, of a fusion by each part."""
    if loaded.fusion is not None:
        return sum(texts_to_encode(part, collection) for part in loaded.fusion.parts)
    if loaded.scorer is not None:
        return sum(len(_distinct(collection, role)[0]) for role in ("query", "candidate"))
    return distinct_texts(collection)


def _distinct(collection: Collection, role: str) -> tuple[list[tuple[str, str]], NDArray[np.intp]]:
    """Distinct pairs of language and text, and which of them each text of the collection is."""
    texts = collection.queries if role == "query" else collection.candidates
    language = collection.query_language if role == "query" else collection.candidate_language
    place: dict[tuple[str, str], int] = {}
    number = [
        place.setdefault((collection.languages[code], text), len(place))
        for code, text in zip(language.tolist(), texts, strict=True)
    ]
    return list(place), np.array(number, dtype=np.intp)


def _of_scorer(
    name: str, scorer: Scorer, collection: Collection, clock: Clock, advance: Callable[[int], None] | None
) -> tuple[Rows, int]:
    candidates, candidate = _distinct(collection, "candidate")
    queries, query = _distinct(collection, "query")
    begin = time.perf_counter()
    scorer.prepare_candidates([text for _, text in candidates], [language for language, _ in candidates])
    clock.seconds += time.perf_counter() - begin
    clock.texts += len(candidates) + len(queries)
    if advance:
        advance(len(candidates))
    told: set[int] = set()

    def rows(start: int, stop: int) -> Scores:
        wanted, row = np.unique(query[start:stop], return_inverse=True)
        chosen = [queries[i] for i in wanted]
        started = time.perf_counter()
        raw = scorer.score([text for _, text in chosen], [language for language, _ in chosen])
        clock.seconds += time.perf_counter() - started
        new = set(wanted.tolist()) - told
        told.update(new)
        if advance and new:
            advance(len(new))
        return _checked(name, raw, [text for _, text in chosen], len(candidates))[row][:, candidate]

    return rows, len(candidates) + len(queries)


def _checked(name: str, raw: Any, texts: list[str], candidates: int) -> Scores:
    if hasattr(raw, "detach"):
        raw = raw.detach().float().cpu().numpy()
    if sparse.issparse(raw):
        raw = raw.toarray()
    try:
        with np.errstate(over="ignore"):
            scores = np.asarray(raw, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ClirbenchError(
            f"{name} gave a {type(raw).__name__} that is no array of numbers: return scores"
        ) from error
    if scores.shape != (len(texts), candidates):
        raise ClirbenchError(
            f"{name} gave scores of shape {'x'.join(map(str, scores.shape))} for {len(texts)} queries and "
            f"{candidates} candidates: "
            "return one row per query, one column per candidate"
        )
    finite = np.isfinite(scores).all(axis=1)
    if not finite.all():
        raise ClirbenchError(
            f"{name} gave scores that are not finite for the query {texts[int(np.argmin(finite))][:80]!r}: mend the model"
        )
    return scores


def _of_vectors(
    loaded: LoadedEncoder,
    collection: Collection,
    cache: Path | None,
    allow_zero: bool,
    clock: Clock,
    advance: Callable[[int], None] | None,
) -> tuple[Rows, int, int]:
    encoded = encode_collection(loaded, collection, cache, allow_zero, advance)
    clock.texts += encoded.encoded
    clock.seconds += encoded.seconds
    layout = Layout.of(collection.candidate_starts)
    products = Products(encoded.queries, encoded.candidates, layout)
    buffer = np.empty((QUERIES, layout.width), dtype=np.float32)

    def rows(start: int, stop: int) -> Scores:
        # As where vectors are counted: the sums must not follow the number of cores.
        with one_blas_thread():
            return products.rows(start, stop, buffer)[:, layout.position]

    return rows, encoded.texts, encoded.zero
