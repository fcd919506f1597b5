"""How time and memory grow: each stage at four sizes or more, fits, and what large runs would take.

    python benchmarks/growth.py            # prints the tables of the page "What it costs" (about five minutes on two cores)
    python benchmarks/growth.py --write    # writes them
    python benchmarks/growth.py --only encode count

Each size of a stage runs in a process of its own, so that its memory is its own: the peak, less what was there before the stage.
Seconds are the least of three runs in that process. What takes longest runs once: encoding, the comparison of two models, checks,
leaderboard and site. Two fits: the exponent p of size^p, by least squares on logarithms; and a line, seconds = a + b x amount, by
which large runs are forecast.
Vectors, texts and submissions are invented, so nothing but the package is needed.
"""

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import blocks
import board
import humanize
import numpy as np

import clirbench
from clirbench.support.memory import peak_memory, resident_memory
from clirbench.support.progress import duration

ENCODER = "clirbench/hybrid-e5"
DIMENSIONS = 384
QUERIES, GOLDS = 1000, 2
REPEATS = 3
# Topics are measured with so many languages, and languages with so many topics.
LANGUAGES, TOPICS = 8, 40
SIZES = {
    "encode": (50, 100, 200, 400),
    "count": (10_000, 20_000, 40_000, 80_000),
    "topics": (100, 200, 400, 800),
    # All above the number of golds from which a query's golds are searched, as they are with 122 languages.
    "languages": (36, 44, 52, 60),
    # From the first on, submissions are read side by side.
    "models": (16, 32, 64, 128),
}
QUICK = {
    "encode": (4, 8, 12, 16),
    "count": (1_000, 2_000, 3_000, 4_000),
    "topics": (20, 30, 40, 50),
    "languages": (34, 35, 36, 37),
    "models": (1, 2, 3, 4),
}
# What a large run is made of. Belebele has so many languages, topics and passages.
PASSAGE_TOKENS = 128
VILLAGE = {"languages": 122, "topics": 900, "passages": 488}
SUBMISSIONS = 5000
# A wall: a stage that takes longer than a day, or more memory than a common machine has.
DAY, MEMORY = 86_400.0, 16e9


# ------------------------------------------------------------------------------------------------------------- measurements


def best(function):
    """The least seconds of some calls, and what the last one returned."""
    least, answer = math.inf, None
    for _ in range(REPEATS):
        begin = time.perf_counter()
        answer = function()
        least = min(least, time.perf_counter() - begin)
    return least, answer


class Invented:
    """Vectors that depend on the text alone."""

    def __init__(self, name):
        self.name = name

    def encode_queries(self, texts):
        seeds = (int(hashlib.sha256(f"{self.name}{text}".encode()).hexdigest()[:16], 16) for text in texts)
        return np.stack([np.random.default_rng(seed).standard_normal(DIMENSIONS, dtype=np.float32) for seed in seeds])

    encode_candidates = encode_queries


def encode(size):
    """Seconds and memory for the vectors of some texts; the amount is their tokens."""
    from clirbench.encoders.base import EncoderOptions
    from clirbench.encoders.load import load_encoder
    from clirbench.tasks.collection import load_collection

    encoder = load_encoder(ENCODER, EncoderOptions()).encoder
    candidates = load_collection(clirbench.load_task("demo")).candidates
    texts = [f"{candidates[i * 37 % len(candidates)]} {i}" for i in range(size)]
    encoder.encode_candidates(texts[:64])
    before = resident_memory()
    begin = time.perf_counter()
    encoder.encode_candidates(texts)
    seconds = time.perf_counter() - begin
    return {"encode": (sum(encoder.count_tokens(texts)), seconds)}, peak_memory() - before


def count(size):
    """Seconds and memory to compare queries with a shard; the amount is queries times candidates."""
    from clirbench.ranking.shards import Cells, GoldScores

    rng = np.random.default_rng(0)
    queries, candidates = (rng.standard_normal((n, DIMENSIONS), dtype=np.float32) for n in (QUERIES, size))
    golds = np.repeat(np.arange(QUERIES, dtype=np.int32), GOLDS)
    # What a gold scores that is among the best thousandth.
    counter = GoldScores(queries, golds, np.full(len(golds), 3 * math.sqrt(DIMENSIONS)))
    none = Cells(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))
    before = resident_memory()
    seconds, _ = best(lambda: counter.count(candidates, none, none))
    return {"count": (QUERIES * size, seconds)}, peak_memory() - before


