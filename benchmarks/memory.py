"""Memory of `clirbench run` on XQuAD-R: `python benchmarks/memory.py [--rounds N] [--write]`.

Each row runs in processes of its own, with an encoder of 1,024 dimensions that computes nothing, so that its own memory is none.
"Before" is the memory once the program, its libraries and the model are loaded. What is left of the peak after "before" and the
vectors is the run's own. Of three runs, the minimum and the median.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import blocks
import numpy as np

DIMENSIONS, TOKENS, OF_TOKEN = 1024, 40, 128
# What is run, and the options that name it.
ROWS = {
    "as it comes": {},
    "`--transform center`": {"transform": "center"},
    "`--transform lir:2`": {"transform": "lir:2"},
    "`--transform lsar:2`": {"transform": "lsar:2"},
    "`--quantise int8`": {"quantise": "int8"},
    "`--truncate-dim 256`": {"truncate_dim": 256},
}


class Fake:
    """Vectors that depend on the text alone, at next to no cost."""

    name, revision = "bench/fake", "1"

    def encode_queries(self, texts):
        block = np.random.default_rng(0).standard_normal((997, DIMENSIONS), dtype=np.float32)
        number = np.array([zlib.crc32(text.encode()) for text in texts])
        vectors = block[number % 997] + block[number // 997 % 991]
        vectors[:, 0] += number % 4093 / 100
        return vectors

    encode_candidates = encode_queries


class Late:
    """A model of late interaction with random token vectors, as sentence-transformers calls it."""

    training = False

    def train(self, mode):
        pass

    def encode_query(self, texts, **more):
        import torch

        made = []
        for text in texts:
            torch.manual_seed(zlib.crc32(text.encode()))
            made.append(torch.randn(TOKENS, OF_TOKEN))
        return made

    encode_document = encode_query

    def similarity(self, queries, candidates):
        import torch

        left, right = torch.stack(queries), torch.stack(candidates)
        return torch.einsum("qtd,cud->qctu", left, right).amax(3).sum(2)


def run(options, folder):
    """Run in this process as `clirbench run` does: memory before, vectors and peak in bytes."""
    from clirbench.cli import run_tasks
    from clirbench.encoders.base import EncoderOptions
    from clirbench.support.context import MemoryOfRun
    from clirbench.support.memory import peak_memory

    seen = []
    MemoryOfRun.line = lambda memory: seen.append((memory.model, memory.vectors, peak_memory()))
    request = run_tasks.RunRequest(
        model="memory:Fake",
        tasks=["xquad-r"],
        languages=None,
        settings=None,
        options=EncoderOptions(**options),
        output=Path(folder) / "results",
        force=False,
        use_cache=True,
        allow_zero_vectors=False,
    )
    run_tasks.run_tasks(request)
    return seen[0]


def run_late(texts):
    """Prepare and score with a late-interaction model: memory before, token vectors and peak in bytes."""
    import torch

    from clirbench.encoders.from_sentence_transformers import MultiVectorScorer
    from clirbench.encoders.lengths import Reader
    from clirbench.support.memory import peak_memory, resident_memory

    torch.set_num_threads(1)
    by_role = {role: Reader(role, None, "", None, None) for role in ("query", "candidate")}
    scorer = MultiVectorScorer(Late(), 32, by_role)
    before = resident_memory()
    candidates = [f"text {i}" for i in range(texts)]
    scorer.prepare_candidates(candidates, ["en"] * texts)
    scorer.score(candidates[:8], ["en"] * 8)
    return before, texts * TOKENS * OF_TOKEN * 4, peak_memory()


def apart(*arguments):
    """Run a row in a process of its own, with a cache of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "CLIRBENCH_CACHE": f"{folder}/cache", "PYTHONWARNINGS": "ignore"}
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(Path(__file__).parent), str(blocks.ROOT), os.environ.get("PYTHONPATH", "")]
        )
        command = [sys.executable, __file__, "--child", json.dumps(arguments), folder]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if ran.returncode:
        raise SystemExit(ran.stderr)
    return json.loads(ran.stdout.splitlines()[-1])


def megabytes(sizes):
    """Minimum and median of sizes in bytes."""
    return f"{min(sizes) / 1e6:,.0f} / {statistics.median(sizes) / 1e6:,.0f}"


def table(rounds):
    """Markdown rows of all measurements."""
    rows = [
        f"| XQuAD-R, {DIMENSIONS:,} dimensions, minimum / median of {rounds} runs | before, MB | vectors, MB | peak, MB "
        "| the rest, MB |",
        "|---|---|---|---|---|",
    ]
    for what, arguments in [
        *((what, ("run", options)) for what, options in ROWS.items()),
        ("late interaction: 26,000 texts, 40 token vectors of 128 dimensions each, in blocks", ("late", 26_000)),
    ]:
        runs = [apart(*arguments) for _ in range(rounds)]
        before, vectors, peak = zip(*runs, strict=True)
        # Token vectors are in a file, so they are no part of what must be held.
        held = [0] * rounds if arguments[0] == "late" else vectors
        rest = [top - low - size for low, size, top in zip(before, held, peak, strict=True)]
        shown = f"{vectors[0] / 1e6:,.0f}"
        rows.append(f"| {what} | {megabytes(before)} | {shown} | {megabytes(peak)} | {megabytes(rest)} |")
        print(rows[-1], flush=True)
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write the table into the docs")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        (kind, argument), folder = json.loads(asked.child[0]), asked.child[1]
        print(json.dumps(run(argument, folder) if kind == "run" else run_late(argument)))
        return
    rows = table(asked.rounds)
    if asked.write:
        blocks.write("memory", rows)


if __name__ == "__main__":
    main()
