"""The house: twelve rooms, imports in one direction, no circle, tests in files of the rooms' names."""

import ast
import graphlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "clirbench"
# From the top of the house to its foundation: a room imports from itself and from the rooms after it.
ROOMS = (
    "cli",
    "board",
    "submissions",
    "training",
    "integrations",
    "evaluation",
    "results",
    "metrics",
    "ranking",
    "encoders",
    "tasks",
    "support",
)


def modules(package: Path) -> dict[str, Path]:
    """Every module by its dotted name; a package is named as its folder."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(package: Path) -> dict[str, set[str]]:
    """By module, the modules of the package that it imports, also inside functions and for type checking only."""
    known = modules(package)
    arrows: dict[str, set[str]] = {}
    for name, path in known.items():
        targets: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name} has a relative import: write the module's full name"
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    targets.add(inner if inner in known else str(node.module))
            elif isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
        arrows[name] = {target for target in targets if target in known}
    return arrows


def breaches(package: Path) -> list[str]:
    """Imports that climb, and circles: each says both ends."""
    arrows = imports(package)
    found = []
    for name, targets in sorted(arrows.items()):
        room = name.split(".")[1] if "." in name else None
        for target in sorted(targets):
            if target == package.name:
                # The front door only points at rooms: a room that imports it stands before itself.
                found.append(f"{name} imports {target}: import from the room that has it")
            elif room in ROOMS and ROOMS.index(target.split(".")[1]) < ROOMS.index(room):
                found.append(f"{name} imports {target}, which stands above it")
    try:
        graphlib.TopologicalSorter(arrows).prepare()
    except graphlib.CycleError as error:
        found.append(f"a circle: {' imports '.join(error.args[1][::-1])}")
    return found


def test_imports_go_one_way():
    assert breaches(PACKAGE) == []


def test_the_house_has_twelve_rooms():
    entries = {path.name for path in PACKAGE.iterdir() if not path.name.startswith(("__", "."))}
    # _data is where the wheel lays tasks and templates.
    assert entries - {"_data", "py.typed"} == set(ROOMS)


def test_each_room_has_its_tests_in_files_of_its_name():
    rooms = {path.stem.removeprefix("test_").split("_")[0] for path in TESTS.glob("test_*.py")}
    # Of no room: the rules that hold for the whole house, and the pages that people read.
    assert rooms - {"house", "readme", "docs", "attacks"} == set(ROOMS)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"support/a.py": "from clirbench.cli import b", "cli/b.py": ""},
            "clirbench.support.a imports clirbench.cli.b",
        ),
        ({"tasks/a.py": "def f():\n    import clirbench.board.b", "board/b.py": ""}, "imports clirbench.board.b"),
        (
            {"tasks/a.py": "import clirbench.tasks.b", "tasks/b.py": "def f():\n    from clirbench.tasks import a"},
            "a circle: clirbench.tasks.",
        ),
        ({"tasks/a.py": "from clirbench import evaluate"}, "clirbench.tasks.a imports clirbench:"),
    ],
)
def test_a_breach_names_both_ends(tmp_path, files, said):
    for room in ROOMS:
        (tmp_path / "clirbench" / room).mkdir(parents=True)
        (tmp_path / "clirbench" / room / "__init__.py").touch()
    (tmp_path / "clirbench" / "__init__.py").touch()
    for name, text in files.items():
        (tmp_path / "clirbench" / name).write_text(text, encoding="utf-8")
    (found,) = breaches(tmp_path / "clirbench")
    assert said in found


def test_importing_clirbench_is_light():
    code = (
        "import sys, time; begin = time.process_time(); import clirbench; took = time.process_time() - begin\n"
        "heavy = sorted({'torch', 'mteb', 'sentence_transformers', 'pandas', 'numpy'} & set(sys.modules))\n"
        "import json; print(json.dumps([took, heavy]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    took, heavy = json.loads(ran.stdout)
    assert heavy == []
    # Of the processor, so that a busy machine changes nothing. It takes milliseconds; users are promised this limit.
    assert took < 0.2
