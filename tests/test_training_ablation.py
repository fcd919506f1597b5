"""The ablations of the benchmarks: their tests, marks and tables, on numbers and models that are made here."""

import shutil
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import toy_training as toy
from tiny_models import tiny_bert

import clirbench
from clirbench.tasks.task_file import load_task

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(ROOT / "benchmarks") in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def measured(values, noise=0.01, spread=None):
    """A number by seed, with bootstrap samples that share their topics."""
    from ablation_table import Measured

    values = np.array(values)
    topics = noise * np.random.default_rng(0).standard_normal(1000)
    own = 0.1 * noise * np.random.default_rng(len(values)).standard_normal((len(values), 1000))
    variance = values.var(ddof=1) if spread is None else spread
    return Measured(values, values[:, None] + topics + own, variance, 3 if variance else 1)


def test_a_difference_is_judged_by_topics_and_seeds():
    from ablation_table import difference_p

    three, one, untrained = (
        measured([0.50, 0.51, 0.49]),
        measured([0.45], spread=1e-4),
        measured([0.45], spread=0.0),
    )
    # 5 points at a standard error of 1 point for one training and of 0.6 for the mean of three; two degrees of freedom.
    assert 0.03 < difference_p(three, one) < 0.08
    assert difference_p(three, untrained) < difference_p(three, one)
    assert difference_p(one, untrained) == pytest.approx(1)
    # As many seeds on both sides: each seed's runs against each other, so that what seeds share cancels out.
    moved = measured([0.52, 0.53, 0.51])
    assert difference_p(moved, three) < 1e-6 < difference_p(moved, one)


def test_marks_say_better_and_worse_and_for_distance_lower_is_better():
    import ablation_transformer as transformer
    from ablation_table import PREFERENCE, TESTED, tests

    def numbers(share, ranks, preference, spread):
        shares = {key: measured([share], 0.001, spread) for key in TESTED[:3]}
        return shares | {TESTED[3]: measured([ranks], 1.0, spread * 1e6), PREFERENCE: measured([preference], 1.0, 0.0)}

    made = {}
    for transform in transformer.TRANSFORMS:
        made["demo", (transformer.UNTRAINED, transform)] = numbers(0.3 if transform is None else 0.5, 900.0, 4.0, 0.0)
        for alpha in (0.0, 0.5, 1.0):
            made["demo", (alpha, transform)] = numbers(0.4, 700.0, 1.5, 1e-8)
    corrected = tests(made, transformer.comparisons(), ["demo"])
    lines = transformer.table(made, corrected, ["demo"]).splitlines()
    assert len(lines) == 2 + 12
    plain = next(line for line in lines if line.startswith("| alpha 0.5 |"))
    assert plain.split(" | ")[1:] == ["40.0 (▲n ▼c)"] * 3 + ["700 (▲n ▲c)", "x1.50 |"]
    centred = next(line for line in lines if line.startswith("| alpha 1, center |"))
    assert centred.split(" | ")[1:] == ["40.0 (▼n)"] * 3 + ["700 (▲n)", "x1.50 |"]


def test_every_task_has_more_languages_than_directions_are_removed():
    import ablation_transformer as transformer

    for task in transformer.TASKS:
        directions = int(transformer.of_task("lsar", task).removeprefix("lsar:"))
        assert 0 < directions < len(load_task(task).languages)


def test_xnli_is_read_as_its_file_has_it(tmp_path):
    import transfer

    file = tmp_path / "xnli.de.test.tsv"
    file.write_text("A.\tB.\tentailment\nA.\tC.\tneutral\nA.\tD.\tcontradiction\n", encoding="utf-8")
    _, pairs = transfer.whole_xnli(tmp_path / "xnli", file)
    assert pairs == {"de": [("A.", "B.", 0), ("A.", "C.", 1), ("A.", "D.", 2)]}
    file.write_text("A.\tB.\tno\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"xnli\.de\.test\.tsv:1: not a premise, a hypothesis and a label"):
        transfer.whole_xnli(tmp_path / "xnli", file)
    with pytest.raises(SystemExit, match="its name does not say which language"):
        transfer.whole_xnli(tmp_path / "xnli", file.rename(tmp_path / "test.tsv"))


def stop(dtype):
    raise RuntimeError(f"stop at {dtype}")


def test_a_transformer_is_trained_where_it_is_missing_and_taken_where_it_is_there(tmp_path, monkeypatch, capsys):
    import ablation_transformer as transformer
    import transfer

    # An empty mirror: nothing is downloaded.
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(tmp_path))
    recipe = tmp_path / "recipe.toml"
    model = f'[model]\nbase = "{tiny_bert(tmp_path / "bert", head=False).as_posix()}"\nmax_length = 32\n'
    optimizer = toy.OPTIMIZER.replace("sparse-adam", "adamw")
    recipe.write_text(toy.HEAD + model + toy.BATCHES + optimizer + toy.DEV + toy.SOURCES, encoding="utf-8")
    data, work = toy.write_toy(tmp_path / "data"), tmp_path / "work"
    given = Namespace(
        base="e5",
        recipe=str(recipe),
        steps=6,
        batch_size=8,
        learning_rate=None,
        dtype="float32",
        data=data,
        work=work,
        write=False,
    )
    monkeypatch.setattr(transformer, "TRANSFORMS", (None, "center", "lsar:2"))
    transformer.run(given, ["demo"])
    first = capsys.readouterr().out
    assert sorted(path.name for path in (work / "models").iterdir()) == [
        "0-1",
        "0.5-1",
        "0.5-2",
        "0.5-3",
        "1-1",
        "none",
    ]
    assert len(first.splitlines()) == 2 + 12
    revisions = {path: clirbench.read_result(path).document.model.revision for path in work.glob("results/*/demo.json")}
    assert (len(revisions), len(set(revisions.values()))) == (18, 6)

    # Nothing is done twice; a model that somebody put in the place of another is evaluated, and no other.
    monkeypatch.setattr("clirbench.training.train.train", lambda *args, **kwargs: pytest.fail("it trained again"))
    shutil.copytree(work / "models" / "1-1", work / "models" / "0-1", dirs_exist_ok=True)
    asked = []
    evaluate = clirbench.evaluate
    monkeypatch.setattr(clirbench, "evaluate", lambda *args, **kwargs: asked.append(args) or evaluate(*args, **kwargs))
    transformer.run(given, ["demo"])
    assert asked == [(str(work / "models" / "0-1"), "demo")] * 3
    second = capsys.readouterr().out.splitlines()
    # In another precision, all are encoded again.
    monkeypatch.setattr(clirbench, "evaluate", lambda *args, options, **kwargs: stop(options.dtype))
    with pytest.raises(RuntimeError, match="stop at bfloat16"):
        transformer.run(Namespace(**vars(given) | {"dtype": "bfloat16"}), ["demo"])
    alphas = [next(line for line in second if line.startswith(f"| alpha {alpha} |")) for alpha in (0, 1)]
    assert alphas[0].split("(")[0].split("|")[2:] == alphas[1].split("(")[0].split("|")[2:]
    assert list(transfer.transformers(given)) == ["none", "alpha 0", "alpha 0.5", "alpha 1"]

    shutil.rmtree(work / "models" / "none")
    with pytest.raises(SystemExit, match="holds runs of another recipe or other data"):
        transformer.run(Namespace(**vars(given) | {"steps": 7}), ["demo"])
