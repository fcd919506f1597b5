"""The foundation: files written whole or not at all, names that may become folders, progress that a log can keep."""

import hashlib

import pytest

import clirbench.support.paths
from clirbench.support.errors import ClirbenchError, first_line
from clirbench.support.files import reading, sha256_of, write_atomically, writing
from clirbench.support.names import check_name
from clirbench.support.paths import cache_dir, data_dir, mirror_dir
from clirbench.support.progress import PlainReporter, duration, follow_download
from clirbench.support.terminal import cell


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "new" / "folder" / "file"
    write_atomically(path, b"old")
    assert path.read_bytes() == b"old"
    assert sha256_of(path) == hashlib.sha256(b"old").hexdigest()

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert [found.name for found in path.parent.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_what_the_system_refuses_is_one_line_that_says_what_to_do(tmp_path):
    here = tmp_path / "none" / "file"
    with pytest.raises(ClirbenchError) as error, reading(here, "correct --data"):
        here.read_bytes()
    assert str(error.value) == f"{here}: cannot be read (No such file or directory): correct --data"
    nameless = tmp_path / "a\0b"
    with pytest.raises(ClirbenchError, match=r"\(embedded null byte\): rename it"), reading(nameless, "rename it"):
        nameless.read_bytes()
    with pytest.raises(ClirbenchError) as error, writing(tmp_path, "choose another --output"):
        write_atomically(tmp_path, b"")
    assert str(error.value).startswith(f"cannot write {tmp_path} (")
    assert str(error.value).endswith("): choose another --output")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\n  one\ntwo"), "one"),
        (ValueError(), "ValueError"),
        (ValueError(" \n"), "ValueError"),
        (ValueError("red \x1b[31m"), "red \\x1b[31m"),
        (ValueError("x" * 1_000), "x" * 300),
    ],
)
def test_an_exception_in_one_line(error, line):
    assert first_line(error) == line


@pytest.mark.parametrize("name", ["model", "org/model-1.0", "a_b/c/d", "模型/名"])
def test_names_that_become_folders(name):
    assert check_name(name) is None


@pytest.mark.parametrize("name", ["", "/", "../up", "org/", ".hidden", "a b", "org/.x", "a\nb", "a" * 201, "模" * 67])
def test_names_that_cannot(name):
    with pytest.raises(ClirbenchError, match="cannot name a folder") as error:
        check_name(name)
    assert "\n" not in str(error.value)


def test_shipped_data_is_found_in_the_checkout_and_in_the_wheel(tmp_path, monkeypatch):
    assert (data_dir("tasks") / "demo.toml").is_file()
    # As the wheel lays it, without a pyproject.toml beside the package.
    package = tmp_path / "clirbench"
    (package / "_data" / "tasks").mkdir(parents=True)
    (tmp_path / "tasks").mkdir()
    monkeypatch.setattr(clirbench.support.paths, "_PACKAGE", package)
    assert data_dir("tasks") == package / "_data" / "tasks"
    (tmp_path / "pyproject.toml").touch()
    assert data_dir("tasks") == tmp_path / "tasks"
    with pytest.raises(ClirbenchError, match="'nothing' is missing: reinstall"):
        data_dir("nothing")


def test_folders_that_variables_name(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIRBENCH_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    assert mirror_dir() is None
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(tmp_path))
    assert mirror_dir() == tmp_path
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(tmp_path / "none"))
    with pytest.raises(ClirbenchError, match="which is not a folder"):
        mirror_dir()


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (45, "45 s"), (720, "12 min"), (3.5 * 3600, "3.5 h"), (2.1 * 86400, "2.1 days")]
)
def test_durations_as_a_person_says_them(seconds, said):
    assert duration(seconds) == said


def test_missing_numbers_are_dashes():
    assert cell(None, 100) == "-"
    assert cell(0.1234, 100) == "12.3"
    assert cell(1234.5, 1, digits=0) == "1,234"


def test_a_log_has_a_line_at_the_start_at_the_end_and_every_ten_seconds(monkeypatch, capsys):
    clock = iter([0.0, 4.0, 11.0, 12.0, 20.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    reporter = PlainReporter()
    reporter.start("encode (texts)", 1_000)
    for done in (100, 450, 50, 400):
        reporter.advance("encode (texts)", done)
    assert capsys.readouterr().err.splitlines() == [
        "encode (texts): 1,000",
        "encode (texts): 550 of 1,000, 50 a second, about 9 s left",
        "encode (texts): 1,000 of 1,000",
    ]


def test_a_download_is_a_phase_of_its_own(capsys):
    advance = follow_download(PlainReporter())("en.json")
    advance(10, 30)
    advance(30, 30)
    assert capsys.readouterr().err.splitlines() == ["download en.json: 30", "download en.json: 30 of 30"]
