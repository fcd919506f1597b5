"""Everything after encoding against the bare blocked matrix product on the same vectors."""

import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import clirbench
from clirbench.encoders.encode import Encoded
from clirbench.evaluation.evaluate import rank, score
from clirbench.evaluation.loaded_task import InMemoryTask
from clirbench.ranking import near_ties
from clirbench.ranking.counters import VectorCounter
from clirbench.support.context import RunContext
from clirbench.support.memory import peak_memory
from clirbench.tasks.collection import load_collection
from clirbench.tasks.task import SETTINGS

DIMENSIONS = 384
REPEATS = 7


def vectors(count, seed):
    """Unit float32 vectors, made without a larger intermediate so that the peak of memory stays theirs."""
    found = np.random.default_rng(seed).standard_normal((count, DIMENSIONS), dtype=np.float32)
    found /= np.sqrt(np.einsum("ij,ij->i", found, found))[:, None]
    return found


def bare_product(queries, candidates, block):
    out = np.empty((block, len(candidates)), dtype=np.float32)
    for start in range(0, len(queries), block):
        part = queries[start : start + block]
        np.matmul(part, candidates.T, out=out[: len(part)])


def timed(function, *args):
    begin = time.perf_counter()
    function(*args)
    return time.perf_counter() - begin


def evaluate_encoded(encoded, collection):
    """Everything after encoding; returns the seconds of "rank" and "score"."""
    task = InMemoryTask(collection, SETTINGS)
    counts = VectorCounter(encoded, collection).count(SETTINGS, RunContext())
    begin = time.perf_counter()
    above = counts.added(task.gold_pairs)
    score(task, above, rank(task, above))
    return {"rank": counts.cost.seconds["rank"], "score": time.perf_counter() - begin}


def measure(compiled):
    """Seconds of alternating repeats, so that both sides see the same weather, and the memory of one evaluation."""
    # Numba's own memory is no part of the evaluation's, nor is its time to load, which comes after many comparisons.
    near_ties._BEFORE_NUMBA = -1 if compiled else 2**60
    if compiled:
        assert near_ties.load_compiled(), "Numba is not installed: pip install 'clirbench[fast]'"
    collection = load_collection(clirbench.load_task("xquad-r"))
    queries, candidates = vectors(len(collection.queries), 0), vectors(len(collection.candidates), 1)
    encoded = Encoded(queries, candidates, 0, 0, 0.0, DIMENSIONS, 0, {})
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    # Forget the peak of what came before.
    Path("/proc/self/clear_refs").write_text("5")
    evaluate_encoded(encoded, collection)
    extra = peak_memory() - before
    found = {"floor": [], "rank": [], "score": [], "ours": []}
    for _ in range(REPEATS):
        found["floor"].append(min(timed(bare_product, queries, candidates, block) for block in (256, 512, 1024)))
        begin = time.perf_counter()
        parts = evaluate_encoded(encoded, collection)
        found["ours"].append(time.perf_counter() - begin)
        for part, seconds in parts.items():
            found[part].append(seconds)
    return found | {"extra_mb": extra / 1e6, "shape": [len(queries), len(candidates), DIMENSIONS]}


def compare():
    """NumPy's comparison, and Numba's where it is installed, each measured in a fresh process."""
    found = {}
    for contender in ("numpy", "numba") if importlib.util.find_spec("numba") else ("numpy",):
        ran = subprocess.run(
            [sys.executable, __file__, "--child", contender], capture_output=True, text=True, check=False
        )
        if ran.returncode:
            sys.exit(ran.stderr)
        found[contender] = json.loads(ran.stdout)
    return found


def table(found):
    """Markdown rows. A ratio is the median of the ratios of the repeats; the least and the most stand behind it."""
    title = " x ".join(f"{n:,}" for n in found["numpy"]["shape"])
    rows = [
        f"| everything after encoding, {title}, {REPEATS} repeats | seconds, median (least) | ratio, median (least to most) |",
        "|---|---|---|",
    ]

    def row(what, one, part):
        ratios = sorted(mine / floor for mine, floor in zip(one[part], one["floor"], strict=True))
        seconds = f"{statistics.median(one[part]):.2f} ({min(one[part]):.2f})"
        return f"| {what} | {seconds} | {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"

    rows.append(row("bare blocked matrix product (the floor)", found["numpy"], "floor"))
    for contender, one in found.items():
        name = {"numpy": "NumPy", "numba": "with Numba (`clirbench[fast]`)"}[contender]
        rows.append(row(f"counts and ranks of all 132 settings, {name}", one, "rank"))
        rows.append(row(f"the same with metrics, bias and intervals, {name}", one, "ours"))
        rows.append(f"| memory above the vectors, {name} | {one['extra_mb']:.0f} MB | |")
    return "\n".join(rows)


if __name__ == "__main__":
    if "--child" in sys.argv:
        print(json.dumps(measure(sys.argv[-1] == "numba")))
    else:
        print(table(compare()))
