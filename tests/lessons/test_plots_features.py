"""Figures of lesson 08: their numbers, not their looks."""

import numpy as np
import pytest
from lessonkit import plots_features as plots
from matplotlib.figure import Figure

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(70, 2)) * [1.0, 3.0]
LABELS = np.repeat(np.arange(7), 10)


def turned(points, degrees, factor=1.0):
    a = np.radians(degrees)
    return factor * points @ np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) + 5


def test_turning_scaling_and_mirroring_are_no_difference():
    for other in (turned(POINTS, 70, 4.0), POINTS * [-1, 1], POINTS + 3):
        assert plots.map_difference(POINTS, other) < 1e-12
        first, second = plots.aligned([POINTS, other])
        np.testing.assert_allclose(first, second, atol=1e-12)
    assert plots.map_difference(POINTS, RNG.normal(size=(70, 2))) > 0.5


def test_each_map_keeps_its_own_size_after_alignment():
    maps = plots.aligned([POINTS, RNG.normal(size=(70, 2)), turned(POINTS, 20)])
    assert [np.linalg.norm(m) for m in maps] == pytest.approx([1, 1, 1])


def test_maps_have_common_axes_and_every_class_its_own_marker():
    figure = plots.map_pair({"a": POINTS, "b": POINTS[::-1]}, LABELS, ["x", "y"], "t")
    left, right = figure.axes[:2]
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
    shapes = {c.get_paths()[0].vertices.tobytes() for c in left.collections}
    assert len(shapes) == 7  # readable without colour
    grid = plots.map_grid({5: {0: POINTS, 1: POINTS}, 15: {0: POINTS, 1: POINTS}}, LABELS, "t")
    assert len({axis.get_xlim() for axis in grid.axes}) == 1


def test_islands_are_found_where_they_are_and_the_space_is_asked():
    space = RNG.normal(size=(60, 20))
    far = np.repeat([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]], 20, axis=0) + RNG.normal(size=(60, 2))
    found, on_map, inside = plots.islands(far, space, 3)
    assert len(set(found[:20])) == 1
    assert on_map > 0.9
    assert abs(inside) < 0.1
    assert f"{on_map:.2f} on a map" in plots.noise_maps({5: far}, space, 3).get_suptitle()


def test_titles_say_what_is_drawn():
    space = np.vstack([RNG.normal(size=(50, 4)), 10 * RNG.normal(size=(50, 4))])
    flat = RNG.normal(size=(100, 2))
    cluster = np.repeat([0, 1], 50)
    title = plots.bent_sizes(space, flat, cluster).get_suptitle()
    assert title.startswith(("One cluster is 9", "One cluster is 10", "One cluster is 11"))
    assert "1.0 times" in title or "0.9 times" in title or "1.1 times" in title
    same = plots.shepard(POINTS, turned(POINTS, 30), "name").axes[0].get_title()
    assert "1-fold" in same
    assert "1.00" in same


def test_moving_one_class_fools_the_ratio():
    still, gone = (plots.one_class_away(away).axes[0].get_title() for away in (0.0, 20.0))
    assert "0.77 → 0.77" in still
    assert "0.77 → 0.2" in gone


def test_verdict_and_differences():
    rows = {"r": [(-0.2, -0.3, -0.1)], "s": [(-0.1, -0.2, -0.05)], "p": [(0.0, -1.0, 1.0)]}
    better = {"r": -1, "s": 1, "p": 1}
    assert plots.verdict(rows, better) == "better: r; worse: s; undecided: p"
    rows["r"].append((0.1, 0.05, 0.2))  # a second pair that says the contrary
    assert plots.verdict({"r": rows["r"]}, better) == "undecided: r"
    figure = plots.differences({"r": [(-0.2, -0.3, -0.1)]}, "t", "b minus a")
    assert isinstance(figure, Figure)
    assert figure.axes[0].get_yticklabels()[0].get_text() == "r"


@pytest.mark.slow  # compiles UMAP
def test_mapped_is_quiet_and_repeats(recwarn):
    x = RNG.normal(size=(40, 5))
    one, two = (plots.mapped(x, 1, 10) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert plots.mapped(x, 1, 2).shape == (40, 2)  # falls into pieces
    assert not [w for w in recwarn if "not fully connected" in str(w.message)]
