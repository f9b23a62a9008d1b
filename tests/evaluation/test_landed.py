"""The landed tables are what the landed runs say, and those are of the present plan and data."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecstfl.datasets.embedded import open_embedded
from ecstfl.evaluation import differences, without_class
from ecstfl.evaluation.table import build_table, page
from ecstfl.evaluation.verdict import verdicts
from ecstfl.experiments.profiles import get_profile, plan_runs
from ecstfl.metrics.recognition import confusion_matrix
from ecstfl.runs.config import RunConfig, from_dict
from ecstfl.runs.run_folder import finished_run, read_features

ROOT = Path(__file__).resolve().parents[2]
LANDED = ROOT / "results" / "landed"
TABLES = {
    "quick": [3] * 2,
    "full": [15] * 7,
    "unbounded": [15] * 6,
    "unbounded-longtail": [15] * 5,
}
"""Folder of a landed table -> finished runs of each row."""
RUNS = sorted(LANDED.glob("*/runs/*/run.json"))
STUDIED = (1,)
"""Test folds left out in the study of lambda."""
METHODS = (
    ("softmax", "patent"),
    ("ec-stfl", "patent"),
    ("ec-stfl", "paper"),
    ("ec-stfl", "released"),
    ("center", "patent"),
    ("contrastive-center", "patent"),
)
PATENT_WEIGHTS = (0.3, 1.0, 0.1, 0.03)
"""Order of the rows: today's weights of the patent's form, then those of the earlier recipe."""


def configurations(folder):
    """The runs of a landed folder, in the order in which they were planned."""
    runs = [json.loads(path.read_text()) for path in folder.glob("runs/*/run.json")]
    configs = [from_dict(RunConfig, run["config"]) for run in runs]

    def place(config):
        method, weight = (config.loss.method, config.loss.form), config.loss.weight
        nth = PATENT_WEIGHTS.index(weight) if method == ("ec-stfl", "patent") else 0
        return config.seed, config.fold, METHODS.index(method), nth

    return sorted(configs, key=place)


@pytest.mark.parametrize("name", ["quick", "full"])
def test_the_landed_runs_are_of_todays_profile_and_data(name):
    planned = plan_runs(get_profile(name), open_embedded(ROOT / "data"))
    landed = set(configurations(LANDED / name))
    assert landed == set(planned)


@pytest.fixture(scope="module", params=TABLES)
def landed(request):
    """Folder of each landed table -> itself, its table, runs and differences: made once."""
    folder = LANDED / request.param
    configs = configurations(folder)
    finished = [run for config in configs if (run := finished_run(folder, config))]
    return folder, build_table(folder, configs), finished, differences.compare(finished)


def test_the_landed_table_is_that_of_its_runs(landed):
    folder, table, _, _ = landed
    assert [row.runs for row in table.rows] == TABLES[folder.name]
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


def test_the_verdicts_follow_the_intervals(landed):
    _, table, _, comparisons = landed
    told = verdicts(comparisons, table.differences)
    for comparison, difference, sentence in zip(comparisons, table.differences, told, strict=True):
        war = difference.war
        assert ("no change of recognition" in sentence) == (war.low <= 0 <= war.high)
        assert ("recognition is worse" in sentence) == (war.high < 0)
        for name, better, worse in (
            ("within/between", "looser", "tighter"),
            ("silhouette", "better separated", "worse separated"),
        ):
            (measure,) = (m for m in differences.MEASURES if m.name == name)
            gain = differences.change(comparison.pairs, measure)
            assert (better in sentence) == (gain.low > 0)
            assert (worse in sentence) == (gain.high < 0)
    single = replace(comparisons[0], pairs=comparisons[0].pairs[:1])
    assert "one pair of runs shows nothing" in verdicts([single], table.differences)[0]


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


@pytest.mark.parametrize("folder", TABLES)
@pytest.mark.parametrize("name", ["forest", "without-one-class", "confusion"])
def test_landed_figures_name_all_their_runs(name, folder):
    figures = ROOT / "figures" / "landed" / folder
    sidecar = json.loads((figures / f"{name}.json").read_text())
    assert set(sidecar["runs"]) == {config.name for config in configurations(LANDED / folder)}
    assert sidecar["synthetic"] is True
    assert "SYNTHETIC" in (figures / f"{name}.svg").read_text()
