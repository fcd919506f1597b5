"""Rows as people name them: display names, variants in words, and the rows that belong to one model."""

import re
from collections.abc import Sequence

from clirbench.board.entries import Entry
from clirbench.support.errors import printable

_REMOVED = re.compile(r"(lir|lsar):(\d+)")


def in_words(variant: str) -> str:
    """A variant as people read it: "one mean per language" for "center"; what has no such words stays as it is."""
    return ", ".join(map(_part_in_words, variant.split(", "))) if variant else ""


def _part_in_words(part: str) -> str:
    if part == "center":
        return "one mean per language subtracted"
    if removed := _REMOVED.fullmatch(part):
        directions = f"{removed[2]} direction{'' if removed[2] == '1' else 's'}"
        return f"{directions} per language removed" if removed[1] == "lir" else f"{directions} of languages removed"
    return part


def model_name(entry: Entry) -> str:
    """The model's display name, or its name "ORG/MODEL" where nobody gave one."""
    return printable(entry.model.display_name or entry.model.name)


def row_name(entry: Entry) -> str:
    """The model's name and, behind "with", its variant in words."""
    return f"{model_name(entry)} with {in_words(entry.variant)}" if entry.variant else model_name(entry)


def families(entries: Sequence[Entry]) -> list[tuple[Entry, list[Entry]]]:
    """Each model as it comes, with the rows that fold under it, in the given order.

    These are its variants, and rows that say ``same_as`` of it. A row whose model has no row as it comes stands by itself.
    """
    heads = {(e.model.name, e.origin): e for e in entries if not e.variant and not e.model.same_as}

    def head(entry: Entry) -> Entry:
        return heads.get((entry.model.same_as or entry.model.name, entry.origin), entry)

    folded: dict[str, list[Entry]] = {}
    for entry in entries:
        if head(entry) is not entry:
            folded.setdefault(head(entry).folder.name, []).append(entry)
    return [(entry, folded.get(entry.folder.name, [])) for entry in entries if head(entry) is entry]
