"""Commands that are printed for the user to paste."""

import shlex


def command(*words: object) -> str:
    """The text of ``clirbench WORDS``, with quotes where a shell needs them: a path may hold spaces."""
    return shlex.join(["clirbench", *map(str, words)])
