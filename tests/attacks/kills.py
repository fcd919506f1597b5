"""kill -9 at random moments, which are shares of the undisturbed time: of which commands, and what they leave."""

import random
from typing import NamedTuple

from attacks.promises import Promise


class Killed(NamedTuple):
    """A command that is killed and then run again.

    Attributes:
        command: The words after ``clirbench``.
        leaves: Folder whose files must be those of an undisturbed run.
        slow: Whether it starts a cluster.
    """

    command: tuple[str, ...]
    leaves: str
    slow: bool = False


_STREAMED = ("run", "--model", "mine:make", "--tasks", "tiny-miracl.toml", "--data", "corpus", "--shard-size", "9")
COMMANDS = {
    "run": Killed(("run", "--model", "mine:make", "--tasks", "trio,duo"), "results"),
    "submit": Killed(("submit", "kept/clirbench__hybrid", "--org", "acme", "--submissions", "board"), "board"),
    "site build": Killed(("site", "build", "--submissions", "submissions", "--output", "site"), "site"),
    "streamed run": Killed((*_STREAMED, "--save-top", "3"), "results"),
    "Ray run": Killed((*_STREAMED, "--engine", "ray", "--workers", "2"), "results", slow=True),
}


def moments(number: int, seed: int, slow: bool) -> list[tuple[str, float]]:
    """So many kills: a command and a share of its time, the commands in turn."""
    rng = random.Random(seed)
    names = [name for name, killed in COMMANDS.items() if slow or not killed.slow]
    return [(names[i % len(names)], rng.random()) for i in range(number)]


# The few of every test run, and the many of a night.
FEW, MANY = moments(10, 1, slow=False), moments(100, 2, slow=True)

PROMISE = Promise(
    what="A command that is killed at any moment and run again gives the files of an undisturbed run.",
    stops="Files are written whole or not at all (support/files.py), and what is kept for the next run has a checksum.",
    attacks=len(MANY),
    test="tests/test_attacks_kills.py",
)
