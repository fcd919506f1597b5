"""Queue jumps: which languages' wrong candidates outrank the golds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clirbench.metrics.retrieval import Values
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.ranking.in_memory import Outranked


@dataclass(frozen=True)
class QueueJump:
    """Who outranks the golds: wrong candidates that stand before a gold in the multilingual pool, as totals.

    Attributes:
        counts: int64 (query languages, gold languages, candidate languages), wrong candidates of the third that outrank a gold
            of the second for a query of the first.
        shares: float64 (query languages, candidate languages), a language's share of the wrong candidates in the pools of
            those queries: what chance would give.
    """

    counts: NDArray[np.int64]
    shares: Values

    @property
    def matrix(self) -> Values:
        """float64 (query languages, candidate languages): observed share over share of the pool; NaN where nothing jumps."""
        jumps = self.counts.sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(jumps / jumps.sum(axis=1, keepdims=True) / self.shares)

    @property
    def own_language_preference(self) -> Values:
        """float64 (query languages,): the matrix's diagonal."""
        return np.diagonal(self.matrix).copy()


def wrong_candidates(outranked: Outranked, keys: NDArray[np.intp], n_keys: int) -> NDArray[np.int64]:
    """int64 (keys, blocks): wrong candidates that outrank the gold pairs of each key."""
    blocks = outranked.wrong.shape[1]
    flat = (keys[:, None] * blocks + np.arange(blocks)).ravel()
    totals = np.bincount(flat, weights=outranked.wrong.ravel(), minlength=n_keys * blocks)
    return totals.reshape(n_keys, blocks).astype(np.int64)


def wrong_shares(ranks: GoldRanks, pool_sizes: NDArray[np.int64]) -> Values:
    """float64 (query languages, candidate languages): a language's share of the wrong candidates in the pool."""
    languages = len(ranks.languages)
    pair = ranks.query_language.astype(np.intp) * languages + ranks.gold_language
    golds = np.bincount(pair, minlength=languages**2).reshape(languages, languages)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(ranks.query) != 0]))
    queries = np.bincount(ranks.query_language[starts], minlength=languages)
    wrong = queries[:, None] * pool_sizes[None, :] - golds
    return np.asarray(wrong / np.maximum(wrong.sum(axis=1, keepdims=True), 1), dtype=np.float64)
