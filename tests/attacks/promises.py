"""What a kind of attack tests: the promise, what keeps it, and how many attacks there are.

python tests/attacks/promises.py    # write docs/explanation/promises.md from all modules of this folder
"""

import importlib
import re
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGE = ROOT / "docs" / "explanation" / "promises.md"


class Promise(NamedTuple):
    """A promise of the project, and the attacks that test it.

    Attributes:
        what: The promise, one plain sentence.
        stops: What keeps it: the rule or the wall, and the module where it stands.
        attacks: How many different attacks there are.
        test: The test file that carries them out.
    """

    what: str
    stops: str
    attacks: int
    test: str


def promises() -> list[Promise]:
    """The promises of all modules of this folder that state one, by the name of the module."""
    names = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in ("__init__", "promises"))
    modules = [importlib.import_module(f"attacks.{name}") for name in names]
    return [module.PROMISE for module in modules if hasattr(module, "PROMISE")]


def runs(promise: Promise) -> str:
    """When the attacks of a promise run: with every run of the tests, and in a night's."""
    marked = "mark.nightly" in (ROOT / promise.test).read_text(encoding="utf-8")
    return "always; a longer run nightly" if marked else "always"


def limits() -> list[tuple[str, str]]:
    """What is bounded, and the bound as the code has it."""
    from attacks.mutations import MEMORY, SECONDS
    from clirbench.results.read import MTEB_RESULT_LIMIT
    from clirbench.submissions import safe_read, verification
    from clirbench.submissions.accepted import KEPT, LONGEST
    from clirbench.submissions.check_many import LIMITS
    from clirbench.submissions.wall import Limits

    wall = Limits()
    return [
        ("a folder of a submission", f"{safe_read.ENTRIES} files"),
        ("a result's JSON file", bytes_of(safe_read.JSON_LIMIT)),
        ("a ranks file", bytes_of(safe_read.RANKS_LIMIT)),
        ("`model.toml`", bytes_of(safe_read.TOML_LIMIT)),
        ("`verification.json`", bytes_of(verification.LIMIT)),
        ("a result on one of mteb's tasks", bytes_of(MTEB_RESULT_LIMIT)),
        ("memory of the process that checks a submission, on Linux", bytes_of(LIMITS.memory)),
        ("computing time of that process, on Linux", f"{LIMITS.seconds} seconds a submission"),
        ("memory and time of one mutated submission in the tests", f"{bytes_of(MEMORY)}, {SECONDS} seconds"),
        ("what the record of checks keeps", f"{KEPT:,} submissions, {bytes_of(LONGEST)} each"),
        ("time of a model behind the wall of `clirbench verify`", f"{wall.seconds / 3600:g} hours, or `--max-hours`"),
        ("a file that it writes, and its temporary folders", f"{wall.file_size >> 20} MiB"),
        ("its memory", "nine tenths of the machine's, or `--max-memory`"),
    ]


def bytes_of(number: int) -> str:
    """A number of bytes as people write it."""
    return (
        f"{number / 1e9:g} GB" if number >= 1e9 else f"{number / 1e6:g} MB" if number >= 1e6 else f"{number / 1e3:g} kB"
    )


def page() -> str:
    """The text of the page."""
    rows = promises()
    table = [f"| {one.what} | {with_code(one.stops)} | {one.attacks:,} | `{one.test}` | {runs(one)} |" for one in rows]
    bounds = [f"| {what} | {bound} |" for what, bound in limits()]
    return TEXT.format(table="\n".join(table), total=f"{sum(p.attacks for p in rows):,}", bounds="\n".join(bounds))


def with_code(text: str) -> str:
    """A text in which paths of modules stand as code."""
    return re.sub(r"(?<![`\w/])((?:[\w-]+/)*[\w-]+\.(?:py|yml))(?!`)", r"`\1`", text)


TEXT = """\
# What we promise and how it is tested

**In short:** each promise has attacks, written down as data in `tests/attacks/`. A test carries them out and asserts what is
right: accepted, or refused in one line that names a file, a key or a value. A traceback is wrong, and so is a changed score.

| promise | what keeps it | attacks | test | when it runs |
|---|---|---|---|---|
{table}

Together that is {total} attacks. Many of them are honest: what people really write must be accepted.

To carry out those of one file:

```bash
pytest tests/test_attacks_submissions.py
```

`pytest` alone runs all of them but the long versions. Those are a night's work: `nox -s nightly` runs them, and a workflow
does so every night.

## Bounds

These are read from the code, as the tables of this page are, by `python tests/attacks/promises.py`.

| what | at most |
|---|---|
{bounds}

## What is not promised

[The threat model](threat-model.md) says what nothing here stops. If you find an attack that none of these files has, please
report it in private, as `SECURITY.md` in the repository asks.
"""


def main() -> None:
    """Write the page, or another file that is named."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    path.write_text(page(), encoding="utf-8", newline="\n")
    print(f"{path}: {len(promises())} promises")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main()
