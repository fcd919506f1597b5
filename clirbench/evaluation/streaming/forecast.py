"""Forecast the time, memory and disk of a run from a measured sample, before a week of work begins."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clirbench.encoders.base import LoadedEncoder
from clirbench.encoders.calls import ask
from clirbench.encoders.encode import characters
from clirbench.encoders.vectors import Clock, VectorCheck, encode_texts
from clirbench.evaluation.streaming.first_pass import encode_distinct, require_streamable
from clirbench.evaluation.streaming.options import Streaming, candidates_of
from clirbench.ranking.shards import Cells, GoldScores
from clirbench.support.errors import ClirbenchError
from clirbench.support.memory import peak_memory
from clirbench.support.progress import Reporter
from clirbench.tasks.collection import Collection, load_collection
from clirbench.tasks.selection import Selection
from clirbench.tasks.task import Task

# The sample of a language comes from at most this many of its files.
_FILES = 4
_WARM_UP = 8
# Encoding stops after so many seconds in all, however slow the model; each language has an equal part of them.
_SECONDS = 12.0
# The first texts of a language, and the texts between two looks at the clock.
_FIRST, _MORE = 8, 64
# Random vectors that are compared to measure the counting: number of passages, and largest number of queries.
_COUNTED = 4_000
_QUERIES = 1_000
_SEED = 20240810
# What a run in memory takes besides vectors: texts, scores of a few queries, counts, ranks, bootstrap (benchmarks/memory.py).
_REST = 10**8
PHASE = "encode a sample (texts)"


@dataclass(frozen=True)
class LanguageForecast:
    """What one language of a run would take.

    The seconds are those to read all passages once, to encode all texts, and to compare all passages with the queries.
    ``measured`` is the number of texts whose encoding was measured. ``tokens``, the number of tokens in all passages, is
    estimated from the sample; None if the encoder cannot count tokens. ``per_second`` is the number of texts that are encoded per
    second.
    """

    language: str
    queries: int
    passages: int
    measured: int
    tokens: float | None
    per_second: float
    read_seconds: float
    encode_seconds: float
    count_seconds: float

    @property
    def seconds(self) -> float:
        """Seconds on one worker. The corpus is read twice: for the inventory, and to be encoded."""
        return 2 * self.read_seconds + self.encode_seconds + self.count_seconds


@dataclass(frozen=True)
class Forecast:
    """What a run of one task would take on the device where the sample was encoded.

    ``memory`` of one worker and ``disk`` are upper estimates in bytes. A task in memory has 0 ``shards``, and all its ``vectors``
    (bytes) are part of the memory; a streamed task has no vectors but those of the shard under way.
    """

    task: Task
    device: str
    languages: tuple[LanguageForecast, ...]
    memory: int
    disk: int
    shards: int
    vectors: int = 0

    def seconds(self, workers: int) -> float:
        """Seconds with this many workers as fast as this one. The driver takes the inventory alone."""
        alone = sum(row.read_seconds for row in self.languages)
        shared = sum(row.seconds - row.read_seconds for row in self.languages)
        return alone + shared / workers


def forecast(
    model: LoadedEncoder, selection: Selection, streaming: Streaming, sample: int, reporter: Reporter
) -> Forecast:
    """Measure the encoding of a sample of each language and the comparison of random vectors, and scale both times up.

    ``sample`` is the largest number of texts per language, taken from up to four of its files. A slow model encodes fewer: a
    forecast must be short against the run. The time of a task in memory is scaled by the characters of its distinct texts.

    Raises:
        ClirbenchError: The encoder cannot be streamed, or the corpus cannot be read.
    """
    task = selection.task
    if task.streamed:
        require_streamable(model)
    if sample < 1:
        raise ClirbenchError(f"--sample is {sample}: use 1 or more")
    sampled = _samples(selection, streaming, sample)
    rows, dimensions = _encoding(model, selection, sampled, reporter)
    if not task.streamed:
        return _in_memory(model, selection, rows, dimensions)
    return _streamed(model, selection, streaming, sampled, rows, dimensions)


@dataclass(frozen=True)
class _Sample:
    """A sample of texts by language, and the seconds that it takes to read one text of each language.

    ``work`` are the characters of all distinct texts by language, queries included; None where they are not in memory.
    """

    texts: dict[str, list[str]]
    seconds: dict[str, float]
    work: dict[str, int] | None = None

    @property
    def count(self) -> int:
        """Number of texts."""
        return sum(map(len, self.texts.values()))


def _encoding(
    model: LoadedEncoder, selection: Selection, sampled: _Sample, reporter: Reporter
) -> tuple[list[LanguageForecast], int]:
    """Forecast reading and encoding by language; also return the dimensions of the vectors, 0 where they are not known."""
    texts, counts = sampled.texts, selection.task.counts
    reporter.start(PHASE, sampled.count)
    check = VectorCheck(model, "candidate", None, refuse_zero=False)
    everything = [text for part in texts.values() for text in part]
    prepare = getattr(model.encoder, "prepare", None)
    if prepare:
        ask(model.info, "candidate", everything, prepare, list(everything))
    encode = model.encoder.encode_candidates
    # The first call is not timed: it also compiles and allocates for all later calls.
    encode_texts(encode, everything[:_WARM_UP], check, Clock())
    rows, dimensions = [], 0
    for language in selection.languages:
        clock, measured = Clock(), texts[language]
        if prepare:
            encode_texts(encode, texts[language], check, clock)
            # Sparse vectors are small, and no cache keeps them.
            dimensions = 0 if check.kind == "sparse" else check.dimensions or 0
        else:
            seconds = _SECONDS / len(selection.languages)
            clock, measured, dimensions = _measured(encode, texts[language], check, seconds)
        reporter.advance(PHASE, len(texts[language]))
        tokens = _token_counts(model, texts[language])
        queries, passages = counts["queries"][language], counts["candidates"][language]
        per_second = clock.texts / max(clock.seconds, 1e-9)
        encode_seconds = (queries + passages) / per_second
        if sampled.work and clock.texts:
            # Queries are shorter than candidates, so that texts are counted would not do. What was measured came last.
            encode_seconds = clock.seconds * sampled.work[language] / max(1, int(characters(set(measured)).sum()))
        rows.append(
            LanguageForecast(
                language=language,
                queries=queries,
                passages=passages,
                measured=clock.texts,
                tokens=None if tokens is None else passages * sum(tokens) / max(1, len(tokens)),
                per_second=per_second,
                read_seconds=passages * sampled.seconds[language],
                encode_seconds=encode_seconds,
                count_seconds=0.0,
            )
        )
    return rows, dimensions


def _measured(
    encode: Callable[[list[str]], Any], texts: list[str], check: VectorCheck, seconds: float
) -> tuple[Clock, list[str], int]:
    """Encode texts until the seconds are over; the clock of what was measured, its texts, and the dimensions of the vectors."""
    clock, encoded = Clock(), _FIRST
    dimensions = encode_distinct(encode, texts[:_FIRST], check, clock).shape[1]
    # A few texts are slower one by one than many. They count only where there is no time for more.
    fast = Clock()
    while encoded < len(texts) and clock.seconds + fast.seconds < seconds:
        encode_distinct(encode, texts[encoded : encoded + _MORE], check, fast)
        encoded += _MORE
    return (fast, texts[_FIRST:encoded], dimensions) if fast.texts else (clock, texts[:_FIRST], dimensions)


def _in_memory(model: LoadedEncoder, selection: Selection, rows: list[LanguageForecast], dimensions: int) -> Forecast:
    """Add the comparison of all queries with all candidates, and the memory and disk of their vectors."""
    everyone, pool = sum(row.queries for row in rows), sum(row.passages for row in rows)
    pooled = set(selection.settings) != {"monolingual"}
    cost = _comparison(min(_QUERIES, everyone), dimensions) if dimensions else 0.0
    rows = [replace(row, count_seconds=cost * row.queries * (pool if pooled else row.passages)) for row in rows]
    vectors = (everyone + pool) * dimensions * 4
    return Forecast(
        task=selection.task,
        device=model.device,
        languages=tuple(rows),
        # The queries once more, sorted for the comparison; and what a run takes apart from vectors.
        memory=(peak_memory() or 0) + 2 * vectors + _REST,
        disk=vectors,
        shards=0,
        vectors=vectors,
    )


def _streamed(
    model: LoadedEncoder,
    selection: Selection,
    streaming: Streaming,
    sampled: _Sample,
    rows: list[LanguageForecast],
    dimensions: int,
) -> Forecast:
    """Add the counting of shards, the memory that shards take, and the files with their counts."""
    counts, pooled = selection.task.counts, "multilingual" in selection.settings
    everyone = sum(row.queries for row in rows)
    cost = _comparison(min(_QUERIES, everyone), dimensions)
    rows = [replace(row, count_seconds=cost * row.passages * (everyone if pooled else row.queries)) for row in rows]
    shards = {row: -(-row.passages // streaming.shard) for row in rows}
    golds = round(counts["gold_pairs"] * everyone / sum(counts["queries"].values()))
    first = (everyone + golds) * dimensions * 4
    characters = sum(len(text) for part in sampled.texts.values() for text in part)
    shard = streaming.shard * (dimensions * 4 * 4 + 12 * characters // max(1, sampled.count))
    disk = first
    for row, number in shards.items():
        disk += number * 2 * (golds if pooled else golds * row.queries // everyone)
        disk += number * row.queries * streaming.top * 16
    return Forecast(
        task=selection.task,
        device=model.device,
        languages=tuple(rows),
        memory=(peak_memory() or 0) + 3 * first + shard,
        disk=disk,
        shards=sum(shards.values()),
    )


def _samples(selection: Selection, streaming: Streaming, sample: int) -> _Sample:
    """Draw a sample of each language's candidates, and time the reading."""
    texts_by_language: dict[str, list[str]] = {}
    reading: dict[str, float] = {}
    task = selection.task
    if not task.streamed:
        collection = load_collection(task, selection.languages)
        rng = np.random.default_rng(_SEED)
        for i, language in enumerate(selection.languages):
            start, stop = collection.candidate_starts[i : i + 2]
            chosen = rng.choice(stop - start, min(sample, stop - start), replace=False)
            texts_by_language[language] = [collection.candidates[start + j] for j in sorted(chosen)]
            reading[language] = 0.0
        return _Sample(texts_by_language, reading, _work(collection))
    candidates = candidates_of(task, streaming)
    for language in selection.languages:
        files = candidates.files(language)
        spread = sorted({round(i) for i in np.linspace(0, len(files) - 1, min(_FILES, len(files)))})
        texts: list[str] = []
        seconds = 0.0
        for file in spread:
            wanted = -(-sample // len(spread))
            texts += candidates.block(language, file, 0, wanted).texts or []
            # Opening a file is not timed, because it happens once per file: only the reading is.
            begin = time.perf_counter()
            more = candidates.block(language, file, wanted, wanted).ids
            seconds += (time.perf_counter() - begin) / max(1, len(more)) / len(spread)
        texts_by_language[language], reading[language] = texts[:sample], seconds
    return _Sample(texts_by_language, reading)


def _work(collection: Collection) -> dict[str, int]:
    """The characters of the distinct queries and candidates of each language."""
    work = {}
    for i, language in enumerate(collection.languages):
        q, c = (slice(*starts[i : i + 2].tolist()) for starts in (collection.query_starts, collection.candidate_starts))
        work[language] = sum(
            int(characters(set(part)).sum()) for part in (collection.queries[q], collection.candidates[c])
        )
    return work


def _comparison(queries: int, dimensions: int) -> float:
    """Measure, on random vectors, the seconds that it takes to compare one query and its golds with one passage."""
    rng = np.random.default_rng(_SEED)
    left, right = (rng.standard_normal((n, dimensions), dtype=np.float32) for n in (queries, _COUNTED))
    golds = np.repeat(np.arange(queries, dtype=np.int32), 2)
    counter = GoldScores(left, golds, np.full(len(golds), 2.0, dtype=np.float32))
    none = Cells(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
    counter.count(right, none, none)
    begin = time.perf_counter()
    counter.count(right, none, none)
    return (time.perf_counter() - begin) / (queries * _COUNTED)


def _token_counts(model: LoadedEncoder, texts: list[str]) -> list[int] | None:
    count: Any = getattr(model.encoder, "count_tokens", None)
    return None if count is None else list(count(texts))
