"""Check what a pull request does to the board, out of git's trees: it brings one folder, and changes nothing of others."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from clirbench.results.file_names import RANKS_ENDING
from clirbench.results.read import MTEB_RESULT_LIMIT
from clirbench.submissions.check_many import README, check_submissions
from clirbench.submissions.findings import Examined
from clirbench.submissions.git_objects import FILE, FOLDER, LINK, SUBMODULE, Repository, TreeEntry
from clirbench.submissions.safe_read import ENTRIES, JSON_LIMIT, RANKS_LIMIT
from clirbench.submissions.verification import FILE as VERIFICATION
from clirbench.support.errors import ClirbenchError, printable, shortened
from clirbench.support.files import writing
from clirbench.support.progress import Reporter

BOARD = "submissions"
# Labels that only maintainers can set. The workflow passes the option that belongs to each.
REPLACE, MAINTENANCE = "replace-submission", "maintenance"
_LARGEST = max(RANKS_LIMIT, JSON_LIMIT, MTEB_RESULT_LIMIT)
_LONGEST_NAME, _SHOWN = 200, 10
_CHARACTER = re.compile(r"[A-Za-z0-9._+()-]")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_KINDS = {LINK: "is a link", SUBMODULE: "is a submodule", FOLDER: "is a folder", "100755": "may be executed"}
Folder = dict[str, TreeEntry]


class Allowed(NamedTuple):
    """What a maintainer allows a pull request.

    Attributes:
        replace: It may change or remove one folder that is on the board.
        maintenance: It is a maintainer's. It may also change several folders, the README and files elsewhere, and add
            verifications and reported figures.
    """

    replace: bool = False
    maintenance: bool = False


class _Trees(NamedTuple):
    """The folder of submissions in three commits.

    Attributes:
        start: In the commit that the pull request begins at.
        base: In the newest commit of the branch that it wants to go to: the board.
        head: In the newest commit of the pull request.
        elsewhere: Names at the top of the repository, except that folder, where the pull request changes something.
    """

    start: Folder
    base: Folder
    head: Folder
    elsewhere: list[str]


def check_pull_request(
    base: str,
    repository: Path,
    allowed: Allowed,
    keep: Path | None = None,
    reporter: Reporter | None = None,
) -> list[Examined]:
    """Check the commit that is checked out in ``repository`` as a pull request to the commit ``base``.

    Each changed path below ``submissions/`` has to be a plain file directly in the one folder that the pull request adds.
    The files are written out of git's objects into a fresh folder, and checked there against the board of ``base``, as a
    stranger's. If there are no errors, they are copied to ``keep``.

    Args:
        base: The newest commit of the branch that the pull request wants to go to.
        repository: Top of a checkout of the pull request. Its working tree is not read.
        allowed: What a maintainer allows.
        keep: A folder to make, or None.
        reporter: Where progress is shown.

    Returns:
        The findings on each changed folder, and on the whole under the path ``submissions``, with paths of the repository.

    Raises:
        ClirbenchError: The repository cannot be read, or ``keep`` is there already.
    """
    if keep is not None and keep.exists():
        raise ClirbenchError(f"--keep is '{keep}', which is there already: name a folder to make")
    source = Repository(repository)
    whole = Examined(Path(BOARD))
    trees = _read_trees(source, source.commit(base), source.commit("HEAD"), whole)
    changed = sorted(name for name in {*trees.start, *trees.head} if trees.start.get(name) != trees.head.get(name))
    if not whole.errors:
        _check_extent(changed, trees, allowed, whole)
    looked_at = changed if allowed.maintenance else changed[:_SHOWN]
    found = {name: _changed(source, name, trees, allowed) for name in looked_at}
    examined = [whole] * bool(whole.findings) + [one for one, _ in found.values()]
    if any(one.errors for one in examined):
        # The files of none were checked, so none is shown as accepted.
        return [one for one in examined if one.findings]
    with tempfile.TemporaryDirectory(prefix="clirbench-") as temporary:
        here, board = Path(temporary, "head", BOARD), Path(temporary, "base", BOARD)
        new = [_write(source, here / name, files) for name, (_, files) in found.items() if files]
        others = _write_board(source, board, {n: e for n, e in trees.base.items() if n not in changed})
        checked = check_submissions(new, not allowed.maintenance, others, reporter) if new else []
        for result in checked:
            _add_findings(result, here.parent, found[result.folder.name][0])
        if keep is not None and new and not any(one.errors for one in examined):
            with writing(keep, "choose another --keep"):
                shutil.copytree(here, keep)
    return examined


def _read_trees(source: Repository, base: str, head: str, whole: Examined) -> _Trees:
    tops = [source.tree(commit) for commit in (source.merge_base(base, head), base, head)]
    start, _, theirs = tops
    for name in theirs:
        if name.casefold() == BOARD and name != BOARD:
            whole.error(Path(name), "", f"differs from {BOARD} by case only: remove it")
    if theirs.get(BOARD, TreeEntry(FOLDER, "", 0)).mode != FOLDER:
        whole.error(Path(BOARD), "", "is no folder any more: restore it")
    boards = [source.tree(top[BOARD].hash) if BOARD in top and top[BOARD].mode == FOLDER else {} for top in tops]
    elsewhere = sorted(
        name for name in {*start, *theirs} if name.casefold() != BOARD and start.get(name) != theirs.get(name)
    )
    return _Trees(boards[0], boards[1], boards[2], elsewhere)


def _check_extent(changed: Sequence[str], trees: _Trees, allowed: Allowed, whole: Examined) -> None:
    """Check that the pull request changes one folder below ``submissions/``, and nothing elsewhere."""
    if not changed:
        whole.error(whole.folder, "", "has no change in this pull request: add the folder of a submission")
    if allowed.maintenance:
        return
    if len(changed) > 1:
        names = shortened(", ".join(map(printable, changed)), 200)
        message = f"has {len(changed)} changes ({names}): bring one submission, and make a pull request for each"
        whole.error(whole.folder, "", message)
    if changed and trees.elsewhere:
        first = shortened(printable(trees.elsewhere[0]), 100)
        # What judges a submission must not come with it.
        message = f"comes with changes elsewhere ({first}), which are reviewed apart: make a pull request for each"
        whole.error(whole.folder, "", message)


def _changed(source: Repository, name: str, trees: _Trees, allowed: Allowed) -> tuple[Examined, Folder]:
    """Check the kind and the name of a changed entry below ``submissions/``, and what its folder holds.

    Returns:
        The findings, and the files to check: none if there are errors, or if there is no folder to check.
    """
    path, entry = Path(BOARD, name), trees.head.get(name)
    examined = Examined(path)
    if name == README:
        if not allowed.maintenance:
            examined.error(path, "", f"belongs to the maintainers: restore it, or ask for the label '{MAINTENANCE}'")
        elif entry is not None and entry.mode != FILE:
            examined.error(path, "", "must be a plain file: restore it")
        return examined, {}
    _check_standing(name, trees, allowed, examined)
    if entry is None:
        if not examined.errors:
            examined.warning(path, "", "is removed from the board: see that this is wanted")
        return examined, {}
    _check_name(path, name, examined)
    _check_alike(path, name, {*trees.head, *trees.base}, examined)
    if entry.mode != FOLDER:
        kind = _KINDS[entry.mode] if entry.mode in (LINK, SUBMODULE) else "is a file"
        examined.error(path, "", f"{kind}: a submission is a folder that clirbench submit made")
        return examined, {}
    files = source.tree(entry.hash)
    if len(files) > ENTRIES:
        message = (
            f"holds {len(files):,} files, and at most {ENTRIES} are allowed: leave only results, ranks and model.toml"
        )
        examined.error(path, "", message)
        return examined, {}
    if not files:
        examined.error(path, "", "holds no file: add those that clirbench submit made")
    for inner, file in files.items():
        if file.mode != FILE:
            kind = _KINDS.get(file.mode, "is no file")
            examined.error(path / inner, "", f"{kind}: a submission holds plain files, directly in its folder")
        elif file.size > _LARGEST:
            examined.error(
                path / inner, "", f"has {file.size:,} bytes, and at most {_LARGEST:,} are allowed: make it smaller"
            )
        _check_name(path / inner, inner, examined)
        _check_alike(path / inner, inner, files, examined)
    if not allowed.maintenance and _verified_on_base(source, files, trees.base.get(name)):
        # Without the file, the check does not refuse it as a stranger's. It was checked where it was added.
        del files[VERIFICATION]
    return examined, {} if examined.errors else files


def _check_standing(name: str, trees: _Trees, allowed: Allowed, examined: Examined) -> None:
    """Check that a changed entry is new on the board, or may be changed."""
    start, base = trees.start.get(name), trees.base.get(name)
    if start is None and base is None:
        return
    if not (allowed.replace or allowed.maintenance):
        done = "changes" if name in trees.head else "removes"
        remedy = f"choose another name, or ask a maintainer for the label '{REPLACE}'"
        examined.error(examined.folder, "", f"is on the board, and this pull request {done} it: {remedy}")
    if start != base:
        # A merge would mix the files of both.
        examined.error(examined.folder, "", "has changed on the base branch meanwhile: merge that branch into yours")


def _check_name(path: Path, name: str, examined: Examined) -> None:
    """Check that a name is the same on every system, in every terminal and in every log."""
    fault = next((f"has {character!a} in its name" for character in name if not _CHARACTER.fullmatch(character)), "")
    if not fault and not name[:1].isalnum():
        fault = f"has a name that begins with {name[:1]!a}"
    if not fault and name.endswith("."):
        fault = "has a name that ends with '.'"
    if not fault and _RESERVED.fullmatch(name):
        fault = "has a name that Windows keeps for itself"
    if not fault and len(name) > _LONGEST_NAME:
        fault = f"has a name of more than {_LONGEST_NAME} characters"
    if fault:
        examined.error(path, "", f"{fault}: name it as clirbench submit does")


def _check_alike(path: Path, name: str, names: Iterable[str], examined: Examined) -> None:
    """Check that no other name differs by case only: on macOS and Windows the two would be one."""
    for other in sorted(names):
        if other != name and other.casefold() == name.casefold():
            examined.error(path, "", f"differs from {other!a} by case only: choose another name")
            return


def _verified_on_base(source: Repository, files: Folder, base: TreeEntry | None) -> bool:
    """Whether the verification is the board's own, and stands beside the very results and ranks that it stands beside there."""
    if VERIFICATION not in files or base is None or base.mode != FOLDER:
        return False
    board = source.tree(base.hash)
    kept = [name for name in board if name.endswith((".json", RANKS_ENDING))]
    return VERIFICATION in board and all(files.get(name) == board[name] for name in kept)


