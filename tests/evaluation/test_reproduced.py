"""Trained again: runs are paired by configuration, and the tolerance is what its formula says."""

import dataclasses
import json
import math

import numpy as np
import pytest
from madeup import made_up_run, made_up_table
from scipy import stats
from toy import toy_config, toy_data

from ecstfl.errors import UserError
from ecstfl.evaluation.differences import UAR, WAR
from ecstfl.evaluation.reproduced import compare, page, reference_runs
from ecstfl.files import write_json

FOLDS, SEEDS = (1, 2, 3, 4, 5), (0, 1, 2)


@pytest.fixture(scope="module")
def landed():
    return [run for run, _ in made_up_table(folds=FOLDS, seeds=SEEDS).values()]


def again(landed, seeds, right=0.5):
    """The runs of some seeds, recognised anew by other draws."""
    configs = made_up_table(folds=FOLDS, seeds=seeds)
    return [made_up_run(config, right, seed=1)[0] for config in configs]


def test_runs_meet_their_own_configuration(landed):
    rows = compare(landed, again(landed, seeds=(2, 7)))
    assert [r.method for r in rows] == ["C3D, softmax only", "C3D, EC-STFL (patent, lambda 0.1)"]
    for row in rows:
        assert [(a["config"]["fold"], a["config"]["seed"]) for a, _ in row.pairs] == [
            (fold, 2) for fold in FOLDS
        ]
        assert all(a["config_hash"] == b["config_hash"] for a, b in row.pairs)
        assert len(row.reference) == 15


def test_the_tolerance_is_that_of_a_pooled_spread(landed):
    row = compare(landed, again(landed, seeds=(0, 1)))[0]
    war = {
        fold: [100 * r["war"] for r in row.reference if r["config"]["fold"] == fold]
        for fold in FOLDS
    }
    variance = np.mean([np.var(values, ddof=1) for values in war.values()])  # three seeds each
    expected = stats.t.ppf(0.975, 10) * math.sqrt(variance * 2 / 10)
    assert row.tolerance(WAR) == pytest.approx(expected)
    before, now = row.means(WAR)
    pairs = [(100 * a["war"], 100 * b["war"]) for a, b in row.pairs]
    assert (before, now) == pytest.approx(tuple(np.mean(pairs, axis=0)))


def test_nineteen_in_twenty_redrawn_tables_are_within_the_tolerance():
    inside = looked = 0
    clipset = toy_data()[0]
    configs = [toy_config(clipset, fold=f, seed=s, epochs=6) for s in SEEDS for f in FOLDS]
    for draw in range(40):
        both = [[made_up_run(c, seed=2 * draw + k)[0] for c in configs] for k in (0, 1)]
        (row,) = compare(*both)
        for measure in (WAR, UAR):
            before, now = row.means(measure)
            inside += abs(now - before) <= row.tolerance(measure)
            looked += 1
    assert 0.90 <= inside / looked <= 0.99


def test_a_rendered_table_says_how_many_are_within(landed):
    same = page(compare(landed, landed), marks=("synthetic: rendered",)).markdown()
    assert "| C3D, softmax only | 15 | 15 |" in same
    assert same.count("| +0.0 | ±") == 4
    assert "- synthetic: rendered\n" in same
    assert "- 4 of 4 differences are within the tolerance" in same
    other = page(compare(landed, again(landed, SEEDS, right=0.1))).markdown()
    assert "- 0 of 4 differences are within the tolerance" in other


def test_one_landed_seed_has_no_tolerance(landed):
    first = [run for run in landed if run["config"]["seed"] == 0]
    text = page(compare(first, again(landed, seeds=(0,)))).markdown()
    assert "| – |" in text
    assert "the landed runs have one seed" in text
    assert "within the tolerance" not in text
    assert compare(landed, []) == []


def test_a_folder_without_a_run_of_the_plan_is_named(tmp_path, landed):
    configs = list(made_up_table())
    with pytest.raises(UserError, match="holds no finished run to compare with"):
        reference_runs(tmp_path, configs)
    for run in landed:
        (tmp_path / "runs" / run["name"]).mkdir(parents=True)
        write_json(tmp_path / "runs" / run["name"] / "run.json", run)
    assert len(reference_runs(tmp_path, configs)) == len(landed)
    others = [dataclasses.replace(c, profile="another") for c in configs]
    with pytest.raises(UserError, match=r"holds 30 finished run\(s\), but none of this plan"):
        reference_runs(tmp_path, others)
    path = tmp_path / "runs" / landed[0]["name"] / "run.json"
    path.write_text(json.dumps(landed[0])[:-9])
    with pytest.raises(UserError, match="not readable as JSON"):
        reference_runs(tmp_path, configs)
    assert path.exists()  # a landed run is never moved
