"""Hybrid batches: monolingual with probability alpha, cross-lingual otherwise (arXiv 2408.10536)."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sentence_transformers.base.sampler import DefaultBatchSampler

from clirbench.support.errors import ClirbenchError

Weights = Mapping[Any, tuple[float, float]]
_NEEDED = ("query_language", "candidate_language", "topic")
_HEEDED = ("source", "query", "candidate")


class HybridBatchSampler(DefaultBatchSampler):  # type: ignore[misc]
    r"""Batches that are monolingual with probability ``alpha`` and cross-lingual otherwise.

    With languages :math:`L` and :math:`X, Y \in L`, the training objective of arXiv 2408.10536, section 3 is

    .. math:: \alpha \, E_{X} [\mathcal{L}(q_X, d_X)] + (1 - \alpha) \, E_{X \neq Y} [\mathcal{L}(q_X, d_Y)]

    where :math:`\mathcal{L}` is the in-batch contrastive loss. ``alpha=1`` is the paper's X-X-mono, ``alpha=0`` its X-Y.

    A monolingual batch draws a language, then a source that has it by its weight, then rows. A cross-lingual batch draws
    a source by
    its weight, then the language pair of each row (or one for the batch), then rows. Every batch comes from one source,
    and no two of its rows
    share a topic, a query or a candidate, because each would be a false negative of the other. A batch is shorter than
    ``batch_size`` where
    its source has too few topics. Rows are drawn with replacement between batches: an epoch is ``len(sampler)`` batches.

    Batch ``b`` of epoch ``e`` depends on nothing but the seed, ``e`` and ``b``: a training that resumes sees the batches that it
    would have seen, and with several processes, of which each takes every n-th batch, all see one sequence.

    It plugs into a trainer: ``SentenceTransformerTrainingArguments(batch_sampler=partial(HybridBatchSampler, alpha=0.5))``.

    Args:
        dataset: A ``datasets.Dataset`` with the columns ``query_language``, ``candidate_language`` and ``topic``; where
        it has ``source``, ``query`` or
            ``candidate``, they are heeded. Give the trainer a data set whose format shows the two texts only:
            ``dataset.with_format(None, columns=["query", "candidate"])``.
        batch_size: Rows in a full batch.
        drop_last: Leave out batches that are not full; ``len`` still counts them.
        valid_label_columns: Not used; trainers pass it.
        generator: Not used; trainers pass it.
        seed: Fixes everything.
        alpha: Probability of a monolingual batch.
        language_sampling: ``uniform`` (the paper's body), or ``proportional`` to the number of rows (its abstract).
        exponent: With ``proportional``, the power of the number of rows: 1 is proportional, 0 is uniform.
        language_pairs: ``row``: each row of a cross-lingual batch has languages of its own, so that candidates in the query's
            language stand among its negatives. ``batch``: one pair for the whole batch.
        source_weights: By value of ``source``, its weights in monolingual and cross-lingual batches; 0 leaves it out.
        Without it, all
            sources weigh what they have rows.
        batches: Batches in an epoch; by default the number of topics over ``batch_size``.

    Raises:
        ClirbenchError: A column is missing, an argument is out of range, or no row fits a kind of batch that alpha asks for.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        drop_last: bool = False,
        valid_label_columns: list[str] | None = None,
        generator: Any = None,
        seed: int = 0,
        *,
        alpha: float = 0.5,
        language_sampling: str = "uniform",
        exponent: float = 1.0,
        language_pairs: str = "row",
        source_weights: Weights | None = None,
        batches: int | None = None,
    ) -> None:
        if batch_size < 2:
            raise ClirbenchError(f"batch_size is {batch_size}: a contrastive batch needs 2 rows or more")
        if not 0 <= alpha <= 1:
            raise ClirbenchError(f"alpha is {alpha}: use a probability, 0 to 1")
        if language_sampling not in ("uniform", "proportional"):
            raise ClirbenchError(f"language_sampling is '{language_sampling}': use uniform or proportional")
        if language_pairs not in ("row", "batch"):
            raise ClirbenchError(f"language_pairs is '{language_pairs}': use row or batch")
        # Batches may be shorter than asked for: with None here, accelerate takes each one as it comes.
        self.batch_size = None
        self.drop_last, self.seed, self.epoch = drop_last, seed, 0
        self._size, self._alpha, self._by_row = batch_size, alpha, language_pairs == "row"
        self._exponent = exponent if language_sampling == "proportional" else 0.0
        self._read(_columns(dataset))
        self._weigh(source_weights)
        self._batches = batches or max(1, len(np.unique(self._topic)) // batch_size)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        """The epoch's batches: lists of row numbers."""
        for number in range(self._batches):
            batch = self.batch(number)
            if not self.drop_last or len(batch) == self._size:
                yield batch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next; trainers call it."""
        self.epoch = epoch

    def batch(self, number: int) -> list[int]:
        """One batch of this epoch by its number, without the ones before."""
        rng = np.random.default_rng([self.seed, self.epoch, number])
        if rng.random() < self._alpha:
            language = rng.choice(len(self._mono_language), p=self._mono_language)
            source = rng.choice(len(self._mono_source[language]), p=self._mono_source[language])
            groups = np.array([self._group_of[source, language, language]])
            chances = np.ones(1)
        else:
            source = rng.choice(len(self._cross_source), p=self._cross_source)
            groups, chances = self._cross_groups[source]
            if not self._by_row:
                groups, chances = groups[[rng.choice(len(groups), p=chances)]], np.ones(1)
        return self._draw(rng, groups, chances)

    def _draw(self, rng: np.random.Generator, groups: NDArray[np.int64], chances: NDArray[np.float64]) -> list[int]:
        sizes = self._starts[groups + 1] - self._starts[groups]
        limits = np.cumsum(chances)
        taken = np.zeros(0, dtype=np.int64)
        # A small source runs out of topics: a few tries, then a shorter batch.
        for attempt in range(6):
            number = (self._size - len(taken)) * (1 + attempt) + self._size // 8
            which = np.minimum(np.searchsorted(limits, rng.random(number), side="right"), len(groups) - 1)
            rows = self._starts[groups[which]] + (rng.random(number) * sizes[which]).astype(np.int64)
            taken = np.concatenate([taken, self._order[rows]])
            for key in self._keys:
                _, first = np.unique(key[taken], return_index=True)
                taken = taken[np.sort(first)]
            if len(taken) >= self._size:
                break
        return taken[: self._size].tolist()  # type: ignore[no-any-return]

    def _read(self, table: pa.Table) -> None:
        codes = {}
        self._names: dict[str, list[Any]] = {}
        both = pa.chunked_array([*table.column("query_language").chunks, *table.column("candidate_language").chunks])
        languages, self._names["language"] = _codes(both)
        codes["query_language"], codes["candidate_language"] = languages[: len(table)], languages[len(table) :]
        if "source" in table.column_names:
            codes["source"], self._names["source"] = _codes(table.column("source"))
        else:
            codes["source"], self._names["source"] = np.zeros(len(table), dtype=np.int64), [None]
        self._topic = _identities(table.column("topic"))
        self._keys = [
            self._topic,
            *(_identities(table.column(c)) for c in ("query", "candidate") if c in table.column_names),
        ]
        n = len(self._names["language"])
        group = (codes["source"] * n + codes["query_language"]) * n + codes["candidate_language"]
        self._order = np.argsort(group, kind="stable")
        kinds, starts = np.unique(group[self._order], return_index=True)
        self._starts = np.append(starts, len(group)).astype(np.int64)
        self._group_of = {
            (int(kind) // n // n, int(kind) // n % n, int(kind) % n): i for i, kind in enumerate(kinds.tolist())
        }

    def _weigh(self, weights: Weights | None) -> None:
        sources, languages = len(self._names["source"]), len(self._names["language"])
        mono = np.zeros((sources, languages))
        cross: list[list[tuple[int, float]]] = [[] for _ in range(sources)]
        rows = np.zeros((sources, 2))
        for (source, q, c), group in self._group_of.items():
            size = float(self._starts[group + 1] - self._starts[group])
            # One row alone has no negative in a batch of its language.
            if q == c:
                if size > 1:
                    mono[source, q] = size
                    rows[source, 0] += size
            elif size > 1 or self._by_row:
                cross[source].append((group, size))
                rows[source, 1] += size
        given = rows if weights is None else np.array([weights.get(name, (0, 0)) for name in self._names["source"]])
        mono *= given[:, :1] > 0
        sizes = mono.sum(axis=0)
        self._mono_language = _chances(np.where(sizes > 0, sizes, np.nan), self._exponent)
        self._mono_source = {x: _chances((mono[:, x] > 0) * given[:, 0], 1.0) for x in np.flatnonzero(sizes).tolist()}
        has_pairs = np.array([bool(groups) for groups in cross])
        self._cross_source = _chances(has_pairs * given[:, 1], 1.0)
        self._cross_groups = {
            source: (
                np.array([group for group, _ in groups]),
                _chances(np.array([size for _, size in groups]), self._exponent),
            )
            for source, groups in enumerate(cross)
            if groups
        }
        if self._alpha > 0 and not self._mono_source:
            raise ClirbenchError("alpha is above 0 but no row has query and candidate in one language: pass alpha=0")
        if self._alpha < 1 and not self._cross_source.any():
            raise ClirbenchError("alpha is below 1 but no row has query and candidate in two languages: pass alpha=1")


def _columns(dataset: Any) -> pa.Table:
    """The columns that batches are made by, in the data set's own row order (which shuffling or filtering may have changed)."""
    for column in _NEEDED:
        if column not in dataset.column_names:
            raise ClirbenchError(f"the training data set has no column '{column}': HybridBatchSampler needs it")
    wanted = [column for column in (*_NEEDED, *_HEEDED) if column in dataset.column_names]
    table = dataset.with_format("arrow", columns=wanted)[:]
    if not len(table):
        raise ClirbenchError("the training data set is empty: HybridBatchSampler needs rows")
    for column in wanted:
        if table.column(column).null_count:
            raise ClirbenchError(
                f"column '{column}' of the training data set has missing values: fill them or drop the rows"
            )
    return table


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[Any]]:
    """Small integers that stand for a column's values, and the values."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary.to_pylist()


def _identities(column: pa.ChunkedArray) -> NDArray[Any]:
    """Numbers that are equal where the column's values are."""
    return column.to_numpy() if pa.types.is_integer(column.type) else _codes(column)[0]


def _chances(sizes: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Probabilities in proportion to sizes to a power; sizes of 0 or NaN have none."""
    known = np.nan_to_num(sizes) > 0
    power = np.where(known, np.where(known, sizes, 1.0) ** exponent, 0.0)
    total = power.sum()
    return power / total if total else power
