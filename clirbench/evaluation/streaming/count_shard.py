"""Pass 2, one shard: read, encode, compare with the gold scores, forget."""

from dataclasses import dataclass, field, replace
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import LoadedEncoder
from clirbench.encoders.checks import Check, Clock, as_float32
from clirbench.evaluation.streaming.first_pass import FirstPass, encode_distinct, gold_order, gold_texts, scaled_rows
from clirbench.ranking.shards import Cells, GoldScores
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.corpora.base import Block, Candidates
from clirbench.tasks.corpora.inventory import Inventory, Shard
from clirbench.tasks.corpora.judged import Judged


@dataclass(frozen=True)
class ShardCounts:
    """What is kept of a shard.

    Attributes:
        wrong: uint32 (gold pairs,), wrong candidates that outrank each pair: of the shard's language only where the multilingual
            setting is left out.
        encoded: Texts encoded.
        seconds: Spent in the encoder.
        zero: Vectors that are all zero.
        top_ids: With ``--save-top``, the best passages of the language's queries, (queries, k) of text.
        top_scores: float32 (queries, k).
    """

    wrong: NDArray[np.uint32]
    encoded: int
    seconds: float
    zero: int
    top_ids: NDArray[np.str_] = field(default_factory=lambda: np.empty((0, 0), dtype="U1"))
    top_scores: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))

    def to_bytes(self) -> bytes:
        """As a compressed NumPy archive."""
        sink = BytesIO()
        np.savez_compressed(sink, **vars(self))
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "ShardCounts":
        """Read what :meth:`to_bytes` gave.

        Raises:
            ValueError, KeyError, OSError: It is something else.
        """
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            values = {name: arrays[name] for name in arrays.files}
        return cls(
            wrong=values["wrong"],
            encoded=int(values["encoded"]),
            seconds=float(values["seconds"]),
            zero=int(values["zero"]),
            top_ids=values["top_ids"],
            top_scores=values["top_scores"],
        )