def _write(source: Repository, folder: Path, files: Folder) -> Path:
    """Write files out of git's objects into a new folder. Their names have been checked."""
    folder.mkdir(parents=True)
    for name, content in zip(files, source.files(files.values()), strict=True):
        (folder / name).write_bytes(content)
    return folder


def _write_board(source: Repository, folder: Path, entries: Folder) -> list[Path]:
    """Write the folders of the board.

    Raises:
        ClirbenchError: The board itself holds what no pull request may bring.
    """
    written = []
    for name, entry in entries.items():
        if name == README and entry.mode == FILE:
            continue
        files = source.tree(entry.hash) if entry.mode == FOLDER else {}
        problems = Examined(Path(BOARD, name))
        for one in (name, *files):
            _check_name(Path(one), one, problems)
        if problems.errors or not files or any(file.mode != FILE for file in files.values()):
            raise ClirbenchError(
                f"{printable(f'{BOARD}/{name}')}: is no submission on the base branch: mend that first"
            )
        written.append(_write(source, folder / name, files))
    return written


def _add_findings(result: Examined, above: Path, examined: Examined) -> None:
    """Add the findings of a check in a folder below ``above``, as findings on the paths of the repository."""
    prefix = printable(f"{above}{os.sep}")
    for finding in result.findings:
        file, message = (text.replace(prefix, "") for text in (finding.file, finding.message))
        examined.findings.append(replace(finding, file=file, message=message))
