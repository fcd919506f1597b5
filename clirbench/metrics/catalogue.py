"""Every measure in one list."""

from clirbench.metrics.bias import BIAS, OVERALL_BIAS
from clirbench.metrics.retrieval import METRICS, Measure


def metric_rows() -> list[Measure]:
    """List the retrieval metrics, then the measures of bias."""
    return [*METRICS.values(), *BIAS.values(), *OVERALL_BIAS.values()]
