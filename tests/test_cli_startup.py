"""What a command loads: libraries that it does not use cost every user a second."""

import gc
import json
import subprocess
import sys

import pytest
import typer.main

from clirbench import cli
from clirbench.cli.app import HOMES, app

HEAVY = (
    *("torch", "transformers", "sentence_transformers", "datasets", "sklearn", "pandas", "scipy"),
    *("tokenizers", "httpx", "jinja2", "huggingface_hub", "mteb", "regex"),
)
MODULES = tuple(f"clirbench.cli.{module}" for module in dict.fromkeys(HOMES.values()))
SHOWN = "import json, sys\nsys.argv = ['clirbench', *{arguments!r}]\nfrom clirbench.cli import main\n"
SHOWN += "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
SHOWN += "print('loaded', json.dumps([name for name in {heavy!r} if name in sys.modules]))"


def loaded(*arguments, folder, heavy=HEAVY):
    """The heavy libraries that a command has loaded at its end."""
    code = SHOWN.format(arguments=arguments, heavy=heavy)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.rpartition("loaded ")[2])


@pytest.mark.usefixtures("checked_shipped")
def test_the_board_of_before_is_printed_without_heavy_libraries(tmp_path):
    # The first one computes the board.
    loaded("leaderboard", folder=tmp_path)
    assert loaded("leaderboard", folder=tmp_path) == []


@pytest.mark.usefixtures("checked_shipped")
def test_two_models_are_compared_without_heavy_libraries(tmp_path):
    assert loaded("compare", "clirbench/hybrid", "clirbench/cross", "--task", "mlqa-r", folder=tmp_path) == []


def test_help_loads_no_heavy_library(tmp_path):
    assert loaded("--help", folder=tmp_path) == []


def test_a_packed_static_model_runs_without_heavy_libraries(tmp_path):
    run = ("run", "--model", "clirbench/hybrid", "--tasks", "demo", "--force")
    # Token vectors are averaged by scipy.
    assert loaded(*run, folder=tmp_path) == ["scipy", "tokenizers"]
    # Now the vectors and the numbers of tokens come from the cache.
    assert loaded(*run, folder=tmp_path) == []


def test_a_command_imports_its_own_module_and_no_other(tmp_path):
    assert loaded("tasks", folder=tmp_path, heavy=MODULES) == ["clirbench.cli.lists"]
    assert loaded("run", "--help", folder=tmp_path, heavy=MODULES) == ["clirbench.cli.run"]
    assert loaded("site", "build", "--help", folder=tmp_path, heavy=MODULES) == ["clirbench.cli.board"]
    assert loaded("--version", folder=tmp_path, heavy=MODULES) == []
    assert loaded("--help", folder=tmp_path, heavy=MODULES) == list(MODULES)


def test_every_command_has_its_module_in_the_table():
    commands = typer.main.get_command(app).commands
    assert list(commands) == list(HOMES)
    registered = {info.name or info.callback.__name__.replace("_", "-"): info for info in app.registered_commands}
    homes = {name: info.callback.__module__ for name, info in registered.items()}
    assert {**homes, "site": "clirbench.cli.board"} == {name: f"clirbench.cli.{home}" for name, home in HOMES.items()}


def test_garbage_is_looked_for_as_usual_after_the_first_time():
    before, listening = gc.get_threshold(), list(gc.callbacks)
    cli._leave_imports_alone()
    assert gc.get_threshold() == (cli._CONTAINERS, *before[1:])
    gc.collect()
    assert gc.get_threshold() == before
    assert gc.callbacks == listening


def test_no_package_reads_along_as_a_plugin_of_pydantic(tmp_path):
    code = "import os, sys; sys.argv = ['clirbench', '--version']; from clirbench.cli import main\n"
    code += "try: main()\nexcept SystemExit: print(os.environ['PYDANTIC_DISABLE_PLUGINS'])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ran.stdout.splitlines()[-1] == "__all__"
