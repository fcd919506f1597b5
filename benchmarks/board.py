"""Checking 200 submissions and printing their board, and the tests of 30 models: seconds and memory, against few.

    python benchmarks/board.py --write

Copies of the repository's submissions under other names. Checks and boards run several times: cold, with an empty cache, and then
from the cache. Seconds of the processor are those of all processes, which a busy machine changes less than seconds of the clock.
"""

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import blocks
from startup import device

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"
SOURCES = ("clirbench__hybrid", "clirbench__mono", "clirbench__cross", "clirbench__char-ngram")
TASKS = ("xquad-r", "mlqa-r")
CHECKED, RANKED, ROUNDS = 200, 30, 3


def copies(target, number):
    """Sound submissions under names of their own."""
    for i in range(number):
        source = SUBMISSIONS / SOURCES[i % len(SOURCES)]
        # Of letters that no two names can be mistaken by.
        name = "bench/model-" + "".join("bdfhkpstxz"[i // place % 10] for place in (100, 10, 1))
        folder = target / name.replace("/", "__")
        shutil.copytree(source, folder)
        toml = folder / "model.toml"
        old = source.name.replace("__", "/")
        toml.write_text(
            toml.read_text(encoding="utf-8").replace(f'name = "{old}"', f'name = "{name}"'), encoding="utf-8"
        )
        for task in TASKS:
            path = folder / f"{task}.json"
            document = json.loads(path.read_text(encoding="utf-8"))
            document["model"]["name"] = name
            path.write_text(json.dumps(document), encoding="utf-8")


def command(folder, cache, *arguments):
    """Seconds of the clock and of the processor that a command takes on a board."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run(
        [sys.executable, "-m", "clirbench", *arguments],
        cwd=folder,
        env={**os.environ, "CLIRBENCH_CACHE": str(cache)},
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - begin, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands(board):
    """The seconds of each command on a board, a pair for each round."""
    taken = {name: [] for name in ("check, cold", "check, from the cache", "leaderboard, from the cache")}
    board_of = ("leaderboard", "--submissions", board.name)
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as cache:
            taken["check, cold"].append(command(board.parent, cache, "check", board.name))
            taken["check, from the cache"].append(command(board.parent, cache, "check", board.name))
            # The first one reads and tests the models.
            command(board.parent, cache, *board_of)
            taken["leaderboard, from the cache"].append(command(board.parent, cache, *board_of))
    return taken


def seconds_table(number, taken):
    lines = [
        f"| `clirbench`, {number} submissions | seconds, least | median | of the processor, least | median |",
        "|---|---|---|---|---|",
    ]
    for name, times in taken.items():
        clock, processor = zip(*times, strict=True)
        numbers = (min(clock), statistics.median(clock), min(processor), statistics.median(processor))
        lines.append(f"| {name} | " + " | ".join(f"{one:.1f}" for one in numbers) + " |")
    return "\n".join([*lines, "", f"{ROUNDS} runs each, on {device()}."])


def check(folder):
    """Seconds, peak memory of this process and its workers in MB (shared pages counted once), and errors."""
    from clirbench.submissions.check_many import check_submissions, inside

    # A record of an earlier check would answer at once.
    os.environ["CLIRBENCH_CACHE"] = str(folder / "cache")
    peak, done = [0.0], threading.Event()

    def watch():
        while not done.wait(0.1):
            peak[0] = max(peak[0], sum(map(proportional, [os.getpid(), *children(os.getpid())])))

    watcher = threading.Thread(target=watch)
    watcher.start()
    begin = time.perf_counter()
    checked = check_submissions(inside(folder / "board"))
    seconds = time.perf_counter() - begin
    done.set()
    watcher.join()
    return seconds, peak[0], sum(examined.errors for examined in checked)


def children(process):
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(child) for child in found]


def proportional(process):
    """Proportional set size in MB; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


def rank(folder):
    """Seconds to read models and to test all pairs on XQuAD-R, and the memory."""
    from clirbench.board.entries import read_entry
    from clirbench.board.table import board_ranks

    begin = time.perf_counter()
    entries = [read_entry(path) for path in sorted(folder.iterdir())]
    middle = time.perf_counter()
    board_ranks(entries, "xquad-r")
    return middle - begin, time.perf_counter() - middle, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def apart(function, *arguments):
    """Run in a process of its own, so that memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def checked_apart(folder):
    # A pool's worker may not have children of its own: an executor's may.
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(check, folder).result()


def compared():
    """Check and tests of many against few, as rows of a table."""
    yield from ("| | few | many | ratio |", "|---|---|---|---|")
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        copies(Path(few) / "board", 1)
        copies(Path(many) / "board", CHECKED)
        one, all_of_them = checked_apart(Path(few)), checked_apart(Path(many))
        assert one[2] == all_of_them[2] == 0, (one, all_of_them)
        for i, what, form in ((0, "seconds", ".1f"), (1, "memory, MB, workers included,", ".0f")):
            a, b = one[i], all_of_them[i]
            yield f"| {what} to check 1 and {CHECKED} submissions | {a:{form}} | {b:{form}} | {b / a:.1f} |"
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        copies(Path(few), 2)
        copies(Path(many), RANKED)
        two, thirty = apart(rank, Path(few)), apart(rank, Path(many))
        yield f"| seconds to read 2 and {RANKED} models | {two[0]:.1f} | {thirty[0]:.1f} | {thirty[0] / two[0]:.1f} |"
        yield f"| seconds to test every pair on xquad-r | {two[1]:.2f} | {thirty[1]:.2f} | {thirty[1] / two[1]:.1f} |"
        yield f"| memory, MB | {two[2]:.0f} | {thirty[2]:.0f} | {thirty[2] / two[2]:.2f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checked", type=int, default=CHECKED, help="submissions")
    parser.add_argument("--only-commands", action="store_true", help="leave out the comparison of many with few")
    parser.add_argument("--write", action="store_true", help="write the seconds of commands into the docs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copies(Path(folder) / "board", given.checked)
        text = seconds_table(given.checked, commands(Path(folder) / "board"))
    print(text)
    if given.write:
        blocks.write("board-seconds", text)
    if not given.only_commands:
        print("\n".join(compared()))


if __name__ == "__main__":
    main()
