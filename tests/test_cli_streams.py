"""Standard output that is full or closed early, and standard error that is: one line at most, and never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import environment

FULL = Path("/dev/full")
full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")


@pytest.fixture
def program(tmp_path):
    def run(*arguments, **streams):
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        command = [sys.executable, "-m", "clirbench", *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment(tmp_path), text=True, check=False, timeout=300, **streams
        )

    return run


def every_command(saved_pair):
    path = saved_pair[0]
    return [["--help"], ["schema"], ["show", path], ["export", path]]


@full
def test_a_full_disk_behind_standard_output_is_one_line(program, saved_pair):
    for arguments in every_command(saved_pair):
        with FULL.open("w") as disk:
            ran = program(*arguments, stdout=disk)
        assert ran.returncode == 2, arguments
        assert ran.stderr.splitlines() == [
            "clirbench: cannot write to standard output (No space left on device): send it elsewhere, or make room; "
            "saved results are whole"
        ], arguments


@full
def test_a_run_whose_table_cannot_be_shown_has_saved_its_result(program, tmp_path):
    with FULL.open("w") as disk:
        ran = program("run", stdout=disk)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    result = "results/clirbench__hybrid/demo.json"
    assert program("score", result).returncode == 0
    # A README without a block of YAML is no reason for a library to speak.
    (tmp_path / "README.md").write_text("# A model\n")
    ran = program("card", result, "--update", "README.md")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_reader_that_has_gone_gets_no_message(program, saved_pair):
    for arguments in every_command(saved_pair):
        reader, writer = os.pipe()
        os.close(reader)
        ran = program(*arguments, stdout=writer)
        os.close(writer)
        assert (ran.returncode, ran.stderr) == (2, ""), arguments


@full
def test_progress_that_cannot_be_shown_does_not_stop_a_run(program):
    with FULL.open("w") as disk:
        ran = program("run", stderr=disk)
    assert ran.returncode == 0
    assert "demo.json" in ran.stdout


def test_standard_error_may_be_closed(tmp_path):
    script = 'import os, sys; os.close(2); os.execv(sys.executable, [sys.executable, "-m", "clirbench", *sys.argv[1:]])'
    for arguments, code in ((["models"], 0), (["run", "--tasks", "nothing"], 2)):
        ran = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=300,
        )
        assert ran.returncode == code
