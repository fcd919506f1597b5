"""plan: how many texts a forecast encodes."""

import numpy as np
import pytest

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import as_loaded, load_encoder
from clirbench.evaluation.streaming import forecast as module
from clirbench.evaluation.streaming.options import Streaming
from clirbench.support.progress import Silent
from clirbench.tasks.collection import load_collection
from clirbench.tasks.selection import select
from clirbench.tasks.task_file import load_task

LANGUAGES = ["en", "de", "th"]


class Counting:
    """An encoder that counts the texts that it is given."""

    def __init__(self):
        self.given = 0

    def encode_queries(self, texts):
        self.given += len(texts)
        return np.ones((len(texts), 4), dtype=np.float32)

    encode_candidates = encode_queries


@pytest.fixture
def plan():
    def make(sample=256):
        encoder = Counting()
        selection = select(load_task("demo"), LANGUAGES)
        made = module.forecast(as_loaded(encoder, EncoderOptions()), selection, Streaming(), sample, Silent())
        return made.languages, encoder.given

    return make


def test_a_slow_model_encodes_a_few_texts_of_each_language(plan, monkeypatch):
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    rows, given = plan()
    assert [row.measured for row in rows] == [8, 8, 8]
    assert given == 8 + sum(row.measured for row in rows)


def test_a_fast_model_encodes_the_sample(plan, monkeypatch):
    monkeypatch.setattr(module, "_SECONDS", 600.0)
    rows, given = plan(100)
    # The first eight of a language are slower than the others, and are not measured.
    assert [row.measured for row in rows] == [92, 92, 92]
    assert given == 8 + 3 * 100


def test_the_time_is_of_the_characters_of_all_distinct_texts(monkeypatch):
    """An encoder that takes a millisecond a character: so do all texts, queries included, and a sample tells."""
    passed = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: passed[0])

    class Timed(Counting):
        def encode_queries(self, texts):
            passed[0] += sum(len(text) + 8 for text in texts) / 1000
            return super().encode_queries(texts)

        encode_candidates = encode_queries

    selection = select(load_task("demo"), LANGUAGES)
    made = module.forecast(as_loaded(Timed(), EncoderOptions()), selection, Streaming(), 32, Silent())
    collection = load_collection(selection.task, LANGUAGES)
    for i, row in enumerate(made.languages):
        q, c = (slice(*starts[i : i + 2]) for starts in (collection.query_starts, collection.candidate_starts))
        texts = [*set(collection.queries[q]), *set(collection.candidates[c])]
        assert row.encode_seconds == pytest.approx(sum(len(text) + 8 for text in texts) / 1000)


def test_vectors_of_a_task_in_memory_are_memory_and_disk():
    selection = select(load_task("demo"), LANGUAGES)
    made = module.forecast(as_loaded(Counting(), EncoderOptions()), selection, Streaming(), 32, Silent())
    collection = load_collection(selection.task, LANGUAGES)
    assert made.vectors == made.disk == (len(collection.queries) + len(collection.candidates)) * 4 * 4
    assert made.memory > 2 * made.vectors
    assert all(row.count_seconds > 0 for row in made.languages)


def test_a_sparse_model_has_no_vectors_to_hold():
    selection = select(load_task("demo"), LANGUAGES)
    made = module.forecast(load_encoder("clirbench/char-ngram", EncoderOptions()), selection, Streaming(), 32, Silent())
    assert (made.vectors, made.disk) == (0, 0)
