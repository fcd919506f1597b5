"""The tables of model folders in the docs are what clirbench uses and says."""

import model_folders


def test_the_tables_of_model_folders_are_what_clirbench_uses_and_says(tmp_path):
    page = model_folders.PAGE.read_text(encoding="utf-8")
    assert model_folders.written(page, model_folders.tables(tmp_path)) == page
    assert len(model_folders.KINDS) >= 15
