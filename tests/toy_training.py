"""Small made-up training data: three invented languages in which word 7 of one is word 7 of the other."""

import json

import numpy as np

LANGUAGES = ("en", "de", "th")
_LETTERS = {"en": "bcdfghklmnprstvw", "de": "bdgklmnprstzäöü", "th": "กขคงจชตทนบปพมยรล"}
_VOWELS = {"en": "aeiou", "de": "aeiou", "th": "าิีุู"}


def word(language, number):
    letters, vowels = _LETTERS[language], _VOWELS[language]
    out = ""
    for _ in range(3):
        out += letters[number % len(letters)] + vowels[(number * 7 + 3) % len(vowels)]
        number = number * 31 // 7 + 11
    return out


def sentence(language, numbers):
    return ("" if language == "th" else " ").join(word(language, int(n)) for n in numbers)


def toy_rows(seed=0):
    """Rows of each kind: parallel sentences, questions with answers, lexicon entries."""
    rng = np.random.default_rng(seed)
    parallel, qa = [], []
    for i in range(120):
        numbers = rng.integers(0, 200, 7)
        languages = LANGUAGES if i % 4 else LANGUAGES[:2]
        parallel.append({"id": f"p{i}", "source": "toy", "text": {x: sentence(x, numbers) for x in languages}})
    for i in range(80):
        numbers = rng.integers(0, 200, 6)
        languages = LANGUAGES if i % 2 else ("en",)
        question, answer = numbers[:3], np.append(numbers, rng.integers(0, 200))
        qa.append(
            {
                "id": f"q{i}",
                "question": {x: sentence(x, question) + "?" for x in languages},
                "answer": {x: sentence(x, answer) for x in languages},
            }
        )
    lexicon = [
        {"text": {x: word(x, n) for x in LANGUAGES}, "gloss": {"en": sentence("en", [n, n + 1])}} for n in range(200)
    ]
    return {"parallel": parallel, "qa": qa, "lexicon": lexicon}


def write_toy(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in toy_rows().items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder


HEAD = """
format = 1
name = "toy/static"
description = "a toy"
languages = ["en", "de", "th"]
"""
STATIC = """
[static]
vocabulary = 300
dimensions = 32
corpus_bytes = 20000
damping_texts = 90
"""
BATCHES = """
[batches]
size = 16
[loss]
scale = 16.0
directions = "symmetric"
"""
OPTIMIZER = """
[optimizer]
name = "sparse-adam"
steps = 24
learning_rate = 0.02
betas = [0.9, 0.99]
"""
DEV = """
[dev]
every = 8
[[dev.source]]
file = "qa.jsonl"
topics = 12
languages = 3
[[dev.source]]
file = "qa.jsonl"
topics = 5
"""
# Rows with texts in several languages, which any kind of model may learn of.
RUNNING = """
[[source]]
name = "prose"
view = "text"
files = ["parallel.jsonl"]
monolingual = 1.0
cross_lingual = 1.0
[[source]]
name = "answers"
view = "answer"
files = ["qa.jsonl"]
monolingual = 1.0
cross_lingual = 0.5
"""
SOURCES = (
    RUNNING
    + """[[source]]
name = "words"
view = "entries"
files = ["lexicon.jsonl"]
cross_lingual = 0.5
lists = 60
"""
)
RECIPE = HEAD + STATIC + BATCHES + OPTIMIZER + DEV + SOURCES
