"""Token vectors of many texts, kept in blocks outside of memory and read one block at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import Any

from clirbench.support.files import writing

# Fewer bytes stay in memory.
_IN_MEMORY = 2**26


@dataclass(frozen=True)
class _Block:
    """Where the texts of a block begin, how many tokens each has, and of what dtype and on which device they were."""

    first: int
    lengths: tuple[int, ...]
    dimensions: int
    dtype: Any
    device: Any


class TokenBlocks:
    """Token vectors by text, as float32 in a temporary file: tokens x dimensions x 4 bytes of disk.

    The file has no name and ends with the process. Up to 64 MiB stay in memory instead.
    """

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._texts = 0
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115

    def __del__(self) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._texts

    def add(self, vectors: list[Any]) -> None:
        """Append the token vectors of some texts: one tensor (tokens, dimensions) a text.

        Raises:
            ClirbenchError: The disk is full.
        """
        import torch

        lengths, first = tuple(len(one) for one in vectors), vectors[0]
        self._blocks.append(_Block(self._texts, lengths, first.shape[1], first.dtype, first.device))
        self._texts += len(vectors)
        with writing("token vectors", "point TMPDIR at a disk with more room"):
            self._file.write(torch.cat(vectors).float().cpu().numpy().tobytes())

    def __iter__(self) -> Iterator[tuple[slice, list[Any]]]:
        """Yield the places of the texts of a block and their token vectors, as they were added."""
        import torch

        self._file.seek(0)
        for block in self._blocks:
            content = bytearray(self._file.read(4 * sum(block.lengths) * block.dimensions))
            # torch takes no empty buffer.
            flat = torch.frombuffer(content, dtype=torch.float32) if content else torch.empty(0)
            tokens = flat.reshape(-1, block.dimensions).to(block.device, block.dtype)
            yield slice(block.first, block.first + len(block.lengths)), list(torch.split(tokens, list(block.lengths)))
        # What is added next stands at the end.
        self._file.seek(0, 2)
