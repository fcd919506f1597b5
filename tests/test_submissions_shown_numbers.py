"""Numbers that no ranks give: bounds, and what cannot be true together. And hostile documents that follow the schema."""

import json
import shutil
from pathlib import Path

import pytest

import clirbench
from clirbench.results.read import parse_mteb_result
from clirbench.results.rescore import missing_bias, with_more_bias
from clirbench.results.schema import FASTEST, ModelPart
from clirbench.submissions.check_one import examine
from clirbench.support.errors import ClirbenchError

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"
NAME = "clirbench__hybrid"
MEASURED = json.loads((SUBMISSIONS / NAME / "mlqa-r.json").read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path):
    target = tmp_path / NAME
    target.mkdir()
    for file in ("mlqa-r.json", "mlqa-r.ranks.parquet", "model.toml"):
        shutil.copy(SUBMISSIONS / NAME / file, target)
    return target


def refusals(folder, keys, value):
    document = json.loads(json.dumps(MEASURED))
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (folder / "mlqa-r.json").write_text(json.dumps(document), encoding="utf-8")
    return [(f.key, f.message) for f in examine(folder).findings if f.level == "error"]


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("cost", "texts_per_second"), 1.7e308),
        (("cost", "texts_per_second"), 1.1e9),
        (("cost", "seconds", "encode"), 1e12),
        (("cost", "seconds", "score"), -1.0),
        (("cost", "peak_memory"), 10**16),
        (("cost", "texts"), 10**13),
        (("environment", "cpus"), 10**6),
        (("environment", "cpus"), 0),
        (("environment", "batch_size"), 10**8),
        (("model", "parameters"), 10**15),
        (("model", "dimensions"), 10**10),
        (("encoder", "query_max_length"), 10**10),
        (("lengths",), {"query": {"en": {"texts": 1, "mean_tokens": 1e8, "cut": 0.0}}}),
        (("lengths",), {"query": {"en": {"texts": 1, "mean_tokens": 1.0, "cut": 1.5}}}),
        (("task", "sources", "en"), "X" * 64),
        (("task", "hash"), "none"),
        (("ranks", "sha256"), "0" * 63),
        (("task", "languages"), ["en", "en"]),
        (("task", "metrics"), []),
        (("task", "metrics"), ["mAP", "mAP"]),
        (("task", "settings"), ["multilingual", "multilingual"]),
        (("task", "settings"), []),
        (("task", "bias"), ["rank_distance", "rank_distance"]),
    ],
)
def test_numbers_and_names_have_bounds(folder, keys, value):
    ((key, message),) = refusals(folder, keys, value)
    assert key.startswith(".".join(keys))
    assert message.startswith("is wrong (")


@pytest.mark.parametrize(
    ("keys", "value", "key", "message"),
    [
        (("cost", "texts_per_second"), 1e8, "cost.texts_per_second", "but the texts and seconds give"),
        (("cost", "texts_per_second"), 0.01, "cost.texts_per_second", "but the texts and seconds give"),
        (("cost", "seconds"), {}, "cost.texts_per_second", "but the texts and seconds give"),
        (("cost", "texts_encoded"), 0, "cost.texts_per_second", "but the texts and seconds give 0"),
        (("cost", "texts_encoded"), 10**6, "cost.texts_encoded", "more than the"),
        (("cost", "texts"), 10**6, "cost.texts", "and the task has"),
        (("cost", "zero_vectors"), 10**6, "cost.zero_vectors", "more than the"),
        (("cost", "pairs_scored"), 5, "cost.pairs_scored", "more than cost.pairs"),
        (("lengths",), {"query": {"sw": {"texts": 1, "mean_tokens": 1.0, "cut": 0.0}}}, "lengths.query.sw", "no language"),
        (("lengths",), {"query": {"en": {"texts": 10**6, "mean_tokens": 1.0, "cut": 0.0}}}, "lengths.query.en.texts", "task has"),
        (
            ("corpus",),
            {"source": "x", "layout": "x", "shard": 1, "shards": 1, "engine": "x", "sha256": {}},
            "corpus",
            "mlqa-r is not one",
        ),
    ],
)  # fmt: skip
def test_numbers_that_contradict_each_other_are_refused(folder, keys, value, key, message):
    assert [text for place, text in refusals(folder, keys, value) if place == key and message in text]


@pytest.mark.parametrize("metrics", [["R@1"], ["R@1", "mAP"], ["nDCG@10"]])
def test_metrics_without_the_main_one_are_an_error_of_their_own(folder, metrics):
    assert refusals(folder, ("task", "metrics"), metrics) == [
        ("task.metrics", "is not what mlqa-r asks for: run the model again with this clirbench")
    ]


