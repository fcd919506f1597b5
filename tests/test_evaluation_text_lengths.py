"""How long the texts of a task are for a model: counted once, by role and language, and said where many are cut."""

import pytest
from model_folders import plain
from own_task import ROWS, write_task
from tiny_models import multi_vector_model

import clirbench
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import load_encoder
from clirbench.evaluation.loaded_task import InMemoryTask
from clirbench.evaluation.text_lengths import cut_note, text_lengths


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
