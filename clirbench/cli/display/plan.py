"""The output of `clirbench plan`: time, memory and disk of a run."""

from collections.abc import Sequence

import humanize
from rich.console import Console, Group
from rich.text import Text

from clirbench.evaluation.streaming.forecast import Forecast
from clirbench.support.progress import duration
from clirbench.support.terminal import plain_table, title


def plan_tables(forecast: Forecast, model: str, workers: int, console: Console) -> Group:
    """Texts, tokens and hours by language and in total; then memory, disk, and hours on up to ``workers`` workers."""
    above = title(f"{model} on {forecast.task.id}, as measured on this machine ({forecast.device})")
    headings = ("language", "queries", "texts", "tokens", "texts/s", "encode", "in all")
    table = plain_table(console, headings, left=("language",), keep=("in all",))
    rows = forecast.languages
    for row in rows:
        amounts = f"{row.queries:,}", f"{row.passages:,}", _tokens([row.tokens]), f"{row.per_second:,.0f}"
        table.add_row(row.language, *amounts, duration(row.encode_seconds), duration(row.seconds))
    queries, passages, encode = (
        sum(getattr(r, name) for r in rows) for name in ("queries", "passages", "encode_seconds")
    )
    # The rate stays empty, because rates of several languages have no sum.
    totals = f"{queries:,}", f"{passages:,}", _tokens([row.tokens for row in rows]), ""
    table.add_row("all", *totals, duration(encode), duration(forecast.seconds(1)))
    # A task in memory has no shards, and keeps its vectors instead of counts.
    what = "counts and pass 1" if forecast.shards else "the vector cache"
    shards = f", {forecast.shards:,} shards" if forecast.shards else ""
    memory, disk = (humanize.metric(size, "B", precision=2) for size in (forecast.memory, forecast.disk))
    measured = sum(row.measured for row in rows)
    if forecast.shards:
        times = ", ".join(f"{n}: {duration(forecast.seconds(n))}" for n in _numbers_of_workers(workers))
        machine = f"workers like this one: {times}", f"peak memory of each: about {memory}"
    else:
        vectors = (
            f", of which vectors {humanize.metric(forecast.vectors, 'B', precision=2)}" if forecast.vectors else ""
        )
        # One process runs a task in memory.
        machine = (
            f"time in all: {duration(forecast.seconds(1))}",
            f"peak memory: about {memory}{vectors}",
        )
    lines = (f"measured on {measured:,} texts", *machine, f"disk for {what}: at most {disk}{shards}")
    return Group(above, table, *map(Text, lines))


def _tokens(counts: Sequence[float | None]) -> str:
    """The sum of counts with two digits, such as 1.2 M; "-" if a count is missing."""
    known = [count for count in counts if count is not None]
    return humanize.metric(sum(known), precision=2) if len(known) == len(counts) else "-"


def _numbers_of_workers(most: int) -> list[int]:
    """The powers of two below ``most`` and 1024, then ``most``."""
    return [n for n in (2**power for power in range(10)) if n < most] + [most]
