"""The memory of this process: its peak, what it holds now, and what a run says of it at its end."""

import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def peak_memory() -> int | None:
    """Largest resident memory of this process so far, in bytes; None where the system does not say."""
    # Not getrusage: on Linux its peak includes the peak of the parent process.
    known = _status("VmHWM:")
    if known is not None:
        return known
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def resident_memory() -> int | None:
    """Resident memory of this process now, in bytes; None where the system does not say, which is everywhere but on Linux."""
    return _status("VmRSS:")


def _status(name: str) -> int | None:
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
    return None


@dataclass
class MemoryOfRun:
    """What a run holds in memory, for one line at its end.

    Attributes:
        model: Resident memory once the model was loaded: program, libraries and model. None where the system does not say.
        peak_before: Peak memory at that time.
        vectors: Bytes of the vectors of the largest task; 0 for a model without vectors.
    """

    model: int | None = None
    peak_before: int | None = None
    vectors: int = 0

    def loaded(self) -> None:
        """Note that the model is loaded, and nothing else."""
        self.model, self.peak_before = resident_memory(), peak_memory()

    def holds(self, *arrays: Any) -> None:
        """Note vectors that are held at once, dense arrays or SciPy's CSR arrays."""
        parts = [
            part
            for array in arrays
            for part in ((array.data, array.indices, array.indptr) if hasattr(array, "indptr") else (array,))
        ]
        self.vectors = max(self.vectors, sum(part.nbytes for part in parts))

    def line(self) -> str | None:
        """The peak and its parts, such as "peak memory 1.2 GB: program and model 520 MB, vectors 310 MB, the rest 370 MB".

        The peak alone where the parts are not known. None where the system says nothing.
        """
        peak = peak_memory()
        if peak is None:
            return None
        said = f"peak memory {_size(peak)}"
        if self.model is None or self.peak_before is None:
            return said
        if peak <= self.peak_before:
            return f"{said}, while the model was loaded"
        vectors = f", vectors {_size(self.vectors)}" if self.vectors else ""
        rest = max(0, peak - self.model - self.vectors)
        return f"{said}: program and model {_size(self.model)}{vectors}, the rest {_size(rest)}"


def _size(size: int) -> str:
    # Only the end of a run needs it.
    import humanize

    return humanize.naturalsize(size, format="%.3g" if size < 10**9 else "%.1f")
