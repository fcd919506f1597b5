"""Pass 1: vectors of the queries and of the gold passages, and the scores that everything else is compared with."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import LoadedEncoder
from clirbench.encoders.checks import Check, Clock, encode_texts
from clirbench.encoders.similarity import by_distance, normalised, squares_of, unit
from clirbench.encoders.transforms import Removal, fit_transform
from clirbench.ranking.kernel import OVERFLOW
from clirbench.ranking.near_ties import exact_products
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.corpora.base import Candidates
from clirbench.tasks.corpora.inventory import Inventory
from clirbench.tasks.corpora.judged import Judged
from clirbench.tasks.corpora.vector_files import VectorFolder

Vectors = NDArray[np.float32]
# Texts that an encoder is given at a time, longest first, so that a batch holds texts of one length.
_TEXTS = 512


@dataclass(frozen=True)
class FirstPass:
    """What the counting of every shard needs of pass 1. It is all arrays, so that it can be written and sent.

    A gold is a distinct gold passage, in the order of language, file and row: candidate order.

    Attributes:
        queries: float32 (queries, dimensions), ready for inner products.
        golds: float32 (golds, dimensions), as the encoder gave them.
        pair_gold: int32 (gold pairs,), which gold each pair has.
        scores: float64 (gold pairs,), the query's score of the gold.
        gold_language: int32 (golds,), index into the run's languages.
        centre: float32 (dimensions,), origin of the distances where the similarity is euclidean, otherwise empty.
        offsets: float32 (languages, dimensions) of the transform, otherwise empty.
        bases: float32 (languages, dimensions, rank) of the transform, otherwise empty.
        zero: How many vectors are all zero.
    """

    queries: Vectors
    golds: Vectors
    pair_gold: NDArray[np.int32]
    scores: NDArray[np.float64]
    gold_language: NDArray[np.int32]
    centre: Vectors
    offsets: Vectors
    bases: Vectors
    zero: int

    @property
    def removal(self) -> Removal | None:
        """The fitted transform."""
        return Removal(self.offsets, tuple(self.bases)) if len(self.offsets) else None

    def to_bytes(self) -> bytes:
        """As a NumPy archive."""
        sink = BytesIO()
        np.savez(sink, **vars(self))
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "FirstPass":
        """Read what :meth:`to_bytes` gave."""
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            values: dict[str, Any] = {name: arrays[name] for name in arrays.files}
        return cls(**{**values, "zero": int(values["zero"])})


def gold_order(judged: Judged, inventory: Inventory) -> list[tuple[str, str]]:
    """The distinct gold passages as (language, identifier), in candidate order."""
    place = {language: i for i, language in enumerate(judged.languages)}
    return sorted(inventory.golds, key=lambda g: (place[g[0]], inventory.golds[g].file, inventory.golds[g].row))


def gold_pairs(judged: Judged, order: list[tuple[str, str]]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Which gold each pair has, int32 (gold pairs,), and the order of the pairs by query and then candidate order."""
    number = {gold: i for i, gold in enumerate(order)}
    languages = judged.query_language[judged.gold_query]
    gold = np.array(
        [number[judged.languages[code], id_] for code, id_ in zip(languages, judged.gold_ids, strict=True)],
        dtype=np.int32,
    )
    sorting = np.lexsort([gold, judged.gold_query])
    return gold[sorting], sorting


