"""The one exception for what a user can mend."""


class ClirbenchError(Exception):
    """A mistake or a missing thing that the user can mend.

    The message is one line: it names the file, key or value, and what to do next. The command line prints it
    without a traceback and ends with exit code 2. Everything else that is raised is a defect of clirbench.
    """
