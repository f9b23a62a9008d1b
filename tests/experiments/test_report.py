"""What a reproduction draws from finished runs, and that it draws nothing twice."""

import json

import numpy as np
import pytest
from madeup import made_up_run, made_up_table
from toy import toy_config, toy_data

from ecstfl.experiments.plan import Work
from ecstfl.experiments.report import COMPARISONS, render
from ecstfl.files import write_json
from ecstfl.runs.places import Places
from ecstfl.runs.run_folder import run_directory, write_features

pytestmark = pytest.mark.usefixtures("quick_maps")
QUIET = Work(command="ecstfl reproduce", say=lambda _: None)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return Places(folder / "results", folder / "figures", folder / "cache")


@pytest.fixture(scope="module")
def plan(places):
    table = made_up_table(folds=(1, 2), seeds=(0, 1))
    for config, (run, features) in table.items():
        directory = run_directory(places.results, config)
        write_features(directory, **features)
        write_json(directory / "run.json", run)
    return list(table)


def sidecar(places, name):
    return json.loads((places.figures / f"{name}.json").read_text())


def test_pairs_closely_and_everything_together(places, plan):
    written = render(plan, places, QUIET)
    drawn = {path.stem for path in written if path.suffix == ".png"}
    assert drawn == {
        "umap", "umap-grid", "confusion", "curves", "forest", "without-one-class",
    }  # fmt: skip
    names = [config.name for config in plan]
    for name in ("forest", "without-one-class", "confusion"):
        assert sidecar(places, name)["runs"] == names
    for name in ("umap", "curves"):
        assert sidecar(places, name)["runs"] == names[:2]
    fold1 = [c.name for c in plan if c.fold == 1]
    assert sidecar(places, "umap-grid")["runs"] == fold1
    assert sidecar(places, "forest")["commit"] == ["commit-of-seed-0", "commit-of-seed-1"]


def test_what_is_up_to_date_is_left_alone_and_what_is_not_is_drawn(places, plan):
    stamp = {path: path.stat().st_mtime_ns for path in places.figures.iterdir()}
    render(plan, places, QUIET)
    assert stamp == {path: path.stat().st_mtime_ns for path in places.figures.iterdir()}
    first = (places.figures / "forest.svg").read_bytes()
    render(plan[:4], places, QUIET)
    assert sidecar(places, "forest")["runs"] == [c.name for c in plan[:4]]
    render(plan, places, QUIET)
    assert (places.figures / "forest.svg").read_bytes() == first  # and to the same bytes


def test_features_of_the_made_up_runs_are_what_their_confusion_says(places, plan):
    """The oracle's oracle: table and figures read different files of a run."""
    for config in plan:
        directory = run_directory(places.results, config)
        run = json.loads((directory / "run.json").read_text())
        features = np.load(directory / "features.npz")
        right = (features["labels"] == features["predictions"]).sum()
        assert np.trace(run["confusion"]) == right


def test_a_plan_without_pairs_leaves_no_answer_of_another_behind(places, plan):
    files = [places.results / name for name in COMPARISONS]
    reference = [json.loads(path.read_text()) for path in places.results.glob("runs/*/run.json")]
    render(plan, places, QUIET, reference=reference)
    assert all(path.exists() for path in files)
    alone = [config for config in plan if config.loss.method == "softmax"]
    written = render(alone, places, QUIET)
    assert not any(path.exists() or path in written for path in files)


def test_too_few_clips_for_a_map_cost_the_map_only(tmp_path):
    places = Places(tmp_path / "results", tmp_path / "figures", tmp_path / "cache")
    clipset, said = toy_data()[0], []
    configs = [toy_config(clipset, method=method) for method in ("softmax", "ec-stfl")]
    for config in configs:
        run, features = made_up_run(config, clips=3)
        directory = run_directory(places.results, config)
        write_features(directory, **features)
        # without clips of a class there is no recall
        recalls = [None if np.isnan(recall) else recall for recall in run["recalls"]]
        write_json(directory / "run.json", run | {"recalls": recalls})
    written = render(configs, places, Work(say=said.append))
    assert (places.results / "table.md") in written
    assert "No map of the features: 3 clip(s): UMAP maps 4 or more" in said
    drawn = {path.stem for path in written if path.suffix == ".png"}
    assert drawn == {"confusion", "curves", "forest", "without-one-class"}
