"""What a revision covers: the files of a model's folder, and the parts of the model that lie elsewhere."""

import ast
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from clirbench.encoders.hub import cached_snapshot

# Stands between a commit and the checksum of the parts that lie elsewhere.
_AND = "+sha256:"
# Functions with which code fetches a part of a model; the first argument names it.
_FETCHING = ("from_pretrained", "hf_hub_download", "snapshot_download")
# Under these keys, configurations name functions.
_FUNCTIONS = ("activation_function", "activation_fn", "sbert_ce_default_activation_function")
# The classes of PyLate that sentence-transformers replaces by its own.
_OWN_CLASSES = ("sentence_transformers.", "pylate.")


@dataclass(frozen=True, order=True)
class Part:
    """A part of a model that lies outside its folder.

    ``what`` says what it is, in words. ``name`` is a folder or a hub name, or, if ``module``, a module that Python finds.
    """

    what: str
    name: str
    module: bool = False

    def __str__(self) -> str:
        return f"{self.what} {self.name}"


@dataclass(frozen=True)
class Revision:
    """A model's revision; ``text`` is None if the parts ``unknown`` have no version that can be told."""

    text: str | None
    unknown: tuple[Part, ...] = ()

    def note(self, name: str) -> str:
        """The line that says why a model has no revision."""
        parts = ", ".join(map(str, self.unknown))
        return (
            f"{name} has no revision, because the version of its {parts} is not known: its vectors are not cached, and a later "
            "run does not keep this result"
        )


def folder_revision(folder: Path) -> str:
    """Compute one SHA-256, in hexadecimal, over the names and contents of a model folder's files.

    Hidden files, ``__pycache__`` and Markdown are left out. Two folders have the same checksum only if their weights, tokenizers
    and configurations are the same, byte for byte.
    """
    digest = hashlib.sha256()
    for path in sorted(_files(folder, set())):
        if path.suffix.lower() != ".md":
            digest.update(f"{path.relative_to(folder).as_posix()}\0{_sha256(path)}\n".encode())
    return digest.hexdigest()


def whole_revision(folder: Path, trust_remote_code: bool = False) -> Revision:
    """Compute the revision of a local folder: "sha256:" and a checksum over its files and its parts elsewhere.

    A folder without parts elsewhere has the checksum of :func:`folder_revision`.
    """
    own = folder_revision(folder)
    digest, unknown = _of_parts(folder, trust_remote_code, frozenset())
    if digest is None:
        return Revision(None, unknown)
    return Revision("sha256:" + (hashlib.sha256(f"{own}\n{digest}".encode()).hexdigest() if digest else own))


def snapshot_revision(commit: str, snapshot: Path | None, trust_remote_code: bool = False) -> Revision:
    """Compute the revision of a model on the hub: its commit, and a checksum of its parts elsewhere if it has any.

    ``snapshot`` is the folder of the commit in the local cache; None if it is not there.
    """
    digest, unknown = _of_parts(snapshot, trust_remote_code, frozenset()) if snapshot else ("", ())
    if digest is None:
        return Revision(None, unknown)
    return Revision(f"{commit}{_AND}{digest}" if digest else commit)


def commit_of(revision: str | None) -> str | None:
    """The commit in the revision of a model on the hub, without the checksum of its parts elsewhere."""
    return revision.partition(_AND)[0] if revision else revision


def outside_parts(folder: Path, trust_remote_code: bool = False) -> list[Part]:
    """List the parts of a model that its folder names, and that lie outside it.

    These are an adapter's base model, a tokenizer of another model, and, where the model's own code may run, code of another
    repository or folder, code that Python finds, and what code in the folder imports or fetches.
    """
    parts: set[Part] = set()
    for path in _files(folder, set()):
        if path.name.endswith("config.json") or path.name == "modules.json":
            parts.update(_named_by(path, folder, trust_remote_code))
        elif path.suffix == ".py" and trust_remote_code:
            parts.update(_used_by(path))
    return sorted(part for part in parts if not _inside(part, folder))


def brings_code(folder: Path) -> bool:
    """Whether a model names classes or functions that only run with ``trust_remote_code``, or has parts outside its folder."""
    for path in _files(folder, set()):
        if path.name.endswith("config.json") or path.name == "modules.json":
            document = read_configuration(path)
            if any(True for _ in _mapped(document)) or any(untrusted_functions(document)):
                return True
            if not all(name.startswith(_OWN_CLASSES) for name in _classes(path, document)):
                return True
    return bool(outside_parts(folder, trust_remote_code=True))


def untrusted_functions(document: Any) -> Iterator[str]:
    """The functions of a configuration that sentence-transformers replaces by others without ``trust_remote_code``."""
    if isinstance(document, dict):
        for key, value in document.items():
            # A name without a dot is one that transformers knows.
            if key in _FUNCTIONS and isinstance(value, str) and "." in value and not value.startswith("torch."):
                yield value
            yield from untrusted_functions(value)


