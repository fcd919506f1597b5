"""Models: what turns texts into vectors or scores, and how they are loaded."""

from typing import TYPE_CHECKING

from clirbench.support.lazy import imported_on_use

if TYPE_CHECKING:
    from clirbench.encoders.base import Encoder, EncoderOptions, Scorer
    from clirbench.encoders.load import load_encoder

_HOME = {
    "Encoder": "clirbench.encoders.base",
    "EncoderOptions": "clirbench.encoders.base",
    "Scorer": "clirbench.encoders.base",
    "load_encoder": "clirbench.encoders.load",
}
__all__ = ["Encoder", "EncoderOptions", "Scorer", "load_encoder"]
__getattr__ = imported_on_use(__name__, _HOME)
