"""The plot: every model is seen, where its numbers say, with its intervals and the edge of what models reach."""

import itertools
import json
import math
import re
from pathlib import Path

import pytest

from clirbench.board.entries import read_entry
from clirbench.board.site.plot import Point, axes, pareto_front, plot_points, scatter

ROOT = Path(__file__).resolve().parent.parent
SUBMISSIONS = ROOT / "submissions"


@pytest.fixture(scope="module")
def entries():
    return [read_entry(path) for path in sorted(SUBMISSIONS.iterdir()) if path.is_dir()]


def axis(task, key):
    return next(one for one in axes(task) if one.key == key)


def point(x, y, origin="measured", **options):
    return Point(f"{x}", "x", x, y, origin, None, 0, **options)


def marks(svg):
    """Where the mark of each model is drawn, by its label."""
    drawn = re.findall(r'<a href="[^"]*" aria-label="([^"]*?): mAP .*?translate\(([\d.]+) ([\d.]+)\)', svg)
    return {label: (float(x), float(y)) for label, x, y in drawn}


def test_the_pareto_front_by_hand():
    points = [point(0.1, 9), point(0.5, 5), point(0.4, 3), point(0.3, 4), point(0.6, 8)]
    assert [(p.x, p.y) for p in pareto_front(points)] == [(0.4, 3), (0.5, 5), (0.6, 8)]
    # Where high values are better, only what beats both stays.
    assert [(p.x, p.y) for p in pareto_front(points, lambda y: -y)] == [(0.1, 9), (0.6, 8)]
    assert str(scatter(points, "xquad-r")).count("<circle") == 5 + 1
    assert "<svg" in str(scatter([], "xquad-r"))


def test_variants_of_one_base_share_a_family(entries):
    families = {p.label: p.family for p in plot_points(entries, "xquad-r")}
    assert families["clirbench/mono"] == families["clirbench/cross"] is not None
    # It starts from another model than they do.
    assert families["clirbench/hybrid"] not in (None, families["clirbench/mono"])
    assert families["arxiv-2408.10536/xlm-r-hybrid"] != families["arxiv-2408.10536/labse-hybrid"]
    assert families["clirbench/char-ngram"] is None


@pytest.mark.parametrize("task", ["xquad-r", "mlqa-r"])
def test_no_mark_lies_under_another(entries, task):
    for one in axes(task):
        points = plot_points(entries, task, one)
        drawn = marks(str(scatter(points, task, one)))
        assert set(drawn) == {p.label for p in points}
        assert len(points) > 5
        assert min(math.dist(a, b) for a, b in itertools.combinations(drawn.values(), 2)) > 8.8


def test_a_mark_stands_at_its_numbers_or_a_line_leads_there(entries):
    points = plot_points(entries, "xquad-r")
    svg = str(scatter(points, "xquad-r"))
    grid = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(middle|end)">([\d,]+)</text>', svg)
    ticks = {t: float(x) for x, _, anchor, t in grid if anchor == "middle"}
    ups = {t: float(y) - 4 for _, y, anchor, t in grid if anchor == "end"}
    across = (ticks["50"] - ticks["0"]) / 0.5
    down = ups["100"] - ups["1,000"]
    drawn, moved = marks(svg), 0
    for one in points:
        x, y = ticks["0"] + across * one.x, ups["1,000"] - down * (math.log10(one.y) - 3)
        if math.dist(drawn[one.label], (x, y)) > 1.1:
            moved += 1
            near = re.search(
                rf'aria-label="{re.escape(one.label)}: .*?<path d="M([\d.]+) ([\d.]+)L[^"]*" class="lead">', svg
            )
            assert math.dist((float(near[1]), float(near[2])), (x, y)) < 0.2
    # The transforms of one model stand in one place.
    assert 3 < moved < len(points)


def test_whiskers_are_the_intervals_of_the_results():
    entry = read_entry(SUBMISSIONS / "clirbench__hybrid")
    document = json.loads((SUBMISSIONS / "clirbench__hybrid" / "xquad-r.json").read_text())
    [drawn] = plot_points([entry], "xquad-r")
    stated = document["headline"]["multilingual"]["mAP"]
    apart = document["headline"]["bias"]["rank_distance"]
    assert (drawn.x, *drawn.x_ends) == (stated["value"], stated["low"], stated["high"])
    assert (drawn.y, *drawn.y_ends) == (apart["value"], apart["low"], apart["high"])
    whiskers = re.findall(r'd="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)" class="whisker"', str(scatter([drawn], "xquad-r")))
    (x1, y1, x2, y2), (u1, v1, u2, v2) = [list(map(float, one)) for one in whiskers]
    assert y1 == y2
    assert u1 == u2
    # Along an even axis, lengths are as differences are; up a logarithmic one, as quotients.
    assert (x2 - x1) / (u1 - x1) == pytest.approx(
        (stated["high"] - stated["low"]) / (stated["value"] - stated["low"]), abs=0.05
    )
    ratio = math.log(apart["high"] / apart["low"]) / math.log(apart["value"] / apart["low"])
    assert (v1 - v2) / (v1 - y1) == pytest.approx(ratio, abs=0.05)


