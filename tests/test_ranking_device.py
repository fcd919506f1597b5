"""Counting with torch: the same counts as NumPy's and as brute force, bit for bit, wherever the vectors are the same."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ranking_many_golds import brute_force

from clirbench.encoders.base import EncoderSettings, LoadedEncoder, LoadedScorer, ModelInfo
from clirbench.ranking import device as device_module
from clirbench.ranking import in_memory
from clirbench.ranking.device import Device, device_to_count_on
from clirbench.ranking.in_memory import count_outranked
from clirbench.ranking.many_golds import histogram
from clirbench.ranking.near_ties import exact_products, reach
from clirbench.ranking.shards import Cells, GoldScores
from clirbench.support.errors import ClirbenchError

NONE = np.empty(0, dtype=np.intp)
BENCHMARK = Path(__file__).resolve().parent.parent / "benchmarks" / "counting_device.py"


@pytest.fixture
def device(monkeypatch):
    """The processor by way of torch, with few rows and cells at a time, so that every loop turns more than once."""
    monkeypatch.setattr(device_module, "_SEARCHED", 7)
    monkeypatch.setattr(device_module, "_EXACT", 64)
    monkeypatch.setattr(Device, "rows", 256)
    monkeypatch.setattr(Device, "rows_of_many_golds", 16)
    return Device("cpu")


def golds_of(rng, queries, candidates, fewest, most):
    """``gold_query`` and ``gold_candidate``: between so many golds for each query."""
    golds = [np.sort(rng.choice(candidates, rng.integers(fewest, most + 1), replace=False)) for _ in range(queries)]
    gold_query = np.repeat(np.arange(queries, dtype=np.int32), [len(some) for some in golds])
    return gold_query, np.concatenate(golds).astype(np.int32)


def alike(case, device):
    """Check the device's counts against NumPy's and brute force, and return them."""
    there, here = count_outranked(*case, device=device), count_outranked(*case)
    assert np.array_equal(there.wrong, here.wrong)
    assert np.array_equal(there.gold, here.gold)
    assert np.array_equal(there.wrong, brute_force(*case))
    return there


@pytest.mark.parametrize("golds", [(1, 4), (33, 40)], ids=["few golds", "many golds"])
@pytest.mark.parametrize("kind", ["whole numbers", "any numbers", "near ties"])
@pytest.mark.parametrize("seed", range(4))
def test_a_device_counts_what_numpy_and_brute_force_count(device, golds, kind, seed):
    rng = np.random.default_rng(seed)
    if kind == "whole numbers":  # they tie often
        queries, candidates = (rng.integers(-1, 2, (rows, 4)).astype(np.float32) for rows in (70, 200))
    else:
        queries, candidates = (rng.standard_normal((rows, 48)).astype(np.float32) for rows in (70, 200))
    candidates[100:110] = candidates[:10]
    pairs = golds_of(rng, 70, 200, *golds)
    if kind == "near ties":
        # Copies of golds, moved by one step of float32 in one dimension: no float32 product can tell them apart.
        for gold in pairs[1][:60:2]:
            copy, at = int(rng.integers(200)), int(rng.integers(48))
            candidates[copy] = candidates[gold]
            candidates[copy, at] = np.nextafter(candidates[copy, at], np.float32(rng.choice([-9, 9])))
    alike((queries, candidates, *pairs, np.array([0, 60, 61, 151, 200])), device)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_any_case_of_whole_numbers(seed):
    rng = np.random.default_rng(seed)
    n, width = int(rng.integers(1, 30)), int(rng.integers(2, 90))
    queries, candidates = (rng.integers(-2, 3, (rows, 3)).astype(np.float32) for rows in (n, width))
    cut = int(rng.integers(1, width))
    case = queries, candidates, *golds_of(rng, n, width, 1, min(5, width)), np.array([0, cut, width])
    assert alike(case, Device("cpu")).wrong.shape[1] == 2


def test_one_step_of_float32_decides(device):
    # The gold scores 1. Of three wrong candidates one scores a step less, one as much, one a step more.
    queries, candidates = np.float32([[1, 0]]), np.float32([[1, 0], [1 - 2.0**-24, 0], [1, 0], [1 + 2.0**-23, 0]])
    for name in ("compared", "searched"):
        if name == "searched":
            candidates = np.concatenate([candidates, np.full((40, 2), -1, dtype=np.float32)])
        golds = np.r_[0, 4 : len(candidates)].astype(np.int32)
        case = queries, candidates, np.zeros_like(golds), golds, np.array([0, len(candidates)])
        assert alike(case, device).wrong[0].tolist() == [2], name


@pytest.mark.parametrize("golds", [1, 40], ids=["few golds", "many golds"])
@pytest.mark.parametrize("width", [200, 9000])
def test_a_collapsed_encoder_gains_nothing(golds, width):
    vector = np.random.default_rng(0).standard_normal((1, 64)).astype(np.float32)
    pairs = np.zeros(golds, dtype=np.int32), np.arange(golds, dtype=np.int32), np.array([0, 90, width])
    counts = count_outranked(vector, np.tile(vector, (width, 1)), *pairs, device=Device("cpu"))
    assert (counts.wrong == [90 - golds, width - 90]).all()


def test_wide_blocks_and_more_queries_than_one_product(device):
    rng = np.random.default_rng(5)
    queries, candidates = (rng.integers(-2, 3, (rows, 4)).astype(np.float32) for rows in (600, 8200))
    gold_query, gold = np.arange(600, dtype=np.int32), rng.integers(0, 8200, 600).astype(np.int32)
    case = queries, candidates, gold_query, gold, np.array([0, 8190, 8200])
    there, here = count_outranked(*case, device=device), count_outranked(*case)
    assert np.array_equal(there.wrong, here.wrong)
    scores = queries @ candidates.T
    for g in range(0, 600, 47):
        assert there.wrong[g].sum() == (scores[g] >= scores[g, gold[g]]).sum() - 1


@pytest.mark.parametrize("copied", [True, False])
def test_shards_with_golds_and_copies_of_their_texts(device, copied):
    rng = np.random.default_rng(7)
    queries = rng.standard_normal((600, 16)).astype(np.float32)
    shard = rng.standard_normal((9001, 16)).astype(np.float16).astype(np.float32)
    gold_query, gold = golds_of(rng, 600, 9001, 1, 5)
    scores = exact_products(queries, gold_query.astype(np.intp), shard, gold.astype(np.intp))
    own = Cells(np.arange(len(gold)), gold.astype(np.intp))
    copies = Cells(NONE, NONE)
    if copied:
        # Wrong candidates with the text of a gold, whose vectors an encoder may have rounded otherwise.
        free = np.setdiff1d(np.arange(9001), gold)[:40]
        copies = Cells(np.arange(40), free)
        shard[free] = shard[gold[:40]] * np.float32(0.999)
    counts = [
        GoldScores(queries, gold_query, scores, device=one).count(shard, own, copies)[0] for one in (None, device)
    ]
    assert np.array_equal(*counts)
    assert counts[1].sum() > 0


def test_the_best_candidates_and_their_scores_do_not_depend_on_the_device(device):
    rng = np.random.default_rng(8)
    queries, shard = (rng.standard_normal((rows, 16)).astype(np.float32) for rows in (30, 500))
    gold_query, gold = golds_of(rng, 30, 500, 1, 3)
    scores = exact_products(queries, gold_query.astype(np.intp), shard, gold.astype(np.intp))
    own = Cells(np.arange(len(gold)), gold.astype(np.intp))
    found = [
        GoldScores(queries, gold_query, scores, device=one).count(shard, own, Cells(NONE, NONE), top=7)
        for one in (None, device)
    ]
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1].candidate, found[1][1].candidate)
    assert np.array_equal(found[0][1].score, found[1][1].score)


def test_float64_on_the_device_leaves_what_it_cannot_tell_to_numpy(device, monkeypatch):
    """A device may add up float64 in any order. The pairs that this could change are given to NumPy."""
    rng = np.random.default_rng(9)
    queries, tile = (rng.standard_normal((rows, 300)).astype(np.float32) for rows in (4, 50))
    tile[25:] = tile[:25]
    query, column = np.repeat(np.arange(4), 50), np.tile(np.arange(50), 4)
    exact = exact_products(queries, query, tile, column)
    gold = exact[rng.permutation(len(exact))]
    # A third is compared with its own score, a third with the next float64 above it.
    gold[::3], gold[1::3] = exact[::3], np.nextafter(exact[1::3], np.inf)
    held = device.hold(queries), device.hold(tile)
    above, near = device.compared(held[0], query, held[1], column, gold)
    assert near[::3].all()
    assert near[1::3].all()
    assert not near[2::3].all()
    assert np.array_equal(above[~near], exact[~near] > gold[~near])
    assert np.array_equal(reach(held[0], query, held[1], column, gold, device), exact >= gold)


def test_a_product_is_full_float32_and_the_users_setting_comes_back():
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        there = Device("cpu")
        with there.counting():
            if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
                assert torch.backends.cuda.matmul.fp32_precision == "ieee"
                assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
            else:
                assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_device_that_multiplies_with_less_than_float32_is_refused(monkeypatch):
    product = torch.Tensor.__matmul__

    def coarse(left, right):
        return product(left.bfloat16(), right.bfloat16()).float()

    monkeypatch.setattr(torch.Tensor, "__matmul__", coarse)
    with pytest.raises(ClirbenchError, match=r"cpu multiplies with less than float32.*--count-on cpu"):
        Device("cpu")


def test_a_device_without_memory_is_one_line_that_says_what_to_do(device):
    with pytest.raises(ClirbenchError, match="cpu has no memory left to count: pass --count-on cpu"), device.counting():
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_a_device_that_is_not_there_is_one_line():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ClirbenchError, match="torch cannot use cuda:0 to count: pass --count-on cpu"):
        Device("cuda:0")


def model(kind="sentence-transformers", device="cpu", scores=False):
    identity = {"info": ModelInfo("a/model", kind, None, "unknown"), "settings": EncoderSettings(), "device": device}
    return LoadedScorer(scorer=None, **identity) if scores else LoadedEncoder(encoder=None, **identity)


@pytest.mark.parametrize(
    ("count_on", "given", "opened"),
    [
        ("auto", model(), None),
        ("auto", model(device="cuda:1"), "cuda:1"),
        ("auto", model(device="cuda:1", scores=True), None),
        ("auto", model("vectors"), None),
        ("cpu", model(device="cuda:1"), None),
        ("device", model(device="cuda:1"), "cuda:1"),
        ("device", model("vectors"), "cuda:0"),
    ],
)
def test_where_a_model_is_counted(monkeypatch, count_on, given, opened):
    monkeypatch.setattr(device_module, "Device", lambda name: name)
    assert device_to_count_on(count_on, given) == opened


@pytest.mark.parametrize(
    ("count_on", "given", "said"),
    [
        ("gpu", model(), "--count-on is 'gpu': use auto, cpu, device"),
        ("device", model(), "--count-on device needs an encoder on a GPU, and a/model is on cpu: pass --device cuda"),
        ("device", model(scores=True), "--count-on device compares vectors, and a/model has none: leave it out"),
    ],
)
def test_what_cannot_be_counted_on_a_device(count_on, given, said):
    with pytest.raises(ClirbenchError, match=re.escape(said)):
        device_to_count_on(count_on, given)


def test_without_torch_the_line_names_the_option(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        ClirbenchError, match="--count-on device needs torch: pip install torch, or pass --count-on cpu"
    ):
        Device("cuda")


def test_counting_on_the_processor_does_not_import_torch():
    code = (
        "import sys, numpy as np\n"
        "from clirbench.ranking.in_memory import count_outranked\n"
        "one = np.ones((2, 2), dtype=np.float32)\n"
        "zero = np.zeros(1, dtype=np.int32)\n"
        "print(count_outranked(one[:1], one, zero, zero, np.array([0, 2])).wrong.tolist(), 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[[1]] False\n"


def test_many_golds_and_few_golds_count_alike_on_a_device(device, monkeypatch):
    rng = np.random.default_rng(11)
    queries, candidates = (rng.standard_normal((rows, 12)).astype(np.float32) for rows in (40, 300))
    case = queries, candidates, *golds_of(rng, 40, 300, 33, 40), np.array([0, 100, 300])
    searched = count_outranked(*case, device=device)
    monkeypatch.setattr(in_memory, "MANY_GOLDS", 10**9)
    assert np.array_equal(searched.wrong, count_outranked(*case, device=device).wrong)


@pytest.mark.slow
def test_the_benchmark_compares_the_device_with_the_bare_product_and_the_processor():
    """Small, on the processor by way of torch: what the benchmark prints is there, and both counters count alike."""
    sizes = ("--passages", "2000", "--dimensions", "24", "--queries", "40", "--shard", "700", "--cpu-part", "1")
    done = subprocess.run(
        [sys.executable, BENCHMARK, "--device", "cpu", *sizes], capture_output=True, text=True, check=True, timeout=300
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "2,000 x 24 float16 vectors on disk, 40 queries with 3 golds, shards of 700, 3 rounds"
    assert lines[1].startswith("device: torch on cpu")
    seconds = {line[:28].strip(): [float(x) for x in re.findall(r"([\d.]+) s", line)] for line in lines[3:6]}
    assert list(seconds) == ["bare product", "device's counter", "processor's counter"]
    assert all(0 < least <= median for least, median in seconds.values())
    # Three golds of 40 queries in each of three shards.
    assert lines[-1] == "360 counts are equal on both"
    few = subprocess.run([sys.executable, BENCHMARK, "--rounds", "2"], capture_output=True, text=True, check=False)
    assert few.stderr == "--rounds is 2: use 3 or more\n"


def test_a_score_that_is_equal_to_a_bound_reaches_it(device):
    rng = np.random.default_rng(12)
    scores = rng.integers(0, 5, (6, 40)).astype(np.float32)
    bounds = np.sort(rng.integers(0, 5, (6, 4)), axis=1).astype(np.float32)
    near, block = rng.random((6, 5)) < 0.5, np.repeat([0, 1], [15, 25])
    there = device.histogram(torch.from_numpy(scores), bounds, near, block, 2)
    assert all(np.array_equal(a, b) for a, b in zip(there, histogram(scores, bounds, near, block, 2), strict=True))
    reached = (scores[:, None] >= bounds[:, :, None]).sum(axis=2)
    assert np.array_equal(device.reached(torch.from_numpy(scores), bounds), reached)
    assert np.array_equal(there[0].sum(axis=1)[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:], reached)
    row = np.repeat(np.arange(6), 2)
    low, high = bounds[:, :2].ravel(), bounds[:, 2:].ravel()
    found = [np.concatenate(one) for one in zip(*device.between(torch.from_numpy(scores), row, low, high), strict=True)]
    inside = (scores[row] >= low[:, None]) & (scores[row] < high[:, None])
    assert np.array_equal(np.array(found), np.nonzero(inside))
