"""benchmarks/growth.py: fits give back the laws that made the numbers, and the sentences name what is largest."""

import math
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def growth(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import growth

    return growth


@pytest.mark.parametrize("power", [0.5, 1, 2, 3])
def test_the_exponent_of_a_power_is_found(growth, power):
    sizes = [10, 20, 40, 80]
    one = growth.Series("score", "topics", sizes, sizes, [0.003 * size**power for size in sizes], None)
    assert one.exponent == pytest.approx(power)


def test_a_line_is_found_and_read_off_far_away(growth):
    amounts = [1_000, 2_000, 4_000, 8_000]
    seconds, memory = [0.5 + 2e-3 * x for x in amounts], [1e6 + 40 * x for x in amounts]
    one = growth.Series("check", "models", amounts, amounts, seconds, memory)
    assert one.seconds_at(10**6) == pytest.approx(2000.5)
    assert one.memory_at(10**6) == pytest.approx(41e6)
    assert one.misses < 1e-9
    assert growth.each(one) == "2 ms"


def test_noise_of_a_tenth_moves_the_line_by_little_more(growth):
    amounts = [100, 200, 400, 800]
    noisy = [1.1 * 100, 0.9 * 200, 1.1 * 400, 0.9 * 800]
    one = growth.Series("write", "topics", amounts, amounts, noisy, None)
    assert 0.8 < one.seconds_at(10**5) / 10**5 < 1.1
    assert 0 < one.misses < 0.2


def test_what_does_not_grow_is_not_forecast_to_shrink(growth):
    one = growth.Series("score", "topics", [1, 2, 3, 4], [1, 2, 3, 4], [4.0, 3.0, 2.0, 1.0], None)
    assert one.seconds_at(10**6) > 0
    assert growth.each(one) == "nothing measurable"


def laws(growth):
    """Series of known laws for every stage: seconds are amounts times a rate."""
    made = []

    def add(stage, size, sizes, amounts, rate, memory=None):
        seconds = [rate * x for x in amounts]
        made.append(growth.Series(stage, size, sizes, amounts, seconds, memory))

    sizes = [10, 20, 40, 80]
    add("encode", "texts", sizes, [30 * n for n in sizes], 1e-4)
    add("count", "candidates", sizes, [1000 * n for n in sizes], 1e-9, [1e6] * 4)
    pairs = [growth.TOPICS * n**2 for n in sizes]
    add("rank", "languages", sizes, pairs, 1e-8, [100 * n for n in pairs])
    for stage in ("score", "write", "compare"):
        add(stage, "languages", sizes, pairs, 1e-6)
    for stage, rate in (("check", 0.1), ("leaderboard", 0.01), ("site", 0.05)):
        add(stage, "models", sizes, sizes, rate, [1e6 * n for n in sizes])
    return made


def test_large_runs_are_the_lines_at_their_amounts(growth):
    made = growth.costs(laws(growth))
    by = {(one.run.split()[0], one.stage): one for one in made}
    passages, queries = 106_332_152, 13_495
    assert by["106", "encode"].seconds == pytest.approx(passages * growth.PASSAGE_TOKENS * 1e-4)
    assert by["106", "count"].seconds == pytest.approx(passages * queries * 1e-9)
    golds = 900 * 122**2
    assert by["122", "score"].seconds == pytest.approx(golds * 1e-6)
    # A line from few languages misses it, so it is not forecast.
    assert by["122", "rank"].memory is None
    assert by["5,000", "check"].seconds == pytest.approx(500)
    assert by["5,000", "site"].memory == pytest.approx(5e9)
    sentences = growth.walls(made).splitlines()
    assert "the longest stage is to encode" in sentences[0]
    assert f"{passages * growth.PASSAGE_TOKENS * 1e-4 / 86400:,.0f} times a day" in sentences[0]
    assert sentences[-1].startswith("- **The next wall:** to encode, with 106 million passages")
    assert math.isfinite(sum(one.seconds for one in made))
    # The memory of the evaluation is the wall where encoding is fast.
    fast = [one for one in laws(growth) if one.stage != "encode"]
    fast.append(growth.Series("encode", "texts", [1, 2, 3, 4], [1, 2, 3, 4], [1e-9, 2e-9, 3e-9, 4e-9], None))
    rows = growth.forecast(growth.costs(fast)).splitlines()
    assert len(rows) == 2 + len(made)
    assert all(row.count("|") == 6 for row in rows)
