"""The study: no run sees its test fold, every trial has its twin, drawn from what was run."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from madeup import made_up_run
from toy import toy_config, toy_data

from ecstfl.errors import UserError
from ecstfl.evaluation.rows import baseline_of, by_row
from ecstfl.experiments.axes import AXES, plan_study
from ecstfl.experiments.plan import Plan
from ecstfl.experiments.profiles import get_profile, plan_runs
from ecstfl.experiments.study import collect, markdown, to_csv
from ecstfl.experiments.study_figure import draw
from ecstfl.files import write_json
from ecstfl.losses.methods import LossConfig
from ecstfl.metrics.clusters import cluster_measures
from ecstfl.metrics.recognition import confusion_matrix, war
from ecstfl.models.backbones import BackboneConfig
from ecstfl.runs.places import Places
from ecstfl.runs.run_folder import read_features, run_directory, write_features
from ecstfl.training.loop import train_run
from ecstfl.training.splits import split_clips


@pytest.fixture(scope="module")
def data():
    return toy_data()


@pytest.fixture(scope="module")
def many_people():
    """Enough for the axis that trains on 80 of them."""
    return toy_data(groups=140)[0]


def planned(profile, clipset, axes, **chosen):
    """Return the trials and the runs of a study."""
    runs = plan_runs(profile, clipset, evaluate="validation", **chosen)
    trials, plan = plan_study(Plan(profile, clipset, tuple(runs)), axes)
    return trials, list(plan.runs)


def quick():
    """The quick profile with one seed."""
    return replace(get_profile("quick"), seeds=(0,))


def toy_profile(clipset, epochs=2):
    config = toy_config(clipset, epochs=epochs)
    return replace(
        get_profile("smoke"),
        name="toy",
        augment=config.augment,
        backbone=config.backbone,
        optim=config.optim,
        methods=(LossConfig(), LossConfig("ec-stfl", weight=0.1)),
    )


def test_no_planned_run_can_see_its_test_fold(data):
    clipset, _ = data
    axes = [name for name in AXES if name != "people"]  # the toy data have no 80 people
    trials, runs = planned(quick(), clipset, axes, folds=(1, 4))
    folds = np.array([c.fold for c in clipset])
    assert len(runs) == len(set(runs)) == len({r.name for r in runs})
    for config in runs:
        train, held_out = split_clips(clipset, config)
        assert config.evaluate == "validation"
        assert config.fold not in folds[train]
        assert config.fold not in folds[held_out]
    rows = by_row(runs)
    for trial in trials:
        assert {c.fold for c in rows[trial.setting]} == {1, 4}
        assert baseline_of(trial.setting, rows) is not None


@pytest.mark.parametrize("name", AXES)
def test_an_axis_changes_one_thing(many_people, name):
    clipset = many_people
    trials, _ = planned(quick(), clipset, [name])
    base = planned(quick(), clipset, ["warmup"])[0][0].setting
    changed = {
        part
        for trial in trials
        for part in ("loss", "backbone", "optim", "train_groups", "label_noise", "votes")
        if getattr(trial.setting, part) != getattr(base, part)
    }
    expected = {
        "people": {"train_groups", "optim"},  # as many steps from fewer people
        "noise": {"label_noise"},
        "votes": {"votes"},
    }
    loss = {"patent", "paper", "released", "center", "warmup", "cousins"}
    network = {"tap", "width", "bounded"}
    single = {"loss"} if name in loss else {"backbone"} if name in network else {"optim"}
    assert changed == expected.get(name, single)
    assert len({t.value for t in trials}) == len({t.setting for t in trials}) == len(trials)


def test_a_setting_on_two_axes_is_trained_once_and_taps_share_their_twin(data):
    clipset, _ = data
    _, one = planned(quick(), clipset, ["patent"])
    trials, both = planned(quick(), clipset, ["patent", "warmup", "tap"])
    assert len(one) == 6  # five weights and softmax-only
    assert len(both) == 6 + 3 + 2  # lambda 0.1 without warm-up after ReLU is there already
    assert len(trials) == 5 + 4 + 3


def test_points_are_the_means_and_differences_of_their_runs(data, tmp_path):
    clipset, clips = data
    places = Places(tmp_path, tmp_path, tmp_path)
    profile = toy_profile(clipset)
    trials, runs = planned(profile, clipset, ["tap", "sampler"], folds=(1, 2), seeds=(0,))
    assert collect(places, trials, runs) == []
    records = {c: train_run(c, clipset, clips, tmp_path) for c in runs if c.fold == 1}
    (point, *_) = points = collect(places, trials, runs)
    assert [p.trial for p in points] == trials
    ours = next(c for c in runs if replace(c, fold=0) == point.trial.setting and c.fold == 1)
    theirs = next(c for c in runs if c.loss.method == "softmax" and c.fold == 1)
    assert point.war == (records[ours]["war"],)
    assert point.softmax_war == (records[theirs]["war"],)
    predicted = [read_features(run_directory(tmp_path, c)) for c in (ours, theirs)]
    expected = np.subtract(
        *(war(confusion_matrix(f["labels"], f["predictions"])) for f in predicted)
    )
    assert point.difference.value == pytest.approx(expected)
    assert point.difference.low <= expected <= point.difference.high
    within = [records[c]["clusters"]["within_between"] for c in (ours, theirs)]
    assert point.tighter.value == pytest.approx(within[0] - within[1])
    assert np.isnan(point.tighter.low)  # one pair has no interval

    x, y = predicted[0]["embeddings"].astype(float), predicted[0]["labels"]
    left = [cluster_measures(x[y != c], y[y != c]).within_between for c in np.unique(y)]
    assert point.one_aside == pytest.approx((max(left),))

    rows = list(csv.DictReader(io.StringIO(to_csv(points))))
    assert [row["value"] for row in rows] == [t.value for t in trials]
    assert float(rows[0]["difference"]) == pytest.approx(expected, abs=1e-4)
    assert float(rows[0]["tighter"]) == pytest.approx(point.tighter.value, abs=1e-4)
    assert markdown(points).count("\n") == 2 + len(trials)
    figure = draw(points, list(records.values()))
    words = " ".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))
    assert "SYNTHETIC" in words
    assert "validation" in words
    assert "3 per class" in words


def test_a_point_and_its_softmax_only_are_of_the_same_folds(data, tmp_path):
    """A weight that was tried on one fold is not set beside softmax-only's mean over both."""
    trials, runs = planned(quick(), data[0], ["sampler"], folds=(1, 2))
    records = {}
    for config in runs:
        if config.loss.method == "ec-stfl" and config.fold == 2:
            continue
        records[config], features = made_up_run(config, 0.4 + 0.2 * config.fold)
        write_features(run_directory(tmp_path, config), **features)
        write_json(run_directory(tmp_path, config) / "run.json", records[config])
    points = collect(Places(tmp_path, tmp_path, tmp_path), trials, runs)
    for point in points:
        (twin,) = (
            run["war"]
            for config, run in records.items()
            if config.loss.method == "softmax"
            and config.fold == 1
            and config.optim == point.trial.setting.optim
        )
        assert point.softmax_war == (twin,)
    figure = draw(points, list(records.values()))
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert "1 run(s) a point" in labels