def first_pass(
    loaded: LoadedEncoder,
    judged: Judged,
    candidates: Candidates,
    inventory: Inventory,
    allow_zero: bool,
    advance: Callable[[int], None],
) -> tuple[FirstPass, Clock]:
    """Encode queries and gold passages, or take their vectors from files, and score the gold pairs.

    A score is the inner product in float64 (:func:`clirbench.ranking.near_ties.exact_products`): gold passages with the same
    vector tie exactly.

    Args:
        loaded: The encoder; its vectors must be dense.
        judged: Queries and gold pairs.
        candidates: Where the passages are; a :class:`VectorFolder` has the vectors too.
        inventory: Where the gold passages stand.
        allow_zero: Score all-zero vectors as lost instead of stopping.
        advance: Called with a number of texts whenever so many are done.

    Raises:
        ClirbenchError: The encoder gave wrong vectors.
    """
    order = gold_order(judged, inventory)
    clock, name = Clock(), loaded.info.name
    check = Check(name, "query", None, not allow_zero)
    if isinstance(candidates, VectorFolder):
        queries = _query_vectors(candidates, judged, check)
        second = Check(name, "candidate", check.dimensions, not allow_zero)
        golds = _gold_vectors(candidates, inventory, order, second)
        zero = check.zero + second.zero
        advance(len(queries) + len(golds))
    else:
        queries = encode_distinct(loaded.encoder.encode_queries, judged.queries, check, clock, advance)
        second = Check(name, "candidate", check.dimensions, not allow_zero)
        texts = [str(inventory.golds[gold].text) for gold in order]
        golds = encode_distinct(loaded.encoder.encode_candidates, texts, second, clock, advance)
        zero = check.zero + second.zero
    place = {language: i for i, language in enumerate(judged.languages)}
    gold_language = np.array([place[language] for language, _ in order], dtype=np.int32)
    removal = _fitted(loaded, judged)
    none = np.zeros((0, golds.shape[1]), dtype=np.float32)
    centre = golds.mean(axis=0, dtype=np.float64).astype(np.float32)
    found = FirstPass(
        queries=none,
        golds=golds,
        pair_gold=gold_pairs(judged, order)[0],
        scores=np.empty(0),
        gold_language=gold_language,
        centre=centre if loaded.settings.similarity == "euclidean" else none[:, 0],
        offsets=removal.offsets if removal else none,
        bases=np.stack(removal.bases) if removal else none[:, :, None],
        zero=zero,
    )
    ready = scaled_rows(loaded, found, queries, "query", judged.query_language)
    others = scaled_rows(loaded, found, golds, "candidate", gold_language)
    scores = exact_products(ready, judged.gold_query.astype(np.intp), others, found.pair_gold.astype(np.intp))
    return replace(found, queries=ready, scores=scores), clock


def refuse_whole(loaded: LoadedEncoder) -> None:
    """Fail on an encoder that must see all candidates before it encodes one.

    Raises:
        ClirbenchError: It has a ``prepare`` method.
    """
    if hasattr(loaded.encoder, "prepare"):
        raise ClirbenchError(
            f"{loaded.info.name} needs all candidates at once (it has a 'prepare' method), and a streamed task has more than "
            "memory holds: choose an encoder without one"
        )


def encode_distinct(
    encode: Callable[[list[str]], Any],
    texts: list[str] | tuple[str, ...],
    check: Check,
    clock: Clock,
    advance: Callable[[int], None] | None = None,
) -> Vectors:
    """float32 (texts, dimensions): each distinct text encoded once, longest first.

    Raises:
        ClirbenchError: The encoder gave sparse or wrong vectors.
    """
    place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    distinct = list(place)
    # Of equal length in the order in which they came.
    order = np.argsort([-len(text) for text in distinct], kind="stable")
    found: Vectors | None = None
    for start in range(0, len(order), _TEXTS):
        rows = order[start : start + _TEXTS]
        part = [distinct[row] for row in rows]
        begin = time.perf_counter()
        raw = encode_texts(encode, part)
        clock.seconds += time.perf_counter() - begin
        clock.texts += len(part)
        vectors = check(raw, part)
        if not isinstance(vectors, np.ndarray):
            raise ClirbenchError(
                f"{check.model} gives sparse vectors, which streamed tasks do not take yet: use a dense one"
            )
        if found is None:
            found = np.empty((len(distinct), vectors.shape[1]), dtype=np.float32)
        found[rows] = vectors
        if advance:
            advance(len(part))
    assert found is not None  # noqa: S101
    return found if len(distinct) == len(texts) else found[[place[text] for text in texts]]


