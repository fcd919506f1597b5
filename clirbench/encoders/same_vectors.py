"""Texts that a model cannot tell apart: their vectors differ by rounding only, and count as one vector.

An encoder gives a text a slightly other vector in another batch, on another number of threads or on another processor. Two texts
of one token sequence, such as texts of unknown pieces only, then have vectors that differ by rounding. Which of them scores
higher would be chance. So vectors that are this near get one vector, and their scores tie exactly.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import DenseVectors, Vectors
from clirbench.support.blas import one_blas_thread

# Largest distance of two vectors that count as one, as a share of the longer one. The vectors of multilingual-e5-small differ by
# up to 7e-7 between batches, and those of different texts by 0.3 or more (benchmarks/noise.py).
ROUNDING = 2.0**-16
# Vectors whose projections on any of these directions differ by more are apart, so few pairs are compared in full.
_DIRECTIONS = 8
# Only a collapsed encoder gives a vector so many neighbours in all directions. Then neighbours are not compared in full.
_CROWD = 64
# Longer walks along the first direction are left to a tree.
_WINDOW = 512
_SAMPLE = 64
_NEAREST = 8
_AT_A_TIME = 4096
_PROJECTED = 128


def repeated_rows(vectors: DenseVectors) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows that repeat an earlier row bit by bit, and the first row that each repeats: intp (repeats,) twice."""
    # Equal rows have equal checksums, so only rows that share one need to be compared.
    checksum = np.bitwise_xor.reduce(np.ascontiguousarray(vectors).view(np.uint32), axis=1)
    _, number, occurrences = np.unique(checksum, return_inverse=True, return_counts=True)
    seen: dict[bytes, int] = {}
    suspects = np.flatnonzero(occurrences[number] > 1)
    originals = np.array([seen.setdefault(vectors[i].tobytes(), int(i)) for i in suspects], dtype=np.intp)
    repeated = originals != suspects
    return suspects[repeated], originals[repeated]


# Products with a few directions are small: see one_blas_thread.
@one_blas_thread()
def first_alike(vectors: Vectors, within: float = ROUNDING) -> NDArray[np.intp]:
    """Number, for each vector, the first vector that counts as the same: intp (texts,).

    Being the same is passed on: if a counts as b and b as c, then a counts as c. Sparse vectors are the same if they are equal.

    The third vector differs from the first by rounding, the second one by more:

    >>> first_alike(np.float32([[1, 0], [0.9, 0.1], [1, 1e-7]])).tolist()
    [0, 1, 0]

    Args:
        vectors: float32 (texts, dimensions), dense or CSR.
        within: Largest distance of two vectors that count as one, as a share of the longer one.
    """
    first = np.arange(vectors.shape[0])
    if not isinstance(vectors, np.ndarray):
        seen: dict[tuple[bytes, bytes], int] = {}
        for row, (a, b) in enumerate(pairwise(vectors.indptr.tolist())):
            first[row] = seen.setdefault((vectors.indices[a:b].tobytes(), vectors.data[a:b].tobytes()), row)
        return first
    copies, originals = repeated_rows(vectors)
    first[copies] = originals
    shadow, longest = _shadow(vectors)
    reach = within * longest
    known = np.flatnonzero(first == np.arange(len(first)))
    while _crowded(shadow[known], reach):
        # In a crowd, vectors of one small cube count as one, so that the work stays bounded.
        _, cube = np.unique(np.floor(shadow[known] / reach), axis=0, return_inverse=True)
        _, head = np.unique(cube, return_index=True)
        merged = known.copy()
        known, before = np.unique(known[head][cube]), len(known)
        place = np.arange(len(first))
        place[merged] = merged[head][cube]
        first = place[first]
        if len(known) == before:
            break
    left, right = (known[side] for side in _neighbours(shadow[known], reach))
    _, near = _distances(vectors, left, vectors, right, within)
    edges = np.ones(int(near.sum())), (left[near], right[near])
    if not near.any():
        return first
    # Imported where it is used: it takes as long as a small run.
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    _, group = connected_components(sparse.coo_array(edges, shape=(len(first),) * 2), directed=False)
    _, head = np.unique(group, return_index=True)
    return np.asarray(head[group][first])


def shares_alike(
    first: NDArray[np.intp], text: NDArray[np.intp], language: NDArray[np.int32], languages: Sequence[str]
) -> dict[str, float]:
    """The share of each language's distinct texts that share their vector with another text, of any language.

    Three texts, of which the first two share a vector. The third language has no text:

    >>> shares_alike(np.array([0, 0, 2]), np.array([0, 1, 2, 2]), np.array([0, 1, 1, 1]), ["en", "de", "fr"])
    {'en': 1.0, 'de': 0.5, 'fr': 0.0}

    Args:
        first: intp (distinct texts,), as :func:`first_alike` returns it.
        text: intp (texts,), the distinct text of each text.
        language: int32 (texts,), an index into ``languages``.
        languages: Codes of the languages.
    """
    shared = np.bincount(first, minlength=len(first))[first] > 1
    own = {code: np.unique(text[language == i]) for i, code in enumerate(languages)}
    return {code: float(shared[numbers].mean()) if len(numbers) else 0.0 for code, numbers in own.items()}


