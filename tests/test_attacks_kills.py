"""kill -9 and full disks in a run, a submission, a site build, a streamed run and a Ray run: run again, nothing differs."""

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import time

import pytest
from attacks.kills import COMMANDS, FEW, MANY
from command_line import environment
from miracl_corpus import build, invented
from small_board import FACTS, TASKS, answers, tasks_in, write_tasks

import clirbench
from clirbench.submissions.submit import submit

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no kill -9 here")
# Small shards and a slow model: there is something to kill, and something that an earlier life has kept.
ENCODER = """
import hashlib, time
import numpy as np
class Slow:
    name, revision = "test/slow", "1"
    def encode_queries(self, texts):
        time.sleep(0.02)
        return np.array([np.random.default_rng(list(hashlib.sha256(t.encode()).digest())).standard_normal(24) for t in texts])
    encode_candidates = encode_queries
def make(): return Slow()
"""
# The clock starts once the libraries are imported: that takes longest, and nothing can be lost meanwhile.
PROCESS = """
import sys
from clirbench.encoders import encode, vector_cache
import clirbench.board.site.build, clirbench.cli.run_tasks, clirbench.evaluation.streaming.ray_engine
import clirbench.submissions.check_many, clirbench.submissions.submit
from clirbench.cli import main
encode.TEXTS_PER_SHARD = vector_cache.TEXTS_PER_SHARD = 8
print("ready", flush=True)
main()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with all that the commands read."""
    folder = tmp_path_factory.mktemp("kills")
    (folder / "mine.py").write_text(ENCODER)
    build(folder, invented, ["sw", "yo", "te"], distractors=60, per_file=40)
    with tasks_in(write_tasks(folder / "tasks")):
        for name in ("hybrid", "char-ngram"):
            for task in TASKS:
                clirbench.evaluate(f"clirbench/{name}", task).save(folder / "kept")
            submit(folder / "kept" / f"clirbench__{name}", "acme", folder / "submissions", answers=answers())
    return folder


def start(name, home, largest=None):
    """Start a command; the process, and the moment when its libraries were imported.

    No file of it can grow beyond ``largest`` bytes.
    """
    words = list(COMMANDS[name].command)
    if name == "submit":
        known = {**FACTS, **{f"trained_on.{task}": "no" for task in TASKS}}
        words += [word for key, value in known.items() for word in ("--set", f"{key}={value}")]
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, *words],
        cwd=home, env=environment(home, CLIRBENCH_TASKS=str(home / "tasks"), RAY_AUTH_MODE="disabled"), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    if largest is not None:
        import resource

        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    return process, time.monotonic()


def done(name, home):
    """Run a command to its end; its seconds after the imports."""
    process, began = start(name, home)
    said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return time.monotonic() - began


def killed(name, home, seconds):
    """Kill a command after so many seconds; whether it was still running."""
    process, began = start(name, home)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, seconds - (time.monotonic() - began)))
    ended = process.poll() is not None
    process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()
    return not ended


def left(name, home):
    """The files that a command leaves; of a result, what does not depend on the clock."""
    folder = home / COMMANDS[name].leaves
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    # A part of a file that was being written. The next run removes it once it is a day old.
    files = {path: content for path, content in files.items() if not path.endswith(".part")}
    if COMMANDS[name].command[0] == "run":
        for path in [path for path in files if path.endswith(".json")]:
            document = json.loads(files[path])
            files[path] = {key: value for key, value in document.items() if key not in ("cost", "provenance")}
    return files


class Undisturbed:
    """What each command leaves, and how long it takes, where nobody disturbs it."""

    def __init__(self, home, folder):
        self._home, self._folder, self._known = home, folder, {}

    def __getitem__(self, name):
        if name not in self._known:
            home = shutil.copytree(self._home, self._folder / name)
            seconds = done(name, home)
            self._known[name] = left(name, home), seconds
        return self._known[name]


@pytest.fixture(scope="module")
def undisturbed(home, tmp_path_factory):
    return Undisturbed(home, tmp_path_factory.mktemp("undisturbed"))


def kill_and_run_again(name, share, home, undisturbed, folder):
    """Kill a command and run it again: whether it was killed before its end, and which files differ in the end."""
    whole, seconds = undisturbed[name]
    home = shutil.copytree(home, folder / "home")
    hit = killed(name, home, share * seconds)
    done(name, home)
    now = left(name, home)
    shutil.rmtree(home)
    return hit, sorted(path for path in now.keys() | whole.keys() if now.get(path) != whole.get(path))


@pytest.mark.parametrize("number", range(len(FEW)), ids=[f"{name} at {share:.0%}" for name, share in FEW])
def test_a_command_that_was_killed_and_runs_again_leaves_the_same(number, home, undisturbed, tmp_path):
    _, differs = kill_and_run_again(*FEW[number], home, undisturbed, tmp_path)
    assert differs == []


@pytest.mark.skipif(sys.platform != "linux", reason="no limit that is set from outside")
@pytest.mark.parametrize(
    ("name", "largest"),
    [("run", 100), ("run", 3_000), ("submit", 3_000), ("site build", 20_000), ("streamed run", 1_500)],
)
def test_a_full_disk_is_one_line_and_nothing_is_lost(name, largest, home, undisturbed, tmp_path):
    whole, _ = undisturbed[name]
    home = shutil.copytree(home, tmp_path / "home")
    process, _ = start(name, home, largest)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    last = errors.splitlines()[-1]
    assert last.startswith("clirbench: cannot write ")
    assert "(File too large): " in last
    assert list(home.rglob(".*.part")) in ([], [home / ".site.part"])
    done(name, home)
    assert left(name, home) == whole


@pytest.mark.nightly
def test_a_hundred_kills_lose_nothing(home, undisturbed, tmp_path):
    killed_at, lost = [], []
    for number, (name, share) in enumerate(MANY):
        (folder := tmp_path / str(number)).mkdir()
        # A machine may be faster than it was: a command that has ended before is killed earlier.
        for tries in itertools.count():
            moment = share * 0.7**tries
            hit, differs = kill_and_run_again(name, moment, home, undisturbed, folder)
            if differs:
                lost.append((name, moment, differs))
            if hit:
                break
        killed_at.append(moment)
        print(f"{len(killed_at)} kills, {len(lost)} with a difference: {name} at {moment:.2f} {differs}", flush=True)
    assert len(killed_at) == len(MANY) == 100
    assert lost == []
