"""Training end to end on small made-up data: recipes, rows, overlap, the static and the transformer path."""

import csv
import gzip
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import toy_training as toy
from command_line import call, wait_until

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import load_encoder
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import Silent
from clirbench.training import run_recipe
from clirbench.training.recipe import SHIPPED, load_recipe, shipped_recipes
from clirbench.training.rows import read_rows, resolve

CLIRBENCH = Path(sys.executable).with_name("clirbench")


class Notes(Silent):
    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


@pytest.fixture(autouse=True)
def _offline(_isolated, monkeypatch, tmp_path):
    """An empty mirror: the demo task is at hand, the others can neither be loaded nor downloaded."""
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(tmp_path))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy.write_toy(tmp_path_factory.mktemp("data"))


@pytest.fixture
def recipe(data):
    path = data / "toy.toml"
    path.write_text(toy.RECIPE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def static(data, tmp_path_factory):
    """One whole static training, looked at by several tests."""
    path = data / "whole.toml"
    path.write_text(toy.RECIPE, encoding="utf-8")
    output = tmp_path_factory.mktemp("static")
    notes = Notes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIRBENCH_MIRROR", str(data))
        return run_recipe(path, {}, output, data, notes), output, notes


def test_the_shipped_recipes_are_valid():
    transformers = ["e5-small.toml", "minilm.toml", "paper-labse.toml", "paper-xlmr.toml"]
    assert shipped_recipes() == [*transformers, "static-e5.toml", "static.toml"]
    for name in shipped_recipes():
        recipe, path = load_recipe(name)
        assert path.name == name
        used = {file for source in recipe.source for file in source.files}
        assert used <= set(recipe.licences), f"{name}: licences missing for {used - set(recipe.licences)}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("size = 16", "size = 0"), ":14: 'batches.size'"),
        (('view = "answer"', 'view = "reply"'), ":43: 'source.1.view'"),
        (('"de", "th"]', '"de", "de"]'), "'languages' names one twice"),
        (("dimensions = 32", "dimensions = 33"), "'static.dimensions' is odd"),
        (("damping_texts = 90", "damping_texts = 9"), "'static.damping_texts' is below"),
        (("betas = [0.9, 0.99]", "betas = [0.9, 1.0]"), "'optimizer.betas.1'"),
        (("learning_rate = 0.02", "learning_rate = inf"), "'optimizer.learning_rate'"),
        (('name = "toy/static"', 'name = "../up"'), "'name'"),
        (('description = "a toy"', 'description = ""'), "'description'"),
        (("size = 16", 'size = "16"'), "'batches.size'"),
        (("[loss]", "[loss]\nsmooth = 1"), "'loss.smooth'"),
        (("scale = 16.0", ""), "missing key 'loss.scale': add it"),
        (("size = 16", "sizes = 16"), ":14: unknown key 'batches.sizes': remove it or correct its spelling"),
        (("sparse-adam", "adamw"), "'optimizer.name' must be sparse-adam with"),
        (
            ('name = "sparse-adam"', 'name = "sparse-adam"\nprecision = "bfloat16"'),
            "'optimizer.precision' is that of a transformer",
        ),
        (('name = "answers"', 'name = "prose"'), "two sources have one name"),
        (("monolingual = 1.0", "monolingual = 0.0"), "alpha is above 0"),
        (("format = 1", "format = 2"), "'format'"),
        (("[batches]", "[batches"), "not valid TOML"),
    ],
)
def test_bad_recipes_name_file_and_key(tmp_path, change, message):
    path = tmp_path / "bad.toml"
    path.write_text(toy.RECIPE.replace(*change), encoding="utf-8")
    with pytest.raises(ClirbenchError, match=r"bad\.toml") as error:
        load_recipe(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('["embeddings"]', '["layers"]'), ":33: 'model.freeze.0' has 'layers': use 'embeddings'"),
        (("vocabulary = 48000", "layers = 0"), ":32: 'model.layers' is wrong (Input should be greater than or equal to 1)"),
        (("vocabulary = 48000", "vocabulary = 4.8e4"), ":32: 'model.vocabulary' is wrong (Input should be a valid integer)"),
        (("trained_length = 64", "trained_length = 257"), ": 'model.trained_length' is above 'model.max_length'"),
        (("packed = true\n", ""), ": 'model.rounded_steps' rounds as the packed model is rounded: set packed = true"),
        (("steps = 1000", 'steps = 1\nprecision = "bf16"'), "'optimizer.precision' has 'bf16': use 'auto', 'float32' or"),
        (("weight = 1.0", "weight = nan"), ":41: 'teacher.weight' is wrong (Input should be a finite number)"),
        (("weight = 1.0", "weight = 0.0"), ": 'teacher.weight' is 0, so nothing learns from the teacher: leave [teacher] out"),
        (("centred = true", "center = true"), ":38: unknown key 'teacher.center'"),
        (("centred = true", 'sources = ["none"]'), ": 'teacher.sources' names 'none', which is no source: correct it"),
        (("centred = true", 'model = ""'), ":38: 'teacher.model' is empty: fill it in"),
    ],
)  # fmt: skip
def test_a_bad_recipe_of_a_transformer_is_one_line(tmp_path, change, message):
    path = tmp_path / "bad.toml"
    text = (SHIPPED / "e5-small.toml").read_text(encoding="utf-8")
    assert change[0] in text
    path.write_text(text.replace(*change, 1), encoding="utf-8")
    with pytest.raises(ClirbenchError) as error:
        load_recipe(path)
    assert str(error.value).startswith(f"{path}{message}" if message.startswith(":") else f"{path}:")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_rounding_is_refused_where_the_loss_cannot_round(tmp_path):
    path = tmp_path / "rounded.toml"
    path.write_text(
        'format = 1\nextends = "minilm.toml"\n[model]\npacked = true\nrounded_steps = 0.5\n', encoding="utf-8"
    )
    with pytest.raises(ClirbenchError, match=r"'model\.rounded_steps' cannot be used with 'loss\.cached_mini_batch'"):
        load_recipe(path, {"loss.cached_mini_batch": 8})


