"""The version of clirbench."""

__version__ = "0.1.0"
