"""How long the texts of a task are for a model: counted once, by role and language, and said where many are cut."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from model_folders import plain
from own_task import ROWS, write_task
from tiny_models import multi_vector_model

import clirbench
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.lengths import TokenCounts
from clirbench.encoders.load import load_encoder
from clirbench.encoders.packed import PackedEncoder
from clirbench.encoders.vector_cache import COUNTED, CacheEntry
from clirbench.evaluation.loaded_task import InMemoryTask
from clirbench.evaluation.text_lengths import cut_note, text_lengths
from clirbench.support.progress import Silent
from clirbench.tasks.collection import load_collection
from clirbench.tasks.task_file import load_task


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A model of which a character, but not a space, is a token; two special tokens stand around a text."""
    return str(plain(tmp_path_factory.mktemp("bert")))


def characters(text):
    return len(text.replace(" ", "")) + 2


def test_mean_tokens_and_cut_texts_of_each_language(bert, tmp_path):
    options = EncoderOptions(max_length=20, query_prompt="find")
    result = clirbench.evaluate(bert, str(write_task(tmp_path)), options=options)
    lengths = result.document.lengths
    for language in ("en", "de"):
        asked = [characters(question) + 4 for _, x, question, _ in ROWS if x == language]
        answers = [characters(answer) for _, x, _, answer in ROWS if x == language]
        for role, counted in (("query", asked), ("candidate", answers)):
            part = lengths[role][language]
            assert (part.texts, part.mean_tokens) == (2, sum(counted) / 2)
            assert part.cut == sum(tokens > 20 for tokens in counted) / 2
    assert {part.cut for role in lengths.values() for part in role.values()} == {0.5, 1.0}


def test_a_repeated_text_counts_once(bert, tmp_path):
    task = str(write_task(tmp_path, swap=("The door is open from eight.", "A plain answer.")))
    assert clirbench.evaluate(bert, task).document.lengths["candidate"]["en"].texts == 1


def test_a_second_run_from_the_cache_counts_too(bert, tmp_path):
    task = str(write_task(tmp_path))
    first, second = (clirbench.evaluate(bert, task, cache=tmp_path / "cache").document for _ in range(2))
    assert second.cost.texts_encoded == 0
    assert first.lengths == second.lengths is not None


@pytest.fixture
def counted(monkeypatch):
    """How often the packed encoder has counted tokens; the probe with one empty text is left out."""
    calls = []
    count = PackedEncoder.token_counts

    def token_counts(self, role, texts):
        calls.extend([role] if list(texts) != [""] else [])
        return count(self, role, texts)

    monkeypatch.setattr(PackedEncoder, "token_counts", token_counts)
    return calls


def of_demo(cache, languages=("en", "de")):
    """The lengths of the demo for the bundled model, and what the user is told."""
    notes = Notes()
    result = clirbench.evaluate("clirbench/hybrid", languages=list(languages), cache=cache, reporter=notes)
    return result.document.lengths, notes.lines


class Notes(Silent):
    """A reporter that keeps the lines which the user is told."""

    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


def test_a_second_run_reads_the_counts_and_makes_no_tokenizer(tmp_path, counted, monkeypatch):
    uncached = of_demo(None)
    assert counted == ["query", "candidate"]
    assert of_demo(tmp_path) == uncached
    assert counted == ["query", "candidate"] * 2
    monkeypatch.setattr(PackedEncoder, "tokenizer", None)
    assert of_demo(tmp_path) == uncached
    assert counted == ["query", "candidate"] * 2


def test_other_texts_and_another_model_are_counted_anew(tmp_path, counted):
    of_demo(tmp_path)
    assert of_demo(tmp_path, ("en", "th"))[0] == of_demo(None, ("en", "th"))[0]
    assert counted == ["query", "candidate"] * 3
    entries = {
        CacheEntry(tmp_path, replace(model, info=replace(model.info, revision=revision)), role, ["a"], packages).folder
        for model in [load_encoder("clirbench/hybrid")]
        for revision in ("1", "2")
        for role in ("query", *COUNTED.values())
        for packages in ((), ("tokenizers",))
    }
    assert len(entries) == 12


