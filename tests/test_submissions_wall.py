"""The wall: what a process behind it can reach, and how it ends when it breaks a limit."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from command_line import call as clir_here

from clirbench.submissions import namespaces
from clirbench.submissions import wall as module
from clirbench.submissions.wall import Limits, Wall, behind_wall, default_memory
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import Silent

TESTS = Path(__file__).resolve().parent
# The process must find the functions of these tests.
FOUND = {"PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS)))}


def has_namespaces():
    return (
        sys.platform == "linux"
        and shutil.which("unshare")
        and not subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode
    )


walled = pytest.mark.skipif(not has_namespaces(), reason="this system has no namespaces")
WAYS = [
    pytest.param(True, id="namespaces", marks=walled),
    pytest.param(False, id="limits alone", marks=pytest.mark.skipif(os.name == "nt", reason="Windows has no limits")),
]


def call(name, argument=None, namespaces=True, limits=None, **more):
    wall = Wall(limits or Limits(), (TESTS / "wall_targets.py",), namespaces, FOUND)
    return behind_wall(f"wall_targets:{name}", argument or {}, wall, **more)


class Listening(Silent):
    def __init__(self):
        self.heard = []

    def start(self, phase, total, brief=False, work=None):
        self.heard.append((phase, total, work, brief))

    def advance(self, phase, done, work=None, skipped=False):
        self.heard.append((phase, done, work, skipped))

    def note(self, line):
        self.heard.append(line)


@pytest.mark.parametrize("namespaces", WAYS)
def test_results_progress_and_settings_come_back(namespaces):
    listening, told = Listening(), []
    argument = {"texts": ["a", "é", "\u2028"], "number": 1.5, "nothing": None}
    answer = call("echo", argument, namespaces, reporter=listening, told=told.append)
    assert answer == {"argument": argument, "arguments": [], "name": "wall_targets"}
    assert listening.heard == [("texts", 2, None, False), ("texts", 2, None, False), "a note\\x1b[31m"]
    assert told == [{"held": 1}]


@walled
def test_what_a_process_behind_the_wall_can_reach(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("https_proxy", "http://localhost:1")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    secret, shown = home / "secret", tmp_path / "shown"
    secret.write_text("secret", encoding="utf-8")
    shown.write_text("shown", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        argument = {
            "port": server.getsockname()[1],
            "secret": str(secret),
            "home": str(home),
            "pid": os.getpid(),
            "readable": str(shown),
            "places": [str(home / "x"), str(tmp_path / "x"), str(shown), str(TESTS / "x"), "/tmp/x"],
        }
        wall = Wall(readable=(TESTS / "wall_targets.py", shown), environment=FOUND)
        # In this process all of it is there: else the test would show nothing.
        with socket.create_connection(("127.0.0.1", argument["port"]), 5):
            assert secret.read_text(encoding="utf-8") == "secret"
        reached = behind_wall("wall_targets:look", argument, wall)
    assert reached["connect"] in ("ConnectionRefusedError", "OSError")
    assert reached["outside"] == "OSError"
    assert reached["secret"] == "FileNotFoundError"
    assert reached["home"] == "FileNotFoundError"
    assert reached["own home"] == []
    assert reached["written"] == []
    assert not list(tmp_path.rglob("x"))
    assert reached["temporary"] == 1
    assert reached["readable"] == "shown"
    assert reached["kill"] in ("ProcessLookupError", "PermissionError")
    assert 1 in reached["processes"]
    assert len(reached["processes"]) < 4
    assert reached["capabilities"] == "0" * 16
    assert reached["remounted"] is False
    assert reached["name"] == "clirbench"
    if os.geteuid() == 0:
        assert reached["user"] != 0
    assert "secret" not in reached["variables"].values()
    assert not {name for name in reached["variables"] if "proxy" in name.lower() or "TOKEN" in name}


@walled
def test_processes_are_counted():
    reached = call("forks", {"most": 60}, limits=Limits(processes=20))
    assert reached["error"] is not None
    assert reached["started"] < 20


@pytest.mark.parametrize("namespaces", WAYS)
def test_memory_past_the_limit_is_refused(namespaces):
    with pytest.raises(ClirbenchError, match="needs more memory than it may have: raise --max-memory"):
        call("memory", namespaces=namespaces, limits=Limits(memory=1 << 30))


@walled
@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="a graphics card takes addresses without end")
def test_memory_that_processes_share_is_limited_too():
    with pytest.raises(ClirbenchError, match=r"ended with code 1 \(OSError: .*Cannot allocate memory"):
        call("shared_memory", limits=Limits(memory=1 << 30))


@walled
def test_a_file_past_the_limit_is_refused():
    with pytest.raises(ClirbenchError, match=r"\(OSError: .*(File too large|No space left)"):
        call("a_large_file", limits=Limits(file_size=4 << 20))


@pytest.mark.parametrize("namespaces", WAYS)
@pytest.mark.parametrize("name", ["for_ever", "busy"])
def test_a_model_that_never_ends_is_ended(name, namespaces):
    with pytest.raises(ClirbenchError, match=r"has not ended after .* hours: pass --max-hours"):
        call(name, namespaces=namespaces, limits=Limits(seconds=3))


@pytest.mark.parametrize("namespaces", WAYS)
def test_a_process_that_dies_is_one_line(namespaces):
    with pytest.raises(
        ClirbenchError, match=r"the process of the model was ended by signal 11 \(.*\): --max-memory"
    ) as error:
        call("dies", namespaces=namespaces)
    assert "\n" not in str(error.value)


@walled
def test_an_error_of_clirbench_keeps_its_words():
    with pytest.raises(ClirbenchError, match=r"^one\\ntwo\\x1b\[31m$"):
        call("fails")


@walled
@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["{"], "sends what is no JSON"),
        (["[" * 100_000], "sends what is no JSON"),
        (["\xff"], "sends what is no JSON"),
    ],
)
def test_what_is_no_answer_ends_it(lines, says):
    with pytest.raises(ClirbenchError, match=says):
        call("talks", {"lines": lines})


@walled
def test_answers_of_another_form_are_passed_over():
    listening = Listening()
    odd = [
        "1",
        "[]",
        '["start"]',
        '["start", 1, 2, 3]',
        '["start", "a", "b", null, false]',
        f'["start", "a", {10**400}, null, false]',
        '["start", "a", -1, null, false]',
        '["advance", "x", 1]',
        '["told", 1]',
    ]
    assert call("talks", {"lines": odd}, reporter=listening) == "the result"
    assert listening.heard == []


@walled
def test_a_line_without_end_is_not_kept(monkeypatch):
    monkeypatch.setattr(module, "_LONGEST_LINE", 4 << 20)
    with pytest.raises(ClirbenchError, match="sends more than a run has to say"):
        call("talks_without_end")


@walled
def test_ctrl_c_ends_the_process_too(monkeypatch):
    class Interrupting(Silent):
        def note(self, line):
            assert line == "asleep"
            os.kill(os.getpid(), signal.SIGINT)

    started = []
    original = subprocess.Popen

    def started_and_kept(*arguments, **options):
        started.append(original(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(module.subprocess, "Popen", started_and_kept)
    before = threading.active_count()
    # Tests that a shell starts in the background inherit that SIGINT is ignored.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            call("for_ever", reporter=Interrupting())
    finally:
        signal.signal(signal.SIGINT, inherited)
    assert threading.active_count() == before
    # It has ended, and nobody has to wait for it.
    (process,) = started
    assert process.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_a_system_without_namespaces_says_so_and_asks(monkeypatch):
    monkeypatch.setattr(module.sys, "platform", "darwin")
    with pytest.raises(ClirbenchError, match=r"darwin has no network namespaces, .* or pass --without-network-wall"):
        call("echo")


def test_a_system_that_does_not_allow_namespaces_says_so(monkeypatch, tmp_path):
    class Strict:
        """A libc whose system lets nobody unshare anything."""

        def prctl(self, *_):
            return 0

        def unshare(self, flags):
            namespaces.ctypes.set_errno(1)
            return -1

    monkeypatch.setattr(namespaces.ctypes, "CDLL", lambda *_, **__: Strict())
    with pytest.raises(namespaces.WallError, match=r"unshare: Operation not permitted") as refused:
        namespaces.enclose(tmp_path, [], 1)
    # What the process says of it, and what the user is told.
    with pytest.raises(
        ClirbenchError, match=r"because it does not let .* Operation not permitted\).*--without-network-wall"
    ):
        module._follow(iter([["wall", str(refused.value)]]), Silent(), None, lambda: None)


def test_nine_tenths_of_the_memory():
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    assert default_memory() == int(0.9 * pages)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() == 0, reason="root is not counted")
def test_processes_are_counted_without_namespaces_too():
    reached = call("forks", {"most": 60}, namespaces=False, limits=Limits(processes=20))
    assert 0 < reached["started"] <= 20


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not list threads")
def test_the_threads_of_a_user_are_counted():
    before, go = module._threads_of_user(), threading.Event()
    threads = [threading.Thread(target=go.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert module._threads_of_user() >= 3
        assert before is not None
    finally:
        go.set()
        for thread in threads:
            thread.join()


@walled
def test_libraries_of_the_users_choice_can_be_read(tmp_path, monkeypatch):
    (tmp_path / "libx.so").write_text("shown", encoding="utf-8")
    # Behind the wall, root is nobody.
    tmp_path.chmod(0o755)
    monkeypatch.setenv("LD_LIBRARY_PATH", os.pathsep.join((str(tmp_path), "/", "", "relative")))
    argument = {"port": 1, "secret": "/", "home": "/", "pid": 1, "places": [], "readable": str(tmp_path / "libx.so")}
    assert call("look", argument)["readable"] == "shown"


@pytest.mark.parametrize("option", ["--max-memory", "--max-hours"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
def test_a_limit_that_is_none_is_refused(option, value, tmp_path):
    outcome = clir_here("verify", tmp_path, "--by", "me", option, value)
    assert f"{option} is {float(value)}: use a number above 0" in str(outcome.exception)
