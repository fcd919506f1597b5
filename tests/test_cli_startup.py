"""What a command loads: libraries that it does not use cost every user a second."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "sentence_transformers", "datasets", "sklearn", "pandas", "scipy")
SHOWN = "import json, sys\nsys.argv = ['clirbench', *{arguments!r}]\nfrom clirbench.cli import main\n"
SHOWN += "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
SHOWN += "print('loaded', json.dumps([name for name in {heavy!r} if name in sys.modules]))"


def loaded(*arguments, folder):
    """The heavy libraries that a command has loaded at its end."""
    code = SHOWN.format(arguments=arguments, heavy=HEAVY)
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
    assert loaded(*run, folder=tmp_path) == ["scipy"]
    # Now the vectors come from the cache.
    assert loaded(*run, folder=tmp_path) == []
