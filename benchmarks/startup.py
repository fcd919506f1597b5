"""What commands cost before they do anything: seconds of the processor, against an interpreter that only imports NumPy.

    python benchmarks/startup.py --write

Each command runs once before it is measured, so that byte code, vectors, checks and the board lie in the cache. Then all commands
run in each round. Seconds of the processor (user and system) are those of a command and of all processes that it starts.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import blocks

BARE = "python -c 'import numpy'"
COMMANDS = {
    BARE: ("-c", "import numpy"),
    "clirbench --help": ("-m", "clirbench", "--help"),
    "clirbench leaderboard": ("-m", "clirbench", "leaderboard"),
    "clirbench compare clirbench/hybrid clirbench/cross": (
        *("-m", "clirbench", "compare", "clirbench/hybrid", "clirbench/cross"),
    ),
    "clirbench run --model clirbench/hybrid --tasks demo": (
        *("-m", "clirbench", "run", "--model", "clirbench/hybrid", "--tasks", "demo", "--force"),
    ),
}


def device():
    """The processor and how many cores of it there are."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def _lines(path):
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def seconds(arguments, folder, cache):
    """Seconds of the processor that a command takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "CLIRBENCH_CACHE": str(cache)}
    # Without byte code, each command would compile the package anew.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(rounds):
    """The seconds of each command, one for each round."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        for arguments in COMMANDS.values():
            seconds(arguments, folder, cache)
        taken = {name: [] for name in COMMANDS}
        for _ in range(rounds):
            for name, arguments in COMMANDS.items():
                taken[name].append(seconds(arguments, folder, cache))
    return taken


def table(taken):
    lines = ["| | least | median | median, ratio |", "|---|---|---|---|"]
    bare = statistics.median(taken[BARE])
    for name, times in taken.items():
        middle = statistics.median(times)
        lines.append(f"| `{name}` | {min(times):.2f} | {middle:.2f} | {middle / bare:.1f} |")
    rounds = len(taken[BARE])
    return "\n".join([*lines, "", f"Seconds of the processor, {rounds} runs each, on {device()}."])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write the table into the docs")
    given = parser.parse_args()
    if given.rounds < 3:
        parser.error("--rounds is less than 3: a median of fewer says little")
    text = table(measured(given.rounds))
    print(text)
    if given.write:
        blocks.write("startup", text)


if __name__ == "__main__":
    main()
