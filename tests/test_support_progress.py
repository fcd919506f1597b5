"""Progress: the time that is left follows the work of texts, not their number, on a terminal and in a log."""

import io
import random
from dataclasses import replace

import numpy as np
import pytest
from model_folders import plain
from rich.console import Console

import clirbench
from clirbench.encoders import encode as encode_module
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import as_loaded, load_encoder
from clirbench.evaluation.loaded_task import InMemoryTask, announce
from clirbench.support.context import RunContext
from clirbench.support.progress import ENCODE, Phase, PlainReporter, RichReporter, Silent, live

# Shards are smaller than those of a run, as the collection is.
SHARD = 32


class Clock:
    """Seconds that pass only where somebody adds them."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Watching(Silent):
    """A reporter that remembers, after each shard, the time and what is left, by work and by number of texts."""

    def __init__(self, clock):
        self._clock, self.said = clock, []

    def start(self, phase, total, brief=False, work=None):
        if phase == ENCODE:
            self._by_work, self._by_number = Phase(total, work, self._clock()), Phase(total, None, self._clock())

    def advance(self, phase, done, work=None, skipped=False):
        if phase == ENCODE:
            both = self._by_work, self._by_number
            for one in both:
                one.advance(self._clock(), done, work, skipped)
            self.said.append((self._clock(), *(one.left(self._clock()) for one in both)))

    def errors(self, share):
        """By how much, as shares of the truth, both estimates were off after a share of the whole time."""
        begin, end = 100.0, self.said[-1][0]
        now, *estimates = next(one for one in self.said if one[0] - begin >= share * (end - begin))
        return [abs(estimate / (end - now) - 1) for estimate in estimates]


class Slow:
    """An encoder that takes a second for each character, and eight for the special tokens of a text."""

    def __init__(self, clock):
        self._clock, self.revision = clock, "1"

    def encode_queries(self, texts):
        self._clock.now += sum(len(text) + 8 for text in texts)
        return np.float32([[1, len(text), hash(text) % 97] for text in texts])

    encode_candidates = encode_queries


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(encode_module, "TEXTS_PER_SHARD", SHARD)


@pytest.fixture
def uneven():
    """A task whose texts have from one to 120 letters, few of them many; their numbers of characters say little of that."""
    collection = clirbench.tasks.collection.load_collection(clirbench.load_task("demo"), ("en", "de", "ar", "zh"))
    rng = random.Random(0)

    def other(texts, longest):
        made = {}
        for number, text in enumerate(dict.fromkeys(texts)):
            letters = 1 + int(longest * rng.random() ** 3)
            made[text] = f"{number:03x}" + "x" * letters + " " * rng.randrange(200)
        return tuple(made[text] for text in texts)

    changed = replace(collection, queries=other(collection.queries, 60), candidates=other(collection.candidates, 120))
    return InMemoryTask(changed, ("multilingual",))


def watched(model, task, clock, cache=None):
    reporter = Watching(clock)
    context = RunContext(vectors=cache, reporter=reporter)
    announce([task], model, context)
    task.encode(model, context)
    return reporter


def test_the_time_left_holds_for_a_model_whose_time_is_of_tokens(tmp_path, uneven, clock, monkeypatch, small_shards):
    # A character other than a space is a token of this model.
    model = load_encoder(str(plain(tmp_path)), EncoderOptions(batch_size=8))
    inner = model.encoder._model
    forward = inner.forward

    def timed(batch, **more):
        clock.now += int(batch["attention_mask"].sum())
        return forward(batch, **more)

    monkeypatch.setattr(inner, "forward", timed)
    by_work, by_number = watched(model, uneven, clock).errors(0.1)
    assert by_work < 0.25
    # The longest texts come first, so that texts are counted would not do.
    assert by_number > 0.5


def test_the_time_left_holds_for_an_encoder_without_a_tokenizer(uneven, clock, small_shards):
    by_work, by_number = watched(as_loaded(Slow(clock)), uneven, clock).errors(0.1)
    assert by_work < 0.25
    assert by_number > 0.3


def test_what_the_cache_has_does_not_count_as_fast(tmp_path, uneven, clock, small_shards):
    model = as_loaded(Slow(clock))
    watched(model, uneven, clock, tmp_path)
    files = sorted(tmp_path.rglob("*.npy"))
    for path in files:
        if int(path.stem) > 0:
            path.unlink()
    clock.now = 100.0
    by_work, _ = watched(model, uneven, clock, tmp_path).errors(0.1)
    assert by_work < 0.25


def test_the_work_adds_up_to_what_was_announced(uneven, clock, small_shards):
    work = []

    class Adding(Silent):
        def start(self, phase, total, brief=False, work=None):
            self.total = total if phase == ENCODE else self.total
            self.work = work if phase == ENCODE else self.work

        def advance(self, phase, done, work_done=None, skipped=False):
            work.append((done, work_done))

    reporter = Adding()
    model = as_loaded(Slow(clock))
    announce([uneven], model, RunContext(reporter=reporter))
    uneven.encode(model, RunContext(reporter=reporter))
    assert (sum(done for done, _ in work), sum(one for _, one in work)) == (reporter.total, reporter.work)


def test_a_log_says_the_share_of_the_work(monkeypatch, capsys, clock):
    monkeypatch.setattr("time.monotonic", clock)
    reporter = PlainReporter()
    reporter.start(ENCODE, 1_000, work=10_000)
    clock.now += 60
    reporter.advance(ENCODE, 100, 4_000)
    clock.now += 15
    reporter.advance(ENCODE, 400, 1_000)
    # Nothing has been encoded that was not in the cache, so there is no rate.
    reporter.start("other (texts)", 10, work=100)
    clock.now += 11
    reporter.advance("other (texts)", 5, 80, skipped=True)
    clock.now += 11
    reporter.advance("other (texts)", 1, 10)
    assert capsys.readouterr().err.splitlines() == [
        "encode (texts): 1,000",
        "encode (texts): 100 of 1,000 (40% of the work), 2 a second, about 90 s left",
        "encode (texts): 500 of 1,000 (50% of the work), 7 a second, about 75 s left",
        "other (texts): 10",
        "other (texts): 5 of 10 (80% of the work)",
        "other (texts): 6 of 10 (90% of the work), 0 a second, about 22 s left",
    ]


def test_a_terminal_shows_texts_and_the_time_by_work(clock):
    shown = io.StringIO()
    display = live(Console(file=shown, force_terminal=True, width=120, color_system=None), clock)
    with display:
        reporter = RichReporter(display)
        reporter.start(ENCODE, 1_000, work=10_000)
        clock.now += 60
        reporter.advance(ENCODE, 100, 4_000)
        display.refresh()
        middle = shown.getvalue()
        reporter.advance(ENCODE, 900, 5_000)
        task = display.tasks[0]
    assert "100/1000" in middle
    assert "0:01:30" in middle
    # The bar is full although the work was less than announced.
    assert task.finished
