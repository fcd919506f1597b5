"""How many tokens a model reads of a text: stated for each role, set for both or refused, never without a token of the text."""

import numpy as np
import pytest
from model_folders import cut_candidates, edit, plain, router
from tiny_models import multi_vector_model, sparse_model, static_model

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import load_encoder
from clirbench.support.errors import ClirbenchError

# A character is a token of these models, and two special tokens stand around them.
LONG = "x" * 200


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return str(plain(tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    return str(cut_candidates(tmp_path_factory.mktemp("cut")))


def lengths(loaded):
    return loaded.settings.query_max_length, loaded.settings.candidate_max_length


def same(encoder, role, first, second):
    encode = encoder.encode_queries if role == "query" else encoder.encode_candidates
    return bool(np.allclose(encode([first]), encode([second]), atol=1e-6))


def test_each_role_has_the_length_in_effect(cut):
    loaded = load_encoder(cut)
    assert lengths(loaded) == (32, 8)
    assert same(loaded.encoder, "candidate", "abcdef" + "a" * 9, "abcdef" + "b" * 9)
    assert not same(loaded.encoder, "query", "abcdef" + "a" * 9, "abcdef" + "b" * 9)


def test_max_length_sets_both_roles(cut):
    loaded = load_encoder(cut, EncoderOptions(max_length=12))
    assert lengths(loaded) == (12, 12)
    for role in ("query", "candidate"):
        assert same(loaded.encoder, role, "abcdefghij" + "a" * 9, "abcdefghij" + "b" * 9)
        assert not same(loaded.encoder, role, "abcdefghi" + "a", "abcdefghi" + "b")


def test_static_models_have_no_length_and_take_none(tmp_path):
    assert lengths(load_encoder(str(static_model(tmp_path)))) == (None, None)
    for folder in (static_model(tmp_path / "again"), router(tmp_path)):
        with pytest.raises(ClirbenchError, match="--max-length does not apply to a static model: leave it out"):
            load_encoder(str(folder), EncoderOptions(max_length=8))


def test_a_router_has_the_length_of_each_route(tmp_path):
    assert lengths(load_encoder(str(router(tmp_path)))) == (None, 64)


def test_sparse_and_multi_vector_models(tmp_path):
    for make in (sparse_model, multi_vector_model):
        folder = make(tmp_path / make.__name__)
        assert lengths(load_encoder(str(folder))) == (64, 64)
        edit(folder, "sentence_bert_config.json", query_length=16, document_length=32)
        assert lengths(load_encoder(str(folder))) == (16, 32)
        assert lengths(load_encoder(str(folder), EncoderOptions(max_length=20))) == (20, 20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 65}, "but the model has 64 positions: lower it"),
        ({"max_length": 99_999_999_999}, "but the model has 64 positions: lower it"),
        ({"max_length": 1}, "leaves no token of a query, because the special tokens take 2"),
        ({"max_length": 2}, "leaves no token of a query"),
        ({"max_length": 9, "candidate_prompt": "passage:"}, "leaves no token of a candidate, because the prompt and"),
    ],
)
def test_lengths_that_no_text_has_room_for(bert, options, message):
    with pytest.raises(ClirbenchError, match=message):
        load_encoder(bert, EncoderOptions(**options))


def test_a_configuration_beyond_the_positions_is_said_and_stops_at_a_longer_text(tmp_path):
    folder = edit(plain(tmp_path), "sentence_bert_config.json", max_seq_length=100)
    edit(folder, "tokenizer_config.json", model_max_length=100)
    loaded = load_encoder(str(folder))
    assert any("allows 100 tokens, but the model has 64 positions" in note for note in loaded.notes), loaded.notes
    loaded.encoder.encode_queries(["short"])
    with pytest.raises(ClirbenchError, match="pass --max-length 64, because the model has 64 positions"):
        loaded.encoder.encode_candidates([LONG])


def test_tokens_are_counted_before_the_cut_with_prompt_and_special_tokens(bert):
    encoder = load_encoder(bert, EncoderOptions(query_prompt="find", max_length=8)).encoder
    assert encoder.token_counts("query", ["ab", LONG]).tokens == [2 + 4 + 2, 200 + 4 + 2]
    assert encoder.token_counts("candidate", ["ab", LONG]).tokens == [2 + 2, 200 + 2]
    # Counting does not change how the model cuts.
    assert same(encoder, "candidate", "abcdef" + "a" * 9, "abcdef" + "b" * 9)


def test_a_tokenizer_that_cuts_is_counted_whole(tmp_path):
    folder = static_model(tmp_path)
    edit(
        folder,
        "tokenizer.json",
        truncation={"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0},
    )
    loaded = load_encoder(str(folder))
    assert lengths(loaded) == (5, 5)
    assert loaded.encoder.token_counts("query", ["abcdefgh"]).tokens == [8]
    assert same(loaded.encoder, "query", "abcdefgh", "abcdexyz")
