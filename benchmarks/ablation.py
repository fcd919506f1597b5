"""Does mixing monolingual and cross-lingual batches help? The claim of arXiv 2408.10536, tested on the static model.

Five values of alpha x three seeds, each with the same data, the same rows for either kind of batch and the same number of
updates; evaluated once on XQuAD-R and MLQA-R; paired over topics against alpha = 0 and alpha = 1.

    python benchmarks/ablation.py --data DIR --work DIR            # train what is missing in the work folder, print the table
    python benchmarks/ablation.py --data DIR --work DIR --write    # also write them into the docs
    python benchmarks/ablation.py --data DIR --work DIR --base e5  # the same question on a transformer: ablation_transformer.py
"""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import ablation_transformer
import blocks
import numpy as np
from ablation_table import HEADS, TASKS, TESTED, cell, claim, measure, tests

import clirbench
from clirbench.support.progress import reporting

HERE = Path(__file__).resolve().parent
PICTURE = HERE.parent / "docs" / "assets" / "ablation.svg"
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
SEEDS = (1, 2, 3)
# Every source whose rows have several languages, at one weight for either kind of batch: only the composition differs.
WEIGHTS = {"prose": 0.45, "interface": 0.1, "everyday": 0.1, "questions": 0.1, "words": 0.2, "faq": 0.05}
STEPS = 600


def recipe():
    """The recipe static.toml with matched sources and fewer steps."""
    from clirbench.training.recipe import load_recipe

    whole, path = load_recipe("static.toml")
    sources = [
        {**source.model_dump(), "monolingual": WEIGHTS[source.name], "cross_lingual": WEIGHTS[source.name]}
        for source in whole.source
        if source.name in WEIGHTS
    ]
    return load_recipe("static.toml", {"source": sources, "optimizer.steps": STEPS, "dev.every": STEPS})[0], path


def name_of(alpha, seed):
    return f"ablation/alpha-{alpha:g}-seed-{seed}"


def model_of(work, alpha, seed):
    return work / "models" / f"{alpha:g}-{seed}"


def missing(work, alpha, seed):
    """Tasks without a result; all of them where the model is not kept."""
    if not model_of(work, alpha, seed).is_dir():
        return list(TASKS)
    return [t for t in TASKS if not (work / name_of(alpha, seed).replace("/", "__") / f"{t}.json").is_file()]


def train_missing(data, work, reporter, alphas=ALPHAS, seeds=SEEDS):
    """Train and evaluate the runs that the work folder lacks."""
    wanted = [(seed, alpha) for seed in seeds for alpha in alphas if missing(work, alpha, seed)]
    if not wanted:
        return
    from sentence_transformers import SentenceTransformer

    from clirbench.encoders.packed import PackedEncoder, write_packed
    from clirbench.tasks.task_file import is_on_board
    from clirbench.training.dev import DevEvaluator
    from clirbench.training.fit import fit
    from clirbench.training.prepare import checksums, first_vectors, prepare, static_data, tokenise
    from clirbench.training.static.bag import TrainingBag
    from clirbench.training.static.vectors import damp_spectrum, flatten_norms, sample_vectors

    plan, _ = recipe()
    prepared = prepare(plan, [data], reporter)
    lacking = [name for name in prepared.unchecked if is_on_board(name)]
    if lacking:
        raise SystemExit(f"the evaluation data cannot be loaded: {', '.join(lacking)}")
    identity = json.dumps({"recipe": plan.model_dump(mode="json"), "data": checksums(plan, [data])}, sort_keys=True)
    claim(work, identity)
    tokenised = tokenise(prepared, work / "tokenizer", reporter)
    for seed in seeds:
        lacking = [alpha for s, alpha in wanted if s == seed]
        start = first_vectors(prepared, tokenised, seed, reporter) if lacking else None
        for alpha in lacking:
            reporter.note(f"alpha {alpha:g}, seed {seed}")
            batches = plan.batches.model_copy(update={"alpha": alpha})
            run = plan.model_copy(update={"batches": batches, "seed": seed})
            bag = TrainingBag(tokenised.tokenizer, embedding_weights=start.copy())
            model = SentenceTransformer(modules=[bag], device="cpu")
            output = work / "checkpoints" / f"{alpha:g}-{seed}"
            evaluator = DevEvaluator(prepared.dev, run.dev)
            fit(model, run, static_data(replace(prepared, recipe=run), tokenised), output, evaluator, reporter)
            weights = bag.embedding.weight.detach().numpy()
            sample = sample_vectors(weights, prepared.as_read, tokenised.store, tokenised.part.damping_texts, seed)
            final = flatten_norms(damp_spectrum(weights, sample, tokenised.part.damping), tokenised.part.norm_exponent)
            # As it would be shipped: a text without any token gets the unknown one's vector.
            packed = model_of(work, alpha, seed)
            write_packed(final, tokenised.tokenizer.to_str(), tokenised.part.bits, packed)
            for task in missing(work, alpha, seed):
                options = clirbench.EncoderOptions(name=name_of(alpha, seed))
                clirbench.evaluate(PackedEncoder(packed), task, options=options).save(work, force=True)
            shutil.rmtree(output)


def numbers(work):
    """Of each task and alpha, its numbers over all seeds."""
    return {
        (task, alpha): measure([work / name_of(alpha, seed).replace("/", "__") / f"{task}.json" for seed in SEEDS])
        for task in TASKS
        for alpha in ALPHAS
    }


