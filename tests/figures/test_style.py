"""Figures are the same whatever the user's matplotlibrc says."""

import matplotlib
import numpy as np
import pytest
from madeup import made_up_run
from toy import toy_config, toy_data

from ecstfl.figures.confusion import confusion_matrices
from ecstfl.figures.files import save_figure
from ecstfl.figures.maps import FEWEST, why_no_map

HOSTILE = {
    "LaTeX that is not there": "text.usetex: True",
    "another look": "font.family: monospace\nfont.size: 25\naxes.facecolor: red",
    "saved otherwise": "savefig.transparent: True\nsavefig.bbox: tight\nsavefig.facecolor: blue\n"
    "figure.constrained_layout.use: False\nsvg.fonttype: path",
}


def drawn(folder, settings):
    """Return the bytes of a figure drawn under a user's matplotlibrc."""
    (folder / "matplotlibrc").write_text(settings)
    runs = [made_up_run(toy_config(toy_data()[0], method=m))[0] for m in ("softmax", "ec-stfl")]
    with matplotlib.rc_context(fname=folder / "matplotlibrc"):
        save_figure(confusion_matrices(runs), folder / "a", runs, "ecstfl")
    return [(folder / f"a{suffix}").read_bytes() for suffix in (".png", ".svg")]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("plain"), "")


@pytest.mark.parametrize("settings", HOSTILE.values(), ids=HOSTILE)
def test_the_users_settings_do_not_reach_a_figure(settings, plain, tmp_path):
    assert drawn(tmp_path, settings) == plain


def test_what_cannot_be_mapped_is_told():
    assert "UMAP maps 4 or more" in why_no_map(np.zeros((FEWEST - 1, 2)))
    assert "not finite" in why_no_map(np.full((9, 2), np.nan))
