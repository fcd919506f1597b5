"""inspect: what outranked an answer, against the ranks of the result."""

import re

import pytest
from command_line import call

import clirbench
from clirbench.results.inspect import inspect_result
from clirbench.support.errors import ClirbenchError

LANGUAGES = ["en", "de", "th"]


def test_inspect_shows_what_outranked_the_worst(hybrid):
    found = inspect_result(hybrid, "th", 4)
    assert found.differing == 0
    ranks = hybrid.ranks
    mine = ranks.query_language == ranks.languages.index("th")
    best = {topic: ranks.pool_rank[mine & (ranks.topic == i)].min() for i, topic in enumerate(ranks.topics)}
    assert [topic.best_rank for topic in found.topics] == sorted(best.values(), reverse=True)[:4]
    for topic in found.topics:
        assert best[topic.topic] == topic.best_rank
        assert {gold.language for gold in topic.golds} == set(LANGUAGES)
        assert all(gold.gold for gold in topic.golds)
        assert not any(text.gold for text in topic.before)
        # What stands before has a score at least as high as the last gold's, and nothing is left out of the first ranks.
        assert all(text.score >= topic.golds[-1].score for text in topic.before)
        assert topic.best_rank == 1 or topic.before[0].rank == 1
    jumps = hybrid.document.queue_jump["th"]
    totals = {x: sum(jumps[gold][x] for gold in LANGUAGES) for x in LANGUAGES}
    assert {x: share for x, (share, _) in found.confusion.items()} == pytest.approx(
        {x: total / sum(totals.values()) for x, total in totals.items()}
    )


def test_inspect_of_a_monolingual_run():
    result = clirbench.evaluate("clirbench/hybrid", "demo", languages=["en", "de"], settings=["monolingual"])
    found = inspect_result(result, "de", 2)
    assert found.pool == "monolingual"
    assert found.differing == 0
    assert {text.language for topic in found.topics for text in (*topic.golds, *topic.before)} == {"de"}
    assert not found.confusion


def test_inspect_fits_on_what_the_run_was_fitted_on():
    # Its idf is over all candidates of the run, also where only one language is ranked.
    result = clirbench.evaluate("clirbench/char-ngram", "demo", languages=LANGUAGES, settings=["monolingual"])
    assert inspect_result(result, "de", 48).differing == 0


def test_inspect_on_the_command_line(saved_pair):
    ran = call("inspect", saved_pair[0], "--query-language", "th", "--worst", "2", "--no-cache")
    assert ran.exit_code == 0, ran.exception
    assert "which languages outrank the answers" in ran.stdout
    assert "gold" in ran.stdout
    assert "no language 'xx'" in str(call("inspect", saved_pair[0], "--query-language", "xx").exception)
    assert "use 1 or more" in str(call("inspect", saved_pair[0], "--query-language", "th", "--worst", "0").exception)


def test_inspect_refuses_another_model(saved_pair):
    wrong = call("inspect", saved_pair[0], "--query-language", "th", "--model", "clirbench/char-ngram").exception
    assert "but the result was made with" in str(wrong)


def test_without_a_language_it_says_which_there_are_and_where_to_look_first(hybrid):
    with pytest.raises(ClirbenchError, match="pass --query-language, one of") as error:
        inspect_result(hybrid, None)
    listed = re.findall(r"(\w\w) \(([\d.]+)\)", str(error.value))
    assert {language for language, _ in listed} == {"en", "de", "th"}
    scores = [hybrid.document.per_language[language]["multilingual"]["mAP"] for language, _ in listed]
    assert scores == sorted(scores)
    assert [score for _, score in listed] == [f"{100 * score:.1f}" for score in scores]
