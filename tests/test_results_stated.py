"""What a result states about how it was encoded, and that it can be run again so."""

import json

import pytest
import typer.testing
from model_folders import configured, cross_encoder, cut_candidates, in_half
from own_task import write_task

import clirbench
from clirbench.board.site.model_page import command
from clirbench.cli import app
from clirbench.encoders.base import EncoderOptions
from clirbench.results.reload_model import ModelAt, other_settings, reload_model
from clirbench.results.stated import stated_settings


def run(*arguments):
    return typer.testing.CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def prompted(tmp_path):
    return str(configured(prompts={"query": "find: ", "document": "text: "})(tmp_path))


def test_prompts_similarity_lengths_and_precision_in_words(tmp_path):
    folder = str(cut_candidates(tmp_path))
    options = EncoderOptions(dtype="float16", query_prompt="find: ", similarity="dot")
    document = clirbench.evaluate(folder, str(write_task(tmp_path)), options=options).document
    assert stated_settings(document) == {
        "query prompt": "'find: ' (you)",
        "candidate prompt": "none",
        "similarity": "dot (you)",
        "longest query": "32 tokens",
        "longest candidate": "8 tokens",
        "weights": "float16, saved in float32",
        "vectors": "float16",
    }


def test_a_variant_says_on_what_it_was_fitted(tmp_path):
    options = EncoderOptions(quantise="int8", truncate_dim=64)
    stated = stated_settings(
        clirbench.evaluate("clirbench/hybrid", str(write_task(tmp_path)), options=options).document
    )
    assert (stated["variant"], stated["fitted on"]) == ("64 dimensions, int8", "the candidates of the run")


def test_show_has_the_settings_and_the_lengths_by_language(prompted, tmp_path):
    task = write_task(tmp_path)
    ran = run(
        "run", "--model", prompted, "--name", "me/model", "--max-length", "12", "--tasks", task, "-o", tmp_path / "r"
    )
    assert ran.exit_code == 0, ran.output
    assert "candidates are cut at 12 tokens: 100 % in" in " ".join(ran.output.split())
    shown = run("show", tmp_path / "r" / "me__model" / "mine.json").output
    rows = [line.split() for line in shown.splitlines()]
    assert ["query", "prompt", "'find:", "'", "(model)"] in rows
    document = json.loads((tmp_path / "r" / "me__model" / "mine.json").read_text(encoding="utf-8"))
    part = document["lengths"]["candidate"]["en"]
    assert ["en", f"{part['mean_tokens']:.1f}", f"{100 * part['cut']:.1f}"] in [
        [row[0], *row[4:6]] for row in rows if len(row) == 7
    ]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prompts": "none"},
        {"prompts": "none", "candidate_prompt": "query"},
        {"query_prompt_name": "document", "similarity": "dot"},
        {"max_length": 16, "dtype": "bfloat16"},
        {"truncate_dim": 8, "transform": "center", "quantise": "int8"},
        {"quantise": "binary", "similarity": "dot"},
    ],
)
def test_a_result_is_run_again_with_what_it_states(prompted, tmp_path, options):
    """By the code that verifies, and by the command on the model's page."""
    task = write_task(tmp_path)
    result = clirbench.evaluate(prompted, str(task), options=EncoderOptions(name="me/model", **options))
    assert other_settings(reload_model(result.document, ModelAt(prompted)), result.document) == []
    words = command(result.document).replace("FOLDER", prompted).replace("--tasks TASK.toml", f"--tasks {task}")
    import shlex

    ran = run(*shlex.split(words)[1:], "-o", tmp_path / "again")
    assert ran.exit_code == 0, ran.output
    (path,) = (tmp_path / "again").rglob("mine.json")
    again = clirbench.read_result(path)
    assert again.document.encoder == result.document.encoder
    assert again.ranks.pool_rank.tolist() == result.ranks.pool_rank.tolist()


def test_a_result_in_float32_is_loaded_in_float32_again(tmp_path):
    folder = str(in_half(tmp_path))
    task = str(write_task(tmp_path))
    document = clirbench.evaluate(folder, task, options=EncoderOptions(dtype="float32")).document
    loaded = reload_model(document, ModelAt(folder))
    assert (loaded.settings.dtype, other_settings(loaded, document)) == ("float32", [])
    assert str(loaded.encoder.encode_queries(["a"]).dtype) == "torch.float32"


def test_the_command_of_two_stages_says_what_to_fill_in(tmp_path):
    task = str(write_task(tmp_path))
    model = f"rerank:clirbench/char-ngram+{cross_encoder(tmp_path)}"
    document = clirbench.evaluate(model, task, options=EncoderOptions(name="me/two", depth=2)).document
    assert command(document) == (
        "clirbench run --model rerank:FIRST+RERANKER --tasks TASK.toml --name me/two --depth 2"
    )


def test_the_tasks_of_a_model_are_stated(prompted, tmp_path):
    document = clirbench.evaluate(prompted, str(write_task(tmp_path))).document
    assert "query task" not in stated_settings(document)
    settings = document.encoder.model_copy(
        update={"query_task": "retrieval.query", "candidate_task": "retrieval.passage"}
    )
    stated = stated_settings(document.model_copy(update={"encoder": settings}))
    assert (stated["query task"], stated["candidate task"]) == ("retrieval.query", "retrieval.passage")


def test_two_lengths_are_those_of_the_model_again(tmp_path):
    folder = str(cut_candidates(tmp_path))
    document = clirbench.evaluate(folder, str(write_task(tmp_path))).document
    assert other_settings(reload_model(document, ModelAt(folder)), document) == []
    other = document.model_copy(update={"encoder": document.encoder.model_copy(update={"query_max_length": 16})})
    assert other_settings(reload_model(other, ModelAt(folder)), other) == [
        "query max length 32 here, but 16 in the result"
    ]