def read_configuration(path: Path) -> Any:
    """A configuration as JSON; None where it cannot be read, which the library that loads the model says."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _classes(path: Path, document: Any) -> list[str]:
    """The classes of the modules that modules.json, or the configuration of a Router, names."""
    modules = document if path.name == "modules.json" and isinstance(document, list) else []
    types = [module.get("type") for module in modules if isinstance(module, dict)]
    if isinstance(document, dict) and isinstance(document.get("types"), dict):
        types += document["types"].values()
    return [name for name in types if isinstance(name, str)]


def _of_parts(folder: Path, trust: bool, above: frozenset[Path]) -> tuple[str | None, tuple[Part, ...]]:
    """The checksum over a folder's parts elsewhere, "" if there is none, None if a part is unknown; and the unknown parts."""
    above |= {folder.resolve()}
    versions = {part: _version(part, trust, above) for part in outside_parts(folder, trust)}
    unknown = tuple(part for part, version in versions.items() if version is None)
    if unknown:
        return None, unknown
    # A folder that is moved is the same part: names of folders do not count, versions do.
    lines = sorted(f"{part.what}\0{version}\n" for part, version in versions.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else "", ()


def _version(part: Part, trust: bool, above: frozenset[Path]) -> str | None:
    """The version of a part: a checksum of files, a commit of the hub, or a release of a package. None if it is not known."""
    if part.module:
        return _module_version(part.name)
    folder = Path(part.name).expanduser()
    if folder.is_dir():
        version = folder_revision(folder)
    else:
        snapshot = cached_snapshot(part.name)
        if snapshot is None:
            return None
        folder, version = snapshot, f"{part.name}@{snapshot.name}"
    if folder.resolve() in above:
        return version
    digest, _ = _of_parts(folder, trust, above)
    return None if digest is None else f"{version} {digest}"


def _named_by(path: Path, folder: Path, trust: bool) -> Iterator[Part]:
    """The parts that a configuration names."""
    document = read_configuration(path)
    modules = document if path.name == "modules.json" and isinstance(document, list) else []
    if isinstance(document, dict):
        for key, what in (("base_model_name_or_path", "base model"), ("tokenizer_name_or_path", "tokenizer")):
            if isinstance(document.get(key), str):
                yield Part(what, document[key])
    for module in modules:
        place = module.get("path") if isinstance(module, dict) else None
        if isinstance(place, str) and (Path(place).is_absolute() or ".." in Path(place).parts):
            yield Part("module", str(folder / place))
    if trust:
        for reference in [*_mapped(document), *_classes(path, document)]:
            yield from _code_of(reference, folder)


def _mapped(document: Any) -> Iterator[str]:
    """The classes that a configuration, or a configuration in it, maps Auto classes to."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key == "auto_map" and isinstance(value, dict):
                for name in value.values():
                    yield from (one for one in (name if isinstance(name, list) else [name]) if isinstance(one, str))
            else:
                yield from _mapped(value)


def _code_of(reference: str, folder: Path) -> Iterator[Part]:
    """The code of a class: REPOSITORY--FILE.Class, FILE.Class of the folder, or a module that Python finds."""
    repository, apart, name = reference.rpartition("--")
    if apart:
        yield Part("code in", repository)
    elif not name.startswith(_OWN_CLASSES):
        module = name.rpartition(".")[0]
        if not (folder / f"{module}.py").is_file() and _spec(module) is not None:
            yield Part("code in module", module, module=True)


def _used_by(path: Path) -> Iterator[Part]:
    """The modules that a file of code imports and that belong to no installed package, and the models that it fetches."""
    tree = _parsed(path)
    for name in _imported(tree):
        if any(_sources(name, set())):
            yield Part("code in module", name, module=True)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            fetched = node.args[0].value
            # What was never fetched is not used: code often names a model that only its examples load.
            if (
                called in _FETCHING
                and isinstance(fetched, str)
                and (Path(fetched).is_dir() or cached_snapshot(fetched))
            ):
                yield Part("model", fetched)


def _module_version(name: str) -> str | None:
    """A checksum over the files of a module and of the modules that it imports; for an installed package, its release."""
    top = name.partition(".")[0]
    spec = _spec(top)
    if spec is None:
        return None
    if _installed(spec):
        releases = [f"{one} {metadata.version(one)}" for one in metadata.packages_distributions().get(top, [])]
        return ", ".join(sorted(releases)) or None
    digest = hashlib.sha256()
    for place, path in sorted(set(_sources(top, set()))):
        digest.update(f"{place}\0{_sha256(path)}\n".encode())
    return digest.hexdigest()


def _sources(top: str, read: set[Path]) -> Iterator[tuple[str, Path]]:
    """Yield the files of a module that is not installed, and of all such modules that they import, with names to sort by."""
    spec = _spec(top)
    if spec is None or _installed(spec):
        return
    folders = [Path(place) for place in spec.submodule_search_locations or []]
    files = [path for folder in folders for path in folder.rglob("*.py")] or [Path(str(spec.origin))]
    for path in files:
        if path not in read and path.is_file():
            read.add(path)
            inside = next((path.relative_to(one).as_posix() for one in folders if path.is_relative_to(one)), path.name)
            yield f"{top}/{inside}", path
            for name in _imported(_parsed(path)):
                yield from _sources(name, read)


def _imported(tree: ast.AST) -> set[str]:
    """The top-level names of the modules that code imports, without those of Python itself."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


def _parsed(path: Path) -> ast.AST:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _spec(module: str) -> Any:
    """Find a top-level module without importing it; None if Python does not find it."""
    try:
        return importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return None


def _installed(spec: Any) -> bool:
    """Whether a module belongs to Python or to an installed package, whose release says what it is."""
    places = [spec.origin or "", *(spec.submodule_search_locations or [])]
    return spec.origin in ("built-in", "frozen") or any(
        {"site-packages", "dist-packages"} & set(Path(place).parts) for place in places
    )


def _inside(part: Part, folder: Path) -> bool:
    """Whether a part lies in the folder after all."""
    place = Path(part.name)
    return not part.module and place.is_dir() and place.resolve().is_relative_to(folder.resolve())


def _files(folder: Path, visited: set[Path]) -> Iterator[Path]:
    """Yield the files below a folder, without hidden ones. Links to folders are followed, but not in a circle."""
    visited = visited | {folder.resolve()}
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir():
            if path.resolve() not in visited:
                yield from _files(path, visited)
        elif path.is_file():
            yield path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
