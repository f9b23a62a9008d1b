"""What sliders show, drawn beforehand for a page without a kernel."""

import base64
import io

import pytest
from lessonkit import frames, lessons
from matplotlib.figure import Figure
from PIL import Image


def bar(height=0.5, colour="red"):
    figure = Figure(figsize=(2, 1))
    figure.suptitle("A bar")
    figure.subplots().bar([0], [height], color=colour)
    return figure


def pixels(address):
    head, _, data = address.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB").tobytes()


def test_one_slider_moves_and_the_others_stay_at_their_start():
    controls = {"height": (0.1, 0.9, 0.2), "colour": ["red", "blue"]}
    made = frames.draw_frames(bar, still=False, controls=controls)
    height, colour = made.frames["controls"]
    assert height["values"] == ["0.1", "0.3", "0.5", "0.7", "0.9"]
    assert (height["start"], colour["start"]) == (2, 0)
    assert height["images"][2] is None
    assert colour["images"][0] is None
    shown = [pixels(one) for one in (*height["images"], *colour["images"]) if one]
    assert len({*shown, pixels(made.frames["still"])}) == 6
    assert made.frames["alt"].startswith("A bar")
    assert made.figure is None


@pytest.mark.parametrize(
    ("control", "default", "values"),
    [
        ((0, 3), 2, [0, 1, 2, 3]),
        ((2, 100), 15, [2, 15, 18, 35, 51, 67, 84, 100]),
        ((0.0, 1.0), 0.25, [0.0, 0.17, 0.25, 0.33, 0.5, 0.67, 0.83, 1.0]),
        (["a", "b"], "b", ["a", "b"]),
        ({"small": 1, "large": 9}, 9, [1, 9]),
        (True, False, [False, True]),
    ],
)
def test_places_hold_the_ends_and_the_start(control, default, values):
    assert frames._places(control, default) == (values, values.index(default))


def test_only_a_build_draws_them(monkeypatch, capsys):
    monkeypatch.setenv(lessons.WIDGETS, "off")
    assert isinstance(lessons.play(bar, height=(0.1, 0.9)), Figure)
    monkeypatch.setenv(frames.FRAMES, "on")
    assert isinstance(lessons.play(bar, height=(0.1, 0.9)), frames.Frames)
