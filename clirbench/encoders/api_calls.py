"""A call of an API, repeated with growing pauses where it fails."""

import time
from collections.abc import Callable
from typing import TypeVar

from clirbench.support.errors import ClirbenchError, first_line

# How often a call is tried, and the seconds of the first pause; each later pause is twice as long.
ATTEMPTS = 5
PAUSE = 2.0
# A server that asks for a longer pause has a daily quota. The user decides when to go on.
LONGEST_PAUSE = 300.0
Answer = TypeVar("Answer")


class PassingError(Exception):
    """A failure that may pass. ``pause`` is the time in seconds that the server asks for; None where it names none."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


def repeated(call: Callable[[], Answer], name: str, failures: type[Exception]) -> Answer:
    """Call a function until it succeeds, at most five times, with a pause after each failure of the given type.

    ``name`` is the model's name, for messages.

    Raises:
        ClirbenchError: The last call failed too, or the server asks for a pause of more than five minutes.
    """
    attempt = 1
    while True:
        try:
            return call()
        except failures as error:
            asked = getattr(error, "pause", None)
            pause = PAUSE * 2 ** (attempt - 1) if asked is None else asked
            if pause > LONGEST_PAUSE:
                raise ClirbenchError(
                    f"{name}: the API asks for a pause of {pause:,.0f} seconds ({first_line(error)}): "
                    "what came is kept; run the same command again after it"
                ) from error
            if attempt == ATTEMPTS:
                raise ClirbenchError(
                    f"{name}: the API failed {ATTEMPTS} times ({first_line(error)}): "
                    "what came is kept; run the same command again"
                ) from error
        time.sleep(pause)
        attempt += 1
