"""The one exception for what a user can mend."""


class ClirbenchError(Exception):
    """A mistake or a missing thing that the user can mend.

    The message is one line: it names the file, key or value, and what to do next. The command line prints it
    without a traceback and ends with exit code 2. Everything else that is raised is a defect of clirbench.
    """


def printable(text: str) -> str:
    """A stranger's text on one line: what cannot be printed, or would move a terminal's cursor, as an escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
