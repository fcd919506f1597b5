"""clirbench: multilingual retrieval, measured in every setting at once."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clirbench.board import leaderboard
    from clirbench.encoders import load_encoder
    from clirbench.encoders.base import Encoder, EncoderOptions
    from clirbench.errors import ClirbenchError
    from clirbench.evaluation import evaluate
    from clirbench.results import Result, read_result
    from clirbench.tasks import Task, list_tasks, load_task

__version__ = "0.1.0"

_HOME = {
    "ClirbenchError": "clirbench.errors",
    "Encoder": "clirbench.encoders.base",
    "EncoderOptions": "clirbench.encoders.base",
    "Result": "clirbench.results",
    "Task": "clirbench.tasks",
    "evaluate": "clirbench.evaluation",
    "leaderboard": "clirbench.board",
    "list_tasks": "clirbench.tasks",
    "load_encoder": "clirbench.encoders",
    "load_task": "clirbench.tasks",
    "read_result": "clirbench.results",
}
__all__ = [
    "ClirbenchError",
    "Encoder",
    "EncoderOptions",
    "Result",
    "Task",
    "__version__",
    "evaluate",
    "leaderboard",
    "list_tasks",
    "load_encoder",
    "load_task",
    "read_result",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `clirbench --help` must not wait for torch.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'clirbench' has no attribute '{name}'")
