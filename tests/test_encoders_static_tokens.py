"""A static model's texts are tokenised by clirbench, and its vectors and counts are those of the library."""

import pytest
import torch
from tiny_models import static_model, tiny_bert

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.lengths import Reader
from clirbench.encoders.load import as_loaded, load_encoder
from clirbench.encoders.static_tokens import StaticTokens, is_static

TEXTS = ["a word", "", "\u0e01\u0e02 two words", "a word", "\u4e00 \u4e8c unknown", "x" * 700]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return static_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("prompt", ["", "find: "])
def test_vectors_are_those_of_the_library(folder, prompt):
    from sentence_transformers import SentenceTransformer

    loaded = load_encoder(str(folder), EncoderOptions(query_prompt=prompt, candidate_prompt=prompt))
    model = SentenceTransformer(str(folder), device="cpu")
    queries = model.encode_query(TEXTS, prompt=prompt, convert_to_tensor=True)
    candidates = model.encode_document(TEXTS, prompt=prompt, convert_to_tensor=True)
    assert torch.equal(loaded.encoder.encode_queries(TEXTS), queries)
    assert torch.equal(loaded.encoder.encode_candidates(TEXTS), candidates)
    assert len(queries.unique(dim=0)) > 3


def test_vectors_are_those_of_the_library_with_further_modules_and_fewer_dimensions(folder):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize

    model = SentenceTransformer(str(folder), device="cpu", truncate_dim=5)
    model.append(Normalize())
    encoder = as_loaded(model).encoder
    assert torch.equal(encoder.encode_queries(TEXTS), model.encode_query(TEXTS, convert_to_tensor=True))
    assert encoder.encode_queries(TEXTS).shape == (len(TEXTS), 5)


def test_counts_are_those_of_the_reader_and_taken_once(folder, monkeypatch):
    encoder = load_encoder(str(folder)).encoder
    whole = {role: encoder._readers[role].count(TEXTS) for role in ("query", "candidate")}
    assert max(whole["query"].unknown) > 0
    tokenised = []
    tokenise = StaticTokens._tokenise
    monkeypatch.setattr(StaticTokens, "_tokenise", lambda self, *args: tokenised.append(args) or tokenise(self, *args))
    monkeypatch.setattr(Reader, "count", None)
    encoder.encode_queries(TEXTS)
    assert encoder.token_counts("query", TEXTS) == whole["query"]
    assert len(tokenised) == 1
    # What was not encoded, because its vectors are in the cache, is counted when it is asked for.
    assert encoder.token_counts("candidate", TEXTS) == whole["candidate"]
    assert len(tokenised) == 2


def test_a_tokenizer_that_cuts_or_pads_is_left_to_the_library(folder, tmp_path):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    assert is_static(model)
    model[0].tokenizer.enable_truncation(5)
    assert not is_static(model)
    model[0].tokenizer.no_truncation()
    model[0].tokenizer.enable_padding()
    assert not is_static(model)
    assert not is_static(SentenceTransformer(str(tiny_bert(tmp_path / "bert", head=False)), device="cpu"))
