"""A verdict on a new model against its baseline, for continuous integration: did it lose more than it may?"""

import re
from dataclasses import dataclass

from clirbench.results.compare import BIAS_NAME, compare
from clirbench.results.result import Result
from clirbench.support.errors import ClirbenchError


@dataclass(frozen=True)
class Check:
    """One headline number against its limit.

    Attributes:
        setting: A setting, or "bias".
        metric: Name of the metric.
        baseline: The baseline's value.
        value: The new model's.
        lost: How much worse it is, in the unit of ``limit``: points of 100, or per cent of the baseline's rank distance.
        limit: How much worse it may be.
        p: p-value of the difference, corrected by Holm's method over the headline numbers.
        verdict: "pass", "fail" (beyond the limit, and the difference is shown), or "unclear" (beyond the limit, but the
            difference may be chance).
    """

    setting: str
    metric: str
    baseline: float
    value: float
    lost: float
    limit: float
    p: float
    verdict: str


def gate(
    result: Result,
    baseline: Result,
    max_drop: float = 0.5,
    max_distance_increase: str | None = None,
    metric: str | None = None,
) -> list[Check]:
    """Compare a new result with its baseline, topic by topic.

    Args:
        result: The new model's.
        baseline: Of the same task and restriction.
        max_drop: Points of 100 that the metric may fall in each setting.
        max_distance_increase: How much rank distance may grow, such as "5%"; None to leave it out.
        metric: Name from ``METRICS``; None for the task's first.

    Returns:
        One check per setting, and one for rank distance.

    Raises:
        ClirbenchError: The two cannot be compared, a limit is no number, or the task has no rank distance.
    """
    if not max_drop >= 0:
        raise ClirbenchError(f"--max-drop is {max_drop}: give points of 100, 0 or more")
    limit = _per_cent(max_distance_increase)
    checks = []
    for contrast in compare(result, baseline, ("new", "baseline"), metric).of("overall"):
        if contrast.setting == "bias":
            if limit is None:
                continue
            lost = 100 * contrast.difference / contrast.second if contrast.second else 0.0
            allowed = limit
        else:
            lost, allowed = -100 * contrast.difference, max_drop
        verdict = "pass"
        if lost > allowed:
            verdict = "fail" if contrast.better < 0 else "unclear"
        checks.append(
            Check(
                contrast.setting, contrast.metric, contrast.second, contrast.first, lost, allowed, contrast.p, verdict
            )
        )
    if limit is not None and not any(check.metric == BIAS_NAME for check in checks):
        raise ClirbenchError(f"{result.document.task.id} has no rank distance here: leave out --max-distance-increase")
    return checks


def _per_cent(text: str | None) -> float | None:
    if text is None:
        return None
    if not re.fullmatch(r"\d+(\.\d+)?\s*%", text.strip()):
        raise ClirbenchError(f"--max-distance-increase is '{text[:40]}': give per cent of the baseline, such as 5%")
    return float(text.strip().rstrip("%"))