class ShardCounter:
    """Counts shards: the same numbers wherever and in whatever order it is asked for them.

    Args:
        loaded: The encoder.
        judged: Queries and gold pairs.
        candidates: Where the passages are.
        inventory: What was found there.
        first: Pass 1.
        pooled: Whether every query is compared with every shard (the multilingual setting), or only with those of its language.
        allow_zero: Score all-zero vectors as lost instead of stopping.
        top: How many of the best passages to keep for each query of the shard's language.
        threads: How many count at once; None for the cores of this process.
    """

    def __init__(
        self,
        loaded: LoadedEncoder,
        judged: Judged,
        candidates: Candidates,
        *,
        inventory: Inventory,
        first: FirstPass,
        pooled: bool,
        allow_zero: bool,
        top: int = 0,
        threads: int | None = None,
    ) -> None:
        self._loaded, self._judged, self._candidates, self._first = loaded, judged, candidates, first
        self._pooled, self._allow_zero, self._top, self._threads = pooled, allow_zero, top, threads
        self._number: dict[str, dict[str, int]] = {language: {} for language in judged.languages}
        for i, (language, id_) in enumerate(gold_order(judged, inventory)):
            self._number[language][id_] = i
        # The transform of another language gives the same text another vector.
        self._by_language = first.removal is not None
        self._texts = gold_texts(judged, inventory, self._by_language)
        self._pairs_of = _grouped(first.pair_gold, len(first.golds))
        # Golds with one text are one: a copy of one is a copy of all.
        self._pairs_with_text = _grouped(self._same_text(judged, inventory)[first.pair_gold], len(first.golds))
        self._ready: dict[str | None, tuple[slice, slice, GoldScores]] = {}

    def _same_text(self, judged: Judged, inventory: Inventory) -> NDArray[np.intp]:
        """The first gold with the text of each; itself where there are vectors only."""
        found = []
        for i, gold in enumerate(gold_order(judged, inventory)):
            text = inventory.golds[gold].text
            found.append(i if text is None else self._texts[gold[0] if self._by_language else ""][text])
        return np.array(found, dtype=np.intp)

    def gold_scores(self, language: str | None) -> tuple[slice, slice, GoldScores]:
        """Queries, gold pairs and their scores: of one language, or of all."""
        if language not in self._ready:
            judged, first = self._judged, self._first
            queries, pairs = slice(0, len(judged.queries)), slice(0, len(judged.gold_query))
            if language is not None:
                i = judged.languages.index(language)
                queries, pairs = slice(*judged.starts[i : i + 2].tolist()), judged.pairs_of(language)
            gold_query = (judged.gold_query[pairs] - queries.start).astype(np.int32)
            scores = GoldScores(first.queries[queries], gold_query, first.scores[pairs], self._threads)
            self._ready[language] = queries, pairs, scores
        return self._ready[language]

    def read(self, shard: Shard) -> Block:
        """The candidates of a shard; one shard may be read while another is counted.

        Raises:
            ClirbenchError: It is not the shard that the inventory found.
        """
        block = self._candidates.block(shard.language, shard.file, shard.start, shard.size)
        if block.digest() != shard.sha256:
            raise ClirbenchError(
                f"{self._candidates.source}: passages {shard.start:,} to {shard.start + shard.size - 1:,} of {shard.language} "
                f"file {shard.file} are not those that were read at the start: every node needs the same corpus, and it must not "
                "change"
            )
        # Here rather than when it is counted: it is done while another shard is.
        return block if block.vectors is None else replace(block, vectors=as_float32(block.vectors))

    def count(self, shard: Shard, block: Block) -> ShardCounts:
        """Encode and count a shard that was read.

        Raises:
            ClirbenchError: A vector is wrong.
        """
        clock = Clock()
        check = Check(self._loaded.info.name, "candidate", self._first.golds.shape[1], not self._allow_zero)
        number = self._golds(shard, block)
        raw, like = self._vectors(shard, block, check, clock)
        own, copies = self._cells(shard, number, like)
        language = np.full(len(raw), self._judged.languages.index(shard.language), dtype=np.int32)
        vectors = scaled_rows(self._loaded, self._first, raw, "candidate", language)
        _, _, scores = self.gold_scores(None if self._pooled else shard.language)
        # The check has looked at every vector already, where they are compared as they came.
        as_they_came = self._loaded.settings.similarity == "dot" and not self._by_language and not (like >= 0).any()
        longest = check.longest if as_they_came else None
        wrong, best = scores.count(vectors, own, copies, 0 if self._pooled else self._top, longest)
        if self._pooled and self._top:
            _, pairs, scores = self.gold_scores(shard.language)
            mine = [_within(cells, pairs) for cells in (own, copies)]
            _, best = scores.count(vectors, mine[0], mine[1], self._top, longest)
        if best is None:
            return ShardCounts(wrong, clock.texts, clock.seconds, check.zero)
        ids = np.array(block.ids)[best.column]
        return ShardCounts(wrong, clock.texts, clock.seconds, check.zero, ids, best.score)

    def _vectors(
        self, shard: Shard, block: Block, check: Check, clock: Clock
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Vectors as the encoder gave them, and which gold each candidate has the text of, -1 for none."""
        if block.texts is None:
            # Nothing says which of them are copies; equal vectors tie anyway.
            return np.asarray(check(block.vectors, block.ids)), np.full(len(block.ids), -1, dtype=np.intp)
        known = self._texts.get(shard.language if self._by_language else "", {})
        like = np.array([known.get(text, -1) for text in block.texts], dtype=np.intp)
        rest = [text for text, gold in zip(block.texts, like, strict=True) if gold < 0]
        encode = self._loaded.encoder.encode_candidates
        if len(rest) == len(like):
            return encode_distinct(encode, rest, check, clock), like
        raw = self._first.golds[like]
        if rest:
            raw[like < 0] = encode_distinct(encode, rest, check, clock)
        return raw, like

    def _golds(self, shard: Shard, block: Block) -> NDArray[np.intp]:
        """Of type intp (candidates,): which gold each candidate is, -1 for none."""
        golds = self._number[shard.language]
        number = np.full(len(block.ids), -1, dtype=np.intp)
        if not golds.keys().isdisjoint(block.ids):
            for row in [row for row, id_ in enumerate(block.ids) if id_ in golds]:
                number[row] = golds[block.ids[row]]
        return number

    def _cells(self, shard: Shard, number: NDArray[np.intp], like: NDArray[np.intp]) -> tuple[Cells, Cells]:
        range_ = slice(0, len(self._judged.gold_query)) if self._pooled else self._judged.pairs_of(shard.language)
        own = _within(_cells(self._pairs_of, number), range_)
        copies = _within(_cells(self._pairs_with_text, like), range_)
        # A gold of the query is not a copy for it: what is among golds is decided among golds.
        query = self._judged.gold_query[range_]
        width = len(number)
        golden = np.isin(
            query[copies.pair] * np.int64(width) + copies.column, query[own.pair] * np.int64(width) + own.column
        )
        return own, Cells(copies.pair[~golden], copies.column[~golden])


def _grouped(keys: NDArray[np.generic], groups: int) -> list[NDArray[np.intp]]:
    """The positions of each key."""
    order = np.argsort(keys, kind="stable")
    return np.split(order, np.cumsum(np.bincount(np.asarray(keys, dtype=np.intp), minlength=groups))[:-1])


def _cells(pairs_of: list[NDArray[np.intp]], gold: NDArray[np.intp]) -> Cells:
    columns = np.flatnonzero(gold >= 0)
    groups = [pairs_of[gold[column]] for column in columns]
    if not groups:
        return Cells(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
    return Cells(np.concatenate(groups), np.repeat(columns, [len(group) for group in groups]))


def _within(cells: Cells, pairs: slice) -> Cells:
    """The cells of a range of pairs, numbered from its start."""
    inside = (cells.pair >= pairs.start) & (cells.pair < pairs.stop)
    return Cells(cells.pair[inside] - pairs.start, cells.column[inside])
