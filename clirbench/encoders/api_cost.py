"""What a run on somebody else's computer would send, said before anything is sent."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clirbench.encoders.base import LoadedFusion, LoadedModel, require_encoder
from clirbench.encoders.encode import TEXTS_PER_SHARD, by_length
from clirbench.encoders.vector_cache import CacheEntry
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import Collection

# Nobody publishes every tokenizer. A quarter of the UTF-8 bytes is what English takes; scripts of several bytes a
# character take more tokens per character, and more bytes too.
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True)
class Spending:
    """Texts that are in no cache, and about how many tokens they are."""

    texts: int
    tokens: int

    def line(self, name: str, price: float | None) -> str:
        """What to tell a user; ``price`` is in dollars for a million tokens."""
        said = f"{name}: {self.texts:,} texts will be sent, about {self.tokens:,} tokens"
        if price is None:
            return f"{said} (--price-per-million says what that costs)"
        return f"{said}, about ${self.tokens / 1e6 * price:,.2f} at ${price:g} a million"


def estimate(model: LoadedModel, collections: Iterable[Collection], cache: Path | None) -> Spending:
    """What a run of these collections would send.

    Args:
        model: A model that others compute, or a fusion with such parts.
        collections: What is to be run.
        cache: Folder of vectors, or None.
    """
    texts = tokens = 0
    collections = list(collections)
    if isinstance(model, LoadedFusion):
        spent = [estimate(part, collections, cache) for part in model.parts if part.api]
        return Spending(sum(one.texts for one in spent), sum(one.tokens for one in spent))
    loaded = require_encoder(model)
    if loaded.info.revision is None:
        cache = None
    for collection in collections:
        for role, every, prompt in (
            ("query", collection.queries, loaded.settings.query_prompt),
            ("candidate", collection.candidates, loaded.settings.candidate_prompt),
        ):
            distinct = by_length(every)
            entry = CacheEntry(cache, loaded, role, distinct, TEXTS_PER_SHARD) if cache else None
            for number, start in enumerate(range(0, len(distinct), TEXTS_PER_SHARD)):
                part = distinct[start : start + TEXTS_PER_SHARD]
                if entry is None or entry.get(number, len(part)) is None:
                    texts += len(part)
                    tokens += sum(math.ceil(len((prompt + text).encode()) / _BYTES_PER_TOKEN) for text in part)
    return Spending(texts, tokens)


def check_price(price: float | None) -> None:
    """Fail on a price that is none.

    Raises:
        ClirbenchError: It is negative or not a number.
    """
    if price is not None and not 0 <= price < math.inf:
        raise ClirbenchError(f"--price-per-million is {price}: give dollars for a million tokens")
