"""Build the docs: the pages of this folder and the generated reference, to plain files that open from disk.

    python docs/build.py                    # to _site/docs, beside the board of `clirbench site build`
    python docs/build.py --output FOLDER

A broken link, a missing page or an anchor that is not there stops the build.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import reference

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MARK = ".clirbench-docs"


def build(output: Path) -> None:
    """Build the docs to a folder, which an earlier build made or which is not there."""
    if output.exists() and not (output / MARK).is_file():
        raise SystemExit(f"{output} was not made by docs/build.py: pass another --output, or delete it")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        lay_out(work)
        # Strict: a link to a page or an anchor that is not there is an error.
        command = [sys.executable, "-m", "zensical", "build", "--strict"]
        if subprocess.run(command, cwd=work, check=False).returncode:
            raise SystemExit("the docs have broken links or pages: see above")
        (work / "site" / MARK).write_text("made by docs/build.py; replaced as a whole by the next build\n")
        shutil.rmtree(output, ignore_errors=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(work / "site", output)


def lay_out(work: Path) -> None:
    """Put everything that the site is made from into one folder: settings, pages, pictures, generated pages."""
    shutil.copy(ROOT / "mkdocs.yml", work)
    shutil.copytree(HERE, work / "docs", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    # A link to a file of the code works in a clone. The built page leads to the room of that file in the reference.
    for path in (work / "docs").rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        path.write_text(
            re.sub(r"\(\.\./\.\./clirbench/(\w+)/[\w/.]+\)", r"(../reference/modules.md#\1)", text), "utf-8"
        )
    for name, text in reference.pages().items():
        path = work / "docs" / "reference" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "_site" / "docs", help="folder; default: _site/docs")
    output = parser.parse_args().output
    build(output)
    print(f"{output}: open {output / 'index.html'}")
    if not (output.parent / "index.html").is_file():
        print("the board, which the pages link to, is not beside them: make it with clirbench site build")


if __name__ == "__main__":
    main()
