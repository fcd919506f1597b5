"""Models of PyLate: loaded by PyLate where it is installed, by sentence-transformers elsewhere, with the same scores."""

import sys
import types
from importlib import metadata

import numpy as np
import pytest
from model_folders import edit, plain

from clirbench.encoders import from_pylate
from clirbench.encoders.base import EncoderOptions, LoadedScorer
from clirbench.encoders.load import load_encoder
from clirbench.support.errors import ClirbenchError

# What PyLate 1.6 writes beside the usual keys. It names no model_type.
OF_PYLATE = {
    "model_type": None,
    "similarity_fn_name": "MaxSim",
    "query_prefix": "[Q] ",
    "document_prefix": "[D] ",
    "query_length": 12,
    "document_length": 24,
    "attend_to_expansion_tokens": False,
    "skiplist_words": [],
    "do_query_expansion": True,
}
TEXTS = ["a text", "another one, which is longer than the first", "b"]


@pytest.fixture
def saved_by_pylate(tmp_path):
    return edit(plain(tmp_path), "config_sentence_transformers.json", **OF_PYLATE)


@pytest.fixture
def stand_in(monkeypatch):
    """A package named pylate, whose class expands no query: PyLate itself needs sentence-transformers 5.3."""
    from sentence_transformers import SentenceTransformer

    class ColBERT(SentenceTransformer):
        query_prefix, document_prefix, query_length, document_length, do_query_expansion = "[Q] ", "[D] ", 12, 24, False

        def __init__(self, name, **options):
            super().__init__(name, similarity_fn_name="dot", **options)

        def encode(self, texts, is_query, **more):
            prefix = self.query_prefix if is_query else self.document_prefix
            prefixed = [prefix + text for text in texts]
            return super().encode(prefixed, output_value="token_embeddings", **more)

    ColBERT.__module__ = "pylate.models.colbert"
    package, models = types.ModuleType("pylate"), types.ModuleType("pylate.models")
    package.__spec__ = types.SimpleNamespace(name="pylate")
    models.ColBERT = ColBERT
    monkeypatch.setitem(sys.modules, "pylate", package)
    monkeypatch.setitem(sys.modules, "pylate.models", models)
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1.6.0" if name == "pylate" else version(name))
    return ColBERT


def test_without_pylate_its_models_are_read_by_sentence_transformers(saved_by_pylate, monkeypatch):
    monkeypatch.setattr(from_pylate, "find_spec", lambda name: None)
    model = load_encoder(str(saved_by_pylate))
    assert isinstance(model, LoadedScorer)
    assert model.settings.similarity == "maxsim"
    assert not any("PyLate" in note for note in model.notes)


def test_where_pylate_is_installed_it_loads_and_encodes_its_models(saved_by_pylate, stand_in):
    model = load_encoder(str(saved_by_pylate))
    settings = model.settings
    assert (settings.similarity, settings.query_max_length, settings.candidate_max_length) == ("maxsim", 12, 24)
    assert (settings.query_prompt, settings.candidate_prompt) == ("[Q] ", "[D] ")
    assert any(note.startswith("loaded by PyLate 1.6.0: queries are cut at 12 tokens") for note in model.notes)
    model.scorer.prepare_candidates(TEXTS, ["en"] * 3)
    scores = model.scorer.score(TEXTS[:2], ["en"] * 2)
    library = stand_in(str(saved_by_pylate), device="cpu")
    queries, candidates = (library.encode(TEXTS, is_query=is_query) for is_query in (True, False))
    brute = [[float((q @ c.T).max(axis=1).values.sum()) for c in candidates] for q in queries[:2]]
    assert np.allclose(scores, brute, rtol=1e-5)


@pytest.mark.parametrize(
    "option", [{"query_prompt": "q"}, {"max_length": 8}, {"similarity": "dot"}, {"encode_task": "x"}]
)
def test_what_a_model_of_pylate_has_itself_is_refused(saved_by_pylate, stand_in, option):
    with pytest.raises(ClirbenchError, match="does not apply to a model of PyLate, which has its own"):
        load_encoder(str(saved_by_pylate), EncoderOptions(**option))


def test_maxsim_leaves_padding_out():
    import torch

    rng = np.random.default_rng(0)
    queries, candidates = (
        [torch.tensor(rng.standard_normal((n, 4)) - 5) for n in lengths] for lengths in ((2, 3), (1, 4, 2))
    )
    ours = from_pylate.PylateModel(None).similarity(queries, candidates)
    brute = [[float((q @ -c.T).max(dim=1).values.sum()) for c in candidates] for q in queries]
    assert np.allclose(from_pylate.PylateModel(None).similarity(queries, [-c for c in candidates]), brute)
    assert ours.shape == (2, 3)
