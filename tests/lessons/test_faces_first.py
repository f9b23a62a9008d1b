"""Lesson 00: a face, what a model says, two maps."""

import numpy as np
import pytest
from lessonkit import faces_first, frames
from matplotlib.figure import Figure

from ecstfl.datasets.embedded import open_embedded
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES


def test_the_first_face_is_of_somebody_in_no_training_data(tmp_path):
    face = faces_first.first_face("Fear", real=tmp_path)
    assert face.expression == "Fear"
    assert "SYNTHETIC" in face.about
    assert face.source not in {clip.source for clip in open_embedded(verify=False)}
    assert face.frames.ndim == 4
    assert len(faces_first.spread(face.frames, 5)) == 5
    assert np.array_equal(faces_first.spread(face.frames, 10_000), face.frames)
    with pytest.raises(UserError, match="unknown expression"):
        faces_first.first_face("Joy of life")


def test_without_real_clips_the_rendered_ones_serve(tmp_path):
    assert "SYNTHETIC" in faces_first.first_face("Sad", real=tmp_path).about


@pytest.mark.parametrize("expression", ["Happy", "Surprise"])
def test_a_real_face_comes_first_where_one_was_fetched(monkeypatch, expression):
    clips = open_embedded(verify=False)
    fetched = clips.subset(clips.labels == 0)  # these show one expression only
    monkeypatch.setattr(faces_first, "real_clips", lambda _: fetched)
    about = faces_first.first_face(expression).about
    assert about.startswith("a real person" if expression == "Happy" else "SYNTHETIC")
    monkeypatch.setenv(frames.FRAMES, "on")  # while lessons are built
    assert faces_first.first_face(expression).about.startswith("SYNTHETIC")


def test_real_clips_that_are_not_whole_are_passed_over(monkeypatch):
    def broken(_):
        raise UserError("not there any more")

    monkeypatch.setattr(faces_first, "real_clips", broken)
    assert "SYNTHETIC" in faces_first.first_face("Happy").about


def test_what_the_model_says_is_drawn_and_the_truth_is_marked():
    figure = faces_first.said([0.1, 0.6, 0.05, 0.05, 0.1, 0.05, 0.05], truth=4)
    (axis,) = figure.axes
    assert axis.get_title() == "The model says Sad: 60 %"
    marked = [text.get_text() for text in axis.get_yticklabels() if "(shown)" in text.get_text()]
    assert marked == [f"{CLASSES[4]} (shown)"]


def test_maps_show_the_two_directions_of_largest_spread():
    draw = np.random.default_rng(0)
    space = draw.normal(size=(60, 5)) * [1, 9, 1, 4, 1]
    flat = faces_first.flattened(space)
    wanted = np.sort(np.linalg.eigvalsh(np.cov(space.T)))[::-1][:2]
    np.testing.assert_allclose(np.cov(flat.T).diagonal(), wanted)
    figure = faces_first.two_maps({"A": space, "B": space}, np.arange(60) % 7, "Which?")
    assert isinstance(figure, Figure)
    assert [axis.get_title() for axis in figure.axes] == ["A", "B"]
