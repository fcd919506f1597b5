"""Run the benchmarks and the examples, and print them, or write them into README and docs."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import against_floor
import against_mteb
import blocks
import board_picture

import clirbench
from clirbench.board.text import column_key, shown_board
from clirbench.tasks.task_file import board_columns

EXAMPLE = re.compile(r"(<!-- example: clirbench (.*?) -->\n```text\n)(.*?)(```)", re.DOTALL)
SUITE = ("xquad-r", "mlqa-r")


def example(match):
    """The output of a command of clirbench, run in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "clirbench", *match[2].split()]
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment)
    return match[1] + "".join(f"{line.rstrip()}\n" for line in ran.stdout.splitlines()) + match[4]


def board():
    """The measured rows as `clirbench leaderboard --format markdown` has them: a table for each task, which fits a page."""
    frame = clirbench.leaderboard(blocks.ROOT / "submissions")
    measured = frame[frame["origin"] == "measured"]
    tables = []
    for task in SUITE:
        main = column_key(task, *board_columns(task).main)
        shown = shown_board(measured[measured[main].notna()].sort_values(main, ascending=False, ignore_index=True))
        columns = [c for c in shown.columns if c == "model" or (c.split()[0] == task and not c.endswith("zero-shot"))]
        rows = [columns, ["---"] * len(columns), *shown[columns].to_numpy().tolist()]
        tables.append("\n".join("| " + " | ".join(row) + " |" for row in rows))
    return "\n\n".join(tables)


def claim():
    """The figures of arXiv 2408.10536 from its reported rows: a table for each task."""
    frame = clirbench.leaderboard(blocks.ROOT / "submissions")
    shown = shown_board(frame[frame["model"].str.startswith("arxiv-2408.10536/")].reset_index(drop=True))
    tables = []
    for task in SUITE:
        heads = [f"{task} {column}" for column in ("mono", "cross", "multi", "rank dist.")]
        rows = [["model", *heads], ["---"] * (1 + len(heads)), *shown[["model", *heads]].to_numpy().tolist()]
        tables.append("\n".join("| " + " | ".join(row) + " |" for row in rows))
    return "\n\n".join(tables)


def site_table():
    """What `benchmarks/site.py` prints."""
    command = [sys.executable, str(Path(__file__).with_name("site.py"))]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def renew_examples(write):
    """Run the commands whose output README and docs show; print what they say now, or write it."""
    for page in blocks.pages():
        old = page.read_text(encoding="utf-8")
        new = EXAMPLE.sub(example, old)
        if write and new != old:
            page.write_text(new, encoding="utf-8")
        elif not write:
            print("".join(f"{match[0]}\n" for match in EXAMPLE.finditer(new)), end="")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="all eleven languages against mteb (four minutes a round)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of clirbench and of mteb")
    parser.add_argument("--examples", action="store_true", help="only the examples and the board, not the benchmarks")
    parser.add_argument("--picture", action="store_true", help="only the picture of the board, docs/assets/board.svg")
    parser.add_argument("--site", action="store_true", help="also the site of 5 and 500 models (three minutes)")
    parser.add_argument("--write", action="store_true", help="write them into README and docs")
    arguments = parser.parse_args()
    picture = board_picture.picture(clirbench.leaderboard(blocks.ROOT / "submissions", "xquad-r"))
    if arguments.write:
        board_picture.FILE.write_text(picture, encoding="utf-8")
    if arguments.picture:
        return
    made = {"board": board()}
    made["claim"] = claim()
    if arguments.site:
        made["site-benchmark"] = site_table()
    if not arguments.examples:
        mteb = against_mteb.compare(arguments.full, arguments.rounds)
        made["benchmarks"] = f"{against_mteb.table(mteb)}\n\n{against_floor.table(against_floor.compare())}"
    renew_examples(arguments.write)
    for name, text in made.items():
        if arguments.write:
            blocks.write(name, text)
        else:
            print(text)


if __name__ == "__main__":
    main()
