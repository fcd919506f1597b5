"""All measured models of a task against all: which of two is shown to be better, by each number of the board."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clirbench.board.entries import Entry
from clirbench.metrics.bias import BIAS
from clirbench.metrics.retrieval import METRICS, Values
from clirbench.metrics.significance import ranks_of, shown_better
from clirbench.tasks.task_file import board_columns


@dataclass(frozen=True)
class Wins:
    """The measured models of a task by one of its numbers, the best first.

    Attributes:
        setting: A setting, or "bias".
        entries: The models that have the number.
        values: The number of each, float64 (models,).
        better: 1 where the model of the row is shown to be better than that of the column, -1 where it is shown to be worse, 0
            where tests show no difference: int8 (models, models). The tests are those of the rank ranges, corrected for the
            number of pairs of this number (:func:`clirbench.metrics.significance.pairwise_p`).
    """

    setting: str
    metric: str
    entries: tuple[Entry, ...]
    values: Values
    better: NDArray[np.int8]

    def ranks(self) -> dict[Path, tuple[int, int]]:
        """By submission folder, the best and the worst rank by this number that the tests allow."""
        return {e.folder: (int(a), int(b)) for e, (a, b) in zip(self.entries, ranks_of(self.better), strict=True)}

    def compared(self, first: str, second: str) -> int:
        """What ``better`` has for two rows by their labels; 0 also where one of them was not tested.

        Rank ranges do not say it: two ranges may overlap while a test tells the two rows apart.
        """
        labels = [entry.label for entry in self.entries]
        tested = first in labels and second in labels
        return int(self.better[labels.index(first), labels.index(second)]) if tested else 0


def by_main(tested: Sequence[Wins], task: str) -> Wins | None:
    """Of the tests of a task's numbers, those of its main number; None if no measured row has it."""
    return next((one for one in tested if (one.setting, one.metric) == board_columns(task).main), None)


def wins(entries: Sequence[Entry], task: str, columns: Sequence[tuple[str, str]] | None = None) -> list[Wins]:
    """Test all pairs of measured models on a task, by each of ``columns``: settings with metrics, or "bias" with measures.

    Without ``columns``, all numbers of the board. A number that no measured model has is left out.
    """
    chosen = list(columns or board_columns(task).headline)
    held: dict[tuple[str, str], list[tuple[Entry, Values]]] = {column: [] for column in chosen}
    for entry in entries:
        for column in chosen:
            # Without a value, as below the depth of a second stage, there is nothing to test.
            if (shares := entry.shares(task, *column)) is not None:
                held[column].append((entry, shares))
    return [_tested(column, models) for column, models in held.items() if models]


def _tested(column: tuple[str, str], models: Sequence[tuple[Entry, Values]]) -> Wins:
    setting, metric = column
    higher = (BIAS if setting == "bias" else METRICS)[metric].higher_is_better
    shares = np.stack([share for _, share in models], axis=1)
    better, values = shown_better(shares, higher), shares.sum(axis=0)
    order = np.argsort(-values if higher else values, kind="stable")
    entries = tuple(models[i][0] for i in order)
    return Wins(setting, metric, entries, values[order], better[np.ix_(order, order)])
