"""What `clirbench run` does with a result that is there: kept, recomputed from its ranks, or refused in words."""

import hashlib
from dataclasses import replace

import pytest
from command_line import call
from own_task import write_task

import clirbench
from clirbench.results.ranks_file import encode_ranks
from clirbench.results.rescore import rescore
from clirbench.results.result import Result, read_result
from clirbench.support.errors import ClirbenchError


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_task(tmp_path)


def run(task, *more):
    return call("run", "--model", "clirbench/char-ngram", "--tasks", task, *more)


RESULT = "results/clirbench__char-ngram/mine.json"


def test_other_metrics_are_computed_from_the_ranks(task, tmp_path):
    assert run(task).exit_code == 0
    before = read_result(RESULT)
    write_task(tmp_path, more='metrics = ["R@1", "mAP"]\nbias = ["rank_distance"]\n')
    again = run(task)
    assert again.exit_code == 0, again.output
    assert (
        f"mine: recomputed {RESULT} from its ranks, because the task now has other 'metrics' and 'bias'" in again.stderr
    )
    after = read_result(RESULT)
    assert after.ranks_file == before.ranks_file
    assert after.document.cost == before.document.cost
    assert list(after.document.headline["multilingual"]) == ["R@1", "mAP"]
    assert list(after.document.headline["bias"]) == ["rank_distance"]
    assert after.score("multilingual", "mAP") == before.score("multilingual", "mAP")
    assert rescore(after).differences == []
    assert "kept" in run(task).stderr
    # And back: what was left out is there again, to the last digit.
    write_task(tmp_path)
    assert run(task).exit_code == 0
    assert read_result(RESULT).document == before.document


def test_a_result_whose_totals_are_gone_is_not_recomputed(task, tmp_path):
    run(task)
    result = read_result(RESULT)
    result.document.queue_jump.pop("de")
    result.save("results", force=True)
    write_task(tmp_path, more='metrics = ["R@1"]\n')
    refused = run(task)
    assert isinstance(refused.exception, ClirbenchError)
    assert "lacks totals of 'queue_jump', so it cannot be recomputed: run the model again with --force" in str(
        refused.exception
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"swap": ("A plain answer.", "A better answer.")}, "the texts or grades of mine have changed since"),
        ({"more": "relevant_from = 0.5\n"}, "the texts or grades of mine have changed since"),
        (
            {"more": 'settings = ["multilingual"]\n'},
            "'settings' of mine have changed since (monolingual, cross-lingual, multilingual there, multilingual now)",
        ),
        ({"languages": ("de", "en")}, "'languages' of mine have changed since (en, de there, de, en now)"),
    ],
)
def test_an_edited_task_is_refused_in_words(task, tmp_path, change, told):
    assert run(task).exit_code == 0
    write_task(tmp_path, **change)
    before = (tmp_path / RESULT).read_bytes()
    refused = run(task)
    assert isinstance(refused.exception, ClirbenchError)
    assert str(refused.exception) == f"{RESULT}: {told}: --force replaces it, --output FOLDER keeps both"
    assert (tmp_path / RESULT).read_bytes() == before
    assert run(task, "--force").exit_code == 0
    assert "kept" in run(task).stderr


def test_results_of_two_versions_of_a_task_are_not_compared(task, tmp_path):
    assert run(task).exit_code == 0
    write_task(tmp_path, swap=("A plain answer.", "A better answer."))
    assert run(task, "--output", "later").exit_code == 0
    refused = call("compare", RESULT, RESULT.replace("results", "later"))
    assert str(refused.exception) == ("the two results differ in the texts or grades of mine: compare like with like")


def test_score_says_of_an_older_ranks_file_what_it_does_not_prove(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Of two languages, the sums would give every total.
    result = clirbench.evaluate("clirbench/char-ngram", "demo", languages=["de", "en", "th"])
    path = str(result.save("results"))
    assert call("score", path).output.endswith(": agree\n")
    ranks = replace(result.ranks, query_language_above=None)
    file = encode_ranks(ranks)
    part = result.document.ranks.model_copy(update={"sha256": hashlib.sha256(file).hexdigest()})
    Result(result.document.model_copy(update={"ranks": part}), ranks, file).save("results", force=True)
    scored = call("score", path)
    assert scored.exit_code == 0
    assert "headline.bias.own_language_preference is computed from stated totals" in scored.output
