"""What a run on somebody else's computer would send, said before anything is sent."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clirbench.encoders.base import LoadedEncoder
from clirbench.encoders.encode import SHARD, by_length
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


def estimate(loaded: LoadedEncoder, collections: Iterable[Collection], cache: Path | None) -> Spending:
    """What a run of these collections would send.

    Args:
        loaded: An encoder that others compute.
        collections: What is to be run.
        cache: Folder of vectors, or None.
    """
    texts = tokens = 0
    collections = list(collections)
    if loaded.fusion is not None:
        found = [estimate(part, collections, cache) for part in loaded.fusion.parts if part.api]
        return Spending(sum(one.texts for one in found), sum(one.tokens for one in found))
    if loaded.info.revision is None:
        cache = None
    for collection in collections:
        for role, every, prompt in (
            ("query", collection.queries, loaded.settings.query_prompt),
            ("candidate", collection.candidates, loaded.settings.candidate_prompt),
        ):
            distinct = by_length(every)
            entry = CacheEntry(cache, loaded, role, distinct, SHARD) if cache else None
            for number, start in enumerate(range(0, len(distinct), SHARD)):
                part = distinct[start : start + SHARD]
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
