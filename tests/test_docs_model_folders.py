"""The tables of model folders in the docs are what clirbench uses and says."""

import model_folders


def rows(page):
    """The lines of the page; releases of transformers that load no adapter refuse that folder."""
    lines = page.splitlines()
    return [line for line in lines if not (model_folders.NO_ADAPTERS and line.startswith("| adapter"))]


def test_the_tables_of_model_folders_are_what_clirbench_uses_and_says(tmp_path):
    page = model_folders.PAGE.read_text(encoding="utf-8")
    written = model_folders.written(page, model_folders.tables(tmp_path))
    assert rows(written) == rows(page)
    assert len(model_folders.KINDS) >= 15
