"""What ranks cannot prove: reported figures, and verifications."""

import math
from collections.abc import Sequence
from pathlib import Path

from clirbench.metrics.scores import unknown_names
from clirbench.results.rescore import TOLERANCE
from clirbench.results.schema import Document, EstimatePart, Reported
from clirbench.submissions.findings import Examined
from clirbench.submissions.verification import FILE, parse_verification, verdict
from clirbench.tasks.task import SETTINGS
from clirbench.tasks.task_file import list_tasks, load_task

VERIFICATION_LIMIT = 20_000


def check_reported(path: Path, document: Reported, found: Examined) -> None:
    """Note what is wrong with published figures: languages, metrics, shares, and means that do not recompute."""
    languages, rows = document.task.languages, document.per_language
    if len(set(languages)) != len(languages) or (rows and set(rows) != set(languages)):
        message = "are not the languages of per_language, each once: make them equal"
        found.add("error", path, "task.languages", message)
    if document.task.id in list_tasks():
        unknown = set(languages) - set(load_task(document.task.id).languages)
        if unknown:
            message = f"has {sorted(unknown)[0][:20]!a}, which is not the task's: remove it"
            found.add("error", path, "task.languages", message)
    for language, row in rows.items():
        for setting, numbers in row.items():
            if setting not in document.headline or set(numbers) - set(document.headline[setting]):
                key = f"per_language.{language[:20]}.{setting[:20]}"
                found.add("error", path, key, "has numbers that the headline does not: add their means, or remove them")
    for setting, estimates in document.headline.items():
        if setting not in (*SETTINGS, "bias"):
            found.add("error", path, f"headline.{setting[:40]}", f"is no setting: use {', '.join(SETTINGS)} or bias")
            continue
        names = ([], list(estimates)) if setting == "bias" else (list(estimates), [])
        for _, name in unknown_names(*names):
            key = f"headline.{setting}.{name[:40]}"
            found.add("error", path, key, "is no metric of clirbench: see clirbench metrics")
        for name, estimate in estimates.items():
            values = [row[setting][name] for row in rows.values() if name in row.get(setting, {})]
            problem = _mean_problem(estimate, values, 1e9 if setting == "bias" else 1.0)
            if problem:
                found.add("error", path, f"headline.{setting}.{name}", problem)


def _mean_problem(estimate: EstimatePart, values: Sequence[float | None], limit: float) -> str | None:
    if estimate.low is not None or estimate.high is not None:
        return "has an interval, which no published mean gives: leave it null"
    known = [value for value in (estimate.value, *values) if value is not None and 0 <= value <= limit]
    if len(known) != len(values) + 1 or estimate.value is None:
        return f"is not between 0 and {limit:g}: shares are not in percent"
    mean = math.fsum(known[1:]) / len(values) if values else estimate.value
    if not math.isclose(mean, estimate.value, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
        return f"is not the mean over its languages, {mean:.6f}: correct one of them"
    return None


def check_verification(folder: Path, results: dict[str, Document | Reported], untrusted: bool, found: Examined) -> None:
    """Note what is wrong with a verification: that it is a stranger's, of something else, or contradicts itself."""
    path = folder / FILE
    if untrusted:
        found.add("error", path, "", "only maintainers verify: remove it")
    verification = found.read(path, VERIFICATION_LIMIT, parse_verification)
    if verification is None:
        return
    document = results.get(verification.task)
    if not isinstance(document, Document) or document.ranks.sha256 != verification.ranks_sha256:
        message = "is of other ranks than the submission holds: run clirbench verify again"
        found.add("error", path, "ranks_sha256", message)
        return
    if verification.revision != document.model.revision:
        found.add("error", path, "revision", "is not that of the result: run clirbench verify again")
    if not set(verification.languages) <= set(document.task.languages) or len(verification.languages) < 2:
        found.add("error", path, "languages", "are not languages of the task: run clirbench verify again")
    expected = verdict(verification.equal, verification.close, verification.largest_difference)
    if verification.verdict != expected:
        found.add("error", path, "verdict", f"is not what its numbers say, {expected}: run clirbench verify again")
