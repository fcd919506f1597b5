"""What every step of a run needs besides its data: where files are kept, who is told of progress, what is allowed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from clirbench.support.memory import MemoryOfRun
from clirbench.support.progress import Reporter, Silent

# 32 languages have 1,024 pairs and 32,768 triples: a JSON of about a megabyte.
EXACT_LANGUAGES = 32


@dataclass(frozen=True)
class RunContext:
    """The circumstances of a run, handed from step to step.

    Attributes:
        vectors: Folder of the vector cache; None for no cache.
        inventories: Folder of inventories, which record what each file of a corpus holds; None writes no inventory.
        reporter: Told of progress.
        force: Replace an existing result, or the counts of another run.
        allow_zero: Score all-zero vectors as lost instead of stopping.
        count_on: Where ranks are counted: "auto" (the GPU of the encoder, else the processor), "cpu" or "device" (a GPU).
        exact_languages: A result with more languages than this, and golds in other languages than the query's, has rounded ranks
            (:class:`clirbench.ranking.rounding.Rounding`).
        memory: Told what the run holds in memory.
    """

    vectors: Path | None = None
    inventories: Path | None = None
    reporter: Reporter = field(default_factory=Silent)
    force: bool = False
    allow_zero: bool = False
    count_on: str = "auto"
    exact_languages: int = EXACT_LANGUAGES
    memory: MemoryOfRun = field(default_factory=MemoryOfRun)


class ContextOptions(TypedDict, total=False):
    """The keywords of :func:`clirbench.evaluate` that become its :class:`RunContext`."""

    cache: str | Path | None
    allow_zero_vectors: bool
    reporter: Reporter | None
    count_on: str
    exact_languages: int


def context_of(options: ContextOptions) -> RunContext:
    """Make the context of a call of :func:`clirbench.evaluate` from its keywords.

    Raises:
        TypeError: A keyword is not in :class:`ContextOptions`.
    """
    for name in options.keys() - ContextOptions.__annotations__.keys():
        raise TypeError(f"evaluate() got an unexpected keyword argument '{name}'")
    cache = Path(folder) if (folder := options.get("cache")) else None
    reporter = options.get("reporter") or Silent()
    return RunContext(
        cache,
        cache,
        reporter,
        allow_zero=options.get("allow_zero_vectors", False),
        count_on=options.get("count_on", "auto"),
        exact_languages=options.get("exact_languages", EXACT_LANGUAGES),
    )
