"""Figures are the same whatever the user's matplotlibrc says, and maps come without a home."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ecstfl.figures.maps import FEWEST, why_no_map

TESTS = Path(__file__).parents[1]
DRAW = """
import sys
from pathlib import Path
from madeup import made_up_run
from toy import toy_config, toy_data
from ecstfl.figures.confusion import confusion_pair
from ecstfl.figures.files import save_figure
runs = [made_up_run(toy_config(toy_data()[0], method=m))[0] for m in ("softmax", "ec-stfl")]
save_figure(confusion_pair(runs), Path(sys.argv[1]), runs, "ecstfl")
"""
HOSTILE = {
    "LaTeX that is not there": "text.usetex: True",
    "another look": "font.family: monospace\nfont.size: 25\naxes.facecolor: red",
    "saved otherwise": "savefig.transparent: True\nsavefig.bbox: tight\nsavefig.facecolor: blue\n"
    "figure.constrained_layout.use: False\nsvg.fonttype: path\nbackend: TkAgg",
}


def process(code, *arguments, folder, **environment):
    """Run code in a process of its own that has the tests' helpers, in a folder."""
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths} | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    (folder / "matplotlibrc").write_text("")
    process(DRAW, folder / "a", folder=folder)
    return folder


@pytest.mark.parametrize("settings", HOSTILE.values(), ids=HOSTILE)
def test_the_users_settings_do_not_reach_a_figure(settings, plain, tmp_path):
    (tmp_path / "matplotlibrc").write_text(settings)
    process(DRAW, tmp_path / "a", folder=tmp_path)
    for suffix in (".png", ".svg"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (plain / f"a{suffix}").read_bytes()


def test_what_cannot_be_mapped_is_told():
    assert "UMAP maps 4 or more" in why_no_map(np.zeros((FEWEST - 1, 2)))
    assert "not finite" in why_no_map(np.full((9, 2), np.nan))
