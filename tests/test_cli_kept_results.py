"""What `clirbench run` does with a result that is there: kept, recomputed from its ranks, or refused in words."""

import hashlib
import json
from dataclasses import replace

import pytest
from command_line import call
from own_task import write_task
from scipy.stats import chi2

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


def test_score_adds_the_measures_of_bias_that_a_result_lacks(task, tmp_path):
    assert run(task).exit_code == 0
    before = read_result(RESULT)
    scored = call("score", RESULT, "--update")
    assert scored.exit_code == 0, scored.output
    assert scored.output.endswith(f"{RESULT}: added PEER, PEER@20, TLR@20, TLR@100\n")
    after = read_result(RESULT)
    assert after.ranks_file == before.ranks_file
    assert list(after.document.headline["bias"]) == [
        *before.document.headline["bias"],
        "PEER",
        "PEER@20",
        "TLR@20",
        "TLR@100",
    ]
    # Two golds, each the only one of its language.
    assert after.score("bias", "PEER") == pytest.approx(chi2.sf(1, 1))
    assert after.score("bias", "TLR@20") == 1
    assert call("score", RESULT).output.endswith(": agree\n")
    assert call("score", RESULT, "--update").output.endswith(": nothing added: it has every measure of bias already\n")
    # A run goes back to what the task asks for.
    assert "because the task now has other 'bias'" in run(task).stderr
    assert read_result(RESULT).document == before.document


def test_score_says_in_one_line_why_nothing_is_added(task, tmp_path):
    def said(path):
        return call("score", path, "--update").output.splitlines()[-1]

    assert run(task, "--settings", "cross-lingual").exit_code == 0
    (path,) = tmp_path.glob("results/*/mine*.json")
    assert said(path) == f"{path}: nothing added: its ranks are not of the pool of all languages"
    clear = write_task(tmp_path, name="clear", swap=('"answers": ["open"]', '"answers": []'))
    rows = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text(encoding="utf-8").splitlines()]
    rows += [{"language": "en", "text": "From eight.", "answers": ["open"]}]
    rows = [row | {"answers": []} if row["language"] == "de" else row for row in rows]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert run(clear).exit_code == 0
    path = "results/clirbench__char-ngram/clear.json"
    assert said(path) == f"{path}: nothing added: every query has its golds in one language"
    document = json.loads((tmp_path / path).read_text(encoding="utf-8"))
    document["headline"]["multilingual"]["mAP"]["value"] += 1e-6
    (tmp_path / path).write_text(json.dumps(document), encoding="utf-8")
    written = (tmp_path / path).read_bytes()
    assert said(path) == f"{path}: nothing added: its numbers disagree with its ranks"
    assert (tmp_path / path).read_bytes() == written
    refused = call("score", "--run", "run.trec", "--language", "en", "--update")
    assert str(refused.exception) == "--update adds to result files, and --run scores a run: give one of them"


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
