"""Pass 2 of a streamed run: read a shard, encode it, and count its passages that outrank each gold pair."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.arrays import as_float32
from clirbench.encoders.base import LoadedEncoder
from clirbench.encoders.same_vectors import ROUNDING, Originals, repeated_rows
from clirbench.encoders.vectors import Clock, VectorCheck
from clirbench.evaluation.streaming.first_pass import encode_distinct, gold_order, gold_texts, scaled_rows
from clirbench.evaluation.streaming.job import ShardCounts, Work
from clirbench.evaluation.streaming.options import TOP_QUERIES
from clirbench.ranking.device import Device
from clirbench.ranking.kernel import workers
from clirbench.ranking.shards import Best, Cells, GoldScores
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.corpora.base import Block, Candidates
from clirbench.tasks.corpora.inventory import Inventory, Shard
from clirbench.tasks.corpora.judged import Judged


@dataclass(frozen=True)
class Prepared:
    """A shard ready to be compared: its candidates' identifiers, their scaled vectors, and where golds and copies of them stand.

    ``longest`` bounds the norms of the vectors; None where they are not known. ``counts`` has what is known before
    the comparison.
    """

    ids: Sequence[str]
    vectors: NDArray[np.float32]
    own: Cells
    copies: Cells
    longest: float | None
    counts: ShardCounts


class ShardCounter:
    """A counter of shards. The counts of a shard depend neither on the order of the shards nor on the process.

    Args:
        model: The encoder.
        work: Queries, gold pairs, shards and pass 1.
        candidates: Where the passages are read.
        threads: Threads to count with; None for one per core of this process.
        device: Where scores are computed and compared; None for NumPy. It changes no count.
    """

    def __init__(
        self,
        model: LoadedEncoder,
        work: Work,
        candidates: Candidates,
        threads: int | None = None,
        device: Device | None = None,
    ) -> None:
        judged, inventory, first = work.judged, work.inventory, work.first
        self._model, self._judged, self._candidates, self._first = model, judged, candidates, first
        self._pooled, self._allow_zero, self._threads = work.pooled, work.allow_zero, threads
        self._top, self._top_queries = work.streaming.top, work.streaming.top_queries
        self._number: dict[str, dict[str, int]] = {language: {} for language in judged.languages}
        for i, (language, id_) in enumerate(gold_order(judged, inventory)):
            self._number[language][id_] = i
        # A transform differs between languages, so a text in two languages has two vectors, and only copies in one language tie.
        self._by_language = first.removal is not None
        self._texts = gold_texts(judged, inventory, self._by_language)
        self._pairs_of = _grouped(first.pair_gold, len(first.golds))
        # The first gold with a text stands for all golds with that text, so a copy of the text is a copy for all their pairs.
        self._pairs_with_text = _grouped(self._same_text(judged, inventory)[first.pair_gold], len(first.golds))
        self._distinct_golds = Originals(np.delete(first.golds, repeated_rows(first.golds)[0], axis=0))
        self._ready: dict[tuple[int, int], tuple[slice, GoldScores]] = {}
        self._device = device

    def _same_text(self, judged: Judged, inventory: Inventory) -> NDArray[np.intp]:
        """Number, for each gold, the first gold with its text: intp (golds,). Without texts, each gold is its own first."""
        first = []
        for i, gold in enumerate(gold_order(judged, inventory)):
            text = inventory.golds[gold].text
            first.append(i if text is None else self._texts[gold[0] if self._by_language else ""][text])
        return np.array(first, dtype=np.intp)

    def gold_scores(self, queries: slice) -> tuple[slice, GoldScores]:
        """Return the gold pairs of a range of queries, and the scores of these golds."""
        at = queries.start, queries.stop
        if at not in self._ready:
            pairs = slice(*np.searchsorted(self._judged.gold_query, at).tolist())
            gold_query = (self._judged.gold_query[pairs] - queries.start).astype(np.int32)
            vectors, scores = self._first.queries[queries], self._first.scores[pairs]
            self._ready[at] = pairs, GoldScores(vectors, gold_query, scores, self._threads, self._device)
        return self._ready[at]

    def read(self, shard: Shard) -> Block:
        """Read the candidates of a shard. Another thread may count another shard at the same time.

        Raises:
            ClirbenchError: The passages differ from those in the inventory.
        """
        block = self._candidates.block(shard.language, shard.file, shard.start, shard.size)
        with ThreadPoolExecutor(1) as pool:
            digest = pool.submit(block.digest)
            # Vectors are converted here and not in count: this thread reads while another thread counts.
            read = block if block.vectors is None else replace(block, vectors=as_float32(block.vectors))
        if digest.result() != shard.sha256:
            raise ClirbenchError(
                f"{self._candidates.source}: passages {shard.start:,} to {shard.start + shard.size - 1:,} of {shard.language} "
                f"file {shard.file} differ from those read at the start: "
                "keep the corpus unchanged, and the same on every node; --no-cache reads it anew"
            )
        return read

    def count(self, shard: Shard, block: Block) -> ShardCounts:
        """Encode and count a shard, whose candidates :meth:`read` has read.

        Raises:
            ClirbenchError: A vector has the wrong shape, is all zero where that is refused, or holds NaN or infinity.
        """
        return self.compare(shard, self.prepare(shard, block))

    def prepare(self, shard: Shard, block: Block) -> "Prepared":
        """Encode a shard, and make its vectors ready to be compared.

        Several threads may prepare shards of vectors at once, and one of them may compare. A model encodes in one thread only.

        Raises:
            ClirbenchError: A vector has the wrong shape, is all zero where that is refused, or holds NaN or infinity.
        """
        clock = Clock()
        check = VectorCheck(self._model, "candidate", self._first.golds.shape[1], not self._allow_zero)
        number = self._golds(shard, block)
        raw, like = self._vectors(shard, block, check, clock)
        own, copies = self._cells(shard, number, like)
        language = np.full(len(raw), self._judged.languages.index(shard.language), dtype=np.int32)
        vectors = scaled_rows(self._model, self._first, raw, "candidate", language)
        # The check has already measured the norms of vectors that are compared as the encoder gave them.
        settings = self._model.settings
        as_they_came = (
            settings.similarity == "dot" and not settings.quantise and not self._by_language and not (like >= 0).any()
        )
        longest = check.longest * (1 + ROUNDING) if as_they_came else None
        counts = ShardCounts(np.empty(0, dtype=np.uint32), clock.texts, clock.seconds, check.zero)
        return Prepared(block.ids, vectors, own, copies, longest, counts)

    def compare(self, shard: Shard, ready: "Prepared") -> ShardCounts:
        """Count a shard that :meth:`prepare` has prepared."""
        vectors, own, copies, longest = ready.vectors, ready.own, ready.copies, ready.longest
        queries = slice(0, len(self._judged.queries)) if self._pooled else self._judged.queries_of(shard.language)
        _, scores = self.gold_scores(queries)
        wrong, _ = scores.count(vectors, own, copies, 0, longest)
        if not self._top:
            return replace(ready.counts, wrong=wrong)
        top = self._best(shard.language, vectors, own, copies, longest)
        kept = np.unique(np.concatenate([np.unique(best.candidate) for best in top.values()]))
        rows = {
            part: Best(np.searchsorted(kept, best.candidate).astype(np.int32), best.score) for part, best in top.items()
        }
        return replace(ready.counts, wrong=wrong, top_ids=np.array(ready.ids)[kept], top=rows)

    def _best(
        self, language: str, vectors: NDArray[np.float32], own: Cells, copies: Cells, longest: float | None
    ) -> dict[int, Best]:
        """Find the best candidates of a shard for the queries of its language, by part of ``Streaming.top_queries`` queries."""
        # A run file ranks the passages of the query's language only, so the shard is compared again with those queries: some at
        # a time, because the best passages of all of them, sorted at once, may fill the memory.
        first_pair = 0 if self._pooled else self._judged.pairs_of(language).start
        top: dict[int, Best] = {}
        queries = self._judged.queries_of(language)
        for start in range(queries.start, queries.stop, TOP_QUERIES):
            pairs, scores = self.gold_scores(slice(start, min(start + TOP_QUERIES, queries.stop)))
            mine = [_within(cells, slice(pairs.start - first_pair, pairs.stop - first_pair)) for cells in (own, copies)]
            _, best = scores.count(vectors, mine[0], mine[1], self._top, longest)
            assert best is not None, "top is not 0"  # noqa: S101
            row = best.candidate.astype(np.int32)
            for first in range(0, len(row), self._top_queries):
                part = slice(first, first + self._top_queries)
                top[len(top)] = Best(row[part], best.score[part])
        return top

    def _vectors(
        self, shard: Shard, block: Block, check: VectorCheck, clock: Clock
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Encode a shard. A copy of a gold is not encoded: it gets the gold's vector from pass 1, so that both tie exactly.

        A passage that the model cannot tell from a gold gets the gold's vector too (:mod:`clirbench.encoders.same_vectors`).

        Returns:
            The vectors, float32 (candidates, dimensions); and the first gold with each candidate's text, intp (candidates,), -1
            for none.
        """
        if block.texts is None:
            # Without texts, copies are not known. Candidates with equal vectors still tie.
            vectors = np.asarray(check(block.vectors, block.ids))
            return self._distinct_golds.replace(vectors, self._threads or workers()), np.full(
                len(block.ids), -1, dtype=np.intp
            )
        known = self._texts.get(shard.language if self._by_language else "", {})
        like = np.array([known.get(text, -1) for text in block.texts], dtype=np.intp)
        raw = self._first.golds[like]
        if rest := [text for text, gold in zip(block.texts, like, strict=True) if gold < 0]:
            vectors = encode_distinct(self._model.encoder.encode_candidates, rest, check, clock)
            raw[like < 0] = self._distinct_golds.replace(vectors)
        return raw, like

    def _golds(self, shard: Shard, block: Block) -> NDArray[np.intp]:
        """Number the gold that each candidate is: intp (candidates,), -1 for none."""
        golds = self._number[shard.language]
        number = np.full(len(block.ids), -1, dtype=np.intp)
        if not golds.keys().isdisjoint(block.ids):
            for row in [row for row, id_ in enumerate(block.ids) if id_ in golds]:
                number[row] = golds[block.ids[row]]
        return number

    def _cells(self, shard: Shard, number: NDArray[np.intp], like: NDArray[np.intp]) -> tuple[Cells, Cells]:
        """Find the cells of golds of the pair's query, and the cells of wrong candidates with the text of the pair's gold.

        ``number`` has the gold that each candidate is, ``like`` the first gold with its text: intp (candidates,), -1 for none.
        """
        pairs = slice(0, len(self._judged.gold_query)) if self._pooled else self._judged.pairs_of(shard.language)
        own = _within(_cells(self._pairs_of, number), pairs)
        copies = _within(_cells(self._pairs_with_text, like), pairs)
        return own, _without_golds(copies, own, self._judged.gold_query[pairs], len(number))


