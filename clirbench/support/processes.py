"""Processes that work for another one."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Let this process end when its parent does, however that ends: without it, a worker of a killed command waits for ever."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
