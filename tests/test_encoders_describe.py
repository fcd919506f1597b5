"""The line that says what a run uses."""

import pytest

from clirbench.encoders import base
from clirbench.encoders.describe import describe

INFO = base.ModelInfo("me/model", "sentence-transformers", "sha256:0123456789abcdef0123", "folder-sha256")


def model(settings: base.EncoderSettings, **more) -> base.LoadedModel:
    return base.LoadedModel(info=more.pop("info", INFO), settings=settings, **more)


def test_the_line_names_the_source_of_each_prompt_and_of_the_similarity():
    settings = base.EncoderSettings(
        similarity="dot", dtype="float16", query_prompt="query: ", query_max_length=32, candidate_max_length=512
    )
    sources = base.SettingSources("registry", "option", "model")
    first, note = describe(model(settings, sources=sources, saved_dtype="float32", notes=("a note",), device="cuda:1"))
    assert first == (
        "me/model: revision sha256:0123456789ab, query prompt 'query: ' (mteb's registry), no candidate prompt (you), "
        "dot (model), float16 (saved in float32), at most 32 tokens of a query, at most 512 tokens of a candidate, on cuda:1"
    )
    assert note == "a note"


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({}, "me/model: no revision, no prompts, cosine, float32, any length, on cpu"),
        ({"query_max_length": 8, "candidate_max_length": 8}, "at most 8 tokens,"),
        ({"query_max_length": 8}, "at most 8 tokens of a query, all tokens of a candidate"),
        ({"query_task": "retrieval.query"}, "query task retrieval.query"),
        ({"transform": "lir:2", "quantise": "int8", "truncate_dim": 64}, "me/model + 64 dimensions, lir:2, int8: "),
        ({"query_prompt": "x" * 100}, f"query prompt '{'x' * 59}…' (none)"),
    ],
)
def test_the_line_says_each_setting(settings, part):
    info = base.ModelInfo("me/model", "own", None, "unknown")
    assert part in describe(model(base.EncoderSettings(**settings), info=info))[0]
