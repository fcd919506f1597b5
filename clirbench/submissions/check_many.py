"""Checking many submissions: each in a process with limits, then against each other."""

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from threadpoolctl import threadpool_limits

from clirbench.submissions.check_one import examine
from clirbench.submissions.findings import Examined, Facts, Finding
from clirbench.submissions.safe_read import skeleton
from clirbench.support.errors import ClirbenchError, printable


class Limits(NamedTuple):
    """What a process may take: bytes beyond what it holds at its start, and seconds of computing per submission."""

    memory: int
    seconds: int


# A result of the largest task needs about a tenth of either.
LIMITS = Limits(1_500_000_000, 60)
_FAR = 0.10
_SMALL = 50_000_000
FORMATS = ("text", "json", "github")
README = "README.md"


def submissions_in(paths: Sequence[Path]) -> list[Path]:
    """The folders of submissions that paths name: a submission itself, or a folder of submissions.

    Raises:
        ClirbenchError: A path is no folder, or there is none in it.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise ClirbenchError(f"{path}: is not a folder: give a submission, or a folder of submissions")
        inner = sorted(entry for entry in path.iterdir() if entry.name != README)
        if "__" in path.resolve().name or any(path.glob("*.ranks.parquet")):
            found.append(path)
        elif not inner:
            raise ClirbenchError(f"{path}: holds no submission: give a folder that clirbench submit made")
        else:
            # Whatever else lies on a board is examined too, and refused.
            found += inner
    return list(dict.fromkeys(found))


def check_submissions(
    folders: Sequence[Path],
    untrusted: bool = False,
    others: Sequence[Path] = (),
    advance: Callable[[int], None] | None = None,
    limits: Limits = LIMITS,
) -> list[Examined]:
    """Examine submissions, each in a process with bounded memory and time, and compare them with each other.

    Args:
        folders: Their folders.
        untrusted: Refuse what only maintainers may add.
        others: Submissions to compare with; what is wrong with those is not told.
        advance: Called with 1 whenever one is done.
        limits: What examining one submission may take.

    Returns:
        One per folder, in order.
    """
    told = {os.path.realpath(path) for path in folders}
    known = [path for path in others if os.path.realpath(path) not in told]
    everything = _isolated([*folders, *known], untrusted, limits, advance)
    checked, rest = everything[: len(folders)], everything[len(folders) :]
    _compare(checked, rest)
    return checked


def report(checked: Sequence[Examined], style: str) -> str:
    """Findings as text for people, as JSON, or as annotations of GitHub's workflows.

    Raises:
        ClirbenchError: ``style`` is none of these.
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
        lines.append(f"{printable(str(examined.folder))}: {verdict}{more}")
        for finding in sorted(examined.findings, key=lambda one: one.level):
            key = f"'{finding.key}' " if finding.key else ""
            lines.append(f"  {finding.level}: {finding.file}: {key}{finding.message}")
    return "\n".join(lines)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _annotation(finding: Finding) -> str:
    # Workflow commands: what could end the command, or begin another one, is escaped.
    def escaped(text: str, more: str = "") -> str:
        for character in f"%\r\n{more}":
            text = text.replace(character, f"%{ord(character):02X}")
        return text

    key = f"'{finding.key}' " if finding.key else ""
    return f"::{finding.level} file={escaped(finding.file, ',:')}::{escaped(key + finding.message)}"


def _isolated(
    folders: Sequence[Path], untrusted: bool, limits: Limits, advance: Callable[[int], None] | None
) -> list[Examined]:
    done: dict[Path, Examined] = {}
    _round(folders, untrusted, limits, done, advance)
    for folder in folders:
        # A process that died took its neighbours' work with it: what is missing runs again, one process each.
        if folder not in done:
            _round([folder], untrusted, limits, done, advance)
        if folder not in done:
            done[folder] = Examined(folder)
            needs = f"examining it needs more than {limits.memory / 1e9:.1f} GB or {limits.seconds} s"
            done[folder].add("error", folder, "", f"{needs}: submit the files as clirbench wrote them")
    return [done[folder] for folder in folders]


def _round(
    folders: Sequence[Path],
    untrusted: bool,
    limits: Limits,
    done: dict[Path, Examined],
    advance: Callable[[int], None] | None,
) -> None:
    workers = max(1, min(os.cpu_count() or 1, len(folders)))
    context = multiprocessing.get_context("spawn")
    # A spawned Python looks for modules in the folder it starts in, which may be a stranger's.
    os.environ["PYTHONSAFEPATH"] = "1"
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_limit, initargs=(limits.memory,)) as pool:
        futures = {pool.submit(_examine, folder, untrusted, limits.seconds): folder for folder in folders}
        for future in as_completed(futures):
            try:
                done[futures[future]] = future.result()
            except (BrokenProcessPool, MemoryError):
                continue
            if advance:
                advance(1)


def _limit(memory: int) -> None:
    # One thread each: the processes already share the cores.
    threadpool_limits(1)
    try:
        import resource  # noqa: PLC0415

        held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (held + memory, resource.RLIM_INFINITY))
    except (ImportError, OSError, ValueError):
        # Not Linux: files are still bounded, and what they expand to by their own footer.
        return


def _examine(folder: Path, untrusted: bool, seconds: int) -> Examined:
    try:
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds, resource.RLIM_INFINITY))
    except (ImportError, OSError, ValueError):
        pass
    try:
        return examine(folder, untrusted)
    except MemoryError:
        raise
    except Exception as error:
        # A defect of ours must not let one submission stop the check of all others, nor pass.
        found = Examined(folder)
        found.add("error", folder, "", f"examining it failed ({type(error).__name__}: {error}): please report this")
        return found


def _compare(checked: Sequence[Examined], others: Sequence[Examined]) -> None:
    """Warn of ranks that another submission has, of scores far above the best, and of names that look alike."""
    everything = [*checked, *others]
    for examined in checked:
        for facts in examined.facts:
            path = examined.folder / f"{facts.task}.json"
            rest = [(o, f) for o in everything if o.folder != examined.folder for f in o.facts if f.task == facts.task]
            twins = [other.folder.name for other, f in rest if f.digest == facts.digest]
            if twins:
                message = f"has the very ranks of {twins[0]}: say in the pull request how the two models differ"
                examined.add("warning", path, "ranks.sha256", message)
            best = max((f.multilingual for _, f in rest if f.multilingual is not None), default=None)
            if best is not None and _is_surprising(facts, best):
                message = f"is {facts.multilingual:.3f}, far above the best so far ({best:.3f}), for a small model"
                examined.add("warning", path, "headline.multilingual.mAP", f"{message}: show how it was trained")
        name = examined.folder.name
        for other in everything:
            theirs = other.folder.name
            if theirs != name and skeleton(theirs) == skeleton(name):
                message = f"looks like {theirs!a}: choose a name that cannot be mistaken for it"
                examined.add("error", examined.folder, "", message)


def _is_surprising(facts: Facts, best: float) -> bool:
    small = facts.parameters is None or facts.parameters < _SMALL
    return facts.multilingual is not None and small and facts.multilingual > best + _FAR
