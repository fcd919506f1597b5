"""What `clirbench plan` prints: what a run would take."""

import humanize
from rich.console import Console, Group
from rich.text import Text

from clirbench.evaluation.streaming.forecast import Forecast
from clirbench.support.progress import duration
from clirbench.support.terminal import plain_table, title


def plan_tables(forecast: Forecast, model: str, workers: int, console: Console) -> Group:
    """Texts, tokens and hours by language and in all; then hours on more workers, memory and disk.

    Args:
        forecast: What was measured on a sample, and what follows for the whole task.
        model: Its name.
        workers: The largest number of workers to show.
        console: Where it will be printed.
    """
    above = title(f"{model} on {forecast.task.id}, as measured on this machine ({forecast.device})")
    table = plain_table(
        console, ("language", "queries", "texts", "tokens", "texts/s", "encode", "in all"), left=("language",)
    )
    for row in forecast.languages:
        tokens = "-" if row.tokens is None else humanize.metric(row.tokens, precision=2)
        table.add_row(
            row.language,
            f"{row.queries:,}",
            f"{row.passages:,}",
            tokens,
            f"{row.per_second:,.0f}",
            duration(row.encode_seconds),
            duration(row.seconds),
        )
    known = [row.tokens for row in forecast.languages]
    table.add_row(
        "all",
        f"{sum(row.queries for row in forecast.languages):,}",
        f"{sum(row.passages for row in forecast.languages):,}",
        "-" if None in known else humanize.metric(sum(tokens or 0 for tokens in known), precision=2),
        "",
        duration(sum(row.encode_seconds for row in forecast.languages)),
        duration(forecast.seconds(1)),
    )
    numbers = [n for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if n <= workers]
    numbers += [workers] if workers not in numbers else []
    times = ", ".join(f"{n}: {duration(forecast.seconds(n))}" for n in numbers)
    what = "counts and pass 1" if forecast.shards else "the vector cache"
    shards = f", {forecast.shards:,} shards" if forecast.shards else ""
    memory, disk = (humanize.metric(size, "B", precision=2) for size in (forecast.memory, forecast.disk))
    lines = [
        f"workers like this one: {times}",
        f"peak memory of each: about {memory}",
        f"disk for {what}: at most {disk}{shards}",
    ]
    return Group(above, table, *(Text(line) for line in lines))
