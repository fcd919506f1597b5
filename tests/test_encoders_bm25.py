"""BM25 against Lucene's formula, its words by language, and what it makes of real questions."""

import math

import pytest

import clirbench
from clirbench.encoders.bm25 import Bm25Scorer
from clirbench.encoders.load import load_encoder
from clirbench.support.errors import ClirbenchError


def bm25_by_hand(corpus, query, k1=0.9, b=0.4):
    lengths = [len(document) for document in corpus]
    average = sum(lengths) / len(corpus)
    found = []
    for document in corpus:
        score = 0.0
        for term in query:
            n = sum(term in one for one in corpus)
            tf = document.count(term)
            idf = math.log(1 + (len(corpus) - n + 0.5) / (n + 0.5))
            score += idf * tf / (tf + k1 * (1 - b + b * len(document) / average)) if n else 0
        found.append(score)
    return found


def test_bm25_is_lucenes_formula():
    texts = ["the river is long", "a long long road", "river and sea and river", "nothing"]
    scorer = Bm25Scorer()
    scorer.prepare_candidates(texts, ["xx"] * 4)
    corpus = [text.split() for text in texts]
    for query in ("river", "long river", "sea long unknown", "unknown"):
        assert scorer.score([query], ["xx"])[0] == pytest.approx(bm25_by_hand(corpus, query.split()), abs=1e-5)


def test_bm25_knows_languages():
    scorer = Bm25Scorer()
    assert scorer.tokens("The Rivers, running!", "en") == ["the", "river", "run"]
    assert scorer.tokens("हिन्दी में", "xx") == ["हिन्दी", "में"]
    assert scorer.tokens("東京都 2020", "zh") == ["東京", "京都", "2020"]
    assert scorer.tokens("ＡＢＣ straße", "xx") == ["abc", "strasse"]
    assert scorer.tokens("Straßen", "de") == scorer.tokens("strasse", "de")
    assert scorer.tokens("!?", "en") == []


def test_bm25_of_candidates_without_a_word():
    scorer = Bm25Scorer()
    scorer.prepare_candidates(["!", "?"], ["en", "en"])
    assert scorer.score(["a"], ["en"]).tolist() == [[0, 0]]


@pytest.mark.real
def test_bm25_on_real_questions(mirror):
    # Within a language retrieval of answer sentences is nearly lexical, across languages names and numbers are left.
    result = clirbench.evaluate("clirbench/bm25", "xquad-r", languages=["en", "th", "de"])
    assert result.score("monolingual", "mAP") > 0.7
    assert result.score("cross-lingual", "mAP") < result.score("monolingual", "mAP") / 3


def test_bm25_on_the_demo_set():
    # Its distractors are closer to the question in wording than the answers are.
    result = clirbench.evaluate("clirbench/bm25", "demo", languages=["en", "th", "de"])
    assert 0 < result.score("cross-lingual", "mAP") < result.score("monolingual", "mAP") / 3
    assert result.document.encoder.similarity == "bm25"
    assert result.document.environment.packages["bm25s"]


def test_a_missing_bm25_names_its_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(ClirbenchError, match=r"pip install 'clirbench\[bm25\]'"):
        load_encoder("clirbench/bm25")
