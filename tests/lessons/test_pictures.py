"""Figures in words, and clips that play."""

import io

import numpy as np
import pytest
from lessonkit.pictures import alt_text, playing
from lessonkit.stamp import stamp
from matplotlib.figure import Figure
from PIL import Image


def drawn():
    figure = Figure()
    one, two = figure.subplots(1, 2)
    figure.suptitle("The gain is small")
    one.set(title="UAR", xlabel="points", ylabel="model")
    two.set(title="WAR", xlabel="points")
    two.plot([0, 1], label=r"$\lambda$ = 10")
    two.legend()
    return figure


def test_a_figure_says_title_panels_axes_and_legend():
    assert alt_text(drawn()) == (
        "The gain is small. UAR. WAR. horizontal axis: points. vertical axis: model. "
        "legend: lambda = 10"
    )
    assert "FRESH" in alt_text(stamp(drawn(), "toy-1", fresh=True))
    own = drawn()
    own.set_label("Two bars, nearly of one length.")
    assert alt_text(own) == "Two bars, nearly of one length."
    assert alt_text(Figure()) == "a figure"


def test_clips_play_side_by_side_in_one_picture():
    dark, light = (np.full((5, 32, 24, 3), value, np.uint8) for value in (10, 240))
    light[3] = 128
    shown = playing({"dark": dark, "light": light}, "A dark and a light clip.", fps=10, height=64)
    data, about = shown._repr_png_()
    assert about == {"alt": "A dark and a light clip."}
    picture = Image.open(io.BytesIO(data))
    assert (picture.n_frames, picture.info["loop"], picture.info["duration"]) == (5, 0, 100)
    for t in range(5):
        picture.seek(t)
        pixels = np.asarray(picture.convert("RGB")).astype(int)
        assert abs(pixels[50, 24] - 10).max() < 8
        assert abs(pixels[50, 80] - light[t, 0, 0]).max() < 8
    with pytest.raises(ValueError, match="one length"):
        playing({"a": dark, "b": light[:3]}, "x")
