"""Warnings of other libraries, kept off the user's screen: what matters of them, clirbench says itself."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LIBRARIES = (
    "accelerate",
    "datasets",
    "huggingface_hub",
    "mteb",
    "optimum",
    "peft",
    "pylate",
    "sentence_transformers",
    "transformers",
)
# These libraries set the level of their logger themselves when they are imported, and read it here.
_VERBOSITY = ("TRANSFORMERS_VERBOSITY", "HF_HUB_VERBOSITY", "DATASETS_VERBOSITY")


@contextmanager
def others_silenced() -> Iterator[None]:
    """Silence the warnings of other libraries inside the ``with`` block. Their errors are shown.

    A logger that was set to show more than warnings stays as it is.
    """
    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    changed = [(logger, logger.level) for logger in loggers if logger.getEffectiveLevel() >= logging.WARNING]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger, _ in changed:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in changed:
                logger.setLevel(level)


def silence_others() -> None:
    """Silence the warnings of other libraries in this process and in those that it starts.

    Warnings of the user's own code are shown. ``-W`` and ``PYTHONWARNINGS`` of Python, and the variables with which the libraries
    set their verbosity, win.
    """
    if not sys.warnoptions:
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], filename: str, *more: Any) -> None:
            if not {"site-packages", "dist-packages"} & set(Path(filename).parts):
                shown(message, category, filename, *more)

        warnings.showwarning = show  # type: ignore[assignment]
    for name in _VERBOSITY:
        os.environ.setdefault(name, "error")
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.ERROR)
