"""Tasks: TOML files, and the collections that they declare."""

from typing import TYPE_CHECKING

from clirbench.support.lazy import imported_on_use

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
__getattr__ = imported_on_use(__name__, _HOME)
