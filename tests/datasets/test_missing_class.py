"""A data set without one of the seven classes, as CREMA-D is: a dash, a note, no 0 in the mean."""

import csv
import io
import json

import numpy as np
import pytest
from sklearn.metrics import recall_score
from toy import toy_config, toy_data

from ecstfl.evaluation.table import (
    HEAD,
    build_table,
    grid,
    notes,
    page,
    to_csv,
)
from ecstfl.labels import CLASSES
from ecstfl.runs.run_folder import read_features, run_directory
from ecstfl.training.loop import train_run

SURPRISE = CLASSES.index("Surprise")


@pytest.fixture(scope="module")
def landed(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    clipset, clips = toy_data()
    keep = clipset.labels != SURPRISE
    clipset, clips = clipset.subset(keep), clips[keep]
    configs = [toy_config(clipset, method=m, epochs=2) for m in ("softmax", "ec-stfl")]
    for config in configs:
        train_run(config, clipset, clips, results)
    return results, configs


def test_the_table_shows_a_dash_and_says_why(landed):
    table = build_table(*landed)
    column = HEAD.index("Surprise")
    results = grid(table).lines[:2]
    assert [line[column] for line in results] == ["–", "–"]
    assert all("–" not in cell for line in results for cell in line[1:column])
    (note,) = [n for n in notes(table) if "Surprise" in n]
    assert "mean over the other 6 classes" in note
    text = page(table).markdown()
    assert "–" in text
    assert note in text
    assert "nan" not in text.lower().replace("spontan", "")


def test_uar_is_the_mean_over_the_classes_that_are_there(landed):
    results, configs = landed
    for row, config in zip(build_table(results, configs).rows, configs, strict=True):
        features = read_features(run_directory(results, config))
        there = [k for k in range(7) if k != SURPRISE]
        expected = recall_score(
            features["labels"], features["predictions"], labels=there, average="macro"
        )
        assert row.uar.value == pytest.approx(expected)
        assert 0 <= row.uar.low <= row.uar.high <= 1


def test_files_hold_no_number_for_it(landed):
    results, configs = landed
    run = json.loads((run_directory(results, configs[0]) / "run.json").read_text())
    assert run["recalls"][SURPRISE] is None
    assert np.mean([r for r in run["recalls"] if r is not None]) == pytest.approx(run["uar"])
    (first, _) = csv.DictReader(io.StringIO(to_csv(build_table(results, configs))))
    assert first["Surprise"] == ""
    assert float(first["Fear"]) >= 0
