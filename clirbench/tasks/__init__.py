"""Tasks: TOML files, and the collections that they declare."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clirbench.tasks.collection import load_collection
    from clirbench.tasks.task import Task
    from clirbench.tasks.task_file import list_tasks, load_task

_HOME = {
    "Task": "clirbench.tasks.task",
    "list_tasks": "clirbench.tasks.task_file",
    "load_task": "clirbench.tasks.task_file",
    "load_collection": "clirbench.tasks.collection",
}
__all__ = ["Task", "list_tasks", "load_collection", "load_task"]


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that one module of this room can be imported without the others.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'clirbench.tasks' has no attribute '{name}'")
