"""Count on the device that encodes: torch computes the product and the comparison, and everything else is shared.

Bounds, tiles, the decision of near scores and the tie rule are those of :mod:`clirbench.ranking.near_ties` and
:mod:`clirbench.ranking.many_golds`. A device differs from NumPy in two things. It multiplies in float32, in an order of its own,
which the bounds allow for. And it compares the scores where they are, so that only counts and near scores come back. So the same
vectors have the same ranks wherever they are counted.

torch is imported when a device is opened, and not before.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clirbench.encoders.base import DenseVectors, LoadedEncoder, LoadedModel
from clirbench.support.errors import ClirbenchError

COUNT_ON = ("auto", "cpu", "device")
# Queries of one product; with 8,160 candidates, their scores take 267 MB.
_ROWS = 8192
# The same where each query has many golds, whose histograms take the memory.
_ROWS_OF_MANY_GOLDS = 512
# Rows of scores that are searched for near candidates at a time, and values of float64 products: both bound memory.
_SEARCHED = 2048
_EXACT = 2**23
# Half the distance from 1 to the next float64.
_UNIT = 2.0**-53


@dataclass(frozen=True)
class Held:
    """Vectors in memory, float32 (texts, dimensions), and their copy on a device."""

    vectors: DenseVectors
    copy: Any

    def part(self, rows: slice) -> "Held":
        """Some of the rows; nothing is copied."""
        return Held(self.vectors[rows], self.copy[rows])


class Device:
    """A device of torch that multiplies and compares in float32.

    Attributes:
        name: As torch names it, such as "cuda:1".
        rows: Queries of one product.
        rows_of_many_golds: The same where each query has many golds.

    Raises:
        ClirbenchError: torch is missing, does not have the device, or multiplies with less than float32 there.
    """

    rows = _ROWS
    rows_of_many_golds = _ROWS_OF_MANY_GOLDS

    def __init__(self, name: str) -> None:
        try:
            import torch
        except ImportError as error:
            raise ClirbenchError("--count-on device needs torch: pip install torch, or pass --count-on cpu") from error
        self.name, self._torch = name, torch
        with self.counting():
            try:
                self._device = torch.empty(0, device=name).device
            # torch says in many ways that it does not have a device.
            except (RuntimeError, AssertionError) as error:
                raise ClirbenchError(f"torch cannot use {name} to count: pass --count-on cpu") from error
            self._refuse_less_than_float32()

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Multiply in full float32 inside, never in TF32 or bfloat16, and restore the user's setting at the end.

        Raises:
            ClirbenchError: The device has no memory left.
        """
        torch = self._torch
        places = [torch.backends.cuda.matmul]
        name, full = "allow_tf32", False
        if hasattr(places[0], "fp32_precision"):
            # From torch 2.9 on. The processor, too, may multiply float32 in bfloat16.
            places.append(torch.backends.mkldnn.matmul)
            name, full = "fp32_precision", "ieee"  # type: ignore[assignment]
        before = [getattr(place, name) for place in places]
        try:
            for place in places:
                setattr(place, name, full)
            yield
        except torch.OutOfMemoryError as error:
            raise ClirbenchError(
                f"{self.name} has no memory left to count: pass --count-on cpu, or a smaller --shard-size"
            ) from error
        finally:
            for place, value in zip(places, before, strict=True):
                setattr(place, name, value)

    def hold(self, vectors: DenseVectors) -> Held:
        """Copy vectors to the device."""
        with self.counting():
            return Held(vectors, self._there(vectors))

    def product(self, queries: Held, candidates: Held) -> Any:
        """Inner products in float32: a tensor (queries, candidates)."""
        return queries.copy @ candidates.copy.T

    def leave_out(self, scores: Any, row: NDArray[np.integer[Any]], column: NDArray[np.integer[Any]]) -> None:
        """Set scores to -inf, so that they outrank nothing."""
        if len(row):
            scores[self._there(row), self._there(column)] = -np.inf

    def reached(self, scores: Any, bound: NDArray[np.float32]) -> NDArray[np.int32]:
        """Count the candidates of each query that reach a bound: int32 (queries, slots).

        ``bound`` is float32 (queries, slots), inf in empty slots. Queries with many golds should come first: then
        little is compared in vain.
        """
        counts = np.zeros(bound.shape, dtype=np.int32)
        there, parts = self._there(bound), []
        filled = [int(np.flatnonzero(~np.isinf(column)).max(initial=-1)) + 1 for column in bound.T]
        for slot, rows in enumerate(filled):
            reached = scores[:rows] >= there[:rows, slot, None]
            parts.append(reached.sum(dim=1, dtype=self._torch.int32))
        for slot, part in enumerate(parts):
            counts[: filled[slot], slot] = part.cpu().numpy()
        return counts

    def between(
        self, scores: Any, row: NDArray[np.intp], low: NDArray[np.float32], high: NDArray[np.float32]
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Find the candidates between bounds: yield the numbers of cells and the candidates, intp (found,) each.

        A cell is a query with one of its golds: ``row`` is the query, ``low`` and ``high`` are float32 (cells,).
        """
        for start in range(0, len(row), _SEARCHED):
            part = slice(start, start + _SEARCHED)
            chosen = scores[self._there(row[part])]
            inside = (chosen >= self._there(low[part])[:, None]) & (chosen < self._there(high[part])[:, None])
            cell, column = inside.nonzero(as_tuple=True)
            yield start + cell.cpu().numpy(), column.cpu().numpy()

    def compared(
        self,
        queries: Held,
        query: NDArray[np.intp],
        tile: Held,
        column: NDArray[np.intp],
        gold: NDArray[np.float64],
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Compare pairs of a query and a candidate with scores of golds in float64: bool (pairs,) twice.

        The first says which pairs score more. The second says which are too near for float64 in an order of the device's own.
        """
        above, near = np.empty(len(query), dtype=np.bool_), np.empty(len(query), dtype=np.bool_)
        dimensions = tile.vectors.shape[1]
        # The errors of this sum, and of the one that the golds' scores come from, and some room.
        margin = 3 * dimensions * _UNIT / (1 - dimensions * _UNIT)
        step = max(1, _EXACT // dimensions)
        for start in range(0, len(query), step):
            part = slice(start, start + step)
            # Products of two float32 values are exact in float64.
            terms = queries.copy[self._there(query[part])].double() * tile.copy[self._there(column[part])]
            distance = terms.sum(dim=1) - self._there(gold[part])
            above[part] = (distance > 0).cpu().numpy()
            near[part] = (distance.abs() <= margin * terms.abs().sum(dim=1)).cpu().numpy()
        return above, near

    def histogram(
        self,
        scores: Any,
        bounds: NDArray[np.float32],
        near: NDArray[np.bool_],
        block: NDArray[np.intp],
        blocks: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.float32]]:
        """Do on the device what :func:`clirbench.ranking.many_golds.histogram` does in memory."""
        torch, queries, bins = self._torch, len(bounds), bounds.shape[1] + 1
        reached = torch.searchsorted(self._there(bounds), scores, right=True)
        first = torch.arange(queries, device=self._device)[:, None] * blocks
        cell = (first + self._there(block)) * bins + reached
        by_bin = torch.bincount(cell.reshape(-1), minlength=queries * blocks * bins)
        cells = self._there(near).gather(1, reached).reshape(-1).nonzero()[:, 0]
        of_cells = scores.reshape(-1)[cells].cpu().numpy()
        return by_bin.cpu().numpy().reshape(queries, blocks, bins), cells.cpu().numpy(), of_cells

    def _there(self, array: NDArray[Any]) -> Any:
        return self._torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def _refuse_less_than_float32(self) -> None:
        # A product in TF32 or bfloat16 rounds this value to 1, and is off by far more than the bounds allow for.
        value = 1 + 2.0**-12
        square = self._torch.full((256, 256), value, device=self._device)
        off = float((square @ square - 256 * value**2).abs().max())
        if off > 256 * value**2 * 2.0**-15:
            raise ClirbenchError(
                f"{self.name} multiplies with less than float32, which could change ranks: pass --count-on cpu"
            )


def check_count_on(count_on: str) -> None:
    """Refuse an unknown place to count.

    Raises:
        ClirbenchError: It is not one of ``COUNT_ON``.
    """
    if count_on not in COUNT_ON:
        raise ClirbenchError(f"--count-on is '{count_on[:40]}': use {', '.join(COUNT_ON)}")


def device_to_count_on(count_on: str, model: LoadedModel) -> Device | None:
    """The device that counts the ranks of a model; None for the processor.

    "auto" is the GPU where the encoder is, and the processor for all other models. "device" is that GPU too, and the first
    one for vectors that are read from files.

    Raises:
        ClirbenchError: ``count_on`` is unknown, or "device" where there is no GPU or no vectors to count with.
    """
    check_count_on(count_on)
    on_gpu = isinstance(model, LoadedEncoder) and model.device.startswith("cuda")
    if count_on == "cpu" or (count_on == "auto" and not on_gpu):
        return None
    if on_gpu:
        # Several devices may have encoded; the vectors are in memory.
        return Device(model.device.partition(",")[0])
    if not isinstance(model, LoadedEncoder):
        raise ClirbenchError(f"--count-on device compares vectors, and {model.info.name} has none: leave it out")
    if model.info.kind == "vectors":
        return Device("cuda:0")
    raise ClirbenchError(
        f"--count-on device needs an encoder on a GPU, and {model.info.name} is on {model.device}: pass --device cuda, or leave "
        "it out"
    )