def write_task(folder, languages, topics):
    """A parallel task of one's own: a query and an answer of each topic in each language."""
    with (folder / "q.jsonl").open("w") as queries, (folder / "c.jsonl").open("w") as candidates:
        for language in languages:
            for topic in range(topics):
                row = {"language": language, "topic": f"t{topic}", "text": f"question {topic} {language}"}
                queries.write(json.dumps(row) + "\n")
                row = {"language": language, "text": f"answer {topic} {language}", "answers": [f"t{topic}"]}
                candidates.write(json.dumps(row) + "\n")
    path = folder / "grown.toml"
    path.write_text(
        'format = 1\nid = "grown"\nname = "Grown"\ndescription = "invented"\nlicence = "CC0-1.0"\nreader = "jsonl"\n'
        f'languages = {json.dumps(languages)}\nqueries = "q.jsonl"\ncandidates = "c.jsonl"\n',
        encoding="utf-8",
    )
    return clirbench.load_task(str(path))


def parallel(languages, topics):
    """Seconds of all stages after encoding, and the memory of two evaluations; amounts are pairs of texts, or gold pairs."""
    from clirbench.encoders.load import as_loaded
    from clirbench.evaluation.evaluate import evaluate_loaded, rank, score
    from clirbench.evaluation.loaded_task import load_data
    from clirbench.results.compare import compare
    from clirbench.results.ranks_file import encode_ranks
    from clirbench.support.context import RunContext
    from clirbench.tasks.selection import select

    letters = "abcdefghijklmnopqrstuvwxyz"
    codes = [f"q{letters[i // 26]}{letters[i % 26]}" for i in range(languages)]
    # Results of many languages have a form of their own, and so have those of this series.
    context = RunContext(exact_languages=LANGUAGES)
    with tempfile.TemporaryDirectory() as folder:
        task = load_data(select(write_task(Path(folder), codes, topics), None, None), context)
    before = resident_memory()
    models = [as_loaded(Invented(f"bench/{name}")) for name in "ab"]
    vectors = task.encode(models[0], context)

    pairs, settings = task.gold_pairs, task.selection.settings
    counting, above = best(lambda: vectors.count(settings, context).added(pairs))
    ranks = rank(task, above)
    if languages > context.exact_languages:
        ranks = ranks.rounded(task.pool_sizes)
    scoring, _ = best(partial(score, task, above, ranks))
    writing, _ = best(partial(encode_ranks, ranks))
    del above, ranks
    results = [evaluate_loaded(model, task, context) for model in models]
    held = peak_memory() - before
    begin = time.perf_counter()
    compare(*results, ("a", "b"))
    comparing = time.perf_counter() - begin
    golds = topics * languages**2
    stages = {
        "rank": ((languages * topics) ** 2, counting),
        "score": (golds, scoring),
        "write": (golds, writing),
        "compare": (golds, comparing),
    }
    return stages, held


def models(size):
    """Seconds and memory of what reads submissions; the amount is their number. Each stage is a process of its own."""
    stages, memory = {}, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        board.copies(folder / "board", size)
        seconds, megabytes, errors = board.checked_apart(folder)
        assert errors == 0, f"{errors} errors"
        stages["check"], memory["check"] = (size, seconds), megabytes * 1e6
        for stage in ("leaderboard", "site"):
            environment = {"CLIRBENCH_CACHE": str(folder / "cache")}
            (seconds, held), _ = child(stage, str(folder), **environment)
            stages[stage], memory[stage] = (size, seconds), held
    return stages, memory


def leaderboard(folder):
    """Seconds and peak memory of the table of a board that was checked before."""
    begin = time.perf_counter()
    clirbench.leaderboard(Path(folder) / "board")
    return (time.perf_counter() - begin, peak_memory()), None


def site(folder):
    """Seconds and peak memory of the pages of a board that was checked before."""
    from clirbench.board.site.build import About, build_site

    begin = time.perf_counter()
    build_site(Path(folder) / "board", Path(folder) / "site", about=About(files="https://example.org/submissions"))
    return (time.perf_counter() - begin, peak_memory()), None


CHILDREN = {
    "encode": encode,
    "count": count,
    "topics": lambda size: parallel(LANGUAGES, size),
    "languages": lambda size: parallel(size, TOPICS),
    "models": models,
    "leaderboard": leaderboard,
    "site": site,
}


