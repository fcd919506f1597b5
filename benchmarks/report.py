"""Run the benchmarks and print their tables, or write them into README.md."""

import argparse
import re
from pathlib import Path

import against_floor
import against_mteb

README = Path(__file__).resolve().parent.parent / "README.md"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="all eleven languages against mteb (about twelve minutes)")
    parser.add_argument("--write", action="store_true", help="write the tables into README.md")
    arguments = parser.parse_args()
    tables = "\n\n".join(
        [against_mteb.table(against_mteb.compare(arguments.full)), against_floor.table(against_floor.compare())]
    )
    print(tables)
    if arguments.write:
        text = README.read_text(encoding="utf-8")
        pattern = r"(<!-- benchmarks -->\n).*?(<!-- /benchmarks -->)"
        new, count = re.subn(pattern, lambda m: f"{m[1]}{tables}\n{m[2]}", text, flags=re.DOTALL)
        if count != 1:
            raise SystemExit("README.md has no benchmarks markers")
        README.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
