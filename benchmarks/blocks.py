"""The blocks that benchmarks write into README and docs: what stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def pages():
    """README and every written page of the docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _pattern(name):
    return re.compile(rf"(<!-- {re.escape(name)} -->\n)(.*?)(<!-- /{re.escape(name)} -->)", re.DOTALL)


def read(name):
    """The text of a block; whoever has it twice has it alike."""
    for page in pages():
        if block := _pattern(name).search(page.read_text(encoding="utf-8")):
            return block[2]
    raise SystemExit(f"no page has a block <!-- {name} -->: write its markers where the table is to stand")


def write(name, text):
    """Replace a block on every page that has it. Pages are read now: a benchmark takes long enough for somebody to edit them."""
    read(name)
    for page in pages():
        old = page.read_text(encoding="utf-8")
        new = _pattern(name).sub(lambda block: f"{block[1]}{text.strip()}\n{block[3]}", old)
        if new != old:
            page.write_text(new, encoding="utf-8")