def test_a_setting_on_several_axes_counts_once_and_many_axes_go_on_in_further_rows(
    many_people, tmp_path
):
    axes = ["warmup", "tap", "sampler", "batch", "people"]
    trials, runs = planned(quick(), many_people, axes, folds=(1,))
    records = {}
    for config in runs:
        # Everything is worse than softmax-only, by the same.
        records[config], features = made_up_run(
            config, 0.9 if config.loss.method == "softmax" else 0.2
        )
        write_features(run_directory(tmp_path, config), **features)
        write_json(run_directory(tmp_path, config) / "run.json", records[config])
    points = collect(Places(tmp_path, tmp_path, tmp_path), trials, runs)
    settings = {trial.setting for trial in trials}
    assert len(settings) < len(trials) == len(points)
    figure = draw(points, list(records.values()))
    assert f"Of {len(settings)} settings" in figure.get_suptitle()
    assert f"and {len(settings)} worse" in figure.get_suptitle()
    drawn = [a for a in figure.axes if a.get_title()]
    assert [a.get_title() for a in drawn] == list(dict.fromkeys(t.axis for t in trials))
    assert len({a.get_ylim() for a in drawn}) == 1
    rows = [round(a.get_subplotspec().rowspan.start) for a in drawn]
    assert rows == [0, 0, 0, 0, 3]


def test_wrong_requests_are_told(data):
    clipset, _ = data
    with pytest.raises(UserError, match="unknown axis 'momentum' of the study: use some of patent"):
        planned(quick(), clipset, ["momentum"])
    alone = replace(quick(), methods=(LossConfig(),))
    with pytest.raises(UserError, match="the quick profile has no EC-STFL method"):
        planned(alone, clipset, ["tap"])
    r3d = replace(quick(), backbone=BackboneConfig("r3d18"))
    trials, _ = planned(r3d, clipset, ["tap"])
    assert [t.value for t in trials] == ["avgpool"]
