"""Everything after encoding against the bare blocked matrix product on the same vectors."""

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


def measure():
    """Medians over alternating repeats, so that both sides see the same weather."""
    collection = load_collection(clirbench.load_task("xquad-r"))
    queries, candidates = vectors(len(collection.queries), 0), vectors(len(collection.candidates), 1)
    encoded = Encoded(queries, candidates, 0, 0, 0.0, DIMENSIONS, 0)
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    # Forget the peak of what came before.
    Path("/proc/self/clear_refs").write_text("5")
    evaluate_encoded(encoded, collection)
    extra = peak_memory() - before
    floor, ours, parts = [], [], []
    for _ in range(REPEATS):
        floor.append(min(timed(bare_product, queries, candidates, block) for block in (256, 512, 1024)))
        begin = time.perf_counter()
        parts.append(evaluate_encoded(encoded, collection))
        ours.append(time.perf_counter() - begin)
    middle = ours.index(statistics.median(ours))
    return {
        "floor": statistics.median(floor),
        "ours": statistics.median(ours),
        "rank": parts[middle]["rank"],
        "score": parts[middle]["score"],
        "extra_mb": extra / 1e6,
        "shape": [len(queries), len(candidates), DIMENSIONS],
    }


def compare():
    """Measured in a fresh process."""
    ran = subprocess.run([sys.executable, __file__, "--child"], capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(ran.stderr)
    return json.loads(ran.stdout)


def table(found):
    """Markdown rows."""
    title = " x ".join(f"{n:,}" for n in found["shape"])
    return "\n".join(
        [
            f"| everything after encoding, {title} | seconds | ratio |",
            "|---|---|---|",
            f"| bare blocked matrix product (the floor) | {found['floor']:.2f} | 1.00 |",
            f"| counts and ranks of all 132 settings | {found['rank']:.2f} | {found['rank'] / found['floor']:.2f} |",
            f"| with metrics, bias and intervals | {found['ours']:.2f} | {found['ours'] / found['floor']:.2f} |",
            f"| memory above the vectors, MB | {found['extra_mb']:.0f} | |",
        ]
    )


if __name__ == "__main__":
    if "--child" in sys.argv:
        print(json.dumps(measure()))
    else:
        print(table(compare()))