def _without_golds(copies: Cells, own: Cells, gold_query: NDArray[np.int32], width: int) -> Cells:
    """Leave out of the copies the candidates that are golds of the same query.

    Query 0 has two golds with the same text, of pairs 0 and 1, and query 1 has one other gold, of pair 2. A shard holds three
    candidates: the gold of pair 0, the gold of pair 1, and a copy of their text. Each of the three has the text of pairs 0 and 1,
    so the table of pairs by candidates has six cells of copies. The first two candidates are golds of query 0, and golds are
    ordered by their own scores. So only the third candidate stays. It is a wrong candidate for query 0, under both pairs.

    >>> number, like = np.array([0, 1, -1]), np.array([0, 0, 0])
    >>> own = _cells([np.array([0]), np.array([1]), np.array([2])], number)
    >>> own.pair.tolist(), own.column.tolist()
    ([0, 1], [0, 1])
    >>> copies = _cells([np.array([0, 1])], like)
    >>> copies.pair.tolist(), copies.column.tolist()
    ([0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 2, 2])
    >>> left = _without_golds(copies, own, gold_query=np.array([0, 0, 1]), width=3)
    >>> left.pair.tolist(), left.column.tolist()
    ([0, 1], [2, 2])

    Args:
        copies: Where candidates have the text of a pair's gold, the gold itself included.
        own: Where candidates are the gold of a pair.
        gold_query: int32 (gold pairs,), query of each pair.
        width: Number of candidates of the shard.
    """
    # Cells are compared by query, not by pair: the gold of another pair of the query is still a gold. A query and a column become
    # one number.
    golds = gold_query[own.pair] * np.int64(width) + own.column
    golden = np.isin(gold_query[copies.pair] * np.int64(width) + copies.column, golds)
    return Cells(copies.pair[~golden], copies.column[~golden])