def test_a_recipe_extends_another(tmp_path):
    (tmp_path / "whole.toml").write_text(toy.RECIPE, encoding="utf-8")
    path = tmp_path / "part.toml"
    path.write_text('format = 1\nextends = "whole.toml"\nname = "toy/part"\n[batches]\nalpha = 0.1\n', encoding="utf-8")
    whole, _ = load_recipe(tmp_path / "whole.toml")
    part, where = load_recipe(path)
    assert where == path
    assert part == whole.model_copy(
        update={"name": "toy/part", "batches": whole.batches.model_copy(update={"alpha": 0.1})}
    )
    # A shipped recipe can be extended from anywhere.
    path.write_text('format = 1\nextends = "static.toml"\n[optimizer]\nsteps = 7\n', encoding="utf-8")
    assert load_recipe(path)[0].optimizer.steps == 7
    path.write_text('format = 1\nextends = "part2.toml"\n', encoding="utf-8")
    with pytest.raises(
        ClirbenchError, match=r"part\.toml: 'extends' names 'part2\.toml', which is neither beside it nor"
    ):
        load_recipe(path)
    (tmp_path / "broken.toml").write_text("[batches", encoding="utf-8")
    path.write_text('format = 1\nextends = "broken.toml"\n', encoding="utf-8")
    with pytest.raises(ClirbenchError, match=r"broken\.toml: not valid TOML"):
        load_recipe(path)
    path.write_text('format = 1\nextends = "static-e5.toml"\n', encoding="utf-8")
    with pytest.raises(ClirbenchError, match=r"'static-e5\.toml', which extends a recipe itself"):
        load_recipe(path)


def test_unknown_recipe_and_changes():
    with pytest.raises(ClirbenchError, match=r"no recipe 'nothing\.toml': .*static\.toml"):
        load_recipe("nothing.toml")
    assert load_recipe("static.toml", {"batches.alpha": 0.0})[0].batches.alpha == 0.0
    with pytest.raises(ClirbenchError, match=r"'batches\.alpha' was given as 2.0: .*: correct the option"):
        load_recipe("static.toml", {"batches.alpha": 2.0})


