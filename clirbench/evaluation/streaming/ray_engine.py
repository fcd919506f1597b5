"""Count shards on a Ray cluster. Each worker loads the encoder once and counts one shard after the other.

A shard has the same counts wherever it is counted. So if a worker dies, another worker counts its shard. Only the driver writes
files, so killing the driver loses no more than killing a local run.
"""

import contextlib
import importlib
import os
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from clirbench.encoders.base import (
    EncoderOptions,
    EncoderSettings,
    LoadedEncoder,
    LoadedModel,
    ModelInfo,
    require_encoder,
)
from clirbench.encoders.load import is_factory, load_encoder
from clirbench.encoders.precomputed import load_vectors
from clirbench.evaluation.streaming.count_shard import ShardCounter
from clirbench.evaluation.streaming.job import Engine, ShardCounts, Work
from clirbench.evaluation.streaming.options import Streaming, candidates_of
from clirbench.ranking.device import device_to_count_on
from clirbench.ranking.kernel import workers as cores
from clirbench.support.errors import ClirbenchError, first_line
from clirbench.support.paths import data_dir
from clirbench.support.progress import Reporter
from clirbench.support.version import __version__
from clirbench.tasks.corpora.inventory import Shard

# The run stops when this many workers have died with the same shard: the next worker would die too.
_DEATHS = 3
# Seconds between two notes that no worker is alive.
_WAIT = 60.0


@dataclass(frozen=True)
class _Recipe:
    """What a worker needs to load the same encoder on its own node.

    ``folder`` is the driver's working folder, where relative paths begin. Only a model of the user's own code, ``own_code``, is
    imported from there.
    """

    model: str
    options: EncoderOptions
    expected: ModelInfo
    settings: EncoderSettings
    version: str
    folder: str
    own_code: bool
    mirror: str | None
    threads: int


class _Worker:
    """A Ray actor that holds an encoder and counts shards with it."""

    def __init__(self, recipe: _Recipe) -> None:
        self._recipe = recipe
        self._counter: Any = None

    def prepare(self, work: Work) -> None:
        """Load the encoder and open the corpus."""
        recipe = self._recipe
        if __version__ != recipe.version:
            raise ClirbenchError(f"a node has clirbench {__version__}, the driver {recipe.version}: install the same")
        # Tokenizers would start a thread for each core of the node, not only for the cores of this worker.
        os.environ.setdefault("RAYON_NUM_THREADS", str(recipe.threads))
        if recipe.mirror is not None:
            os.environ["CLIRBENCH_MIRROR"] = recipe.mirror
        if Path(recipe.folder).is_dir():
            os.chdir(recipe.folder)
        if recipe.own_code and recipe.folder not in sys.path:
            sys.path.insert(0, recipe.folder)
        model = _load(recipe.model, recipe.options, work.streaming, work.selection.languages)
        if model.info != recipe.expected:
            raise ClirbenchError(
                f"a node loads {model.info.name} as revision {model.info.revision}, the driver {recipe.expected.revision}: "
                "every node needs the same model"
            )
        for key, value in asdict(recipe.settings).items():
            if getattr(model.settings, key) != value:
                raise ClirbenchError(
                    f"a node loads {model.info.name} with {key.replace('_', ' ')} {getattr(model.settings, key)!r}, the driver "
                    f"with {value!r}: install the same mteb and transformers on every node, or set it with an option"
                )
        candidates = candidates_of(work.selection.task, work.streaming)
        device = device_to_count_on(work.count_on, model)
        self._counter = ShardCounter(model, work, candidates, recipe.threads, device)

    def count(self, shard: Shard) -> bytes:
        """Count a shard; the counts come as :meth:`ShardCounts.to_bytes` writes them."""
        counts: ShardCounts = self._counter.count(shard, self._counter.read(shard))
        return counts.to_bytes()


