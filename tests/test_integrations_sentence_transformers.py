"""CLIREvaluator inside real sentence-transformers trainings."""

import csv
import time

import numpy as np
import pytest
from tiny_models import multi_vector_model, sparse_model, static_model

import clirbench
from clirbench.integrations.sentence_transformers import CLIREvaluator, EvaluatorKeywords, EvaluatorOptions
from clirbench.support.errors import ClirbenchError


@pytest.fixture
def model(tmp_path):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(static_model(tmp_path)), device="cpu")


def test_its_numbers_are_those_of_evaluate(model, tmp_path):
    evaluator = CLIREvaluator("demo", ["en", "de", "th"])
    found = evaluator(model, str(tmp_path), 1, 10)
    result = clirbench.evaluate(model, "demo", languages=["en", "de", "th"])
    assert found == {
        "demo_monolingual_mAP": result.score("monolingual", "mAP"),
        "demo_cross-lingual_mAP": result.score("cross-lingual", "mAP"),
        "demo_multilingual_mAP": result.score("multilingual", "mAP"),
        "demo_rank_distance": result.score("bias", "rank_distance"),
    }
    assert evaluator.last_result.ranks_file == result.ranks_file
    assert evaluator.primary_metric == "demo_multilingual_mAP"
    assert evaluator.greater_is_better
    with (tmp_path / "CLIR_evaluation_demo_results.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["epoch", "steps", "monolingual_mAP", "cross-lingual_mAP", "multilingual_mAP", "rank_distance"]
    assert [float(value) for value in rows[1]] == [1, 10, *found.values()]
    evaluator(model, str(tmp_path), 2, 20)
    assert len((tmp_path / "CLIR_evaluation_demo_results.csv").read_text().splitlines()) == 3


def test_the_trainer_logs_it_chooses_checkpoints_by_it_and_writes_it_into_the_card(model, tmp_path):
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    rows = {"anchor": [f"question {i}" for i in range(16)], "positive": [f"answer {i}" for i in range(16)]}
    evaluator = CLIREvaluator("demo", ["en", "de"], primary_metric="rank_distance", name="clir")
    arguments = SentenceTransformerTrainingArguments(
        str(tmp_path / "out"), max_steps=4, per_device_train_batch_size=8, eval_strategy="steps", eval_steps=2,
        save_strategy="steps", save_steps=2, logging_steps=1, load_best_model_at_end=True,
        metric_for_best_model="eval_clir_rank_distance", greater_is_better=False, report_to="none", use_cpu=True,
        disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(
        model, arguments, train_dataset=Dataset.from_dict(rows), loss=MultipleNegativesRankingLoss(model),
        evaluator=evaluator,
    )  # fmt: skip
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "eval_clir_rank_distance" in entry]
    assert [entry["step"] for entry in logged] == [2, 4]
    assert {"eval_clir_monolingual_mAP", "eval_clir_cross-lingual_mAP", "eval_clir_multilingual_mAP"} <= set(logged[0])
    assert trainer.state.best_metric == min(entry["eval_clir_rank_distance"] for entry in logged)
    assert not evaluator.greater_is_better
    assert len((tmp_path / "out" / "eval" / evaluator.csv_file).read_text().splitlines()) == 3
    trainer.model.save(str(tmp_path / "saved"))
    card = (tmp_path / "saved" / "README.md").read_text(encoding="utf-8")
    assert "Cross-lingual Information Retrieval" in card
    assert "clir_rank_distance" in card


def test_a_training_keeps_its_mode(model):
    model.train()
    CLIREvaluator("demo", ["en"])(model)
    assert model.training


def test_one_language_and_chosen_settings(model):
    found = CLIREvaluator("demo", ["en"], name="")(model)
    assert set(found) == {"monolingual_mAP", "multilingual_mAP"}
    found = CLIREvaluator("demo", ["en", "de"], ["monolingual"], metric="nDCG@10")(model)
    assert set(found) == {"demo_monolingual_nDCG@10"}


@pytest.mark.parametrize("build", [sparse_model, multi_vector_model])
def test_other_kinds_of_encoders(build, tmp_path):
    import sentence_transformers

    kind = {sparse_model: "SparseEncoder", multi_vector_model: "MultiVectorEncoder"}[build]
    model = getattr(sentence_transformers, kind)(str(build(tmp_path)), device="cpu")
    found = CLIREvaluator("demo", ["en", "de"])(model)
    assert all(np.isfinite(value) for value in found.values())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"task": "none"}, "no task 'none'"),
        ({"task": "miracl"}, "read shard by shard"),
        ({"languages": ["xx"]}, "no language 'xx'"),
        ({"languages": "en"}, "are lists"),
        ({"languages": ["en"], "settings": ["cross-lingual"]}, "needs two languages"),
        ({"metric": "mAPP"}, "no metric 'mAPP'"),
        ({"primary_metric": "mAP"}, "choose from monolingual_mAP"),
        ({"settings": ["monolingual"], "primary_metric": "rank_distance"}, "choose from monolingual_mAP"),
    ],
)
def test_what_is_wrong_is_said_before_the_training(arguments, told):
    with pytest.raises(ClirbenchError, match=told):
        CLIREvaluator(**{"task": "demo", **arguments})


def test_an_unknown_option_is_refused_by_its_name():
    with pytest.raises(TypeError, match="'primary'"):
        CLIREvaluator("demo", ["en"], primary="rank_distance")
    assert EvaluatorKeywords.__annotations__ == EvaluatorOptions.__annotations__


@pytest.mark.real
def test_a_call_on_three_real_languages_takes_seconds(model, mirror):
    evaluator = CLIREvaluator("xquad-r", ["en", "de", "th"])
    begin = time.perf_counter()
    evaluator(model)
    # A bound that only a second encoding of everything or a lost fast path could break, not a benchmark.
    assert time.perf_counter() - begin < 60