def lines(path, *rows):
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "view", "message"),
    [
        ('{"text": {"en": "a"}', "text", "rows.jsonl:2: not JSON"),
        ('["a"]', "text", "rows.jsonl:2: not an object: write one JSON object a line"),
        ('{"texts": {}}', "text", "rows.jsonl:2: no column 'text'"),
        ('{"text": "a"}', "text", "rows.jsonl:2: 'text' must be an object"),
        ('{"text": {"en": 3}}', "text", "rows.jsonl:2: 'text.en' must be text"),
        ('{"text": []}', "text", "rows.jsonl:2: 'text' must be an object"),
        ('{"text": {"en": "\\ud800"}}', "text", "rows.jsonl:2: field 'text' holds half of a character"),
        ('{"text": {"en": "a"}, "alternatives": {"de": "Hallo"}}', "text", "'alternatives.de' must be a list"),
        ('{"text": {"en": "a"}, "alternatives": 3}', "text", "'alternatives' must be an object"),
        (f'{{"id": {"1" * 5000}}}', "text", "rows.jsonl:2: not JSON"),
        ("[" * 100_000, "text", "rows.jsonl:2: not JSON"),
        ('{"question": {"en": "a"}}', "answer", "rows.jsonl:2: no column 'answer'"),
    ],
)
def test_bad_rows_name_file_and_line(tmp_path, row, view, message):
    good = '{"text": {"en": "a"}, "question": {"en": "q"}, "answer": {"en": "a"}}'
    with pytest.raises(ClirbenchError) as error:
        list(read_rows(lines(tmp_path / "rows.jsonl", good, row), view))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_rows_from_every_kind_of_place(tmp_path):
    from datasets import Dataset

    rows = [{"id": "1", "text": {"en": "one", "de": "eins"}}, {"id": "2", "text": {"en": "two", "de": None}}]
    expected = [("1", {"en": "one", "de": "eins"}), ("2", {"en": "two"})]
    folder = tmp_path / "folder"
    folder.mkdir()
    lines(folder / "a.jsonl", json.dumps(rows[0]))
    with gzip.open(folder / "b.jsonl.gz", "wt") as file:
        file.write(json.dumps(rows[1]) + "\n\n")
    Dataset.from_list(rows).save_to_disk(tmp_path / "saved")
    Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
    for place in (folder, tmp_path / "saved", tmp_path / "rows.parquet"):
        assert [(row.id, row.queries) for row in read_rows(place, "text")] == expected, place
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.jsonl.gz").write_bytes((folder / "b.jsonl.gz").read_bytes()[:-12])
    with pytest.raises(ClirbenchError, match=r"empty: no \.jsonl"):
        list(read_rows(tmp_path / "empty", "text"))
    with pytest.raises(ClirbenchError, match=r"cut\.jsonl\.gz: cannot be read"):
        list(read_rows(tmp_path / "cut.jsonl.gz", "text"))


def test_a_data_set_on_the_hub(monkeypatch):
    import datasets

    asked = []

    def load(name, config, split):
        asked.append((name, config, split))
        return [{"text": {"en": "one"}}]

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert [row.queries for row in read_rows("hf:org/set:fr", "text")] == [{"en": "one"}]
    assert asked == [("org/set", "fr", "train")]
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: 1 / 0)
    with pytest.raises(ClirbenchError, match="hf:org/set: cannot be loaded"):
        list(read_rows("hf:org/set", "text"))
    assert resolve("hf:org/set", []) == "hf:org/set"


def test_columns_that_may_be_absent_and_alternatives(tmp_path):
    path = lines(
        tmp_path / "x.jsonl",
        '{"text": {"en": "a"}, "alternatives": {"de": ["b", "c"], "th": []}}',
        '{"text": {"en": "d"}, "gloss": {"en": "e"}}',
    )
    assert [row.queries for row in read_rows(path, "text")] == [{"en": "a", "de": "b"}, {"en": "d"}]
    assert [row.candidates for row in read_rows(path, "gloss")] == [{"en": "e"}]


