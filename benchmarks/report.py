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

README = Path(__file__).resolve().parent.parent / "README.md"
EXAMPLE = re.compile(r"(<!-- example: clirbench (.*?) -->\n```text\n).*?(```)", re.DOTALL)
SUBMISSIONS = README.parent / "submissions"
SUITE = ("xquad-r", "mlqa-r")
BOARD = re.compile(r"(<!-- board -->\n).*?(<!-- /board -->)", re.DOTALL)
BENCHMARKS = re.compile(r"(<!-- benchmarks -->\n).*?(<!-- /benchmarks -->)", re.DOTALL)


def example(match):
    """The output of a command of clirbench, run in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "clirbench", *match[2].split()]
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment)
    return match[1] + "".join(f"{line.rstrip()}\n" for line in ran.stdout.splitlines()) + match[3]


def board():
    """Headline numbers of the submitted models, best multilingual mAP on XQuAD-R first."""
    rows = {}
    for folder in sorted(SUBMISSIONS.iterdir()):
        for path in sorted(folder.glob("*.json")):
            document = clirbench.read_result(path).document
            if document.task.id in SUITE:
                rows.setdefault(document.model.name, {})[document.task.id] = document.headline
    settings = ("monolingual", "cross-lingual", "multilingual")
    lines = [
        "| model | "
        + " | ".join(f"{task} {setting}" for task in SUITE for setting in (*settings, "rank distance"))
        + " |",
        "|---" * (1 + len(SUITE) * 4) + "|",
    ]
    for name, tasks in sorted(rows.items(), key=lambda row: -row[1][SUITE[0]]["multilingual"]["mAP"].value):
        cells = [
            cell
            for task in SUITE
            for cell in (
                *(f"{100 * tasks[task][setting]['mAP'].value:.1f}" for setting in settings),
                f"{tasks[task]['bias']['rank_distance'].value:,.0f}",
            )
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="all eleven languages against mteb (about twelve minutes)")
    parser.add_argument("--examples", action="store_true", help="only the examples and the board, not the benchmarks")
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