def child(name, argument, **more):
    """Call a measurement in a process of its own."""
    paths = [str(Path(__file__).parent), str(blocks.ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "ignore", **more}
    command = [sys.executable, __file__, "--child", name, json.dumps(argument)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if ran.returncode:
        raise SystemExit(f"{name} {argument}: {ran.stderr[-2000:]}")
    return json.loads(ran.stdout.splitlines()[-1])


# --------------------------------------------------------------------------------------------------------------------- fits


@dataclass(frozen=True)
class Series:
    """One stage against one size: the sizes, what was worked on (such as gold pairs), seconds, and bytes of memory or None."""

    stage: str
    size: str
    sizes: list
    amounts: list
    seconds: list
    memory: list | None

    @property
    def exponent(self):
        """p of seconds = c x size^p, by least squares on logarithms."""
        return slope(np.log(self.sizes), np.log(self.seconds))[1]

    def seconds_at(self, amount):
        """Seconds by the line over amounts."""
        start, each = slope(self.amounts, self.seconds)
        return max(0.0, start) + max(0.0, each) * amount

    def memory_at(self, amount):
        """Bytes by the line over amounts."""
        start, each = slope(self.amounts, self.memory)
        return max(0.0, start) + max(0.0, each) * amount

    @property
    def misses(self):
        """The largest miss of the line, as a share of what was measured."""
        start, each = slope(self.amounts, self.seconds)
        return max(abs((start + each * x) / y - 1) for x, y in zip(self.amounts, self.seconds, strict=True))


def slope(x, y):
    """Intercept and slope by least squares, each miss weighed as a share of the value, so that small sizes count too."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    weight = 1 / np.maximum(np.abs(y), 1e-12)
    (start, each), *_ = np.linalg.lstsq(np.stack([weight, x * weight], axis=1), y * weight, rcond=None)
    return float(start), float(each)


def series(kinds):
    """Measure each stage at the given sizes by kind."""
    made = []
    for kind, sizes in kinds.items():
        runs = []
        for size in sizes:
            begin = time.perf_counter()
            runs.append(child(kind, size))
            print(f"{kind} {size:,}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
        size = {"encode": "texts", "count": "candidates"}.get(kind, kind)
        for stage in runs[0][0]:
            amounts, seconds = zip(*(stages[stage] for stages, _ in runs), strict=True)
            # Memory of a process that has many stages is that of its evaluation: it stands with the ranks.
            memory = [held[stage] if isinstance(held, dict) else held for _, held in runs]
            kept = memory if len(runs[0][0]) == 1 or kind == "models" or stage == "rank" else None
            made.append(Series(stage, size, list(sizes), list(amounts), list(seconds), kept))
    return made


# ------------------------------------------------------------------------------------------------------------------- tables

NAMES = {
    "encode": "encode",
    "count": "compare queries with a shard",
    "rank": "compare all queries with all candidates",
    "score": "metrics, bias and intervals",
    "write": "make the ranks file",
    "compare": "compare two models",
    "check": "check submissions",
    "leaderboard": "leaderboard of a checked board",
    "site": "build the site of a checked board",
}
UNITS = {"encode": "token", "count": "pair of query and candidate", "rank": "pair of query and candidate"}


def unit(one):
    return UNITS.get(one.stage, "submission" if one.size == "models" else "gold pair")


def each(one):
    """Time by the line for one more unit, in a fitting unit of time."""
    seconds = slope(one.amounts, one.seconds)[1]
    units = {"s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9, "ps": 1e-12}
    name = next((name for name, size in units.items() if seconds >= size), None)
    return f"{seconds / units[name]:.3g} {name}" if name else "nothing measurable"


def bytes_of(size):
    return humanize.naturalsize(size, format="%.3g")


def fits(measured):
    """A row for each stage and size."""
    rows = [
        "| stage | grows with | measured at | seconds | exponent | each | line misses by at most | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in measured:
        sizes = ", ".join(f"{size:,}" for size in one.sizes)
        seconds = ", ".join(f"{value:.2g}" for value in one.seconds)
        memory = "" if one.memory is None else f"{bytes_of(one.memory[0])} to {bytes_of(one.memory[-1])}"
        rows.append(
            f"| {NAMES[one.stage]} | {one.size} | {sizes} | {seconds} | {one.exponent:.1f} | {each(one)} a {unit(one)} "
            f"| {one.misses:.0%} | {memory} |"
        )
    return "\n".join(rows)


@dataclass(frozen=True)
class Cost:
    """What one stage of a large run takes: seconds, and bytes of memory where it holds much."""

    run: str
    stage: str
    what: str
    seconds: float
    memory: float | None


def costs(measured):
    """The stages of the large runs, by the lines."""
    by = {(one.stage, one.size): one for one in measured}
    miracl = clirbench.load_task("miracl").counts
    passages, queries = (sum(miracl[key].values()) for key in ("candidates", "queries"))
    encoding, counting = by["encode", "texts"], by["count", "candidates"]
    corpus = f"{passages / 1e6:.0f} million passages, {queries:,} queries"
    made = [
        Cost(
            corpus,
            "encode",
            f"{PASSAGE_TOKENS} tokens a passage",
            encoding.seconds_at(passages * PASSAGE_TOKENS),
            None,
        ),
        Cost(
            corpus,
            "count",
            "in shards, so that memory is that of one shard",
            counting.seconds_at(passages * queries),
            counting.memory_at(counting.amounts[0] / counting.sizes[0] * 20_000),
        ),
    ]
    languages, topics = VILLAGE["languages"], VILLAGE["topics"]
    village = f"{languages} languages, {topics} topics, {VILLAGE['passages']} passages"
    asked, pool, pairs = languages * topics, languages * VILLAGE["passages"], topics * languages**2
    ranking = by["rank", "languages"]
    made += [
        Cost(
            village,
            "encode",
            f"{PASSAGE_TOKENS} tokens a passage, a quarter of that a query",
            encoding.seconds_at(PASSAGE_TOKENS * (pool + asked / 4)),
            None,
        ),
        Cost(
            village,
            "rank",
            "`many_languages.py` measures its memory",
            ranking.seconds_at(asked * pool),
            None,
        ),
    ]
    for stage in ("score", "write", "compare"):
        made.append(Cost(village, stage, f"{pairs:,} gold pairs", by[stage, "languages"].seconds_at(pairs), None))
    many = f"{SUBMISSIONS:,} submissions of two tasks"
    for stage in ("check", "leaderboard", "site"):
        one = by[stage, "models"]
        made.append(Cost(many, stage, "", one.seconds_at(SUBMISSIONS), one.memory_at(SUBMISSIONS)))
    return made


def forecast(made):
    """A row for each stage of the large runs."""
    rows = ["| run | stage | assumed | time | memory |", "|---|---|---|---|---|"]
    for one in made:
        memory = "" if one.memory is None else bytes_of(one.memory)
        rows.append(f"| {one.run} | {NAMES[one.stage]} | {one.what} | {duration(one.seconds)} | {memory} |")
    return "\n".join(rows)


def walls(made):
    """Sentences: what takes longest in each run, and what does not fit a day or a machine."""
    lines = []
    for run in dict.fromkeys(one.run for one in made):
        stages = [one for one in made if one.run == run]
        longest = max(stages, key=lambda one: one.seconds)
        share = longest.seconds / sum(one.seconds for one in stages)
        said = [f"the longest stage is to {NAMES[longest.stage]}, {share:.0%} of the time"]
        if longest.seconds > DAY:
            said.append(f"on this machine it is {longest.seconds / DAY:,.0f} times a day")
        largest = max((one for one in stages if one.memory is not None), key=lambda one: one.memory, default=None)
        if largest is not None:
            more = "more than" if largest.memory > MEMORY else "within"
            said.append(
                f"the most memory, {bytes_of(largest.memory)} to {NAMES[largest.stage]}, is {more} {bytes_of(MEMORY)}"
            )
        lines.append(f"- **{run}:** {'; '.join(said)}.")
    nearest = max(made, key=lambda one: max(one.seconds / DAY, (one.memory or 0) / MEMORY))
    by_memory = (nearest.memory or 0) / MEMORY > nearest.seconds / DAY
    wall = f"{bytes_of(MEMORY)} of memory" if by_memory else "a day on one machine"
    reach = max(nearest.seconds / DAY, (nearest.memory or 0) / MEMORY)
    state = f"{reach:,.1f} times beyond" if reach > 1 else f"at {reach:.0%} of"
    lines.append(f"- **The next wall:** to {NAMES[nearest.stage]}, with {nearest.run}, is {state} {wall}.")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SIZES), help="measure these, and show only their fits")
    parser.add_argument(
        "--quick", action="store_true", help="sizes so small that the numbers say nothing: does it run?"
    )
    parser.add_argument("--write", action="store_true", help="write the tables into the docs")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(CHILDREN[asked.child[0]](json.loads(asked.child[1]))))
        return
    sizes = QUICK if asked.quick else SIZES
    measured = series({kind: sizes[kind] for kind in asked.only or SIZES})
    made = {"growth": fits(measured)}
    if not asked.only:
        large = costs(measured)
        made |= {"growth-forecast": forecast(large), "growth-walls": walls(large)}
    for name, text in made.items():
        print(f"{text}\n")
        if asked.write and not asked.only and not asked.quick:
            blocks.write(name, text)


if __name__ == "__main__":
    main()
