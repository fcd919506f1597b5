"""Encode on several devices at once: a process for each, started by sentence-transformers' own pool."""

import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from clirbench.encoders.base import EncoderOptions, LoadedModel
from clirbench.support.errors import ClirbenchError, first_line

_THREADS = "OMP_NUM_THREADS"


class DevicePool:
    """Processes that encode with one model, one process per device. They start with the first texts.

    sentence-transformers hands each batch to the process that is free, and puts the vectors back into the order of the texts.

    Args:
        model: A SentenceTransformer. It is moved to the processor once the pool starts, and copied to every device.
        devices: As torch names them. A device may stand twice.
        lock: Held while the model is copied; None if no other thread uses it.
    """

    def __init__(self, model: Any, devices: Sequence[str], lock: Any = None) -> None:
        self._model, self._devices, self._lock = model, list(devices), lock or nullcontext()
        self._pool: Any = None

    def encode(self, call: Callable[..., Any], texts: list[str], batch_size: int, **arguments: Any) -> Any:
        """Call an encoding method of the model, which spreads the batches over the devices.

        Raises:
            ClirbenchError: A process has died.
        """
        if self._pool is None:
            with self._lock, _shared_threads(self._devices):
                self._pool = self._model.start_multi_process_pool(self._devices)
            weakref.finalize(self, self._model.stop_multi_process_pool, self._pool)
        # One batch at a time keeps every device busy, although long texts come first. No device goes without a part.
        part = min(batch_size, -(-len(texts) // len(self._devices)))
        try:
            return call(texts, batch_size=batch_size, pool=self._pool, chunk_size=max(1, part), **arguments)
        except RuntimeError as error:
            if "died unexpectedly" not in str(error):
                raise
            raise ClirbenchError(
                f"a process of --device {','.join(self._devices)} has died ({first_line(error)}): lower --batch-size, or name "
                "one device"
            ) from error


@contextmanager
def _shared_threads(devices: Sequence[str]) -> Iterator[None]:
    """Let processes on the processor share its cores, unless the user has set their threads."""
    on_processor = sum(device.startswith("cpu") for device in devices)
    if not on_processor or _THREADS in os.environ:
        yield
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ[_THREADS] = str(max(1, cores // on_processor))
    try:
        yield
    finally:
        del os.environ[_THREADS]


def refuse_several(options: EncoderOptions, kind: str) -> None:
    """Refuse more than one device for a kind of model that encodes on one.

    Raises:
        ClirbenchError: The options name several devices.
    """
    if len(options.devices) > 1:
        raise ClirbenchError(
            f"--device names {len(options.devices)} devices, and {kind} encodes on one: name one. Models of "
            "sentence-transformers with one dense vector per text take several"
        )


def check_several(options: EncoderOptions) -> None:
    """Check several devices before a model is loaded: a process on a device that is not there would die later.

    Raises:
        ClirbenchError: A device is not there, or a backend is chosen, which cannot be shared between processes.
    """
    if len(options.devices) < 2:
        return
    import torch

    if not all(options.devices):
        raise ClirbenchError(f"--device is '{str(options.device)[:60]}': give names of devices separated by commas")
    if options.backend is not None:
        refuse_several(options, f"the backend {options.backend}")
    for device in options.devices:
        try:
            torch.empty(0, device=device)
        # torch says in many ways that it does not have a device.
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise ClirbenchError(
                f"there is no device '{device}' here: correct --device {options.device}, or leave it out"
            ) from error


def devices_of(model: LoadedModel) -> tuple[str, ...]:
    """The devices of a loaded model; that of a served model is an address, and is one."""
    return tuple(model.device.split(",")) if model.served_by is None else (model.device,)
