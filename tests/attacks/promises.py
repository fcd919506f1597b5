"""What a kind of attack tests: the promise, what keeps it, and how many attacks there are."""

from typing import NamedTuple


class Promise(NamedTuple):
    """A promise of the project, and the attacks that test it.

    Attributes:
        what: The promise, one plain sentence.
        stops: What keeps it: the rule or the wall, and the module where it stands.
        attacks: How many different attacks there are.
        test: The test file that carries them out.
    """

    what: str
    stops: str
    attacks: int
    test: str
