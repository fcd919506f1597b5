"""What a reader gives for one language of a parallel task."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LanguageData:
    """One language of a parallel task.

    Attributes:
        queries: (topic, text) pairs.
        candidates: Texts, in the order that decides ties.
        golds: (topic, index into ``candidates``) pairs.
    """

    queries: tuple[tuple[str, str], ...]
    candidates: tuple[str, ...]
    golds: tuple[tuple[str, int], ...]
