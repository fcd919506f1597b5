"""Texts a second of `clirbench run` beside a bare `model.encode`: `python benchmarks/encoding.py MODEL [--bfloat16] [--write]`.

3,000 distinct texts of XQuAD-R, half of them queries, with the model's prompts. The peer is one call of `encode` of
sentence-transformers over all of them, in the same process. Ours is all that a run does from texts to vectors: tokens and their
counts, order, batches, checks, the vector cache, texts that cannot be told apart. Both take turns, the first one changes from
round to round, and a ratio is the median over the rounds. On a machine that others use too, seconds of the processor say more
than those of the clock, so both are printed.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import blocks
import numpy as np

import clirbench
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import load_encoder
from clirbench.evaluation.loaded_task import InMemoryTask
from clirbench.evaluation.text_lengths import text_lengths
from clirbench.support.context import RunContext
from clirbench.tasks.collection import load_collection

BATCH = 32
SEED = 0


def sampled(texts, starts, count, rng):
    """Some distinct texts in their order, and where each language starts."""
    first = {text: i for i, text in reversed(list(enumerate(texts)))}
    rows = sorted(rng.sample(sorted(first.values()), count))
    return tuple(texts[row] for row in rows), np.searchsorted(rows, starts)


def sample(count):
    """A collection of `count` distinct texts, half of them queries, without gold pairs."""
    whole, rng = load_collection(clirbench.load_task("xquad-r")), random.Random(SEED)
    queries, query_starts = sampled(whole.queries, whole.query_starts, count // 2, rng)
    candidates, candidate_starts = sampled(whole.candidates, whole.candidate_starts, count - count // 2, rng)
    return replace(
        whole,
        queries=queries,
        query_starts=query_starts,
        candidates=candidates,
        candidate_starts=candidate_starts,
        gold_query=whole.gold_query[:0],
        gold_candidate=whole.gold_candidate[:0],
    )


def contenders(folder, collection, dtype):
    """Functions of the peer and of us that encode all texts and return the candidates' vectors; and the tokens of each batch."""
    loaded = load_encoder(folder, EncoderOptions(dtype=dtype, batch_size=BATCH))
    model, settings, computed = loaded.encoder._model, loaded.settings, []
    model[0].register_forward_pre_hook(lambda module, given: computed.append(given[0]["input_ids"].numel()))
    texts = [
        *(settings.query_prompt + text for text in collection.queries),
        *(settings.candidate_prompt + text for text in collection.candidates),
    ]
    task = InMemoryTask(collection, ("multilingual",))

    def bare():
        return model.encode(texts, prompt="", batch_size=BATCH, convert_to_tensor=True)[len(collection.queries) :]

    def ours():
        with tempfile.TemporaryDirectory() as cache:
            vectors = task.encode(loaded, RunContext(vectors=Path(cache))).encoded.candidates
        text_lengths(loaded, task)
        return vectors

    return {"bare": bare, "ours": ours}, computed


def cosine(bare, ours):
    """The smallest cosine of the two vectors of a text."""
    left, right = bare.float().numpy().astype(np.float64), ours.astype(np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float(((left * right).sum(axis=1) / lengths).min())


def measure(folder, count, rounds, dtypes):
    """Seconds of the clock and of the processor, a pair a round, and computed tokens, of each contender."""
    collection, small = sample(count), sample(4 * BATCH)
    runs, computed = {}, {}
    for dtype in dtypes:
        # The first calls also compile and allocate.
        both = {name: run() for name, run in contenders(folder, small, dtype)[0].items()}
        print(f"{dtype}: smallest cosine of both vectors of a text {cosine(**both):.6f}", flush=True)
        made, computed[dtype] = contenders(folder, collection, dtype)
        runs |= {(dtype, name): run for name, run in made.items()}
    seconds, tokens = {key: [] for key in runs}, {}
    for number in range(rounds):
        for key in list(runs)[:: -1 if number % 2 else 1]:
            computed[key[0]].clear()
            begin = time.perf_counter(), time.process_time()
            runs[key]()
            seconds[key].append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
            tokens[key] = sum(computed[key[0]])
        shown = ", ".join(
            "{} {} {:.1f} s ({:.1f} s of the processor)".format(*key, *times[-1]) for key, times in seconds.items()
        )
        print(f"round {number + 1}: {shown}; load {os.getloadavg()[0]:.1f}", flush=True)
    return seconds, tokens


def table(seconds, tokens, name, count):
    """Markdown rows: the texts a second of each contender, as a ratio to the bare call in float32."""
    labels = {"bare": "one bare `model.encode`", "ours": "`clirbench run`, from texts to vectors"}
    floor = seconds["float32", "bare"]
    about = f"{count:,} texts of XQuAD-R, {name}, batches of {BATCH}"
    rows = [
        f"| {about} | tokens computed, padding included | texts a second, ratio | texts a second of the processor, ratio |",
        "|---|---|---|---|",
    ]
    for (dtype, side), times in seconds.items():
        cells = []
        for clock in (0, 1):
            ratios = [one[clock] / other[clock] for one, other in zip(floor, times, strict=True)]
            cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        rows.append(f"| {labels[side]}, {dtype} | {tokens[dtype, side]:,} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="folder of a model of sentence-transformers")
    parser.add_argument("--name", help="what the table calls it")
    parser.add_argument("--texts", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bfloat16", action="store_true", help="also in bfloat16")
    parser.add_argument("--write", action="store_true", help="write the table into the docs")
    asked = parser.parse_args()
    dtypes = ("float32", "bfloat16") if asked.bfloat16 else ("float32",)
    name = asked.name or Path(asked.model).name
    rows = table(*measure(asked.model, asked.texts, asked.rounds, dtypes), name, asked.texts)
    if asked.write:
        blocks.write("encoding", rows)
    print(rows)


if __name__ == "__main__":
    main()