def test_damaged_counts_are_counted_again_and_the_user_is_told(tmp_path, counted):
    of_demo(tmp_path)
    expected, quiet = of_demo(tmp_path)
    model = load_encoder("clirbench/hybrid")
    task = InMemoryTask(load_collection(load_task("demo"), ("en", "de")), ("monolingual",))
    texts = task.texts()["query"]
    distinct = list(dict.fromkeys(text for some in texts.values() for text in some))
    folder = CacheEntry(tmp_path, model, COUNTED["query"], distinct, packages=("tokenizers",)).folder
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    lengths, notes = of_demo(tmp_path)
    assert lengths == expected
    assert counted == ["query", "candidate", "query"]
    (note,) = [line for line in notes if "vector cache" in line]
    assert note.endswith("1 damaged (000000.npy: its checksum differs), counted again")
    assert of_demo(tmp_path) == (expected, quiet)


def test_a_run_that_cannot_keep_counts_ends_well(tmp_path, counted, monkeypatch):
    expected = of_demo(tmp_path)[0]
    for one in [one for one in tmp_path.iterdir() if len(list(one.iterdir())) == 1 and of_counts(one)]:
        (one / "000000.npy").unlink()
        one.rmdir()
        # A file where a folder should be: nothing can be written there, whoever runs this.
        one.write_text("")
    assert of_demo(tmp_path)[0] == expected
    assert counted == ["query", "candidate"] * 2


def of_counts(folder):
    """Whether an entry of the cache has two numbers a text."""
    content = (folder / "000000.npy").read_bytes()[65:]
    return np.load(BytesIO(content[content.index(b"\n") + 1 :])).shape[1] == 2


def test_counts_of_an_encoder_of_ones_own_are_not_kept(tmp_path):
    class Own:
        revision = "1"

        def encode_queries(self, texts):
            return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)

        encode_candidates = encode_queries
        factor = 1

        def token_counts(self, role, texts):
            return TokenCounts([self.factor * len(text) for text in texts], [0] * len(texts))

    first = clirbench.evaluate(Own(), "demo", languages=["en", "de"], cache=tmp_path).document.lengths
    own = Own()
    own.factor = 2
    second = clirbench.evaluate(own, "demo", languages=["en", "de"], cache=tmp_path).document.lengths
    assert second["query"]["en"].mean_tokens == 2 * first["query"]["en"].mean_tokens > 0


def test_multi_vector_and_bundled_models_are_counted_and_others_are_not(tmp_path, table_encoder):
    task = str(write_task(tmp_path))
    multi = clirbench.evaluate(str(multi_vector_model(tmp_path / "multi")), task).document
    assert multi.lengths["candidate"]["en"].mean_tokens > 10
    packed = clirbench.evaluate("clirbench/hybrid", task).document
    assert packed.lengths["query"]["de"].cut == 0
    assert packed.lengths["query"]["de"].mean_tokens > 1
    texts = {text: [1.0, 0.0] for row in ROWS for text in row[2:]}
    own = clirbench.evaluate(table_encoder(texts, texts), task).document
    assert own.lengths is None
    assert cut_note(load_encoder("clirbench/hybrid"), None) is None


def test_the_note_names_languages_with_many_cut_texts(bert, tiny):
    model = load_encoder(bert, EncoderOptions(max_length=12))
    languages = ("ar", "de", "en", "es", "fr", "zh")
    lengths = text_lengths(model, InMemoryTask(tiny(languages, topics=3), ("monolingual",)))
    assert cut_note(model, lengths) == (
        "queries are cut at 12 tokens: 100 % in zh, 100 % in fr, 100 % in es, 100 % in en, and in 2 more languages "
        "(clirbench show has all)"
    )
