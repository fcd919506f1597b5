"""Models: what turns texts into vectors or scores, and how they are loaded."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that one module of this room can be imported without the others.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'clirbench.encoders' has no attribute '{name}'")
