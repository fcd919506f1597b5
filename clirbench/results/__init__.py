"""Results: one JSON file and one ranks file for each model and task."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clirbench.results.result import Result, read_result

_HOME = {
    "Result": "clirbench.results.result",
    "read_result": "clirbench.results.result",
}
__all__ = ["Result", "read_result"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: a module of this room must not pay for its neighbours.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'clirbench.results' has no attribute '{name}'")
