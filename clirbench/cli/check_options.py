"""Refuse options of `clirbench run` and `clirbench plan` that do not fit each other, or do not fit the tasks."""

import math
from collections.abc import Sequence

from clirbench.evaluation.streaming.options import Streaming
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task import Task

_ENGINES = ("local", "ray")
# Options that apply to streamed tasks only, and their fields.
_STREAMED_ONLY = {"data": "data", "vectors": "vectors", "save-top": "top"}


def check_streaming(streaming: Streaming, model: str | None, tasks: Sequence[Task], mteb_tasks: bool = False) -> None:
    """Check the options of streamed tasks.

    ``mteb_tasks`` says that the run also has mteb's own tasks, to which only --data applies.

    Raises:
        ClirbenchError: An option is out of range, or does not fit another option or a task; the message names the option.
    """
    for name, value, least in (
        ("shard-size", streaming.shard, 1),
        ("save-top", streaming.top, 0),
        ("workers", streaming.workers, 1),
        ("gpus-per-worker", streaming.gpus_per_worker, 0),
    ):
        if value is not None and value < least:
            raise ClirbenchError(f"--{name} is {value:g}: use {least} or more")
    gpus = streaming.gpus_per_worker
    if not math.isfinite(gpus) or (gpus > 1 and gpus != int(gpus)):
        raise ClirbenchError(f"--gpus-per-worker is {gpus:g}: use a part of 1, or a whole number")
    if streaming.engine not in _ENGINES:
        raise ClirbenchError(f"--engine is '{streaming.engine[:40]}': use {', '.join(_ENGINES)}")
    for name in ("ray_address", "workers", "gpus_per_worker"):
        if streaming.engine != "ray" and getattr(streaming, name):
            raise ClirbenchError(f"--{name.replace('_', '-')} does nothing without --engine ray: add it")
    # The vectors exist before the run, so the run needs no model.
    if streaming.vectors is not None and model is not None:
        raise ClirbenchError("--vectors takes the place of --model: give one of them")
    # An option that a task in memory would ignore is refused.
    in_memory = [task.id for task in tasks if not task.streamed]
    changed = [option for option, name in _STREAMED_ONLY.items() if getattr(streaming, name)]
    changed += ["engine"] if streaming.engine != "local" else []
    # --data may name a folder of mteb's data or of a streamed corpus, but not of both.
    if mteb_tasks and (changed != ["data"] or len(in_memory) < len(tasks)):
        in_memory.append("a task of mteb's")
    if in_memory and changed:
        problem = f"--{changed[0]} serves tasks that are read shard by shard, and {in_memory[0]} is not"
        raise ClirbenchError(f"{problem}: leave one out")
