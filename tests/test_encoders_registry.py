"""What mteb's registry says of a model, found without loading it."""

import pytest

from clirbench.encoders.registry import registered


@pytest.mark.parametrize(
    ("name", "prompts", "similarity"),
    [
        ("intfloat/multilingual-e5-small", ("query: ", "passage: "), "cosine"),
        ("facebook/contriever-msmarco", None, "dot"),
        (
            "intfloat/multilingual-e5-large-instruct",
            ("Instruct: Retrieve text based on user query.\nQuery: ", ""),
            "cosine",
        ),
    ],
)
def test_prompts_and_similarity_without_the_model(name, prompts, similarity):
    entry = registered(name)
    assert (entry.prompts, entry.similarity, entry.loader) == (prompts, similarity, None)


def test_a_loader_of_its_own_may_do_anything_with_a_text():
    # Its prompts are names of adapters, not texts.
    entry = registered("jinaai/jina-embeddings-v3")
    assert (entry.prompts, entry.loader) == (None, "JinaWrapper")


def test_arguments_that_change_vectors_are_named():
    assert "model_kwargs=dtype:float16" in registered("intfloat/multilingual-e5-large-instruct").more
    assert registered("intfloat/multilingual-e5-small").more == ()


def test_a_name_that_mteb_does_not_know():
    assert registered("someone/unheard-of") is None
