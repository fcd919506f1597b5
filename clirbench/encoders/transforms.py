"""Published removals of language bias, applied to finished vectors: what post-processing alone does to a score."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clirbench.support.errors import ClirbenchError
from clirbench.support.files import reading

Matrix = NDArray[np.float32]
POOL = "pool"
TRANSFORMS: dict[str, str] = {
    "center": "subtract the mean vector of the text's language",
    "lir": "remove the first K principal directions of the text's language (Yang et al. 2021, arXiv 2109.04727)",
    "lsar": "remove a subspace of K directions in which the languages' means differ (Xie et al. 2022, arXiv 2401.05792)",
}


@dataclass(frozen=True)
class Transform:
    """A removal of language bias, not yet fitted.

    Attributes:
        name: From ``TRANSFORMS``.
        rank: How many directions; 0 for ``center``.
        sample: "pool": fitted on the candidates of the run, by language, without labels; or "sha256:..." of a file of texts.
        texts: That file's texts by language; empty for "pool".
    """

    name: str
    rank: int
    sample: str = POOL
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name if self.name == "center" else f"{self.name}:{self.rank}"


@dataclass(frozen=True)
class Removal:
    """A fitted transform: x becomes x - offset - B B' (x - offset), with the offset and the basis B of the text's language.

    Attributes:
        offsets: float32 (languages, dimensions).
        bases: One float32 (dimensions, rank) per language.
    """

    offsets: Matrix
    bases: tuple[Matrix, ...]

    def __call__(self, vectors: Matrix, language: int) -> Matrix:
        """float32 (texts, dimensions), of one language."""
        moved = vectors - self.offsets[language]
        basis = self.bases[language]
        return np.asarray(moved - (moved @ basis) @ basis.T, dtype=np.float32)


def parse_transform(text: str, sample: str | Path | None = None) -> Transform:
    """Read ``center``, ``lir:K`` or ``lsar:K``.

    Args:
        text: As on the command line.
        sample: JSON Lines file of ``{"language": ..., "text": ...}`` to fit on; None for the run's own candidates.

    Raises:
        ClirbenchError: It is none of these, or the file cannot be read.
    """
    found = re.fullmatch(r"(center)|(lir|lsar):([1-9]\d{0,3})", text)
    if not found:
        raise ClirbenchError(f"--transform is '{text[:40]}': use center, lir:K or lsar:K, with K from 1")
    name, rank = found[1] or found[2], int(found[3] or 0)
    if sample is None:
        return Transform(name, rank)
    digest, texts = _read_sample(Path(sample))
    return Transform(name, rank, digest, texts)


def fit_transform(transform: Transform, samples: Sequence[Matrix]) -> Removal:
    """Fit on sample vectors.

    Args:
        transform: What to fit.
        samples: float32 (texts, dimensions) per language, unit vectors.

    Raises:
        ClirbenchError: K is not below the number of dimensions, of texts (lir) or of languages (lsar).
    """
    dimensions = samples[0].shape[1]
    offsets = np.zeros((len(samples), dimensions), dtype=np.float32)
    none = np.zeros((dimensions, 0), dtype=np.float32)
    if transform.name == "center":
        means = np.stack([sample.mean(axis=0, dtype=np.float64) for sample in samples])
        return Removal(means.astype(np.float32), (none,) * len(samples))
    if transform.name == "lir":
        _limit(transform, min(dimensions, *map(len, samples)), "dimensions, and than texts of each language")
        return Removal(offsets, tuple(_principal(sample, transform.rank) for sample in samples))
    _limit(transform, min(dimensions, len(samples)), "dimensions, and than languages")
    means = np.stack([sample.mean(axis=0, dtype=np.float64) for sample in samples], axis=1)
    return Removal(offsets, (_low_rank_subspace(means, transform.rank),) * len(samples))


def _limit(transform: Transform, limit: int, what: str) -> None:
    if transform.rank >= limit:
        raise ClirbenchError(f"--transform {transform}: K must be smaller than the number of {what}, here {limit}")


def _principal(sample: Matrix, rank: int) -> Matrix:
    """First right singular vectors of the sample, not centred: float32 (dimensions, rank)."""
    # The Gram matrix is small however many texts there are.
    _, vectors = np.linalg.eigh(sample.astype(np.float64).T @ sample)
    return np.asarray(vectors[:, ::-1][:, :rank], dtype=np.float32)


def _low_rank_subspace(means: NDArray[np.float64], rank: int) -> Matrix:
    """Algorithm 1 of LSAR on the languages' means, float64 (dimensions, languages): float32 (dimensions, rank)."""
    centre = means.mean(axis=1, keepdims=True)
    left, values, right = np.linalg.svd(means - centre, full_matrices=False)
    approximation = centre + (left[:, :rank] * values[:rank]) @ right[:rank]
    # What the languages share, made orthogonal to what tells them apart.
    shared = np.linalg.pinv(approximation).T.sum(axis=1, keepdims=True)
    shared /= (shared**2).sum()
    left, _, _ = np.linalg.svd(approximation - shared, full_matrices=False)
    return np.asarray(left[:, :rank], dtype=np.float32)


def _read_sample(path: Path) -> tuple[str, dict[str, list[str]]]:
    with reading(path, "correct --transform-sample"):
        content = path.read_bytes()
    texts: dict[str, list[str]] = {}
    for number, line in enumerate(content.splitlines(), 1):
        try:
            row = json.loads(line)
            language, text = row["language"], row["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise ClirbenchError(f'{path}:{number}: not {{"language": ..., "text": ...}}: correct the line') from error
        if not isinstance(language, str) or not isinstance(text, str) or not text.strip():
            raise ClirbenchError(f"{path}:{number}: 'language' and 'text' must be non-empty text: correct the line")
        texts.setdefault(language, []).append(text)
    return f"sha256:{hashlib.sha256(content).hexdigest()}", texts
