"""The worked examples in docstrings are right."""

import doctest
import importlib

import pytest

MODULES = (
    "ranking.kernel",
    "ranking.in_memory",
    "ranking.near_ties",
    "ranking.shards",
    "evaluation.streaming.count_shard",
)


@pytest.mark.parametrize("module", MODULES)
def test_worked_examples(module):
    results = doctest.testmod(importlib.import_module(f"clirbench.{module}"))
    assert results.attempted
    assert not results.failed
