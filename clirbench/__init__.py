"""clirbench: multilingual retrieval, measured in every setting at once."""

from typing import TYPE_CHECKING

from clirbench.support.lazy import imported_on_use
from clirbench.support.version import __version__

if TYPE_CHECKING:
    from clirbench.board.table import leaderboard
    from clirbench.encoders.base import Encoder, EncoderOptions
    from clirbench.encoders.load import load_encoder
    from clirbench.evaluation.evaluate import evaluate
    from clirbench.results.result import Result, read_result
    from clirbench.support.errors import ClirbenchError
    from clirbench.tasks.task import Task
    from clirbench.tasks.task_file import list_tasks, load_task

_HOME = {
    "ClirbenchError": "clirbench.support.errors",
    "Encoder": "clirbench.encoders.base",
    "EncoderOptions": "clirbench.encoders.base",
    "Result": "clirbench.results.result",
    "Task": "clirbench.tasks.task",
    "evaluate": "clirbench.evaluation.evaluate",
    "leaderboard": "clirbench.board.table",
    "list_tasks": "clirbench.tasks.task_file",
    "load_encoder": "clirbench.encoders.load",
    "load_task": "clirbench.tasks.task_file",
    "read_result": "clirbench.results.result",
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
# `clirbench --help` must not wait for torch.
__getattr__ = imported_on_use(__name__, _HOME)
