"""Figures of lesson 01: their titles are computed from what is drawn."""

import numpy as np
import pytest
from lessonkit import plots_data

from ecstfl.datasets.embedded import ClipTruth
from ecstfl.labels import DFEW_COUNTS

NAMES = tuple(plots_data.UNIT_NAMES)


@pytest.fixture
def clip():
    """Frames and truth of a made-up clip: AU12 rises, AU45 (a blink) moves more."""
    n = 6
    units = np.zeros((n, len(NAMES)), np.float32)
    units[:, NAMES.index("AU12")] = [0, 0.2, 0.5, 0.9, 0.7, 0.1]
    units[:, NAMES.index("AU45")] = [0, 1.2, 0, 0, 0, 0]
    units[4, NAMES.index("AU4")] = 0.4
    visible = np.array([True, True, True, True, False, True])
    truth = ClipTruth(
        units=units,
        landmarks=np.full((n, 68, 2), 4, np.float32),
        landmarks_seen=visible.astype(np.float32),
        box=np.tile(np.float32([1, 1, 9, 9]), (n, 1)),
        pose=np.zeros((n, 3), np.float32),
        visible=visible,
    )
    return np.zeros((n, 8, 8, 3), np.uint8), truth


def test_class_shares_counts_and_names_the_worst_set():
    figure = plots_data.class_shares({"even": [5] * 7, "DFEW": DFEW_COUNTS})
    axis = figure.axes[0]
    assert axis.get_title() == "DFEW: 18 times more Neutral than Disgust clips"
    heights = [bar.get_height() for bars in axis.containers for bar in bars]
    assert heights[:7] == pytest.approx([100 / 7] * 7)
    assert heights[12] == pytest.approx(100 * 145 / 11697)


def test_fold_maps_say_how_many_leak():
    groups, labels = np.repeat(["a", "b"], 7), np.tile(np.arange(7), 2)
    free = np.array([1, 2, 1, 1, 1, 1, 1] + [3] * 7)
    figure = plots_data.fold_maps(groups, labels, {"free": free, "whole": np.repeat([1, 2], 7)})
    assert [a.get_title() for a in figure.axes] == [
        "free: 7 of 14 clips leak",
        "whole: 0 of 14 clips leak",
    ]
    assert [t.get_text() for t in figure.axes[0].texts] == [str(f) for f in free]


def test_leak_gains_names_smallest_and_largest():
    rows = {
        "one": {"nearest": (0.5, [0.4, 0.5]), "linear": (0.9, [0.91])},
        "two": {"nearest": (0.3, [0.5, 0.6]), "linear": (0.8, [0.8])},
    }
    axis = plots_data.leak_gains(rows).axes[0]
    assert "by -5 to +25 points" in axis.get_title()
    assert [t.get_text() for t in axis.texts] == ["-5.0", "+1.0", "+25.0", "+0.0"]


def test_blinks_are_no_expression_and_unseen_frames_no_apex(clip):
    truth = clip[1]
    names = [NAMES[i] for i in plots_data.strongest_units(truth, NAMES)]
    assert names[:2] == ["AU12", "AU4"]
    assert "AU45" not in names
    truth.units[:, NAMES.index("AU45")] = 0
    assert plots_data.apex(truth) == 3  # frame 4 has more, but no face is to be seen


def test_moments_say_what_moves_and_where_no_face_is(clip):
    frames, truth = clip
    title = plots_data.clip_moment(frames, truth, NAMES, 3, "x").get_suptitle()
    assert title == "x, frame 3 of 6: AU12 (lip corners pulled up) at 0.90"
    assert plots_data.clip_moment(frames, truth, NAMES, 4).get_suptitle().endswith("to be seen")
    last = plots_data.clip_moment(frames, truth, NAMES, 99)
    assert "frame 5 of 6" in last.get_suptitle()
    assert last.axes[0].get_xlim() == (-0.5, 7.5)  # a box that leaves the frame moves nothing
    still = plots_data.clip_moments(frames, truth, NAMES, "x", shown=3)
    assert still.get_suptitle().endswith("moves most, 0.00 to 0.90")