def connect(streaming: Streaming) -> Streaming:
    """Connect to the cluster, or start one on this machine.

    Returns:
        The options. Where they name no number of workers, it is the number that the cluster has room for.

    Raises:
        ClirbenchError: Ray is not installed, there is no cluster at that address, or it has no room for one worker.
    """
    try:
        import ray
    except ImportError as error:
        raise ClirbenchError("--engine ray needs Ray: pip install 'clirbench[ray]'") from error
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        _keep_off_stdout()
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            # Ray puts the working folder first on the path of its workers, where any json.py in it would be imported.
            with contextlib.chdir(data_dir("tasks")):
                if streaming.ray_address is None:
                    # "local" makes Ray ignore RAY_ADDRESS: only --ray-address chooses a cluster.
                    room = max(cores(), streaming.workers or 1)
                    ray.init(address="local", include_dashboard=False, num_cpus=room, **quiet)
                else:
                    ray.init(address=streaming.ray_address, **quiet)
        except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError, OSError) as error:
            line = first_line(error)
            if streaming.ray_address is None:
                raise ClirbenchError(
                    f"cannot start Ray on this machine ({line}): see its logs, or give --ray-address"
                ) from error
            raise ClirbenchError(
                f"cannot reach a Ray cluster at '{streaming.ray_address}' ({line}): start one with ray start --head, export "
                "RAY_AUTH_MODE=token where it has a token, or leave out --ray-address for one on this machine"
            ) from error
    resources = ray.cluster_resources()
    gpus = streaming.gpus_per_worker
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    # A worker runs on one node, so the room is counted node by node.
    room = sum(int(node.get("GPU", 0) / gpus if gpus else node.get("CPU", 0)) for node in nodes)
    if room < 1:
        raise ClirbenchError(
            f"the Ray cluster has {resources.get('GPU', 0):g} GPUs and {resources.get('CPU', 0):g} CPUs, too little for one "
            "worker: lower --gpus-per-worker, or add nodes"
        )
    return streaming if streaming.workers else replace(streaming, workers=room)


def _keep_off_stdout() -> None:
    """Stop Ray from printing the cluster's own messages, such as a node's death, on standard output.

    Standard output belongs to results. Ray prints these messages there even with ``log_to_driver=False``, and only this private
    switch stops them. What matters of them reaches the user through the engine's own notes.
    """
    worker: Any = importlib.import_module("ray._private.worker")
    worker._worker_logs_enabled = False


def ray_engine(model: str, options: EncoderOptions, expected: LoadedModel, reporter: Reporter) -> Engine:
    """Make an engine that counts on the connected cluster. Each node loads the model by its name, and must get ``expected``."""

    def run(work: Work, shards: Sequence[Shard]) -> Iterator[tuple[Shard, ShardCounts]]:
        recipe = _Recipe(
            model=str(Path(model).resolve()) if Path(model).is_dir() else model,
            options=options,
            expected=expected.info,
            settings=expected.settings,
            version=__version__,
            folder=str(Path.cwd()),
            own_code=is_factory(model),
            mirror=str(Path(mirror).resolve()) if (mirror := os.environ.get("CLIRBENCH_MIRROR")) else None,
            threads=_threads(work.streaming),
        )
        yield from _Pool(recipe, replace(work, streaming=_absolute(work.streaming)), reporter).run(shards)

    return run


class _DiedError(Exception):
    """A worker has died, or its answer is lost: another worker must take its shard."""


