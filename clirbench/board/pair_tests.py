"""Tests of all pairs of a task's measured rows by its main number. Rank ranges and verdicts come from the same p-values."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from clirbench.board.entries import Entry
from clirbench.metrics.per_topic import shares_of_macro
from clirbench.metrics.retrieval import METRICS, Values
from clirbench.metrics.scores import headline_tables
from clirbench.metrics.significance import CONFIDENCE, RANK_PERMUTATIONS, pairwise_p, ranks_allowed
from clirbench.results.result import Result
from clirbench.tasks.task_file import board_columns


@dataclass(frozen=True)
class PairTests:
    """The measured rows of a task, and a test of each pair.

    Attributes:
        folders: The submission folder of each row.
        goodness: float64 (rows,), the main number; negative where low ones are better.
        p: float64 (rows, rows), symmetric, corrected for the number of pairs (:func:`clirbench.metrics.significance.pairwise_p`).
    """

    folders: tuple[Path, ...]
    goodness: Values
    p: Values

    def ranks(self) -> dict[Path, tuple[int, int]]:
        """The best and the worst rank that the tests leave to each row."""
        if not self.folders:
            return {}
        allowed = ranks_allowed(self.goodness, self.p)
        return {folder: (int(low), int(high)) for folder, (low, high) in zip(self.folders, allowed, strict=True)}

    def p_of(self, one: Path, other: Path) -> float:
        """The p-value of two rows."""
        return float(self.p[self._place[one], self._place[other]])

    def better(self, one: Path, other: Path) -> int:
        """1 where the first of two rows is shown to be better, -1 where it is shown to be worse, 0 where neither is shown."""
        # The level of the rank ranges, so that the two never disagree.
        if self.p_of(one, other) >= 1 - CONFIDENCE:
            return 0
        return int(np.sign(self.goodness[self._place[one]] - self.goodness[self._place[other]]))

    @cached_property
    def _place(self) -> dict[Path, int]:
        return {folder: i for i, folder in enumerate(self.folders)}


def pair_tests(entries: Sequence[Entry], task: str) -> PairTests:
    """Test all pairs of measured rows of a task. Published figures have no values of single topics, so they are left out."""
    setting, metric = board_columns(task).main
    measured = [
        (entry.folder, r)
        for entry in entries
        # Without a value, as below the depth of a second stage, there is nothing to test.
        if isinstance(r := entry.results.get(task), Result) and r.score(setting, metric) is not None
    ]
    if not measured:
        return PairTests((), np.empty(0), np.empty((0, 0)))
    tables = [
        headline_tables(result.ranks, result.document.counts.candidates, [metric], [], [setting])[setting, metric]
        for _, result in measured
    ]
    shares = np.stack([shares_of_macro(table, slice(None)) for table in tables], axis=1)
    sign = 1 if METRICS[metric].higher_is_better else -1
    return PairTests(
        tuple(folder for folder, _ in measured), sign * shares.sum(axis=0), pairwise_p(shares, RANK_PERMUTATIONS)
    )
