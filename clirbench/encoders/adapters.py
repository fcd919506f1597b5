"""Tasks of a model of sentence-transformers that has one adapter, or one way of reading, for each."""

from collections.abc import Iterator
from typing import Any

from clirbench.encoders.base import EncoderOptions
from clirbench.support.errors import ClirbenchError

# Under these names, models and their configurations list their tasks.
_LISTS = ("lora_adaptations", "_lora_adaptations", "task_names", "tasks", "adaptation_map", "_adaptation_map")
# What sentence-transformers itself passes as the task of queries and of documents.
_ROLES = {"query", "document"}
Tasks = tuple[str | None, str | None]


def asked_tasks(options: EncoderOptions) -> Tasks:
    """The tasks for queries and for candidates that the user asks for: NAME is for both, QUERY,CANDIDATE one for each.

    Raises:
        ClirbenchError: There are more than two names, or an empty one.
    """
    if options.encode_task is None:
        return None, None
    names = [name.strip() for name in options.encode_task.split(",")]
    if len(names) > 2 or not all(names):
        raise ClirbenchError(f"--encode-task is '{options.encode_task[:60]}': use NAME, or QUERY,CANDIDATE")
    return names[0], names[-1]


def choose_tasks(model: Any, options: EncoderOptions, label: str) -> tuple[Tasks, list[str]]:
    """The tasks for queries and candidates, None for the model's own choice, and notes for the user.

    Raises:
        ClirbenchError: The model has no tasks, or none of a name that the options ask for; the message lists those that it has.
    """
    asked = asked_tasks(options)
    takes, known = _takes_task(model), _known(model)
    if asked == (None, None):
        if not takes or not known or set(known) >= _ROLES:
            return asked, []
        return asked, [
            f"the model has tasks that are not used: {', '.join(known)} (--encode-task QUERY,CANDIDATE chooses)"
        ]
    if not takes:
        routes = " (a Router reads queries and candidates each in its own way)" if _routed(model) else ""
        raise ClirbenchError(f"--encode-task does not apply to {label}, which has no tasks{routes}: leave it out")
    if not known:
        return asked, ["the model does not list its tasks, so nobody can tell whether it knows the one that you name"]
    for name in asked:
        if name not in known:
            raise ClirbenchError(
                f"--encode-task has '{name}', which is no task of {label}: choose from {', '.join(known)}"
            )
    return asked, []


def _routed(model: Any) -> bool:
    return any(hasattr(module, "sub_modules") for _, module in model.named_children())


def _takes_task(model: Any) -> bool:
    """Whether a module of the model, other than a Router, is told the task of the texts."""
    if _routed(model):
        return False
    configured = getattr(model, "module_kwargs", None) or {}
    return any(
        "task" in (configured.get(name) or ())
        or "task" in getattr(module, "forward_kwargs", ())
        or "task" in (getattr(module, "_declared_forward_params", None) or ())
        for name, module in model.named_children()
    )


def _known(model: Any) -> list[str]:
    """The tasks that the model lists, in its order."""
    for holder in _holders(model):
        for name in _LISTS:
            listed = getattr(holder, name, None)
            if isinstance(listed, list | tuple | dict) and listed and all(isinstance(task, str) for task in listed):
                return list(listed)
    return []


def _holders(model: Any) -> Iterator[Any]:
    for _, module in model.named_children():
        body = getattr(module, "auto_model", None)
        yield from (module, getattr(module, "config", None), body, getattr(body, "config", None))
