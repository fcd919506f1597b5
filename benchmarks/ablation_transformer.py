"""Does mixing monolingual and cross-lingual batches help a transformer, and does training add to subtracting a mean per language?

The transformer as it is, and trained with alpha 0, 0.5 and 1: the same rows for either kind of batch, the same number of updates,
no teacher. Three seeds for 0.5, one for the others, whose spread is taken to be that of 0.5. Each is scored as it is, with
`--transform center` and with `--transform lsar:K`.

    python benchmarks/ablation.py --base e5 --data DIR --work DIR            # the base model that the recipe names
    python benchmarks/ablation.py --base FOLDER --data DIR --work DIR        # another one: a folder, or ORG/NAME of the hub

WORK/models/ALPHA-SEED and WORK/models/none are the models, as sentence-transformers folders. One that is there is taken as it is,
wherever it was trained; one that is missing is trained here. Killed, it goes on where it was.
"""

import json
import shutil
from pathlib import Path

import blocks
from ablation_table import HEADS, PREFERENCE, TASKS, TESTED, cell, claim, measure, tests

import clirbench
from clirbench.encoders.revision import folder_revision
from clirbench.results.file_names import run_folder
from clirbench.support.progress import reporting

UNTRAINED = "none"
SEEDS = {UNTRAINED: (None,), 0.0: (1,), 0.5: (1, 2, 3), 1.0: (1,)}
TRANSFORMS = (None, "center", "lsar")
# lsar:K needs K below the number of languages, and MLQA-R has seven.
LSAR = {"mlqa-r": "lsar:5"}
STEPS = 300


def add_options(parser):
    parser.add_argument("--base", help="test a transformer: e5, a folder, or ORG/NAME of the hub")
    parser.add_argument("--recipe", default="e5-small.toml", help="with --base: the recipe that says how it is trained")
    parser.add_argument("--steps", type=int, default=STEPS, help="with --base: updates of each training")
    parser.add_argument("--batch-size", type=int, help="with --base: by default the recipe's")
    parser.add_argument("--dtype", default="float32", help="with --base: the precision in which every model encodes")
    parser.add_argument("--learning-rate", type=float, help="with --base: by default the recipe's")


def plan(arguments):
    """The recipe with the sources that it has in both kinds of batch, at one weight, and without a teacher or a dev task.

    Nothing is chosen on a dev task, so that every training has the same rows.
    """
    from clirbench.training.recipe import load_recipe

    whole, _ = load_recipe(arguments.recipe)
    shared = [source for source in whole.source if source.monolingual and source.cross_lingual]
    if not shared:
        raise SystemExit(
            f"{arguments.recipe}: no source has both weights, so that no rows are the same in either kind of batch"
        )
    sources = []
    for source in shared:
        weight = (source.monolingual + source.cross_lingual) / 2
        sources.append({**source.model_dump(), "monolingual": weight, "cross_lingual": weight})
    changes = {"source": sources, "optimizer.steps": arguments.steps, "dev": None}
    changes |= {"teacher": None, "loss.weight": 1.0, "model.packed": False, "model.rounded_steps": 0.0}
    if arguments.base != "e5":
        changes["model.base"] = arguments.base
    if arguments.batch_size:
        changes["batches.size"] = arguments.batch_size
    if arguments.learning_rate:
        changes["optimizer.learning_rate"] = arguments.learning_rate
    return load_recipe(arguments.recipe, changes)


def names():
    """The trainings, by the name of their folder: alpha and seed, or none."""
    return {name_of(alpha, seed): (alpha, seed) for alpha, seeds in SEEDS.items() for seed in seeds}


def name_of(alpha, seed):
    return UNTRAINED if alpha == UNTRAINED else f"{alpha:g}-{seed}"


