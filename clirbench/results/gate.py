"""A gate for continuous integration: does a new model lose more than the user allows against its baseline?"""

import re
from dataclasses import dataclass

from clirbench.results.compare import BIAS_NAME, compare
from clirbench.results.result import Result
from clirbench.support.errors import ClirbenchError


@dataclass(frozen=True)
class GateCheck:
    """One headline number against its limit.

    Attributes:
        setting: A setting, or "bias".
        metric: Name of the metric.
        baseline: The baseline's value.
        value: The new model's value.
        lost: How much worse the new model is, in points of 100; for rank distance, in per cent of the baseline's value.
        limit: The largest allowed loss, in the same unit.
        p: p-value of the difference, corrected by Holm's method over the headline numbers.
        verdict: "pass"; "fail" where the loss is beyond the limit and the difference is significant; "unclear" where the loss is
            beyond the limit and may be chance.
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
) -> list[GateCheck]:
    """Compare a new result with its baseline on the same task, languages and settings, topic by topic.

    The metric may fall by ``max_drop`` points of 100 in each setting; None means the task's first metric. Rank distance may grow
    by ``max_distance_increase``, such as "5%"; None leaves it out.

    Returns:
        One check per setting, and one for rank distance where it has a limit.

    Raises:
        ClirbenchError: The two results cannot be compared, a limit is not a number, or the task has no rank distance.
    """
    if not max_drop >= 0:
        raise ClirbenchError(f"--max-drop is {max_drop}: give points of 100, 0 or more")
    increase = _per_cent(max_distance_increase)
    checks = []
    for contrast in compare(result, baseline, ("new", "baseline"), metric).of("overall"):
        limit = increase if contrast.setting == "bias" else max_drop
        if limit is None:
            continue
        lost = -100 * contrast.difference
        if contrast.setting == "bias":
            # Rank distance has no fixed scale, so its growth is relative to the baseline's value.
            lost = 100 * contrast.difference / contrast.second if contrast.second else 0.0
        verdict = "pass"
        if lost > limit:
            verdict = "fail" if contrast.better < 0 else "unclear"
        values = contrast.second, contrast.first
        checks.append(GateCheck(contrast.setting, contrast.metric, *values, lost, limit, contrast.p, verdict))
    if increase is not None and not any(check.metric == BIAS_NAME for check in checks):
        raise ClirbenchError(f"{result.document.task.id} has no rank distance here: leave out --max-distance-increase")
    return checks


def _per_cent(text: str | None) -> float | None:
    if text is None:
        return None
    if not re.fullmatch(r"\d+(\.\d+)?\s*%", text.strip()):
        raise ClirbenchError(f"--max-distance-increase is '{text[:40]}': give per cent of the baseline, such as 5%")
    return float(text.strip().rstrip("%"))
