"""Pull requests to the board, as git's own stream of commits: forged rows, names that deceive, trees that no checkout shows."""

import json
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from attacks.promises import Promise

BOARD = Path(__file__).resolve().parent.parent.parent / "submissions"
ROW, NEW, OTHER = "clirbench__bm25", "clirbench__char-ngram", "clirbench__char-ngram-romanised"
VERIFICATION = "verification.json"
FILE, RUNS, LINK, SUBMODULE = "100644", "100755", "120000", "160000"
SAME = "0" * 40
Files = dict[str, bytes]
# Mode, name and hash of each entry.
Tree = list[tuple[str, bytes, str]]


class Put(NamedTuple):
    """A path with its content, mode by mode; a submodule's content is the commit that it names."""

    path: str | bytes
    content: bytes = b"x\n"
    mode: str = FILE


class Drop(NamedTuple):
    """A path that is removed, with all below it."""

    path: str | bytes


Change = Put | Drop


@cache
def files(name: str) -> Files:
    """The files of a submission of the repository, with one result: the smaller one, where there are two."""
    kept = {path.name: path.read_bytes() for path in sorted((BOARD / name).iterdir()) if path.name != VERIFICATION}
    return {
        file: content for file, content in kept.items() if "mlqa-r.json" not in kept or not file.startswith("xquad")
    }


@cache
def verification(name: str) -> bytes:
    """A verification of that result, as a maintainer's run would write it."""
    stated = json.loads((BOARD / name / VERIFICATION).read_bytes())
    result = json.loads(files(name)["mlqa-r.json"])
    languages, sha256 = result["task"]["languages"][:3], result["ranks"]["sha256"]
    own = {"task": "mlqa-r", "languages": languages, "ranks_sha256": sha256, "pairs": result["ranks"]["rows"]}
    return json.dumps({**stated, **own}).encode()


def put(content: Files, folder: str | bytes = f"submissions/{NEW}", mode: str = FILE) -> list[Change]:
    """A submission under a folder."""
    if isinstance(folder, bytes):
        return [Put(folder + b"/" + name.encode(), one, mode) for name, one in content.items()]
    return [Put(f"{folder}/{name}", one, mode) for name, one in content.items()]


def clean() -> list[Change]:
    return put(files(NEW))


def forged() -> Files:
    """A submission with a number that its ranks do not give."""
    document = json.loads(files(NEW)["mlqa-r.json"])
    document["headline"]["multilingual"]["mAP"]["value"] = 0.99
    return files(NEW) | {"mlqa-r.json": json.dumps(document).encode()}


def renamed(name: str) -> Files:
    """The clean submission under another model's name."""
    old = NEW.replace("__", "/").encode()
    return {
        file: content.replace(b'"' + old + b'"', f'"{name}"'.encode()) if not file.endswith(".parquet") else content
        for file, content in files(NEW).items()
    }


def new_contact(name: str = ROW) -> Change:
    """A row's model.toml with another contact: the ranks stay."""
    text = files(name)["model.toml"].decode()
    line = next(line for line in text.splitlines() if line.startswith("contact ="))
    return Put(f"submissions/{name}/model.toml", text.replace(line, 'contact = "someone else"').encode())


class Attack(NamedTuple):
    """A pull request, and what the workflow has to make of it.

    Attributes:
        changes: What its last commit changes.
        says: A part of the error; "" where it must be accepted; None where the workflow must see that the board does not change.
        start: Branch of the base repository that it begins at: "base", "old" (one row less), or "" for no history.
        target: Branch that it wants to go to.
        event: Action and label of GitHub's event.
        prepare: What else is done to its repository: a function of its folder. None for nothing.
    """

    changes: Callable[[], list[Change]]
    says: str | None
    start: str = "base"
    target: str = "base"
    event: tuple[str, str] = ("opened", "")
    prepare: Callable[[Path], None] | None = None


