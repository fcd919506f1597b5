"""BibTeX of the board: one entry for the board, each task and each row, and nothing in it that ends a field early."""

import re
from pathlib import Path

from clirbench.board.entries import read_entry
from clirbench.board.site.cite import TITLE, bibliography
from clirbench.submissions.model_toml import parse_model_file, write_model_file
from clirbench.support.version import __version__

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("clirbench__hybrid", "pypi__multilingual-e5-small-4bit", "arxiv-2408.10536__labse-hybrid", "pyserini__bm25")


def entries(text):
    """The entries of BibTeX as (kind, key, text): braces are counted, as BibTeX does."""
    made, start, depth = [], None, 0
    for place, letter in enumerate(text):
        start = place if letter == "@" and depth == 0 else start
        depth += (letter == "{") - (letter == "}")
        if letter == "}" and depth == 0:
            whole = text[start : place + 1]
            made.append((*re.match(r"@(\w+)\{([^,\s]+),", whole).groups(), whole))
        assert depth >= 0
    assert depth == 0
    return made


def cited(names=NAMES, folder=ROOT / "submissions"):
    return bibliography([read_entry(folder / name) for name in names], ["xquad-r"], "2026-11-27", "https://a.example")


def test_the_board_is_cited_as_citation_cff_says():
    said = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f'title: "{TITLE}"' in said
    [(kind, key, text)] = entries(cited()["board"]["board"])
    assert (kind, key) == ("software", "clirbench")
    assert f"title = {{{{{TITLE}}}}}" in text
    for field in (
        f"version = {{{__version__}}}",
        "year = {2026}",
        "note = {Board of 2026-11-27}",
        "url = {https://a.example}",
    ):
        assert field in text


def test_a_row_cites_its_publication_its_citation_or_its_model():
    rows = cited()["rows"]
    assert list(rows) == list(NAMES)
    [(_, key, text)] = entries(rows["arxiv-2408.10536__labse-hybrid"])
    assert key == "arXiv-2408.10536"
    assert "eprint = {2408.10536}" in text
    assert "year = {2024}" in text
    [(kind, key, _)] = entries(rows["pypi__multilingual-e5-small-4bit"])
    assert (kind, key) == ("article", "wang2024multilingual")
    [(kind, key, text)] = entries(rows["clirbench__hybrid"])
    assert (kind, key) == ("misc", "clirbench__hybrid")
    assert "note = {Submitted to clirbench as clirbench/hybrid}" in text
    assert [key for _, key, _ in entries(cited()["tasks"]["xquad-r"])] == [
        "roy-etal-2020-lareqa",
        "artetxe-etal-2020-cross",
    ]


def test_a_name_cannot_end_its_field(tmp_path):
    folder = tmp_path / "clirbench__hybrid"
    folder.mkdir()
    for path in (ROOT / "submissions" / "clirbench__hybrid").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    model = parse_model_file((folder / "model.toml").read_bytes(), folder / "model.toml")
    hostile = model.model_copy(update={"display_name": r"a}, b = {c \input{x} 5 % & $ # _ ~ ^", "citation": ""})
    (folder / "model.toml").write_bytes(write_model_file(hostile))
    [(_, _, text)] = entries(cited(["clirbench__hybrid"], tmp_path)["rows"]["clirbench__hybrid"])
    assert r"title = {a, b = c inputx 5 \% \& \$ \# \_  }" in text
