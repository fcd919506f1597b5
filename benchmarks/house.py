"""The house in numbers: python benchmarks/house.py [CHECKOUT] prints entries, imports, parameters, lines and comments.

It reads the files of any checkout, this one by default, so that two versions can be compared.
"""

import ast
import statistics
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE / "tests"))

from test_house import ROOMS, imports, modules  # noqa: E402

# What makes a function hard to follow: each is a place where it may go two ways.
_BRANCHES = (ast.If, ast.For, ast.While, ast.Try, ast.IfExp, ast.BoolOp, ast.comprehension, ast.ExceptHandler)
_HARDEST = 10


def functions(package):
    """Every function with its file and name."""
    for name, path in modules(package).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, f"{name}.{node.name}", node


def parameters(node):
    """How many a caller may give by name or place; self and cls do not count."""
    named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in named)


def docstring_lines(tree):
    """Numbers of the lines that docstrings of modules, classes and functions take."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    taken = set()
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            taken |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return taken


def lines_by_kind(package):
    """How many lines are code, docstring, comment and blank."""
    counts = Counter()
    for path in modules(package).values():
        text = path.read_text(encoding="utf-8")
        documented = docstring_lines(ast.parse(text))
        for number, line in enumerate(text.splitlines(), 1):
            stripped = line.strip()
            kind = "docstring" if number in documented else "comment" if stripped.startswith("#") else "code"
            counts["blank" if not stripped and kind == "code" else kind] += 1
    return counts


def comment_share(path, node):
    """Share of a function's lines, its docstring apart, that are comments or end in one."""
    text = path.read_text(encoding="utf-8").splitlines()
    documented = docstring_lines(node) if isinstance(node, ast.FunctionDef) else set()
    own = [text[i - 1] for i in range(node.lineno, node.end_lineno + 1) if i not in documented]
    return sum("# " in line and "noqa" not in line for line in own) / len(own)


def measures(root):
    """What is printed, by name."""
    package = root / "clirbench"
    arrows = imports(package)
    between = {(room(a), room(b)) for a, targets in arrows.items() for b in targets if room(a) != room(b)}
    climbing = [(a, b) for a, b in between if a in ROOMS and b in ROOMS and ROOMS.index(b) < ROOMS.index(a)]
    sizes = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in modules(package).values())
    every = list(functions(package))
    widest = max(every, key=lambda item: parameters(item[2]))
    hardest = sorted(every, key=lambda item: -sum(isinstance(n, _BRANCHES) for n in ast.walk(item[2])))[:_HARDEST]
    readme = (root / "README.md").read_bytes()
    kinds = lines_by_kind(package)
    entries = [path for path in package.iterdir() if not path.name.startswith(("__", "."))]
    return {
        "entries in clirbench/ besides dunder files": len(entries),
        "modules": len(sizes),
        "arrows between entries": len(between),
        "of them against the order of the rooms": len(climbing),
        "longest parameter list": f"{parameters(widest[2])} ({widest[1]})",
        "README": f"{len(readme.splitlines())} lines, {len(readme) / 1000:.1f} kB",
        "median and longest file, lines": f"{statistics.median(sizes):.0f}, {sizes[-1]}",
        "lines": f"{sum(kinds.values()):,}: "
        + ", ".join(f"{kinds[k]:,} {k}" for k in ("code", "docstring", "comment", "blank")),
        f"comments in the {_HARDEST} functions with most branches": (
            f"{statistics.mean(comment_share(path, node) for path, _, node in hardest):.1%} of their lines"
        ),
    }


def room(module):
    """The entry of clirbench/ that a module lies in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "(front door)"


if __name__ == "__main__":
    for name, value in measures(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HERE).items():
        print(f"{name:52}  {value}")
