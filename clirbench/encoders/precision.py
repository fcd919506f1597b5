"""The dtype that a model's weights are in, and the dtype that its checkpoint was saved in."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I8": "int8", "U8": "uint8"}
# A longer header is no header.
_HEADER = 100_000_000


def weights_dtype(model: Any) -> str:
    """The floating dtype of most of a torch module's weights; "float32" for a model without any."""
    counts: Counter[str] = Counter()
    for parameter in model.parameters():
        if parameter.is_floating_point():
            counts[str(parameter.dtype).removeprefix("torch.")] += parameter.numel()
    return counts.most_common(1)[0][0] if counts else "float32"


def saved_dtype(folder: Path | None) -> str | None:
    """The dtype of most of the weights in a model's folder, read from the heads of its safetensors files.

    Without such files it is what config.json says. None where neither says, or there is no folder.
    """
    if folder is None:
        return None
    counts: Counter[str] = Counter()
    for path in folder.rglob("*.safetensors"):
        if not path.name.startswith("adapter"):
            counts.update(_elements(path))
    if counts:
        return counts.most_common(1)[0][0]
    for path in (folder / "config.json", *sorted(folder.glob("*/config.json"))):
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
            stated = config.get("dtype") or config.get("torch_dtype")
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(stated, str):
            return stated.removeprefix("torch.")
    return None


def _elements(path: Path) -> Counter[str]:
    """Count the elements of each dtype that the head of a safetensors file names."""
    counts: Counter[str] = Counter()
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            tensors = json.loads(file.read(size)) if size <= _HEADER else {}
        for name, tensor in tensors.items():
            if name != "__metadata__":
                counts[_NAMES.get(tensor["dtype"], str(tensor["dtype"]).lower())] += math.prod(tensor["shape"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Counter()
    return counts
