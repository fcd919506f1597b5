"""The Ray engine on a real cluster of two node processes: the same ranks, whoever dies."""

import gzip
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_line import HEARS_CTRL_C, environment, wait_until
from miracl_corpus import home_of, invented, passages, write_original, write_task

ENCODER = """
import hashlib, os, pathlib, sys, time
import numpy as np
HOME = pathlib.Path(__file__).parent
class Slow:
    name, revision, pause, fatal, times, together = "test/slow", "1", 0.0, "no such text", 1, False
    def encode_queries(self, texts):
        return np.array([np.random.default_rng(list(hashlib.sha256(t.encode()).digest())).standard_normal(24) for t in texts])
    def encode_candidates(self, texts):
        if self.together and sys.argv[0].endswith("default_worker.py"):
            (HOME / f"worker{os.getpid()}").touch()
            while len(list(HOME.glob("worker*"))) < 2:
                time.sleep(0.05)
        time.sleep(self.pause)
        if any(self.fatal in text for text in texts):
            deaths = len(list(HOME.glob("death*")))
            if deaths < self.times:
                (HOME / f"death{deaths}").touch()
                os._exit(9)
        vectors = self.encode_queries(texts)
        return vectors * (float("nan") if any("POISON" in text for text in texts) else 1)
def make(): return Slow()
def slow():
    Slow.pause = 0.3
    return Slow()
def together():
    Slow.pause, Slow.together = 0.3, True
    return Slow()
def mortal():
    Slow.fatal = " DEADLY"
    return Slow()
def cursed():
    Slow.fatal, Slow.times = " DEADLY", 1000
    return Slow()
"""
pytestmark = pytest.mark.xdist_group("ray")
RUN = ("--tasks", "tiny-miracl.toml", "--data", "corpus", "--shard-size", "9")


class Nodes:
    """Two `ray start` processes, each with one CPU, and what a driver must know of them."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="ray-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # Of its own: neither the user's token nor none at all.
        self.variables = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self.head = self.start(
            "--head", f"--port={self.port}", "--include-dashboard=false", f"--temp-dir={self.folder}"
        )
        self.wait(1)
        self.second = self.start(f"--address=127.0.0.1:{self.port}")
        self.wait(2)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self, *arguments):
        ray = shutil.which("ray", path=str(Path(sys.executable).parent)) or "ray"
        return subprocess.Popen(
            [ray, "start", *arguments, "--num-cpus=1", "--object-store-memory=100000000", "--block"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **self.variables},
        )

    def wait(self, nodes):
        """Until so many nodes are alive."""
        code = (
            f"import ray; ray.init('{self.address}', log_to_driver=False, logging_level='ERROR'); "
            "print(sum(node['Alive'] for node in ray.nodes()))"
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            ran = subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                env={**os.environ, **self.variables},
                check=False,
            )
            # Ray may print a message of the cluster before the number.
            if ran.stdout.split()[-1:] == [str(nodes)]:
                return
        raise AssertionError(f"no {nodes} nodes: {ran.stdout} {ran.stderr}")

    def kill(self, process):
        """The node process and everything that it started."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self):
        for process in (self.second, self.head):
            if process.poll() is None:
                self.kill(process)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def nodes():
    if sys.platform != "linux":
        pytest.skip("Ray makes a cluster of several nodes on Linux only")
    found = Nodes()
    yield found
    found.stop()


@pytest.fixture
def home(tmp_path):
    return home_of(tmp_path, ENCODER)


def command(model, *more):
    return [sys.executable, "-m", "clirbench", "run", "--model", f"mine:{model}", *RUN, *more]


def clir(home, model, *more, **variables):
    return subprocess.run(
        command(model, *more),
        capture_output=True, text=True, cwd=home, env=environment(home, **variables), check=False, timeout=300,
    )  # fmt: skip


def on(nodes):
    return "--engine", "ray", "--ray-address", nodes.address


def ranks(home, folder):
    return (home / folder / "test__slow" / "tiny-miracl.ranks.parquet").read_bytes()


def counts(home, folder):
    return list((home / folder / "test__slow" / "tiny-miracl.shards").glob("*.counts"))


def deadly(home):
    """The corpus again, with one distractor of which an encoder may die."""
    shutil.rmtree(home / "corpus")
    data = {}
    for language in ("sw", "yo", "te"):
        topics = invented(language)
        rows = passages(language, topics, 60)
        i = next(i for i, (id_, *_) in enumerate(rows) if id_.startswith("9") and i > 30)
        if language == "te":
            rows[i] = (rows[i][0], rows[i][1], rows[i][2] + " DEADLY")
        data[language] = topics, rows
        write_original(home / "corpus", language, topics, rows, per_file=40)
    write_task(home, data)


