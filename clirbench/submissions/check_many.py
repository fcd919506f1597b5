"""Check many submissions: each in a process with limits, then against each other."""

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import NamedTuple

from threadpoolctl import threadpool_limits

from clirbench.submissions.accepted import CheckRecord
from clirbench.submissions.check_one import examine
from clirbench.submissions.findings import Comparable, Examined, Finding
from clirbench.submissions.safe_read import note_reading
from clirbench.submissions.safe_text import skeleton
from clirbench.support.errors import ClirbenchError, printable
from clirbench.support.processes import end_with_parent
from clirbench.support.progress import Reporter, Silent
from clirbench.tasks.task_file import board_columns, board_tasks


class Limits(NamedTuple):
    """Limits of a checking process: bytes beyond those that it has at its start, and seconds of computing time per submission."""

    memory: int
    seconds: int


# A result of the largest task needs about a tenth of either.
LIMITS = Limits(1_500_000_000, 60)
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
) -> list[Examined]:
    """Examine submissions, each in a process with limits, and compare them with each other and with ``others``.

    A submission that has not changed since it was examined is looked up instead. ``untrusted`` refuses what only maintainers may
    add; then ``folders`` are always examined, and nothing is recorded.

    Returns:
        The findings on each folder, in the order of ``folders``.

    Raises:
        ClirbenchError: A task file is wrong.
    """
    # A wrong task file is not the fault of a submission.
    board_tasks()
    asked = {os.path.realpath(path) for path in folders}
    rest = [path for path in others if os.path.realpath(path) not in asked]
    record = CheckRecord()
    recalled = {folder: record.recall(folder) for folder in (rest if untrusted else [*folders, *rest])}
    done = {folder: examined for folder, examined in recalled.items() if examined}
    new = [folder for folder in [*folders, *rest] if folder not in done]
    if new:
        done |= _isolated(new, untrusted, limits, reporter or Silent())
    if new and not untrusted:
        # Before they are compared with others, which may change.
        for folder in new:
            record.keep(done[folder])
        record.trim()
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


def _isolated(folders: Sequence[Path], untrusted: bool, limits: Limits, reporter: Reporter) -> dict[Path, Examined]:
    """Examine each folder in a process with limits; a folder whose process dies gets an error."""
    done: dict[Path, Examined] = {}
    reporter.start(_PHASE, len(folders), brief=len(folders) < _MANY)
    _round(folders, untrusted, limits, done, reporter)
    for folder in folders:
        # A process that dies ends the whole pool. So each submission that is not done is examined again, alone.
        if folder in done:
            continue
        with TemporaryDirectory(prefix="clirbench-") as place:
            note = Path(place) / "reading"
            _round([folder], untrusted, limits, done, reporter, note)
            file = Path(os.fsdecode(note.read_bytes())) if note.exists() else folder
        if folder not in done:
            done[folder] = Examined(folder, final=False)
            needs = f"examining it needs more than {limits.memory / 1e9:.1f} GB or {limits.seconds} s"
            done[folder].error(file, "", f"{needs}, or ends the process: submit the files as clirbench wrote them")
    return done


def _round(
    folders: Sequence[Path],
    untrusted: bool,
    limits: Limits,
    done: dict[Path, Examined],
    reporter: Reporter,
    note: Path | None = None,
) -> None:
    """Examine the folders in one pool of processes, and add the finished ones to ``done``.

    ``note`` is for a single folder: it gets the name of the file that is read.
    """
    workers = max(1, min(os.cpu_count() or 1, len(folders)))
    context = multiprocessing.get_context("spawn")
    with (
        _safe_path(),
        ProcessPoolExecutor(workers, mp_context=context, initializer=_limit, initargs=(limits.memory,)) as pool,
    ):
        futures = {pool.submit(_examine, folder, untrusted, limits.seconds, note): folder for folder in folders}
        for future in as_completed(futures):
            with suppress(BrokenProcessPool, MemoryError):
                done[futures[future]] = future.result()
                reporter.advance(_PHASE, 1)


@contextmanager
def _safe_path() -> Iterator[None]:
    """Keep spawned processes from importing what is none of theirs.

    That is modules in the working folder, which may be a stranger's, and the caller's script, which would run once more.
    """
    before, main = os.environ.get("PYTHONSAFEPATH"), sys.modules["__main__"]
    os.environ["PYTHONSAFEPATH"] = "1"
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        # Processes that the caller starts later are none of ours.
        sys.modules["__main__"] = main
        os.environ.pop("PYTHONSAFEPATH")
        if before is not None:
            os.environ["PYTHONSAFEPATH"] = before


def _limit(memory: int) -> None:
    end_with_parent()
    # The processes share the cores already, so each gets one thread.
    threadpool_limits(1)
    # Only Linux limits the process. On all systems, the sizes of files and of their expanded content are limited.
    with suppress(ImportError, OSError, ValueError):
        import resource

        held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (held + memory, resource.RLIM_INFINITY))


def _examine(folder: Path, untrusted: bool, seconds: int, note: Path | None = None) -> Examined:
    note_reading(note)
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds, resource.RLIM_INFINITY))
    try:
        return examine(folder, untrusted)
    except MemoryError:
        raise
    except Exception as error:
        # After a defect of clirbench, the check of other submissions goes on, and this submission does not pass.
        examined = Examined(folder, final=False)
        examined.error(folder, "", f"examining it failed ({type(error).__name__}: {error}): please report this")
        return examined


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
