"""Steps a second of training a transformer: all that the trainer saves, beside the same batches without it.

    python benchmarks/training.py --base FOLDER --data DIR            # the recipe e5-small.toml on FOLDER, which may be trimmed
    python benchmarks/training.py --base FOLDER --data DIR --write    # also write the table into the docs

Both sides take the same steps on the same batches, in turns, in one process, with the recipe's loss without its teacher. The
plain side tokenises each batch, pads it to its longest text, computes in float32 and trains every weight. The other side has all
texts as tokens, encodes texts of like length together, computes in what `precision = "auto"` chooses and leaves the embeddings as
they are; its last form also reads `trained_length` tokens of a text. A ratio is that of the medians of the steps.
"""

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path

import blocks
import torch

from clirbench.support.progress import reporting
from clirbench.training.base_model import base_model, freeze
from clirbench.training.batches import HybridBatchSampler
from clirbench.training.losses import HybridLoss, contrastive_loss, length_groups
from clirbench.training.precision import choose_precision
from clirbench.training.prepare import prepare, transformer_data
from clirbench.training.recipe import load_recipe

SIDES = ("query", "candidate")


def data_of(prepared, model, length, reporter):
    """The trainer's data with texts of this many tokens."""
    part = prepared.recipe.model.model_copy(update={"trained_length": length})
    recipe = prepared.recipe.model_copy(update={"model": part})
    return transformer_data(replace(prepared, recipe=recipe), model, None, reporter)


def split(batch):
    return [{key.removeprefix(f"{s}_"): value for key, value in batch.items() if key.startswith(s)} for s in SIDES]


def plain(model, recipe, prompts):
    """A step as it is without any of it: texts to weights, float32."""
    loss, texts = contrastive_loss(model, recipe.loss), {}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)

    def step(rows):
        sides = [model.preprocess([prompts[s] + texts[row[s]] for row in rows]) for s in SIDES]
        loss(sides, None).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step, texts


def saving(model, recipe, data, precision):
    """A step as the trainer takes it."""
    loss = HybridLoss(model, recipe.loss.model_copy(update={"weight": 1.0}))
    optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-6)

    def step(rows):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            value = loss(split(data.collator(rows)))
        value.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def padding(data, batches):
    """Share of padding among all tokens of the batches, grouped by length."""
    real = padded = 0
    for rows in batches:
        for side in split(data.collator(rows)):
            lengths = side["attention_mask"].sum(dim=1).tolist()
            real += sum(lengths)
            padded += sum(max(lengths[i] for i in group) * len(group) for group in length_groups(lengths, 0.08))
    return 1 - real / padded


def measure(arguments, reporter):
    """Seconds of each step by contender, the precision, the share of padding, and the recipe."""
    changes = {"model.base": str(arguments.base), "model.vocabulary": None, "batches.size": arguments.size}
    recipe, _ = load_recipe("e5-small.toml", changes)
    prepared = prepare(recipe, [arguments.data], reporter)
    whole, frozen = (base_model(recipe.model).to("cpu").train() for _ in range(2))
    freeze(frozen, recipe.model)
    precision = choose_precision(frozen, recipe.optimizer, reporter)
    part = recipe.model
    data = {length: data_of(prepared, frozen, length, reporter) for length in (part.max_length, part.trained_length)}
    pairs, weights = data[part.max_length].pairs, data[part.max_length].weights
    sampler = HybridBatchSampler(
        pairs, arguments.size, seed=1, alpha=0.5, source_weights=weights, batches=arguments.steps
    )
    batches = [pairs.__getitems__(rows) for rows in sampler]
    before, texts = plain(whole, recipe, {"query": part.query_prompt, "candidate": part.candidate_prompt})
    texts.update(enumerate(prepared.corpus.texts))
    steps = {
        "plain": before,
        "saving": saving(frozen, recipe, data[part.max_length], precision),
        "saving, short": saving(frozen, recipe, data[part.trained_length], precision),
    }
    seconds = {name: [] for name in steps}
    for rows in batches:
        for name, step in steps.items():
            begin = time.perf_counter()
            step(rows)
            seconds[name].append(time.perf_counter() - begin)
    share = padding(data[part.max_length], batches)
    return seconds, precision, share, recipe


def table(seconds, precision, share, recipe):
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    labels = {
        "plain": "plain: texts, whole batches, float32, every weight",
        "saving": f"the trainer: tokens, groups by length ({100 * share:.1f} % padding), {precision}, frozen embeddings",
        "saving, short": f"the same, {recipe.model.trained_length} tokens of a text",
    }
    lines = [f"| {recipe.batches.size} pairs a step | steps a second, as a ratio |", "|---|---|"]
    return "\n".join([*lines, *(f"| {labels[n]} | {medians['plain'] / medians[n]:.1f} |" for n in labels)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--data", type=Path, required=True, help="folder of the training data")
    parser.add_argument("--size", type=int, default=64, help="pairs in a batch")
    parser.add_argument("--steps", type=int, default=9, help="steps of each side")
    parser.add_argument("--write", action="store_true", help="write the table into the docs")
    arguments = parser.parse_args()
    with reporting() as reporter:
        text = table(*measure(arguments, reporter))
    print(text)
    if arguments.write:
        blocks.write("training", text)


if __name__ == "__main__":
    main()