class _Pool:
    """The workers of one run, and the shard that each of them counts."""

    def __init__(self, recipe: _Recipe, work: Work, reporter: Reporter) -> None:
        import ray

        self._ray, self._recipe, self._reporter = ray, recipe, reporter
        self._work = ray.put(work)
        options: dict[str, Any] = {"num_cpus": 1, "num_gpus": work.streaming.gpus_per_worker, "max_restarts": 0}
        self._actor = ray.remote(_Worker).options(**options)
        self._starting: dict[Any, Any] = {}
        self._busy: dict[Any, tuple[Any, Shard]] = {}
        self._deaths: Counter[str] = Counter()
        self._started = 0
        self._wanted = work.streaming.workers or 1

    def run(self, shards: Sequence[Shard]) -> Iterator[tuple[Shard, ShardCounts]]:
        """Count all shards, and yield each as soon as it is counted."""
        ray, queue = self._ray, deque(shards)
        for _ in range(min(self._wanted, len(queue))):
            self._start()
        waited = 0.0
        try:
            while queue or self._busy:
                done, _ = ray.wait([*self._starting, *self._busy], num_returns=1, timeout=_WAIT)
                waited = 0.0 if done or self._busy else waited + _WAIT
                if waited:
                    self._reporter.note(
                        f"no worker is alive, and the cluster has had no room for one for {waited:.0f} s: waiting (Ctrl-C stops)"
                    )
                for ref in done:
                    if ref in self._starting:
                        self._ready(ref, queue)
                    else:
                        yield from self._counted(ref, queue)
        finally:
            for actor in [*self._starting.values(), *(actor for actor, _ in self._busy.values())]:
                ray.kill(actor)

    def _start(self) -> None:
        actor = self._actor.remote(self._recipe)
        self._starting[actor.prepare.remote(self._work)] = actor
        self._started += 1

    def _ready(self, ref: Any, queue: deque[Shard]) -> None:
        actor = self._starting.pop(ref)
        try:
            self._get(ref, "loaded the model")
        except _DiedError as error:
            # A model may kill every worker that loads it, so the number of new workers has a limit.
            if self._started >= self._wanted + _DEATHS * self._wanted:
                raise ClirbenchError(
                    f"workers die while they load the model ({first_line(error)}): see Ray's logs"
                ) from error
            self._reporter.note("a worker died while it loaded the model: starting another")
            self._start()
            return
        self._next(actor, queue)

    def _counted(self, ref: Any, queue: deque[Shard]) -> Iterator[tuple[Shard, ShardCounts]]:
        actor, shard = self._busy.pop(ref)
        try:
            counts = ShardCounts.from_bytes(self._get(ref, f"counted shard {shard.name}"))
        except _DiedError as error:
            # The worker may be alive, with only its answer lost.
            self._ray.kill(actor)
            self._deaths[shard.name] += 1
            if self._deaths[shard.name] >= _DEATHS:
                raise ClirbenchError(
                    f"{_DEATHS} workers died with shard {shard.name} ({first_line(error)}): "
                    "they may lack memory, lower --batch-size or --shard-size; what is counted is kept"
                ) from error
            self._reporter.note(f"a worker died: its shard {shard.name} goes to another")
            queue.appendleft(shard)
            self._start()
            return
        # The worker gets its next shard before the counts of this one are written, so that it does not wait.
        self._next(actor, queue, shard)
        yield shard, counts

    def _next(self, actor: Any, queue: deque[Shard], last: Shard | None = None) -> None:
        if queue:
            shard = self._chosen(queue, last)
            queue.remove(shard)
            self._busy[actor.count.remote(shard)] = actor, shard

    def _chosen(self, queue: deque[Shard], last: Shard | None) -> Shard:
        """Choose a worker's next shard: the one after its last shard, since files are read in order; else one of another file."""
        after = None if last is None else (last.language, last.file, last.start + last.size)
        read = {(shard.language, shard.file) for _, shard in self._busy.values()}
        fresh = None
        for shard in queue:
            if (shard.language, shard.file, shard.start) == after:
                return shard
            if fresh is None and (shard.language, shard.file) not in read:
                fresh = shard
        return fresh or queue[0]

    def _get(self, ref: Any, doing: str) -> Any:
        """What a worker returned; ``doing`` says what it did."""
        try:
            return self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, ClirbenchError):
                raise ClirbenchError(str(cause)) from error
            raise ClirbenchError(
                f"a Ray worker failed while it {doing} ({type(cause).__name__}: {first_line(cause)}): mend that, or run again "
                "without --engine ray to see where; what is counted is kept"
            ) from error
        # Any error of Ray itself: the process or its node died, ran out of memory, or the answer was lost.
        except self._ray.exceptions.RayError as error:
            raise _DiedError(first_line(error)) from error


def _load(model: str, options: EncoderOptions, streaming: Streaming, languages: Sequence[str]) -> LoadedEncoder:
    if streaming.vectors is not None:
        return load_vectors(streaming.vectors, languages, options)
    return require_encoder(load_encoder(model, options))


def _threads(streaming: Streaming) -> int:
    """Divide the cores of a node like this one by the number of workers per node."""
    import ray

    nodes = max(1, sum(node["Alive"] is True for node in ray.nodes()))
    here = -(-(streaming.workers or 1) // int(nodes))
    return int(max(1, cores() // here))


def _absolute(streaming: Streaming) -> Streaming:
    paths = {name: getattr(streaming, name) for name in ("data", "vectors")}
    return replace(streaming, **{name: path.resolve() for name, path in paths.items() if path is not None})
