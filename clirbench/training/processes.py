"""One training in several processes, as torchrun starts them."""

import os


def is_first_process() -> bool:
    """Whether this is the process that writes: torchrun's first, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def leave_group() -> None:
    """Say goodbye to the other processes: one that merely ends may abort in PyTorch's background threads."""
    import torch  # noqa: PLC0415

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
