"""An estimate as a person reads it."""

from rich.console import Console, Group
from rich.text import Text

from clirbench.evaluation.streaming.estimate import Estimate
from clirbench.support.progress import duration
from clirbench.support.terminal import plain_table, title


def plan_tables(estimate: Estimate, model: str, workers: int, console: Console) -> Group:
    """By language, in all, and on more workers."""
    above = title(f"{model} on {estimate.task.id}, as measured on this machine ({estimate.device})")
    table = plain_table(console)
    for heading in ("language", "queries", "texts", "tokens", "texts/s", "encode", "in all"):
        table.add_column(heading, justify="left" if heading == "language" else "right", no_wrap=True)
    for row in estimate.languages:
        tokens = "-" if row.tokens is None else amount(row.tokens)
        table.add_row(
            row.language,
            f"{row.queries:,}",
            f"{row.passages:,}",
            tokens,
            f"{row.per_second:,.0f}",
            duration(row.encode_seconds),
            duration(row.seconds),
        )
    known = [row.tokens for row in estimate.languages]
    table.add_row(
        "all",
        f"{sum(row.queries for row in estimate.languages):,}",
        f"{sum(row.passages for row in estimate.languages):,}",
        "-" if None in known else amount(sum(tokens or 0 for tokens in known)),
        "",
        duration(sum(row.encode_seconds for row in estimate.languages)),
        duration(estimate.seconds(1)),
    )
    numbers = [n for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if n <= workers]
    numbers += [workers] if workers not in numbers else []
    times = ", ".join(f"{n}: {duration(estimate.seconds(n))}" for n in numbers)
    what = "counts and pass 1" if estimate.shards else "the vector cache"
    shards = f", {estimate.shards:,} shards" if estimate.shards else ""
    lines = [
        f"workers like this one: {times}",
        f"peak memory of each: about {amount(estimate.memory)}B",
        f"disk for {what}: at most {amount(estimate.disk)}B{shards}",
    ]
    return Group(above, table, *(Text(line) for line in lines))


def amount(number: float) -> str:
    """A large number with a suffix: 1.2 M, 34 G."""
    for size, suffix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.{1 if number < 100 * size else 0}f}{suffix}"
    return f"{number:.0f} "
