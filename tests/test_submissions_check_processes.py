"""The processes that examine submissions: kept, limited, and replaced where one dies."""

import os
import shutil
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from clirbench.submissions.check_many import check_submissions
from clirbench.submissions.check_one import examine
from clirbench.submissions.check_processes import LIMITS, Limits

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"
SOUND = ("lareqa__mbert-x-x", "pyserini__bm25", "arxiv-2409.15700__mdpr", "lareqa__mbert-en-en")
# What a submission of this name does to the process that examines it, and what is said of it.
EVIL = {
    "evil__crash": "needs more than 1.5 GB or 2 s, or ends the process",
    "evil__hang": "needs more than 1.5 GB or 2 s, or ends the process",
    "evil__bomb": "needs more than 1.5 GB or 2 s, or ends the process",
    "evil__bug": "examining it failed (RuntimeError: a bug)",
}
# Python imports it when it starts. It stands for files that break a library which reads them.
BREAKS = """
    import os, signal, sys
    if "--multiprocessing-fork" in sys.argv or "spawn_main" in " ".join(sys.orig_argv):
        import clirbench.submissions.check_one as one
        real = one.examine
        def examine(folder, untrusted=False):
            with open(os.environ["EXAMINED"], "a") as file:
                file.write(f"{os.getpid()} {folder.name}\\n")
            examined = real(folder, untrusted)
            kind = folder.name.partition("__")[2]
            if kind == "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            while kind == "hang":
                pass
            if kind == "bomb":
                held = [bytearray(100_000_000) for _ in range(40)]
            if kind == "bug":
                raise RuntimeError("a bug")
            return examined
        one.examine = examine
"""


@pytest.fixture
def log(tmp_path, monkeypatch):
    """Who examined what: lines of a process and a folder."""
    (tmp_path / "break").mkdir()
    (tmp_path / "break" / "sitecustomize.py").write_text(textwrap.dedent(BREAKS), encoding="utf-8")
    root = str(SUBMISSIONS.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path / "break"), root)))
    monkeypatch.setenv("EXAMINED", str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
def test_what_ends_a_process_fails_alone(tmp_path, log):
    board = tmp_path / "board"
    # The evil ones come first: the sound ones are examined by the processes that take the places of those that died.
    for name in EVIL:
        shutil.copytree(SUBMISSIONS / SOUND[0], board / name)
    for name in SOUND:
        shutil.copytree(SUBMISSIONS / name, board / name)
    folders = [*(board / name for name in EVIL), *(board / name for name in SOUND)]
    checked = {one.folder.name: one for one in check_submissions(folders, limits=Limits(LIMITS.memory, 2))}
    for name, said in EVIL.items():
        assert said in checked[name].findings[0].message
        assert not checked[name].final
        assert name in checked[name].findings[0].file
    for name in SOUND:
        assert checked[name].findings == examine(board / name).findings
    times = Counter(line.split()[1] for line in log.read_text(encoding="utf-8").splitlines())
    # What ended a process was examined once more, in a new one. Nothing else was.
    assert times == {
        **dict.fromkeys(("evil__crash", "evil__hang", "evil__bomb"), 2),
        "evil__bug": 1,
        **dict.fromkeys(SOUND, 1),
    }


def test_a_process_examines_many(tmp_path, log):
    folders = []
    for number in range(8):
        folders.append(tmp_path / "board" / f"reported__model-{number}")
        shutil.copytree(SUBMISSIONS / SOUND[0], folders[-1])
    check_submissions(folders)
    lines = [line.split() for line in log.read_text(encoding="utf-8").splitlines()]
    assert sorted(name for _, name in lines) == sorted(folder.name for folder in folders)
    assert len({process for process, _ in lines}) <= (os.cpu_count() or 1)
