"""Run the benchmarks and the examples, and print them, or write them into README.md."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import against_floor
import against_mteb

import clirbench
from clirbench.board.text import shown_board

README = Path(__file__).resolve().parent.parent / "README.md"
EXAMPLE = re.compile(r"(<!-- example: clirbench (.*?) -->\n```text\n).*?(```)", re.DOTALL)
SUBMISSIONS = README.parent / "submissions"
SUITE = ("xquad-r", "mlqa-r")
BOARD = re.compile(r"(<!-- board -->\n).*?(<!-- /board -->)", re.DOTALL)
BENCHMARKS = re.compile(r"(<!-- benchmarks -->\n).*?(<!-- /benchmarks -->)", re.DOTALL)
SITE = re.compile(r"(<!-- site-benchmark -->\n).*?(<!-- /site-benchmark -->)", re.DOTALL)


def example(match):
    """The output of a command of clirbench, run in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "clirbench", *match[2].split()]
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment)
    return match[1] + "".join(f"{line.rstrip()}\n" for line in ran.stdout.splitlines()) + match[3]


def board():
    """The measured rows of the board as `clirbench leaderboard --format markdown` has them, without what the tasks share."""
    frame = clirbench.leaderboard(SUBMISSIONS)
    shown = shown_board(frame[frame["origin"] == "measured"].reset_index(drop=True))
    columns = [c for c in shown.columns if c == "model" or (c.split()[0] in SUITE and not c.endswith("zero-shot"))]
    rows = [columns, ["---"] * len(columns), *shown[columns].to_numpy().tolist()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def site_table():
    """What `benchmarks/site.py` prints."""
    command = [sys.executable, str(Path(__file__).with_name("site.py"))]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="all eleven languages against mteb (about twelve minutes)")
    parser.add_argument("--examples", action="store_true", help="only the examples and the board, not the benchmarks")
    parser.add_argument("--site", action="store_true", help="also the site of 5 and 500 models (three minutes)")
    parser.add_argument("--write", action="store_true", help="write them into README.md")
    arguments = parser.parse_args()
    tables = ""
    if not arguments.examples:
        parts = [against_mteb.table(against_mteb.compare(arguments.full)), against_floor.table(against_floor.compare())]
        tables = "\n\n".join(parts)
        print(tables)
    # Read only now: the benchmarks take long enough for somebody to have edited it.
    text = EXAMPLE.sub(example, README.read_text(encoding="utf-8"))
    text = BOARD.sub(lambda match: f"{match[1]}{board()}\n{match[2]}", text)
    if arguments.site:
        table = site_table()
        print(table)
        text = SITE.sub(lambda match: f"{match[1]}{table}\n{match[2]}", text)
    if tables:
        text, count = BENCHMARKS.subn(lambda match: f"{match[1]}{tables}\n{match[2]}", text)
        if count != 1:
            raise SystemExit("README.md has no benchmarks markers")
    if arguments.write:
        README.write_text(text, encoding="utf-8")
    elif arguments.examples:
        print("\n".join(match[0] for match in EXAMPLE.finditer(text)))


if __name__ == "__main__":
    main()
