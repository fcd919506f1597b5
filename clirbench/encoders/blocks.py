"""Weights in 4-bit blocks: 32 weights of a row share one scale, by the rule of ggml's q4_0."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Weights of a block.
BLOCK = 32
_HALF = BLOCK // 2


def in_blocks(shape: Sequence[int]) -> bool:
    """Whether a packed model has weights of this shape in blocks: matrices whose rows fill blocks, and that have many rows.

    A table of few rows, such as that of token types, saves nothing, and an error in it moves every token.
    """
    return len(shape) == 2 and shape[1] % BLOCK == 0 and shape[0] >= BLOCK


def quantise_blocks(weights: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Round weights to 4 bits in blocks of 32 along each row, by the rule of ggml's q4_0 (``quantize_row_q4_0_ref``).

    The scale of a block is its weight of largest magnitude, with its sign, over -8, as float16. A weight becomes the whole
    number ``floor(weight / scale + 8.5)``, clipped to 0..15, and is read as ``(number - 8) * scale``. So weights that this rule
    made come back unchanged (scales below 6e-5, where float16 has fewer digits, excepted). The number is found with the scale
    as it is kept, where ggml takes the one before rounding to float16: what is read is then as near as it can be.

    Args:
        weights: float32 (rows, columns), finite; the number of columns is a multiple of 32.

    Returns:
        The numbers, uint8 (rows, columns / 2): byte j of a block holds weight j in its low half and weight j + 16 in its high
        half. The scales, float16 (rows, columns / 32).

    Raises:
        ValueError: The columns do not fill blocks, or a weight is not finite or too large for a scale in float16.
    """
    rows, columns = weights.shape
    if columns % BLOCK:
        raise ValueError(f"{columns} columns do not fill blocks of {BLOCK}")
    blocks = np.asarray(weights, dtype=np.float32).reshape(rows, -1, BLOCK)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2, keepdims=True), axis=2)
    with np.errstate(over="ignore"):
        # A block of zeros has the scale 0, not -0: what is packed twice has the same bytes.
        scales = (largest / -8).astype(np.float16) + np.float16(0)
    if not np.isfinite(scales).all():
        raise ValueError("a weight is not finite, or its scale is too large for float16")
    divisors = np.where(scales == 0, np.inf, scales.astype(np.float32))
    numbers = np.clip(np.floor(blocks / divisors + np.float32(8.5)), 0, 15).astype(np.uint8)
    packed = np.asarray(numbers[:, :, :_HALF] | numbers[:, :, _HALF:] << 4, dtype=np.uint8)
    return packed.reshape(rows, columns // 2), scales[:, :, 0]


def dequantise_blocks(packed: NDArray[np.uint8], scales: NDArray[np.float16]) -> NDArray[np.float32]:
    """Turn what :func:`quantise_blocks` returned back into weights, float32 (rows, columns)."""
    rows, width = packed.shape
    halves = packed.reshape(rows, -1, _HALF)
    weights = np.empty((rows, halves.shape[1], BLOCK), dtype=np.float32)
    weights[:, :, :_HALF] = halves & 15
    weights[:, :, _HALF:] = halves >> 4
    weights -= 8
    weights *= scales[:, :, None].astype(np.float32)
    return weights.reshape(rows, width * 2)
