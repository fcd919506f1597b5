"""Per-topic tables of a result's headline numbers: what a comparison of two models needs."""

from collections.abc import Mapping, Sequence

from clirbench.metrics.per_topic import Table, mean_of_present
from clirbench.metrics.retrieval import Values
from clirbench.metrics.scores import Scorer
from clirbench.metrics.significance import Bootstrap
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.tasks.task import SETTINGS


def headline_tables(
    ranks: GoldRanks,
    pool_sizes: Mapping[str, int],
    metrics: Sequence[str],
    bias: Sequence[str],
    settings: Sequence[str] = SETTINGS,
) -> dict[tuple[str, str], Table]:
    """Values by topic and language (or pair of languages), by setting (or "bias") and metric.

    The cross-lingual columns are the pairs by query language, then candidate language, in the order of ``ranks.languages``.

    Args:
        ranks: Gold ranks.
        pool_sizes: Number of candidates by language.
        metrics: Names from ``METRICS``.
        bias: Names from ``BIAS``.
        settings: Which settings; the measures of bias need the multilingual one.

    Returns:
        One table each; every model on one task has the same topics and counts.
    """
    scorer = Scorer(ranks, sum(pool_sizes.values()), settings, metrics, bias, None)
    found = {}
    for setting in scorer.settings:
        kind, columns = scorer.columns(setting)
        for name in metrics:
            table = scorer.tables[kind, name]
            found[setting, name] = Table(table.sums[:, columns], table.counts[:, columns])
    for name in bias:
        if ("bias", name) in scorer.tables:
            found["bias", name] = scorer.tables["bias", name]
    return found


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
    bootstrap = Bootstrap(len(ranks.topics))
    return {
        key: (table.macro, mean_of_present(bootstrap.means([table])[0]))
        for key, table in headline_tables(ranks, pool_sizes, metrics, bias).items()
    }
