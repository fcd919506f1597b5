"""Marks of many models on one plot: each has the first free spot around its place."""

import math

import numpy as np

from clirbench.board.site.plot import _APART, Axis, Point, _Plane, axes, scatter


def points(number, seed):
    rng = np.random.default_rng(seed)
    # Some stand at one place, some beside others, and some at the edges of the plane.
    middles = rng.random((max(1, number // 8), 2)) * (0.6, 4000)
    return [
        Point(f"m{i}", f"models/m{i}.html", max(x + rng.choice([0, 0.002, 0.03]), 0), max(y, 0), "measured", None, 0)
        for i, (x, y) in enumerate(middles[rng.integers(0, len(middles), number)].tolist())
    ]


def places_one_by_one(plane, many):
    """Spot after spot, ring after ring, against every mark that was placed before."""
    taken = []
    for point in many:
        x, y = plane.place(point.x, point.y)
        for r in range(0, 400, 3):
            spots = [
                (x + r * math.cos(math.tau * k / max(r, 1)), y + r * math.sin(math.tau * k / max(r, 1)))
                for k in range(max(r, 1))
            ]
            free = next(
                (
                    (u, v)
                    for u, v in spots
                    if ((plane.left <= u <= plane.right and plane.top <= v <= plane.bottom) or r == 0)
                    and all((a - u) ** 2 + (b - v) ** 2 >= _APART**2 for a, b in taken)
                ),
                None,
            )
            if free:
                break
        taken.append(free or spots[-1])
    return taken


def test_each_mark_has_the_first_free_spot():
    axis: Axis = axes("xquad-r")[0]
    moved = 0
    for seed, number in enumerate((1, 9, 60, 150)):
        many = points(number, seed)
        plane = _Plane(many, axis)
        expected = places_one_by_one(plane, many)
        assert list(plane.apart(many).values()) == expected
        moved += sum(spot != plane.place(one.x, one.y) for one, spot in zip(many, expected, strict=True))
    assert moved > 50


def test_no_two_marks_of_a_crowd_stand_at_one_place():
    many = points(300, 7)
    places = np.array(list(_Plane(many, axes("xquad-r")[0]).apart(many).values()))
    apart = ((places[:, None] - places) ** 2).sum(axis=2)
    assert apart[~np.eye(len(many), dtype=bool)].min() >= _APART**2 - 1e-6
    assert scatter(many, "xquad-r").count("<title") >= len(many)
