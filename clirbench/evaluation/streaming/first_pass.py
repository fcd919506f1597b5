"""Pass 1 of a streamed run: encode the queries and the gold passages, and score the gold pairs.

Pass 2 compares every passage of the corpus with these scores, so a gold has the same score in every comparison.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import DenseVectors, LoadedEncoder, LoadedModel, require_encoder
from clirbench.encoders.compress import rounded_to_8_bits, signs, truncated, value_ranges
from clirbench.encoders.encode import tokenised_ahead
from clirbench.encoders.same_vectors import first_alike
from clirbench.encoders.transforms import Removal, fit_transform
from clirbench.encoders.vectors import Clock, VectorCheck, by_distance, encode_texts, normalised, squares_of, unit
from clirbench.ranking.kernel import OVERFLOW
from clirbench.ranking.near_ties import exact_products
from clirbench.support.errors import ClirbenchError, quoted
from clirbench.tasks.corpora.base import Candidates
from clirbench.tasks.corpora.inventory import Inventory
from clirbench.tasks.corpora.judged import Judged
from clirbench.tasks.corpora.vector_files import VectorFolder
from clirbench.tasks.ids_and_grades import twin

# Texts that an encoder gets at a time, longest first, so that the texts of a batch have about the same length.
_TEXTS = 512


@dataclass(frozen=True)
class FirstPass:
    """The result of pass 1: arrays only, so that it can be written to disk and sent to workers.

    Golds are the distinct gold passages in candidate order: by language, file and row.

    Attributes:
        queries: float32 (queries, dimensions), ready for inner products.
        golds: float32 (golds, dimensions), as the encoder gave them.
        pair_gold: int32 (gold pairs,), number of the pair's gold.
        scores: float64 (gold pairs,), the query's score of the gold.
        gold_language: int32 (golds,), index into the run's languages.
        centre: float32 (dimensions,), origin of euclidean distances; empty for the other similarities.
        offsets: float32 (languages, dimensions), offsets of the transform; empty without a transform.
        bases: float32 (languages, dimensions, rank), bases of the transform; empty without a transform.
        ranges: float32 (2, dimensions), least and greatest values for rounding to 8 bits; empty without it.
        zero: Number of vectors that are all zero.
    """

    queries: DenseVectors
    golds: DenseVectors
    pair_gold: NDArray[np.int32]
    scores: NDArray[np.float64]
    gold_language: NDArray[np.int32]
    centre: DenseVectors
    offsets: DenseVectors
    bases: DenseVectors
    ranges: DenseVectors
    zero: int

    @property
    def dimensions(self) -> int:
        """Size of the vectors, after they were truncated."""
        return int(self.offsets.shape[1])

    @property
    def removal(self) -> Removal | None:
        """The fitted transform, or None."""
        return Removal(self.offsets, tuple(self.bases)) if len(self.offsets) else None

    def to_bytes(self) -> bytes:
        """Write pass 1 as a NumPy archive."""
        sink = BytesIO()
        np.savez(sink, **vars(self))
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "FirstPass":
        """Read what :meth:`to_bytes` wrote."""
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            values: dict[str, Any] = {name: arrays[name] for name in arrays.files}
        return cls(**{**values, "zero": int(values["zero"])})


def gold_order(judged: Judged, inventory: Inventory) -> list[tuple[str, str]]:
    """List the distinct gold passages as (language, identifier), in candidate order: by language, file and row."""
    place = {language: i for i, language in enumerate(judged.languages)}
    return sorted(inventory.golds, key=lambda g: (place[g[0]], inventory.golds[g].file, inventory.golds[g].row))


def pair_golds(judged: Judged, order: list[tuple[str, str]]) -> NDArray[np.int32]:
    """Number the gold of each pair by its place in ``order``, int32 (gold pairs,).

    Pairs are sorted by query, then by grade, then in candidate order.
    """
    number = {gold: i for i, gold in enumerate(order)}
    languages = judged.query_language[judged.gold_query]
    gold = np.array(
        [number[judged.languages[code], id_] for code, id_ in zip(languages, judged.gold_ids, strict=True)],
        dtype=np.int32,
    )
    ones = np.ones(len(gold), dtype=np.int8)
    grade: NDArray[np.int8] = ones if judged.gold_grade is None else judged.gold_grade
    return gold[np.lexsort((gold, grade, judged.gold_query))]


def first_pass(
    model: LoadedEncoder,
    judged: Judged,
    candidates: Candidates,
    inventory: Inventory,
    allow_zero: bool,
    advance: Callable[[int], None],
) -> tuple[FirstPass, Clock]:
    """Encode the queries and the gold passages, or read their vectors from files, and score the gold pairs.

    A score is an inner product in float64 (:func:`clirbench.ranking.near_ties.exact_products`), so gold passages with the same
    vector tie exactly.

    ``advance`` is called with a number of texts whenever so many are done.

    Raises:
        ClirbenchError: The encoder gave sparse or wrong vectors.
    """
    order = gold_order(judged, inventory)
    clock = Clock()
    check = VectorCheck(model, "query", None, not allow_zero)
    if isinstance(candidates, VectorFolder):
        queries = _query_vectors(candidates, judged, check)
        second = VectorCheck(model, "candidate", check.dimensions, not allow_zero)
        golds = _gold_vectors(candidates, inventory, order, second)
        zero = check.zero + second.zero
        advance(len(queries) + len(golds))
    else:
        queries = encode_distinct(model.encoder.encode_queries, judged.queries, check, clock, advance)
        second = VectorCheck(model, "candidate", check.dimensions, not allow_zero)
        texts = [str(inventory.golds[gold].text) for gold in order]
        golds = encode_distinct(model.encoder.encode_candidates, texts, second, clock, advance)
        zero = check.zero + second.zero
    check.refuse_faint(len(set(judged.queries)))
    second.refuse_faint(len(golds))
    # Texts that the model cannot tell apart get one vector.
    queries, golds = queries[first_alike(queries)], golds[first_alike(golds)]
    place = {language: i for i, language in enumerate(judged.languages)}
    gold_language = np.array([place[language] for language, _ in order], dtype=np.int32)
    removal = _fitted(model, judged)
    kept = truncated(golds, model.settings.truncate_dim)
    none = np.zeros((0, kept.shape[1]), dtype=np.float32)
    centre = kept.mean(axis=0, dtype=np.float64).astype(np.float32)
    # The scaling below needs the centre, the transform and the ranges. The queries and the scores are filled in after it.
    unscored = FirstPass(
        queries=none,
        golds=golds,
        pair_gold=pair_golds(judged, order),
        scores=np.empty(0),
        gold_language=gold_language,
        centre=centre if model.settings.similarity == "euclidean" else none[:, 0],
        offsets=removal.offsets if removal else none,
        bases=np.stack(removal.bases) if removal else none[:, :, None],
        ranges=_ranges(model, judged, removal) if model.settings.quantise == "int8" else none,
        zero=zero,
    )
    scaled_queries = scaled_rows(model, unscored, queries, "query", judged.query_language)
    scaled_golds = scaled_rows(model, unscored, golds, "candidate", gold_language)
    pair_query, pair_gold = judged.gold_query.astype(np.intp), unscored.pair_gold.astype(np.intp)
    scores = exact_products(scaled_queries, pair_query, scaled_golds, pair_gold)
    return replace(unscored, queries=scaled_queries, scores=scores), clock


def require_streamable(model: LoadedModel) -> LoadedEncoder:
    """Return the model if it can encode the corpus of a task shard by shard, and refuse any other model.

    Raises:
        ClirbenchError: The model has no vectors, or it, its transform or its quantisation must see all candidates together.
    """
    encoder = require_encoder(model)
    if encoder.transform is not None and not encoder.transform.texts:
        raise ClirbenchError(
            "--transform is fitted on all candidates, which a streamed task never has together: add --transform-sample FILE"
        )
    if encoder.settings.quantise == "int8" and not encoder.quantise_texts:
        raise ClirbenchError(
            "--quantise int8 is fitted on all candidates, which a streamed task never has together: add --quantise-sample FILE"
        )
    if getattr(encoder.encoder, "prepare", None) is not None:
        raise ClirbenchError(
            f"{encoder.info.name} needs all candidates at once (it has a 'prepare' method), and a streamed task has more than "
            "memory holds: choose an encoder without it"
        )
    return encoder


def refuse_api(model: LoadedModel, task_id: str) -> None:
    """Refuse a model whose provider charges for vectors: a streamed task keeps no vectors.

    Raises:
        ClirbenchError: The model is behind an API.
    """
    if model.api:
        raise ClirbenchError(
            f"{model.info.name} is an API, and vectors of {task_id} would be paid for and forgotten: write them to files "
            "yourself, and give them to clirbench run --vectors"
        )


def encode_distinct(
    encode: Callable[[list[str]], Any],
    texts: list[str] | tuple[str, ...],
    check: VectorCheck,
    clock: Clock,
    advance: Callable[[int], None] | None = None,
) -> DenseVectors:
    """Encode each distinct text once, longest first: float32 (texts, dimensions). Texts may repeat.

    ``advance`` is called with a number of texts whenever so many are done.

    Raises:
        ClirbenchError: The encoder gave sparse or wrong vectors.
    """
    place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    distinct = list(place)
    # Texts of equal length stay in the order in which they came, so batches are the same in every run.
    longest_first = sorted(distinct, key=lambda text: -len(text))
    role = "query" if check.role == "query" else "candidate"
    encoded: DenseVectors | None = None
    with tokenised_ahead(check.model, {role: longest_first}, clock) as in_order:
        order = in_order(role)
        for start in range(0, len(order), _TEXTS):
            part = order[start : start + _TEXTS]
            vectors = encode_texts(encode, part, check, clock)
            if not isinstance(vectors, np.ndarray):
                raise ClirbenchError(
                    f"{check.model.info.name} gives sparse vectors, which streamed tasks do not take yet: use a dense encoder"
                )
            if encoded is None:
                encoded = np.empty((len(distinct), vectors.shape[1]), dtype=np.float32)
            encoded[[place[text] for text in part]] = vectors
            if advance:
                advance(len(part))
    assert encoded is not None  # noqa: S101
    return encoded if len(distinct) == len(texts) else encoded[[place[text] for text in texts]]


def scaled_rows(
    model: LoadedEncoder,
    first: FirstPass,
    vectors: DenseVectors,
    role: str,
    language: NDArray[np.int32],
) -> DenseVectors:
    """Truncate, scale, transform and quantise vectors. Inner products are then the scores.

    Each row is scaled by itself: its result does not depend on the other rows.

    ``vectors`` are float32 (texts, dimensions), as the encoder gave them. ``role`` is "query" or "candidate". ``language`` is
    int32 (texts,), an index into the run's languages. Only the centre, the transform and the ranges of ``first`` are used.

    Raises:
        ClirbenchError: A product could overflow float32.
    """
    similarity, quantise = model.settings.similarity, model.settings.quantise
    vectors = _moved(model, first.removal, vectors, language)
    if quantise == "binary":
        return signs(vectors)
    if quantise == "int8":
        vectors = rounded_to_8_bits(vectors, first.ranges)
        vectors = unit(vectors) if similarity == "cosine" else vectors
    if similarity == "euclidean":
        vectors = np.asarray(by_distance(vectors - first.centre, role))
    # By Cauchy-Schwarz, no product exceeds the larger of the two squared norms: if both are finite, every score is finite.
    # GoldScores.count checks the candidates.
    if role == "query" and similarity != "cosine" and not np.isfinite(squares_of(vectors)).all():
        raise ClirbenchError(OVERFLOW)
    return np.ascontiguousarray(vectors)


def _moved(
    model: LoadedEncoder, removal: Removal | None, vectors: DenseVectors, language: NDArray[np.int32]
) -> DenseVectors:
    """Truncate vectors, scale them to length 1 for cosine similarity, and apply the transform of their language."""
    vectors = np.asarray(truncated(vectors, model.settings.truncate_dim))
    if model.settings.similarity == "cosine":
        vectors = unit(vectors)
    if removal is None:
        return vectors
    moved = np.empty_like(vectors)
    for code in np.unique(language):
        rows = language == code
        moved[rows] = normalised(removal(vectors[rows], int(code)))
    return moved


def _ranges(model: LoadedEncoder, judged: Judged, removal: Removal | None) -> DenseVectors:
    samples = []
    for code, language in enumerate(judged.languages):
        vectors = _encoded_sample(model, model.quantise_texts, language, "quantise")
        samples.append(_moved(model, removal, vectors, np.full(len(vectors), code, dtype=np.int32)))
    return value_ranges(np.concatenate(samples))


def _encoded_sample(
    model: LoadedEncoder, by_language: Mapping[str, Sequence[str]], language: str, option: str
) -> DenseVectors:
    texts = list(by_language.get(language, ()))
    if not texts:
        raise ClirbenchError(f"--{option}-sample has no text in {language}: add some")
    check = VectorCheck(model, "sample text", None, refuse_zero=False)
    return encode_distinct(model.encoder.encode_candidates, texts, check, Clock())


def _fitted(model: LoadedEncoder, judged: Judged) -> Removal | None:
    transform = model.transform
    if transform is None:
        return None
    samples = []
    for language in judged.languages:
        vectors = truncated(_encoded_sample(model, transform.texts, language, "transform"), model.settings.truncate_dim)
        samples.append(np.asarray(normalised(vectors)))
    return fit_transform(transform, samples)


def _query_vectors(folder: VectorFolder, judged: Judged, check: VectorCheck) -> DenseVectors:
    rows = []
    for i, language in enumerate(judged.languages):
        ids, vectors = folder.queries(language)
        place = {id_: row for row, id_ in enumerate(ids)}
        wanted = judged.ids[judged.starts[i] : judged.starts[i + 1]]
        lost = [id_ for id_ in wanted if id_ not in place]
        if lost and (confused := twin(lost[0], place)):
            raise ClirbenchError(f"{folder.source}: the vectors of {language} lack query {confused}: write both alike")
        if lost:
            raise ClirbenchError(
                f"{folder.source}: {len(lost):,} queries of {language} have no vector (first: {quoted(lost[0])}): add them"
            )
        rows.append(check(vectors[[place[id_] for id_ in wanted]], list(wanted)))
    return np.concatenate(rows)


def _gold_vectors(
    folder: VectorFolder, inventory: Inventory, order: list[tuple[str, str]], check: VectorCheck
) -> DenseVectors:
    rows = []
    # In candidate order the golds of a file are neighbours, so each file is opened once.
    for (language, file), group in groupby(order, key=lambda gold: (gold[0], inventory.golds[gold].file)):
        golds = list(group)
        places = [inventory.golds[gold].row for gold in golds]
        rows.append(check(folder.rows(language, file, places), [id_ for _, id_ in golds]))
    return np.concatenate(rows)


def gold_texts(judged: Judged, inventory: Inventory, by_language: bool) -> dict[str, dict[str, int]]:
    """The number of the first gold with each text, by language ("" for all), then text. Empty for vectors without texts.

    ``by_language`` keeps equal texts of two languages apart.
    """
    first: dict[str, dict[str, int]] = {}
    for i, gold in enumerate(gold_order(judged, inventory)):
        text = inventory.golds[gold].text
        if text is not None:
            first.setdefault(gold[0] if by_language else "", {}).setdefault(text, i)
    return first