def _grouped(keys: NDArray[np.generic], groups: int) -> list[NDArray[np.intp]]:
    """List, for each key from 0 to ``groups - 1``, its positions in ``keys``."""
    order = np.argsort(keys, kind="stable")
    return np.split(order, np.cumsum(np.bincount(np.asarray(keys, dtype=np.intp), minlength=groups))[:-1])


def _cells(pairs_of: list[NDArray[np.intp]], gold: NDArray[np.intp]) -> Cells:
    """List the cells of candidates that are a gold or have its text: for each candidate, one cell per pair of that gold.

    ``pairs_of`` has the pairs of each gold, intp (pairs,). ``gold`` is the number of each candidate's gold, intp (candidates,),
    -1 for none.
    """
    columns = np.flatnonzero(gold >= 0)
    groups = [pairs_of[gold[column]] for column in columns]
    if not groups:
        return Cells(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
    return Cells(np.concatenate(groups), np.repeat(columns, [len(group) for group in groups]))


def _within(cells: Cells, pairs: slice) -> Cells:
    """Keep the cells of a range of pairs, and number the pairs from the start of the range."""
    inside = (cells.pair >= pairs.start) & (cells.pair < pairs.stop)
    return Cells(cells.pair[inside] - pairs.start, cells.column[inside])
