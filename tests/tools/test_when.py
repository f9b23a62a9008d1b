"""When is it worth it: the landed table and picture are those of the landed runs."""

import csv
import json
from pathlib import Path

import pytest
from matplotlib.colors import same_color

from ecstfl.evaluation.differences import WAR, change
from tools import when

ROOT = Path(__file__).resolve().parents[2]
LANDED = ROOT / "results" / "landed"


@pytest.fixture(scope="module")
def settings():
    return [(setting.name, when.comparison(LANDED, setting)) for setting in when.SETTINGS]


def test_the_landed_page_and_picture_are_those_of_the_runs(settings):
    assert (LANDED / "when.md").read_text() == when.page(settings)
    sidecar = json.loads((ROOT / "figures" / "landed" / "when.json").read_text())
    assert sidecar["runs"] == [run["name"] for run in when.runs_of(settings)]
    assert sidecar["synthetic"] is True


@pytest.mark.parametrize("folder", when.ALONE)
def test_the_landed_page_and_picture_of_one_class_are_those_of_the_runs(folder):
    told, _, runs = when.one_class(LANDED, folder)
    assert (LANDED / folder / "without-one-class.md").read_text() == told.markdown()
    sidecar = json.loads((ROOT / f"figures/landed/{folder}/without-one-class.json").read_text())
    assert sidecar["runs"] == [run["name"] for run in runs]


def test_each_line_has_ten_pairs_or_more_and_one_setting(settings):
    for (_, found), setting in zip(settings, when.SETTINGS, strict=True):
        assert len(found.pairs) >= 10
        configs = [pair.ours["config"] for pair in found.pairs]
        assert {c["loss"]["weight"] for c in configs} == {setting.weight}
        bounded = {c["backbone"].get("fc_batch_norm", False) for c in configs}
        assert bounded == {"not bounded" not in setting.name}
        few = {c.get("train_groups", 0) for c in configs}
        assert few == ({20} if " 20 people" in setting.name else {0})
        wrong = {c.get("label_noise", 0.0) for c in configs}
        assert wrong == ({0.4} if "40 % wrong labels" in setting.name else {0.0})
        priors = {c["data"] for c in configs}
        long = "DFEW's class sizes" in setting.name
        assert priors == {"embedded-longtail" if long else "embedded"}
        votes = {c.get("votes", 0) for c in configs}
        assert votes == ({1} if "one rater" in setting.name else {0})
        scored = {run.get("scored_on") for p in found.pairs for run in (p.ours, p.baseline)}
        assert scored == ({"wild"} if "wild" in setting.name else {None})
        (fold,) = {c["evaluate"] for c in configs}
        assert fold == ("validation" if setting in when.SETTINGS[2:9] else "test")
        assert when.scored_on(found) == ("wild" if "wild" in setting.name else f"{fold} folds")


def test_the_wild_line_is_of_the_networks_of_the_line_above(settings):
    (_, plain), (_, wild) = settings[3:5]
    for pair, other in zip(plain.pairs, wild.pairs, strict=True):
        assert pair.ours["config_hash"] == other.ours["config_hash"]
        assert pair.ours["history"] == other.ours["history"]
        assert pair.ours["confusion"] != other.ours["confusion"]


def test_a_line_says_what_the_table_of_its_runs_says(settings):
    with (LANDED / "full" / "differences.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["measure"] == "WAR, %"]
    (row,) = [r for r in rows if "(patent, lambda 0.3)" in r["method"]]
    expected = [float(row[key]) for key in ("difference", "low", "high")]
    gain = change(settings[0][1].pairs, WAR)
    assert [gain.value, gain.low, gain.high] == pytest.approx(expected, abs=1e-5)


def test_the_picture_has_a_bar_from_end_to_end_of_each_interval(settings):
    figure = when.picture(settings)
    assert "SYNTHETIC" in figure.get_suptitle()
    for axis, measure in zip(figure.axes, when.SHOWN, strict=True):
        bars = [line for line in axis.lines if len(line.get_xdata()) == 2 and line.get_lw() == 2.5]
        for bar, (_, found) in zip(bars, settings, strict=True):
            gain = change(found.pairs, measure)
            assert list(bar.get_xdata()) == [gain.low, gain.high]
        dots = [line for line in axis.lines if same_color(line.get_color(), "0.5")]
        assert [len(d.get_xdata()) for d in dots] == [len(found.pairs) for _, found in settings]


def test_a_setting_without_runs_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"expected one comparison of .*nowhere"):
        when.comparison(tmp_path, when.Setting("nowhere", "nowhere", 0.3))
