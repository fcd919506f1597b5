"""Round ends of scales."""

import math

_ROUND = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


def round_up(value: float) -> float:
    """The least round number that is not below a positive value: one or one and a half digits, times a power of ten.

    >>> round_up(0.7043), round_up(11000.0)
    (0.8, 15000.0)
    """
    power = 10.0 ** math.floor(math.log10(value))
    # The tolerance keeps a round value despite rounding.
    return next(power * factor for factor in _ROUND if power * factor >= value * (1 - 1e-9))


def round_down(value: float) -> float:
    """The greatest round number that is not above a positive value.

    >>> round_down(2307.0)
    2000.0
    """
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * factor for factor in reversed(_ROUND) if power * factor <= value * (1 + 1e-9))
