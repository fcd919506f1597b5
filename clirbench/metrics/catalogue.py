"""Every metric as one list, with its direction and source."""

from typing import NamedTuple

from clirbench.metrics.bias import BIAS, OVERALL_BIAS, BiasMetric
from clirbench.metrics.retrieval import METRICS, Metric


class MetricRow(NamedTuple):
    """A metric as it is listed: its name, what is better, what it says, and its source."""

    name: str
    better: str
    says: str
    source: str


def metric_rows() -> list[MetricRow]:
    """Every metric and measure of bias."""
    known: list[Metric | BiasMetric] = [*METRICS.values(), *BIAS.values()]
    found = []
    for metric in known:
        better = "higher" if metric.higher_is_better else "lower"
        if metric.name == "gold_removal_difference":
            better = "near 0"
        found.append(MetricRow(metric.name, better, metric.description, metric.source))
    overall = {"own_language_preference": "near 1", "transfer_ratio": "higher"}
    return [*found, *(MetricRow(name, overall[name], says, "clirbench") for name, says in OVERALL_BIAS.items())]
