"""Prompts and similarity: what is used, where it comes from, and what the user is told."""

import json
from dataclasses import replace

import numpy as np
import pytest
from model_folders import configured, plain
from test_encoders_load import clirbench_offline, hub_cache

import clirbench
from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import as_loaded, load_encoder
from clirbench.support.errors import ClirbenchError

TEXTS = ["where is the door", "a plain answer"]
COMMIT = "0123456789" * 4


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A model with prompts under names that sentence-transformers does not look for, and without a similarity."""
    prompts = {"s2p_query": "Instruct: find. Query: ", "s2p_passage": "passage: "}
    return str(configured(prompts=prompts, similarity_fn_name=None)(tmp_path_factory.mktemp("named")))


@pytest.fixture(scope="module")
def prompted(tmp_path_factory):
    """A model with prompts that sentence-transformers uses."""
    prompts = {"query": "find: ", "document": "text: "}
    return str(configured(prompts=prompts)(tmp_path_factory.mktemp("prompted")))


def used(loaded):
    return loaded.settings.query_prompt, loaded.settings.candidate_prompt


def sources(loaded):
    return loaded.sources.query_prompt, loaded.sources.candidate_prompt


def test_prompts_that_are_not_used_are_named(named):
    loaded = load_encoder(named)
    assert used(loaded) == ("", "")
    assert sources(loaded) == ("none", "none")
    assert any("prompts that are not used: s2p_query, s2p_passage" in note for note in loaded.notes)


def test_prompts_by_name(named):
    options = EncoderOptions(query_prompt_name="s2p_query", candidate_prompt_name="s2p_passage")
    loaded = load_encoder(named, options)
    assert used(loaded) == ("Instruct: find. Query: ", "passage: ")
    assert sources(loaded) == ("option", "option")
    assert not any("not used" in note for note in loaded.notes)
    plain_texts = load_encoder(named).encoder
    expected = plain_texts.encode_candidates([f"passage: {text}" for text in TEXTS])
    assert np.allclose(loaded.encoder.encode_candidates(TEXTS), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query_prompt": "s2p_query"}, "is the name of a prompt of the model: pass --query-prompt-name s2p_query"),
        ({"query_prompt_name": "query"}, "no prompt of that name: choose from s2p_query, s2p_passage"),
        ({"candidate_prompt_name": "s2p_passage", "candidate_prompt": "x"}, "are both given: give one"),
        ({"prompts": "registry"}, "mteb's registry does not know a model without --name"),
        ({"prompts": "registry", "name": "me/unheard-of"}, "mteb's registry does not know 'me/unheard-of'"),
        (
            {"prompts": "registry", "name": "jinaai/jina-embeddings-v3"},
            "through JinaWrapper, so mteb's prompts are not known",
        ),
    ],
)
def test_options_that_cannot_be_meant(named, options, message):
    with pytest.raises(ClirbenchError, match=message):
        load_encoder(named, EncoderOptions(**options))


def test_a_model_without_prompts_has_no_name_to_choose(tmp_path):
    with pytest.raises(ClirbenchError, match="it has none, so pass --query-prompt TEXT"):
        load_encoder(str(plain(tmp_path)), EncoderOptions(query_prompt_name="query"))


def test_a_word_that_is_a_name_too_can_be_put_before_the_texts(named):
    loaded = load_encoder(named, EncoderOptions(prompts="none", query_prompt="s2p_query"))
    assert used(loaded) == ("s2p_query", "")


def test_no_prompts_means_none_in_the_vectors_too(prompted):
    own = load_encoder(prompted)
    assert (used(own), sources(own)) == (("find: ", "text: "), ("model", "model"))
    for options in (EncoderOptions(prompts="none"), EncoderOptions(query_prompt="", candidate_prompt="")):
        loaded = load_encoder(prompted, options)
        assert (used(loaded), sources(loaded)) == (("", ""), ("option", "option"))
        assert not any("not used" in note for note in loaded.notes)
        given = own.encoder.encode_queries(["door"]), loaded.encoder.encode_queries(["find: door"])
        assert np.allclose(*given, atol=1e-6)


def test_a_similarity_that_nothing_names_is_said(named, prompted):
    assert any("names no similarity: cosine is used" in note for note in load_encoder(named).notes)
    assert load_encoder(named).sources.similarity == "none"
    assert load_encoder(prompted).sources.similarity == "model"
    asked = load_encoder(named, EncoderOptions(similarity="dot"))
    assert (asked.settings.similarity, asked.sources.similarity, asked.notes[-1][:9]) == ("dot", "option", "the model")


def test_the_registry_is_asked_for_another_name_only_on_request(prompted):
    name = "intfloat/multilingual-e5-small"
    assert used(load_encoder(prompted, EncoderOptions(name=name))) == ("find: ", "text: ")
    asked = load_encoder(prompted, EncoderOptions(name=name, prompts="registry"))
    assert (used(asked), sources(asked)) == (("query: ", "passage: "), ("registry", "registry"))
    assert any("mteb's registry has 'query: ', which is used; the model has 'find: '" in note for note in asked.notes)


def test_a_model_in_memory_is_run_as_it_is(prompted):
    from sentence_transformers import SentenceTransformer

    loaded = as_loaded(
        SentenceTransformer(prompted, device="cpu"), EncoderOptions(name="intfloat/multilingual-e5-small")
    )
    assert (used(loaded), sources(loaded)) == (("find: ", "text: "), ("model", "model"))


@pytest.mark.parametrize(
    ("name", "options", "line", "settings"),
    [
        (
            "intfloat/multilingual-e5-small",
            [],
            "query prompt 'query: ' (mteb's registry), candidate prompt 'passage: ' (mteb's registry), cosine",
            {"query_prompt": "query: ", "candidate_prompt": "passage: ", "similarity": "cosine"},
        ),
        ("facebook/contriever-msmarco", [], "dot (mteb's registry)", {"query_prompt": "", "similarity": "dot"}),
        (
            "intfloat/multilingual-e5-small",
            ["--prompts", "none", "--similarity", "dot"],
            "no prompts (you), dot (you)",
            {"query_prompt": "", "candidate_prompt": "", "similarity": "dot"},
        ),
        (
            "intfloat/multilingual-e5-small",
            ["--prompts", "model", "--query-prompt", ""],
            "no prompts (you), cosine (mteb's registry)",
            {"query_prompt": "", "candidate_prompt": ""},
        ),
    ],
)
def test_a_hub_name_is_run_as_the_registry_says(tmp_path, name, options, line, settings):
    folder = configured(similarity_fn_name=None)(tmp_path)
    hub_cache(tmp_path / "hub", folder, name, COMMIT)
    ran = clirbench_offline(tmp_path, "run", "--model", name, "--tasks", "demo", "--languages", "en,de", *options)
    assert ran.returncode == 0, ran.stderr
    assert line in " ".join(ran.stderr.split())
    (path,) = (tmp_path / "results" / name.replace("/", "__")).glob("demo+*.json")
    document = json.loads(path.read_text(encoding="utf-8"))
    assert settings.items() <= document["encoder"].items()


def test_a_result_is_reproduced_with_the_prompts_that_it_states(prompted, tmp_path):
    """The registry and the model have other prompts, and neither may slip in."""
    from clirbench.results.reload_model import ModelAt, reload_model

    options = EncoderOptions(name="intfloat/multilingual-e5-small", prompts="none", candidate_prompt="find: ")
    document = clirbench.evaluate(prompted, "demo", languages=["en", "de"], options=options).document
    again = reload_model(document, ModelAt(prompted))
    assert used(again) == ("", "find: ")
    assert replace(again.settings, transform=None) == load_encoder(prompted, options).settings
