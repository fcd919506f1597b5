"""Several models as one: reciprocal rank fusion, or a weighted sum of scaled scores."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders import base
from clirbench.encoders.endpoint import is_endpoint
from clirbench.support.errors import ClirbenchError
from clirbench.support.names import check_name

# The constant of Cormack, Clarke and Büttcher (2009), who report that its exact value matters little.
_K = 60
_SPELLING = re.compile(r"(rrf|sum):(.+)", re.DOTALL)
_WEIGHTED = re.compile(r"(\d*\.?\d+)\*(.+)", re.DOTALL)
_OF_PARTS = ("revision", "depth", *base.OF_PROMPTS, *base.OF_VECTORS)


def is_fusion(name: str) -> bool:
    """Whether a name spells a fusion: ``rrf:A+B`` or ``sum:0.7*A+0.3*B``."""
    return _SPELLING.fullmatch(name) is not None


def load_fusion(
    name: str, options: base.EncoderOptions, load: Callable[[str, base.EncoderOptions], base.LoadedModel]
) -> base.LoadedFusion:
    """Load the parts of a fusion, each with the same options; options that differ between models, such as prompts, are refused.

    A part without a weight has weight 1.

    Raises:
        ClirbenchError: The name has fewer than two parts or a wrong weight, or a part cannot be loaded.
    """
    matched = _SPELLING.fullmatch(name)
    assert matched is not None  # noqa: S101
    base.refuse(options, _OF_PARTS, "a fusion of models, whose parts have their own")
    method, names, weights = matched[1], [], []
    for part in matched[2].split("+"):
        weighted = _WEIGHTED.fullmatch(part.strip())
        names.append((weighted[2] if weighted else part).strip())
        weights.append(float(weighted[1]) if weighted else 1.0)
    if len(names) < 2 or not all(names) or len(set(names)) < len(names):
        raise ClirbenchError(f"--model {name[:80]}: a fusion has two or more different models, such as {method}:A+B")
    if method == "rrf" and set(weights) != {1.0}:
        raise ClirbenchError(f"--model {name[:80]}: rrf looks at ranks and takes no weights; use sum")
    if not all(weight > 0 for weight in weights):
        raise ClirbenchError(f"--model {name[:80]}: a weight is 0: give a weight above 0")
    parts = tuple(load(part, for_part(part, options)) for part in names)
    if any(isinstance(part, base.LoadedFusion) for part in parts):
        raise ClirbenchError(f"--model {name[:80]}: a fusion cannot be a part of another")
    labels = [
        f"{weight:g}-{part.info.name}" if method == "sum" else part.info.name
        for weight, part in zip(weights, parts, strict=True)
    ]
    own_name = options.name or f"fusion/{method}-" + "-".join(re.sub(r"[^\w.-]", "-", label) for label in labels)
    check_name(own_name)
    return base.LoadedFusion(
        method=method,
        weights=tuple(weights),
        parts=parts,
        info=info_of_parts(own_name, "fusion", parts, (method, _K, weights)),
        settings=base.EncoderSettings(similarity="fusion"),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        batch_size=options.batch_size,
        device=parts[0].device,
        trust_remote_code=any(part.trust_remote_code for part in parts),
        api=any(part.api for part in parts),
    )


def info_of_parts(name: str, kind: str, parts: Sequence[base.LoadedModel], how: Sequence[Any] = ()) -> base.ModelInfo:
    """Identify a model that is made of others. ``how`` is what else its scores depend on, as JSON takes it.

    The revision is a checksum over the parts' identities and ``how``; None if a part has none.
    """
    revision = None
    if all(part.info.revision for part in parts):
        identity = [*how, [[asdict(part.info), asdict(part.settings)] for part in parts]]
        revision = "sha256:" + hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    counted = [part.info.parameters for part in parts]
    parameters = None if None in counted else sum(filter(None, counted))
    return base.ModelInfo(name, kind, revision, "parts-sha256" if revision else "unknown", parameters)


def for_part(name: str, options: base.EncoderOptions) -> base.EncoderOptions:
    """Leave out the options that a part cannot take: the name is the fusion's, and served and fixed models have no device."""
    from clirbench.encoders.bundled import has_fixed_settings

    if name.startswith("clirbench/") or is_endpoint(name):
        options = replace(options, backend=None, safe=None, allow_pickle=False)
    if has_fixed_settings(name) or is_endpoint(name):
        options = replace(options, device=None, dtype=None, max_length=None)
    return replace(options, name=None)


def fused(method: str, weights: Sequence[float], scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fuse the scores of the parts over one pool. A fused score depends on all candidates of the pool.

    "rrf" is reciprocal rank fusion (Cormack et al. 2009): the sum of 1 / (60 + rank) over the parts. Candidates with equal scores
    all get the last of their ranks, because clirbench counts ties as lost. "sum" scales each part's scores of a query to 0 to 1
    over the pool, and adds them with the weights.

    ``scores`` are float32 (parts, queries, candidates of the pool), the result is float32 (queries, candidates of the pool).
    """
    from scipy.stats import rankdata

    if method == "rrf":
        total = sum(1 / (_K + rankdata(-part, method="max", axis=1)) for part in scores)
    else:
        total = 0
        for weight, part in zip(weights, scores.astype(np.float64), strict=True):
            low, high = part.min(axis=1, keepdims=True), part.max(axis=1, keepdims=True)
            total = total + weight * (part - low) / np.where(high > low, high - low, 1)
    return np.asarray(total, dtype=np.float32)
