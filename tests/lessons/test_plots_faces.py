"""Figures of lesson 02: their titles are computed from what is drawn."""

import numpy as np
import pytest
from lessonkit import plots_faces

from ecstfl.faces import align
from ecstfl.faces.detection import Detection

FIVE = (slice(36, 42), slice(42, 48), 30, 48, 54)  # of 68 points


@pytest.fixture
def clip():
    """Six frames and 68 landmarks of a face that stands still while its mouth goes down."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(68, 2)) * 10 + 56
    for place, where in zip(FIVE, align.TEMPLATE_112, strict=True):
        points[place] = where
    landmarks = np.repeat(points[None], 6, axis=0)
    landmarks[:, 48:, 1] += np.linspace(0, 15, 6)[:, None]
    return rng.integers(0, 255, (6, 112, 112, 3)).astype(np.uint8), landmarks


def test_found_faces_counts_and_leaves_misses_out_of_the_mean():
    face = Detection(
        np.float32([1, 1, 6, 6]), 0.9, align.TEMPLATE_112.astype(np.float32), "points5"
    )
    frame, box = np.zeros((8, 8, 3), np.uint8), np.array([1, 1, 7, 7])
    figure = plots_faces.found_faces([frame, frame], [face, None], [box, box], [0.8, 0.0])
    assert figure.get_suptitle().startswith("1 of 2 rendered faces found")
    assert figure.get_suptitle().endswith("overlap by 0.80")
    assert figure.axes[1].get_title().startswith("nothing found")


def test_coverage_rows_count_misses_and_false_finds():
    visible = np.array([True, True, False, False])
    found = np.array([True, False, True, False])
    figure = plots_faces.coverage_rows({"a": (visible, found), "b": (visible, found & False)})
    axis = figure.axes[0]
    assert axis.get_title().endswith("Missed 3, found where there is none (cross) 1")
    told = [t.get_text() for t in axis.texts]
    assert told == ["coverage 50%: kept", "coverage 0%: left out"]


def test_landmark_errors_name_best_and_worst():
    rng = np.random.default_rng(1)
    yaw = rng.uniform(-40, 40, 200)
    errors = np.array([2, 1, 3, 5, 4]) + 0.1 * np.abs(yaw)[:, None]
    left, right = plots_faces.landmark_errors(errors, yaw).axes
    assert "Best: right eye" in left.get_title()
    assert "worst: mouth left" in left.get_title()
    assert right.get_title().startswith("The error grows")
    level = plots_faces.landmark_errors(errors - 0.1 * np.abs(yaw)[:, None], yaw).axes[1]
    assert level.get_title().startswith("The error does not grow")


def test_mean_faces_compare_contrast():
    rng = np.random.default_rng(2)
    sharp = np.repeat(rng.integers(0, 255, (1, 9, 9, 3)), 20, axis=0).astype(np.uint8)
    blurred = rng.integers(0, 255, (20, 9, 9, 3)).astype(np.uint8)
    ratio = plots_faces.contrast(sharp) / plots_faces.contrast(blurred)
    assert ratio > 3
    title = plots_faces.mean_faces(blurred, sharp, 9).get_suptitle()
    assert f"({ratio:.1f} times" in title


def test_mouths_travel_less_after_five_points_than_after_the_eyes(clip):
    frames, landmarks = clip
    figure = plots_faces.mouth_in_crops(frames, landmarks, ("points5", "eyes"), shown=3)
    title = figure.get_suptitle()
    assert "after points5" in title.split(",")[0]
    assert title.endswith("after eyes")
    cut, matrices = plots_faces.crops(frames, landmarks, "none", 56)
    assert cut.shape == (6, 56, 56, 3)
    assert np.ptp(matrices, axis=0).max() == 0
    still = plots_faces.mouth_in_crop(frames, landmarks, "eyes", shown=3)
    noisy = plots_faces.mouth_in_crop(frames, landmarks, "eyes", noise=3.0, shown=3)
    travel = [float(f.get_suptitle().split(" pixels")[0].split()[-1]) for f in (still, noisy)]
    assert travel[0] == pytest.approx(4.5, abs=0.01)  # steps of 3 pixels about their mean
    assert travel[1] > travel[0]


def test_tradeoff_names_the_extremes():
    rows = {"points5": (0.2, 0.7, 2.0), "eyes": (1.0, 1.0, 4.0), "rigid68": (1.0, 1.0, 1.0)}
    left, right = plots_faces.alignment_tradeoff(rows).axes
    assert left.get_title() == "points5 keeps 20 % of a jaw drop"
    assert right.get_title() == "eyes trembles 2.0 times as much as the next"