@pytest.mark.slow
def test_a_node_that_is_killed_in_the_middle_costs_nothing(home, nodes):
    assert clir(home, "make", "-o", "local").returncode == 0
    process = subprocess.Popen(
        command("together", *on(nodes), "-o", "ray"),
        cwd=home, env=environment(home, **nodes.variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    # No worker has counted a shard before both of them had one.
    wait_until(lambda: len(counts(home, "ray")) >= 4, process)
    nodes.kill(nodes.second)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert "a worker died: its shard " in errors
    assert ranks(home, "ray") == ranks(home, "local")
    document = (home / "ray" / "test__slow" / "tiny-miracl.json").read_text()
    assert '"engine": "ray, 2 workers"' in document
    # The next tests have two nodes again.
    nodes.second = nodes.start(f"--address={nodes.address}")
    nodes.wait(2)


@pytest.mark.slow
def test_a_worker_that_dies_gives_its_shard_to_another(home, nodes):
    deadly(home)
    assert clir(home, "make", "-o", "local").returncode == 0
    ran = clir(home, "mortal", *on(nodes), "-o", "ray", **nodes.variables)
    assert ran.returncode == 0, ran.stderr
    assert "a worker died: its shard te-" in ran.stderr
    assert ranks(home, "ray") == ranks(home, "local")


@pytest.mark.slow
def test_a_shard_that_kills_every_worker_ends_the_run_and_loses_nothing(home, nodes):
    deadly(home)
    ran = clir(home, "cursed", *on(nodes), "-o", "ray", **nodes.variables)
    assert ran.returncode == 2
    assert "3 workers died with shard te-" in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr
    kept = len(counts(home, "ray"))
    assert kept > 10
    assert clir(home, "make", "-o", "local").returncode == 0
    resumed = clir(home, "make", "-o", "ray")
    assert f"{kept} of " in resumed.stderr
    assert ranks(home, "ray") == ranks(home, "local")


@pytest.mark.slow
def test_the_driver_killed_or_stopped_goes_on_like_a_local_run(home, nodes):
    assert clir(home, "make", "-o", "local").returncode == 0
    for number in (signal.SIGKILL, signal.SIGINT):
        before = len(counts(home, "ray"))
        process = subprocess.Popen(
            [*HEARS_CTRL_C, *command("slow", *on(nodes), "-o", "ray")[3:]],
            cwd=home, env=environment(home, **nodes.variables), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_until(lambda before=before: len(counts(home, "ray")) >= before + 4, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode in (-signal.SIGKILL, 130), errors
        if number == signal.SIGINT:
            assert errors.endswith("clirbench: stopped; run the same command again to continue\n")
    kept = len(counts(home, "ray"))
    assert kept >= 8
    # Whichever engine goes on.
    last = clir(home, "make", "-o", "ray")
    assert last.returncode == 0, last.stderr
    assert f"{kept} of " in last.stderr
    assert ranks(home, "ray") == ranks(home, "local")


@pytest.mark.slow
def test_a_message_of_the_cluster_stays_off_standard_output(nodes):
    code = f"""
import time
from clirbench.evaluation.streaming.ray_engine import connect
from clirbench.evaluation.streaming.options import Streaming
connect(Streaming(engine="ray", ray_address="{nodes.address}"))
import ray._private.utils, ray._private.worker as worker
told = []
was = worker.print_to_stdstream
worker.print_to_stdstream = lambda *a, **k: (was(*a, **k), told.append(a))
ray._private.utils.publish_error_to_driver("node_died", "a node is marked dead", worker.global_worker.gcs_client)
while not told:
    time.sleep(0.05)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **nodes.variables},
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr


@pytest.mark.slow
def test_a_mistake_in_a_worker_is_one_line_here(home, nodes):
    deadly(home)
    for path in (home / "corpus" / "miracl-corpus-v1.0-te").iterdir():
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b" DEADLY", b" POISON")))
    ran = clir(home, "make", *on(nodes), "-o", "ray", **nodes.variables)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "test/slow gave NaN for the candidate" in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr


def test_an_exception_in_a_worker_is_one_line_that_names_the_shard():
    exceptions = pytest.importorskip("ray.exceptions")
    from clirbench.evaluation.streaming.ray_engine import _Pool
    from clirbench.support.errors import ClirbenchError

    def get(_):
        raise exceptions.RayTaskError(
            "count", "Traceback: many lines", ZeroDivisionError("division by zero\nsecond line")
        )

    pool = object.__new__(_Pool)
    pool._ray = SimpleNamespace(get=get, exceptions=exceptions)
    with pytest.raises(ClirbenchError) as error:
        pool._get("ref", "counted shard sw.0.20000")
    assert str(error.value).startswith(
        "a Ray worker failed while it counted shard sw.0.20000 (ZeroDivisionError: division by zero): "
    )
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_cluster_of_ones_own_on_this_machine(home):
    assert clir(home, "make", "-o", "local").returncode == 0
    own = {"RAY_AUTH_MODE": "disabled"}
    ran = clir(home, "make", "--engine", "ray", "--workers", "2", "-o", "ray", "--save-top", "3", **own)
    assert ran.returncode == 0, ran.stderr
    assert ranks(home, "ray") == ranks(home, "local")
    assert clir(home, "make", "-o", "local", "--force", "--save-top", "3").returncode == 0
    runs = [(home / folder / "test__slow" / "tiny-miracl.yo.trec").read_text() for folder in ("ray", "local")]
    assert runs[0] == runs[1]
    many = clir(home, "make", "--engine", "ray", "--gpus-per-worker", "1", "-o", "gpu", **own)
    assert many.returncode == 2
    assert "the Ray cluster has 0 GPUs" in many.stderr


@pytest.mark.slow
def test_a_bundled_model_imports_nothing_from_the_working_folder(home):
    """What lies where the command is typed is nobody's code but that of module:factory."""
    for name in ("scipy", "safetensors", "tokenizers", "clirbench"):
        trap = f"import pathlib\npathlib.Path({str(home / 'imported')!r}).touch()\nraise ImportError({name!r})\n"
        (home / f"{name}.py").write_text(trap)
    run = [sys.executable, "-P", "-m", "clirbench", "run", "--model", "clirbench/hybrid", *RUN]
    for more in ([], ["--engine", "ray", "--workers", "1"]):
        ran = subprocess.run(
            [*run, *more, "-o", f"out{len(more)}"],
            capture_output=True, text=True, cwd=home, check=False, timeout=300,
            env=environment(home, RAY_AUTH_MODE="disabled"),
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
    assert not (home / "imported").exists()
    name = Path("clirbench__hybrid") / "tiny-miracl.ranks.parquet"
    assert (home / "out0" / name).read_bytes() == (home / "out4" / name).read_bytes()


def test_without_ray_the_extra_is_named(home):
    (home / "ray.py").write_text("raise ImportError('not installed')\n")
    ran = clir(home, "make", "--engine", "ray")
    assert (ran.returncode, ran.stderr.splitlines()[-1]) == (
        2, "clirbench: --engine ray needs Ray: pip install 'clirbench[ray]'"
    )  # fmt: skip


def test_an_address_where_nothing_is(home):
    ran = clir(home, "make", "--engine", "ray", "--ray-address", "nobody", RAY_AUTH_MODE="disabled")
    assert ran.returncode == 2
    assert "cannot reach a Ray cluster at 'nobody'" in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr


def test_a_node_that_would_run_the_model_otherwise_stops(tmp_path, monkeypatch):
    """Another release of mteb may have other prompts for a name of the hub: here the driver's are made up."""
    from dataclasses import replace
    from types import SimpleNamespace

    from clirbench.encoders.base import EncoderOptions
    from clirbench.encoders.load import load_encoder
    from clirbench.evaluation.streaming import ray_engine
    from clirbench.support.errors import ClirbenchError
    from clirbench.support.version import __version__

    monkeypatch.chdir(Path.cwd())
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")
    driver = load_encoder("clirbench/hybrid", EncoderOptions())
    work = SimpleNamespace(streaming=SimpleNamespace(vectors=None), selection=SimpleNamespace(languages=("sw",)))
    recipe = ray_engine._Recipe(
        model="clirbench/hybrid",
        options=EncoderOptions(),
        expected=driver.info,
        settings=replace(driver.settings, query_prompt="query: "),
        version=__version__,
        folder=str(tmp_path),
        own_code=False,
        mirror=None,
        threads=1,
    )
    with pytest.raises(
        ClirbenchError, match="a node loads clirbench/hybrid with query prompt '', the driver with 'query: '"
    ):
        ray_engine._Worker(recipe).prepare(work)
    assert str(tmp_path) not in sys.path
    # Relative paths begin in the driver's folder.
    assert Path.cwd() == tmp_path
