"""Names on a map: on no other name, inside the frame, beside their clips and hiding few."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.figure import Figure

from ecstfl.figures.class_names import name_classes
from ecstfl.figures.style import COLOURS
from ecstfl.labels import CLASSES


def named(points, labels, fontsize=10):
    """Draw points and their names; return the axes and name -> frame of the name in pixels."""
    figure = Figure(figsize=(5.5, 5), layout="constrained")
    axis = figure.subplots()
    axis.scatter(*points.T)
    name_classes(figure, [(axis, points)], labels, COLOURS, fontsize)
    figure.draw_without_rendering()
    return axis, {t.get_text(): t.get_bbox_patch().get_window_extent() for t in axis.texts}


def hidden(axis, points, box):
    pixels = axis.transData.transform(points)
    return int(sum(box.contains(x, y) for x, y in pixels))


@pytest.fixture
def mixed():
    """Seven classes over one place: their middles lie almost on one another."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(280, 2)), np.arange(280) % 7


def test_names_of_classes_on_one_place_do_not_cover_one_another(mixed):
    _, boxes = named(*mixed)
    assert set(boxes) == set(CLASSES)
    for (one, a), (other, b) in combinations(boxes.items(), 2):
        assert not a.overlaps(b), f"{one} lies on {other}"


def test_names_stay_inside_the_frame_at_its_corners():
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0.5, 0.5], [0, 0.5], [1, 0.5]], float)
    axis, boxes = named(np.repeat(corners, 3, axis=0), np.repeat(np.arange(7), 3))
    for name, box in boxes.items():
        assert axis.bbox.x0 <= box.x0 < box.x1 <= axis.bbox.x1, name
        assert axis.bbox.y0 <= box.y0 < box.y1 <= axis.bbox.y1, name


def test_a_name_beside_free_paper_hides_no_clip_and_a_line_leads_to_its_middle():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(80, 2)) * 0.05 + np.repeat([[0, 0], [3, 3]], 40, axis=0)
    labels = np.repeat([0, 4], 40)
    axis, boxes = named(points, labels)
    assert [hidden(axis, points, box) for box in boxes.values()] == [0, 0]
    assert len(axis.lines) == 2
    for c, line in zip((0, 4), axis.lines, strict=True):
        end = line.get_xydata()[1]
        own = points[labels == c]
        assert np.isclose(end, own).all(axis=1).any()  # the line ends on a clip of its class
        far = np.linalg.norm(own - np.median(own, axis=0), axis=1)
        assert np.linalg.norm(end - np.median(own, axis=0)) == pytest.approx(far.min())


def test_names_hide_fewer_clips_than_at_the_medians(mixed):
    points, labels = mixed
    points = points + 4 * np.stack([np.cos(labels), np.sin(labels)], axis=1)
    axis, boxes = named(points, labels)
    now = sum(hidden(axis, points, box) for box in boxes.values())
    centred = 0
    for c, name in enumerate(CLASSES):
        box = boxes[name]
        middle = axis.transData.transform(np.median(points[labels == c], axis=0))
        shift = middle - [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2]
        centred += hidden(axis, points, box.translated(*shift))
    assert now < centred / 2


def test_names_neither_move_the_map_nor_depend_on_chance(mixed):
    points, labels = mixed
    bare = Figure(figsize=(5.5, 5), layout="constrained")
    plain = bare.subplots()
    plain.scatter(*points.T)
    bare.draw_without_rendering()
    (axis, one), (_, two) = named(points, labels), named(points, labels)
    assert axis.get_xlim() == plain.get_xlim()
    assert axis.get_ylim() == plain.get_ylim()
    np.testing.assert_allclose(axis.bbox.extents, plain.bbox.extents)
    assert {k: b.bounds for k, b in one.items()} == {k: b.bounds for k, b in two.items()}


def test_a_class_without_clips_has_no_name(mixed):
    points, labels = mixed
    _, boxes = named(points[labels != 5], labels[labels != 5])
    assert set(boxes) == set(CLASSES) - {"Disgust"}
