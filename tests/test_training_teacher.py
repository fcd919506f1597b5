"""A frozen teacher: each text is encoded once, and what is learned is its vector, centred by language."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import toy_training as toy

pytest.importorskip("accelerate")

from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import Silent
from clirbench.training import run_recipe, teacher, train
from clirbench.training.base_model import base_model
from clirbench.training.prepare import prepare
from clirbench.training.recipe import TransformerPart, load_recipe
from clirbench.training.teacher import make_targets


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_models.toy_xlmr(tmp_path_factory.mktemp("xlmr"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy.write_toy(tmp_path_factory.mktemp("data"))


def write(path, base, teaching="[teacher]\n", model="", optimizer=None, head=toy.HEAD):
    part = f'[model]\nbase = "{Path(base).as_posix()}"\nmax_length = 64\nquery_prompt = "q "\n{model}'
    steps = optimizer or toy.OPTIMIZER.replace("sparse-adam", "adamw").replace("24", "6")
    path.write_text(head + part + teaching + toy.BATCHES + steps + toy.RUNNING, encoding="utf-8")
    return path


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize("target", ["row", "middle", "text"])
@pytest.mark.parametrize("centred", [True, False])
def test_targets_are_those_that_a_loop_makes(base, data, tmp_path, monkeypatch, target, centred):
    monkeypatch.setattr(teacher, "_FEWEST", 20)
    monkeypatch.setattr(teacher, "_SHARD", 50)
    text = f'[teacher]\ntarget = "{target}"\ncentred = {str(centred).lower()}\n'
    recipe, _ = load_recipe(write(tmp_path / "r.toml", base, text))
    corpus = prepare(recipe, [data], Silent()).corpus
    made = make_targets(corpus, recipe, tmp_path / "teacher", "float32", Silent())
    model = base_model(recipe.model).eval()
    prompts = {"query": "q ", "candidate": ""}
    complete = [row for s in corpus.sources for row in s.candidates.tolist() if min(row) >= 0]
    encode = lambda texts, side: unit(model.encode([prompts[side] + corpus.texts[i] for i in texts]))  # noqa: E731
    means = {
        side: [encode([row[x] for row in complete], side).mean(axis=0) if centred else 0.0 for x in range(3)]
        for side in prompts
    }
    first = 0
    for source in corpus.sources:
        both = np.array_equal(source.queries, source.candidates)
        for side, columns in (("query", source.queries), ("candidate", source.candidates)):
            role = "candidate" if both else side
            for number, row in enumerate(columns.tolist()):
                if number % 7:
                    continue
                there = [x for x in range(3) if row[x] >= 0]
                own = {x: unit(encode([row[x]], role)[0] - means[role][x]) for x in there}
                if target == "row":
                    expected = [unit(sum(own.values()))]
                    got = [made.of(side, np.array([-1]), np.array([first + number]))[0].numpy()]
                else:
                    shared = unit(sum(own.values())) if target == "middle" else 0.0
                    expected = [unit(vector + shared) for vector in own.values()]
                    got = [made.of(side, np.array([row[x]]), np.array([-1]))[0].numpy() for x in there]
                assert np.allclose(got, expected, rtol=0, atol=4e-3)
        first += len(source.queries)


def test_vectors_that_are_there_are_not_computed_again(base, data, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher, "_FEWEST", 20)
    monkeypatch.setattr(teacher, "_SHARD", 40)
    recipe, _ = load_recipe(write(tmp_path / "r.toml", base))
    corpus = prepare(recipe, [data], Silent()).corpus
    encode, counted = teacher._encode, []
    monkeypatch.setattr(teacher, "_encode", lambda *given: counted.append(given) or encode(*given))
    first = make_targets(corpus, recipe, tmp_path / "teacher", "float32", Silent())
    shards = len(counted)
    assert shards > 5
    # Killed while it wrote the last shard: one shard is lost.
    last = sorted((tmp_path / "teacher").glob("query-*.npy"))[-1]
    last.unlink()
    again = make_targets(corpus, recipe, tmp_path / "teacher", "float32", Silent())
    assert len(counted) == shards + 1
    for side in first.vectors:
        np.testing.assert_array_equal(first.vectors[side], again.vectors[side])


def test_rows_that_the_teacher_does_not_encode_have_no_target(base, data, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher, "_FEWEST", 5)
    recipe, _ = load_recipe(write(tmp_path / "r.toml", base, "[teacher]\nrows = 10\n"))
    corpus = prepare(recipe, [data], Silent()).corpus
    made = make_targets(corpus, recipe, tmp_path / "teacher", "float32", Silent())
    first = 0
    for source in corpus.sources:
        size = len(source.queries)
        for side in ("query", "candidate"):
            there = made.vectors[side][first : first + size].any(axis=1)
            assert np.flatnonzero(there).tolist() == np.linspace(0, size - 1, 10).astype(int).tolist()
        first += size


def test_sources_and_length_of_what_the_teacher_reads(base, data, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher, "_FEWEST", 5)
    recipe, _ = load_recipe(write(tmp_path / "r.toml", base, '[teacher]\nsources = ["prose"]\nmax_length = 6\n'))
    corpus = prepare(recipe, [data], Silent()).corpus
    lengths = []
    encode = teacher._encode
    monkeypatch.setattr(
        teacher, "_encode", lambda model, *given: lengths.append(model.max_seq_length) or encode(model, *given)
    )
    made = make_targets(corpus, recipe, tmp_path / "teacher", "float32", Silent())
    assert set(lengths) == {6}
    first = 0
    for source in corpus.sources:
        size = len(source.queries)
        taught = made.vectors["candidate"][first : first + size].any(axis=1)
        assert taught.all() if source.part.name == "prose" else not taught.any()
        first += size


def test_too_few_rows_in_all_languages(base, data, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher, "_FEWEST", 1000)
    recipe, _ = load_recipe(write(tmp_path / "r.toml", base))
    with pytest.raises(ClirbenchError, match=r"rows have a text in each of en, de, th, too few .*centred = false"):
        make_targets(prepare(recipe, [data], Silent()).corpus, recipe, tmp_path / "t", "float32", Silent())


@pytest.mark.parametrize(
    ("model", "told"), [("layers = 99\n", "'layers' is 99"), ("vocabulary = 3\n", "'vocabulary' is 3, but")]
)
def test_a_wrong_size_is_told_before_the_teacher_reads_the_texts(base, data, tmp_path, monkeypatch, model, told):
    monkeypatch.setattr(train, "make_targets", lambda *given: pytest.fail("the teacher was asked"))
    recipe = write(tmp_path / "r.toml", base, "[teacher]\n", model)
    with pytest.raises(ClirbenchError, match=told):
        run_recipe(recipe, {}, tmp_path / "out", data, Silent())


def test_a_student_comes_near_its_teacher_and_leaves_its_embeddings(base, data, tmp_path, monkeypatch):
    from sentence_transformers import SentenceTransformer

    from clirbench.encoders.packed import to_sentence_transformer

    monkeypatch.setattr(teacher, "_FEWEST", 20)
    model = 'freeze = ["embeddings"]\nvocabulary = 120\nlayers = 1\npacked = true\nrounded_steps = 0.5\ntrained_length = 32\n'
    optimizer = toy.OPTIMIZER.replace("sparse-adam", "adamw").replace("24", "30").replace("0.02", "0.003")
    head = toy.HEAD.replace("toy/static", "toy/student")
    recipe = write(
        tmp_path / "r.toml", base, "[teacher]\n", model, optimizer + toy.DEV.replace("every = 8", "every = 15"), head
    )
    text = recipe.read_text().replace('directions = "symmetric"', 'directions = "symmetric"\nweight = 0.0')
    recipe.write_text(text)
    trained = run_recipe(recipe, {}, tmp_path / "out", data, Silent())
    kept = trained.record["chosen"]
    assert (kept["pieces"]["after"], kept["layers"], kept["precision"]) == (120, 1, kept["precision"])
    assert set(trained.record["dev"]) == {"trained", "packed"}
    log = (tmp_path / "out" / "checkpoints" / "log.csv").read_text().splitlines()
    column = log[0].split(",").index("loss")
    losses = [float(line.split(",")[column]) for line in log[1:] if line.split(",")[column]]
    assert losses[-1] < 0.85 * losses[0]
    student = SentenceTransformer(str(trained.model), device="cpu")
    whole = SentenceTransformer(str(base), device="cpu")
    words = {name: m.tokenizer.get_vocab() for name, m in (("student", student), ("whole", whole))}
    tables = [m[0].auto_model.embeddings.word_embeddings.weight for m in (student, whole)]
    assert len(words["student"]) == 120
    for piece, number in words["student"].items():
        assert tables[0][number].equal(tables[1][words["whole"][piece]])
    packed = to_sentence_transformer(tmp_path / "out" / "packed")
    texts = [toy.sentence("en", [1, 2, 3]), toy.sentence("th", [4, 5])]
    near = (unit(packed.encode(texts)) * unit(student.encode(texts))).sum(axis=1)
    assert near.min() > 0.98
    # What was trained in rounded steps is rounded before it is scored and saved, so packing changes none of it.
    matrices = [m[0].auto_model.encoder.layer[0].intermediate.dense.weight for m in (student, packed)]
    assert matrices[0].equal(matrices[1])
    assert "teacher" in (tmp_path / "out" / "packed" / "README.md").read_text(encoding="utf-8").lower()


def test_a_training_that_goes_on_keeps_its_precision(base, data, tmp_path, monkeypatch):
    from clirbench.training import train

    monkeypatch.setattr(teacher, "_FEWEST", 20)
    recipe = write(tmp_path / "r.toml", base)
    monkeypatch.setattr(train, "choose_precision", lambda *given: "bfloat16")
    run_recipe(recipe, {}, tmp_path / "out", data, Silent())
    path = tmp_path / "out" / "training.json"
    record = json.loads(path.read_text())
    del record["finished"]
    path.write_text(json.dumps(record))
    monkeypatch.setattr(train, "choose_precision", lambda *given: pytest.fail("it measured again"))
    again = run_recipe(recipe, {}, tmp_path / "out", data, Silent())
    assert again.record["chosen"]["precision"] == "bfloat16"
    assert "| computed in | bfloat16 |" in (again.model / "README.md").read_text(encoding="utf-8")


def test_another_base_model_in_the_same_folder_is_another_training(base, data, tmp_path):
    import shutil

    copy = shutil.copytree(base, tmp_path / "base")
    recipe = write(tmp_path / "r.toml", copy, "")
    run_recipe(recipe, {}, tmp_path / "out", data, Silent())
    (copy / "config.json").write_bytes((copy / "config.json").read_bytes() + b"\n")
    with pytest.raises(ClirbenchError, match="holds a training of another recipe"):
        run_recipe(recipe, {}, tmp_path / "out", data, Silent())


def test_a_static_model_learns_the_cosines_of_a_teacher(base, data, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher, "_FEWEST", 20)
    part = f'[teacher]\nmodel = "{base.as_posix()}"\ncompare = "cosines"\n'
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        toy.HEAD + toy.STATIC + part + toy.BATCHES + toy.OPTIMIZER + toy.DEV + toy.SOURCES, encoding="utf-8"
    )
    trained = run_recipe(recipe, {}, tmp_path / "out", data, Silent())
    assert trained.record["recipe"]["teacher"]["compare"] == "cosines"
    assert list((tmp_path / "out" / "teacher").glob("candidate-*.npy"))


def test_a_static_model_starts_from_a_teacher(base, data, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher, "_FEWEST", 20)
    part = f'[teacher]\nmodel = "{base.as_posix()}"\ncompare = "cosines"\ntarget = "middle"\nweight = 0.0\n'
    recipe = tmp_path / "r.toml"
    static = toy.STATIC.replace("dimensions = 32", "dimensions = 32\nteacher_start = 0.3")
    recipe.write_text(toy.HEAD + static + part + toy.BATCHES + toy.OPTIMIZER + toy.DEV + toy.SOURCES, encoding="utf-8")
    trained = run_recipe(recipe, {}, tmp_path / "out", data, Silent())
    assert trained.record["finished"]
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("teacher_start = 0.3\n", ""), encoding="utf-8")
    with pytest.raises(ClirbenchError, match=r"'teacher\.weight' is 0"):
        load_recipe(recipe)


def test_a_packed_folder_is_a_base(tmp_path):
    from clirbench.encoders.packed_transformer import unpacked_transformer, write_packed_transformer

    write_packed_transformer(tiny_models.unigram_model(tmp_path / "plain"), tmp_path / "packed")
    model = base_model(TransformerPart(base=str(tmp_path / "packed"), pooling="model", max_length=20))
    texts = ["abe ba", "be bi"]
    np.testing.assert_array_equal(model.encode(texts), unpacked_transformer(tmp_path / "packed").encode(texts))
    assert model.max_seq_length == 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss.weight": 0.5, "teacher": None}, "add [teacher]"),
        ({"loss.cached_mini_batch": 4}, "cannot be used with [teacher]"),
        ({"teacher.weight": 0.0}, "'teacher.weight' is 0, so nothing learns from the teacher"),
        ({"teacher.sources": ["pose"]}, "'teacher.sources' names 'pose'"),
        ({"model.freeze": ["head"]}, "'model.freeze.0'"),
    ],
)
def test_mistakes_in_a_recipe(base, tmp_path, changes, message):
    path = write(tmp_path / "r.toml", base)
    with pytest.raises(ClirbenchError) as error:
        load_recipe(path, changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_static_model_needs_a_named_teacher_and_cosines(tmp_path):
    for part, message in (
        ("[teacher]\n", "'teacher.model' is missing"),
        ('[teacher]\nmodel = "x/y"\n', 'must be "cosines"'),
        ("teacher_start = 0.3\n", "needs a teacher"),
        ('teacher_start = 0.3\n[teacher]\nmodel = "x/y"\ncompare = "cosines"\n', "'teacher.target' must be"),
    ):
        path = tmp_path / "r.toml"
        path.write_text(toy.HEAD + toy.STATIC + part + toy.BATCHES + toy.OPTIMIZER + toy.SOURCES, encoding="utf-8")
        with pytest.raises(ClirbenchError) as error:
            load_recipe(path)
        assert message in str(error.value)
