"""Check many submissions: each in a process with limits, then against each other."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from clirbench.submissions.accepted import CheckRecord
from clirbench.submissions.check_processes import LIMITS, Examiners, Limits, examined_apart
from clirbench.submissions.findings import Comparable, Examined, Finding
from clirbench.submissions.safe_text import skeleton
from clirbench.support.errors import ClirbenchError, printable
from clirbench.support.progress import Reporter, Silent
from clirbench.tasks.task_file import board_columns, board_tasks

# A main number that is further above the best verified one, as a share, is a surprise.
_FAR = 0.10
_PHASE, _MANY = "check (submissions)", 20
FORMATS = ("text", "json", "github")
README = "README.md"


def submissions_in(paths: Sequence[Path], untrusted: bool = False) -> list[Path]:
    """The folders of submissions. A path is a submission itself, or a folder of submissions.

    With ``untrusted``, each path is one submission.

    Raises:
        ClirbenchError: A path is not a folder, or holds no submission. With ``untrusted`` also: it is a link, or holds a folder.
    """
    folders: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise ClirbenchError(f"{path}: is not a folder: give a submission, or a folder of submissions")
        if untrusted:
            # Where a stranger's folders are walked, or links followed, a path that was checked is not the path that is merged.
            within = next((entry.name for entry in sorted(path.iterdir()) if entry.is_dir()), None)
            if path.is_symlink() or within is not None:
                kind = "is a link" if path.is_symlink() else f"holds the folder {within!a}"
                raise ClirbenchError(f"{printable(str(path))}: {kind}: with --untrusted, each path is one submission")
            folders.append(path)
            continue
        inner = inside(path)
        if "__" in path.resolve().name or any(path.glob("*.ranks.parquet")):
            folders.append(path)
        elif not inner:
            raise ClirbenchError(f"{path}: holds no submission: give a folder that clirbench submit made")
        else:
            # Every folder is taken, so that a folder that is not a submission is examined and refused.
            folders += inner
    return list(dict.fromkeys(folders))


def inside(board: Path) -> list[Path]:
    """The paths in a folder of submissions, sorted, without its README.md and hidden files. Each should be a submission."""
    # A folder or a link is never left out, whatever its name. Hidden files are of the system, or locks of clirbench submit.
    return sorted(
        path
        for path in board.iterdir()
        if not (path.name == README or path.name.startswith(".")) or path.is_symlink() or not path.is_file()
    )


def check_submissions(
    folders: Sequence[Path],
    untrusted: bool = False,
    others: Sequence[Path] = (),
    reporter: Reporter | None = None,
    limits: Limits = LIMITS,
    record: CheckRecord | None = None,
) -> list[Examined]:
    """Examine submissions, each in a process with limits, and compare them with each other and with ``others``.

    A submission that has not changed since it was examined is looked up instead. ``untrusted`` refuses what only maintainers may
    add; then ``folders`` are always examined, and nothing is recorded. ``record`` is the record of a check of other folders.

    Returns:
        The findings on each folder, in the order of ``folders``.

    Raises:
        ClirbenchError: A task file is wrong.
    """
    # A wrong task file is not the fault of a submission.
    board_tasks()
    asked = {os.path.realpath(path) for path in folders}
    rest = [path for path in others if os.path.realpath(path) not in asked]
    record = record or CheckRecord()
    done: dict[Path, Examined] = {}
    new = list(folders) if untrusted else []
    with Examiners(limits) as examiners:
        examiners.expect(len(new))
        for folder in rest if untrusted else [*folders, *rest]:
            if examined := record.recall(folder):
                done[folder] = examined
            else:
                new.append(folder)
                # While files are hashed here, processes load what they need.
                examiners.expect(len(new))
        if new:
            done |= _isolated(new, untrusted, examiners, reporter or Silent())
    if new and not untrusted:
        # Before they are compared with others, which may change.
        for folder in new:
            record.keep(done[folder])
        record.trim(len(done))
    checked = [done[folder] for folder in folders]
    _compare(checked, [done[folder] for folder in rest])
    return checked


def report(checked: Sequence[Examined], style: str) -> str:
    """Write findings in a style of ``FORMATS``: as text, as JSON, or as annotations of a GitHub workflow.

    Raises:
        ClirbenchError: ``style`` is not in ``FORMATS``.
    """
    findings = [finding for examined in checked for finding in examined.findings]
    if style == "json":
        errors = sum(examined.errors for examined in checked)
        summary = {"submissions": len(checked), "errors": errors, "warnings": len(findings) - errors}
        return json.dumps({**summary, "findings": [asdict(finding) for finding in findings]}, indent=1)
    if style == "github":
        return "\n".join(map(_annotation, findings))
    if style != "text":
        raise ClirbenchError(f"--format is '{style}': use {', '.join(FORMATS)}")
    lines = []
    for examined in checked:
        errors, warnings = examined.errors, len(examined.findings) - examined.errors
        verdict = _counted(errors, "error") if errors else "accepted"
        more = f", {_counted(warnings, 'warning')}" if warnings else ""
        folder = printable(str(examined.folder))
        # A runner of GitHub obeys "::command" where a line begins.
        shown = folder.replace("::", r"\x3a:", 1) if folder.lstrip().startswith("::") else folder
        lines.append(f"{shown}: {verdict}{more}")
        for finding in sorted(examined.findings, key=lambda one: one.level):
            key = f"'{finding.key}' " if finding.key else ""
            lines.append(f"  {finding.level}: {finding.file}: {key}{finding.message}")
    return "\n".join(lines)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _annotation(finding: Finding) -> str:
    # GitHub runs lines that begin with "::" as commands. Characters that could end this command or begin another are escaped.
    def escaped(text: str, more: str = "") -> str:
        for character in f"%\r\n{more}":
            text = text.replace(character, f"%{ord(character):02X}")
        return text

    key = f"'{finding.key}' " if finding.key else ""
    return f"::{finding.level} file={escaped(finding.file, ',:')}::{escaped(key + finding.message)}"


def _isolated(
    folders: Sequence[Path], untrusted: bool, examiners: Examiners, reporter: Reporter
) -> dict[Path, Examined]:
    """Examine each folder in a process with limits; a folder whose process dies gets an error."""
    reporter.start(_PHASE, len(folders), brief=len(folders) < _MANY)
    return examined_apart(folders, untrusted, examiners, lambda: reporter.advance(_PHASE, 1))


def _surprise(mine: Comparable, others: Sequence[Comparable]) -> str | None:
    """The warning about a result far above the best verified one, or, where none is verified, above all others; else None.

    A model of any size can have read the public answers, and ranks of one's own making are as good as one likes. Only rows that a
    maintainer ran again can say what is to be expected.
    """
    verified = [theirs.main for theirs in others if theirs.verified and theirs.main is not None]
    known = verified or [theirs.main for theirs in others if theirs.main is not None]
    if mine.main is None or not known or mine.main <= max(known) + _FAR:
        return None
    best = f"the best {'verified ' if verified else ''}result so far ({max(known):.3f})"
    seen = ", and that it has not seen the answers, as model.toml says" if mine.zero_shot == "yes" else ""
    return f"is {mine.main:.3f}, far above {best}: show how the model was trained{seen}, or ask for a verification"


def _compare(checked: Sequence[Examined], others: Sequence[Examined]) -> None:
    """Find equal ranks in two submissions, scores far above the best verified one, and names that look alike."""
    everything = [*checked, *others]
    # A verification counts only where it was accepted. In a folder that is asked about, a stranger may have written it.
    refused = {examined.folder for examined in checked if examined.errors}
    by_task: dict[str, list[tuple[Path, Comparable]]] = {}
    for other in everything:
        for theirs in other.comparables:
            shown = replace(theirs, verified=theirs.verified and other.folder not in refused)
            by_task.setdefault(theirs.task, []).append((other.folder, shown))
    alike: dict[str, list[str]] = {}
    for other in everything:
        alike.setdefault(skeleton(other.folder.name), []).append(other.folder.name)
    for examined in checked:
        for mine in examined.comparables:
            path = examined.folder / f"{mine.task}.json"
            others_of_task = [(folder, theirs) for folder, theirs in by_task[mine.task] if folder != examined.folder]
            # Reported figures have no ranks.
            twins = [folder.name for folder, theirs in others_of_task if mine.digest and theirs.digest == mine.digest]
            if twins:
                message = f"has the very ranks of {twins[0]}: say in the pull request how the two models differ"
                examined.warning(path, "ranks.sha256", message)
            if mine.digest and (surprise := _surprise(mine, [theirs for _, theirs in others_of_task])):
                setting, metric = board_columns(mine.task).main
                examined.warning(path, f"headline.{setting}.{metric}", surprise)
        own_name = examined.folder.name
        for name in alike[skeleton(own_name)]:
            if name != own_name:
                message = f"looks like {name!a}: choose a name that cannot be mistaken for it"
                examined.error(examined.folder, "", message)
