"""The numbers of a document from computed scores: all of them, or with many languages the compact form.

The compact form keeps every number by language. By pair of languages it keeps the task's first metric and the queue jumps, and by
triple of languages nothing, so that 122 languages take less than a megabyte.
"""

from typing import Any

from clirbench.metrics.scores import Number, Scores
from clirbench.ranking.gold_ranks import GoldRanks
from clirbench.results.schema import CompactPart, EstimatePart

# A number by pair of languages keeps so many decimals in the compact form.
DECIMALS = 6


def headline_of(scores: Scores) -> dict[str, dict[str, EstimatePart]]:
    """Convert the headline of computed scores to the headline of a document."""
    return {
        setting: {name: EstimatePart(value=e.value, low=e.low, high=e.high) for name, e in numbers.items()}
        for setting, numbers in scores.headline.items()
    }


def numbers_of(scores: Scores, ranks: GoldRanks, metric: str) -> dict[str, Any]:
    """The fields of a document that hold scores, by name. ``metric`` is that of pairs, where ranks are rounded."""
    numbers: dict[str, Any] = {
        "headline": headline_of(scores),
        "micro": scores.micro,
        "per_language": scores.per_language,
        "per_pair": scores.per_pair,
        "queue_jump": scores.queue_jump,
        "queue_jump_ratio": scores.queue_jump_ratio,
    }
    if ranks.rounding is None:
        return numbers
    compact = CompactPart(
        exact=ranks.rounding.exact,
        largest_error=ranks.rounding.largest_error,
        graded=ranks.grade is not None,
        metric=metric,
        pairs=_pairs(scores, ranks.languages, metric) if scores.per_pair else [],
        queue_jump=scores.queue_jump_sums,
    )
    return numbers | {"per_pair": {}, "queue_jump": {}, "queue_jump_ratio": {}, "compact": compact}


def _pairs(scores: Scores, languages: tuple[str, ...], metric: str) -> list[list[Number]]:
    def value(query: str, candidate: str) -> Number:
        own = scores.per_language[query].get("monolingual", {})
        number = own.get(metric) if query == candidate else scores.per_pair[query][candidate][metric]
        return None if number is None else round(number, DECIMALS)

    return [[value(query, candidate) for candidate in languages] for query in languages]
