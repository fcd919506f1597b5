"""What every step of a run needs besides its data: where files are kept, who is told of progress, what is allowed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from clirbench.support.progress import Reporter, Silent


@dataclass(frozen=True)
class RunContext:
    """The circumstances of a run, handed from step to step.

    Attributes:
        cache: Folder for vectors and inventories; None to keep neither.
        reporter: Told of progress.
        force: Replace an existing result, or the counts of another run.
        allow_zero: Score all-zero vectors as lost instead of stopping.
    """

    cache: Path | None = None
    reporter: Reporter = field(default_factory=Silent)
    force: bool = False
    allow_zero: bool = False

    @property
    def vectors(self) -> Path | None:
        """Folder of the vector cache; None for no cache."""
        return self.cache / "vectors" if self.cache else None

    @property
    def inventories(self) -> Path | None:
        """Folder of inventories, which record what each file of a corpus holds; None to keep none."""
        return self.cache / "inventories" if self.cache else None


class ContextOptions(TypedDict, total=False):
    """The keywords of :func:`clirbench.evaluate` that become its :class:`RunContext`."""

    cache: str | Path | None
    allow_zero_vectors: bool
    reporter: Reporter | None


def context_of(options: ContextOptions) -> RunContext:
    """Make the context of a call of :func:`clirbench.evaluate` from its keywords."""
    cache = options.get("cache")
    return RunContext(
        cache=Path(cache) if cache else None,
        reporter=options.get("reporter") or Silent(),
        allow_zero=options.get("allow_zero_vectors", False),
    )
