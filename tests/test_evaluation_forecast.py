"""plan: how many texts a forecast encodes."""

import numpy as np
import pytest

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import as_loaded
from clirbench.evaluation.streaming import forecast as module
from clirbench.evaluation.streaming.options import Streaming
from clirbench.support.progress import Silent
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


def test_the_time_is_of_queries_and_candidates(plan):
    rows, _ = plan()
    for row in rows:
        assert row.encode_seconds == pytest.approx((row.queries + row.passages) / row.per_second)
