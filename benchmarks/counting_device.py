"""Counting on a device: vectors on disk, against the bare product on that device and against the processor's counter.

Three contenders take turns, round by round, in one process:

- the bare product: read a shard, make it float32, copy it to the device, multiply it with the queries in full float32;
- the device's counter: everything that ``clirbench run --vectors --count-on device`` does with a shard;
- the processor's counter, which counts a part of the shards.

The first two read ahead, and all give seconds per shard. The counts of both counters are compared.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import streaming

TARGET = 1.5


def device_line(device):
    """The device in words."""
    import torch

    if device.name.startswith("cuda"):
        return f"{device.name} ({torch.cuda.get_device_name(device.name)})"
    return f"torch on {device.name}, {torch.get_num_threads()} threads"


def wait(device):
    """Wait until the device has computed what it was given."""
    import torch

    if device.name.startswith("cuda"):
        torch.cuda.synchronize(device.name)


def bare(device, folder, shards):
    """Seconds per shard of bare products of the shards."""
    place = folder / "vectors" / "sw"
    held = device.hold(np.load(place / "queries-0.npy").astype(np.float32))

    def read(shard):
        vectors = np.load(place / f"passages-{shard.file}.npy", mmap_mode="r")
        return vectors[shard.start : shard.start + shard.size].astype(np.float32)

    begin = time.perf_counter()
    with ThreadPoolExecutor(1) as reader, device.counting():
        ahead = reader.submit(read, shards[0])
        for number in range(1, len(shards) + 1):
            vectors = ahead.result()
            if number < len(shards):
                ahead = reader.submit(read, shards[number])
            scores = device.product(held, device.hold(vectors))
        wait(device)
    assert scores.shape[1] == shards[-1].size
    return (time.perf_counter() - begin) / len(shards)


def counted(engine, work, shards):
    """Seconds per shard of an engine, and the counts."""
    begin = time.perf_counter()
    counts = {shard: of_shard.wrong for shard, of_shard in engine(work, shards)}
    return (time.perf_counter() - begin) / len(shards), counts


def opened(folder, shard_size):
    """A streamed task over the vectors, ready to be counted: its work, the model, and where candidates are read."""
    from clirbench.encoders.base import EncoderOptions
    from clirbench.encoders.precomputed import load_vectors
    from clirbench.evaluation.streaming.options import Streaming, candidates_of
    from clirbench.evaluation.streaming.streamed_task import StreamedTask
    from clirbench.support.context import RunContext
    from clirbench.tasks.selection import select
    from clirbench.tasks.task_file import load_task

    task = load_task(str(folder / "synthetic.toml"))
    loaded = load_vectors(folder / "vectors", ["sw"], EncoderOptions(name="synthetic/vectors", similarity="cosine"))
    options = Streaming(data=folder / "topics", vectors=folder / "vectors", shard=shard_size)
    streamed = StreamedTask(select(task, ["sw"], ["monolingual"]), options)
    streamed.encode(loaded, RunContext(inventories=folder / "inventories", count_on="cpu"))
    return streamed.work, loaded, candidates_of(task, options)


def shown(name, seconds):
    """A line with the minimum and the median of seconds."""
    return f"{name:<28} {min(seconds):8.4f} s  {statistics.median(seconds):8.4f} s"


def main():
    """Print seconds per shard, minimum and median of the rounds, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--passages", type=int, default=1_000_000, help="a multiple of 100,000, or less than that")
    parser.add_argument("--dimensions", type=int, default=1024)
    parser.add_argument("--queries", type=int, default=13_495)
    parser.add_argument("--shard", type=int, default=streaming.SHARD)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpu-part", type=float, default=0.1, help="share of the shards that the processor counts too")
    given = parser.parse_args()
    if given.rounds < 3:
        raise SystemExit(f"--rounds is {given.rounds}: use 3 or more")

    from clirbench.evaluation.streaming.streamed_task import local_engine
    from clirbench.ranking.device import Device
    from clirbench.ranking.kernel import workers

    device = Device(given.device)
    streaming.DIMENSIONS, streaming.QUERIES = given.dimensions, given.queries
    streaming.PER_FILE = min(streaming.PER_FILE, given.passages)
    folder = Path(tempfile.mkdtemp(prefix="counting-"))
    try:
        streaming.write_vectors(folder, given.passages)
        work, loaded, candidates = opened(folder, given.shard)
        shards = work.inventory.shards
        some = shards[: max(1, round(len(shards) * given.cpu_part))]
        there, here = local_engine(loaded, candidates, device), local_engine(loaded, candidates)
        seconds = {"bare product": [], "device's counter": [], "processor's counter": []}
        # One shard before the first round: a device compiles and loads what it needs.
        bare(device, folder, shards[:1])
        counted(there, work, shards[:1])
        for _ in range(given.rounds):
            seconds["bare product"].append(bare(device, folder, shards))
            took, of_device = counted(there, work, shards)
            seconds["device's counter"].append(took)
            took, of_processor = counted(here, work, some)
            seconds["processor's counter"].append(took)
            for shard, counts in of_processor.items():
                if not np.array_equal(counts, of_device[shard]):
                    raise SystemExit(f"the counts of shard {shard} differ between {device.name} and the processor")
    finally:
        shutil.rmtree(folder)
    print(
        f"{given.passages:,} x {given.dimensions:,} float16 vectors on disk, {given.queries:,} queries with "
        f"{streaming.GOLDS} golds, shards of {given.shard:,}, {given.rounds} rounds"
    )
    print(f"device: {device_line(device)}; processor: {workers()} threads")
    print(f"{'seconds per shard':<28} {'minimum':>10}  {'median':>10}")
    for name, values in seconds.items():
        print(shown(name, values))
    floor, ours, cpu = seconds.values()
    ratios = [a / b for a, b in zip(ours, floor, strict=True)]
    gains = [a / b for a, b in zip(cpu, ours, strict=True)]
    print(
        f"the device's counter takes {min(ratios):.2f} to {max(ratios):.2f} times the bare product, median "
        f"{statistics.median(ratios):.2f} (wanted: {TARGET})"
    )
    print(f"the processor's counter takes {statistics.median(gains):.2f} times the device's counter (median)")
    print(f"{sum(len(counts) for counts in of_processor.values()):,} counts are equal on both")


if __name__ == "__main__":
    sys.exit(main())
