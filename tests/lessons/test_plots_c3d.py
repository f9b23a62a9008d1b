"""Figures of lesson 05: their titles are computed from what is drawn."""

import numpy as np
import pytest
from lessonkit import plots_c3d
from lessonkit.anatomy import c3d_layers


def test_pool_windows_say_how_many_and_what_is_lost():
    axis = plots_c3d.pool_windows(7).axes[0]
    told = [t.get_text() for t in axis.texts if ":" in t.get_text()]
    assert told[0].endswith("3 windows, cell 6 is lost")
    assert told[1].endswith("4 windows")
    assert told[2].endswith("4 windows")


def test_price_list_names_the_heaviest_and_the_busiest():
    left, right = plots_c3d.price_list(c3d_layers()).axes
    assert left.get_title() == "fc6 holds 43 % of the parameters"
    assert right.get_title() == "conv2a does 29 % of the work, fc6 0.1 %"
    assert sum(bar.get_width() for bar in left.containers[0]) == pytest.approx(100)


def test_reach_on_face_tells_where_the_whole_face_is_seen():
    face = np.zeros((112, 112, 3), np.uint8)
    figure = plots_c3d.reach_on_face(face, c3d_layers(), ("conv2a", "conv4b", "conv5b"))
    assert figure.get_suptitle() == "From conv2a (5 frames, 8 pixels) to the whole face in conv5b"
    assert "68 frames, 134 x 134 pixels" in [t.get_text() for t in figure.axes[1].texts]


def test_half_area_of_an_even_and_of_a_peaked_field():
    assert plots_c3d.half_area(np.ones((10, 10))) == pytest.approx(0.5, abs=0.02)
    peaked = np.ones(99)
    peaked[0] = 1000
    assert plots_c3d.half_area(peaked) == pytest.approx(1 / 99)
    assert plots_c3d.half_area(np.array([0.0, 0, 1, 1])) == 0.5  # zeros are outside the field


def test_effective_fields_give_the_range():
    field = np.zeros((2, 20, 20))
    field[:, 5:15, 5:15] = 1
    figure = plots_c3d.effective_fields({"a": (field, 10), "b": (field, 10)})
    assert "from 50 to 50 % of the field" in figure.get_suptitle()


def test_prices_compare_first_and_last():
    figure = plots_c3d.c3d_price(width=64, fc=4096, frames=8, size=112)
    assert figure.get_suptitle().endswith("1/1 of the parameters, 1/2 of the work")
    assert figure.axes[0].yaxis_inverted()  # the published network on top
    assert len(plots_c3d.c3d_prices({"a": {}, "b": {"fc": 8}, "c": {"width": 8}}).axes) == 2


def test_tapped_counts_zeros():
    values = {"fc7": np.array([[-1.0, 2.0]]), "relu7": np.array([[0.0, 2.0]])}
    figure = plots_c3d.tapped(values)
    assert [a.get_title() for a in figure.axes] == ["fc7: 0 % are 0", "relu7: 50 % are 0"]
    assert figure.get_suptitle().startswith("relu7")
