"""The landed tables are what the landed runs say, and those are of the present plan and data."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecstfl.datasets.embedded import open_embedded
from ecstfl.evaluation import differences, reproduced, without_class
from ecstfl.evaluation.table import build_table, page
from ecstfl.experiments.axes import plan_study
from ecstfl.experiments.plan import Plan
from ecstfl.experiments.profiles import choose_methods, get_profile, plan_runs
from ecstfl.experiments.study import collect, to_csv
from ecstfl.experiments.study import markdown as study_markdown
from ecstfl.metrics.recognition import confusion_matrix
from ecstfl.runs.config import RunConfig, from_dict
from ecstfl.runs.places import Places
from ecstfl.runs.run_folder import finished_run, read_features

ROOT = Path(__file__).resolve().parents[2]
LANDED = ROOT / "results" / "landed" / "quick"
FULL = {
    "full": ("balanced", None, (0, 1, 2), [15] * 6),
    "embedded-longtail-full": (
        "longtail",
        ["softmax", "ec-stfl:patent", "ec-stfl:paper", "center"],
        (0, 1, 2),
        [15] * 5,
    ),
}
"""Folder of landed runs of the full profile -> prior of the data, methods (None: all) and seeds of
the plan, finished runs of each row."""
RUNS = sorted(
    path
    for name in ("quick", "full-repeat", *FULL)
    for path in LANDED.parent.glob(f"{name}/runs/*/run.json")
)


@pytest.fixture(scope="module")
def configs():
    return plan_runs(get_profile("quick"), open_embedded(ROOT / "data"))


def test_the_landed_runs_are_of_todays_quick_profile_and_data(configs):
    landed = {json.loads(path.read_text())["config_hash"] for path in RUNS}
    assert {config.hash for config in configs} <= landed


def test_the_landed_table_is_that_of_the_landed_runs(configs):
    table = page(build_table(LANDED, configs)).markdown()
    assert (LANDED / "table.md").read_text() == table


@pytest.fixture(scope="module")
def full():
    """Folder -> planned runs of which some or all are landed."""
    profile = get_profile("full")
    return {
        name: plan_runs(
            choose_methods(profile, methods) if methods else profile,
            open_embedded(ROOT / "data", prior=prior),
            seeds=seeds,
        )
        for name, (prior, methods, seeds, _) in FULL.items()
    }


@pytest.fixture(scope="module", params=FULL)
def landed(request, full):
    """Folder of each landed table -> itself, its table, runs and differences: made once."""
    folder = LANDED.parent / request.param
    configs = full[request.param]
    finished = [run for config in configs if (run := finished_run(folder, config))]
    return folder, build_table(folder, configs), finished, differences.compare(finished)


def test_the_landed_full_table_is_that_of_its_runs(landed):
    folder, table, _, _ = landed
    name = folder.name
    assert [row.runs for row in table.rows] == FULL[name][-1]
    assert (folder / "table.md").read_text() == page(table).markdown()


def test_the_landed_differences_are_those_of_the_runs(landed):
    folder, table, _, comparisons = landed
    text = differences.page(comparisons, table.marks).markdown()
    assert (folder / "differences.md").read_text() == text
    assert (folder / "differences.csv").read_text() == differences.to_csv(comparisons)


def test_the_landed_pages_without_one_class_are_those_of_the_runs(landed):
    folder, table, finished, comparisons = landed
    measured = without_class.measured(
        (run["name"], read_features(folder / "runs" / run["name"])) for run in finished
    )
    text = without_class.page(comparisons, measured, table.marks).markdown()
    assert (folder / "without-one-class.md").read_text() == text
    assert (folder / "without-one-class.csv").read_text() == without_class.to_csv(
        comparisons, measured
    )


@pytest.mark.parametrize("path", RUNS, ids=lambda p: p.parent.name)
def test_each_landed_run_agrees_with_its_own_predictions(path):
    run = json.loads(path.read_text())
    features = read_features(path.parent)
    confusion = confusion_matrix(features["labels"], features["predictions"])
    np.testing.assert_array_equal(confusion, run["confusion"])
    logits = features["logits"].astype(np.float64)  # stored as float16: near ties may swap
    chosen = logits[np.arange(len(logits)), features["predictions"]]
    assert (chosen >= logits.max(1) - 0.02).all()
    config = from_dict(RunConfig, run["config"])
    assert config.hash == run["config_hash"]
    assert config.name == path.parent.name
    assert len(run["history"]) == config.optim.epochs
    assert run["provenance"]["modified"] is False  # made by code that can be checked out


@pytest.mark.parametrize("folder", FULL)
@pytest.mark.parametrize("name", ["forest", "without-one-class", "peeking", "confusion-pooled"])
def test_landed_figures_of_the_full_profile_name_all_its_runs(name, folder, full):
    figures = ROOT / "figures" / "landed" / folder
    sidecar = json.loads((figures / f"{name}.json").read_text())
    finished = {c.name for c in full[folder] if finished_run(LANDED.parent / folder, c)}
    assert set(sidecar["runs"]) == finished
    assert "SYNTHETIC" in (figures / f"{name}.svg").read_text()


@pytest.mark.parametrize("name", ["umap", "confusion", "curves"])
def test_landed_figures_name_the_landed_runs(name, configs):
    sidecar = json.loads((ROOT / f"figures/landed/quick/{name}.json").read_text())
    assert sidecar["runs"] == [config.name for config in configs[:2]]
    assert sidecar["synthetic"] is True
    svg = (ROOT / f"figures/landed/quick/{name}.svg").read_text()
    assert "SYNTHETIC" in svg


def test_the_rows_trained_again_are_within_the_tolerance():
    folder = LANDED.parent / "full-repeat"
    profile = choose_methods(get_profile("full"), ["softmax", "ec-stfl:patent:0.03"])
    configs = plan_runs(profile, open_embedded(ROOT / "data"), seeds=(0,))
    again = [run for config in configs if (run := finished_run(folder, config))]
    repeats = reproduced.compare(reproduced.reference_runs(LANDED.parent / "full", configs), again)
    text = reproduced.page(repeats, build_table(folder, configs).marks).markdown()
    assert (folder / "trained-again.md").read_text() == text
    assert [(len(one.pairs), len(one.reference)) for one in repeats] == [(5, 15), (5, 15)]
    for one in repeats:
        for measure in reproduced.MEASURES:
            before, now = one.means(measure)
            assert abs(now - before) <= one.tolerance(measure)


def quick_in_bfloat16():
    profile = get_profile("quick")
    return replace(profile, optim=replace(profile.optim, precision="bf16"))


STUDIES = {
    "study": ("balanced", quick_in_bfloat16(), ["epochs"], (1,)),
    "full-study": (
        "balanced",
        get_profile("full"),
        ["patent", "paper", "released", "center"],
        (1, 2, 3, 4, 5),
    ),
    "full-conditions": (
        "balanced",
        get_profile("full"),
        ["warmup", "tap", "sampler", "batch", "people", "epochs", "width"],
        (1,),
    ),
    "longtail-sampler": (
        "longtail",
        choose_methods(get_profile("full"), ["ec-stfl:patent:0.03"]),
        ["sampler"],
        (1, 2, 3),
    ),
}
"""Folder of a landed study -> prior of the data, profile, axes and test folds left out; seed 0."""


@pytest.mark.parametrize("name", STUDIES)
def test_the_landed_study_is_that_of_its_runs(name):
    folder = LANDED.parent / name
    prior, profile, axes, folds = STUDIES[name]
    clips = open_embedded(ROOT / "data", prior=prior)
    runs = plan_runs(profile, clips, folds=folds, seeds=(0,), evaluate="validation")
    trials, plan = plan_study(Plan(profile, clips, tuple(runs)), axes)
    points = collect(Places(folder, folder, folder), trials, plan.runs)
    assert (folder / "study.md").read_text() == study_markdown(points)
    assert (folder / "study.csv").read_text() == to_csv(points)
