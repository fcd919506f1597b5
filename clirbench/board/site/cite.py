"""BibTeX of what a board shows: the board itself, its tasks, and each row's model or publication."""

import re
from collections.abc import Sequence

from clirbench.board.entries import Entry
from clirbench.board.names import row_name
from clirbench.results.schema import Reported
from clirbench.support.errors import printable
from clirbench.support.version import __version__
from clirbench.tasks.task_file import board_tasks

# The title of CITATION.cff.
TITLE = "clirbench: multilingual retrieval, measured in every setting at once"
_ARXIV = re.compile(r"arXiv[ :]?(\d{4}\.\d{4,5})")


def bibliography(entries: Sequence[Entry], tasks: Sequence[str], date: str, address: str) -> dict[str, dict[str, str]]:
    """Entries of BibTeX by what they are of: "board" has one, "tasks" one or more by task, and "rows" by submission folder.

    A row of a publication cites the publication. A measured row cites what its submitters ask for, or else the model.
    """
    note = f"Board of {date}" if date else ""
    facts = {
        "author": "{The clirbench maintainers}",
        "version": __version__,
        "year": date[:4],
        "note": note,
        "url": address,
    }
    return {
        "board": {"board": _entry("software", "clirbench", {"title": f"{{{TITLE}}}", **facts})},
        "tasks": {task: board_tasks()[task].citation.strip() for task in tasks},
        "rows": {entry.folder.name: _of_row(entry) for entry in entries},
    }


def _of_row(entry: Entry) -> str:
    reported = next((result for result in entry.results.values() if isinstance(result, Reported)), None)
    if entry.origin == "reported" and reported:
        source = reported.source
        arxiv = _ARXIV.search(source.publication)
        facts = {"title": _plain(source.publication), "url": source.url}
        if arxiv:
            facts |= {"eprint": arxiv[1], "archiveprefix": "arXiv", "year": f"20{arxiv[1][:2]}"}
        return _entry("misc", source.publication, facts)
    if entry.model.citation.strip().startswith("@"):
        return printable_lines(entry.model.citation)
    return _entry(
        "misc",
        entry.folder.name,
        {
            "title": _plain(row_name(entry)),
            "author": f"{{{_plain(entry.model.organisation)}}}" if entry.model.organisation else "",
            "year": (entry.model.released or "")[:4],
            "note": _plain(f"Submitted to clirbench as {entry.label}"),
            "url": entry.model.link,
        },
    )


def printable_lines(text: str) -> str:
    """A text of several lines without what a terminal or an editor acts on."""
    return "\n".join(map(printable, text.strip().splitlines()))


def _entry(kind: str, key: str, facts: dict[str, str]) -> str:
    named = re.sub(r"[^A-Za-z0-9:._-]+", "-", key).strip("-") or "untitled"
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in facts.items() if value)
    return f"@{kind}{{{named},\n{lines}}}"


def _plain(text: str) -> str:
    """A text without what would end a field of BibTeX or start a command of TeX."""
    return re.sub(r"([&%$#_])", r"\\\1", re.sub(r"[{}\\^~]", "", printable(text)))