class Originals:
    """Vectors that take the place of those that count as the same; made once, and read for one shard after the other.

    No two of the vectors count as the same (:func:`first_alike`). They are float32 (texts, dimensions).
    """

    def __init__(self, vectors: DenseVectors, within: float = ROUNDING) -> None:
        self._vectors, self._within = vectors, within
        if len(vectors):
            shadow, self._longest = _shadow(vectors)
            from scipy.spatial import KDTree

            self._tree = KDTree(shadow)

    def replace(self, vectors: DenseVectors, threads: int = 1) -> DenseVectors:
        """Put an original in the place of each vector that counts as the same; of several, the nearest.

        The given vectors, float32 (texts, dimensions), stay as they are; if nothing changes, they are what is returned.
        """
        like, within = self._vectors, self._within
        if not len(vectors) or not len(like):
            return vectors
        mine, longest = _shadow(vectors)
        reach = within * max(longest, self._longest)
        farthest = np.nextafter(reach, np.inf)
        _, other = self._tree.query(mine, k=_NEAREST, p=np.inf, distance_upper_bound=farthest, workers=threads)
        # The tree answers with the number of its points where there is no such neighbour.
        at, rank = np.nonzero(other < len(like))
        distance, near = _distances(vectors, at, like, other[at, rank], within)
        if not distance[near].any():
            return vectors
        at, distance, other = at[near], distance[near], other[at, rank][near]
        order = np.argsort(-distance, kind="stable")
        replaced = vectors.copy()
        # Of several values for one row, the last one stays: the nearest.
        replaced[at[order]] = like[other[order]]
        return replaced


def _shadow(vectors: DenseVectors) -> tuple[NDArray[np.float64], float]:
    """The projections of vectors on fixed directions, float64 (texts, directions), and the length of the longest vector."""
    directions = np.random.default_rng(0).standard_normal((vectors.shape[1], _DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    shadow, longest = np.empty((len(vectors), _DIRECTIONS)), 0.0
    # So few at a time that their float64 values stay in the cache of a core: four times as fast.
    for start in range(0, len(vectors), _PROJECTED):
        part = vectors[start : start + _PROJECTED].astype(np.float64)
        np.matmul(part, directions, out=shadow[start : start + _PROJECTED])
        longest = max(longest, float(np.einsum("ij,ij->i", part, part).max()))
    return shadow, float(np.sqrt(longest))


def _window(line: NDArray[np.float64], reach: float) -> int:
    """The most points that follow a point of a sorted line within reach."""
    return int((np.searchsorted(line, line + reach, side="right") - np.arange(1, len(line) + 1)).max(initial=0))


def _crowded(points: NDArray[np.float64], reach: float) -> bool:
    """Whether points have more neighbours than ``_CROWD`` on average, by a fixed sample of the points."""
    if reach == 0 or _window(np.sort(points[:, 0]), reach) <= _CROWD:
        return False
    sample = points[:: -(-len(points) // _SAMPLE)]
    neighbours = [int((np.abs(points - point) <= reach).all(axis=1).sum()) - 1 for point in sample]
    return bool(np.mean(neighbours) > _CROWD)


def _neighbours(points: NDArray[np.float64], reach: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of points that differ by at most ``reach`` in each coordinate."""
    order = np.argsort(points[:, 0], kind="stable")
    line = points[order, 0]
    window = _window(line, reach)
    if window > _WINDOW:
        from scipy.spatial import KDTree

        left, right = KDTree(points).query_pairs(reach, p=np.inf, output_type="ndarray").T
        return left, right
    # Points of a sorted line are compared with their next neighbour, then with the one after it: faster than a tree.
    pairs = [(order[:0], order[:0])]
    for step in range(1, window + 1):
        at = np.flatnonzero(line[step:] - line[:-step] <= reach)
        one, other = order[at], order[at + step]
        near = (np.abs(points[one] - points[other]) <= reach).all(axis=1)
        pairs.append((one[near], other[near]))
    return np.concatenate([one for one, _ in pairs]), np.concatenate([other for _, other in pairs])


def _distances(
    left: DenseVectors, left_row: NDArray[np.intp], right: DenseVectors, right_row: NDArray[np.intp], within: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Distances of pairs of rows, float64 (pairs,), and whether each is within a share of the longer row's length."""
    distance, length = np.empty(len(left_row)), np.empty(len(left_row))
    for start in range(0, len(left_row), _AT_A_TIME):
        part = slice(start, start + _AT_A_TIME)
        a, b = left[left_row[part]].astype(np.float64), right[right_row[part]].astype(np.float64)
        distance[part] = np.linalg.norm(a - b, axis=1)
        length[part] = np.maximum(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    return distance, distance <= within * length
