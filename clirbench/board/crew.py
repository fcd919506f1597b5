"""Processes that work for a board: started when there is much to do, and kept until its end."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import TypeVar

from clirbench.support.processes import end_with_parent, safe_start

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")
# Below this number, starting processes takes longer than the work.
_FEW = 8


class Crew:
    """As many processes as there are cores. Around their work: ``with Crew() as crew``."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def run(self, work: Callable[[_Item], _Made], items: Sequence[_Item]) -> Iterator[_Made]:
        """What ``work``, a function of a module, makes of each item, in their order. Few items are done in this process."""
        cores = os.cpu_count() or 1
        if self._pool is None and (cores < 2 or len(items) < _FEW):
            yield from map(work, items)
            return
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(cores, mp_context=context, initializer=end_with_parent)
        with safe_start():
            # It starts the processes, and returns before they have done anything.
            made = self._pool.map(work, items, chunksize=4)
        yield from made
