"""Tokens are made once, ahead of the model: they order the texts of all shards, and are the model's own."""

import random
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from model_folders import configured, cut_candidates, edit, plain, router
from tiny_models import sparse_model, static_model

import clirbench
from clirbench.encoders import encode as encode_module
from clirbench.encoders import kept_tokens
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.encode import by_length, encode_collection
from clirbench.encoders.load import load_encoder
from clirbench.encoders.vectors import Clock, VectorCheck
from clirbench.evaluation.loaded_task import InMemoryTask
from clirbench.evaluation.streaming.first_pass import encode_distinct
from clirbench.evaluation.text_lengths import text_lengths
from clirbench.support.context import RunContext
from clirbench.support.errors import ModelError

# A character other than a space is a token of these models, and two special tokens stand around them.
TEXTS = ["ab", "a  " * 9, "x" * 40, "", "é", "c d", "x" * 90, "abc"]
OFFICIAL = {"query": "encode_query", "candidate": "encode_document"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(plain(tmp_path_factory.mktemp("bert")))


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(encode_module, "TEXTS_PER_SHARD", 8)


def spaced(collection):
    """A collection whose longest texts in characters are the shortest ones in tokens."""
    rng = random.Random(0)

    def other(texts):
        lengths = {text: rng.randrange(1, 60) for text in dict.fromkeys(texts)}
        return tuple(text[-1] * n + " " * (200 - 2 * n) + text[:3] for text, n in ((t, lengths[t]) for t in texts))

    return replace(collection, queries=other(collection.queries), candidates=other(collection.candidates))


def recorded(model, monkeypatch):
    """The attention mask of every batch that a model is given from now on."""
    masks, forward = [], model.forward
    monkeypatch.setattr(
        model, "forward", lambda batch, **kw: masks.append(batch["attention_mask"]) or forward(batch, **kw)
    )
    return masks


@pytest.mark.parametrize("size", [1, 3, 32])
@pytest.mark.parametrize("role", OFFICIAL)
@pytest.mark.parametrize("kind", ["plain", "prompted", "without the prompt", "cut", "left", "truncated"])
def test_vectors_are_those_of_the_library(tmp_path, kind, role, size):
    prompts = {"prompts": {"query": "q:", "document": "passage:"}}
    folder = (cut_candidates if kind == "cut" else configured(**prompts if kind != "plain" else {}))(tmp_path)
    if kind == "without the prompt":
        edit(folder / "1_Pooling", "config.json", include_prompt=False)
    if kind == "left":
        edit(folder, "tokenizer_config.json", padding_side="left")
    loaded = load_encoder(str(folder), EncoderOptions(batch_size=size))
    encoder, model = loaded.encoder, loaded.encoder._model
    if kind == "truncated":
        model.truncate_dim = 5
    assert encoder.tokens is not None
    ours = (encoder.encode_queries if role == "query" else encoder.encode_candidates)(TEXTS)
    theirs = getattr(model, OFFICIAL[role])(TEXTS, batch_size=size, convert_to_tensor=True)
    assert ours.shape == theirs.shape
    assert torch.allclose(ours, theirs, atol=1e-5), (ours - theirs).abs().max()


def test_a_batch_is_what_the_library_gives_the_model(folder):
    tokens = load_encoder(folder, EncoderOptions(query_prompt="find:")).encoder.tokens
    for places, batch in tokens.batches("query", TEXTS, 3):
        theirs = tokens._model.preprocess([TEXTS[i] for i in places], prompt="find:", task="query")
        assert set(batch) == set(theirs)
        for name, value in theirs.items():
            same = torch.equal(batch[name], value) if torch.is_tensor(value) else batch[name] == value
            assert same, name


def test_models_whose_features_are_more_than_tokens_are_left_to_the_library(tmp_path):
    for make in (static_model, router, sparse_model):
        assert load_encoder(str(make(tmp_path / make.__name__))).encoder.tokens is None


def test_counts_are_those_of_the_reader_also_of_texts_that_are_cut(tmp_path):
    encoder = load_encoder(str(cut_candidates(tmp_path))).encoder
    with encoder.tokens.ahead({"query": TEXTS, "candidate": TEXTS[:-1]}):
        read = {role: encoder.tokens.lengths(role, TEXTS[:-1]) for role in OFFICIAL}
    for role, limit in (("query", 32), ("candidate", 8)):
        whole = encoder._readers[role].count(TEXTS)
        assert encoder.token_counts(role, TEXTS) == whole
        assert read[role] == [min(limit, n) for n in whole.tokens[:-1]]
    assert max(whole.unknown) > 0


def test_each_text_is_tokenised_once_for_its_order_its_vector_and_its_length(tiny, folder, monkeypatch):
    loaded, task = load_encoder(folder), InMemoryTask(tiny(), ("multilingual",))
    seen, own = Counter(), type(loaded.encoder._model.tokenizer).__call__
    monkeypatch.setattr(
        type(loaded.encoder._model.tokenizer),
        "__call__",
        lambda self, texts, **kw: seen.update(texts) or own(self, texts, **kw),
    )
    task.encode(loaded, RunContext())
    lengths = text_lengths(loaded, task)
    assert set(seen) - {""} == {*task.collection.queries, *task.collection.candidates}
    assert {count for text, count in seen.items() if text} == {1}
    assert all(part.mean_tokens > 2 for parts in lengths.values() for part in parts.values())


@pytest.mark.parametrize("cached", [False, True])
def test_all_shards_of_a_role_hold_texts_by_tokens_with_hardly_any_padding(
    tiny, folder, monkeypatch, small_shards, tmp_path, cached
):
    loaded, collection = load_encoder(folder, EncoderOptions(batch_size=4)), spaced(tiny(topics=10))
    masks = recorded(loaded.encoder._model, monkeypatch)
    encoded = encode_collection(loaded, collection, RunContext(vectors=tmp_path if cached else None))
    lengths = [one for mask in masks for one in mask.sum(dim=1).tolist()]
    queries = len(set(collection.queries))
    assert len(lengths) == encoded.texts
    assert lengths[:queries] == sorted(lengths[:queries], reverse=True)
    assert lengths[queries:] == sorted(lengths[queries:], reverse=True)
    padded = sum(mask.numel() for mask in masks)
    assert padded < 1.1 * sum(lengths)
    by_characters = loaded.encoder._model.preprocess(by_length(collection.candidates)[:4])["attention_mask"]
    assert by_characters.sum() < masks[-1].sum() * 4
    official = loaded.encoder._model.encode_document(list(collection.candidates))
    assert np.allclose(encoded.candidates, official / np.linalg.norm(official, axis=1, keepdims=True), atol=1e-5)


def test_equal_texts_have_equal_vectors(tiny, folder, small_shards):
    collection = spaced(tiny(topics=10))
    twice = replace(collection, candidates=(collection.candidates[0],) * 5 + collection.candidates[5:])
    vectors = encode_collection(load_encoder(folder, EncoderOptions(batch_size=3)), twice).candidates
    assert {vectors[i].tobytes() for i in range(5)} == {vectors[0].tobytes()}


def test_killed_it_loses_one_shard_and_goes_on_with_the_same_vectors(tiny, folder, monkeypatch, small_shards, tmp_path):
    collection = spaced(tiny(topics=10))
    whole = encode_collection(load_encoder(folder), collection)
    dying = load_encoder(folder)
    masks = recorded(dying.encoder._model, monkeypatch)
    forward = dying.encoder._model.forward

    def until_killed(batch, **more):
        if len(masks) == 6:
            raise KeyboardInterrupt
        return forward(batch, **more)

    monkeypatch.setattr(dying.encoder._model, "forward", until_killed)
    with pytest.raises(KeyboardInterrupt):
        encode_collection(dying, collection, RunContext(vectors=tmp_path))
    again = encode_collection(load_encoder(folder), collection, RunContext(vectors=tmp_path))
    # A batch of this model holds a whole shard.
    assert again.texts - again.encoded == sum(len(mask) for mask in masks)
    assert again.queries.tobytes() == whole.queries.tobytes()
    assert again.candidates.tobytes() == whole.candidates.tobytes()


def test_candidates_are_tokenised_while_the_model_reads_queries(tiny, folder, monkeypatch):
    loaded = load_encoder(folder)
    done, keep, forward = threading.Event(), kept_tokens.KeptTokens._keep, loaded.encoder._model.forward
    waited = []

    def told(self, role, texts):
        keep(self, role, texts)
        if role == "candidate":
            done.set()

    def read(batch, **more):
        waited.append(done.wait(60))
        return forward(batch, **more)

    monkeypatch.setattr(kept_tokens.KeptTokens, "_keep", told)
    monkeypatch.setattr(loaded.encoder._model, "forward", read)
    encode_collection(loaded, tiny())
    assert waited[0]


def test_a_run_that_fails_leaves_no_thread_and_no_tokens(tiny, folder, monkeypatch):
    loaded = load_encoder(folder)

    def fail(batch, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(loaded.encoder._model, "forward", fail)
    with pytest.raises(KeyboardInterrupt):
        encode_collection(loaded, tiny())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tokens")]
    assert loaded.encoder.tokens._rows == {}


def test_a_tokenizer_that_fails_is_told_in_one_line(tiny, folder, monkeypatch):
    loaded = load_encoder(folder)

    def fail(texts, **more):
        raise ValueError("no such piece")

    monkeypatch.setattr(loaded.encoder._model, "preprocess", fail)
    with pytest.raises(ModelError, match=r"raised ValueError \(no such piece\) .* \(each a query, the first "):
        encode_collection(loaded, tiny())


def test_a_streamed_task_reads_a_shard_by_tokens_too(tiny, folder, monkeypatch):
    loaded, texts = load_encoder(folder, EncoderOptions(batch_size=4)), spaced(tiny(topics=10)).candidates
    masks = recorded(loaded.encoder._model, monkeypatch)
    vectors = encode_distinct(
        loaded.encoder.encode_candidates, texts, VectorCheck(loaded, "candidate", None, False), Clock()
    )
    lengths = [one for mask in masks for one in mask.sum(dim=1).tolist()]
    assert lengths == sorted(lengths, reverse=True)
    assert np.allclose(vectors, loaded.encoder._model.encode_document(list(texts)), atol=1e-5)


def test_a_result_records_bfloat16_where_it_was_asked_for(folder):
    result = clirbench.evaluate(folder, "demo", languages=["en"], options=EncoderOptions(dtype="bfloat16"))
    assert (result.document.encoder.dtype, result.document.provenance.output_dtype) == ("bfloat16", "bfloat16")
