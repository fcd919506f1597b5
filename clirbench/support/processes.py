"""Processes that work for another one."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


def end_with_parent() -> None:
    """Let this process end when its parent does, however that ends: without it, a worker of a killed command waits for ever."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def safe_start() -> Iterator[None]:
    """Start processes within it that import neither modules of the working folder nor the caller's script.

    The folder may be a stranger's, and the script would run once more.
    """
    before, main = os.environ.get("PYTHONSAFEPATH"), sys.modules["__main__"]
    os.environ["PYTHONSAFEPATH"] = "1"
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        # Processes that the caller starts later are none of ours.
        sys.modules["__main__"] = main
        os.environ.pop("PYTHONSAFEPATH")
        if before is not None:
            os.environ["PYTHONSAFEPATH"] = before