def test_values_of_the_axes_are_those_of_the_results(entries):
    wanted = {key: {} for key in ("size", "speed", "own_language_preference", "mlqa-r")}
    for path in sorted(SUBMISSIONS.glob("*/xquad-r.json")):
        document = json.loads(path.read_text())
        if document["origin"] != "measured":
            continue
        model = document["model"]["name"] + (f" + {v}" if (v := variant(document)) else "")
        wanted["size"][model] = document["model"]["parameters"]
        wanted["speed"][model] = document["cost"]["texts_per_second"]
        wanted["own_language_preference"][model] = document["headline"]["bias"]["own_language_preference"]["value"]
        other = path.with_name("mlqa-r.json")
        wanted["mlqa-r"][model] = (
            json.loads(other.read_text())["headline"]["multilingual"]["mAP"]["value"] if other.exists() else None
        )
    for key, values in wanted.items():
        points = plot_points(entries, "xquad-r", axis("xquad-r", key))
        shown = {p.label: p.y for p in points if p.origin != "reported"}
        assert shown == {label: value for label, value in values.items() if value is not None}
        assert len(shown) > 5
    speeds = plot_points(entries, "xquad-r", axis("xquad-r", "speed"))
    assert {p.note for p in speeds} == {"on cpu, 2 cores"}
    assert "20 on cpu, 2 cores (verified)" in str(scatter(speeds, "xquad-r", axis("xquad-r", "speed")))


def variant(document):
    return {"center": "center"}.get(t := document["encoder"]["transform"] or "", t)


def test_only_verified_models_make_the_front_and_its_sentence():
    honest = Point("a/honest", "x", 0.3, 100.0, "verified", None, 0, verified=True)
    elsewhere = Point("a/elsewhere", "x", 0.2, 50.0, "measured", None, 0, verified=True)
    forged = Point("b/forged", "x", 0.9, 1.0, "measured", None, 0)
    svg = str(scatter([honest, forged, elsewhere], "xquad-r"))
    said = re.search(r"No other .*?\.", svg)[0]
    assert said == "No other verified model beats these in both: a/elsewhere, a/honest (on the dashed line)."
    assert "no verified model is better in both" in svg
    # Stairs: level to the first, up to the height of the second, level to the second, and up to the edge.
    steps = [tuple(map(float, one.split())) for one in re.search(r'd="M([^"]*)" class="front"', svg)[1].split("L")]
    assert len(steps) == 5
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in itertools.pairwise(steps))
    assert {marks(svg)["a/honest"], marks(svg)["a/elsewhere"]} <= set(steps)
    # Where nobody has run any of them again, there is nothing better than what was measured.
    alone = str(scatter([forged, Point("c/paper", "x", 0.95, 0.5, "reported", None, 0)], "xquad-r"))
    assert "No other measured model beats these in both: b/forged (on the dashed line)." in alone


def test_speeds_of_two_devices_have_no_front():
    speed = axis("xquad-r", "speed")
    one = [point(0.3, 100.0, note="on cpu"), point(0.4, 50.0, note="on cpu")]
    assert 'class="front"' in str(scatter(one, "xquad-r", speed))
    two = str(scatter([*one, point(0.5, 9000.0, note="on cuda")], "xquad-r", speed))
    assert 'class="front"' not in two
    assert "Their speeds are of different devices, so no line joins the best." in two


def test_a_model_without_parameters_stands_at_the_lower_end():
    drawn = marks(str(scatter([point(0.2, 0.0), point(0.3, 4e7), point(0.4, 5e8)], "xquad-r", axis("xquad-r", "size"))))
    heights = [y for _, y in drawn.values()]
    assert sorted(heights, reverse=True) == heights == [drawn["0.2"][1], drawn["0.3"][1], drawn["0.4"][1]]
    assert drawn["0.2"][1] == 340


def test_names_in_a_plot_are_short():
    long = Point(f"{'w' * 60}/{'m' * 59}", "x", 0.3, 100.0, "measured", None, 0)
    (name,) = re.findall(r'class="name">(.*?)</text>', str(scatter([long], "xquad-r")))
    assert len(name) == 40