# Every alpha against 0 and 1; those two against each other once.
COMPARISONS = [
    (alpha, other) for other in (0.0, 1.0) for alpha in ALPHAS if alpha != other and (alpha, other) != (1.0, 0.0)
]


def table(measured, corrected):
    """Markdown: means over seeds with their spread, and marks where a difference is significant."""
    lines = [f"| task | alpha | {' | '.join(HEADS[key] for key in TESTED)} |", "|---|---|---|---|---|---|"]
    for task in TASKS:
        for alpha in ALPHAS:
            cells = [cell(measured, corrected, (task, key, alpha), {"0": 0.0, "1": 1.0}) for key in TESTED]
            lines.append(f"| {task} | {alpha:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


WIDTH, HEIGHT, LEFT, TOP, GAP = 340, 210, 52, 34, 56
COLOURS = {"monolingual": "#0072b2", "cross-lingual": "#d55e00", "multilingual": "#009e73", "bias": "#7b4ba0"}
DASHES = {"monolingual": "", "cross-lingual": "6 3", "multilingual": "2 3", "bias": ""}


def panel(x, y, title, series, unit):
    """One set of axes with its curves: labels, ticks, a line and points per series."""
    largest = max(max(values) for values in series.values())
    power = 10 ** np.floor(np.log10(largest))
    step = next(power * share for share in (0.1, 0.2, 0.25, 0.5, 1, 2) if largest / (power * share) <= 5)
    ticks = np.arange(0, largest + step, step)
    top = ticks[-1]
    inner_width, inner_height = WIDTH - LEFT - 20, HEIGHT - TOP - 34
    place = lambda alpha, value: (x + LEFT + alpha * inner_width, y + TOP + (1 - value / top) * inner_height)  # noqa: E731
    out = [f'<text class="t" x="{x + LEFT}" y="{y + 16}">{title}</text>']
    for value in ticks:
        _, line = place(0, value)
        label = f"{value:,.0f}" if unit == "rank" else f"{100 * value:.0f}"
        out.append(f'<path class="g" d="M{x + LEFT} {line:.1f}h{inner_width}"/>')
        out.append(f'<text x="{x + LEFT - 6}" y="{line + 4:.1f}" text-anchor="end">{label}</text>')
    for alpha in ALPHAS:
        across, bottom = place(alpha, 0)
        out.append(f'<text x="{across:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{alpha:g}</text>')
    for name, values in series.items():
        points = [place(alpha, value) for alpha, value in zip(ALPHAS, values, strict=True)]
        colour = COLOURS[name]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        out.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{DASHES[name]}"/>'
        )
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in points]
    return out


def picture(measured):
    """SVG: alpha against the three mAPs and rank distance, one row per task; legible on light and dark."""
    out = []
    for row, task in enumerate(TASKS):
        y = row * (HEIGHT + 10)
        means = {key: [measured[task, alpha][key].values.mean() for alpha in ALPHAS] for key in TESTED}
        maps = {key[0]: means[key] for key in TESTED if key[0] != "bias"}
        out += panel(0, y, f"{task}: mAP x100", maps, "mAP")
        out += panel(
            WIDTH + GAP - 30, y, f"{task}: rank distance (lower is better)", {"bias": means[TESTED[3]]}, "rank"
        )
    total_width, total_height = 2 * WIDTH + GAP - 30, len(TASKS) * (HEIGHT + 10) + 26
    across = total_width - 20
    x = LEFT
    for name in ("monolingual", "cross-lingual", "multilingual"):
        y = total_height - 12
        out.append(
            f'<path d="M{x} {y - 4}h26" stroke="{COLOURS[name]}" stroke-width="2" stroke-dasharray="{DASHES[name]}"/>'
            f'<text x="{x + 32}" y="{y}">{name}</text>'
        )
        x += 118
    out.append(
        f'<text x="{across}" y="{total_height - 12}" text-anchor="end">across: alpha, share of monolingual batches</text>'
    )
    style = (
        "text{font:12px system-ui,sans-serif;fill:#222}.t{font-weight:600}.g{stroke:#8884;fill:none}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total_width} {total_height}" role="img" '
        'aria-labelledby="ablation-title"><title id="ablation-title">Mean average precision in three settings, '
        "and rank distance, against alpha, on XQuAD-R and MLQA-R</title>"
        f"<style>{style}</style>\n" + "\n".join(out) + "\n</svg>\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training data")
    parser.add_argument("--work", type=Path, required=True, help="folder for runs; those that are there are kept")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write benchmarks/ablation.md, docs/assets/ablation.svg and the table of the docs",
    )
    ablation_transformer.add_options(parser)
    arguments = parser.parse_args()
    if arguments.base:
        ablation_transformer.run(arguments)
        return
    with reporting() as reporter:
        train_missing(arguments.data, arguments.work, reporter)
    measured = numbers(arguments.work)
    text = table(measured, tests(measured, COMPARISONS, TASKS))
    print(text)
    if arguments.write:
        (HERE / "ablation.md").write_text(f"{(HERE / 'ablation-head.md').read_text()}\n{text}\n", encoding="utf-8")
        PICTURE.write_text(picture(measured), encoding="utf-8")
        blocks.write("ablation", text)


if __name__ == "__main__":
    main()
