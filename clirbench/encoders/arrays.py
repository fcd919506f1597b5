"""What a model returned, as one array in memory of our own; what is no array of real numbers is refused with the reason."""

import inspect
import sys
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import Vectors
from clirbench.support.errors import ClirbenchError, first_line

# A NumPy array of real numbers of any dtype, or a SciPy array or matrix in any format.
Numbers: TypeAlias = NDArray[Any] | Any
_KINDS = {
    "c": "complex numbers", "O": "objects", "V": "a structured array", "U": "text", "S": "bytes", "M": "dates", "m": "times",
}  # fmt: skip
# Packed bits fill a byte evenly: in vectors of the models that were tried, each eighth of its range held 0.66 to 1.55 times its
# equal share, from 16 vectors on. Numbers that were rounded to bytes left some eighth below 0.55.
_LOW, _HIGH = 0.6, 1.6
_BYTES = 512
# Numbers that were rounded to bytes by the least and greatest value of a few vectors fill the byte evenly too, but then each
# dimension has both ends of the byte.
_FEW = 64


class NoNumbersError(ClirbenchError):
    """What was returned is not one array of real numbers. ``reason`` says why in a few words."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not numbers in one shape ({reason}): return an array (texts, dimensions)")
        self.reason = reason


def is_tensor(raw: Any) -> bool:
    """Whether something is a torch tensor. torch is not imported for that."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(raw, torch.Tensor)


def on_cpu(raw: Any) -> Any:
    """Wait until a tensor is computed, and move it to the CPU. Everything else, and a tensor without values, stays as it is."""
    return raw.detach().cpu() if is_tensor(raw) and not raw.is_meta else raw


def as_numbers(raw: Any) -> Numbers:
    """Read what a model returned as real numbers; the array may share the model's memory.

    Args:
        raw: An array, a tensor, a frame, a SciPy matrix, or a list of rows.

    Returns:
        A NumPy array of any real dtype and shape, or a SciPy array or matrix.

    Raises:
        NoNumbersError: It is none of these, or has complex, masked or missing values.
    """
    try:
        numbers = _read(raw)
    except (NoNumbersError, MemoryError):
        raise
    except Exception as error:  # whatever torch, or a stranger's __array__, raises
        raise NoNumbersError(first_line(error)) from error
    if numbers.dtype.kind not in "fiub":
        raise NoNumbersError(_KINDS.get(numbers.dtype.kind, str(numbers.dtype)))
    return numbers


def is_sparse(value: Any) -> bool:
    """Whether a value is an array or a matrix of SciPy. Nobody has one who has not loaded SciPy, so it is not loaded here."""
    loaded = sys.modules.get("scipy.sparse")
    return loaded is not None and bool(loaded.issparse(value))


def _read(raw: Any) -> Numbers:
    if is_sparse(raw):
        _check_indices(raw)
        return raw
    if is_tensor(raw):
        return _of_tensor(raw)
    if inspect.iscoroutine(raw):
        raw.close()
        raise NoNumbersError("a coroutine: write the method without async")
    if isinstance(raw, list | tuple) and raw and all(map(is_tensor, raw)):
        raw = [_of_tensor(row) for row in raw]
    if np.ma.is_masked(raw):
        raise NoNumbersError("masked values")
    array = np.asarray(raw)
    # The 16-bit floats of JAX and TensorFlow, which NumPy does not know as numbers.
    if array.dtype.kind == "V" and array.dtype.type.__module__ == "ml_dtypes":
        return array.astype(np.float32)
    return array


def _check_indices(matrix: Any) -> None:
    """Raise if a SciPy matrix has an index outside its shape: SciPy itself reads and writes foreign memory then."""
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)
    elif matrix.format == "coo":
        for index, size in zip(matrix.coords, matrix.shape, strict=True):
            if len(index) and not 0 <= index.min() <= index.max() < size:
                raise NoNumbersError("an index is outside the shape")


def as_float32(raw: Any) -> Vectors:
    """Copy what a model returned into float32: a C-contiguous NumPy array, or CSR without double entries.

    The copy is what makes the vectors ours: a model may use its memory again for the next batch.

    Raises:
        NoNumbersError: As for :func:`as_numbers`.
    """
    numbers = as_numbers(raw)
    with np.errstate(over="ignore"):
        if is_sparse(numbers):
            if numbers.ndim != 2:
                raise NoNumbersError(f"sparse, with {numbers.ndim} axes")
            from scipy import sparse

            rows = sparse.csr_array(numbers, dtype=np.float32, copy=True)
            rows.check_format(full_check=True)
            rows.sum_duplicates()
            return rows
        return np.array(numbers, dtype=np.float32, order="C", copy=True)


def looks_packed(numbers: Numbers) -> bool:
    """Whether integers of 8 bits look like bits packed into bytes, and not like numbers.

    A packed byte holds the signs of eight dimensions, so its values are about equally frequent: each eighth of the range holds
    0.6 to 1.6 times its equal share. Numbers that were rounded to bytes are frequent in the middle or at an end. Fewer than 512
    bytes are too few to tell.

    Args:
        numbers: An array of any dtype and shape.
    """
    if is_sparse(numbers) or numbers.dtype not in (np.int8, np.uint8) or numbers.size < _BYTES:
        return False
    values = numbers.astype(np.int16) - np.iinfo(numbers.dtype).min
    shares = np.bincount(values.ravel() // 32, minlength=8) * 8 / values.size
    if not (shares.min() >= _LOW and shares.max() <= _HIGH):
        return False
    both_ends = (values <= 1).any(axis=0) & (values >= 254).any(axis=0)
    return bool(len(values) >= _FEW or both_ends.mean() < 0.9)


def _of_tensor(raw: Any) -> Numbers:
    import torch

    if raw.is_meta:
        raise NoNumbersError("a meta tensor, which has no values")
    if raw.is_nested:
        raise NoNumbersError("a nested tensor, whose rows differ in length")
    if raw.is_complex():
        raise NoNumbersError("complex numbers")
    raw = raw.detach().cpu()
    if raw.is_quantized:
        raw = raw.dequantize()
    if raw.is_floating_point():
        raw = raw.float()
    if raw.layout == torch.strided:
        return np.asarray(raw.numpy(force=True))
    if raw.ndim != 2 or not hasattr(raw, "to_sparse_coo"):
        raise NoNumbersError(f"sparse, with {raw.ndim} axes")
    if raw.layout == torch.sparse_coo and raw.dense_dim():
        return np.asarray(raw.to_dense().numpy(force=True))
    raw = raw.to_sparse_coo().coalesce()
    from scipy import sparse

    return sparse.coo_array((raw.values().numpy(force=True), tuple(raw.indices().numpy())), shape=tuple(raw.shape))