def test_static_training_learns_and_ships(static):
    trained, output, notes = static
    dev = trained.record["dev"]
    with (output / "checkpoints" / "log.csv").open() as file:
        first, *_, last = csv.DictReader(file)
    assert float(last["loss"]) < float(first["loss"])
    assert dev["trained"]["cross-lingual.mAP"] > 0.6
    # Four bits and damping move little, and cannot be a stub: they do move something.
    assert abs(dev["packed"]["multilingual.mAP"] - dev["damped"]["multilingual.mAP"]) < 0.1
    assert dev["packed"] != dev["damped"] != dev["trained"]
    assert any("left out because the dev task has their text" in line for line in notes.lines)
    names = {path.name for path in (output / "model").rglob("*") if path.is_file()}
    assert "model.safetensors" in names
    assert not any(name.endswith((".bin", ".pkl")) for name in names)


def test_the_model_folder_is_a_plain_sentence_transformer(static):
    from sentence_transformers import SentenceTransformer

    from clirbench.encoders.packed import PackedEncoder, to_sentence_transformer

    trained, output, _ = static
    texts = [toy.sentence(x, [1, 2, 3]) for x in toy.LANGUAGES]
    plain = SentenceTransformer(str(trained.model), device="cpu").encode(texts)
    packed = PackedEncoder(output / "packed")
    cosine = (plain * packed.encode_queries(texts)).sum(1) / (
        np.linalg.norm(plain, axis=1) * np.linalg.norm(packed.encode_queries(texts), axis=1)
    )
    assert cosine.min() > 0.98
    # Fast path against slow path: the same weights through torch.
    slow = to_sentence_transformer(output / "packed").encode(texts)
    assert np.allclose(slow, packed.encode_candidates(texts), atol=1e-5)
    assert np.abs(packed.encode_queries(["?!"])).max() > 0
    assert load_encoder(str(trained.model), EncoderOptions()).info.parameters == packed.parameters


def test_the_log_and_the_card(static):
    trained, output, _ = static
    with (output / "checkpoints" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(2, 25, 2))
    assert float(rows[-1]["multilingual.mAP"]) == pytest.approx(trained.record["dev"]["trained"]["multilingual.mAP"])
    card = (trained.model / "README.md").read_text(encoding="utf-8")
    for part in (
        "toy/static",
        "parallel.jsonl",
        "Checked against demo",
        "not stated in the recipe",
        "multilingual.mAP",
    ):
        assert part in card
    assert "zero-shot" not in card
    rows = trained.record["rows"]
    assert rows["parallel.jsonl"] + trained.record["left_out_for_dev"].get("parallel.jsonl", 0) == 120


def test_a_second_run_keeps_and_another_recipe_is_refused(static, data):
    _, output, _ = static
    notes = Notes()
    run_recipe(data / "whole.toml", {}, output, data, notes)
    assert any("kept" in line for line in notes.lines)
    with pytest.raises(ClirbenchError, match="holds a training of another recipe"):
        run_recipe(data / "whole.toml", {"seed": 2}, output, data, Silent())


def test_a_folder_with_other_things_is_left_alone(recipe, data, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.tex").write_text("precious")
    for force in (False, True):
        with pytest.raises(ClirbenchError, match="is not empty and holds no training"):
            run_recipe(recipe, {}, folder, data, Silent(), force=force)
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("name", "kind"), [("checkpoints", "a folder"), ("model", "a folder"), ("training.json", "a file")]
)
def test_something_else_in_the_place_of_an_output(recipe, data, tmp_path, name, kind):
    if kind == "a file":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text("precious")
    with pytest.raises(ClirbenchError, match=f"{name} is not {kind}: move it away"):
        run_recipe(recipe, {}, tmp_path, data, Silent())
    assert (tmp_path / name).exists()


