"""BLAS, the library that multiplies matrices for NumPy, and the number of its threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

_limits: list[threadpool_limits] = []
_counting = 0
_guard = threading.Lock()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread while any thread of this process is in such a block.

    The old limit comes back when none is. For small products, the threads of BLAS spend more time waiting for one another than
    multiplying.
    """
    global _counting  # noqa: PLW0603 - BLAS's own setting is global
    with _guard:
        if _counting == 0:
            _limits.append(threadpool_limits(1, user_api="blas"))
        _counting += 1
    try:
        yield
    finally:
        with _guard:
            _counting -= 1
            if _counting == 0:
                _limits.pop().restore_original_limits()
