"""How much faster the sampler makes batches than the static model consumes them, in one process.

    python benchmarks/sampler.py

A million pairs in 11 languages, batches of 1,024 pairs of short texts (12 tokens, the cheapest case for the consumer), a
model of the bundled one's size; the consumer is sentence-transformers' loss forward and backward, and lazy Adam.
"""

import time

import numpy as np
import pyarrow as pa
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models

from clirbench.training.batches import HybridBatchSampler
from clirbench.training.corpus import pair_dataset
from clirbench.training.losses import make_loss
from clirbench.training.recipe import LossPart, StaticPart
from clirbench.training.static.bag import BagCollator, TrainingBag
from clirbench.training.tokens import TokenStore

PAIRS, LANGUAGES, SIZE, VOCABULARY, DIMENSIONS, TOKENS, STEPS = 1_000_000, 11, 1024, 65_536, 512, 12, 20


def main():
    rng = np.random.default_rng(0)
    columns = {
        "query": np.arange(PAIRS, dtype=np.int32),
        "candidate": np.arange(PAIRS, dtype=np.int32)[::-1].copy(),
        "query_language": rng.integers(0, LANGUAGES, PAIRS).astype(np.int8),
        "candidate_language": rng.integers(0, LANGUAGES, PAIRS).astype(np.int8),
        "topic": rng.integers(0, PAIRS // 20, PAIRS).astype(np.int32),
        "source": rng.integers(0, 4, PAIRS).astype(np.int16),
    }
    data = pair_dataset(pa.table(columns))
    sampler = HybridBatchSampler(data, SIZE, batches=200)
    begin = time.perf_counter()
    batches = list(sampler)
    sampling = (time.perf_counter() - begin) / len(batches)

    store = TokenStore(
        rng.integers(0, VOCABULARY, PAIRS * TOKENS).astype(np.int32), np.arange(0, PAIRS * TOKENS + 1, TOKENS)
    )
    part = StaticPart(vocabulary=VOCABULARY, dimensions=DIMENSIONS)
    weights = rng.standard_normal((VOCABULARY, DIMENSIONS), dtype=np.float32)
    model = SentenceTransformer(modules=[TrainingBag(Tokenizer(models.BPE()), embedding_weights=weights)], device="cpu")
    model.train()
    loss = make_loss(model, LossPart(scale=16.0, directions="all"))
    optimizer = torch.optim.SparseAdam(list(model.parameters()), 0.01)
    collator = BagCollator(store, part)
    begin = time.perf_counter()
    for batch in batches[:STEPS]:
        features = collator(data.__getitems__(batch))
        sides = [
            {key.removeprefix(f"{side}_"): value for key, value in features.items() if key.startswith(side)}
            for side in ("query", "candidate")
        ]
        loss(sides, None).backward()
        optimizer.step()
        optimizer.zero_grad()
    consuming = (time.perf_counter() - begin) / STEPS
    print("| batches of 1,024 pairs | milliseconds | ratio |")
    print("|---|---|---|")
    print(f"| sampled | {1000 * sampling:.2f} | 1 |")
    print(f"| consumed by the static model | {1000 * consuming:.0f} | {consuming / sampling:.0f} |")


if __name__ == "__main__":
    main()