def test_a_submission_may_have_more_measures_of_bias_than_its_task_asks_for(folder):
    before = MEASURED["task"]["bias"]
    result = clirbench.read_result(folder / "mlqa-r.json")
    names, _ = missing_bias(result)
    assert "PEER" in names
    with_more_bias(result, names).save_document(folder / "mlqa-r.json")
    assert [f.message for f in examine(folder).findings if f.level == "error"] == []
    document = json.loads((folder / "mlqa-r.json").read_text(encoding="utf-8"))
    # Nothing else has changed, to the last digit.
    for name in names:
        document["headline"]["bias"].pop(name)
        for language in document["per_language"].values():
            language["bias"].pop(name)
    document["task"]["bias"] = before
    # A key that results of older versions do not have.
    assert document["environment"].pop("counted_on") is None
    assert document == MEASURED
    wrong = "is not what mlqa-r asks for: add it with clirbench score --update, or run the model again"
    assert refusals(folder, ("task", "bias"), before[1:]) == [("task.bias", wrong)]
    assert refusals(folder, ("task", "bias"), before[::-1]) == [("task.bias", wrong)]
    assert [key for key, _ in refusals(folder, ("task", "bias"), [*before, "PEER"])][:1] == ["headline.bias.PEER.high"]


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("headline",), {}),
        (("headline", "multilingual"), {}),
        (("headline", "multilingual", "mAP"), {"value": None, "low": None, "high": None}),
        (("headline", "multilingual", "mAP", "value"), -0.0),
        (("micro",), {}),
        (("per_language",), {}),
        (("per_language",), {"xx": {}}),
        (("per_pair",), {}),
        (("per_pair", "en"), {"xx": {"mAP": 0.5}}),
        (("per_pair", "en", "de"), {}),
        (("queue_jump",), {}),
        (("queue_jump", "en", "de", "es"), 10**12),
        (("queue_jump_ratio",), {"en": {"xx": 1.0}}),
        (("counts", "topics"), 0),
        (("counts", "queries"), 0),
        (("counts", "gold_pairs"), 0),
        (("bootstrap", "seed"), 10**40),
        (("bootstrap", "confidence"), -0.0),
        (("task", "sources"), {}),
    ],
)
def test_hostile_documents_that_follow_the_schema_are_refused_by_key(folder, keys, value):
    found = refusals(folder, keys, value)
    assert found
    assert all(message.count("\n") == 0 and "please report this" not in message for _, message in found)
    assert any(key.startswith(keys[0]) for key, _ in found)


@pytest.mark.parametrize("candidates", [{}, {**MEASURED["counts"]["candidates"], "en": 0}])
def test_ranks_beyond_the_stated_pool_are_refused(folder, candidates):
    found = refusals(folder, ("counts", "candidates"), candidates)
    assert found
    assert all("please report this" not in message for _, message in found)


@pytest.mark.parametrize(
    ("kind", "revision"),
    [
        ("hub-commit", "a" * 40),
        ("hub-commit", f"{'a' * 40}+sha256:{'b' * 64}"),
        ("folder-sha256", f"sha256:{'b' * 64}"),
        ("bundled", "1"),
        ("mteb", "no_revision_available"),
        ("declared", "v1.2"),
        ("unknown", None),
    ],
)
def test_revisions_that_fix_a_version(kind, revision):
    assert part(kind, revision).revision_problem is None


@pytest.mark.parametrize(
    ("kind", "revision"),
    [
        ("hub-commit", "main"),
        ("hub-commit", "refs/pr/3"),
        ("hub-commit", "a" * 7),
        ("hub-commit", "A" * 40),
        ("hub-commit", f"{'a' * 40}+sha256:b"),
        ("folder-sha256", "a" * 40),
        ("mteb", "main"),
        ("mteb", "refs/heads/x"),
        ("declared", "master"),
        ("declared", "HEAD"),
        ("bundled", "latest"),
        ("unknown", "1"),
    ],
)
def test_revisions_that_move_are_none(kind, revision):
    assert part(kind, revision).revision_problem.startswith(f"is {revision[:60]!a}, which fixes no version")


def part(kind, revision):
    return ModelPart.model_validate({**MEASURED["model"], "revision": revision, "revision_kind": kind})


def test_a_branch_is_refused_as_a_revision(folder):
    model = {**MEASURED["model"], "kind": "sentence-transformers", "revision": "main", "revision_kind": "hub-commit"}
    found = dict(refusals(folder, ("model",), model))
    assert found["model.revision"] == "is 'main', which fixes no version of the model: run it again at a commit"
    none = refusals(folder, ("model",), {**model, "revision": None, "revision_kind": "unknown"})
    assert [message for key, message in none if key == "revision"] == [
        f"is '{MEASURED['model']['revision'][:60]}', but mlqa-r.json has none: leave it empty"
    ]


def test_scores_of_mteb_have_bounds():
    def document(value):
        scores = {"test": {"default": {"main_score": 0.5, "other": value}}}
        facts = {
            "task": "STS",
            "task_type": "STS",
            "main_score": "x",
            "source": "x",
            "dataset_revision": "x",
            "mteb_version": "2",
        }
        parts = {"format": 1, "origin": "mteb", **facts, "model": MEASURED["model"], "encoder": MEASURED["encoder"]}
        return json.dumps({**parts, "scores": scores}).encode()

    assert parse_mteb_result(document(-3.5), Path("x")).mean == 0.5
    with pytest.raises(ClirbenchError, match=r"scores\.test\.default\.other"):
        parse_mteb_result(document(1e7), Path("x"))


def test_a_speed_beyond_the_clock_is_not_recorded(monkeypatch):
    assert clirbench.evaluate("clirbench/char-ngram", "demo").document.cost.texts_per_second <= FASTEST
    monkeypatch.setattr("clirbench.results.schema.FASTEST", 1e-6)
    assert clirbench.evaluate("clirbench/char-ngram", "demo").document.cost.texts_per_second is None
