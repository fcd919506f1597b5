"""Trees and files of a git repository, read with git's plumbing: no setting, attribute, hook or working tree has a say."""

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

from clirbench.support.errors import ClirbenchError, first_line, printable, shortened

# A board of a hundred thousand folders takes a tenth of it.
_LONGEST_OUTPUT = 100_000_000
FOLDER, FILE, LINK, SUBMODULE = "040000", "100644", "120000", "160000"
_SETTINGS = (
    # A repository may belong to another user, as in a container. What could make git run a program is switched off below.
    "safe.directory=*",
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    f"core.attributesFile={os.devnull}",
    "core.commitGraph=false",
    "core.useReplaceRefs=false",
    # Objects that are missing in a partial clone would be fetched, by whatever the repository names for it.
    "protocol.allow=never",
)
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": os.devnull,
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "LC_ALL": "C",
}


class TreeEntry(NamedTuple):
    """What a tree of git holds under a name.

    Attributes:
        mode: As git writes it: one of the modes of this module, or "100755" for a file that may be executed.
        hash: Name of the object. Two entries with equal modes and hashes have equal content.
        size: Bytes of a file; 0 for everything else.
    """

    mode: str
    hash: str
    size: int


class Repository:
    """The objects of the git repository in a folder."""

    def __init__(self, folder: Path) -> None:
        """Check that ``folder`` is the top of a checkout, with its whole history.

        Raises:
            ClirbenchError: It is not, or git is not installed.
        """
        self.folder = folder
        if not folder.is_dir():
            raise ClirbenchError(f"{folder}: is not a folder: give the git checkout of the pull request")
        if self._git("rev-parse", "--is-shallow-repository") != b"false\n":
            raise ClirbenchError(f"{folder}: has no whole history: fetch it (git fetch --unshallow, or fetch-depth: 0)")

    def commit(self, name: str) -> str:
        """The hash of the commit that a name or hash stands for.

        Raises:
            ClirbenchError: There is no such commit.
        """
        try:
            return self._git("rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}").decode("ascii").strip()
        except (ClirbenchError, ValueError) as error:
            raise ClirbenchError(
                f"{self.folder}: has no commit {shortened(name)!a}: fetch it, or correct the name"
            ) from error

    def merge_base(self, one: str, other: str) -> str:
        """The hash of the last commit that two commits have in common: what a merge of them starts from.

        Raises:
            ClirbenchError: They have none, or several.
        """
        try:
            common = self._git("merge-base", "--all", one, other).decode("ascii").split()
        except ClirbenchError:
            common = []
        if len(common) == 1:
            return common[0]
        many = "have several last commits" if common else "have no commit"
        raise ClirbenchError(
            f"{self.folder}: {one[:12]} and {other[:12]} {many} in common: begin a branch at the base branch, "
            "and add the submission there"
        )

    def tree(self, name: str) -> dict[str, TreeEntry]:
        """What the tree of this hash (or of a commit) holds directly, by name. Bytes that are no UTF-8 become surrogates.

        Raises:
            ClirbenchError: There is no such tree, it is too large, or it is not as git makes it.
        """
        entries: dict[str, TreeEntry] = {}
        last = b""
        for record in self._git("ls-tree", "-z", "-l", "--full-tree", name).split(b"\0")[:-1]:
            described, _, raw = record.partition(b"\t")
            mode, _, of, size = described.decode("ascii").split()
            entry_name, place, fault = raw.decode("utf-8", "surrogateescape"), raw, ""
            if mode == FOLDER:
                place += b"/"
            if entry_name in entries:
                fault = "stands twice in its folder"
            elif place <= last:
                # git passes over some names when it compares trees that are out of order.
                fault = "is not in its place in the tree"
            elif not (size.isdigit() or size == "-"):
                fault = "is not in the repository"
            if fault:
                raise ClirbenchError(f"{self.folder}: {printable(entry_name)} {fault}: commit it again")
            last = place
            entries[entry_name] = TreeEntry(mode, of, int(size) if size.isdigit() else 0)
        return entries

    def files(self, entries: Iterable[TreeEntry]) -> Iterator[bytes]:
        """The bytes of files, in the order of ``entries``.

        Yields:
            The content of each, of its stated size.

        Raises:
            ClirbenchError: One cannot be read.
        """
        entries = list(entries)
        asked = "".join(f"{entry.hash}\n" for entry in entries).encode("ascii")
        with self._running("cat-file", "--batch", asked=asked) as output:
            for entry in entries:
                expected = f"{entry.hash} blob {entry.size}\n".encode("ascii")
                header = output.read(len(expected))
                content = output.read(entry.size + 1) if header == expected else b""
                if len(content) != entry.size + 1:
                    raise ClirbenchError(f"{self.folder}: {entry.hash} cannot be read: fetch the commit again")
                yield content[:-1]

    def _git(self, *arguments: str) -> bytes:
        """What ``git ARGUMENTS`` prints.

        Raises:
            ClirbenchError: It fails, or prints more than is ever needed.
        """
        with self._running(*arguments) as output:
            content = output.read(_LONGEST_OUTPUT + 1)
            if len(content) > _LONGEST_OUTPUT:
                raise ClirbenchError(f"{self.folder}: git {arguments[0]} prints more than 100 MB: leave out files")
        return content

    @contextmanager
    def _running(self, *arguments: str, asked: bytes = b"") -> Iterator[IO[bytes]]:
        """What ``git ARGUMENTS`` prints, as a stream; ``asked`` is what it reads. It ends where the block ends.

        Raises:
            ClirbenchError: git is not installed, or fails.
        """
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
        # A folder that is no repository is not looked for above: that would be another repository.
        ceiling = {"GIT_CEILING_DIRECTORIES": str(self.folder.resolve().parent)}
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        # In files, so that git never waits for a pipe that nobody reads.
        with tempfile.TemporaryFile() as input_file, tempfile.TemporaryFile() as errors:
            input_file.write(asked)
            input_file.seek(0)
            try:
                process = subprocess.Popen(
                    ["git", "--no-pager", *settings, *arguments],
                    cwd=self.folder,
                    env={**kept, **_ENVIRONMENT, **ceiling},
                    stdin=input_file,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                )
            except FileNotFoundError as error:
                raise ClirbenchError("git is not installed: install it") from error
            with process:
                yield cast("IO[bytes]", process.stdout)
            if process.returncode:
                errors.seek(0)
                reason = first_line(ValueError(errors.read(1000).decode("utf-8", "replace")))
                raise ClirbenchError(
                    f"{self.folder}: git {arguments[0]} fails ({reason}): give the top folder of a git checkout"
                )
