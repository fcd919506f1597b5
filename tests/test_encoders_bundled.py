"""The bundled models as the wheel carries them."""

import tomllib
import zlib
from pathlib import Path

from clirbench.encoders.bundled import BUNDLED

ROOT = Path(__file__).resolve().parent.parent


def wheel_files():
    """The files that pyproject.toml puts into the wheel."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    for place in (*wheel["packages"], *wheel["force-include"]):
        path = ROOT / place
        files = [path] if path.is_file() else path.rglob("*")
        yield from (file for file in files if file.is_file() and "__pycache__" not in file.parts)


def test_the_wheel_stays_under_60_mb():
    """Each file deflated by itself, as a wheel holds it."""
    files = set(wheel_files())
    for model in BUNDLED.values():
        if model.folder is not None:
            assert {path for path in model.folder.rglob("*") if path.is_file()} <= files
            assert sum(path.stat().st_size for path in model.folder.rglob("*") if path.is_file()) <= 25_000_000
    size = sum(len(zlib.compress(file.read_bytes())) for file in files)
    assert 10_000_000 < size < 60_000_000