def train_missing(work, data, recipe, path, reporter):
    """Train every model that WORK/models lacks."""
    missing = {name: run for name, run in names().items() if not (work / "models" / name).is_dir()}
    if not missing:
        return
    from clirbench.training.base_model import base_model, shrink
    from clirbench.training.prepare import checksums, prepare
    from clirbench.training.train import train

    # The base's own path is left out: the same model may lie in another folder on another machine.
    shape = recipe.model_dump(mode="json", exclude={"model": {"base"}})
    claim(work, json.dumps({"recipe": shape, "data": checksums(recipe, [data])}, sort_keys=True))
    (work / "models").mkdir(exist_ok=True)
    for name, (alpha, seed) in missing.items():
        reporter.note(f"training {name}")
        part = work / "models" / f".{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        if alpha == UNTRAINED:
            model = base_model(recipe.model)
            shrink(model, recipe.model, prepare(recipe, [data], reporter).as_read, reporter)
            model.save(str(part), create_model_card=False)
        else:
            batches = recipe.batches.model_copy(update={"alpha": alpha})
            run = recipe.model_copy(update={"batches": batches, "seed": seed, "name": f"ablation/{name}"})
            shutil.copytree(train(run, path, work / "training" / name, data, reporter).model, part)
        part.rename(work / "models" / name)
        shutil.rmtree(work / "training" / name, ignore_errors=True)


def of_task(transform, task):
    """The transform as `--transform` takes it for a task."""
    return LSAR.get(task, "lsar:10") if transform == "lsar" else transform


def result_path(work, name, transform, task):
    return work / "results" / run_folder(f"ablation/{name}", of_task(transform, task) or "") / f"{task}.json"


def evaluate_missing(work, tasks, dtype, reporter):
    """Evaluate every model on every task with every transform; its vectors are computed once and kept in WORK/cache.

    All of them encode in ``dtype``.
    """
    for name in names():
        folder = work / "models" / name
        revision = f"sha256:{folder_revision(folder)}"
        for task in tasks:
            for transform in TRANSFORMS:
                path = result_path(work, name, transform, task)
                if path.is_file() and _is_of(clirbench.read_result(path).document, revision, dtype):
                    continue
                options = clirbench.EncoderOptions(
                    name=f"ablation/{name}", transform=of_task(transform, task), dtype=dtype
                )
                run = clirbench.evaluate(str(folder), task, options=options, cache=work / "cache", reporter=reporter)
                run.save(work / "results", force=True)


def _is_of(document, revision, dtype):
    """Whether a result is of this model, which may have been replaced since, in this precision."""
    return document.model.revision == revision and document.encoder.dtype == dtype


def numbers(work, tasks):
    """Of each task, training and transform, its numbers over all seeds."""
    made = {}
    for task in tasks:
        for transform in TRANSFORMS:
            paths = {
                alpha: [result_path(work, name_of(alpha, seed), transform, task) for seed in seeds]
                for alpha, seeds in SEEDS.items()
            }
            several = measure(paths[0.5])
            for alpha in SEEDS:
                like = None if alpha in (UNTRAINED, 0.5) else several
                made[task, (alpha, transform)] = several if alpha == 0.5 else measure(paths[alpha], like)
    return made


def references(condition):
    """What a training is compared with, by the mark of the table."""
    alpha, transform = condition
    if alpha == UNTRAINED:
        return {}
    against = {"n": (UNTRAINED, transform)}
    if transform is None:
        against["c"] = (UNTRAINED, "center")
    if alpha == 0.5:
        against |= {"0": (0.0, transform), "1": (1.0, transform)}
    return against


def conditions():
    return [(alpha, transform) for transform in TRANSFORMS for alpha in SEEDS]


def comparisons():
    return [(condition, other) for condition in conditions() for other in references(condition).values()]


def table(measured, corrected, tasks):
    """Markdown: a table for each task, which fits a page, with a row for each transform and training."""
    keys = [*TESTED, PREFERENCE]
    tables = []
    for task in tasks:
        lines = [f"| {task} | {' | '.join(HEADS[key] for key in keys)} |", "|---" * (1 + len(keys)) + "|"]
        for condition in conditions():
            alpha, transform = condition
            cells = [cell(measured, corrected, (task, key, condition), references(condition)) for key in keys]
            training = UNTRAINED if alpha == UNTRAINED else f"alpha {alpha:g}"
            named = f", {of_task(transform, task)}" if transform else ""
            lines.append(f"| {training}{named} | " + " | ".join(cells) + " |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def run(arguments, tasks=TASKS):
    recipe, path = plan(arguments)
    work = Path(arguments.work)
    with reporting() as reporter:
        train_missing(work, arguments.data, recipe, path, reporter)
        evaluate_missing(work, tasks, arguments.dtype, reporter)
    measured = numbers(work, tasks)
    text = table(measured, tests(measured, comparisons(), tasks), tasks)
    print(text)
    if arguments.write:
        blocks.write("ablation-transformer", text)
