"""Checking 200 submissions, and the board of 30 models: seconds and memory, against one submission and one model.

    python benchmarks/board.py

Copies of the repository's submissions under other names.
"""

import json
import multiprocessing
import os
import resource
import shutil
import tempfile
import threading
import time
from pathlib import Path

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"
SOURCES = ("clirbench__hybrid", "clirbench__mono", "clirbench__cross", "clirbench__char-ngram")
TASKS = ("xquad-r", "mlqa-r")
CHECKED, RANKED = 200, 30


def copies(target, number):
    """Sound submissions under names of their own."""
    for i in range(number):
        source = SUBMISSIONS / SOURCES[i % len(SOURCES)]
        name = f"bench/model-{chr(97 + i // 26)}{chr(97 + i % 26)}x{i * 7919 % 1000:03d}"
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
    errors = [
        f for examined in checked for f in examined.findings if f.level == "error" and "looks like" not in f.message
    ]
    return seconds, peak[0], len(errors)


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


def main():
    print("| | few | many | ratio |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        copies(Path(few) / "board", 1)
        copies(Path(many) / "board", CHECKED)
        one, all_of_them = checked_apart(Path(few)), checked_apart(Path(many))
        assert one[2] == all_of_them[2] == 0, (one, all_of_them)
        for i, what, form in ((0, "seconds", ".1f"), (1, "memory, MB, workers included,", ".0f")):
            a, b = one[i], all_of_them[i]
            print(f"| {what} to check 1 and {CHECKED} submissions | {a:{form}} | {b:{form}} | {b / a:.1f} |")
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        copies(Path(few), 2)
        copies(Path(many), RANKED)
        two, thirty = apart(rank, Path(few)), apart(rank, Path(many))
        print(f"| seconds to read 2 and {RANKED} models | {two[0]:.1f} | {thirty[0]:.1f} | {thirty[0] / two[0]:.1f} |")
        print(f"| seconds to test every pair on xquad-r | {two[1]:.2f} | {thirty[1]:.2f} | {thirty[1] / two[1]:.1f} |")
        print(f"| memory, MB | {two[2]:.0f} | {thirty[2]:.0f} | {thirty[2] / two[2]:.2f} |")


if __name__ == "__main__":
    main()
