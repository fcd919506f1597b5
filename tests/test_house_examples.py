"""The worked examples in docstrings give what they show, and the hardest functions have one."""

import doctest
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "clirbench"
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
HARD = (
    "evaluation.streaming.count_shard._without_golds",
    "metrics.bias.gold_removal",
    "metrics.significance.pairwise_p",
    "metrics.significance.rank_intervals",
    "ranking.in_memory.count_outranked",
    "ranking.kernel.among_golds",
    "ranking.kernel.outranks",
    "ranking.kernel.tally",
    "ranking.near_ties.TileComparison",
    "ranking.shards.GoldScores.count",
    "submissions.impossible_ranks.impossible",
    "training.batches.HybridBatchSampler",
)


def examples(module):
    """By name in the module, the examples of each docstring."""
    tests = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module))
    return {test.name: test for test in tests if test.examples}


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_give_what_they_show(module):
    runner = doctest.DocTestRunner()
    for test in examples(module).values():
        runner.run(test)
    assert runner.tries
    assert not runner.failures


def test_the_hardest_functions_have_examples():
    assert {f"clirbench.{name}" for name in HARD} <= {name for module in WITH_EXAMPLES for name in examples(module)}
