"""Methods that remove language bias from finished vectors, without training.

- ``center`` subtracts the mean vector of the text's language.
- ``lir:K`` removes the first K principal directions of the text's language (Yang et al. 2021, arXiv 2109.04727).
- ``lsar:K`` removes a subspace of K directions in which the languages' means differ (Xie et al. 2022, arXiv 2401.05792).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.samples import POOL, read_sample
from clirbench.support.errors import ClirbenchError

Matrix = NDArray[np.float32]
# Vectors that are held in float64 at a time.
_AT_A_TIME = 4096


@dataclass(frozen=True)
class Transform:
    """A method that removes language bias, before it is fitted.

    Attributes:
        name: "center", "lir" or "lsar".
        rank: Number of directions to remove; 0 for "center".
        sample: What the method is fitted on: "pool" for the candidates of the run, or "sha256:..." of a file of texts. Gold pairs
            are never used.
        texts: The file's texts by language; empty for "pool".
    """

    name: str
    rank: int
    sample: str = POOL
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name if self.name == "center" else f"{self.name}:{self.rank}"


@dataclass(frozen=True)
class Removal:
    """A fitted transform. It turns a vector x into y - B B' y with y = x - o, where o and B are of the text's language.

    Attributes:
        offsets: The vectors o, float32 (languages, dimensions).
        bases: The orthonormal bases B, one float32 (dimensions, rank) per language.
    """

    offsets: Matrix
    bases: tuple[Matrix, ...]

    def __call__(self, vectors: Matrix, language: int) -> Matrix:
        """Transform the vectors of one language: float32 (texts, dimensions), not normalised."""
        moved = vectors - self.offsets[language]
        basis = self.bases[language]
        return np.asarray(moved - (moved @ basis) @ basis.T, dtype=np.float32)


def parse_transform(text: str, sample: str | Path | None = None) -> Transform:
    """Read a transform as the command line spells it, with a JSON Lines file of texts to fit it on.

    Raises:
        ClirbenchError: The text is not a transform, or the file cannot be read.
    """
    match = re.fullmatch(r"(center)|(lir|lsar):([1-9]\d{0,3})", text)
    if not match:
        raise ClirbenchError(f"--transform is '{text[:40]}': use center, lir:K or lsar:K, with K from 1")
    name, rank = match[1] or match[2], int(match[3] or 0)
    if sample is None:
        return Transform(name, rank)
    digest, texts = read_sample(Path(sample), "--transform-sample")
    return Transform(name, rank, digest, texts)


def fit_transform(transform: Transform, samples: Sequence[Matrix]) -> Removal:
    """Fit a transform on sample vectors: by language, unit vectors as float32 (texts, dimensions).

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
    """Compute the first right singular vectors of the sample, which is not centred: float32 (dimensions, rank)."""
    # They are the eigenvectors of sample' sample, a matrix (dimensions, dimensions) for any number of texts.
    products = np.zeros((sample.shape[1],) * 2)
    for start in range(0, len(sample), _AT_A_TIME):
        part = sample[start : start + _AT_A_TIME].astype(np.float64)
        products += part.T @ part
    _, vectors = np.linalg.eigh(products)
    return np.asarray(vectors[:, ::-1][:, :rank], dtype=np.float32)


def _low_rank_subspace(means: NDArray[np.float64], rank: int) -> Matrix:
    """Compute the subspace in which languages differ, by Algorithm 1 of LSAR (Xie et al. 2022).

    ``means`` are float64 (dimensions, languages); the orthonormal basis is float32 (dimensions, rank).
    """
    centre = means.mean(axis=1, keepdims=True)
    left, values, right = np.linalg.svd(means - centre, full_matrices=False)
    approximation = centre + (left[:, :rank] * values[:rank]) @ right[:rank]
    # The component that all languages share. It is orthogonal to the subspace in which languages differ.
    shared = np.linalg.pinv(approximation).T.sum(axis=1, keepdims=True)
    shared /= (shared**2).sum()
    left, _, _ = np.linalg.svd(approximation - shared, full_matrices=False)
    return np.asarray(left[:, :rank], dtype=np.float32)
