"""Calls into a model's own code. What goes wrong there is one line where a remedy is known, and else the model's traceback."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from clirbench.encoders.arrays import on_cpu
from clirbench.encoders.base import ModelInfo
from clirbench.support.errors import ClirbenchError, ModelError, first_line, message_of, shortened

# What PyTorch (CPU, CUDA, ROCm, MPS, XPU), cuBLAS, cuDNN, ONNX Runtime, NumPy and the system call it.
_MEMORY = re.compile(
    r"out of memory|(can'?t|cannot|could not|failed to|unable to) allocate|ALLOC_FAILED|MemoryAllocation|bad_alloc"
    r"|not enough memory",
    re.I,
)
_TASK = re.compile(
    r"\b(unsupported|unknown|invalid|missing|no|which|specify|give|pass|need\w*|required?)\b[^.]*\btask\b"
    r"|\btask\b[^.]*\b(must|required?|missing|needed|specified|unsupported|invalid|not|one of)\b",
    re.I,
)

# What ends a model's own code, but not a run: sys.exit() in an encoder would end it without a result, and without a word.
OF_A_MODEL = (Exception, SystemExit, GeneratorExit, BaseExceptionGroup)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says, by its type or in its words, that a device or the machine has no memory left."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or bool(_MEMORY.search(message_of(error)))
    )


def ask(model: ModelInfo, role: str, texts: Sequence[str], function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a method of a model for some texts, and wait until a tensor that it returns is computed.

    ``role`` says what the texts are, such as "query". They are for messages only: the method gets the arguments.

    Raises:
        ClirbenchError: Memory ran out, or the model wants a task.
        ModelError: The method raised something else, which is the cause. The message says which texts it was given.
    """
    try:
        return on_cpu(function(*arguments))
    except ClirbenchError:
        raise
    except OF_A_MODEL as error:
        line = first_line(error)
        if is_out_of_memory(error):
            own = ", or encode fewer texts at a time in your own code" if model.kind == "own" else ""
            raise ClirbenchError(
                f"the device is out of memory ({line}): lower --batch-size or --max-length{own}"
            ) from error
        if model.kind != "own" and _TASK.search(line):
            raise ClirbenchError(f"{model.name} wants a task ({line}): pass --encode-task") from error
        first = shortened(texts[0])
        # The first frame of the traceback is this function, which tells nobody anything.
        cause = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
        raise ModelError(
            f"{model.name} raised {type(error).__name__} ({line}) when it was given {len(texts):,} "
            f"{'texts' if len(texts) > 1 else 'text'} (each a {role}, the first {first!r}): "
            "mend the model and run again"
        ) from cause
