"""What every step of a run needs besides its data: one record in place of a train of parameters."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from clirbench.support.progress import Reporter, Silent


@dataclass(frozen=True)
class RunContext:
    """Where a run keeps and finds its files, whom it tells of progress, and what it may do.

    Attributes:
        cache: Folder for vectors and inventories; None keeps neither.
        reporter: Told of progress.
        force: Replace a result, or the counts of another run, that are there.
        allow_zero: Score all-zero vectors as lost instead of stopping.
    """

    cache: Path | None = None
    reporter: Reporter = field(default_factory=Silent)
    force: bool = False
    allow_zero: bool = False

    @property
    def vectors(self) -> Path | None:
        """Folder of the vector cache."""
        return self.cache / "vectors" if self.cache else None

    @property
    def inventories(self) -> Path | None:
        """Folder of what was found in each file of a corpus."""
        return self.cache / "inventories" if self.cache else None


class ContextOptions(TypedDict, total=False):
    """The keywords of :func:`clirbench.evaluate` that make its :class:`RunContext`."""

    cache: str | Path | None
    allow_zero_vectors: bool
    reporter: Reporter | None


def context_of(options: ContextOptions) -> RunContext:
    """The context that a caller of :func:`clirbench.evaluate` asks for."""
    cache = options.get("cache")
    return RunContext(
        cache=Path(cache) if cache else None,
        reporter=options.get("reporter") or Silent(),
        allow_zero=options.get("allow_zero_vectors", False),
    )
