"""What stands behind a row of the board, and the group of rows that it is ordered in."""

from collections.abc import Sequence

from clirbench.board.entries import Entry

# The most evidence first.
STANDINGS = ("verified", "verified on another task", "measured", "reported", "differs")
# The groups of rows, in the order of a board. Rows with ranks are ordered by their numbers, verified or not: the tests behind a
# rank range compare all of them. Figures of a publication are below them, and last the rows whose ranks are not their model's.
GROUPS = ("measured", "reported", "differs")


def standing(entry: Entry, tasks: Sequence[str]) -> str:
    """The standing of a row on a board of these tasks, one of ``STANDINGS``.

    "verified" if a maintainer ran a sample of it again on one of the tasks, and the ranks agreed; "differs" if they did not, on
    whichever task; "reported" for figures of a publication; "measured" for all others.
    """
    if entry.origin == "reported" or entry.verification is None:
        return entry.origin
    if entry.verification.verdict == "differ":
        return "differs"
    return "verified" if entry.verified(tasks) else "verified on another task"


def group(standing: str) -> int:
    """The place in ``GROUPS`` of a row with this standing. Only within a group is one number compared with another."""
    return GROUPS.index("measured" if standing.startswith("verified") else standing)


def verified_share(standings: Sequence[str]) -> str:
    """The sentence that says how many of the rows with ranks somebody has run again."""
    measured = [one for one in standings if one != "reported"]
    if not measured:
        return "No row is measured"
    verified = [one for one in measured if one.startswith("verified")]
    here = verified.count("verified")
    where = (
        ""
        if here == len(verified)
        else f" ({len(verified) - here} of them on another task)"
        if here
        else " on another task"
    )
    return f"{len(verified)} of {len(measured)} measured rows are verified{where}"