def test_evaluation_text_stops_the_training(monkeypatch, tmp_path):
    from clirbench.tasks.collection import load_collection
    from clirbench.tasks.task_file import load_task

    demo = load_collection(load_task("demo"), ["en", "th"])
    start = demo.candidate_starts
    english, thai = demo.candidates[0], demo.candidates[start[1]]
    rows = [
        {"id": "whole", "text": {"en": demo.queries[0].upper(), "de": "ja"}},
        {"id": "inside", "text": {"en": f"As they say: {english}, and so on", "de": "nein"}},
        {"id": "thai", "text": {"th": f"ว่า{thai}ครับ", "de": "doch"}},
        {"id": "other language", "text": {"de": english, "en": "fine"}},
    ]
    folder = tmp_path / "data"
    toy.write_toy(folder)
    with (folder / "parallel.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path = folder / "r.toml"
    path.write_text(toy.RECIPE, encoding="utf-8")
    with pytest.raises(ClirbenchError) as error:
        run_recipe(path, {}, tmp_path / "out", folder, Silent())
    message = str(error.value)
    assert message.startswith("4 training rows hold text of demo")
    for row in ("whole", "inside", "thai", "other language"):
        assert f"parallel.jsonl: {row}" in message
    assert not (tmp_path / "out").exists()
    with pytest.raises(ClirbenchError, match="mlqa-r, xquad-r cannot be loaded to look for them"):
        run_recipe(path, {"overlapping_rows": "drop"}, tmp_path / "out", folder, Silent())
    monkeypatch.setattr("clirbench.training.prepare.list_tasks", lambda: ["demo"])
    dropped = run_recipe(
        path, {"overlapping_rows": "drop", "optimizer.steps": 8}, tmp_path / "dropped", folder, Silent()
    )
    assert "4 overlapping rows, all left out" in (dropped.model / "README.md").read_text(encoding="utf-8")
    assert dropped.record["rows"]["parallel.jsonl"] == 120
    trained = run_recipe(path, {"optimizer.steps": 8}, tmp_path / "out", folder, Silent(), allow_overlap=True)
    card = (trained.model / "README.md").read_text(encoding="utf-8")
    assert "not zero-shot" in card
    assert "4 overlapping rows" in card
    assert trained.record["rows"]["parallel.jsonl"] == 124
    kept = run_recipe(
        path,
        {"overlapping_rows": "drop", "optimizer.steps": 8},
        tmp_path / "kept",
        folder,
        Silent(),
        allow_overlap=True,
    )
    assert kept.record["rows"]["parallel.jsonl"] == 124


def test_of_a_set_of_the_hub_queries_and_golds_are_looked_for(tiny):
    from clirbench.tasks.task_file import load_task
    from clirbench.training.dev import protect

    texts = ("en question 1", "zh gold 2", "en wrong 0 1")
    whole = protect([tiny()])
    assert [whole.find(text[:2], text) is not None for text in texts] == [True, True, True]
    on_hub = protect([replace(tiny(), task=load_task("mupler"))])
    assert [on_hub.find(text[:2], text) is not None for text in texts] == [True, True, False]


def test_overlap_is_found_through_invisible_marks():
    from clirbench.training.overlap import Protected

    protected = Protected()
    protected.add("en", ["one two three four five six seven eight nine"])
    protected.add("ar", ["كتب الولد الدرس"])
    assert protected.find("en", "0 Two three\u200b four, five six seven-eight ni\u00adne ten")
    assert protected.find("en", "two three four five six seven eight 9") is None
    assert protected.find("ar", "كَتَبَ الوـــلد الدرس")
    assert protected.find("de", "One two three four five six seven eight nine.")
    assert protected.find("de", "two three four five six seven eight nine") is None


def environment(folder):
    return os.environ | {"CLIRBENCH_CACHE": str(folder / "cache"), "CLIRBENCH_MIRROR": str(folder)}


@pytest.mark.slow
def test_killed_and_resumed_it_ends_the_same(recipe, data, static, tmp_path):
    """Signal 9 after the second checkpoint; the whole run that it must equal is the module's."""
    output = tmp_path / "out"
    # It hangs in step 20 for good.
    hanging = (
        "import threading, torch\n"
        "step, steps = torch.optim.SparseAdam.step, []\n"
        "def until_20(*args, **kwargs):\n"
        "    steps.append(1)\n"
        "    if len(steps) == 20: threading.Event().wait()\n"
        "    return step(*args, **kwargs)\n"
        "torch.optim.SparseAdam.step = until_20\n"
        "from clirbench.cli import main\n"
        "main()\n"
    )
    command = ["train", str(recipe), "--data", str(data), "--output", str(output)]
    with subprocess.Popen(
        [sys.executable, "-c", hanging, *command], env=environment(tmp_path), stderr=subprocess.DEVNULL
    ) as process:
        checkpoint = output / "checkpoints" / "checkpoint-16" / "trainer_state.json"
        wait_until(checkpoint.exists, process, seconds=120)
        process.kill()
    # As if it had been killed while it wrote the next one, and the folder then moved.
    partial = output / "checkpoints" / "checkpoint-23"
    shutil.copytree(output / "checkpoints" / "checkpoint-16", partial)
    (partial / "trainer_state.json").unlink()
    output = output.rename(tmp_path / "moved")
    command[-1] = str(output)
    ran = subprocess.run([CLIRBENCH, *command], env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "continuing after step" in ran.stderr
    assert f"clirbench run --model {output / 'model'}" in ran.stdout
    record = json.loads((output / "training.json").read_text())
    for stage, scores in static[0].record["dev"].items():
        for name, value in scores.items():
            assert record["dev"][stage][name] == pytest.approx(value, abs=1e-6), (stage, name)
    log, whole = ((folder / "checkpoints" / "log.csv").read_text() for folder in (output, static[1]))
    losses = [[row["loss"] for row in csv.DictReader(text.splitlines()) if row.get("loss")] for text in (log, whole)]
    assert len(losses[0]) == 12
    assert losses[0] == losses[1]


def test_force_loses_nothing_before_the_new_training_is_sound(data, static):
    _, output, _ = static
    before = sorted(path.name for path in output.iterdir())
    for changes, message in (
        ({"dev.source": [{"file": "nothing.jsonl", "topics": 1}]}, "no training data"),
        ({"dev.metric": "multilingual.MAP"}, "choose from native.mAP"),
    ):
        with pytest.raises(ClirbenchError, match=message):
            run_recipe(data / "whole.toml", changes, output, data, Silent(), force=True)
        assert sorted(path.name for path in output.iterdir()) == before


@pytest.mark.parametrize("rounded", ["", "packed = true\nrounded_steps = 1.0\n"])
def test_early_stopping_survives_a_kill(tiny_xlmr, data, tmp_path, monkeypatch, rounded):
    """Killed after the stop, before the model was saved: it must not train on, and must keep the best weights."""
    from clirbench.training import fit

    model = f'[model]\nbase = "{tiny_xlmr.as_posix()}"\nmax_length = 64\n{rounded}'
    # A rate of next to nothing: no evaluation beats the first.
    optimizer = toy.OPTIMIZER.replace("sparse-adam", "adamw").replace("0.02", "1e-12").replace("24", "40")
    dev = toy.DEV.replace("every = 8", "every = 2\npatience = 2")
    recipe = tmp_path / "stop.toml"
    recipe.write_text(toy.HEAD + model + toy.BATCHES + optimizer + dev + toy.SOURCES, encoding="utf-8")
    whole = run_recipe(recipe, {}, tmp_path / "whole", data, Silent())
    assert fit.last_checkpoint(tmp_path / "whole" / "checkpoints").name == "checkpoint-6"
    weights = (whole.model / "model.safetensors").read_bytes()
    for name in ("model", "training.json"):
        path = tmp_path / "whole" / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            record = json.loads(path.read_text())
            path.write_text(json.dumps({key: record[key] for key in record if key != "finished"}))
    monkeypatch.setattr(fit._Trainer, "train", lambda *args, **kwargs: pytest.fail("it trained on"))
    again = run_recipe(recipe, {}, tmp_path / "whole", data, Silent())
    assert again.record["dev"] == whole.record["dev"]
    assert (again.model / "model.safetensors").read_bytes() == weights


def test_alpha_decides_which_pairs_are_read(recipe, data, tmp_path):
    from clirbench.training.prepare import prepare, static_data, tokenise

    read, _ = load_recipe(recipe)
    prepared = prepare(read, [data], Silent())
    tokenised = tokenise(prepared, tmp_path, Silent())
    for alpha, expected in ((1.0, {True}), (0.0, {False}), (0.5, {True, False})):
        run = read.model_copy(update={"batches": read.batches.model_copy(update={"alpha": alpha})})
        pairs = static_data(replace(prepared, recipe=run), tokenised).pairs
        table = pairs.data.table.to_pandas()
        assert set((table.query_language == table.candidate_language).tolist()) == expected
    rows = pairs[[0, 5]]
    assert {name: len(column) for name, column in rows.items()} == {"query": 2, "candidate": 2, "topic": 2}


@pytest.fixture(scope="module")
def tiny_xlmr(tmp_path_factory):
    return tiny_models.toy_xlmr(tmp_path_factory.mktemp("xlmr"))


@pytest.mark.parametrize("name", ["paper-xlmr.toml", "paper-labse.toml", "minilm.toml", "e5-small.toml"])
def test_transformer_recipes_run_end_to_end(name, tiny_xlmr, data, tmp_path):
    """The shipped recipes, with a tiny base, toy data and few steps in place of theirs."""
    from sentence_transformers import SentenceTransformer

    source = {"name": "all", "view": "text", "files": ["parallel.jsonl"], "monolingual": 1.0, "cross_lingual": 1.0}
    changes = {
        "optimizer.steps": 6,
        "batches.size": 8,
        "languages": ["en", "de", "th"],
        "source": [source],
        "dev": {"every": 3, "patience": 1, "source": [{"file": "qa.jsonl", "topics": 8, "languages": 3}]},
        "model.pooling": "mean",
        "model.max_length": 64,
        "model.base": str(tiny_xlmr),
        "overlapping_rows": "stop",
    }
    if name == "e5-small.toml":
        # The toy data have too few rows for means.
        changes["teacher.centred"] = False
    trained = run_recipe(name, changes, tmp_path / "out", data, Silent())
    model = SentenceTransformer(str(trained.model), device="cpu")
    assert model.prompts["query"] == trained.record["recipe"]["model"]["query_prompt"]
    assert model.max_seq_length == 64
    start = SentenceTransformer(str(tiny_xlmr), device="cpu")
    text = toy.sentence("en", [1, 2, 3])
    assert not np.allclose(model.encode(text), start.encode(text), atol=1e-4)
    assert "Limits" in (trained.model / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_two_processes_train_one_model(tiny_xlmr, data, tmp_path):
    """torchrun on two CPU processes: they share the batches, and one of them writes."""
    model = f'[model]\nbase = "{tiny_xlmr.as_posix()}"\nmax_length = 64\n'
    optimizer = toy.OPTIMIZER.replace("sparse-adam", "adamw").replace("24", "4")
    recipe = tmp_path / "two.toml"
    recipe.write_text(
        toy.HEAD + model + toy.BATCHES + optimizer + toy.DEV.replace("every = 8", "every = 2") + toy.SOURCES,
        encoding="utf-8",
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    output = tmp_path / "out"
    command = ["-m", "clirbench", "train", str(recipe), "--data", str(data), "--output", str(output)]
    ran = subprocess.run(
        [*torchrun, *command],
        timeout=300,
        env=environment(tmp_path) | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    record = json.loads((output / "training.json").read_text())
    assert record["finished"]
    state = json.loads((output / "checkpoints" / "checkpoint-4" / "trainer_state.json").read_text())
    assert (state["global_step"], state["train_batch_size"]) == (4, 16)
    assert {path.name for path in (output / "checkpoints" / "checkpoint-4").glob("rng_state*")} == {
        "rng_state_0.pth",
        "rng_state_1.pth",
    }


@pytest.mark.parametrize("directions", ["forward", "symmetric", "all"])
def test_the_cached_loss_gives_the_same_gradient(tiny_xlmr, directions):
    import torch

    from clirbench.training.base_model import base_model
    from clirbench.training.losses import make_loss
    from clirbench.training.recipe import LossPart, TransformerPart

    texts = [[toy.sentence(x, [i, i + 1, i + 2]) for i in range(6)] for x in ("en", "de")]
    gradients = []
    for cached in (0, 2):
        model = base_model(TransformerPart(base=str(tiny_xlmr), max_length=32)).to("cpu")
        model.eval()
        loss = make_loss(model, LossPart(scale=20.0, directions=directions, cached_mini_batch=cached))
        loss([model.preprocess(side) for side in texts], None).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.allclose(gradients[0], gradients[1], atol=1e-5)


def test_a_base_that_is_not_there(data, tmp_path):
    recipe = tmp_path / "r.toml"
    model = f'[model]\nbase = "{tmp_path.as_posix()}/nowhere"\n'
    text = toy.HEAD + model + toy.BATCHES + toy.OPTIMIZER.replace("sparse-adam", "adamw") + toy.SOURCES
    recipe.write_text(text, encoding="utf-8")
    with pytest.raises(ClirbenchError, match="cannot load base model"):
        run_recipe(recipe, {}, tmp_path / "out", data, Silent())


def test_a_base_with_broken_weights(tiny_xlmr, data, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny_xlmr, base)
    (base / "model.safetensors").write_bytes(b"no weights at all")
    recipe = tmp_path / "r.toml"
    model = f'[model]\nbase = "{base.as_posix()}"\n'
    text = toy.HEAD + model + toy.BATCHES + toy.OPTIMIZER.replace("sparse-adam", "adamw") + toy.SOURCES
    recipe.write_text(text, encoding="utf-8")
    with pytest.raises(ClirbenchError, match=r"cannot load base model .*correct 'model.base'"):
        run_recipe(recipe, {}, tmp_path / "out", data, Silent())


def test_mistakes_on_the_command_line(tmp_path, data, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments, message in (
        (["train", "nothing.toml"], "no recipe 'nothing.toml'"),
        (["train", "static.toml", "--alpha", "2"], "'batches.alpha'"),
        (["train", "static.toml", "--data", "nowhere"], "--data is 'nowhere'"),
        (["train", "static.toml", "--data", str(data)], "no training data 'qa.ms_beginners.jsonl.gz'"),
    ):
        mistake = call(*arguments).exception
        assert isinstance(mistake, ClirbenchError), mistake
        assert message in str(mistake)
        assert "\n" not in str(mistake)


def test_dev_scores_on_the_screen_are_in_points_of_100():
    from clirbench.training.fit import dev_line

    logs = {"eval_multilingual.mAP": 0.30794, "eval_bias.rank_distance": 1234.5, "eval_runtime": 3.0, "loss": 0.5}
    assert dev_line(logs) == "dev multilingual.mAP x100 30.8, bias.rank_distance 1,234.5"


def test_a_packed_model_of_either_kind_is_bundled_in_the_place_of_an_older_one(static, tmp_path):
    from clirbench.encoders.packed_transformer import write_packed_transformer
    from clirbench.encoders.revision import folder_revision
    from clirbench.training.bundle import bundle

    trained = shutil.copytree(static[1], tmp_path / "trained")
    folder = bundle(trained, models=tmp_path / "models")
    assert folder == tmp_path / "models" / "static"
    assert folder_revision(folder) == folder_revision(trained / "packed")
    assert (folder / "README.md").read_text(encoding="utf-8").startswith("---\nlibrary_name")
    shutil.rmtree(trained / "packed")
    with pytest.raises(ClirbenchError, match=r"holds no finished training with a packed model: run clirbench train"):
        bundle(trained, models=tmp_path / "models")
    write_packed_transformer(tiny_models.unigram_model(tmp_path / "body"), trained / "packed")
    assert bundle(trained, models=tmp_path / "models") == folder
    assert folder_revision(folder) == folder_revision(trained / "packed")
    assert load_encoder(str(folder)).info.kind == "packed"
