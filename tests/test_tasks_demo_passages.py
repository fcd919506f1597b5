"""The demo passages: parallel by topic and grade, of the stated length, in their scripts, and with grades that matter."""

import json
import re
import unicodedata
from difflib import SequenceMatcher

import numpy as np
import pytest

import clirbench
from clirbench.metrics.retrieval import METRICS, RankedLists
from clirbench.results.rescore import rescore
from clirbench.results.scripts import by_script
from clirbench.tasks.collection import load_collection
from clirbench.tasks.task_file import load_task

TASK = load_task("demo-passages")
SCRIPTS = {"hi": "DEVANAGARI", "ru": "CYRILLIC", "zh": "CJK"}
# Chinese is written without spaces: its letters and digits are counted, not its words.
SHORTEST, LONGEST = {"zh": 120}, {"zh": 240}


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


QUERIES = {(row["language"], row["topic"]): row["text"] for row in rows(TASK.own.queries)}
PASSAGES = {
    (row["language"], topic, grade): row["text"]
    for row in rows(TASK.own.candidates)
    for topic, grade in row["answers"].items()
}


def pieces(language, text):
    """The words of a text in lower case; in Chinese, its letters and digits."""
    if language == "zh":
        return [character for character in text if character.isalnum()]
    # Not \\w: the vowel signs of Devanagari are marks, which it leaves out.
    return re.sub(r"[^\s\w\u0900-\u0963-]", " ", text.lower()).split()


def of(language):
    """The texts of one language: its questions, then its passages."""
    questions = {topic: text for (x, topic), text in QUERIES.items() if x == language}
    passages = {(topic, grade): text for (x, topic, grade), text in PASSAGES.items() if x == language}
    return questions, passages


def test_no_line_is_lost():
    assert len(QUERIES) == len(rows(TASK.own.queries)) == sum(TASK.counts["queries"].values())
    assert len(PASSAGES) == len(rows(TASK.own.candidates)) == sum(TASK.counts["candidates"].values())
    assert TASK.counts["topics"] == 30
    texts = [*QUERIES.values(), *PASSAGES.values()]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("language", TASK.languages)
def test_topics_and_grades_are_those_of_english(language):
    (questions, passages), (english, english_passages) = of(language), of("en")
    # The order too: it decides ties.
    assert list(questions) == list(english)
    assert list(passages) == list(english_passages)


@pytest.mark.parametrize("language", TASK.languages)
def test_texts_are_clean_and_of_their_length_and_script(language):
    questions, passages = of(language)
    for (topic, grade), text in passages.items():
        # A word is what stands between spaces, as every editor counts.
        size = len(pieces("zh", text) if language == "zh" else text.split())
        assert SHORTEST.get(language, 60) <= size <= LONGEST.get(language, 120), (topic, grade, size)
        assert text.endswith((".", "।", "。")), text
    for text in (*questions.values(), *passages.values()):
        assert unicodedata.normalize("NFC", text) == text
        assert text == " ".join(text.split())
        letters = [character for character in text if character.isalpha()]
        script = SCRIPTS.get(language, "LATIN")
        assert sum(unicodedata.name(x).startswith(script) for x in letters) / len(letters) > 0.95, text


@pytest.mark.parametrize("language", TASK.languages)
def test_no_passage_copies_its_question(language):
    questions, passages = of(language)
    for (topic, grade), text in passages.items():
        asked, told = pieces(language, questions[topic]), pieces(language, text)
        run = SequenceMatcher(None, asked, told, autojunk=False).find_longest_match()
        # Up to five, because a name such as that of the Rosetta Stone has as many.
        assert run.size <= 5, (topic, grade, asked[run.a : run.a + run.size])


def test_grades_say_more_than_relevant_or_not():
    grades = {topic: {grade for x, t, grade in PASSAGES if (x, t) == ("en", topic)} for topic in of("en")[0]}
    for topic, some in grades.items():
        assert len(some & {2, 3}) == 1, topic
        assert some <= {0, 1, 2, 3}, topic
    # Golds of two grades: only there can graded nDCG differ from binary nDCG.
    assert sum(1 in some for some in grades.values()) >= 10
    # Near misses: judged, and not gold.
    assert sum(0 in some for some in grades.values()) >= 15
    golds = {topic: len(some - {0}) * len(TASK.languages) for topic, some in grades.items()}
    collection = load_collection(TASK)
    asked = [collection.topics[number] for number in collection.query_topic[collection.gold_query]]
    assert {topic: asked.count(topic) / len(TASK.languages) for topic in golds} == golds


@pytest.mark.parametrize("language", TASK.languages)
def test_word_overlap_does_not_solve_it(language):
    questions, passages = of(language)

    def shared(topic, grade):
        return len({*pieces(language, questions[topic])} & {*pieces(language, passages[topic, grade])})

    answers = {topic: grade for topic, grade in passages if grade > 1}
    others = {(topic, grade) for topic, grade in passages if grade < 2}
    lured = {topic for topic, grade in others if shared(topic, grade) > shared(topic, answers[topic])}
    # A quarter of the topics with such a passage: fewer than in the demo, because an answer of a paragraph has more words.
    assert len(lured) >= len({topic for topic, _ in others}) / 4


def test_graded_ndcg_differs_from_binary_ndcg():
    ranks = clirbench.evaluate("clirbench/char-ngram", "demo-passages", languages=["en", "ru"]).ranks
    order = np.lexsort((ranks.pool_rank, ranks.query))
    lists = [
        RankedLists.of(ranks.query[order], ranks.pool_rank[order], grade) for grade in (ranks.grade_of(order), None)
    ]
    graded, binary = (METRICS["nDCG@10"].compute(one) for one in lists)
    # Ten of the thirty topics and more have golds of two grades.
    assert (graded != binary).mean() > 1 / 3


def test_a_run_needs_nothing_else_and_its_numbers_agree(tmp_path):
    result = clirbench.evaluate("clirbench/char-ngram", "demo-passages", languages=["en", "ru"])
    path = result.save(tmp_path)
    assert clirbench.read_result(path).document.task.hash == TASK.hash
    assert rescore(result).differences == []
    assert 0 < result.score("multilingual", "mAP") < 1


def test_it_has_every_measure_and_numbers_by_script():
    document = clirbench.evaluate("clirbench/char-ngram", "demo-passages", languages=["de", "en", "ru"]).document
    assert set(METRICS) - set(document.headline["multilingual"]) <= {"MRR"}
    bias = {name: estimate.value for name, estimate in document.headline["bias"].items()}
    assert {"PEER", "PEER@20", "TLR@20", "TLR@100"} <= set(bias)
    # Trigrams find few answers in another script among the first 20, and all of them in the whole pool.
    assert 0 < bias["TLR@20"] < bias["TLR@100"] <= 1
    assert [(row.script, row.languages) for row in by_script(document, "mAP")] == [
        ("Latn", ("de", "en")),
        ("Cyrl", ("ru",)),
    ]
