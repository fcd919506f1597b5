"""Hybrid batches: monolingual with probability alpha, cross-lingual otherwise (arXiv 2408.10536, section 3)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sentence_transformers.base.sampler import DefaultBatchSampler

from clirbench.support.errors import ClirbenchError

Weights = Mapping[Any, tuple[float, float]]
_NEEDED = ("query_language", "candidate_language", "topic")
_OPTIONAL = ("source", "query", "candidate")


@dataclass(frozen=True)
class SamplerOptions:
    """How :class:`HybridBatchSampler` draws batches. Each field is a keyword of its constructor.

    Attributes:
        alpha: Probability that a batch is monolingual, 0 to 1.
        language_sampling: How often a language (or language pair) is drawn: ``uniform``, each equally often, as the body of the
            paper says; ``proportional``, in proportion to its number of rows, as the paper's abstract says.
        exponent: With ``proportional``, chances are in proportion to the number of rows to this power; 0 is uniform.
        language_pairs: Languages of a cross-lingual batch. ``row``: each row draws its own pair, so that some negatives are
            in the query's language. ``batch``: one pair is drawn for the whole batch.
        source_weights: By value of the column ``source``, its weight in monolingual and its weight in cross-lingual batches. A
            source with weight 0, or without weights, is never drawn. None: the weights are the numbers of monolingual and of
            cross-lingual rows.
        batches: Batches in an epoch. None: the number of topics divided by ``batch_size``, at least 1.

    Raises:
        ClirbenchError: ``alpha``, ``language_sampling`` or ``language_pairs`` has another value.
    """

    alpha: float = 0.5
    language_sampling: str = "uniform"
    exponent: float = 1.0
    language_pairs: str = "row"
    source_weights: Weights | None = None
    batches: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ClirbenchError(f"alpha is {self.alpha}: use a probability, 0 to 1")
        if self.language_sampling not in ("uniform", "proportional"):
            raise ClirbenchError(f"language_sampling is '{self.language_sampling}': use uniform or proportional")
        if self.language_pairs not in ("row", "batch"):
            raise ClirbenchError(f"language_pairs is '{self.language_pairs}': use row or batch")


class SamplerKeywords(TypedDict, total=False):
    """The fields of :class:`SamplerOptions` as keywords, for type checkers."""

    alpha: float
    language_sampling: str
    exponent: float
    language_pairs: str
    source_weights: Weights | None
    batches: int | None


class HybridBatchSampler(DefaultBatchSampler):  # type: ignore[misc]
    r"""Draws batches that are monolingual with probability ``alpha`` and cross-lingual otherwise.

    In a monolingual batch all queries and candidates are in the same language. In a cross-lingual batch the query and the
    candidate of each row are in different languages. With languages :math:`X` and :math:`Y` and the in-batch contrastive loss
    :math:`\mathcal{L}`, the expected loss is the objective of arXiv 2408.10536, section 3:

    .. math:: \alpha \, E_{X} [\mathcal{L}(q_X, d_X)] + (1 - \alpha) \, E_{X \neq Y} [\mathcal{L}(q_X, d_Y)]

    ``alpha=1`` is the paper's X-X-mono, ``alpha=0`` its X-Y.

    One batch is drawn in three steps:

    1. Its kind: monolingual with probability ``alpha``.
    2. Its source and languages. Monolingual: a language, then one of the sources that have it. Cross-lingual: a source, then
       a language pair for each row. The whole batch comes from one source: one value of the column ``source``.
    3. Its rows. A row is passed over if its topic, query or candidate is in the batch already: otherwise the loss would push a
       query away from its own gold. A source with too few topics gives a batch shorter than ``batch_size``.

    A row may come again in another batch. An epoch is ``len(sampler)`` batches, not one pass over the rows.

    Batch number ``b`` depends on the seed, the epoch and ``b`` only. So a resumed training sees the same batches as one that was
    never stopped. Several processes share one sequence: each of n processes takes every n-th batch.

    Example:
        Five topics in three languages have a row for each of the nine ordered language pairs. With ``alpha=0.5`` half of the
        batches are monolingual, a sixth in each language. In the other half, each row has one of the six pairs of two languages.

        >>> import datasets
        >>> languages = ("en", "de", "th")
        >>> pairs = [(query, candidate) for query in languages for candidate in languages]
        >>> rows = [
        ...     {"topic": topic, "query_language": query, "candidate_language": candidate}
        ...     for topic in range(5)
        ...     for query, candidate in pairs
        ... ]
        >>> dataset = datasets.Dataset.from_list(rows)
        >>> for batch in HybridBatchSampler(dataset, batch_size=3, seed=4, alpha=0.5, batches=4):
        ...     print([f"{rows[i]['query_language']}-{rows[i]['candidate_language']} of {rows[i]['topic']}" for i in batch])
        ['th-de of 1', 'en-de of 4', 'de-th of 0']
        ['en-en of 1', 'en-en of 3', 'en-en of 4']
        ['en-en of 2', 'en-en of 4', 'en-en of 1']
        ['en-th of 4', 'th-de of 3', 'de-en of 1']

        A trainer takes the sampler as an argument, and gives it ``dataset``, ``batch_size`` and ``seed``:
        ``SentenceTransformerTrainingArguments(batch_sampler=partial(HybridBatchSampler, alpha=0.5))``.

    Args:
        dataset: A ``datasets.Dataset`` with the columns ``query_language``, ``candidate_language`` and ``topic``. The columns
            ``source``, ``query`` and ``candidate`` are read where they exist. The trainer hands every visible column to the
            model, so make only the two texts visible: ``dataset.with_format(None, columns=["query", "candidate"])``.
        batch_size: Rows in a full batch, 2 or more.
        drop_last: Leave out batches that are not full. ``len`` still counts them.
        valid_label_columns: Ignored; trainers pass it.
        generator: Ignored; trainers pass it.
        seed: Seed of every draw.
        **options: Fields of :class:`SamplerOptions`.

    Raises:
        ClirbenchError: A column is missing or has missing values, an argument is out of range, or no row fits a kind of batch
            that ``alpha`` asks for.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        drop_last: bool = False,
        valid_label_columns: list[str] | None = None,
        generator: Any = None,
        seed: int = 0,
        **options: Unpack[SamplerKeywords],
    ) -> None:
        if batch_size < 2:
            raise ClirbenchError(f"batch_size is {batch_size}: a contrastive batch needs 2 rows or more")
        chosen = SamplerOptions(**options)
        # Batches may be shorter than asked for. With None here, accelerate accepts batches of any length.
        self.batch_size = None
        self.drop_last, self.seed, self.epoch = drop_last, seed, 0
        self._size, self._alpha, self._by_row = batch_size, chosen.alpha, chosen.language_pairs == "row"
        self._exponent = chosen.exponent if chosen.language_sampling == "proportional" else 0.0
        self._group_rows(_columns(dataset))
        self._weigh_groups(chosen.source_weights)
        self._batches = chosen.batches or max(1, len(np.unique(self._topic)) // batch_size)

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
        """Row numbers of one batch of this epoch, drawn without drawing the batches before it."""
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
        """Draw rows of the groups, each group by its chance, without a repeated topic, query or candidate."""
        sizes = self._starts[groups + 1] - self._starts[groups]
        limits = np.cumsum(chances)
        taken = np.zeros(0, dtype=np.int64)
        # Repeats are dropped after the draw. So each attempt draws more rows than are missing; after the last, the batch stays
        # short.
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

    def _group_rows(self, table: pa.Table) -> None:
        """Sort the rows by group. A group is the rows of one source, one query language and one candidate language.

        The rows of group ``g`` are ``_order[_starts[g] : _starts[g + 1]]``; ``_group_of`` finds ``g`` by the three numbers.
        """
        both = pa.chunked_array([*table.column("query_language").chunks, *table.column("candidate_language").chunks])
        languages, self._languages = _codes(both)
        if "source" in table.column_names:
            sources, self._sources = _codes(table.column("source"))
        else:
            sources, self._sources = np.zeros(len(table), dtype=np.int64), [None]
        self._topic = _identities(table.column("topic"))
        texts = [column for column in ("query", "candidate") if column in table.column_names]
        self._keys = [self._topic, *(_identities(table.column(column)) for column in texts)]
        n = len(self._languages)
        group = (sources * n + languages[: len(table)]) * n + languages[len(table) :]
        self._order = np.argsort(group, kind="stable")
        kinds, starts = np.unique(group[self._order], return_index=True)
        self._starts = np.append(starts, len(group)).astype(np.int64)
        self._group_of = {
            (int(kind) // n // n, int(kind) // n % n, int(kind) % n): i for i, kind in enumerate(kinds.tolist())
        }

    def _weigh_groups(self, weights: Weights | None) -> None:
        """Compute the probabilities of languages, of sources and of language pairs."""
        source, query, candidate = np.array(list(self._group_of)).T
        same = query == candidate
        sizes = np.diff(self._starts).astype(np.float64)
        # If a batch comes from one group, a group of a single row would give no negatives, so the group is left out.
        sizes[(sizes == 1) & (same | (not self._by_row))] = 0
        mono_rows, cross_rows = (np.bincount(source, sizes * kind, len(self._sources)) for kind in (same, ~same))
        given: NDArray[np.float64] = np.stack([mono_rows, cross_rows], axis=1)
        if weights is not None:
            given = np.array([weights.get(name, (0, 0)) for name in self._sources])
        # A language is drawn before its source, so its size is the number of rows in all sources that may be drawn.
        mono = np.zeros((len(self._sources), len(self._languages)))
        mono[source[same], query[same]] = sizes[same]
        mono *= given[:, :1] > 0
        self._mono_language = _chances(mono.sum(axis=0), self._exponent)
        languages = np.flatnonzero(self._mono_language).tolist()
        self._mono_source = {x: _chances((mono[:, x] > 0) * given[:, 0], 1.0) for x in languages}
        # A language pair is drawn after its source, so its size is the number of rows in this source.
        self._cross_source = _chances((cross_rows > 0) * given[:, 1], 1.0)
        pairs = {i: np.flatnonzero((source == i) & ~same & (sizes > 0)) for i in np.flatnonzero(cross_rows).tolist()}
        self._cross_groups = {i: (groups, _chances(sizes[groups], self._exponent)) for i, groups in pairs.items()}
        if self._alpha > 0 and not self._mono_source:
            raise ClirbenchError("alpha is above 0 but no row has query and candidate in one language: pass alpha=0")
        if self._alpha < 1 and not self._cross_source.any():
            raise ClirbenchError("alpha is below 1 but no row has query and candidate in two languages: pass alpha=1")


def _columns(dataset: Any) -> pa.Table:
    """Read the columns that decide batches. The data set may be shuffled or filtered: rows come in the order that it shows."""
    for column in _NEEDED:
        if column not in dataset.column_names:
            raise ClirbenchError(f"the training data set has no column '{column}': HybridBatchSampler needs it")
    wanted = [column for column in (*_NEEDED, *_OPTIONAL) if column in dataset.column_names]
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
    """The distinct values of a column, and for each row the index of its value among them."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary.to_pylist()


def _identities(column: pa.ChunkedArray) -> NDArray[Any]:
    """One integer per row. Two rows have the same integer if they have the same value."""
    return column.to_numpy() if pa.types.is_integer(column.type) else _codes(column)[0]


def _chances(sizes: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Probabilities in proportion to ``sizes ** exponent``; a size of 0 has probability 0."""
    known = sizes > 0
    power = np.where(known, np.where(known, sizes, 1.0) ** exponent, 0.0)
    total = power.sum()
    return power / total if total else power
