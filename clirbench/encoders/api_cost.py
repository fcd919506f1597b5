"""The cost of a run whose vectors a provider computes: texts and tokens that would be sent, counted before any is sent."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clirbench.encoders.base import LoadedFusion, LoadedModel, LoadedRerank, require_encoder
from clirbench.encoders.encode import by_length
from clirbench.encoders.endpoint import EndpointEncoder
from clirbench.encoders.vector_cache import TEXTS_PER_SHARD, CacheEntry, may_be_stale, may_keep
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import Collection

# An estimate, because not every provider publishes its tokenizer. English has about four bytes to a token. Other scripts have
# more tokens per character, but also more bytes per character.
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True)
class ApiCost:
    """The texts that are not in the cache, and about how many tokens they have."""

    texts: int
    tokens: int

    def line(self, name: str, price: float | None) -> str:
        """One line about the cost for the user; ``price`` is in dollars per million tokens."""
        amount = f"{name}: {self.texts:,} texts will be sent, about {self.tokens:,} tokens"
        if price is None:
            return f"{amount} (--price-per-million says what that costs)"
        return f"{amount}, about ${self.tokens / 1e6 * price:,.2f} at ${price:g} a million"


def api_cost(model: LoadedModel, collections: Iterable[Collection], cache: Path | None) -> ApiCost:
    """Count what a run of these collections would send to the API of a model, of the parts of a fusion, or of a first stage."""
    texts = tokens = 0
    collections = list(collections)
    if isinstance(model, LoadedRerank):
        return api_cost(model.first, collections, cache)
    if isinstance(model, LoadedFusion):
        costs = [api_cost(part, collections, cache) for part in model.parts if part.api]
        return ApiCost(sum(cost.texts for cost in costs), sum(cost.tokens for cost in costs))
    encoder = require_encoder(model)
    if not may_keep(encoder):
        cache = None
    for collection in collections:
        for role, all_texts, prompt in (
            ("query", collection.queries, encoder.settings.query_prompt),
            ("candidate", collection.candidates, encoder.settings.candidate_prompt),
        ):
            distinct = by_length(all_texts)
            entry = CacheEntry(cache, encoder, role, distinct) if cache else None
            compared = not may_be_stale(encoder)
            for number, start in enumerate(range(0, len(distinct), TEXTS_PER_SHARD)):
                part = distinct[start : start + TEXTS_PER_SHARD]
                if entry is not None and entry.get(number, len(part)) is not None:
                    # One kept vector is compared with a new one.
                    part, compared = ([] if compared else part[:1]), True
                texts += len(part)
                tokens += sum(math.ceil(len((prompt + text).encode()) / _BYTES_PER_TOKEN) for text in part)
    return ApiCost(texts, tokens)


def spent(model: LoadedModel, price: float | None) -> list[str]:
    """Lines on what servers did in this run: texts, requests, the tokens that they counted, and a model that has another name.

    ``price`` is in dollars per million tokens. A model of mteb's registry does not say what it spent.
    """
    if isinstance(model, LoadedRerank):
        return spent(model.first, price)
    if isinstance(model, LoadedFusion):
        return [line for part in model.parts for line in spent(part, price)]
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, EndpointEncoder) or not encoder.usage.requests:
        return []
    usage, name, wanted = encoder.usage, model.info.name, encoder.endpoint.model
    line = f"{name}: {usage.texts:,} texts were sent in {usage.requests:,} requests"
    if usage.tokens is None:
        line += "; the server did not say how many tokens they have"
    else:
        line += f"; the server counted {usage.tokens:,} tokens"
        line += f", ${usage.tokens / 1e6 * price:,.2f} at ${price:g} a million" if price is not None else ""
    # A name with a version, such as "ada-002-v2" for "ada-002", is the same.
    others = ", ".join(f"'{other}'" for other in sorted(usage.models) if not f"{other}-".startswith(f"{wanted}-"))
    note = (
        f"{name}: '{wanted}' was asked for, and the server names its model {others}: check that it is the one you mean"
    )
    return [line, note] if others else [line]


def check_price(price: float | None) -> None:
    """Refuse a price that is negative, infinite or not a number.

    Raises:
        ClirbenchError: The price is one of these.
    """
    if price is not None and not 0 <= price < math.inf:
        raise ClirbenchError(f"--price-per-million is {price}: give dollars for a million tokens")