def git(repository: Path, *arguments: str, data: bytes = b"") -> str:
    """Run git in a repository, as nobody in particular."""
    identity = [
        part for key in ("user.name=a", "user.email=a@example.org", "core.hooksPath=/dev/null") for part in ("-c", key)
    ]
    run = subprocess.run(
        ["git", *identity, *arguments], cwd=repository, input=data, capture_output=True, check=True, timeout=120
    )
    return run.stdout.decode("utf-8", "replace").strip()


def commit(repository: Path, branch: str, parent: str, changes: list[Change], time: int = 0) -> None:
    """Commit changes by git's stream: paths of any bytes, and modes that no working tree could have."""
    stream = f"commit refs/heads/{branch}\ncommitter a <a@example.org> {time} +0000\ndata 1\nx\n".encode()
    stream += f"from {parent}^0\n".encode() if parent else b""
    for change in changes:
        raw = change.path if isinstance(change.path, bytes) else change.path.encode()
        quoted = b'"' + b"".join(b"\\%03o" % byte for byte in raw) + b'"'
        if isinstance(change, Drop):
            stream += b"D " + quoted + b"\n"
        elif change.mode == SUBMODULE:
            stream += b"M 160000 " + change.content + b" " + quoted + b"\n"
        else:
            stream += b"M %s inline %s\ndata %d\n" % (change.mode.encode(), quoted, len(change.content))
            stream += change.content + b"\n"
    git(repository, "fast-import", "--quiet", "--force", data=stream)


def base_repository(repository: Path) -> Path:
    """Make the base repository in a new folder: a board with a verified row and a reported one.

    The branch "old" has one row less than "base", and "later" has one more, and another contact in the verified row.
    """
    git(repository, "init", "--quiet", "--template=", "--initial-branch", "nothing")
    first = [
        Put("README.md"),
        Put("docs/page.md", b"words\n"),
        Put(".github/workflows/submission.yml"),
        Put("submissions/README.md", b"words\n"),
        *put(files(ROW) | {VERIFICATION: verification(ROW)}, f"submissions/{ROW}"),
    ]
    commit(repository, "old", "", first, time=1)
    commit(repository, "base", "refs/heads/old", put(files("pyserini__bm25"), "submissions/pyserini__bm25"), time=2)
    commit(repository, "later", "refs/heads/base", [new_contact(), *clean()], time=3)
    return repository


# Trees that git's own commands refuse to make: written as objects.


def tree_of(repository: Path, entries: Tree) -> str:
    raw = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(of) for mode, name, of in entries)
    return git(repository, "hash-object", "-t", "tree", "-w", "--literally", "--stdin", data=raw)


def with_board(repository: Path, change: Callable[[Tree], Tree], in_order: bool = True) -> None:
    """Put another tree of ``submissions`` into the pull request's commit."""

    def listed(tree: str) -> Tree:
        records = git(repository, "ls-tree", tree).splitlines()
        parts = [record.replace("\t", " ").split(" ") for record in records]
        return [(mode.lstrip("0"), name.encode(), of) for mode, _, of, name in parts]

    entries = change(listed("HEAD:submissions"))
    if in_order:
        entries.sort(key=lambda entry: entry[1] + b"/" * (entry[0] == "40000"))
    board = tree_of(repository, entries)
    top = [(mode, name, board if name == b"submissions" else of) for mode, name, of in listed("HEAD")]
    made = git(repository, "commit-tree", tree_of(repository, top), "-p", "HEAD", "-m", "x")
    git(repository, "update-ref", "refs/heads/head", made)


def twice(repository: Path) -> None:
    """The name of a row stands twice: first a harmless file, then a folder."""
    row = git(repository, "rev-parse", f"HEAD:submissions/{ROW}")
    blob = git(repository, "rev-parse", "HEAD:README.md")
    with_board(repository, lambda entries: [*entries, ("100644", b"me__model", blob), ("40000", b"me__model", row)])


def out_of_order(repository: Path) -> None:
    """A row stands where git does not look for it."""
    row = git(repository, "rev-parse", f"HEAD:submissions/{ROW}")
    with_board(repository, lambda entries: [*entries, ("40000", b"a__model", row)], in_order=False)


