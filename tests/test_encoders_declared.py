"""What an encoder says of itself is checked when it is wrapped, before anything is encoded."""

import numpy as np
import pytest
import torch
from sentence_transformers.util import SimilarityFunction

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import as_loaded
from clirbench.support.errors import ClirbenchError


def own(**attributes):
    class Own:
        def encode_queries(self, texts):
            raise AssertionError("nothing is encoded")

        encode_candidates = encode_queries

    for name, value in attributes.items():
        setattr(Own, name, value)
    return Own()


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("parameters", 22.7e6, "has parameters 22700000.0: give a whole number"),
        ("parameters", -1, "has parameters -1: give a whole number"),
        ("parameters", 10**15, "has parameters 1000000000000000: give a whole number"),
        ("parameters", "22M", "has parameters '22M'"),
        ("parameters", True, "has parameters True"),
        ("parameters", np.ones(3), "has parameters array"),
        ("max_length", 512.0, "has max_length 512.0: give a whole number"),
        ("max_length", 0, "has max_length 0: give a whole number"),
        ("max_length", float("inf"), "has max_length inf"),
        ("max_length", 10**12, "has max_length 1000000000000"),
        ("revision", "", "has revision '': give a text"),
        ("revision", b"abc", "has revision b'abc'"),
        ("revision", object(), "has revision <object"),
        ("revision", True, "has revision True"),
        ("revision", "x" * 10_000, "give one line of at most 300 characters"),
        ("revision", "one\ntwo", "give one line of at most 300 characters"),
        ("name", "x" * 10_000, "cannot name a folder"),
        ("name", 7, "has name 7: give a text"),
        ("name", "../up", "cannot name a folder"),
        ("similarity", "cos", "has similarity 'cos': use cosine, dot, euclidean"),
        ("similarity", 1, "has similarity 1"),
        ("similarity", np.zeros(3), "has similarity array"),
        ("similarity", "c" * 10_000, "use cosine, dot, euclidean"),
        ("similarity", lambda self, a, b: 0, "has similarity <bound method"),
    ],
)
def test_odd_attributes_are_refused_in_one_short_line(attribute, value, message):
    with pytest.raises(ClirbenchError, match=message) as caught:
        as_loaded(own(**{attribute: value}))
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)


def test_whole_numbers_of_numpy_and_names_of_an_enum():
    model = as_loaded(
        own(parameters=np.int64(7), max_length=np.uint16(128), revision=3, similarity=SimilarityFunction.DOT_PRODUCT)
    )
    assert (model.info.parameters, type(model.info.parameters)) == (7, int)
    assert model.settings.candidate_max_length == model.settings.query_max_length == 128
    assert model.info.revision == "3"
    assert model.settings.similarity == "dot"


def test_a_torch_module_has_a_method_of_that_name():
    class Module(torch.nn.Module):
        def encode_queries(self, texts):
            return torch.zeros(len(texts), 2)

        encode_candidates = encode_queries

    assert as_loaded(Module()).info.parameters is None


def test_a_scorer_is_checked_too():
    class Scorer:
        parameters = 1.5

        def prepare_candidates(self, texts, languages): ...

        def score(self, texts, languages): ...

    with pytest.raises(ClirbenchError, match=r"has parameters 1\.5"):
        as_loaded(Scorer())


def test_a_name_that_is_given_takes_the_place_of_an_odd_one():
    assert as_loaded(own(name=7), EncoderOptions(name="me/model")).info.name == "me/model"
