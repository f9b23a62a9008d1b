"""The sweep over lambda: validation only, reused, and drawn from what was run."""

import csv
import io

import numpy as np
import pytest
from toy import toy_config, toy_data

from ecstfl.experiments.profiles import get_profile
from ecstfl.experiments.sweep import collect, draw, plan_sweep, to_csv
from ecstfl.training.train import split_clips, train_run


def test_no_planned_run_can_see_its_test_fold():
    clipset, _ = toy_data()
    plan = plan_sweep(get_profile("quick"), clipset, [0, 0.1, 1], ("patent", "paper"), folds=(1, 4))
    assert len(plan) == 2 * 5  # softmax once, two weights of two forms; two folds
    folds = np.array([c.fold for c in clipset])
    for config in plan:
        train, held_out = split_clips(clipset, config)
        assert config.evaluate == "validation"
        assert config.fold not in folds[train]
        assert config.fold not in folds[held_out]


def test_points_are_the_means_of_their_runs(tmp_path):
    clipset, clips = toy_data()
    configs = [
        toy_config(clipset, method=m, weight=w, epochs=2, seed=s, evaluate="validation")
        for m, w in (("softmax", 0.0), ("ec-stfl", 0.1))
        for s in (0, 1)
    ]
    runs = [train_run(c, clipset, clips, tmp_path) for c in configs]
    points = collect(tmp_path, configs)
    assert [(p.form, p.weight, len(p.war)) for p in points] == [
        ("softmax", 0.0, 2),
        ("patent", 0.1, 2),
    ]
    rows = list(csv.DictReader(io.StringIO(to_csv(points))))
    assert float(rows[1]["war_mean"]) == pytest.approx(
        np.mean([r["war"] for r in runs[2:]]), abs=1e-4
    )
    text = " ".join(
        t.get_text() for t in draw(points, configs[0]).findobj(lambda a: hasattr(a, "get_text"))
    )
    assert "SYNTHETIC" in text
    assert "validation" in text