def named(name: bytes) -> Callable[[Path], None]:
    """A clean folder under a name that git's commands refuse."""

    def prepare(repository: Path) -> None:
        row = git(repository, "rev-parse", f"HEAD:submissions/{ROW}")
        with_board(repository, lambda entries: [*entries, ("40000", name, row)])

    return prepare


def empty_folder(repository: Path) -> None:
    nothing = tree_of(repository, [])
    with_board(repository, lambda entries: [*entries, ("40000", b"me__model", nothing)])


# What a repository may have besides its commits.


def replaced_objects(repository: Path) -> None:
    """git shows the clean tree in place of the forged one, unless it is told not to replace objects."""
    bad = git(repository, "rev-parse", f"HEAD:submissions/{NEW}")
    commit(repository, "good", "refs/heads/base", clean())
    git(repository, "replace", bad, git(repository, "rev-parse", f"good:submissions/{NEW}"))


def grafted(repository: Path) -> None:
    """A graft gives a commit without history a parent."""
    head, base = (git(repository, "rev-parse", name) for name in ("refs/heads/head", "refs/heads/base"))
    (repository / ".git" / "info").mkdir(exist_ok=True)
    (repository / ".git" / "info" / "grafts").write_text(f"{head} {base}\n", encoding="ascii")


def clean_working_tree(repository: Path) -> None:
    """The working tree and the index show the clean files; only the commit has the forged ones."""
    commit(repository, "good", "refs/heads/base", clean())
    git(repository, "read-tree", "good")
    git(repository, "checkout-index", "-a")


def programs_in_settings(repository: Path) -> None:
    """Each setting that makes git run a program, for one that leaves a trace, and attributes that ask for them."""
    trap = f"touch {repository / 'executed'};"
    settings = {
        "core.fsmonitor": trap,
        "core.pager": trap,
        "core.sshCommand": trap,
        "core.hooksPath": str(repository / "hooks"),
        "core.alternateRefsCommand": trap,
        "diff.external": trap,
        "diff.x.textconv": trap,
        "diff.x.command": trap,
        "filter.x.smudge": trap,
        "filter.x.clean": trap,
        "filter.x.process": trap,
        "merge.x.driver": trap,
        "extensions.partialClone": "away",
        "remote.away.promisor": "true",
        "remote.away.url": f"ext::sh -c {trap}",
        "protocol.ext.allow": "always",
        "submodule.recurse": "true",
        "uploadpack.packObjectsHook": trap,
        "gpg.program": trap,
        "log.showSignature": "true",
    }
    for key, value in settings.items():
        git(repository, "config", key, value)
    (repository / "hooks").mkdir()
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        path = repository / "hooks" / hook
        path.write_text(f"#!/bin/sh\n{trap}\n", encoding="ascii")
        path.chmod(0o755)
    (repository / ".git" / "info").mkdir(exist_ok=True)
    (repository / ".git" / "info" / "attributes").write_text(
        "* filter=x diff=x merge=x export-ignore\n", encoding="ascii"
    )


def missing_object(repository: Path) -> None:
    """A file of the submission is not in the repository, and its settings say where to fetch it: from a program."""
    programs_in_settings(repository)
    blob = git(repository, "hash-object", "-w", "--stdin", data=b"not kept\n")
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    row = tree_of(repository, [("100644", b"model.toml", blob)])
    with_board(repository, lambda entries: [*entries, ("40000", b"me__model", row)])


def shallow(repository: Path) -> None:
    (repository / ".git" / "shallow").write_text(
        git(repository, "rev-parse", "refs/heads/base") + "\n", encoding="ascii"
    )


def merged(parents: tuple[str, str], board_of: str) -> Callable[[Path], None]:
    """A merge of two branches that takes the tree of ``board_of``, whatever the branches say."""

    def prepare(repository: Path) -> None:
        tree = git(repository, "rev-parse", f"{board_of}^{{tree}}")
        both = [part for parent in parents for part in ("-p", parent)]
        git(repository, "update-ref", "refs/heads/head", git(repository, "commit-tree", tree, *both, "-m", "x"))

    return prepare