def scaled_rows(
    loaded: LoadedEncoder,
    first: FirstPass,
    vectors: Vectors,
    role: str,
    language: NDArray[np.int32],
) -> Vectors:
    """Vectors ready for inner products, each row by itself: similarity, then the transform of its language.

    Args:
        loaded: For its similarity.
        first: For the centre and the transform.
        vectors: float32 (texts, dimensions), as the encoder gave them.
        role: "query" or "candidate".
        language: int32 (texts,), index into the run's languages.

    Raises:
        ClirbenchError: A product could overflow float32.
    """
    similarity = loaded.settings.similarity
    if similarity == "euclidean":
        vectors = np.asarray(by_distance(vectors - first.centre, role))
    elif similarity == "cosine":
        vectors = unit(vectors)
    removal = first.removal
    if removal is not None:
        moved = np.empty_like(vectors)
        for code in np.unique(language):
            rows = language == code
            moved[rows] = normalised(removal(vectors[rows], int(code)))
        vectors = moved
    # By Cauchy-Schwarz no product exceeds the larger of two squared norms: where those are finite, every score is.
    # Candidates are looked at when they are counted.
    if role == "query" and similarity != "cosine" and not np.isfinite(squares_of(vectors)).all():
        raise ClirbenchError(OVERFLOW)
    return np.ascontiguousarray(vectors)


def _fitted(loaded: LoadedEncoder, judged: Judged) -> Removal | None:
    transform = loaded.transform
    if transform is None:
        return None
    if not transform.texts:
        raise ClirbenchError(
            "--transform is fitted on all candidates, which a streamed task never has together: add --transform-sample FILE"
        )
    samples = []
    for language in judged.languages:
        texts = list(transform.texts.get(language, ()))
        if not texts:
            raise ClirbenchError(f"--transform-sample has no text in {language}: add some")
        check = Check(loaded.info.name, "sample text", None, refuse_zero=False)
        vectors = encode_distinct(loaded.encoder.encode_candidates, texts, check, Clock())
        samples.append(np.asarray(normalised(vectors)))
    return fit_transform(transform, samples)


def _query_vectors(folder: VectorFolder, judged: Judged, check: Check) -> Vectors:
    found = []
    for i, language in enumerate(judged.languages):
        ids, vectors = folder.queries(language)
        place = {id_: row for row, id_ in enumerate(ids)}
        wanted = judged.ids[judged.starts[i] : judged.starts[i + 1]]
        lost = [id_ for id_ in wanted if id_ not in place]
        if lost:
            raise ClirbenchError(
                f"{folder.source}: {len(lost):,} queries of {language} have no vector (first: '{lost[0]}'): add them"
            )
        found.append(check(vectors[[place[id_] for id_ in wanted]], list(wanted)))
    return np.concatenate(found)


def _gold_vectors(folder: VectorFolder, inventory: Inventory, order: list[tuple[str, str]], check: Check) -> Vectors:
    found = []
    # In candidate order the golds of a file are neighbours: each is opened once.
    for (language, file), group in groupby(order, key=lambda gold: (gold[0], inventory.golds[gold].file)):
        golds = list(group)
        rows = [inventory.golds[gold].row for gold in golds]
        found.append(check(folder.rows(language, file, rows), [id_ for _, id_ in golds]))
    return np.concatenate(found)


def gold_texts(judged: Judged, inventory: Inventory, by_language: bool) -> dict[str, dict[str, int]]:
    """The number of the first gold with each text, by language (or "" for all) and text; empty where there are vectors only."""
    found: dict[str, dict[str, int]] = {}
    for i, gold in enumerate(gold_order(judged, inventory)):
        text = inventory.golds[gold].text
        if text is not None:
            found.setdefault(gold[0] if by_language else "", {}).setdefault(text, i)
    return found
