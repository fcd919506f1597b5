"""Weights in 4-bit blocks: the rule, the layout of the bytes, and what comes back unchanged."""

import numpy as np
import pytest

from clirbench.encoders.blocks import BLOCK, dequantise_blocks, quantise_blocks


def test_a_block_worked_by_hand():
    """The largest magnitude is -4, so the scale is -4 / -8 = 0.5, and a weight becomes floor(weight / 0.5 + 8.5)."""
    block = np.zeros((1, BLOCK), dtype=np.float32)
    block[0, :6] = [-4, 3.5, 3.9, 0.24, 0.25, -0.26]
    block[0, 16:18] = [1, -1]
    packed, scales = quantise_blocks(block)
    assert scales.dtype == np.float16
    assert scales.tolist() == [[0.5]]
    #            -4 and 1   3.5 and -1   3.9 is clipped; 0.24; 0.25 is half way, and goes up; -0.26
    expected = [0 | 10 << 4, 15 | 6 << 4, 15 | 8 << 4, 8 | 8 << 4, 9 | 8 << 4, 7 | 8 << 4, *[8 | 8 << 4] * 10]
    assert packed.dtype == np.uint8
    assert packed.tolist() == [expected]
    back = dequantise_blocks(packed, scales)
    assert back.dtype == np.float32
    assert back[0, :6].tolist() == [-4, 3.5, 3.5, 0, 0.5, -0.5]
    assert back[0, 16:18].tolist() == [1, -1]


def test_a_positive_largest_weight_makes_a_negative_scale():
    block = np.linspace(-1, 2, BLOCK, dtype=np.float32)[None]
    packed, scales = quantise_blocks(block)
    assert scales.tolist() == [[-0.25]]
    assert dequantise_blocks(packed, scales)[0, -1] == 2


def test_weights_on_such_a_grid_come_back_unchanged():
    """A copy in 4 bits is packed again without any loss, whatever the sizes and signs of its scales."""
    rng = np.random.default_rng(0)
    weights = (rng.normal(size=(40, 96)) * 10.0 ** rng.integers(-3, 5, (40, 1))).astype(np.float32)
    weights[3, :BLOCK] = 0
    once = dequantise_blocks(*quantise_blocks(weights))
    assert not np.array_equal(once, weights)
    packed, scales = quantise_blocks(once)
    assert np.array_equal(dequantise_blocks(packed, scales), once)
    assert not np.signbit(scales[3, 0])


def test_no_weight_moves_further_than_a_step_of_its_block():
    """Half a step, and on the side that 0..15 does not reach (7.5 steps from the middle) a whole one."""
    weights = np.random.default_rng(1).normal(size=(64, 128)).astype(np.float32)
    packed, scales = quantise_blocks(weights)
    assert packed.shape == (64, 64)
    assert scales.shape == (64, 4)
    steps = (weights - dequantise_blocks(packed, scales)).reshape(64, 4, BLOCK) / scales[:, :, None].astype(np.float32)
    assert np.abs(steps).max() <= 1.01
    assert np.abs(steps[weights.reshape(64, 4, BLOCK) / scales[:, :, None] < 7.4]).max() <= 0.501


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros((2, 48), dtype=np.float32), "48 columns do not fill blocks of 32"),
        (np.full((1, 32), np.nan, dtype=np.float32), "not finite"),
        (np.full((1, 32), 1e6, dtype=np.float32), "too large"),
    ],
)
def test_what_has_no_blocks_is_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        quantise_blocks(weights)
