"""The record of checked submissions: what is not examined again, and everything that makes it so."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clirbench.submissions import accepted, check_many
from clirbench.submissions.check_many import Limits, check_submissions
from clirbench.submissions.check_one import examine
from clirbench.support.paths import TASKS

ROOT = Path(__file__).resolve().parent.parent
SUBMISSIONS = ROOT / "submissions"
NAMES = ("lareqa__mbert-x-x", "pyserini__bm25", "arxiv-2409.15700__mdpr")


@pytest.fixture
def board(tmp_path):
    for name in NAMES:
        shutil.copytree(SUBMISSIONS / name, tmp_path / "board" / name)
    return tmp_path / "board"


@pytest.fixture
def examined(monkeypatch):
    """The names of the folders that were examined since the list was last cleared; examined here, which is faster."""
    names = []

    def isolated(folders, untrusted, limits, reporter):
        names.extend(folder.name for folder in folders)
        return {folder: examine(folder, untrusted) for folder in folders}

    monkeypatch.setattr(check_many, "_isolated", isolated)
    return names


def check(board, **options):
    return check_submissions(sorted(board.iterdir()), **options)


def findings(checked):
    return {one.folder.name: (one.findings, one.comparables) for one in checked}


def records():
    return sorted(accepted.records_dir().iterdir())


def test_an_unchanged_board_is_not_examined_again(board, examined):
    first = check(board)
    assert sorted(examined) == sorted(NAMES)
    examined.clear()
    assert findings(check(board)) == findings(first)
    assert examined == []


def test_what_is_compared_is_recorded_whole(tmp_path, examined):
    for name in ("clirbench__hybrid", "clirbench__mono"):
        shutil.copytree(SUBMISSIONS / name, tmp_path / "board" / name)
    first = check(tmp_path / "board")
    assert all(one.comparables for one in first)
    examined.clear()
    assert findings(check(tmp_path / "board")) == findings(first)
    assert examined == []


def test_one_byte_re_examines_one_submission(board, examined):
    check(board)
    examined.clear()
    path = board / NAMES[1] / "model.toml"
    status, content = path.stat(), bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    # Neither the size nor the time tells.
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    check(board)
    assert examined == [NAMES[1]]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "notes.txt").write_text("hello", encoding="utf-8"),
        lambda folder: (folder / "model.toml").rename(folder / "Model.toml"),
        lambda folder: (folder / "model.toml").unlink(),
        lambda folder: folder.rename(folder.with_name("me__another")),
        lambda folder: (folder / "inner").mkdir(),
        lambda folder: (folder / "link").symlink_to("model.toml"),
        lambda folder: (shutil.rmtree(folder), folder.symlink_to(folder.parent / NAMES[0])),
        lambda folder: (shutil.rmtree(folder), folder.write_text("a file", encoding="utf-8")),
    ],
    ids=["added", "renamed", "removed", "other-folder", "nested", "link", "folder-is-link", "folder-is-file"],
)
def test_every_change_of_a_folder_re_examines_it(board, examined, change):
    check(board)
    examined.clear()
    change(board / NAMES[1])
    again = check(board)
    assert len(examined) == 1
    assert sum(one.errors > 0 for one in again) == 1
    # The refusal is recorded like an acceptance, so the board beside it costs nothing either.
    assert findings(check(board)) == findings(again)
    assert len(examined) == 1


def test_other_task_files_and_other_code_re_examine_everything(board, examined, monkeypatch, tmp_path):
    check(board)
    shutil.copytree(ROOT / "tasks", tmp_path / "tasks")
    monkeypatch.setenv(TASKS, str(tmp_path / "tasks"))
    examined.clear()
    check(board)
    # A copy of the same task files is no change.
    assert examined == []
    with (tmp_path / "tasks" / "miracl.toml").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")
    check(board)
    assert sorted(examined) == sorted(NAMES)
    examined.clear()
    monkeypatch.setattr(accepted, "_code", lambda: "of an older version")
    check(board)
    assert sorted(examined) == sorted(NAMES)


def test_the_code_is_all_that_a_check_imports():
    script = (
        "import sys, clirbench.submissions.check_many\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.partition('.')[0] == 'clirbench'), sep='\\n')"
    )
    imported = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert len(imported.split()) > 20
    assert set(map(Path, imported.split())) <= set(accepted._PACKAGE.rglob("*.py"))


def test_a_change_of_one_source_changes_the_code(monkeypatch, tmp_path):
    (tmp_path / "submissions").mkdir()
    (tmp_path / "submissions" / "check_one.py").write_text("TOLERANCE = 1\n", encoding="utf-8")
    monkeypatch.setattr(accepted, "_PACKAGE", tmp_path)
    before = accepted._code.__wrapped__()
    assert accepted._code.__wrapped__() == before
    (tmp_path / "submissions" / "check_one.py").write_text("TOLERANCE = 2\n", encoding="utf-8")
    assert accepted._code.__wrapped__() != before


def acquit(path):
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, "findings": []}), encoding="utf-8")


def take_another(path):
    other = next(one for one in records() if one != path)
    shutil.copy(other, path)


def link(path):
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


@pytest.mark.parametrize(
    "damage",
    [
        acquit,
        take_another,
        link,
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"[" * 40_000),
        lambda path: path.write_bytes(b"\xff\xfe\x00"),
        lambda path: path.write_text("[1]", encoding="utf-8"),
        lambda path: path.write_text('{"sha256": 1}', encoding="utf-8"),
        lambda path: path.write_bytes(path.read_bytes() + b" " * accepted.LONGEST),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_a_damaged_or_forged_record_is_none(board, examined, damage):
    (board / NAMES[1] / "notes.txt").write_text("hello", encoding="utf-8")
    honest = check(board)
    refused = {name: [one.level for one in found] for name, (found, _) in findings(honest).items()}[NAMES[1]]
    assert "error" in refused
    (path,) = [one for one in records() if b"notes.txt" in one.read_bytes()]
    damage(path)
    examined.clear()
    assert findings(check(board)) == findings(honest)
    assert examined == [NAMES[1]]


def test_a_record_holds_wherever_the_folder_lies(board, examined, monkeypatch):
    folder = board / NAMES[1]
    (folder / "no\nline").write_text("hello", encoding="utf-8")
    (folder / "model.toml").unlink()
    check_submissions([folder])
    examined.clear()
    monkeypatch.chdir(board)
    (recalled,) = check_submissions([Path(NAMES[1])])
    assert examined == []
    assert recalled.findings == examine(Path(NAMES[1])).findings
    assert any(one.file.startswith(f"{NAMES[1]}{os.sep}no") for one in recalled.findings)
    assert any(one.file == str(Path(NAMES[1]) / "model.toml") for one in recalled.findings)
    (folder / "more.txt").write_text("hello", encoding="utf-8")
    monkeypatch.chdir(folder)
    honest = examine(Path()).findings
    for _ in range(2):
        (here,) = check_submissions([Path()])
        assert here.findings == honest
    assert examined == [""]


def test_strangers_neither_use_the_record_nor_write_it(board, examined):
    mine, others = board / NAMES[0], [board / name for name in NAMES[1:]]
    check_submissions([mine], untrusted=True, others=others)
    assert sorted(examined) == sorted(NAMES)
    assert not accepted.records_dir().exists()
    check(board)
    examined.clear()
    # The board beside it is looked up, and a record of a trusted check does not acquit a stranger.
    (checked,) = check_submissions([mine], untrusted=True, others=others)
    assert examined == [mine.name]
    assert any("reported figures come from maintainers" in one.message for one in checked.findings)


def test_what_others_change_is_compared_anew(board, examined):
    check(board)
    shutil.copytree(board / NAMES[1], board / NAMES[1].replace("bm25", "bm2s"))
    (board / NAMES[0] / "model.toml").touch()
    refused = {one.folder.name for one in check(board) if any("looks like" in f.message for f in one.findings)}
    assert refused == {NAMES[1], NAMES[1].replace("bm25", "bm2s")}
    shutil.rmtree(board / NAMES[1].replace("bm25", "bm2s"))
    assert not any(one.errors for one in check(board))


def test_a_cache_that_cannot_be_written_is_no_error(board, examined, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("CLIRBENCH_CACHE", str(tmp_path / "file"))
    expected = findings(check(board))
    assert not any(one.errors for one in check(board))
    assert sorted(examined) == sorted(2 * NAMES)

    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("CLIRBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(accepted, "write_atomically", full)
    assert findings(check(board)) == expected


def test_the_record_has_a_bound(board, examined, monkeypatch):
    monkeypatch.setattr(accepted, "KEPT", 2)
    check(board)
    # A board that is larger than the bound is kept as a whole.
    assert len(records()) == len(NAMES) > 2
    for name in NAMES[1:]:
        shutil.rmtree(board / name)
    with (board / NAMES[0] / "model.toml").open("a", encoding="utf-8") as toml:
        toml.write("\n")
    check(board)
    assert len(records()) == 2
    # One that has more findings than are kept is examined each time.
    monkeypatch.setattr(accepted, "LONGEST", 300)
    for number in range(10):
        (board / NAMES[0] / f"stray{number}").write_text("", encoding="utf-8")
    shutil.copytree(SUBMISSIONS / NAMES[1], board / NAMES[1])
    shutil.rmtree(accepted.records_dir())
    for _ in range(2):
        examined.clear()
        check(board)
        assert NAMES[0] in examined
    assert all(path.stat().st_size <= 300 for path in records())


def test_only_what_was_examined_to_the_end_is_recorded(board, monkeypatch):
    (checked,) = check_submissions([SUBMISSIONS / "clirbench__hybrid"], limits=Limits(1_000, 60))
    assert "needs more than" in checked.findings[0].message
    assert not accepted.records_dir().exists()

    def changing(folders, untrusted, limits, reporter):
        done = {folder: examine(folder, untrusted) for folder in folders}
        (folders[0] / "notes.txt").write_text("written meanwhile", encoding="utf-8")
        return done

    monkeypatch.setattr(check_many, "_isolated", changing)
    assert check_submissions([board / NAMES[0]])[0].errors == 0
    assert not accepted.records_dir().exists()
    monkeypatch.setattr(check_many, "_isolated", lambda folders, *_: {one: examine(one) for one in folders})
    assert check_submissions([board / NAMES[0]])[0].errors == 1


def test_a_script_needs_no_guard(board, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom clirbench.submissions.check_many import check_submissions\n"
        "print('runs')\nprint(check_submissions([Path(sys.argv[1])])[0].errors)\n",
        encoding="utf-8",
    )
    ran = subprocess.run([sys.executable, script, board / NAMES[0]], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.returncode) == ("runs\n0\n", 0), ran.stderr
