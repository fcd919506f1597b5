"""Headline numbers with their bootstrap samples: what a comparison of two models needs."""

from collections.abc import Mapping, Sequence

from clirbench.gold_ranks import GoldRanks
from clirbench.metrics import Values
from clirbench.scores import Scorer
from clirbench.statistics import Table, mean_of_present
from clirbench.tasks import SETTINGS


def headline_samples(
    ranks: GoldRanks, pool_sizes: Mapping[str, int], metrics: Sequence[str], bias: Sequence[str]
) -> dict[tuple[str, str], tuple[float, Values]]:
    """Headline numbers with their bootstrap samples, by setting (or "bias") and metric.

    Every model on one task is resampled by the same topics, so that the difference of two models' samples is paired.

    Args:
        ranks: Gold ranks.
        pool_sizes: Number of candidates by language.
        metrics: Names from ``METRICS``.
        bias: Names from ``BIAS``.

    Returns:
        The value, and float64 (replicates,).
    """
    scorer = Scorer(ranks, sum(pool_sizes.values()), SETTINGS, metrics, bias, None)
    found = {}
    for kind, setting, name in [
        *((scorer.columns(setting)[0], setting, name) for setting in SETTINGS for name in metrics),
        *(("bias", "bias", name) for name in bias),
    ]:
        table = scorer.tables[kind, name]
        if setting != "bias":
            columns = scorer.columns(setting)[1]
            table = Table(table.sums[:, columns], table.counts[:, columns])
        found[setting, name] = (table.macro, mean_of_present(scorer.bootstrap.means([table])[0]))
    return found