def crossed(repository: Path) -> None:
    """Two merges, one into each branch: the base branch and the pull request have two last commits in common."""
    commit(repository, "left", "refs/heads/old", [Put("docs/left")])
    commit(repository, "right", "refs/heads/old", clean())
    for target, parents in (("base", ("left", "right")), ("head", ("right", "left"))):
        merged(parents, "right")(repository)
        if target == "base":
            git(repository, "update-ref", "refs/heads/base", "refs/heads/head")


def in_folder(name: str | bytes, content: bytes = b"x\n", mode: str = FILE) -> Callable[[], list[Change]]:
    """The clean submission with one more file."""
    inner = name.encode() if isinstance(name, str) else name
    return lambda: [*clean(), Put(f"submissions/{NEW}/".encode() + inner, content, mode)]


def as_folder(name: str | bytes) -> Callable[[], list[Change]]:
    """The clean submission in a folder of this name."""
    return lambda: put(files(NEW), b"submissions/" + (name.encode() if isinstance(name, str) else name))


REPLACE, MAINTENANCE = ("labeled", "replace-submission"), ("labeled", "maintenance")
ON_THE_BOARD = f"file=submissions/{ROW}::is on the board, and this pull request"
CHARACTER = "in its name: name it as clirbench submit does"

ATTACKS: dict[str, Attack] = {
    # What must be accepted: without these, a check that refuses everything would pass.
    "a clean submission": Attack(clean, ""),
    "a clean submission, begun before the last row": Attack(clean, "", start="old"),
    "a clean submission, pushed after a label": Attack(clean, "", event=("synchronize", "")),
    "a clean submission with the label for replacement": Attack(clean, "", event=REPLACE),
    "replaced words, with the label: the verification stays": Attack(lambda: [new_contact()], "", event=REPLACE),
    "a removal with the label": Attack(lambda: [Drop(f"submissions/{ROW}")], "", event=REPLACE),
    "a maintainer's rows, verification and README": Attack(
        lambda: [
            *put(files(NEW) | {VERIFICATION: verification(NEW)}),
            *put(files(OTHER), f"submissions/{OTHER}"),
            Put("submissions/README.md", b"new words\n"),
            Put("docs/page.md"),
        ],
        "",
        event=MAINTENANCE,
    ),
    "settings of the repository that run programs": Attack(clean, "", prepare=programs_in_settings),
    # What does not concern the board.
    "a change of code alone": Attack(lambda: [Put("clirbench/a.py")], None),
    "a change of the workflow alone": Attack(lambda: [Put(".github/workflows/submission.yml")], None),
    # The README and the folder itself.
    "a forged row that takes the README's name": Attack(
        lambda: [Drop("submissions/README.md"), *put(forged(), "submissions/README.md")],
        "file=submissions/README.md::belongs to the maintainers",
    ),
    "the same with a maintainer's label": Attack(
        lambda: [Drop("submissions/README.md"), *put(forged(), "submissions/README.md")],
        "file=submissions/README.md::must be a plain file",
        event=MAINTENANCE,
    ),
    "other words in the README": Attack(
        lambda: [Put("submissions/README.md", b"::error::x\n")],
        "file=submissions/README.md::belongs to the maintainers",
    ),
    "no README": Attack(
        lambda: [Drop("submissions/README.md")], "file=submissions/README.md::belongs to the maintainers"
    ),
    "the board is removed": Attack(
        lambda: [Drop("submissions")], "file=submissions/README.md::belongs to the maintainers"
    ),
    "the board becomes a file": Attack(
        lambda: [Drop("submissions"), Put("submissions")], "file=submissions::is no folder any more"
    ),
    "the board becomes a link": Attack(
        lambda: [Drop("submissions"), Put("submissions", b"docs", LINK), *put(files(NEW), f"docs/{NEW}")],
        "file=submissions::is no folder any more",
    ),
    "a second board that differs by case": Attack(
        lambda: [*clean(), *put(forged(), f"Submissions/{ROW}")],
        "file=Submissions::differs from submissions by case only",
    ),
    # Rows of others.
    "a row's MLQA-R is renamed away": Attack(
        lambda: [
            Drop(f"submissions/{ROW}/mlqa-r.json"),
            Drop(f"submissions/{ROW}/mlqa-r.ranks.parquet"),
            Put("docs/mlqa-r.json", files(ROW)["mlqa-r.json"]),
            Put("docs/mlqa-r.ranks.parquet", files(ROW)["mlqa-r.ranks.parquet"]),
        ],
        ON_THE_BOARD,
    ),
    "a row is renamed": Attack(
        lambda: [Drop(f"submissions/{ROW}"), *put(files(ROW), "submissions/me__bm25")], ON_THE_BOARD
    ),
    "other ranks in a row": Attack(lambda: put(files(NEW), f"submissions/{ROW}"), ON_THE_BOARD),
    "a row is removed": Attack(lambda: [Drop(f"submissions/{ROW}")], ON_THE_BOARD),
    "a row's verification is removed": Attack(lambda: [Drop(f"submissions/{ROW}/{VERIFICATION}")], ON_THE_BOARD),
    "a row's file may be executed": Attack(
        lambda: [Put(f"submissions/{ROW}/model.toml", files(ROW)["model.toml"], RUNS)], ON_THE_BOARD
    ),
    "a row becomes a link to another": Attack(
        lambda: [Drop(f"submissions/{ROW}"), Put(f"submissions/{ROW}", NEW.encode(), LINK)], ON_THE_BOARD
    ),
    "other ranks in a row, pushed after the label": Attack(
        lambda: put(files(NEW), f"submissions/{ROW}"), ON_THE_BOARD, event=("synchronize", "")
    ),
    "a removal where the label is taken away": Attack(
        lambda: [Drop(f"submissions/{ROW}")], ON_THE_BOARD, event=("unlabeled", "replace-submission")
    ),
    "a removal with another label": Attack(
        lambda: [Drop(f"submissions/{ROW}")], ON_THE_BOARD, event=("labeled", "verify")
    ),
    "a label that writes an option": Attack(
        lambda: [Drop(f"submissions/{ROW}")], ON_THE_BOARD, event=("labeled", "--maintenance $(touch executed)")
    ),
    "other ranks in a row, with the label, under its verification": Attack(
        lambda: put(files(NEW), f"submissions/{ROW}"), "verification.json::only maintainers verify", event=REPLACE
    ),
    "a row of another model, with the label": Attack(
        lambda: [*put(files(NEW), f"submissions/{ROW}"), Drop(f"submissions/{ROW}/{VERIFICATION}")],
        "belongs into a folder named",
        event=REPLACE,
    ),
    "two rows, with the label for one": Attack(
        lambda: [new_contact(), *clean()], "file=submissions::has 2 changes", event=REPLACE
    ),
    "a row that changed on the base meanwhile, with the label": Attack(
        lambda: [new_contact()], "has changed on the base branch meanwhile", start="old", target="later", event=REPLACE
    ),
    "a name that another took meanwhile": Attack(clean, "is on the board", target="later"),
    # Folders and files that are none.
    "a folder in a folder": Attack(
        lambda: put(files(NEW), f"submissions/group/{NEW}"), "is a folder: a submission holds"
    ),
    "a folder in a clean submission": Attack(
        lambda: [*clean(), *put(forged(), f"submissions/{NEW}/{ROW}")], f"{NEW}/{ROW}::is a folder: a submission holds"
    ),
    "a path of a thousand folders": Attack(
        lambda: [Put("submissions/" + "a/" * 1000 + "x")], "file=submissions/a/a::is a folder"
    ),
    "a link to a clean folder": Attack(
        lambda: [Put("submissions/me__model", ROW.encode(), LINK)], "file=submissions/me__model::is a link"
    ),
    "a link to a clean file": Attack(
        lambda: [*put(files(NEW)), Put(f"submissions/{NEW}/model.toml", f"../{ROW}/model.toml".encode(), LINK)],
        "model.toml::is a link",
    ),
    "a link to a file of the machine": Attack(in_folder("mteb.XNLI.json", b"/etc/passwd", LINK), "json::is a link"),
    "a submodule": Attack(
        lambda: [Put("submissions/me__model", SAME.encode(), SUBMODULE)], "file=submissions/me__model::is a submodule"
    ),
    "a submodule with its address": Attack(
        lambda: [
            Put("submissions/me__model", b"1" * 40, SUBMODULE),
            Put(".gitmodules", b'[submodule "x"]\n\tpath = submissions/me__model\n\turl = ./x\n\tignore = all\n'),
        ],
        "file=submissions/me__model::is a submodule",
    ),
    "a submodule in a clean folder": Attack(in_folder("data", b"1" * 40, SUBMODULE), "data::is a submodule"),
    "a file that may be executed": Attack(lambda: put(files(NEW), mode=RUNS), "model.toml::may be executed"),
    "a file beside the folders": Attack(
        lambda: [Put("submissions/me__model")], "file=submissions/me__model::is a file"
    ),
    "a folder of nothing": Attack(list, "file=submissions/me__model::holds no file", prepare=empty_folder),
    "a name that stands twice in a tree": Attack(list, "me__model stands twice", prepare=twice),
    "a tree whose names are out of order": Attack(list, "a__model is not in its place", prepare=out_of_order),
    # Names.
    "a folder's name with a line end": Attack(as_folder("me__a\n::error::x"), CHARACTER),
    "a folder's name that is a command": Attack(as_folder("::stop-commands::x"), CHARACTER),
    "a folder's name that is an old command": Attack(as_folder("##[add-mask]a"), CHARACTER),
    "a folder's name with a carriage return": Attack(as_folder("me__a\r::set-output name=x::y"), CHARACTER),
    "a folder's name that is no UTF-8": Attack(as_folder(b"me__\xff\xfe"), CHARACTER),
    "a folder's name that is an option": Attack(as_folder("--help__x"), "a name that begins with '-'"),
    "a folder's name that is hidden": Attack(as_folder(".me__x"), "a name that begins with '.'"),
    "a folder's name with a letter that looks like another": Attack(as_folder("clirbench__bm\u0625"), CHARACTER),
    "a folder's name that is written from right to left": Attack(as_folder("me__\u202egpj"), CHARACTER),
    "a folder's name with a colon": Attack(as_folder("C:me__x"), CHARACTER),
    "a folder's name with a backslash": Attack(as_folder("..\\me__x"), CHARACTER),
    "a folder's name that ends with a space": Attack(as_folder(f"{ROW} "), CHARACTER),
    "a folder's name that ends with a full stop": Attack(as_folder(f"{ROW}."), "a name that ends with '.'"),
    "a folder's name that Windows keeps": Attack(as_folder("CON"), "a name that Windows keeps for itself"),
    "a folder's name of 250 characters": Attack(as_folder("a__" + "b" * 247), "more than 200 characters"),
    "a folder's name that is git's": Attack(list, "a name that begins with '.'", prepare=named(b".git")),
    "a folder's name that leads above": Attack(list, "a name that begins with '.'", prepare=named(b"..")),
    "a folder's name with a slash": Attack(list, CHARACTER, prepare=named(b"../../me__x")),
    "a folder's name that differs by case": Attack(as_folder(ROW.upper()), f"differs from '{ROW}' by case only"),
    "a name that looks like another": Attack(
        lambda: put(renamed("cl1rbench/bm25"), "submissions/cl1rbench__bm25"), f"looks like '{ROW}'"
    ),
    "a file's name with a line end": Attack(in_folder("a\n::error::x"), CHARACTER),
    "a file's name that is no UTF-8": Attack(in_folder(b"\xff.json"), CHARACTER),
    "a file's name with commas and colons": Attack(in_folder("a,line=1::x"), CHARACTER),
    "files' names that differ by case": Attack(in_folder("Model.toml"), "by case only"),
    "a file's name that Windows keeps": Attack(in_folder("nul.json"), "a name that Windows keeps for itself"),
    # What comes along.
    "two submissions": Attack(
        lambda: [*clean(), *put(files(OTHER), f"submissions/{OTHER}")],
        f"file=submissions::has 2 changes ({NEW}, {OTHER}): bring one submission",
    ),
    "thousands of folders": Attack(
        lambda: [Put(f"submissions/me__{i}/model.toml") for i in range(3000)], "file=submissions::has 3000 changes"
    ),
    "thousands of files": Attack(
        lambda: [*clean(), *(Put(f"submissions/{NEW}/{i}.json") for i in range(3000))], "at most 100 are allowed"
    ),
    "a file of 4 million bytes": Attack(
        in_folder("mteb.XNLI.json", bytes(4_000_000)), "has 4,000,000 bytes, and at most"
    ),
    "the workflow along with a submission": Attack(
        lambda: [*clean(), Put(".github/workflows/submission.yml", b"on: push\n")],
        "comes with changes elsewhere (.github)",
    ),
    "the code along with a submission": Attack(
        lambda: [*clean(), Put("clirbench/submissions/check_one.py")], "comes with changes elsewhere (clirbench)"
    ),
    "attributes with a filter in the folder": Attack(
        in_folder(".gitattributes", b"* filter=x\n"), ".gitattributes::has a name that begins with '.'"
    ),
    "attributes that leave the folder out of archives": Attack(
        lambda: [*put(forged()), Put(".gitattributes", b"submissions/** export-ignore\n")],
        "comes with changes elsewhere (.gitattributes)",
    ),
    "a module where the check starts": Attack(
        lambda: [*clean(), Put("numpy.py", b"open('executed', 'w')\n")], "comes with changes elsewhere (numpy.py)"
    ),
    # What a submission says.
    "a number that the ranks do not give": Attack(lambda: put(forged()), "but the ranks and the task give"),
    "a verification of one's own": Attack(
        lambda: put(files(NEW) | {VERIFICATION: verification(NEW)}), "verification.json::only maintainers verify"
    ),
    "another row's verification and ranks": Attack(
        lambda: put(files(ROW) | {VERIFICATION: verification(ROW)}, "submissions/me__model"),
        "verification.json::only maintainers verify",
    ),
    "figures without ranks": Attack(
        lambda: put(files("pyserini__mcontriever-pft-ms-marco"), "submissions/pyserini__mcontriever-pft-ms-marco"),
        "reported figures come from maintainers",
    ),
    # Histories, and what a checkout does not show.
    "a history of its own": Attack(lambda: [Put("README.md"), *clean()], "have no commit in common", start=""),
    "a history of its own, grafted": Attack(
        lambda: [Put("README.md"), *clean()], "have no commit in common", start="", prepare=grafted
    ),
    "a history that is cut off": Attack(clean, "has no whole history", prepare=shallow),
    "a merge of the base that takes a row back": Attack(
        list, "file=submissions/pyserini__bm25::is on the board", prepare=merged(("base", "old"), "old")
    ),
    "merges that cross": Attack(list, "have several last commits in common", prepare=crossed),
    "objects that others stand in for": Attack(
        lambda: put(forged()), "but the ranks and the task give", prepare=replaced_objects
    ),
    "a working tree that is cleaner than its commit": Attack(
        lambda: put(forged()), "but the ranks and the task give", prepare=clean_working_tree
    ),
    "an object that is to be fetched by a program": Attack(
        list, "model.toml is not in the repository", prepare=missing_object
    ),
}

PROMISE = Promise(
    what="A pull request adds one folder of plain files that pass the check, and changes nothing else on the board.",
    stops="Trees and files are read by git's plumbing, and checked as a stranger's: `clirbench/submissions/pull_request.py`.",
    attacks=len(ATTACKS),
    test="tests/test_attacks_pull_requests.py",
)
